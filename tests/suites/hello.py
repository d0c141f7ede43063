#!/usr/bin/env python3
"""The README's first command: a shell in a private mount, as this user and as an ordinary one."""

import os
import pwd
import shutil

import scratch
from harness import FILO, Failed, Skip, elements, is_root, main, need_fuse, need_program, run

SCRIPT = "echo hello > hello && cat hello"
ORDINARY_USER = "nobody"


def suite(spec, the):
    """One stack, as whoever runs the suite; for root, as an ordinary user as well."""
    the.report.check(f"{spec}: as this user", hello, the, spec, None)
    the.report.check(f"{spec}: as an ordinary user", ordinary, the, spec)


def ordinary(the, spec):
    """The same without any right of root's, and without a setuid helper's help."""
    if not is_root():
        raise Skip("needs root, to become somebody else; the check above was as an ordinary user")
    need_program("setpriv")
    hello(the, spec, pwd.getpwnam(ORDINARY_USER))


def hello(the, spec, user):
    """Writes a file in the mount and reads it there; outside, nothing is left mounted."""
    need_fuse(helper=False)
    work = the.fresh("hello")
    program = shutil.copy(FILO, work)  # the build may lie where an ordinary user cannot look
    source = the.fresh("source")
    command = [program, "run", *elements(spec, source), "--", "sh", "-c", SCRIPT]
    if user:
        os.chown(source, user.pw_uid, user.pw_gid)
        ids = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        command = ["setpriv", *ids, "--no-new-privs", *command]
    output = run(command, cwd=source, env={"HOME": work}, timeout=60)
    if output != "hello\n":
        raise Failed(f"it printed {output!r}")
    if mounts():
        raise Failed(f"left mounted: {mounts()}")
    found = os.listdir(source)
    if found != (["hello"] if spec.startswith("dir") else []):
        raise Failed(f"the directory below holds {found}")


def mounts():
    """The mounts of this run that are seen from outside."""
    return scratch.mounts_below(os.environ[scratch.MARK])


if __name__ == "__main__":
    main("hello", ["mem", "dir null"], suite)
