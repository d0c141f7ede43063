/*
 * The least that a FUSE file system can cost: answers constants, straight on /dev/fuse. Whatever is
 * measured on such a mount is the kernel and two system calls a request.
 *
 *     floor MOUNTPOINT [no-opens]
 *
 * One thread. It holds `file`, 1 GiB of nothing in particular, and `many`, a directory of 10,000
 * empty files, name00000 and so on, which cannot be listed; any other name can be made and taken
 * away. All of it is believed for ever. Opening is OPEN and RELEASE, or with `no-opens` nothing.
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

enum { ROOT = FUSE_ROOT_ID, MANY, FILE_NODE, MADE, FIRST = 16, NAMES = 10000 };

#define DATA_MAX ((size_t)1 << 20)
#define FILE_BYTES ((uint64_t)1 << 30)
#define FOREVER ((uint64_t)1 << 30) /* seconds */

static int device, no_opens;
static char data[DATA_MAX];

static void answer(uint64_t unique, int error, const void *body, size_t len)
{
	struct fuse_out_header head = {
		.len = (uint32_t)(sizeof head + len), .error = -error, .unique = unique,
	};
	struct iovec parts[] = { { &head, sizeof head }, { (void *)body, len } };
	/* Nobody waits any more for what is refused here. */
	if (writev(device, parts, len ? 2 : 1) < 0 && errno != ENOENT)
		perror("floor: write");
}

static struct fuse_attr attributes(uint64_t node)
{
	int is_dir = node == ROOT || node == MANY;
	return (struct fuse_attr){
		.ino = node,
		.mode = is_dir ? S_IFDIR | 0755 : S_IFREG | 0644,
		.nlink = is_dir ? 2 : 1,
		.size = node == FILE_NODE ? FILE_BYTES : 0,
		.blksize = 4096,
	};
}

static struct fuse_entry_out entry_of(uint64_t node)
{
	return (struct fuse_entry_out){
		.nodeid = node, .entry_valid = FOREVER, .attr_valid = FOREVER,
		.attr = attributes(node),
	};
}

static uint64_t find(uint64_t dir, const char *name)
{
	char *end;
	if (dir == ROOT && !strcmp(name, "file"))
		return FILE_NODE;
	if (dir == ROOT && !strcmp(name, "many"))
		return MANY;
	if (dir != MANY || strncmp(name, "name", 4) || strlen(name) != 9)
		return 0;
	unsigned long number = strtoul(name + 4, &end, 10);
	return *end || number >= NAMES ? 0 : FIRST + number;
}

static void serve(const struct fuse_in_header *head, const void *body)
{
	switch (head->opcode) {
	case FUSE_INIT: {
		const struct fuse_init_in *asked = body;
		struct fuse_init_out out = {
			.major = FUSE_KERNEL_VERSION,
			.minor = FUSE_KERNEL_MINOR_VERSION,
			.max_readahead = asked->max_readahead,
			.flags = asked->flags & (FUSE_ASYNC_READ | FUSE_BIG_WRITES |
				FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES | FUSE_NO_OPEN_SUPPORT |
				FUSE_NO_OPENDIR_SUPPORT),
			.max_background = 12,
			.congestion_threshold = 9,
			.max_write = DATA_MAX,
			.max_pages = DATA_MAX / 4096,
			.time_gran = 1,
		};
		return answer(head->unique, 0, &out, sizeof out);
	}
	case FUSE_LOOKUP: {
		uint64_t node = find(head->nodeid, body);
		struct fuse_entry_out out = entry_of(node);
		return node ? answer(head->unique, 0, &out, sizeof out)
			    : answer(head->unique, ENOENT, NULL, 0);
	}
	case FUSE_GETATTR: {
		struct fuse_attr_out out = {
			.attr_valid = FOREVER, .attr = attributes(head->nodeid),
		};
		return answer(head->unique, 0, &out, sizeof out);
	}
	case FUSE_OPEN: {
		struct fuse_open_out out = { .open_flags = FOPEN_NOFLUSH };
		return no_opens ? answer(head->unique, ENOSYS, NULL, 0)
				: answer(head->unique, 0, &out, sizeof out);
	}
	case FUSE_CREATE: {
		struct {
			struct fuse_entry_out entry;
			struct fuse_open_out open;
		} out = { entry_of(MADE), { .open_flags = FOPEN_NOFLUSH } };
		return answer(head->unique, 0, &out, sizeof out);
	}
	case FUSE_WRITE: {
		const struct fuse_write_in *in = body;
		struct fuse_write_out out = { .size = in->size };
		return answer(head->unique, 0, &out, sizeof out);
	}
	case FUSE_READ: {
		const struct fuse_read_in *in = body;
		uint64_t left = in->offset < FILE_BYTES ? FILE_BYTES - in->offset : 0;
		size_t len = in->size < DATA_MAX ? in->size : DATA_MAX;
		return answer(head->unique, 0, data, len < left ? len : left);
	}
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
	case FUSE_UNLINK:
		return answer(head->unique, 0, NULL, 0);
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		return;
	default:
		return answer(head->unique, ENOSYS, NULL, 0);
	}
}

int main(int count, char **words)
{
	static char message[DATA_MAX + 4096];
	char options[128];
	if (count < 2)
		return fprintf(stderr, "usage: floor MOUNTPOINT [no-opens]\n"), 2;
	no_opens = count > 2 && !strcmp(words[2], "no-opens");
	device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other",
		 device);
	if (device < 0 || mount("floor", words[1], "fuse.floor", MS_NOSUID | MS_NODEV, options))
		return perror("floor: mount"), 1;
	for (;;) {
		ssize_t len = read(device, message, sizeof message);
		if (len >= (ssize_t)sizeof(struct fuse_in_header))
			serve((void *)message, message + sizeof(struct fuse_in_header));
		else if (len < 0 && errno != EINTR && errno != ENOENT && errno != EAGAIN)
			return errno == ENODEV ? 0 : (perror("floor: read"), 1);
	}
}
