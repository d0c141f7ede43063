"""A directory for one run: named after the process that owns it, gone when that process is.

Mounts, files and processes of a run all live under, or know, its scratch directory. So whatever
an earlier run left behind when it was killed is found again by name, and nothing else is touched.

    python3 scratch.py sweep      remove what dead runs left behind
"""

import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

PREFIX = "filo-test"
MARK = "FILO_TEST_SCRATCH"  # in the environment of every process of a run
ENDING_SECONDS = 10


def scratch_home():
    """Where scratch directories are made: a short path that other users may walk through."""
    return os.environ.get("FILO_TEST_DIR") or tempfile.gettempdir()


def start_time(pid):
    """When a process started, in clock ticks since boot (proc(5), field 22); None: no process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            text = stat.read()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def create():
    """Makes the scratch directory of this process. 0755: some checks run as other users."""
    pid = os.getpid()
    path = tempfile.mkdtemp(prefix=f"{PREFIX}.{pid}.{start_time(pid)}.", dir=scratch_home())
    os.chmod(path, 0o755)
    os.environ[MARK] = path
    return path


def remove(path):
    """Ends the processes of a run, takes its mounts down, deletes its files."""
    _end_processes(path)
    for mount in reversed(mounts_below(path)):
        _abort_fuse(mount)
        _detach(mount)
    _end_processes(path)
    if mounts_below(path):
        print(f"cannot unmount {mounts_below(path)}; left as it is", file=sys.stderr)
        return
    shutil.rmtree(path, ignore_errors=True)
    if os.path.lexists(path) and shutil.which("chattr"):
        # A file that somebody made immutable.
        subprocess.run(["chattr", "-R", "-f", "-i", "-a", path], check=False)
        shutil.rmtree(path, ignore_errors=True)


def sweep():
    """Removes what runs left behind whose process is dead."""
    for path in glob.glob(os.path.join(scratch_home(), f"{PREFIX}.*")):
        name = re.fullmatch(rf"{PREFIX}\.(\d+)\.(\d+)\.\w+", os.path.basename(path))
        if not name or os.lstat(path).st_uid != os.getuid():
            continue
        if start_time(int(name[1])) != name[2]:
            print(f"removing what process {name[1]} left behind: {path}")
            remove(path)


def mounts_below(path):
    """Mount points below a path, in the order they were mounted (proc(5), mountinfo)."""
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
        for line in table:
            fields = line.split(" ")
            point = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
            if point.startswith(path + "/"):
                found.append((point, fields[2], " - fuse" in line))
    return found


def _abort_fuse(mount):
    """Ends every request of a FUSE mount, so that nothing can wait for a dead or stuck daemon."""
    _, device, fuse = mount
    if fuse:
        try:
            with open(f"/sys/fs/fuse/connections/{device.split(':')[1]}/abort", "w") as abort:
                abort.write("1")
        except OSError:
            pass  # not root, or fusectl is not mounted


def _detach(mount):
    path = mount[0]
    for command in (["umount", "-i", "-l", path], ["fusermount3", "-u", "-z", path]):
        if shutil.which(command[0]) and os.spawnvp(os.P_WAIT, "env", _quiet(command)) == 0:
            return


def _quiet(command):
    return ["env", "sh", "-c", 'exec "$@" 2>/dev/null', "sh", *command]


def _members(path):
    """Processes of the run: the mark in their environment, or at work inside the directory."""
    mark = f"{MARK}={path}".encode()
    spared = _ancestors()
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) in spared:
            continue
        try:
            with open(f"/proc/{entry}/environ", "rb") as environ:
                ours = mark in environ.read().split(b"\0")
            ours = ours or (os.readlink(f"/proc/{entry}/cwd") + "/").startswith(path + "/")
        except OSError:
            continue
        if ours and start_time(int(entry)):
            yield int(entry)


def _ancestors():
    pids, pid = set(), os.getpid()
    while pid > 0 and pid not in pids:
        pids.add(pid)
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
                pid = int(stat.read().rpartition(")")[2].split()[1])
        except OSError:
            break
    return pids


def _end_processes(path):
    deadline = time.monotonic() + ENDING_SECONDS
    force_at = time.monotonic() + ENDING_SECONDS / 3
    while members := list(_members(path)):
        now = time.monotonic()
        if now > deadline:
            print(f"processes {members} do not end", file=sys.stderr)
            return
        for pid in members:
            try:
                os.kill(pid, signal.SIGKILL if now > force_at else signal.SIGTERM)
            except ProcessLookupError:
                pass
        time.sleep(0.1)


if __name__ == "__main__":
    if sys.argv[1:] != ["sweep"]:
        sys.exit(__doc__)
    sweep()
