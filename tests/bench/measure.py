"""The tests, and one measurement of one of them."""

import json
import os
import shutil
import subprocess
import sys
import time

from candidates import run

# What ops.c does. Name here: its operation, threads, what a person reads.
OPERATIONS = {
    "statx": ("statx", 1, "statx, forced"),
    "stat": ("stat", 1, "stat, again"),
    "stat-cold": ("stat-cold", 1, "stat of 10,000 files, each once"),
    "stat-absent": ("stat-absent", 1, "stat of a name that is not there"),
    "open": ("open", 1, "open + close"),
    "create": ("create", 1, "create + close + unlink"),
    "mkdir": ("mkdir", 1, "mkdir + rmdir"),
    "rename": ("rename", 1, "rename"),
    "chmod": ("chmod", 1, "chmod"),
    "getxattr": ("getxattr", 1, "getxattr of one that is not there"),
    "names": ("names", 1, "readdir, 10,000 names"),
    "names-cold": ("names-cold", 1, "readdir, 10,000 names, cold"),
    "names+attr-cold": ("names+attr-cold", 1, "ls -l of 10,000 files, cold"),
    "statx-8": ("statx", 8, "statx, forced, by 8 threads"),
    "statx-beside-reads": ("statx-beside-reads", 1, "statx, forced, beside slow reads"),
    "read-4k": ("read-4k", 1, "read 4 KiB"),
    "write-4k": ("write-4k", 1, "write 4 KiB"),
    "read-4k-direct": ("read-4k-direct", 1, "read 4 KiB, O_DIRECT"),
    "write-4k-direct": ("write-4k-direct", 1, "write 4 KiB, O_DIRECT"),
    "read-1m": ("read-1m", 1, "read 1 MiB"),
    "read-1m-direct": ("read-1m-direct", 1, "read 1 MiB, O_DIRECT"),
    "read-1m-cold": ("read-1m-cold", 1, "read 1 MiB, not cached"),
    "write-1m": ("write-1m", 1, "write 1 MiB"),
    "write-1m-direct": ("write-1m-direct", 1, "write 1 MiB, O_DIRECT"),
    "mmap": ("mmap", 1, "page fault in a mapping"),
}
# Whole programs. Name: what a person reads.
PROGRAMS = {
    "untar": "untar 4,000 files",
    "find": "find",
    "grep": "grep -r",
    "git-status": "git status, cold",
    "cp": "cp -a",
    "rm": "rm -rf",
    "sqlite-delete": "sqlite, journal deleted, 500 transactions",
    "sqlite-wal": "sqlite, write-ahead log, 500 transactions",
}
SQLITE = """
import sqlite3, sys
base = sqlite3.connect(sys.argv[1], isolation_level=None)
base.execute("pragma journal_mode=" + sys.argv[2])
base.execute("pragma synchronous=normal")
base.execute("create table t(a integer primary key, b text)")
for _ in range(500):
    base.execute("begin")
    base.execute("insert into t(b) values(?)", ("x" * 100,))
    base.execute("commit")
assert base.execute("select count(*) from t").fetchone() == (500,)
"""
LIMIT_SECONDS = 120  # for one measurement


def label(test):
    """What a person reads."""
    return OPERATIONS[test][2] if test in OPERATIONS else PROGRAMS[test]


def is_operation(test):
    """Whether its figures are microseconds of one operation, and not of a whole program."""
    return test in OPERATIONS


def measure(candidate, test, ground, ops, seconds):
    """One cell of one round, on a mount of its own. Microseconds."""
    if test in ("untar", "cp", "rm", "sqlite-delete", "sqlite-wal"):
        out = os.path.join(ground.source, "out")
        os.mkdir(out)
        if test == "rm":
            run(["tar", "-xf", ground.archive, "-C", out])
    where = candidate.start(ground.source, ground.place)
    try:
        daemon, machine, began = candidate.processor(), busy(), time.monotonic()
        if test in OPERATIONS:
            cell = _operation(ops, test, seconds, where, ground.names)
        else:
            cell = _program(test, ground.archive, where)
        elapsed = time.monotonic() - began
        daemon = (candidate.processor() - daemon) / 1e3
        others = busy() - machine - (daemon + cell["client"] * cell["all"]) / 1e6
        cell["others"] = max(0.0, others) / elapsed / os.cpu_count()
        cell["daemon"] = daemon / cell.pop("all")
        return cell
    finally:
        candidate.stop()
        ground.tidy()


def busy():
    """Seconds of processor time that the whole machine has used."""
    with open("/proc/stat", encoding="ascii") as text:
        fields = [int(field) for field in text.readline().split()[1:]]
    return sum(fields[i] for i in (0, 1, 2, 5, 6)) / os.sysconf("SC_CLK_TCK")


def _operation(ops, test, seconds, where, names):
    operation, threads, _ = OPERATIONS[test]
    words = [ops, operation, str(seconds), str(threads), where, str(names)]
    said = json.loads(run(words, timeout=LIMIT_SECONDS))
    return {"value": said["p50"] / 1e3, "p99": said["p99"] / 1e3, "rate": said["rate"],
            "client": said["cpu"] / 1e3, "all": said["all"]}


def _program(test, archive, where):
    tree, out = os.path.join(where, "tree"), os.path.join(where, "out")
    words = {
        "untar": ["tar", "-xf", archive, "-C", out],
        "find": ["find", tree, "-type", "f", "-size", "+8", "-printf", ""],
        "grep": ["grep", "-r", "-c", "-a", "--exclude-dir=.git", "no such words", tree],
        "git-status": ["git", "-C", tree, "--no-optional-locks", "status", "--porcelain"],
        "cp": ["cp", "-a", "--reflink=never", tree, out],
        "rm": ["rm", "-rf", out],
        "sqlite-delete": [sys.executable, "-c", SQLITE, os.path.join(out, "base"), "delete"],
        "sqlite-wal": [sys.executable, "-c", SQLITE, os.path.join(out, "base"), "wal"],
    }[test]
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_COUNT": "1",
                   "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
    before, began = os.times(), time.monotonic()
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment,
                          timeout=LIMIT_SECONDS)
    took, after = time.monotonic() - began, os.times()
    if done.returncode and test != "grep":
        raise RuntimeError(done.stderr.strip()[-300:])
    if test == "git-status" and done.stdout:
        raise RuntimeError("git sees changes")
    if test == "rm" and os.path.exists(out):
        shutil.rmtree(out)
        raise RuntimeError("rm left something")
    used = after.children_user - before.children_user
    used += after.children_system - before.children_system
    return {"value": took * 1e6, "client": used * 1e6, "all": 1}
