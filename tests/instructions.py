#!/usr/bin/env python3
"""Counts the instructions of the hot path, and fails where one kind of request got dearer.

    tests/instructions.py            compares with tests/instructions.txt
    tests/instructions.py --write    writes that file anew, after a change that is meant

One request after the other goes through a session in one process (the example `requests` of
filofs-front), and callgrind counts what the front end and the stack execute for it, from the
bytes of the request to its answer: instructions, not time, so a busy machine changes nothing. The
counts of a run with few requests are taken off those of one with more, so that beginnings do not
count. They belong to one compiler, one C library and one kind of processor; with others they are
printed and nothing is judged.

Prints `N passed, N failed, N skipped`; exit code 1 if one failed.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
EXPECTED = os.path.join(ROOT, "tests", "instructions.txt")
FEW, MORE = 100, 300  # requests
DEARER = 1.05
LAYERS = 4  # that do nothing
SERVE = "*Dispatch*serve*"
SECONDS_MAX = 240  # of one run


def build():
    """The example in the release profile; its path."""
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    subprocess.run(["cargo", "build", "--quiet", "--locked", "--release", "-p", "filofs-front",
                    "--example", "requests"], cwd=ROOT, check=True)
    return os.path.join(target, "release", "examples", "requests")


def operations(requests):
    """What the example can ask."""
    said = subprocess.run([requests], capture_output=True, text=True, check=False).stderr
    return re.findall(r"^ {4}(\w+)$", said, re.M)


def count(requests, operation):
    """Instructions of one request."""
    def run(times):
        with tempfile.NamedTemporaryFile() as out:
            said = subprocess.run(
                ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out.name}",
                 "--fair-sched=try", f"--toggle-collect={SERVE}", requests, operation, str(times),
                 "constants", str(LAYERS)],
                capture_output=True, text=True, check=False, timeout=SECONDS_MAX)
        found = re.search(r"Collected : (\d+)", said.stderr)
        if said.returncode or not found or found[1] == "0":
            raise RuntimeError(f"{operation}: nothing was counted:\n{said.stderr[-2000:]}")
        return int(found[1])
    return (run(MORE) - run(FEW)) // (MORE - FEW)


def belongs_to():
    """What the counts depend on beside the code."""
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True)
    return f"{rustc.stdout.split()[1]} {' '.join(platform.libc_ver())} {platform.machine()}"


def expected():
    """The counts on record, and what they belong to."""
    with open(EXPECTED, encoding="ascii") as file:
        lines = [line.strip() for line in file if line.strip() and not line.startswith("#")]
    return lines[0].partition(": ")[2], {
        name: int(number) for name, number in (line.split() for line in lines[1:])}


def main():
    """Counts and compares."""
    if not shutil.which("valgrind"):
        print("  skip instructions: needs valgrind\n0 passed, 0 failed, 1 skipped")
        return
    requests = build()
    found = {operation: count(requests, operation) for operation in operations(requests)}
    if not found:
        sys.exit("the example lists no operations")
    if sys.argv[1:] == ["--write"]:
        with open(EXPECTED, "w", encoding="ascii") as file:
            file.write("# Instructions of one request, from its bytes to its answer, over a file\n"
                       f"# system of constants and {LAYERS} layers that do nothing: written by\n"
                       f"# tests/instructions.py --write.\nfor: {belongs_to()}\n")
            file.writelines(f"{name} {number}\n" for name, number in found.items())
    what, on_record = expected()
    judged = what == belongs_to()
    if not judged:
        print(f"the counts on record are of {what}, this is {belongs_to()}: nothing is judged")
    failed = 0
    for name, number in found.items():
        before = on_record.get(name)
        worse = judged and (before is None or number > before * DEARER)
        failed += worse
        change = f"{number / before - 1:+.1%}" if before else "not on record"
        print(f"{'FAIL' if worse else 'ok':<5} {name:<8} {number:>6} instructions, {change}")
    missing = sorted(set(on_record) - set(found)) if judged else []
    for name in missing:
        print(f"FAIL  {name:<8} on record, and cannot be asked")
    failed += len(missing)
    if failed:
        print("if that is meant: tests/instructions.py --write, and say why in the commit")
    passed = len(found) + len(missing) - failed if judged else 0
    print(f"{passed} passed, {failed} failed, 0 skipped")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
