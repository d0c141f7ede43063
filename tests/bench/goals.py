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


GOALS = (
    one("constants: statx, against the floor", "statx", "floor", 1.05,
        mine="filo constants", known="1.00"),
    one("statx, against ll -s", "statx", "ll -s", 0.95, floor="floor"),
    one("statx, free, against ll", "statx", "ll", 0.45, place=FREE, floor="floor ring"),
    one("statx by 8 threads, free, in a second, against ll", "statx-8", "ll", 2.5, place=FREE,
        rate=True, floor="floor ring"),
    one("16 null against 1 null, the worst of five operations", DEPTH_TESTS, "filo 1 null",
        1.02, mine="filo 16 null", known="1.004"),
    one("16 idmap against 1 idmap, the same", DEPTH_TESTS, "filo 1 idmap", 1.05,
        mine="filo 16 idmap", known="1.004"),
    one("stat of each file once, against ll -s", "stat-cold", "ll -s", 0.65, floor="floor"),
    one("stat of no file, against ll -s", "stat-absent", "ll -s", 0.85, floor="floor"),
    one("open + close, against ll -s", "open", "ll -s", 0.55, floor="floor"),
    one("the same where nothing needs OPEN", "open", "ll -s", 0.16, mine="filo no-opens",
        floor="floor no-opens"),
    one("create + close + unlink where, as with ll -s, one user may enter, against ll -s",
        "create", "ll -s", 0.75, mine="filo private", floor="floor"),
    one("the same where all may", "create", "ll -s", 0.75, floor="floor"),
    one("mkdir + rmdir where one user may enter, against the best peer", "mkdir", PEERS, None,
        mine="filo private"),
    one("the same where all may", "mkdir", PEERS, None),
    one("rename where one user may enter, against the best peer", "rename", PEERS, None,
        mine="filo private"),
    one("the same where all may", "rename", PEERS, None),
    one("chmod, against the best peer", "chmod", PEERS, None),
    one("readdir of 10,000 names, warm, against native", "names", "native", 0.45),
    one("the same, cold", "names-cold", "native", 1.3),
    one("ls -l of 10,000 files, cold, against native", "names+attr-cold", "native", 2.5,
        known="1.7"),
    one("read 4 KiB, O_DIRECT, against native", "read-4k-direct", "native", 1.12, known="1.05"),
    one("write 4 KiB, O_DIRECT, against native", "write-4k-direct", "native", 1.18, known="1.15"),
    one("read 1 MiB in sequence, O_DIRECT, bytes in a second, against native", "read-1m-direct",
        "native", 0.97, speed=True, known="1.00"),
    one("page fault in a mapping, against native", "mmap", "native", 1.05, known="1.00"),
    one("read 1 MiB, not cached, through a layer that acts, free, bytes in a second, against ll",
        "read-1m-cold", "ll", 2.5, place=FREE, speed=True, mine="filo + acting layer"),
    one("untar, against native", "untar", "native", 5, known="4"),
    one("find, against native", "find", "native", 5),
    one("grep, against native", "grep", "native", 5),
    one("git status, cold, against native", "git-status", "native", 2.2),
    one("cp -a, against native", "cp", "native", 5),
    one("rm -rf, against native", "rm", "native", 4),
    one("sqlite, journal deleted, against native", "sqlite-delete", "native", 2.5),
    one("sqlite, write-ahead log, against native", "sqlite-wal", "native", 1.3),
    one("statx through a server process, against the null stack", "statx", "filo", 1.8,
        mine="filo server", known="1.6"),
    one("the same, free: both sides look at the shared memory for a while", "statx", "filo", 1.3,
        place=FREE, mine="filo server", known="1.1"),
    one("p99 of statx while another operation blocks for 20 ms, against without",
        "statx-beside-reads", "filo + slow reads", 1.5, mine="filo + slow reads", tail=True,
        beside="statx", known="1.00"),
)


def cells():
    """All that has to be measured for the goals."""
    return set().union(*(goal.cells() for goal in GOALS))
