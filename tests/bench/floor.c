/*
 * The least that a FUSE file system can cost: answers constants, straight on /dev/fuse. Whatever is
 * measured on such a mount is the kernel and two system calls a request.
 *
 *     floor MOUNTPOINT [no-opens] [ring]
 *
 * One thread; or with `ring` requests come over io_uring, to a thread for each CPU with one entry
 * of its queue, which is one system call a request. It holds `file`, 1 GiB of nothing in
 * particular, and `many`, a directory of 10,000 empty files, name00000 and so on, which cannot be
 * listed; any other name can be made and taken away. All of it is believed for ever. Opening is
 * OPEN and RELEASE, or with `no-opens` nothing.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { ROOT = FUSE_ROOT_ID, MANY, FILE_NODE, MADE, FIRST = 16, NAMES = 10000 };

#define DATA_MAX ((size_t)1 << 20)
#define FILE_BYTES ((uint64_t)1 << 30)
#define FOREVER ((uint64_t)1 << 30) /* seconds */

/* Of linux/fuse.h since Linux 6.14. */
#define OVER_IO_URING ((uint32_t)1 << 9) /* of the second 32 flags of INIT */
#define INIT_EXT ((uint32_t)1 << 30)
enum { CMD_REGISTER = 1, CMD_COMMIT_AND_FETCH };
struct ring_headers {
	char in_out[128], op_in[128];
	struct {
		uint64_t flags, commit_id;
		uint32_t payload_sz, padding;
		uint64_t reserved;
	} entry;
};
struct ring_command {
	uint64_t flags, commit_id;
	uint16_t queue;
	uint8_t padding[6];
};

/* One thread of the ring, and its entry. */
struct seat {
	struct ring_headers *headers;
	char *payload;
	uint32_t queue, *tail, *seen, *done;
	struct io_uring_sqe *command;
	struct io_uring_cqe *completed;
	int uring;
};

static int device, no_opens;
static uint32_t queues; /* of the ring */
static char data[DATA_MAX];
static _Thread_local struct seat *seat; /* of this thread, if it is one of the ring's */

static void fail(const char *what)
{
	fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void answer(uint64_t unique, int error, const void *body, size_t len)
{
	struct fuse_out_header head = {
		.len = (uint32_t)(sizeof head + len), .error = -error, .unique = unique,
	};
	if (seat) {
		memcpy(seat->headers->in_out, &head, sizeof head);
		if (len && body != data) /* what is there will do */
			memcpy(seat->payload, body, len);
		seat->headers->entry.payload_sz = (uint32_t)len;
		return;
	}
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
		if (queues && (!(asked->flags & INIT_EXT) || !(asked->flags2 & OVER_IO_URING)))
			errno = ENOSYS, fail("a ring");
		struct fuse_init_out out = {
			.major = FUSE_KERNEL_VERSION,
			.minor = FUSE_KERNEL_MINOR_VERSION,
			.max_readahead = asked->max_readahead,
			.flags = asked->flags & (FUSE_ASYNC_READ | FUSE_BIG_WRITES |
				FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES | FUSE_NO_OPEN_SUPPORT |
				FUSE_NO_OPENDIR_SUPPORT | (queues ? INIT_EXT : 0)),
			.flags2 = queues ? OVER_IO_URING : 0,
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

static char *memory(size_t len, int fd, off_t at)
{
	int how = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED | MAP_POPULATE;
	char *made = mmap(NULL, len, PROT_READ | PROT_WRITE, how, fd, at);
	if (made == MAP_FAILED)
		fail("mmap");
	return made;
}

/* An io_uring of this thread with room for one command. */
static void sit_down(struct seat *mine)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_SQE128 | IORING_SETUP_SINGLE_ISSUER |
			IORING_SETUP_DEFER_TASKRUN,
	};
	int uring = (int)syscall(SYS_io_uring_setup, 1, &params);
	if (uring < 0)
		fail("io_uring");
	size_t submissions = params.sq_off.array + params.sq_entries * sizeof(uint32_t);
	size_t completions = params.cq_off.cqes + params.cq_entries * sizeof *mine->completed;
	size_t len = submissions > completions ? submissions : completions;
	char *rings = memory(len, uring, IORING_OFF_SQ_RING);
	*(uint32_t *)(rings + params.sq_off.array) = 0;
	mine->tail = (void *)(rings + params.sq_off.tail);
	mine->seen = (void *)(rings + params.cq_off.head);
	mine->done = (void *)(rings + params.cq_off.tail);
	mine->completed = (void *)(rings + params.cq_off.cqes);
	mine->command = (void *)memory(2 * sizeof *mine->command, uring, IORING_OFF_SQES);
	/* Both descriptors are looked up once, and not for each request. */
	struct io_uring_rsrc_update own = { .offset = -1U, .data = (uint32_t)uring };
	if (syscall(SYS_io_uring_register, uring, IORING_REGISTER_FILES, &device, 1) < 0 ||
	    syscall(SYS_io_uring_register, uring, IORING_REGISTER_RING_FDS, &own, 1) < 0)
		fail("io_uring_register");
	mine->uring = (int)own.offset;
}

/* Says one thing to the kernel, and waits for a request. */
static void say(struct seat *mine, uint32_t what, const void *where, uint32_t parts)
{
	struct ring_command command = {
		.commit_id = mine->headers->entry.commit_id, .queue = (uint16_t)mine->queue,
	};
	memset(mine->command, 0, 2 * sizeof *mine->command);
	mine->command->opcode = IORING_OP_URING_CMD;
	mine->command->flags = IOSQE_FIXED_FILE;
	mine->command->cmd_op = what;
	mine->command->addr = (uintptr_t)where;
	mine->command->len = parts;
	memcpy(mine->command->cmd, &command, sizeof command);
	__atomic_store_n(mine->tail, *mine->tail + 1, __ATOMIC_RELEASE);
	uint32_t unsaid = 1;
	while (__atomic_load_n(mine->done, __ATOMIC_ACQUIRE) == *mine->seen) {
		long said = syscall(SYS_io_uring_enter, mine->uring, unsaid, 1,
				    IORING_ENTER_GETEVENTS | IORING_ENTER_REGISTERED_RING, NULL, 0);
		if (said < 0 && errno != EINTR && errno != EAGAIN)
			fail("io_uring_enter");
		unsaid -= said > 0;
	}
	/* As many completions as commands, and there is room for two. */
	int result = mine->completed[*mine->seen & 1].res;
	__atomic_store_n(mine->seen, *mine->seen + 1, __ATOMIC_RELEASE);
	if (result == -ENOTCONN || result == -ECONNABORTED || result == -ECANCELED)
		exit(0);
	if (result < 0)
		errno = -result, fail("the kernel refuses an entry");
}

_Noreturn static void *serve_queue(void *number)
{
	struct seat mine = { .queue = (uint32_t)(uintptr_t)number };
	cpu_set_t here;
	CPU_ZERO(&here);
	CPU_SET(mine.queue, &here);
	sched_setaffinity(0, sizeof here, &here); /* it may be off */
	sit_down(&mine);
	seat = &mine;
	mine.headers = (void *)memory(4096, -1, 0);
	mine.payload = memory(DATA_MAX, -1, 0);
	struct iovec areas[] = { { mine.headers, 4096 }, { mine.payload, DATA_MAX } };
	for (say(&mine, CMD_REGISTER, areas, 2);; say(&mine, CMD_COMMIT_AND_FETCH, NULL, 0)) {
		struct fuse_in_header head = *(struct fuse_in_header *)mine.headers->in_out;
		int named = head.opcode == FUSE_LOOKUP;
		serve(&head, named ? mine.payload : mine.headers->op_in);
	}
}

/* The ring is used when each queue has its entry; who asks before waits. */
static void put_ring_on(void)
{
	for (uint32_t queue = 0; queue < queues; queue++) {
		pthread_t thread;
		if (pthread_create(&thread, NULL, serve_queue, (void *)(uintptr_t)queue))
			fail("a thread");
	}
}

static uint32_t possible_cpus(void)
{
	char list[64] = "";
	FILE *file = fopen("/sys/devices/system/cpu/possible", "r");
	if (!file || !fgets(list, sizeof list, file))
		fail("how many CPUs there can be");
	fclose(file);
	char *last = strrchr(list, '-'); /* 0-7, or 0 */
	return last ? (uint32_t)atoi(last + 1) + 1 : 1;
}

int main(int count, char **words)
{
	static char message[DATA_MAX + 4096];
	char options[128];
	if (count < 2)
		return fprintf(stderr, "usage: floor MOUNTPOINT [no-opens] [ring]\n"), 2;
	for (int i = 2; i < count; i++) {
		no_opens |= !strcmp(words[i], "no-opens");
		if (!strcmp(words[i], "ring"))
			queues = possible_cpus();
	}
	device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other",
		 device);
	if (device < 0 || mount("floor", words[1], "fuse.floor", MS_NOSUID | MS_NODEV, options))
		return perror("floor: mount"), 1;
	for (;;) {
		ssize_t len = read(device, message, sizeof message);
		if (len >= (ssize_t)sizeof(struct fuse_in_header)) {
			const struct fuse_in_header *head = (void *)message;
			serve(head, head + 1);
			if (head->opcode == FUSE_INIT)
				put_ring_on();
		} else if (len < 0 && errno != EINTR && errno != ENOENT && errno != EAGAIN)
			return errno == ENODEV ? 0 : (perror("floor: read"), 1);
	}
}
