/* floor - the least that a FUSE file system can cost: answers constants, straight on /dev/fuse.
 *
 *     floor MOUNTPOINT
 *
 * One thread; a root with one file in it, "file", of 1 GiB. Whatever is measured on such a mount
 * is the kernel and two system calls a request, and no file system is below it. Ends when it is
 * unmounted. Needs root. Build: cc -O2 -o floor floor.c
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define ROOT 1
#define FILE_NODE 2
#define PAYLOAD (1 << 20)

static char in[PAYLOAD + 4096] __attribute__((aligned(4096)));
static char data[PAYLOAD] __attribute__((aligned(4096)));
static int dev;

static void answer(uint64_t unique, int error, const void *body, size_t len)
{
	struct fuse_out_header head = { sizeof head + len, error, unique };
	struct iovec parts[2] = { { &head, sizeof head }, { (void *)body, len } };

	/* The caller may have been killed: ENOENT. */
	if (writev(dev, parts, len ? 2 : 1) < 0 && errno != ENOENT && errno != ENODEV)
		perror("floor: answer");
}

static struct fuse_attr attr_of(uint64_t node)
{
	struct fuse_attr a = { .ino = node, .blksize = 4096, .nlink = 1, .mode = S_IFREG | 0666 };

	if (node == ROOT)
		a.mode = S_IFDIR | 0755, a.nlink = 2;
	else
		a.size = 1 << 30, a.blocks = a.size / 512;
	return a;
}

static struct fuse_entry_out entry_of(uint64_t node)
{
	return (struct fuse_entry_out){ .nodeid = node, .entry_valid = 1, .attr_valid = 1,
					.attr = attr_of(node) };
}

static void init(uint64_t unique, const struct fuse_init_in *arg)
{
	struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION,
		.minor = FUSE_KERNEL_MINOR_VERSION,
		.max_readahead = arg->max_readahead,
		.flags = arg->flags & (FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_MAX_PAGES |
				       FUSE_PARALLEL_DIROPS),
		.max_write = PAYLOAD,
		.max_pages = PAYLOAD / 4096,
		.time_gran = 1,
	};
	answer(unique, 0, &out, sizeof out);
}

static void serve(const struct fuse_in_header *head, const char *body)
{
	uint64_t unique = head->unique;

	switch (head->opcode) {
	case FUSE_INIT:
		return init(unique, (const void *)body);
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		return; /* wants no answer */
	case FUSE_LOOKUP: {
		struct fuse_entry_out out = entry_of(FILE_NODE);

		if (strcmp(body, "file"))
			return answer(unique, -ENOENT, NULL, 0);
		return answer(unique, 0, &out, sizeof out);
	}
	case FUSE_GETATTR: {
		struct fuse_attr_out out = { .attr_valid = 1, .attr = attr_of(head->nodeid) };

		return answer(unique, 0, &out, sizeof out);
	}
	case FUSE_OPEN:
	case FUSE_OPENDIR: {
		struct fuse_open_out out = { .fh = 1, .open_flags = FOPEN_NOFLUSH };

		return answer(unique, 0, &out, sizeof out);
	}
	case FUSE_CREATE: {
		struct {
			struct fuse_entry_out entry;
			struct fuse_open_out open;
		} out = { entry_of(FILE_NODE + 1), { .fh = 1, .open_flags = FOPEN_NOFLUSH } };

		return answer(unique, 0, &out, sizeof out);
	}
	case FUSE_READ: {
		uint32_t size = ((const struct fuse_read_in *)body)->size;

		return answer(unique, 0, data, size < PAYLOAD ? size : PAYLOAD);
	}
	case FUSE_WRITE: {
		struct fuse_write_out out = { .size = ((const struct fuse_write_in *)body)->size };

		return answer(unique, 0, &out, sizeof out);
	}
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
	case FUSE_UNLINK:
	case FUSE_READDIR: /* empty */
		return answer(unique, 0, NULL, 0);
	default:
		return answer(unique, -ENOSYS, NULL, 0);
	}
}

int main(int argc, char **argv)
{
	char options[100];

	if (argc != 2) {
		fprintf(stderr, "floor MOUNTPOINT\n");
		return 1;
	}
	dev = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (dev < 0) {
		perror("/dev/fuse");
		return 1;
	}
	snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=%d,group_id=%d", dev,
		 geteuid(), getegid());
	if (mount("floor", argv[1], "fuse.floor", MS_NOSUID | MS_NODEV, options)) {
		perror(argv[1]);
		return 1;
	}
	for (;;) {
		ssize_t len = read(dev, in, sizeof in);

		if (len < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN))
			continue;
		if (len < 0)
			return errno == ENODEV ? 0 : 1;
		serve((const void *)in, in + sizeof(struct fuse_in_header));
	}
}
