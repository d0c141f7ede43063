#!/usr/bin/env python3
"""stress-ng's file stressors on a tree: no error, no hung task, no node left behind.

One after the other, each with an instance per CPU. The time is shared among the stressors; each
gets at least a second, so about a minute is the least. Ten minutes: `stress.py --seconds 600 mem`.
"""

import os
import re
import shutil
import time

from harness import Failed, Skip, is_root, listed, main, need_program, run, run_coded

# Of stress-ng's class `filesystem`, all but those that work elsewhere than in a directory (other
# file systems, process state) or that need a device.
ELSEWHERE = {"binderfs", "bind-mount", "dup", "eventfd", "io", "ioprio", "procfs", "sysfs", "ramfs"}
# Of other classes, those that work on files.
BESIDES = {"aio", "flock", "readahead", "revio", "seek", "sendfile", "splice", "vm-splice"}
GRACE_SECONDS = 120
TOLD = re.compile(r"^stress-ng: (?:fail|error): .*", re.MULTILINE)
NOT_HERE = (3, 4)  # exit codes of stress-ng(1): no resources, not implemented
HUNG = re.compile(r"blocked for more than|hung_task|soft lockup|BUG:|WARNING:")
SETTLING_SECONDS = 30


def suite(spec, the):
    """Every stressor on one tree, then what is left of it."""
    with the.tree(spec) as tree:
        kernel = None
        try:
            kernel = kernel_log()
        except Skip:
            pass
        the.report.check(f"{spec}: stressors", stressors, tree, the.arguments.seconds)
        the.report.check(f"{spec}: hung tasks", hung_tasks, kernel)
        the.report.check(f"{spec}: files left behind", left_behind, tree)
        if tree.filo:
            the.report.check(f"{spec}: nodes left behind", nodes_left, tree)


def stressors(tree, seconds):
    """Runs them all; each verifies what it reads."""
    need_program("stress-ng")
    known = set(run(["stress-ng", "--stressors"]).split())
    names = set(run(["stress-ng", "--class", "filesystem?"]).partition(":")[2].split())
    names = sorted(((names - ELSEWHERE) | BESIDES) & known)
    if len(names) < 20:
        raise Failed(f"stress-ng knows only {names}")
    each = max(1, round(seconds / len(names)))
    bad, not_here = [], []
    for name in names:
        code, output = run_coded(
            ["stress-ng", f"--{name}", "0", "--timeout", str(each), "--verify"],
            tree.path,
            each + GRACE_SECONDS,
        )
        if code in NOT_HERE and not TOLD.search(output):
            not_here.append(name)
        elif code or TOLD.search(output):
            bad.append(f"    {name}: exit code {code}\n{output}")
    if bad:
        raise Failed("\n".join([f"{len(bad)} of {len(names)} stressors failed:", *bad]))
    without = f", without {' '.join(not_here)}" if not_here else ""
    return f"{len(names)} stressors, {each} s each{without}"


def kernel_log():
    """The kernel's messages so far."""
    need_program("dmesg")
    try:
        return run(["dmesg"]).splitlines()
    except Failed:
        raise Skip("needs the right to read the kernel's messages (dmesg)") from None


def hung_tasks(before):
    """Nothing new in the kernel's log about a task that hangs, or about a fault of its own."""
    known = set(before or kernel_log())
    new = [line for line in kernel_log() if line not in known and HUNG.search(line)]
    if new:
        raise Failed("\n".join(["the kernel says:", *new]))


def left_behind(tree):
    """Stressors delete what they make; what an rm cannot delete is an error of the tree."""
    left = os.listdir(tree.path)
    if left and shutil.which("chattr"):
        # Two instances of `chattr` share a file: one may end while the other has made it immutable.
        run_coded(["chattr", "-R", "-i", "-a", *left], tree.path, GRACE_SECONDS)
    for name in left:
        path = os.path.join(tree.path, name)
        run(["rm", "-rf", "--", path])
        if os.path.lexists(path):
            raise Failed(f"{path} is still there after rm -rf")
    return f"deleted {len(left)}" if left else ""


def nodes_left(tree):
    """Once the kernel has dropped its caches, only the root is known: every lookup was returned.

    The drop is asked for again until the count settles; what is still there then is a leak.
    """
    if not is_root():
        raise Skip("needs root, to drop the kernel's caches")
    deadline = time.monotonic() + SETTLING_SECONDS
    while (nodes := live_nodes(tree.path)) > 1 and time.monotonic() < deadline:
        with open("/proc/sys/vm/drop_caches", "w") as drop:
            drop.write("2")
        time.sleep(0.5)
    if nodes > 1:
        raise Failed(f"{nodes} nodes live in an empty tree; 1 is right")


def live_nodes(point):
    """How many nodes the mount knows. THE ONE PLACE that reads the daemon's counters."""
    counters = listed(point).get("counters", {})
    if "nodes" not in counters:
        raise Skip("needs `nodes` in the counters of `filo list --json`")
    return counters["nodes"]


def options(parser):
    """How long it all takes, about."""
    parser.add_argument("--seconds", type=int, default=60, help="shared among the stressors (60)")


if __name__ == "__main__":
    main("stress", ["mem", "dir null"], suite, options)
