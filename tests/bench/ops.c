/*
 * Does one operation over and over in a directory, and prints how long each took.
 *
 *     ops OPERATION SECONDS DIRECTORY
 *
 * The directory holds what bench.py prepares: `file` (64 MiB) and `many` (a directory of empty
 * files). The answer is one line of JSON: how many operations were timed, the median, the 90th
 * and the 99th percentile of their times in nanoseconds, and the processor time of this process
 * for each of them, in nanoseconds as well.
 */

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define KIB ((size_t)1024)
#define FILE_BYTES (64 * KIB * KIB)
#define TIMES_MAX ((size_t)1 << 22)
#define WARM_UP_SHARE 8 /* of the seconds, before anything is timed */

static char *buffer;   /* 1 MiB, on a page */
static int at = -1;    /* what is open for all operations of one kind */
static size_t piece;   /* bytes of a read or write */
static uint64_t steps; /* operations begun */
static uint64_t seed = 88172645463325252u;

static void fail(const char *what)
{
	fprintf(stderr, "ops: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t nanoseconds(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t processor(void)
{
	struct rusage used;
	getrusage(RUSAGE_SELF, &used);
	return ((uint64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000u +
		(uint64_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec)) * 1000u;
}

static void open_file(int flags)
{
	at = open("file", flags);
	if (at < 0)
		fail("file");
}

/* A round trip: attributes of what is open, whatever is known of them already. */
static void attributes(void)
{
	struct statx answer;
	if (statx(at, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &answer))
		fail("statx");
}

static void open_close(void)
{
	int fd = open("file", O_RDONLY);
	if (fd < 0 || close(fd))
		fail("open, close");
}

static void create_unlink(void)
{
	char name[32];
	snprintf(name, sizeof name, "new%llu", (unsigned long long)steps % 64);
	int fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0644);
	if (fd < 0 || close(fd) || unlink(name))
		fail(name);
}

static void list(int with_attributes)
{
	struct stat answer;
	DIR *dir = opendir("many");
	if (!dir)
		fail("many");
	for (struct dirent *entry; (entry = readdir(dir));)
		if (with_attributes &&
		    fstatat(dirfd(dir), entry->d_name, &answer, AT_SYMLINK_NOFOLLOW))
			fail(entry->d_name);
	closedir(dir);
}

static void names(void)
{
	list(0);
}

static void names_and_attributes(void)
{
	list(1);
}

static off_t somewhere(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (off_t)(seed % (FILE_BYTES / piece) * piece);
}

static off_t next_piece(void)
{
	return (off_t)(steps % (FILE_BYTES / piece) * piece);
}

static void read_piece(void)
{
	off_t offset = piece == 4 * KIB ? somewhere() : next_piece();
	if (pread(at, buffer, piece, offset) != (ssize_t)piece)
		fail("read");
}

/* Sequential, with what the kernel has cached of the file dropped before each pass. */
static void read_cold(void)
{
	if (next_piece() == 0)
		posix_fadvise(at, 0, 0, POSIX_FADV_DONTNEED);
	read_piece();
}

static void write_piece(void)
{
	off_t offset = piece == 4 * KIB ? somewhere() : next_piece();
	if (pwrite(at, buffer, piece, offset) != (ssize_t)piece)
		fail("write");
}

struct operation {
	const char *name;
	void (*act)(void);
	int flags; /* to open `file` with; -1: not at all */
	size_t piece;
};

static const struct operation operations[] = {
	{ "statx", attributes, O_RDONLY, 0 },
	{ "open", open_close, -1, 0 },
	{ "create", create_unlink, -1, 0 },
	{ "names", names, -1, 0 },
	{ "names+attr", names_and_attributes, -1, 0 },
	{ "read-4k-direct", read_piece, O_RDONLY | O_DIRECT, 4 * KIB },
	{ "write-4k-direct", write_piece, O_WRONLY | O_DIRECT, 4 * KIB },
	{ "write-4k", write_piece, O_WRONLY, 4 * KIB },
	{ "read-1m-direct", read_piece, O_RDONLY | O_DIRECT, KIB * KIB },
	{ "write-1m-direct", write_piece, O_WRONLY | O_DIRECT, KIB * KIB },
	{ "read-1m-cold", read_cold, O_RDONLY, KIB * KIB },
	{ "write-1m", write_piece, O_WRONLY, KIB * KIB },
};

static int by_size(const void *one, const void *other)
{
	uint32_t a = *(const uint32_t *)one, b = *(const uint32_t *)other;
	return (a > b) - (a < b);
}

int main(int count, char **words)
{
	const struct operation *operation = NULL;
	if (count != 4)
		return fprintf(stderr, "usage: ops OPERATION SECONDS DIRECTORY\n"), 2;
	for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
		if (!strcmp(operations[i].name, words[1]))
			operation = &operations[i];
	if (!operation)
		return fprintf(stderr, "ops: no operation %s\n", words[1]), 2;
	uint64_t lasting = (uint64_t)(atof(words[2]) * 1e9);
	uint32_t *times = malloc(TIMES_MAX * sizeof *times);
	if (chdir(words[3]) || !times || posix_memalign((void **)&buffer, 4096, KIB * KIB))
		fail(words[3]);
	memset(buffer, 'x', KIB * KIB);
	piece = operation->piece;
	if (operation->flags >= 0)
		open_file(operation->flags);

	uint64_t now = nanoseconds(CLOCK_MONOTONIC), until = now + lasting / WARM_UP_SHARE;
	do {
		operation->act();
		steps++;
	} while (nanoseconds(CLOCK_MONOTONIC) < until);

	size_t done = 0;
	uint64_t used = processor();
	now = nanoseconds(CLOCK_MONOTONIC);
	until = now + lasting;
	while (now < until && done < TIMES_MAX) {
		operation->act();
		steps++;
		uint64_t then = nanoseconds(CLOCK_MONOTONIC);
		uint64_t took = then - now;
		times[done++] = took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
		now = then;
	}
	used = processor() - used;

	qsort(times, done, sizeof *times, by_size);
	printf("{\"count\": %zu, \"all\": %llu, \"p50\": %u, \"p90\": %u, \"p99\": %u, "
	       "\"cpu\": %.1f}\n", done, (unsigned long long)steps, times[done / 2],
	       times[done * 9 / 10], times[done * 99 / 100], (double)used / (double)done);
	return 0;
}
