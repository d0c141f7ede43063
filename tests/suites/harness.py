"""What every suite needs: trees to work in, named checks, and a closing line.

A SPEC names the tree a suite works in:

    mem                    a filo stack; base first, layers after it, as on the command line
    'dir null'             the same; a `dir` without a path gets a directory made for the run
    native                 a directory of the host, made for the run
    native:/path           a directory below /path
    tmpfs                  a tmpfs, mounted for the run
    'command:CMD'          anything that mounts {src} on {mnt}: 'command:bindfs {src} {mnt}'

Each check prints `ok`, `FAIL` or `skip`, its name and why; the last line counts them. Skips are
for abilities the machine lacks; with FILO_REQUIRE=1 in the environment they are failures.
"""

import argparse
import contextlib
import ctypes
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import scratch

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TARGET = os.path.join(ROOT, os.environ.get("CARGO_TARGET_DIR", "target"))
TOOLS = os.path.join(TARGET, "tools")
FILO = os.environ.get("FILO") or os.path.join(TARGET, "release", "filo")
MOUNT_SECONDS = 30
PR_SET_PDEATHSIG = 1  # prctl(2)


class Skip(Exception):
    """The machine lacks something the check needs."""


class Failed(Exception):
    """The check found what it looks for."""


FAILURES = (Skip, Failed, OSError, subprocess.SubprocessError)


class Report:
    """Counts checks and prints a line for each."""

    def __init__(self, suite):
        self.suite = suite
        self.required = os.environ.get("FILO_REQUIRE") == "1"
        self.passed = self.failed = self.skipped = 0

    def check(self, name, body, *args):
        """Runs one check. Answers what it returns; None when it did not pass."""
        started = time.monotonic()
        try:
            answer = body(*args)
        except Skip as why:
            if self.required:
                self.failed += 1
                self._line("FAIL", name, started, f"{why} (and FILO_REQUIRE=1)")
            else:
                self.skipped += 1
                self._line("skip", name, started, why)
            return None
        except FAILURES as why:
            self.failed += 1
            self._line("FAIL", name, started, why)
            return None
        self.passed += 1
        self._line("ok", name, started, answer if isinstance(answer, str) else "")
        return answer

    def close(self):
        """Prints the count alone on the last line and answers the exit code."""
        print(f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped", flush=True)
        return 1 if self.failed else 0

    def _line(self, word, name, started, why):
        seconds = time.monotonic() - started
        why = f": {str(why).strip()}" if str(why).strip() else ""
        print(f"  {word:4} {self.suite}: {name} ({seconds:.1f} s){why}", flush=True)


class Tree:
    """A directory to work in. `mounted`: the run's own mount; `filo`: and it is a filo stack."""

    def __init__(self, path, mounted=False, filo=False):
        self.path, self.mounted, self.filo = path, mounted, filo


def main(suite, specs, body, options=lambda parser: None):
    """The frame of a suite: arguments, scratch, signals, `body(spec, run)` for each spec."""
    parser = argparse.ArgumentParser(
        prog=suite, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("spec", nargs="*", default=specs, metavar="SPEC", help=str(specs))
    options(parser)
    arguments = parser.parse_args()
    parent = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    if os.getppid() != parent:
        sys.exit(1)  # the parent died before the line above could tell
    os.umask(0o022)  # some checks run as other users
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        del os.environ[name]  # set where a hook of git calls this; about another repository
    scratch.sweep()
    place = scratch.create()
    report = Report(suite)
    try:
        for spec in arguments.spec:
            try:
                body(spec, Run(report, place, arguments))
            except FAILURES as why:  # the tree could not be had, or not be given back
                report.check(spec, raise_, why)
        code = report.close()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # once is enough: let the cleaning finish
        os.chdir("/")
        scratch.remove(place)
    sys.exit(code)


class Run:
    """One spec's share of a suite's run."""

    def __init__(self, report, place, arguments):
        self.report, self.place, self.arguments = report, place, arguments

    def fresh(self, name):
        """A new directory of the scratch, named after `name`."""
        for number in range(10000):
            path = os.path.join(self.place, f"{name}{number}")
            if not os.path.exists(path):
                os.makedirs(path, 0o755)
                return path
        raise Failed("ten thousand directories in one run")

    @contextlib.contextmanager
    def tree(self, spec):
        """The tree a spec names, for the time of a `with` block. Skip: it cannot be had here."""
        if spec == "native":
            yield Tree(self.fresh("native"))
        elif spec.startswith("native:"):
            path = tempfile.mkdtemp(prefix="filo-test.", dir=spec.removeprefix("native:"))
            os.chmod(path, 0o755)
            try:
                yield Tree(path)
            finally:
                shutil.rmtree(path, ignore_errors=True)
        else:
            source, point = self.fresh("source"), self.fresh("mount")
            self._mount(spec, source, point)
            try:
                yield Tree(point, mounted=True, filo=not foreign(spec))
            finally:
                os.chdir("/")
                if os.path.ismount(point):
                    self._unmount(spec, point)

    def _mount(self, spec, source, point):
        if spec == "tmpfs":
            need_root()
            command = ["mount", "-t", "tmpfs", "-o", "size=2g,mode=755", "filo-test", point]
        elif spec.startswith("command:"):
            need_fuse()
            line = spec.removeprefix("command:")
            command = [part.format(src=source, mnt=point) for part in shlex.split(line)]
        else:
            need_fuse()
            options = ["-o", "allow_other"] if is_root() else []
            command = [FILO, "mount", *options, *elements(spec, source), point]
        run(command, timeout=MOUNT_SECONDS)
        if not os.path.ismount(point):
            raise Failed(f"{shlex.join(command)}: ended well, but nothing is mounted")

    def _unmount(self, spec, point):
        if foreign(spec):
            run(["umount", point] if is_root() else ["fusermount3", "-u", point])
        else:
            daemon = listed(point)["pid"]
            run([FILO, "umount", point], timeout=MOUNT_SECONDS)
            deadline = time.monotonic() + MOUNT_SECONDS
            while scratch.start_time(daemon) and time.monotonic() < deadline:
                time.sleep(0.1)
            if scratch.start_time(daemon):
                raise Failed(f"process {daemon} still runs after `filo umount`")
        if os.path.ismount(point):
            raise Failed(f"{point} is still mounted after unmount")


def run(command, cwd=None, env=None, timeout=300, check=True):
    """Runs a command and answers its output. Failed when it does not end with 0."""
    code, output = run_coded(command, cwd, timeout, env)
    if check and code:
        raise Failed(f"{shlex.join(command)}: exit code {code}\n{output}")
    return output


def run_coded(command, cwd=None, timeout=300, env=None):
    """Runs a command; answers its exit code and its output (both streams as one text).

    Its process group ends with it when it takes longer than `timeout` seconds: Failed.
    """
    with subprocess.Popen(
        command,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise Failed(f"{shlex.join(command)} did not end in {timeout} s") from None
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, output


def elements(spec, source):
    """A filo spec as words of the command line; a `dir` without a path is `source`."""
    base, *layers = shlex.split(spec)
    return [{"dir": f"dir:{source}", "mem": "mem:"}.get(base, base), *layers]


def foreign(spec):
    """Whether a spec's mount is somebody else's."""
    return spec == "tmpfs" or spec.startswith("command:")


def raise_(why):
    """An exception as the body of a check."""
    raise why


def listed(point):
    """What `filo list --json` says about a mount point."""
    for entry in json.loads(run([FILO, "list", "--json"])):
        if entry["mountpoint"] == point:
            return entry
    raise Failed(f"filo list --json does not name {point}")


def is_root():
    """Whether mounts can be made without a helper."""
    return os.geteuid() == 0


def need_root():
    """Raises Skip for an ordinary user."""
    if not is_root():
        raise Skip("needs root")


def need_fuse(helper=True):
    """Raises Skip where nothing can be mounted by FUSE; `helper`: not without fusermount3."""
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC))
    except OSError as why:
        raise Skip(f"needs /dev/fuse: {why.strerror}") from None
    if helper and not is_root() and not shutil.which("fusermount3"):
        raise Skip("needs root or fusermount3")


def need_program(name):
    """The path of a program; Skip where it is not installed."""
    path = shutil.which(name)
    if not path:
        raise Skip(f"needs {name}, which is not installed")
    return path
