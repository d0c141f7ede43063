#!/usr/bin/env python3
"""How filo is with very many: what an operation costs as the number grows, and what memory.

    tests/bench/scale.py                  all; up to 1,000,000 nodes
    tests/bench/scale.py --nodes 10000000 as many nodes as that (the kernel's memory: 1 KiB each)
    tests/bench/scale.py names opens      these: nodes, names, opens, mounts, clients
    tests/bench/scale.py --quick          small numbers: that it runs
    tests/bench/scale.py report FILE      the tables of an earlier run, without measuring

Needs Linux, root and a C compiler. What is measured:

    cargo build --release -p filo
    cargo build --release -p filofs-front --example names

nodes    files of a file system that keeps nothing itself are looked up, each once, and then given
         back at the kernel's wish (/proc/sys/vm/drop_caches; of the whole machine): microseconds
         for each thousandth lookup, bytes of filo's memory for each node, and what is left
names    one directory of dir: a list of its names, cold, and lookups in it
opens    files of dir opened and kept open; then one more opened and closed
mounts   mounts of dir, each by a command of its own: how long one takes, what a process takes,
         and a round trip in the last one
clients  threads that ask at once: round trips in a second, all together

Each prints a table. --json adds the results to a file of bench.py, --write makes the plot too.
"""

import argparse
import json
import os
import re
import resource
import shlex
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

KINDS = ("nodes", "names", "opens", "mounts", "clients")
TITLES = {
    "nodes": ("nodes", "us a lookup", "bytes a node", "MiB after they were given back"),
    "names": ("names", "us a name listed", "us a name listed, native", "us a lookup"),
    "opens": ("files open", "us an open", "us an open and close then", "bytes an open file"),
    "mounts": ("mounts", "ms a mount", "us a statx in the last", "MiB a process"),
    "clients": ("clients", "statx in a second", "us, median", "us, 99th percentile"),
}


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
        """Rows: nodes, microseconds, bytes a node, what is left."""
        command = f"{shlex.quote(os.path.abspath(self.asked.names))} {{point}} {self.asked.nodes}"
        candidate, rows, done = Candidate("names", command), [], 0
        where = candidate.start(self.place, self.place)
        try:
            before = candidate.resident()
            for nodes in self.steps(self.asked.nodes):
                said = self.operation("stat-cold", where, nodes - done, done)
                done = nodes
                rows.append([nodes, said["p50"] / 1e3, (candidate.resident() - before) / nodes, 0])
            with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as caches:
                caches.write("2")
            until = time.monotonic() + 120
            left = candidate.resident()
            while time.monotonic() < until:  # FORGETs come in the background
                time.sleep(1)
                left, last = candidate.resident(), left
                if left == last:
                    break
            rows[-1][3] = (left - before) / (1 << 20)
        finally:
            candidate.stop()
        return rows

    def names(self):
        """Rows: names, microseconds a name, the same of the directory itself, a lookup."""
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
            listed = self._with_dir(source, lambda where: self.operation(
                "names-cold", where, names))
            looked = self._with_dir(source, lambda where: self.operation(
                "stat-cold", where, min(names, 100_000)))
            rows.append([names, listed["p50"] / 1e3 / names, native["p50"] / 1e3 / names,
                         looked["p50"] / 1e3])
        return rows

    def opens(self):
        """Rows: open files, microseconds an open, of one more, bytes an open file."""
        rows, most = [], self.asked.opens
        resource.setrlimit(resource.RLIMIT_NOFILE, (most + 100, max(
            most + 100, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
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
        return rows

    def mounts(self):
        """Rows: mounts, milliseconds a mount, microseconds in the last one, memory of one."""
        rows, mounted = [], []
        source = os.path.join(self.place, "mounts")
        os.makedirs(source)
        with open(os.path.join(source, "file"), "wb"):
            pass
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
                memory = sum(_proportional(one.processes[0].pid) for one, _ in mounted)
                rows.append([number, each, said["p50"] / 1e3, memory / number / (1 << 20)])
        finally:
            for one, _ in reversed(mounted):
                one.stop()
        return rows

    def clients(self):
        """Rows: threads, round trips in a second, median, 99th percentile."""
        source = os.path.join(self.place, "clients")
        os.makedirs(source)
        with open(os.path.join(source, "file"), "wb"):
            pass
        rows = []
        for threads in self.steps(self.asked.clients, step=2, first=1):
            said = self._with_dir(source, lambda where, threads=threads: self.operation(
                "statx", where, 1, seconds=0.5, threads=threads))
            rows.append([threads, said["rate"], said["p50"] / 1e3, said["p99"] / 1e3])
        return rows

    def _with_dir(self, source, act):
        candidate = Candidate("filo", f"{self.filo} dir:{{source}} null {{point}}")
        where = candidate.start(source, self.place)
        try:
            return act(where)
        finally:
            candidate.stop()


def _proportional(pid):
    """Memory of a process, with its share of what it shares, in bytes."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as text:
        return int(re.search(r"^Pss:\s+(\d+) kB", text.read(), re.M)[1]) << 10


def report(scale):
    """Tables, as lines."""
    lines = []
    for kind in KINDS:
        if rows := scale.get(kind):
            cells = [[f"{row[0]:,}", *[tables.figure(value) for value in row[1:]]] for row in rows]
            lines += tables.table(TITLES[kind], cells)
    return lines


def draw(scale):
    """The cost of an operation over each number that grows."""
    series = {"lookup, so many nodes": scale.get("nodes"), "open, so many open": scale.get("opens"),
              "statx, so many mounts": [[row[0], row[2]] for row in scale.get("mounts", [])],
              "a name listed, of so many": scale.get("names"),
              "lookup in so many names": [[row[0], row[3]] for row in scale.get("names", [])]}
    series = {name: [(row[0], row[1]) for row in rows] for name, rows in series.items() if rows}
    folder = os.path.join(ROOT, PLOTS)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "scale.svg"), "w", encoding="ascii") as file:
        file.write(plots.lines("The cost of one operation as numbers grow", "how many", "us",
                               series))


def show(scale, write):
    """Prints the tables, or puts them and the plot where they belong."""
    lines = report(scale)
    if not write:
        print("\n".join(lines))
        return
    draw(scale)
    lines = [f"![The cost of one operation as numbers grow]({PLOTS}/scale.svg)", "", *lines]
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
    words.add_argument("--quick", action="store_true", help="small numbers")
    words.add_argument("--nodes", type=int, default=1_000_000)
    words.add_argument("--entries", type=int, default=1_000_000, help="of one directory")
    words.add_argument("--opens", type=int, default=10_000)
    words.add_argument("--mounts", type=int, default=200)
    words.add_argument("--clients", type=int, default=64)
    words.add_argument("--cpu", type=int, help="everything on this CPU")
    words.add_argument("--json", help="add the results to this file of bench.py")
    words.add_argument("--write", action="store_true",
                       help="put the tables into BENCHMARKS.md and the plot into " + PLOTS)
    asked = words.parse_intermixed_args()
    if asked.kinds[:1] == ["report"]:
        if len(asked.kinds) != 2:
            words.error("report FILE")
        return show(Results.load(asked.kinds[1]).scale, asked.write)
    if unknown := [kind for kind in asked.kinds if kind not in KINDS]:
        words.error(f"nothing called {unknown[0]}: {', '.join(KINDS)}")
    if os.geteuid():
        sys.exit("scale.py needs root: it mounts")
    if asked.quick:
        asked.nodes, asked.entries, asked.opens, asked.mounts, asked.clients = 5000, 2000, 200, 5, 4
    own_group()
    if asked.cpu is not None:
        os.sched_setaffinity(0, {asked.cpu})
    results = Results.load(asked.json) if asked.json and os.path.exists(asked.json) else Results()
    place = scratch.create()
    try:
        scale = Scale(place, asked)
        for kind in asked.kinds or KINDS:
            results.scale[kind] = getattr(scale, kind)()
            if asked.json:
                results.save(asked.json)
    finally:
        scratch.remove(place)
    return show(results.scale, asked.write)


if __name__ == "__main__":
    main()
