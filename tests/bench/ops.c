/*
 * Does one operation over and over in a directory, and prints how long each took.
 *
 *     ops OPERATION SECONDS THREADS DIRECTORY [COUNT [FIRST]]
 *
 * The directory holds what ground.py prepares: `file` (64 MiB), `moved`, and `many` (a directory
 * of empty files). An operation that meets something for the first time is not repeated: all of
 * COUNT names of `many` once, from number FIRST on, or the one list of them. The answer is one
 * line of JSON: how many operations were timed and done, the median, the 90th and the 99th
 * percentile of their times in nanoseconds, the processor time of this process for each of them
 * in nanoseconds as well, and how many there were in a second.
 */

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define KIB ((size_t)1024)
#define PAGE ((size_t)4096)
#define FILE_BYTES (64 * KIB * KIB)
#define TIMES_MAX ((size_t)1 << 22) /* of all threads together */
#define THREADS_MAX 256
#define WARM_UP_SHARE 8 /* of the seconds, before anything is timed */
#define DROP_EVERY 1024 /* page faults, before the mapping is emptied again */

/* One thread, and what it holds open for all operations of one kind. */
struct hand {
	pthread_t thread;
	int number, at;
	char *buffer, *map;
	uint64_t steps, seed; /* operations begun; of its random numbers */
	uint32_t *times;
	size_t done, room;
};

static size_t piece; /* bytes of a read or write */
static uint64_t count = 10000, first;
static double seconds;
static const struct operation *operation;
static pthread_barrier_t all_warm;
static atomic_bool over;

static void fail(const char *what)
{
	fprintf(stderr, "ops: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t nanoseconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t processor(void)
{
	struct rusage used;
	getrusage(RUSAGE_SELF, &used);
	return ((uint64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000u +
		(uint64_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec)) * 1000u;
}

static uint64_t random_number(struct hand *hand)
{
	hand->seed ^= hand->seed << 13;
	hand->seed ^= hand->seed >> 7;
	hand->seed ^= hand->seed << 17;
	return hand->seed;
}

/* A round trip: attributes of what is open, whatever is known of them already. */
static void attributes(struct hand *hand)
{
	struct statx answer;
	if (statx(hand->at, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &answer))
		fail("statx");
}

static void stat_again(struct hand *hand)
{
	struct stat answer;
	(void)hand;
	if (stat("file", &answer))
		fail("stat");
}

static void stat_first(struct hand *hand)
{
	struct stat answer;
	char name[32];
	/* A step that shares no factor with the count: each name once, not in order. */
	uint64_t number = first + hand->steps * 7919 % count;
	snprintf(name, sizeof name, "many/name%05llu", (unsigned long long)number);
	if (lstat(name, &answer))
		fail(name);
}

static void stat_absent(struct hand *hand)
{
	struct stat answer;
	char name[64];
	snprintf(name, sizeof name, "none-%d-%llu", hand->number, (unsigned long long)hand->steps);
	if (!stat(name, &answer))
		fail(name);
}

static void open_close(struct hand *hand)
{
	(void)hand;
	int fd = open("file", O_RDONLY);
	if (fd < 0 || close(fd))
		fail("open, close");
}

static void own_name(struct hand *hand, char *name, size_t room)
{
	unsigned long long step = hand->steps % 64;
	snprintf(name, room, "new-%d-%llu", hand->number, step);
}

static void create_unlink(struct hand *hand)
{
	char name[32];
	own_name(hand, name, sizeof name);
	int fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0644);
	if (fd < 0 || close(fd) || unlink(name))
		fail(name);
}

static void mkdir_rmdir(struct hand *hand)
{
	char name[32];
	own_name(hand, name, sizeof name);
	if (mkdir(name, 0755) || rmdir(name))
		fail(name);
}

static void rename_back_or_forth(struct hand *hand)
{
	int odd = (int)(hand->steps & 1);
	if (rename(odd ? "moved-away" : "moved", odd ? "moved" : "moved-away"))
		fail("rename");
}

static void change_mode(struct hand *hand)
{
	if (chmod("moved", hand->steps & 1 ? 0644 : 0600))
		fail("chmod");
}

static void attribute_absent(struct hand *hand)
{
	if (getxattr("file", "user.none", hand->buffer, PAGE) >= 0)
		fail("getxattr");
}

static void list(int with_attributes)
{
	struct stat answer;
	uint64_t found = 0;
	DIR *dir = opendir("many");
	if (!dir)
		fail("many");
	for (struct dirent *entry; (entry = readdir(dir)); found++)
		if (with_attributes &&
		    fstatat(dirfd(dir), entry->d_name, &answer, AT_SYMLINK_NOFOLLOW))
			fail(entry->d_name);
	closedir(dir);
	if (found < count)
		fail("names are missing");
}

static void names(struct hand *hand)
{
	(void)hand;
	list(0);
}

static void names_and_attributes(struct hand *hand)
{
	(void)hand;
	list(1);
}

static off_t somewhere(struct hand *hand)
{
	return (off_t)(random_number(hand) % (FILE_BYTES / piece) * piece);
}

static off_t next_piece(struct hand *hand)
{
	return (off_t)(hand->steps % (FILE_BYTES / piece) * piece);
}

static void read_piece(struct hand *hand)
{
	off_t offset = piece == PAGE ? somewhere(hand) : next_piece(hand);
	if (pread(hand->at, hand->buffer, piece, offset) != (ssize_t)piece)
		fail("read");
}

/* Sequential, with what the kernel has cached of the file dropped before each pass. */
static void read_cold(struct hand *hand)
{
	if (next_piece(hand) == 0)
		posix_fadvise(hand->at, 0, 0, POSIX_FADV_DONTNEED);
	read_piece(hand);
}

static void write_piece(struct hand *hand)
{
	off_t offset = piece == PAGE ? somewhere(hand) : next_piece(hand);
	if (pwrite(hand->at, hand->buffer, piece, offset) != (ssize_t)piece)
		fail("write");
}

/* Touches a page that this mapping does not have. */
static void fault_in(struct hand *hand)
{
	if (hand->steps % DROP_EVERY == 0 && madvise(hand->map, FILE_BYTES, MADV_DONTNEED))
		fail("madvise");
	(void)*(volatile char *)(hand->map + somewhere(hand));
}

enum how_often { AGAIN, EACH_NAME, ONCE };

struct operation {
	const char *name;
	void (*act)(struct hand *);
	int flags; /* to open `file` with; -1: not at all */
	size_t piece;
	enum how_often how_often;
};

static const struct operation operations[] = {
	{ "statx", attributes, O_RDONLY, 0, AGAIN },
	{ "statx-beside-reads", attributes, O_RDONLY | O_DIRECT, PAGE, AGAIN },
	{ "stat", stat_again, -1, 0, AGAIN },
	{ "stat-cold", stat_first, -1, 0, EACH_NAME },
	{ "stat-absent", stat_absent, -1, 0, AGAIN },
	{ "open", open_close, -1, 0, AGAIN },
	{ "create", create_unlink, -1, 0, AGAIN },
	{ "mkdir", mkdir_rmdir, -1, 0, AGAIN },
	{ "rename", rename_back_or_forth, -1, 0, AGAIN },
	{ "chmod", change_mode, -1, 0, AGAIN },
	{ "getxattr", attribute_absent, -1, 0, AGAIN },
	{ "names", names, -1, 0, AGAIN },
	{ "names-cold", names, -1, 0, ONCE },
	{ "names+attr", names_and_attributes, -1, 0, AGAIN },
	{ "names+attr-cold", names_and_attributes, -1, 0, ONCE },
	{ "read-4k", read_piece, O_RDONLY, PAGE, AGAIN },
	{ "read-4k-direct", read_piece, O_RDONLY | O_DIRECT, PAGE, AGAIN },
	{ "write-4k", write_piece, O_WRONLY, PAGE, AGAIN },
	{ "write-4k-direct", write_piece, O_WRONLY | O_DIRECT, PAGE, AGAIN },
	{ "read-1m", read_piece, O_RDONLY, KIB * KIB, AGAIN },
	{ "read-1m-direct", read_piece, O_RDONLY | O_DIRECT, KIB * KIB, AGAIN },
	{ "read-1m-cold", read_cold, O_RDONLY, KIB * KIB, AGAIN },
	{ "write-1m", write_piece, O_WRONLY, KIB * KIB, AGAIN },
	{ "write-1m-direct", write_piece, O_WRONLY | O_DIRECT, KIB * KIB, AGAIN },
	{ "mmap", fault_in, O_RDONLY, PAGE, AGAIN },
};

static int by_size(const void *one, const void *other)
{
	uint32_t a = *(const uint32_t *)one, b = *(const uint32_t *)other;
	return (a > b) - (a < b);
}

static void take_up(struct hand *hand, int number, size_t room)
{
	*hand = (struct hand){ .number = number, .at = -1, .room = room,
			       .seed = 88172645463325252u + (uint64_t)number * 7919 };
	hand->times = malloc(room * sizeof *hand->times);
	if (!hand->times || posix_memalign((void **)&hand->buffer, PAGE, KIB * KIB))
		fail("memory");
	memset(hand->buffer, 'x', KIB * KIB);
	if (operation->flags >= 0 && (hand->at = open("file", operation->flags)) < 0)
		fail("file");
	if (operation->act == fault_in) {
		hand->map = mmap(NULL, FILE_BYTES, PROT_READ, MAP_SHARED, hand->at, 0);
		if (hand->map == MAP_FAILED)
			fail("mmap");
	}
}

static void act(struct hand *hand)
{
	operation->act(hand);
	hand->steps++;
}

static void *work(void *mine)
{
	struct hand *hand = mine;
	uint64_t lasting = (uint64_t)(seconds * 1e9), most = hand->room, until = UINT64_MAX;
	if (operation->how_often == AGAIN) {
		until = nanoseconds() + lasting / WARM_UP_SHARE;
		do
			act(hand);
		while (nanoseconds() < until);
	} else {
		most = operation->how_often == ONCE ? 1 : count;
	}
	pthread_barrier_wait(&all_warm);
	uint64_t now = nanoseconds();
	if (operation->how_often == AGAIN)
		until = now + lasting;
	while (now < until && hand->done < most) {
		act(hand);
		uint64_t then = nanoseconds(), took = then - now;
		hand->times[hand->done++] = took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
		now = then;
	}
	return NULL;
}

/* Reads, one after the other, for as long as others are timed. */
static void *read_on(void *mine)
{
	while (!atomic_load(&over))
		read_piece(mine);
	return NULL;
}

static uint32_t percentile(const uint32_t *times, size_t done, size_t percent)
{
	return times[done * percent / 100];
}

int main(int words, char **word)
{
	static struct hand hands[THREADS_MAX], reader;
	if (words < 5 || words > 7)
		return fprintf(stderr, "usage: ops OPERATION SECONDS THREADS DIRECTORY "
			       "[COUNT [FIRST]]\n"), 2;
	for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
		if (!strcmp(operations[i].name, word[1]))
			operation = &operations[i];
	int threads = atoi(word[3]);
	if (!operation || threads < 1 || threads > THREADS_MAX)
		return fprintf(stderr, "ops: no operation %s, or no so many threads\n", word[1]), 2;
	seconds = atof(word[2]);
	count = words > 5 ? strtoull(word[5], NULL, 10) : count;
	first = words > 6 ? strtoull(word[6], NULL, 10) : first;
	piece = operation->piece;
	if (chdir(word[4]))
		fail(word[4]);

	pthread_barrier_init(&all_warm, NULL, (unsigned)threads + 1);
	size_t room = TIMES_MAX / (size_t)threads;
	if (operation->how_often == EACH_NAME && room < count)
		room = count;
	for (int i = 0; i < threads; i++)
		take_up(&hands[i], i, room);
	int beside = !strcmp(operation->name, "statx-beside-reads");
	if (beside) {
		take_up(&reader, threads, 1);
		pthread_create(&reader.thread, NULL, read_on, &reader);
	}
	for (int i = 0; i < threads; i++)
		pthread_create(&hands[i].thread, NULL, work, &hands[i]);
	pthread_barrier_wait(&all_warm);
	uint64_t used = processor(), began = nanoseconds();
	for (int i = 0; i < threads; i++)
		pthread_join(hands[i].thread, NULL);
	double took = (double)(nanoseconds() - began) / 1e9;
	used = processor() - used;
	atomic_store(&over, true);
	if (beside)
		pthread_join(reader.thread, NULL);

	uint64_t done = 0, all = 0;
	for (int i = 0; i < threads; i++) {
		done += hands[i].done;
		all += hands[i].steps;
	}
	uint32_t *times = malloc(done * sizeof *times);
	if (!times)
		fail("memory");
	size_t filled = 0;
	for (int i = 0; i < threads; i++) {
		memcpy(times + filled, hands[i].times, hands[i].done * sizeof *times);
		filled += hands[i].done;
	}
	qsort(times, done, sizeof *times, by_size);
	printf("{\"count\": %llu, \"all\": %llu, \"p50\": %u, \"p90\": %u, \"p99\": %u, "
	       "\"cpu\": %.1f, \"rate\": %.1f}\n", (unsigned long long)done,
	       (unsigned long long)all, percentile(times, done, 50), percentile(times, done, 90),
	       percentile(times, done, 99), (double)used / (double)done, (double)done / took);
	return 0;
}
