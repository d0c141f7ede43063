#!/usr/bin/env python3
"""Measures filo beside others, in turn, and writes the tables and plots of BENCHMARKS.md.

    tests/bench/bench.py                    everything, about an hour
    tests/bench/bench.py goals              only what the table of goals needs, 10 minutes
    tests/bench/bench.py micro depth        these sections
    tests/bench/bench.py --quick            everything once, 3 minutes: that it runs, no figures
    tests/bench/bench.py report FILE        the tables of an earlier run, without measuring
    tests/bench/scale.py                    how it is with very many files, names, opens, mounts

Needs Linux, root, Python 3.9 and a C compiler. The peers are installed with apt where that is
possible and built into `target/bench` (libfuse's examples from the sources that Debian has). What
cannot be had is left out, and said.

What is measured first:

    cargo build --release -p filo
    cargo build --release -p filofs-front --examples

Candidates: *native* is the directory itself; *filo* the null stack, `dir:DIRECTORY null`, as root
mounts it: all users may enter, and the kernel checks what they may; *filo private* the same with
`-o no_allow_other`, as the examples of libfuse are mounted; *ll* its example passthrough_ll as it
comes, *ll -s* with one thread; *hp* its passthrough_hp, of
which the kernel reads and writes files by itself; the others as they come. *floor* is a server in C
that answers constants with nothing around it, *floor ring* the same over io_uring with a thread for
each CPU, *filo constants* answers constants through filo's front end; *no-opens* is without OPEN.

All stand over one directory of a tmpfs, each test on a fresh mount. In each round every test is
done by every candidate, and the next round begins with another one. A cell is the median over the
rounds of a round's median, and in brackets the median of the ratios within a round: that takes out
most of what the machine does meanwhile. On *one CPU* client and daemon share CPU 0, and the length
of the way is left; *free* the scheduler places both, as people have it, and figures scatter: so the
smallest and the largest round beside them. A test that a candidate cannot do is a dash, with its
reason below.

--prio (the default) has this run in a session of its own whose autogroup is in front of others.
"""

import argparse
import os
import shlex
import statistics
import subprocess
import sys
from dataclasses import dataclass

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(HERE, "..", "suites"))
sys.dont_write_bytecode = True
import goals  # noqa: E402  (neighbours)
import plots  # noqa: E402
import scratch  # noqa: E402
import tables  # noqa: E402
from candidates import DEPTHS, Candidate, Programs  # noqa: E402
from ground import Ground  # noqa: E402
from measure import OPERATIONS, PROGRAMS, label, measure  # noqa: E402
from results import FREE, ONE_CPU, Results, about  # noqa: E402

PRIORITY = -15  # of our autogroup: on a busy machine nothing is worth quoting without it
TARGET = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
PLOTS = "docs/plots"


@dataclass
class Section:
    """Tests and candidates that belong together in a table."""

    name: str
    title: str
    tests: tuple
    names: tuple
    base: str = "native"
    rates: tuple = ()
    processor: bool = False
    plotted: bool = True

    def cells(self):
        """Everything in it, in both places."""
        return [(place, test, name) for place in (ONE_CPU, FREE)
                for test in (*self.tests, *self.rates) for name in self.names]


ALL = ("native", "filo", *goals.PEERS)
META = ("native", "filo", "filo private", *goals.PEERS)  # where attributes matter
SECTIONS = (
    Section("micro", "Single operations", (
        "statx", "stat", "stat-cold", "stat-absent", "open", "create", "mkdir", "rename", "chmod",
        "getxattr", "names", "names-cold", "names+attr-cold"),
        META, rates=("statx-8",), processor=True),
    Section("floor", "Servers of constants", (
        "statx", "stat-cold", "stat-absent", "open", "create", "read-1m-direct"),
        ("floor", "floor no-opens", "floor ring", "filo constants", "filo no-opens", "ll -s"),
        base="floor", rates=("statx-8",), plotted=False),
    Section("data", "Data", (
        "read-4k", "write-4k", "read-4k-direct", "write-4k-direct", "read-1m", "read-1m-direct",
        "read-1m-cold", "write-1m", "write-1m-direct", "mmap"), (*ALL, "filo + acting layer"),
        processor=True),
    Section("work", "Whole programs", tuple(PROGRAMS), META, processor=True),
    Section("depth", "Layers, and daemons one on the other", goals.DEPTH_TESTS, (
        *[f"filo {depth} null" for depth in DEPTHS],
        *[f"filo {depth} idmap" for depth in DEPTHS],
        *[f"{depth} bindfs" for depth in DEPTHS[:4]]), base="filo 1 null", plotted=False),
    Section("servers", "File servers in other processes", (
        "statx", "stat-cold", "open", "create", "names-cold", "read-4k-direct", "read-1m-cold",
        "write-1m", "untar"),
        ("filo", "filo server", "bindfs", "filo exec", "2 bindfs"), base="filo"),
    Section("blocked", "Beside an operation that takes 20 ms", ("statx", "statx-beside-reads"),
            ("filo + slow reads",), base="filo + slow reads", plotted=False),
)


def wanted_cells(asked):
    """The cells to measure, each once, in the order of the sections."""
    found = []
    if "goals" in asked.sections:
        found += sorted(goals.cells())
    for section in SECTIONS:
        if not asked.sections or section.name in asked.sections:
            found += section.cells()
            found += [(place, test, name) for place, test, _ in section.cells()
                      for name in asked.more]
    found = dict.fromkeys(found)
    return [(place, test, name) for place, test, name in found
            if (not asked.tests or test in asked.tests) and (not asked.only or name in asked.only)
            and place in asked.places]


def run(asked, cells, place, filo, constants):
    """Measures all cells, round by round."""
    programs = Programs(os.path.join(TARGET, "bench"), filo, constants)
    if asked.install:
        programs.install()
    known = programs.all()
    for name, command in asked.more.items():
        known[name] = Candidate(name, command)
    results = Results({**about(asked.rounds, asked.seconds), "note": asked.note})
    for name in sorted({name for _, _, name in cells}):
        if name not in known:
            why = programs.missing.get(name, "there is no such candidate yet")
            results.fault("", "", name, why)
    ops = programs.ops()
    ground = Ground(place, asked.names, asked.tree)
    groups = {}
    for where, test, name in cells:
        if name in known:
            groups.setdefault((where, test), []).append(known[name])
    cpus = os.sched_getaffinity(0)
    for number in range(asked.rounds):
        for (where, test), group in groups.items():
            os.sched_setaffinity(0, {0} if where == ONE_CPU else cpus)
            shift = number % len(group)
            for candidate in group[shift:] + group[:shift]:
                try:
                    cell = measure(candidate, test, ground, ops, asked.seconds)
                    results.add(where, test, candidate.name, number, cell)
                except (RuntimeError, OSError, ValueError, subprocess.SubprocessError) as error:
                    results.fault(where, test, candidate.name, error)
        print(f"round {number + 1} of {asked.rounds}", file=sys.stderr, flush=True)
        if asked.json:
            results.save(asked.json)
    return results


def draw(results):
    """Writes the plots of a run."""
    folder = os.path.join(ROOT, PLOTS)
    os.makedirs(folder, exist_ok=True)
    for section in SECTIONS:
        rows = {}
        for test in section.tests:
            row = {name: results.ratios((ONE_CPU, test, name), (ONE_CPU, test, section.base))
                   for name in section.names if name != section.base}
            row = {name: statistics.median(ratios) for name, ratios in row.items() if ratios}
            if row:
                rows[label(test)] = row
        if rows and section.plotted:
            names = [name for name in section.names if any(name in row for row in rows.values())]
            title = f"{section.title}: time, one CPU; {section.base} is 1, less is better"
            _write(os.path.join(folder, f"{section.name}.svg"), plots.bars(title, names, rows))
    series = {}
    for test in goals.DEPTH_TESTS:
        for kind in ("null", "idmap", "bindfs"):
            line = []
            for depth in DEPTHS:
                name = f"{depth} bindfs" if kind == "bindfs" else f"filo {depth} {kind}"
                value = results.median(ONE_CPU, test, name)
                line += [(depth, value)] if value else []
            if line and test in ("statx", "open", "create"):
                series[f"{label(test).partition(' +')[0]}, {kind}"] = line
    if series:
        _write(os.path.join(folder, "depth.svg"), plots.lines(
            "Layers in one mount (filo), daemons one on the other (bindfs)",
            "layers, or daemons", "us", series))


def _write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


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
        print(f"no priority: {error}", file=sys.stderr)


def arguments():
    """The command line."""
    words = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("sections", nargs="*", metavar="SECTION",
                       help="goals, report FILE, or " + ", ".join(s.name for s in SECTIONS))
    words.add_argument("--filo", default=os.environ.get(
        "FILO", os.path.join(TARGET, "release", "filo")), help="the program to measure")
    words.add_argument("--constants", default=os.path.join(
        TARGET, "release", "examples", "constants"), help="the example of that name")
    words.add_argument("--quick", action="store_true", help="one round with small numbers")
    words.add_argument("--rounds", type=int, default=7)
    words.add_argument("--seconds", type=float, default=0.4, help="for each cell of a round")
    words.add_argument("--tests", help="only these, comma-separated: " + ", ".join(OPERATIONS)
                       + ", " + ", ".join(PROGRAMS))
    words.add_argument("--only", help="only these candidates, comma-separated")
    words.add_argument("--place", choices=["cpu", "free", "both"], default="both")
    words.add_argument("--and", dest="more", action="append", default=[], metavar="NAME=COMMAND",
                       help="one more candidate: what mounts {source} on {point}, quoted as in a "
                            "shell, and stays in the foreground")
    words.add_argument("--json", help="keep the results here")
    words.add_argument("--note", default="", help="a sentence about this run, kept with it")
    words.add_argument("--write", action="store_true",
                       help="put tables and plots into BENCHMARKS.md and " + PLOTS)
    words.add_argument("--no-install", dest="install", action="store_false",
                       help="take the peers that are there")
    words.add_argument("--no-prio", dest="prio", action="store_false",
                       help="in this session, with the priority it has")
    asked = words.parse_intermixed_args()
    asked.file = None
    if asked.sections[:1] == ["report"]:
        if len(asked.sections) != 2:
            words.error("report FILE")
        asked.file, asked.sections = asked.sections[1], []
    known = ["goals", *[section.name for section in SECTIONS]]
    if unknown := [name for name in asked.sections if name not in known]:
        words.error(f"no section {unknown[0]}: {', '.join(known)}")
    asked.tests = asked.tests.split(",") if asked.tests else None
    asked.only = asked.only.split(",") if asked.only else None
    asked.more = dict(shlex_pair(text) for text in asked.more)
    asked.places = {"cpu": (ONE_CPU,), "free": (FREE,), "both": (ONE_CPU, FREE)}[asked.place]
    asked.names, asked.tree = (10_000, 4_000)
    if asked.quick:
        asked.rounds, asked.seconds, asked.names, asked.tree = 1, 0.02, 200, 100
    return asked


def shlex_pair(text):
    """NAME=COMMAND, with a command that can be split."""
    name, _, command = text.partition("=")
    shlex.split(command)
    return name, command


def main():
    """Measures and reports."""
    asked = arguments()
    if asked.file:
        results = Results.load(asked.file)
    else:
        if os.geteuid():
            sys.exit("bench.py needs root: it mounts")
        if not os.access(asked.filo, os.X_OK):
            sys.exit(f"{asked.filo}: build it first, cargo build --release -p filo")
        if asked.prio:
            own_group()
        place = scratch.create()
        try:
            results = run(asked, wanted_cells(asked), place, asked.filo, asked.constants)
        finally:
            scratch.remove(place)
    if asked.write:
        draw(results)
        lines = tables.report(results, SECTIONS, PLOTS)
        tables.replace_part(os.path.join(ROOT, "BENCHMARKS.md"), "bench", lines)
    else:
        print("\n".join(tables.report(results, SECTIONS)))
    if asked.quick and results.faults:
        # What cannot be had is no fault, what fails is.
        sys.exit(any(place for place, _, _ in results.faults))


if __name__ == "__main__":
    main()
