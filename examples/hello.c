/*
 * A file system with one file, in C with libfuse 3. Built with
 *
 *     cc -o hello-c examples/hello.c $(pkg-config --cflags --libs fuse3)
 *
 * it is mounted by filo, perhaps under layers: filo mount 'exec:./hello-c -f {}' /mnt
 * That it is a base of filo's it does not know: as every program of libfuse 3.3 and later it serves
 * over a descriptor that it is given as mount point, /dev/fd/N.
 */
#define FUSE_USE_VERSION 31
#include <errno.h>
#include <fuse.h>
#include <string.h>

static const char path[] = "/hello", content[] = "world\n";
static const off_t length = sizeof content - 1;

static int hello_getattr(const char *name, struct stat *st, struct fuse_file_info *file)
{
	(void)file;
	memset(st, 0, sizeof *st);
	st->st_nlink = 1;
	if (strcmp(name, "/") == 0) {
		st->st_mode = S_IFDIR | 0755;
	} else if (strcmp(name, path) == 0) {
		st->st_mode = S_IFREG | 0644;
		st->st_size = length;
	} else {
		return -ENOENT;
	}
	return 0;
}

static int hello_readdir(const char *name, void *names, fuse_fill_dir_t fill, off_t offset,
			 struct fuse_file_info *file, enum fuse_readdir_flags flags)
{
	(void)name, (void)offset, (void)file, (void)flags;
	fill(names, path + 1, NULL, 0, 0);
	return 0;
}

static int hello_read(const char *name, char *bytes, size_t size, off_t offset,
		      struct fuse_file_info *file)
{
	(void)name, (void)file;
	if (offset >= length)
		return 0;
	if (size > (size_t)(length - offset))
		size = length - offset;
	memcpy(bytes, content + offset, size);
	return size;
}

static const struct fuse_operations operations = {
	.getattr = hello_getattr,
	.readdir = hello_readdir,
	.read = hello_read,
};

int main(int argc, char **argv)
{
	return fuse_main(argc, argv, &operations, NULL);
}
