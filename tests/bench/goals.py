"""How fast filo is to be, beside what it is: ratios, each measured in one run."""

import statistics
from dataclasses import dataclass

from results import FREE, ONE_CPU

PEERS = ("ll -s", "ll", "hp", "bindfs", "mergerfs", "fuse-overlayfs", "unionfs")
DEPTH_TESTS = ("statx", "stat-cold", "open", "create", "read-4k-direct")


@dataclass
class Goal:
    """One row: a ratio of `mine` to `base` (candidates) in a test, at most or at least `bound`.

    Several bases: the best of them. Several tests: the worst ratio. With `rate` operations in a
    second are compared, of which more is better; `speed` turns the ratio of times round, as
    throughput is told. `floor` is a candidate that does nothing but answer, `known` what is known
    to be possible where there is none. `beside` is the test whose base figure counts, if another.
    `why` is what stands in the way where the goal is not met, and what was tried.
    """

    what: str
    place: str
    tests: tuple
    mine: str
    base: tuple
    bound: float
    rate: bool = False
    speed: bool = False
    tail: bool = False
    floor: str = ""
    known: str = ""
    beside: str = ""
    why: str = ""

    def cells(self):
        """What has to be measured for it."""
        names = {self.mine, *self.base, self.floor} - {""}
        tests = {*self.tests, self.beside} - {""}
        return {(self.place, test, name) for test in tests for name in names}

    def at_least(self):
        """Whether more is better."""
        return self.rate or self.speed

    def wanted(self):
        """For people."""
        if self.bound is None:
            return "below the best"
        return f"at {'least' if self.at_least() else 'most'} {self.bound:.2f}"

    def ratio(self, results, name, place=None):
        """The median ratio of a candidate in this row with its smallest and largest; or None."""
        worst = None
        for test in self.tests:
            found = self._ratios(results, place or self.place, test, name)
            if not found:
                return None
            row = (statistics.median(found), min(found), max(found))
            harder = row[0] < worst[0] if worst and self.at_least() else \
                worst and row[0] > worst[0]
            worst = row if worst is None or harder else worst
        return worst

    def _ratios(self, results, place, test, name):
        key = "rate" if self.rate else "p99" if self.tail else "value"
        base = self._best(results, place, test, key)
        if base is None:
            return []
        found = results.ratios((place, test, name), (place, self.beside or test, base), key)
        return [1 / ratio for ratio in found if ratio] if self.speed else found

    def _best(self, results, place, test, key):
        known = {name: results.median(place, self.beside or test, name, key) for name in self.base}
        known = {name: value for name, value in known.items() if value}
        if not known:
            return None
        return (max if self.rate else min)(known, key=known.get)

    def met(self, results):
        """Whether it is; None where it was not measured."""
        found = self.ratio(results, self.mine)
        if found is None:
            return None
        if self.bound is None:
            return found[0] < 1
        return found[0] >= self.bound if self.at_least() else found[0] <= self.bound


def one(what, test, base, bound, **more):
    """A goal of the null stack on one CPU."""
    more = {"mine": "filo", "place": ONE_CPU, **more}
    tests = (test,) if isinstance(test, str) else test
    return Goal(what, tests=tests, base=(base,) if isinstance(base, str) else base,
                bound=bound, **more)


# What stands in the way of several.
CHECKED = "The kernel checks permissions (default_permissions), and asks for the attributes of " \
    "the directory after each change in it: two GETATTRs more. They cannot be left out while " \
    "others may enter, because only the kernel knows who walks by names that it remembers."
OWN_RIGHTS = "As many requests as ll -s. filo finds out in addition what it made (a statx by " \
    "descriptor, so that no rename on the host leads to another file), and holds what it removes."
KERNELS_OWN = "The kernel does it by itself, and no code of filo runs: hp and the others with " \
    "passthrough have the same ratio within noise."
EACH_FILE = "A list with attributes: an inode in the kernel, a node in filo and one statx of the " \
    "host for each file."
SERVER = "Two switches more, and on each side the request is read, checked and answered: a " \
    "server is not trusted. Both sides look at the shared memory before they sleep, which helps " \
    "only where each has a CPU to itself; here the caller needs one of the two. Tried: longer " \
    "and shorter looking, requests in memory instead of messages (landed, from 2.6)."

GOALS = (
    one("constants: statx, against the floor", "statx", "floor", 1.05,
        mine="filo constants", known="1.00"),
    one("statx, against ll -s", "statx", "ll -s", 0.95, floor="floor",
        why="Two switches and two system calls are the floor. On top come the statx of the host, "
        "as in ll, and 5 to 7 % of the time in code of filo (perf). Tried: link-time optimisation "
        "(24 % fewer instructions, no time that could be measured), fewer clocks and locks, "
        "io_uring on one CPU (dearer than the device by 15 %)."),
    one("statx, free, against ll", "statx", "ll", 0.45, place=FREE, floor="floor ring",
        why="The scheduler moves a caller that is woken to the idle CPU, which then has to wake "
        "up, by its recent CPU and by its search for idle ones; that is decided in the kernel. "
        "Tried: other scheduling policies and nice values of the workers, a longer slice, one "
        "worker for a queue, workers that are not pinned."),
    one("statx by 8 threads, free, in a second, against ll", "statx-8", "ll", 2.5, place=FREE,
        rate=True, floor="floor ring",
        why="A server of constants in C over io_uring (floor) does not reach it here either. "
        "filo is as near to that as one entry for each thread allows. Tried: one to four workers "
        "for a queue, registered rings, several entries for a thread (in C: 6 to 13 % less "
        "processor time, but what waits behind a blocked request must then change hands)."),
    one("16 null against 1 null, the worst of five operations", DEPTH_TESTS, "filo 1 null",
        1.02, mine="filo 16 null", known="1.004",
        why="A null layer is skipped by the table of the stack and costs nothing (criterion: 0 to "
        "32 of them, the same time): what is seen is noise of the worst of five operations."),
    one("16 idmap against 1 idmap, the same", DEPTH_TESTS, "filo 1 idmap", 1.05,
        mine="filo 16 idmap", known="1.004",
        why="A layer with hooks costs about 18 ns, and idmap 25 (criterion): two numbers to map "
        "down and two up. It was twice that before hooks changed the context in its place."),
    one("stat of each file once, against ll -s", "stat-cold", "ll -s", 0.65, floor="floor",
        why="A node of its own for each file and a descriptor for none: about 12 % of the "
        "daemon's time is filo's code, 11 % the statx of the host, 9 % page faults of new memory, "
        "the rest the way through the kernel. Tried: another hash, tables by pages (landed)."),
    one("stat of no file, against ll -s", "stat-absent", "ll -s", 0.85, floor="floor",
        why="One statx of the host by name, as in ll; the rest is the way through the kernel. "
        "A directory of the host may change behind filo's back, so absent names are not "
        "believed (0 s) unless asked for (-o negative_timeout)."),
    one("open + close, against ll -s", "open", "ll -s", 0.55, floor="floor",
        why="The file is one that the kernel reads by itself (passthrough): OPEN opens it on the "
        "host, has its identity verified, and the kernel opens it again; RELEASE undoes both. "
        "Without passthrough it is 0.62 to 0.70. Tried: fewer host calls (3 are left), opening "
        "by handle, keeping descriptors open (changes what unlink and chmod on the host mean)."),
    one("open + close where nothing needs OPEN", "open", "ll -s", 0.16, mine="filo no-opens",
        floor="floor no-opens", why="There is no request at all: what is left is the kernel's."),
    one("create + close + unlink where, as with ll -s, one user may enter, against ll -s",
        "create", "ll -s", 0.75, mine="filo private", floor="floor", why=OWN_RIGHTS),
    one("create + close + unlink where all may enter, against ll -s", "create", "ll -s", 0.75,
        floor="floor", why=CHECKED),
    one("mkdir + rmdir where one user may enter, against the best peer", "mkdir", PEERS, None,
        mine="filo private", why=OWN_RIGHTS),
    one("mkdir + rmdir where all may enter, against the best peer", "mkdir", PEERS, None,
        why=CHECKED),
    one("rename where one user may enter, against the best peer", "rename", PEERS, None,
        mine="filo private", why=OWN_RIGHTS),
    one("rename where all may enter, against the best peer", "rename", PEERS, None, why=CHECKED),
    one("chmod, against the best peer", "chmod", PEERS, None,
        why="Two host calls, fchmodat2 and statx: the mode is not taken on trust."),
    one("readdir of 10,000 names, warm, against native", "names", "native", 0.45,
        why="From the kernel's own cache of the list, with no request but OPENDIR and RELEASEDIR."),
    one("readdir of 10,000 names, cold, against native", "names-cold", "native", 1.3,
        why="68 % of the daemon's time is the host's own getdents, 13 % filo's code; the rest is "
        "the copy through the kernel, which asks again for each buffer of its caller. A list "
        "through a daemon costs the native list and that. Tried: larger reads of the host, no "
        "lseek, no getdents at the end that is known (landed)."),
    one("ls -l of 10,000 files, cold, against native", "names+attr-cold", "native", 2.5,
        known="1.7",
        why="An inode and a name are made in the kernel and a node in filo for each file, with "
        "one statx of the host: 4 us a file in the daemon. Tried: listing what is known by name "
        "alone, nodes by pages, smaller nodes (landed)."),
    one("read 4 KiB, O_DIRECT, against native", "read-4k-direct", "native", 1.12, known="1.05",
        why=KERNELS_OWN),
    one("write 4 KiB, O_DIRECT, against native", "write-4k-direct", "native", 1.18, known="1.15",
        why=KERNELS_OWN),
    one("read 1 MiB in sequence, O_DIRECT, bytes in a second, against native", "read-1m-direct",
        "native", 0.97, speed=True, known="1.00", why=KERNELS_OWN),
    one("page fault in a mapping, against native", "mmap", "native", 1.05, known="1.00",
        why=KERNELS_OWN),
    one("read 1 MiB, not cached, through a layer that acts, free, bytes in a second, against ll",
        "read-1m-cold", "ll", 2.5, place=FREE, speed=True, mine="filo + acting layer",
        why="Two copies are left, from the host's file to the entry and from there to the page "
        "cache, and they are most of the time. Tried: reading ahead by 256 to 1024 KiB (between "
        "13 % less and 9 % more processor time), workers on the other CPU (worse)."),
    one("untar, against native", "untar", "native", 5, known="4",
        why="For each file of 4 KiB Linux sends LOOKUP, CREATE, 1.5 WRITE, 3 SETATTR, RELEASE, "
        "two GETXATTR (security.capability, before the first write and at chown) and a GETATTR of "
        "the directory, 11.5 in all: at the price of the floor that and tar itself are 4.7 times "
        "native here. "
        "Tried: FLUSH and the statx at RELEASE were taken away, xattrs go by open descriptors "
        "(landed)."),
    one("find, against native", "find", "native", 5, why=EACH_FILE),
    one("grep, against native", "grep", "native", 5,
        why="LOOKUP or an entry in a list, OPEN, READ and RELEASE for each small file; files under "
        "128 KiB are not worth a registration with the kernel."),
    one("git status, cold, against native", "git-status", "native", 2.2,
        why="One LOOKUP for each file of the index, which git asks for by name before it lists "
        "anything. With larger files, that git has to do more about, the ratio is smaller."),
    one("cp -a, against native", "cp", "native", 5,
        why="13.7 requests for each file, most of them for extended attributes and ACLs on both "
        "sides, each of one host call."),
    one("rm -rf, against native", "rm", "native", 4,
        why="An UNLINK for each file, whose descriptor filo holds while others may have the file "
        "open, and a GETATTR of the directory after it (see create)."),
    one("sqlite, journal deleted, against native", "sqlite-delete", "native", 2.5,
        why="Ten writes of 512 bytes to 4 KiB, a new journal and three fsyncs in each "
        "transaction: a new file is written through the daemon, and so small."),
    one("sqlite, write-ahead log, against native", "sqlite-wal", "native", 1.3,
        why="Most of it is the start of the program; the log is a new file, and written through "
        "the daemon. The rounds differ by more than what is missing."),
    one("statx through a server process, against the null stack", "statx", "filo", 1.8,
        mine="filo server", known="1.6", why=SERVER),
    one("the same, free, where both sides look at shared memory before they sleep", "statx",
        "filo", 1.3, place=FREE, mine="filo server", known="1.1", why=SERVER),
    one("p99 of statx while another operation blocks for 20 ms, against without",
        "statx-beside-reads", "filo + slow reads", 1.5, mine="filo + slow reads", tail=True,
        beside="statx", known="1.00"),
)


def cells():
    """All that has to be measured for the goals."""
    return set().union(*(goal.cells() for goal in GOALS))
