#!/usr/bin/env python3
"""Measures filo beside others, in turn, and prints the tables of BENCHMARKS.md.

    tests/bench/bench.py                 what people get: the scheduler places everything
    tests/bench/bench.py --cpu 0         client and daemon on one CPU: the length of the way

Needs Linux, root, a C compiler, pkg-config, git, tar, and what it measures: filo (built with
`cargo build --release -p filo`), bindfs, and libfuse's example passthrough_ll, whose source
Debian has in libfuse3-dev. What is missing is left out, and said.

The candidates: native is the directory itself; ll is passthrough_ll, -s with one thread, + with
what filo always has and it leaves out unless asked: permissions checked by the kernel, and
extended attributes (-o default_permissions,xattr).

All stand over one directory of a tmpfs, one after the other, each test on a fresh mount. In each
round every test is done by every candidate, and the next round begins with another one. A cell
is the median over the rounds of a round's median, and in brackets the median of the ratios to
native within a round; without --cpu also the smallest and the largest round, because placement
makes them scatter. A test that a candidate cannot do is a dash, with its reason below.
"""

import argparse
import json
import os
import random
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(HERE, "..", "suites"))
import scratch  # noqa: E402  (a neighbour)

PASSTHROUGH = "/usr/share/doc/libfuse3-dev/examples/passthrough_ll.c"
MOUNT_SECONDS = 10
PRIORITY = -15  # of our autogroup: on a busy machine nothing is worth quoting without it

# What ops.c does: name, what a person reads.
OPERATIONS = {
    "statx": "statx, forced",
    "open": "open + close",
    "create": "create + close + unlink",
    "names": "readdir, 10,000 names",
    "names+attr": "the same + stat of each",
    "read-4k-direct": "read 4 KiB, O_DIRECT",
    "write-4k-direct": "write 4 KiB, O_DIRECT",
    "write-4k": "write 4 KiB",
    "read-1m-direct": "read 1 MiB, O_DIRECT",
    "write-1m-direct": "write 1 MiB, O_DIRECT",
    "read-1m-cold": "read 1 MiB, not cached",
    "write-1m": "write 1 MiB",
}
# Whole programs: name, what a person reads.
PROGRAMS = {
    "untar": "untar 4,000 files",
    "find": "find, cold",
    "git-status": "git status, cold",
}
NAMES = 10_000
TREE_FILES, TREE_DIRS = 4_000, 100


class Candidate:
    """One way to mount a directory; `command` is None for none at all."""

    def __init__(self, name, command):
        self.name, self.command = name, command
        self.process = self.point = None

    def start(self, source, point):
        """Mounts; answers where to work. Raises RuntimeError with what the program said."""
        if self.command is None:
            return source
        os.makedirs(point, exist_ok=True)
        words = [word.format(source=source, point=point) for word in self.command]
        self.point = point
        self.process = subprocess.Popen(
            words, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True)
        until = time.monotonic() + MOUNT_SECONDS
        while not os.path.ismount(point):
            if self.process.poll() is not None or time.monotonic() > until:
                self.process.kill()
                raise RuntimeError(f"{self.name} does not mount: {self.process.stderr.read()}")
            time.sleep(0.005)
        os.stat(point)
        time.sleep(0.05)
        return point

    def stop(self):
        """Unmounts, and waits for the daemon to end."""
        if self.process is None:
            return
        for _ in range(100):
            done = subprocess.run(["umount", self.point], capture_output=True, check=False)
            if done.returncode == 0 or not os.path.ismount(self.point):
                break
            time.sleep(0.05)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        self.process.stderr.close()
        self.process = None

    def processor(self):
        """Processor time of the daemon's threads, in nanoseconds."""
        if self.process is None:
            return 0
        total = 0
        tasks = f"/proc/{self.process.pid}/task"
        for task in os.listdir(tasks):
            try:
                with open(f"{tasks}/{task}/schedstat", encoding="ascii") as text:
                    total += int(text.read().split()[0])
            except OSError:
                pass  # a thread that has just gone
        return total


def busy():
    """Seconds of processor time that the whole machine has used."""
    with open("/proc/stat", encoding="ascii") as text:
        fields = [int(field) for field in text.readline().split()[1:]]
    return sum(fields[i] for i in (0, 1, 2, 5, 6)) / os.sysconf("SC_CLK_TCK")


def run(words, **more):
    """Runs a command to its end; RuntimeError with its last words if it fails."""
    done = subprocess.run(words, capture_output=True, text=True, check=False, **more)
    if done.returncode:
        raise RuntimeError((done.stderr or done.stdout).strip().splitlines()[-1])
    return done.stdout


def own_group():
    """A session of its own with its autogroup in front of others'."""
    try:
        os.setsid()
    except OSError:
        if os.fork():
            sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
        os.setsid()
    try:
        with open("/proc/self/autogroup", "w", encoding="ascii") as group:
            group.write(str(PRIORITY))
    except OSError as error:
        print(f"no priority: {error}")


def candidates(place, filo, only):
    """All that can be measured here, native first."""
    mount = [filo, "mount", "-f", "dir:{source}"]
    found = [
        Candidate("native", None),
        Candidate("filo", [*mount, "{point}"]),
        Candidate("filo + 8 null", [*mount, *["null"] * 8, "{point}"]),
    ]
    example = os.path.join(place, "passthrough_ll")
    try:
        flags = run(["pkg-config", "fuse3", "--cflags", "--libs"]).split()
        run(["cc", "-O2", os.environ.get("PASSTHROUGH_LL_C", PASSTHROUGH), *flags, "-o", example])
        words = [example, "-f", "-o", "source={source}", "{point}"]
        found.append(Candidate("ll -s", [*words, "-s"]))
        found.append(Candidate("ll -s +", [*words, "-s", "-o", "default_permissions,xattr"]))
        found.append(Candidate("ll", words))
    except (RuntimeError, OSError) as error:
        print(f"left out passthrough_ll: {error}")
    if shutil.which("bindfs"):
        found.append(Candidate("bindfs", ["bindfs", "-f", "{source}", "{point}"]))
    else:
        print("left out bindfs: not installed")
    return [one for one in found if not only or one.name in only]


def make_tree(path):
    """The same small files every time."""
    numbers = random.Random(1)
    for number in range(TREE_FILES):
        directory = os.path.join(path, f"d{number % TREE_DIRS:02}")
        os.makedirs(directory, exist_ok=True)
        with open(os.path.join(directory, f"file{number:04}.txt"), "wb") as file:
            file.write(numbers.randbytes(numbers.randrange(8192)))


def prepare(place):
    """Builds ops, and fills a directory. Answers where what is: ops, an archive, the directory."""
    ops = os.path.join(place, "ops")
    run(["cc", "-O2", "-Wall", "-Wextra", os.path.join(HERE, "ops.c"), "-o", ops])
    backing = os.path.join(place, "backing")
    os.makedirs(backing)
    run(["mount", "-t", "tmpfs", "-o", "size=4g,mode=755", "filo-bench", backing])
    source = os.path.join(backing, "source")
    os.makedirs(os.path.join(source, "many"))
    for name in range(NAMES):
        with open(os.path.join(source, "many", f"name{name:05}"), "wb"):
            pass
    with open(os.path.join(source, "file"), "wb") as file:
        for _ in range(64):
            file.write(b"x" * (1 << 20))
    tree, tar = os.path.join(source, "tree"), os.path.join(backing, "tree.tar")
    make_tree(tree)
    run(["tar", "-cf", tar, "-C", tree, "."])
    git = ["git", "-C", tree, "-c", "user.name=bench", "-c", "user.email=bench@localhost"]
    run([*git, "init", "-q"])
    # What a mount may show otherwise (device, inode number) is not compared.
    run([*git, "config", "core.checkStat", "minimal"])
    run([*git, "config", "gc.auto", "0"])
    run([*git, "add", "."])
    run([*git, "commit", "-q", "-m", "tree"])
    run([*git, "status"])
    return ops, tar, source


def operation(ops, test, seconds, where):
    """One test of ops.c: its median in microseconds, the client's processor time, how many."""
    said = json.loads(run([ops, test, str(seconds), where]))
    return said["p50"] / 1000, said["cpu"] / 1000, said["all"]


def program(test, tar, where):
    """One whole program: its milliseconds; its processor time in milliseconds; once."""
    tree = os.path.join(where, "tree")
    out = os.path.join(where, "out")
    words = {
        "untar": ["tar", "-xf", tar, "-C", out],
        "find": ["find", tree, "-type", "f", "-size", "+8", "-printf", ""],
        "git-status": ["git", "-C", tree, "--no-optional-locks", "status", "--porcelain"],
    }[test]
    if test == "untar":
        os.mkdir(out)
    before, began = os.times(), time.monotonic()
    said = run(words, env={**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null"})
    took, after = time.monotonic() - began, os.times()
    if test == "git-status" and said:
        raise RuntimeError("git sees changes")
    used = after.children_user - before.children_user
    used += after.children_system - before.children_system
    return took * 1000, used * 1000, 1


def measure(candidate, test, place, tools, seconds):
    """One cell of one round."""
    ops, tar, source = tools
    where = candidate.start(source, os.path.join(place, "mnt"))
    try:
        daemon, machine, began = candidate.processor(), busy(), time.monotonic()
        if test in OPERATIONS:
            value, client, count = operation(ops, test, seconds, where)
            unit = 1000
        else:
            value, client, count = program(test, tar, where)
            unit = 1_000_000
        elapsed = time.monotonic() - began
        daemon = (candidate.processor() - daemon) / unit / count
        ours = (daemon + client) * unit * count / 1e9
        others = max(0.0, busy() - machine - ours) / elapsed / os.cpu_count()
        return {"value": value, "client": client, "daemon": daemon, "others": others}
    finally:
        candidate.stop()
        shutil.rmtree(os.path.join(source, "out"), ignore_errors=True)


def figure(value):
    """Three digits, as people write them."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(head, rows):
    """Prints one."""
    print("| " + " | ".join(head) + " |")
    print("|---" * len(head) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def report(found, all_candidates, tests, faults, scatters):
    """Prints all tables; with the range of the rounds if they scatter."""
    names = [candidate.name for candidate in all_candidates]

    def of(test, name, key):
        return [one[key] for one in found.get((test, name), {}).values()]

    def cell(test, name):
        mine, base = found.get((test, name), {}), found.get((test, names[0]), {})
        if not mine:
            return "-"
        ratios = [mine[r]["value"] / base[r]["value"] for r in mine if r in base]
        values = [one["value"] for one in mine.values()]
        middle = figure(statistics.median(values))
        if scatters:
            middle += f" [{figure(min(values))} - {figure(max(values))}]"
        if name == names[0] or not ratios:
            return middle
        return f"{middle} ({figure(statistics.median(ratios))})"

    def used(test, name):
        daemon, client = of(test, name, "daemon"), of(test, name, "client")
        if not daemon:
            return "-"
        both = statistics.median(a + b for a, b in zip(daemon, client))
        return f"{figure(both)} ({figure(statistics.median(daemon))})"

    def ratio(test, name, to):
        mine, base = found.get((test, name), {}), found.get((test, to), {})
        ratios = [mine[r]["value"] / base[r]["value"] for r in mine if r in base]
        return f"{statistics.median(ratios):.2f}" if ratios else "-"

    labels = {**OPERATIONS, **PROGRAMS}
    for title, group in (("us", OPERATIONS), ("ms", PROGRAMS)):
        shown = [test for test in tests if test in group]
        if not shown:
            continue
        table([f"time, {title} (ratio to {names[0]})", *names],
              [[labels[t], *[cell(t, n) for n in names]] for t in shown])
        table([f"CPU, {title} (the daemon's part)", *names],
              [[labels[t], *[used(t, n) for n in names]] for t in shown])
    pairs = [("filo + 8 null", "filo"), *(("filo", name) for name in names[3:])]
    pairs = [(a, b) for a, b in pairs if a in names and b in names]
    if pairs:
        table(["ratio of times", *[f"{a} / {b}" for a, b in pairs]],
              [[labels[t], *[ratio(t, a, b) for a, b in pairs]] for t in tests])
    for test, name, error in faults:
        print(f"- {labels[test]}, {name}: {error}")
    spread, others = [], []
    for cells in found.values():
        values = [one["value"] for one in cells.values()]
        spread.append(max(values) / min(values))
        others += [one["others"] for one in cells.values()]
    spread.sort()
    print(f"Largest by smallest of a cell's rounds: median {statistics.median(spread):.2f}, "
          f"90th percentile {spread[len(spread) * 9 // 10]:.2f}. "
          f"Others used {statistics.median(others):.0%} of the machine (median).")


def main():
    """Measures and reports."""
    words = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--filo", default=os.environ.get(
        "FILO", os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")),
                             "release", "filo")))
    words.add_argument("--rounds", type=int, default=7)
    words.add_argument("--seconds", type=float, default=0.4, help="for each cell of a round")
    words.add_argument("--cpu", type=int, help="everything on this one CPU")
    words.add_argument("--tests", help="comma-separated; otherwise all")
    words.add_argument("--only", help="candidates, comma-separated; the first is the base")
    words.add_argument("--and", dest="more", action="append", default=[], metavar="NAME=FILO",
                       help="one more candidate: another build of filo")
    words.add_argument("--command", action="append", default=[], metavar="NAME=WORDS",
                       help="one more candidate: what mounts {source} on {point}, quoted as in a "
                            "shell, and stays in the foreground")
    asked = words.parse_args()
    tests = asked.tests.split(",") if asked.tests else [*OPERATIONS, *PROGRAMS]
    for test in tests:
        if test not in OPERATIONS and test not in PROGRAMS:
            words.error(f"no test {test}: {', '.join([*OPERATIONS, *PROGRAMS])}")
    if os.geteuid():
        sys.exit("bench.py needs root: it mounts")
    own_group()
    place = scratch.create()
    found, faults = {}, []
    try:
        only = asked.only.split(",") if asked.only else None
        filo = os.path.abspath(asked.filo)
        all_candidates = candidates(place, filo, only)
        for name, path in (one.split("=", 1) for one in asked.more):
            mount = [os.path.abspath(path), "mount", "-f", "dir:{source}", "{point}"]
            all_candidates.append(Candidate(name, mount))
        for name, command in (one.split("=", 1) for one in asked.command):
            all_candidates.append(Candidate(name, shlex.split(command)))
        tools = prepare(place)
        if asked.cpu is not None:
            os.sched_setaffinity(0, {asked.cpu})
        for number in range(asked.rounds):
            for test in tests:
                shift = number % len(all_candidates)
                for candidate in all_candidates[shift:] + all_candidates[:shift]:
                    try:
                        one = measure(candidate, test, place, tools, asked.seconds)
                        found.setdefault((test, candidate.name), {})[number] = one
                    except (RuntimeError, OSError) as error:
                        fault = (test, candidate.name, str(error).strip())
                        if fault not in faults:
                            faults.append(fault)
            print(f"round {number + 1} of {asked.rounds}", file=sys.stderr, flush=True)
        where = "free" if asked.cpu is None else "everything on one CPU"
        print(f"Linux {os.uname().release.split('-')[0]}, {os.cpu_count()} CPUs, {where}, "
              f"{asked.rounds} rounds of {asked.seconds} s\n")
        report(found, all_candidates, tests, faults, asked.cpu is None)
    finally:
        scratch.remove(place)


if __name__ == "__main__":
    main()
