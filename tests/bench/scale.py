#!/usr/bin/env python3
"""How filo is with very many: what an operation costs as the number grows, and what memory.

    tests/bench/scale.py                  all; 10,000,000 nodes, or as many as memory allows
    tests/bench/scale.py --nodes 1000000  as many nodes as that (the kernel's memory: 1 KiB each)
    tests/bench/scale.py names opens      these: nodes, names, opens, mounts, inside, clients
    tests/bench/scale.py --quick          small numbers: that it runs
    tests/bench/scale.py report FILE      the tables of an earlier run, without measuring

Needs Linux, root and a C compiler. What is measured:

    cargo build --release -p filo
    cargo build --release -p filofs-front --example names --example mounts

nodes    files of a file system that keeps nothing itself are looked up, each once, and then given
         back at the kernel's wish (/proc/sys/vm/drop_caches; of the whole machine): microseconds
         for one lookup, bytes of filo's memory for each node, of the kernel's, and what is left
names    one directory of dir: a list of its names, cold, lookups in it, and bytes for each
opens    files of dir opened and kept open; then one more opened and closed
mounts   mounts of dir, each by a command of its own: how long one takes, what a process takes,
         a round trip in the last one, and how often all of them wake while nothing is asked
inside   the same with mounts of one process, over each transport
clients  threads that ask at once, over each transport: round trips in a second, all together, and
         lookups of names that are not there

Each prints a table. --json adds the results to a file of bench.py, --write makes the plots too.
"""

import argparse
import contextlib
import json
import os
import re
import resource
import shlex
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "suites"))
sys.dont_write_bytecode = True
import plots  # noqa: E402  (neighbours)
import scratch  # noqa: E402
import tables  # noqa: E402
from bench import PLOTS, ROOT, TARGET, own_group  # noqa: E402
from candidates import Candidate, Programs, run  # noqa: E402
from results import Results  # noqa: E402

KINDS = ("nodes", "names", "opens", "mounts", "inside", "clients")
MOUNTS = ("us a statx in the last", "MiB a mount", "threads a mount", "descriptors a mount",
          "wake-ups in a second, all idle", "ms an unmount")
CLIENTS = ("statx in a second", "us, median", "us, 99th percentile", "lookups in a second",
           "threads of filo")
TRANSPORTS = ("classic", "ring")
TITLES = {
    "nodes": ("nodes", "us a lookup", "bytes a node", "bytes a node, the kernel's",
              "nodes held", "MiB", "MiB after they were given back"),
    "names": ("names", "us a name listed", "us a name listed, native", "us a lookup",
              "bytes a node"),
    "opens": ("files open", "us an open", "us an open and close then", "bytes an open file"),
    "mounts": ("mounts, a process each", "ms a mount", *MOUNTS),
    "inside classic": ("mounts of one process, classic", "ms a mount", *MOUNTS),
    "inside ring": ("mounts of one process, ring", "ms a mount", *MOUNTS),
    "clients classic": ("clients, classic", *CLIENTS),
    "clients ring": ("clients, ring", *CLIENTS),
}
# Of both sides together, and some room.
NODE_BYTES = 1500
IDLE_SECONDS = 3


class Scale:
    """Where it is measured, and with what."""

    def __init__(self, place, asked):
        self.place, self.asked = place, asked
        programs = Programs(os.path.join(TARGET, "bench"), asked.filo, None)
        self.ops = programs.ops()
        self.filo = f"{shlex.quote(os.path.abspath(asked.filo))} mount -f"

    def steps(self, most, step=10, first=1000):
        """Numbers that grow, up to the last."""
        number = min(first, most)
        while number < most:
            yield number
            number *= step
        yield most

    def operation(self, operation, where, count, first=0, seconds=0.3, threads=1):
        """What ops.c says."""
        return json.loads(run([self.ops, operation, str(seconds), str(threads), where,
                               str(count), str(first)]))

    def nodes(self):
        """Rows: nodes, microseconds, bytes of one on both sides, how many the kernel still held,
        MiB with them and without."""
        nodes = self.asked.nodes
        _drop_caches("3")  # or it is nodes that the kernel gives up when memory is full
        if nodes * NODE_BYTES > 0.8 * _machine("MemAvailable"):
            nodes = int(0.8 * _machine("MemAvailable") / NODE_BYTES)
            print(f"memory for {nodes:,} nodes", file=sys.stderr)
        command = f"{shlex.quote(os.path.abspath(self.asked.names))} {{point}} {nodes}"
        candidate, rows, done = Candidate("names", command), [], 0
        where = candidate.start(self.place, self.place)
        try:
            before, slab = candidate.resident(), _machine("SReclaimable")
            inodes = _fuse_inodes()
            for number in self.steps(nodes):
                said = self.operation("stat-cold", where, number - done, done)
                done = number
                own = candidate.resident()
                held = max(_fuse_inodes() - inodes, 1)
                rows.append([number, said["p50"] / 1e3, (own - before) / held,
                             max(_machine("SReclaimable") - slab, 0) / held, held,
                             own / (1 << 20), 0])
            until, left = time.monotonic() + 120, 0
            while time.monotonic() < until:  # FORGETs come in the background
                _drop_caches()  # again: what was used lately is passed over at first
                time.sleep(2)
                left, last = candidate.resident(), left
                if left == last:
                    break
            rows[-1][-1] = left / (1 << 20)
        finally:
            candidate.stop()
        return {"nodes": rows}

    def names(self):
        """Rows: names, microseconds a name, the same of the directory itself, a lookup, bytes."""
        rows = []
        source = os.path.join(self.place, "names")
        os.makedirs(os.path.join(source, "many"))
        run(["mount", "-t", "tmpfs", "-o", "size=4g,nr_inodes=0", "filo-bench", source])
        os.makedirs(os.path.join(source, "many"))
        made = 0
        for names in self.steps(self.asked.entries):
            for number in range(made, names):
                os.mknod(os.path.join(source, "many", f"name{number:05}"))
            made = names
            native = self.operation("names-cold", source, names)
            looks = min(names, 100_000)
            with self.dir(source) as (where, _):
                listed = self.operation("names-cold", where, names)
            with self.dir(source) as (where, candidate):
                before = candidate.resident()
                looked = self.operation("stat-cold", where, looks)
                own = candidate.resident() - before
            rows.append([names, listed["p50"] / 1e3 / names, native["p50"] / 1e3 / names,
                         looked["p50"] / 1e3, own / looks])
        return {"names": rows}

    def opens(self):
        """Rows: open files, microseconds an open, of one more, bytes an open file."""
        rows, most = [], _most_open(self.asked.opens)
        source = os.path.join(self.place, "opens")
        os.makedirs(source)
        for number in range(most + 1):
            os.mknod(os.path.join(source, f"file{number}"))
        candidate = Candidate("filo", f"{self.filo} dir:{{source}} null {{point}}")
        where = candidate.start(source, self.place)
        files = []
        try:
            before = candidate.resident()
            for number in self.steps(most, first=100):
                began, count = time.monotonic(), number - len(files)
                while len(files) < number:
                    files.append(os.open(f"{where}/file{len(files)}", os.O_RDONLY))
                one = (time.monotonic() - began) * 1e6 / count
                began = time.monotonic()
                for _ in range(1000):
                    os.close(os.open(f"{where}/file{most}", os.O_RDONLY))
                more = (time.monotonic() - began) * 1e3
                rows.append([number, one, more, (candidate.resident() - before) / number])
        finally:
            for file in files:
                os.close(file)
            candidate.stop()
        return {"opens": rows}

    def mounts(self):
        """Rows: mounts, milliseconds a mount, and what MOUNTS says."""
        rows, mounted = [], []
        source = self._with_file("mounts")
        try:
            for number in self.steps(self.asked.mounts, first=10):
                began, count = time.monotonic(), number - len(mounted)
                while len(mounted) < number:
                    place = os.path.join(self.place, f"mounts{len(mounted)}")
                    os.makedirs(place)
                    one = Candidate("filo", f"{self.filo} dir:{{source}} null {{point}}")
                    mounted.append((one, one.start(source, place)))
                each = (time.monotonic() - began) * 1e3 / count - 30  # its threads come to rest
                said = self.operation("statx", mounted[-1][1], 1)
                pids = [one.processes[0].pid for one, _ in mounted]
                memory = sum(_proportional(pid) for pid in pids)
                rows.append([number, each, said["p50"] / 1e3, memory / number / (1 << 20),
                             *_idle(pids, number), 0])
        finally:
            began, count = time.monotonic(), len(mounted)
            for one, _ in reversed(mounted):
                one.stop()
        rows[-1][-1] = (time.monotonic() - began) * 1e3 / count
        return {"mounts": rows}

    def inside(self):
        """The same of one process, by transport."""
        return {f"inside {transport}": self._inside(transport) for transport in _transports()}

    def _inside(self, transport):
        rows = []
        place = os.path.join(self.place, f"inside-{transport}")
        os.makedirs(place)
        for number in self.steps(self.asked.mounts, first=10):
            words = [os.path.abspath(self.asked.many), place, str(number), transport]
            with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  text=True) as process:
                def each(count, process=process):
                    took = [int(process.stdout.readline().split()[1]) for _ in range(count)]
                    took = sorted(took[-10:])  # of the last, when there are many
                    return took[len(took) // 2] / 1e3

                mount = each(number)
                for one in range(number):
                    os.stat(os.path.join(place, str(one), "file"))
                said = self.operation("statx", os.path.join(place, str(number - 1)), 1)
                memory = _proportional(process.pid) / number / (1 << 20)
                row = [number, mount, said["p50"] / 1e3, memory, *_idle([process.pid], number)]
                process.stdin.close()
                rows.append([*row, each(number)])
        return rows

    def clients(self):
        """Rows by transport: threads, and what CLIENTS says."""
        source, found = self._with_file("clients"), {}
        for transport in _transports():
            rows = found[f"clients {transport}"] = []
            for threads in self.steps(self.asked.clients, step=2, first=1):
                with self.dir(source, f"-o transport={transport}") as (where, candidate):
                    said = self.operation("statx", where, 1, seconds=0.5, threads=threads)
                    looked = self.operation("stat-absent", where, 1, seconds=0.5, threads=threads)
                    crew = len(os.listdir(f"/proc/{candidate.processes[0].pid}/task"))
                rows.append([threads, said["rate"], said["p50"] / 1e3, said["p99"] / 1e3,
                             looked["rate"], crew])
        return found

    def _with_file(self, name):
        """A directory with one file."""
        source = os.path.join(self.place, name)
        os.makedirs(source)
        with open(os.path.join(source, "file"), "wb"):
            pass
        return source

    @contextlib.contextmanager
    def dir(self, source, options=""):
        """A directory mounted: where, and by whom."""
        candidate = Candidate("filo", f"{self.filo} {options} dir:{{source}} null {{point}}")
        where = candidate.start(source, self.place)
        try:
            yield where, candidate
        finally:
            candidate.stop()


def _most_open(wanted):
    """How many files may be open at once here and in filo; the limit is raised where that goes."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (2 * wanted, max(2 * wanted, hard)))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        if wanted > hard // 2:
            print(f"{hard // 2:,} open files: RLIMIT_NOFILE is {hard:,}", file=sys.stderr)
            wanted = hard // 2
    return wanted


def _transports():
    """Those that this machine has."""
    try:
        with open("/sys/module/fuse/parameters/enable_uring", encoding="ascii") as switch:
            return TRANSPORTS if switch.read().strip() == "Y" else TRANSPORTS[:1]
    except OSError:
        return TRANSPORTS[:1]


def _machine(what):
    """Memory of the machine, in bytes."""
    with open("/proc/meminfo", encoding="ascii") as text:
        return int(re.search(rf"^{what}:\s+(\d+) kB", text.read(), re.M)[1]) << 10


def _fuse_inodes():
    """How many nodes of FUSE the kernel holds, whosever they are."""
    with open("/proc/slabinfo", encoding="ascii") as text:
        return int(re.search(r"^fuse_inode +(\d+)", text.read(), re.M)[1])


def _drop_caches(which="2"):
    """Nodes and names that nobody uses, or pages of files besides."""
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as caches:
        caches.write(which)


def _switches(pids):
    """How often threads of these processes gave a CPU up or lost it, by thread."""
    found = {}
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/status", encoding="ascii") as text:
                found[task] = sum(map(int, re.findall(r"ctxt_switches:\s+(\d+)", text.read())))
    return found


def _idle(pids, mounts):
    """Threads and descriptors a mount, and how often all wake in a second."""
    time.sleep(1)  # they come to rest
    before = _switches(pids)
    time.sleep(IDLE_SECONDS)
    after = _switches(pids)
    woken = sum(number - before.get(task, 0) for task, number in after.items())
    files = sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)
    return len(after) / mounts, files / mounts, woken / IDLE_SECONDS


def _proportional(pid):
    """Memory of a process, with its share of what it shares, in bytes."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as text:
        return int(re.search(r"^Pss:\s+(\d+) kB", text.read(), re.M)[1]) << 10


def report(scale):
    """Tables, as lines."""
    lines = []
    for kind, titles in TITLES.items():
        if rows := scale.get(kind):
            # An earlier run may have measured less.
            cells = [[f"{row[0]:,}", *[tables.figure(value) for value in row[1:]]] for row in rows]
            lines += tables.table(titles[:len(rows[0])], cells)
    return lines


def charts(scale):
    """The plots, each with one thing to say: file, title, axes, series as (kind, column)."""
    wanted = (
        ("scale", "Cost of one operation, as their number grows", "how many", "us", {
            "lookup, so many nodes": ("nodes", 1), "lookup in so many names": ("names", 3),
            "name listed, of so many": ("names", 1), "open, so many open": ("opens", 1),
            "statx, so many mounts": ("mounts", 2),
            "statx, mounts of a process": ("inside ring", 2)}),
        ("scale-memory", "Memory of filo for each, as their number grows", "how many", "bytes", {
            "node": ("nodes", 2), "node of dir": ("names", 4), "open file": ("opens", 3)}),
        ("scale-mounts", "Time to mount one more", "mounts there are", "ms", {
            "a process each": ("mounts", 1), "one process, classic": ("inside classic", 1),
            "one process, ring": ("inside ring", 1)}),
        ("scale-clients", "Requests in a second, of all clients together", "clients",
         "in a second", {
             f"{what}, {transport}": (f"clients {transport}", column)
             for what, column in (("statx", 1), ("lookup", 4)) for transport in TRANSPORTS}),
    )
    for name, title, across, up, series in wanted:
        found = {label: [(row[0], row[column]) for row in scale[kind] if len(row) > column]
                 for label, (kind, column) in series.items() if scale.get(kind)}
        if found := {label: points for label, points in found.items() if points}:
            yield name, title, across, up, found


def draw(scale, folder):
    """Makes the plots; answers the Markdown that shows them."""
    os.makedirs(folder, exist_ok=True)
    lines = []
    for name, title, across, up, series in charts(scale):
        with open(os.path.join(folder, f"{name}.svg"), "w", encoding="ascii") as file:
            file.write(plots.lines(title, across, up, series))
        lines += [f"![{title}]({PLOTS}/{name}.svg)", ""]
    return lines


def show(scale, asked):
    """Prints the tables, or puts them and the plots where they belong."""
    lines = report(scale)
    if asked.plots:
        draw(scale, asked.plots)
    if not asked.write:
        print("\n".join(lines))
        return
    lines = draw(scale, os.path.join(ROOT, PLOTS)) + lines
    tables.replace_part(os.path.join(ROOT, "BENCHMARKS.md"), "scale", lines)


def main():
    """Measures and reports."""
    words = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS))
    words.add_argument("--filo", default=os.environ.get(
        "FILO", os.path.join(TARGET, "release", "filo")), help="the program to measure")
    words.add_argument("--names", default=os.path.join(
        TARGET, "release", "examples", "names"), help="the example of that name")
    words.add_argument("--many", default=os.path.join(
        TARGET, "release", "examples", "mounts"), help="the example mounts")
    words.add_argument("--quick", action="store_true", help="small numbers")
    words.add_argument("--nodes", type=int, default=10_000_000)
    words.add_argument("--entries", type=int, default=1_000_000, help="of one directory")
    words.add_argument("--opens", type=int, default=100_000)
    words.add_argument("--mounts", type=int, default=200)
    words.add_argument("--clients", type=int, default=64)
    words.add_argument("--cpu", type=int, help="everything on this CPU")
    words.add_argument("--no-prio", action="store_true", help="leave others their share")
    words.add_argument("--plots", metavar="FOLDER", help="put the plots there, in any case")
    words.add_argument("--json", help="add the results to this file of bench.py")
    words.add_argument("--write", action="store_true",
                       help="put the tables into BENCHMARKS.md and the plots into " + PLOTS)
    asked = words.parse_intermixed_args()
    if asked.kinds[:1] == ["report"]:
        if len(asked.kinds) != 2:
            words.error("report FILE")
        return show(Results.load(asked.kinds[1]).scale, asked)
    if unknown := [kind for kind in asked.kinds if kind not in KINDS]:
        words.error(f"nothing called {unknown[0]}: {', '.join(KINDS)}")
    if os.geteuid():
        sys.exit("scale.py needs root: it mounts")
    if asked.quick:
        asked.nodes, asked.entries, asked.opens, asked.mounts, asked.clients = 5000, 2000, 200, 5, 4
    if not asked.no_prio:
        own_group()
    if asked.cpu is not None:
        os.sched_setaffinity(0, {asked.cpu})
    results = Results.load(asked.json) if asked.json and os.path.exists(asked.json) else Results()
    place = scratch.create()
    try:
        scale = Scale(place, asked)
        for kind in asked.kinds or KINDS:
            results.scale.update(getattr(scale, kind)())
            if asked.json:
                results.save(asked.json)
    finally:
        scratch.remove(place)
    return show(results.scale, asked)


if __name__ == "__main__":
    main()
