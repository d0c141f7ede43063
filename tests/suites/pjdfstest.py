#!/usr/bin/env python3
"""pjdfstest: POSIX as 398 cases, on each SPEC and, the same minute, on the host's own file system.

A case fails when the SPEC fails or skips what the host passes: `mem` is held against a tmpfs,
everything else against a directory beside its own backing directory. No list of known failures
to grow old. The read-only cases remount, so the host cannot always run them; a SPEC must pass them.
"""

import grp
import os
import pwd
import re

from harness import TOOLS, Failed, Skip, main, need_program, need_root, run

LIMIT_SECONDS = 600
PJDFSTEST = os.path.join(TOOLS, "bin", "pjdfstest")
LINE = re.compile(r"^(\S+::\S+) +(ok|FAILED|skipped)$", re.MULTILINE)
SUMMARY = re.compile(r"(\d+) failed, (\d+) skipped, (\d+) passed, .* (\d+) total")
# Every feature that Linux has. The others are of FreeBSD: its file flags and NFSv4 ACLs.
CONFIGURATION = """
[features]
posix_fallocate = {{}}
rename_ctime = {{}}
stat_st_birthtime = {{}}
utime_now = {{}}
utimensat = {{}}
[settings]
naptime = 0.02  # above the kernel's tick, which is the grain of file times
allow_remount = {remount}
[dummy_auth]
entries = [{users}]
"""
# `mount` for the cases that remount: without the -i, mount(8) calls mount.fuse instead of the
# kernel, and that has no remount.
MOUNT = '#!/bin/sh\nexec {mount} -i "$@"\n'


def suite(spec, the):
    """Holds one spec against the host."""
    host = "tmpfs" if spec.split()[0].partition(":")[0] in ("mem", "tmpfs") else "native"

    def compare():
        need_root()
        if not os.access(PJDFSTEST, os.X_OK):
            raise Skip(f"needs {PJDFSTEST}; ./test installs it")
        with the.tree(host) as tree:
            hosts = outcomes(the, tree)
        with the.tree(spec) as tree:
            ours = outcomes(the, tree)
        return judge(ours, hosts, host)

    the.report.check(spec, compare)


def judge(ours, hosts, host):
    """Failed, with every case, when ours does worse than the host; else a line that sums up."""
    worse = [case for case in sorted(ours) if worse_than(hosts[case], ours[case])]
    if worse:
        lines = [f"    {case}: {ours[case].word}: {ours[case].why}" for case in worse]
        raise Failed("\n".join([f"{len(worse)} cases worse than {host}:", *lines]))
    passed = sum(case.word == "ok" for case in ours.values())
    others = [f"{case} {ours[case].word}" for case in sorted(ours) if ours[case].word != "ok"]
    failing = [f"{host} itself fails {case}" for case in hosts if hosts[case].word == "FAILED"]
    if len(others) > 5:
        others = [f"{len(others)} others do not run here"]
    return "; ".join([f"{passed} of {len(ours)} cases pass", *others, *failing])


def worse_than(host, ours):
    """A case fails that the host does not fail, or is skipped that the host passes.

    Except where glibc's pathconf(3) does not know a limit: it has a table by statfs' f_type,
    FUSE's is not in it, and no file system could change that.
    """
    if ours.word == "skipped":
        return host.word == "ok" and not ours.why.endswith("filesystem limit is unknown")
    return ours.word == "FAILED" and host.word != "FAILED"


class Case:
    """How one case ended, and why, in the words of pjdfstest."""

    def __init__(self, word, why):
        self.word, self.why = word, why


def outcomes(the, tree):
    """Every case's outcome in a tree.

    The read-only cases run by themselves: earlier cases leave files open for writing, and a file
    system that is open for writing cannot be remounted.
    """
    cases = once(the, tree, remount=False, patterns=[])
    if tree.mounted:
        cases.update(once(the, tree, remount=True, patterns=["::erofs_"]))
    return cases


def once(the, tree, remount, patterns):
    """One run of the program, its output read and counted."""
    work = the.fresh("pjdfstest")
    settings, path = os.path.join(work, "settings.toml"), os.path.join(work, "mount")
    with open(settings, "w", encoding="utf-8") as file:
        file.write(CONFIGURATION.format(remount=str(remount).lower(), users=dummy_users()))
    with open(path, "w", encoding="utf-8") as file:
        file.write(MOUNT.format(mount=need_program("mount")))
    os.chmod(path, 0o755)
    with the.tree("tmpfs") as other:
        output = run(
            [PJDFSTEST, "-c", settings, "-p", tree.path, "-s", other.path, *patterns],
            env={"PATH": f"{work}:{os.environ['PATH']}", "NO_COLOR": "1", "RUST_BACKTRACE": "0"},
            timeout=LIMIT_SECONDS,
            check=False,
        )
    found = list(LINE.finditer(output))
    cases = {}
    for at, line in enumerate(found):
        end = found[at + 1].start() if at + 1 < len(found) else len(output)
        cases[line[1]] = Case(line[2], output[line.end() : end].strip().partition("\n")[0])
    summary = SUMMARY.search(output)
    if not summary or int(summary[4]) != len(cases) or not cases:
        raise Failed(f"pjdfstest stopped after {len(cases)} cases:\n{output[-2000:]}")
    return cases


def dummy_users():
    """Two users with their groups, as pjdfstest wants them. Every Linux has some; none is made."""
    names = []
    for user in pwd.getpwall():
        if user.pw_name in ("nobody", "daemon", "bin", "mail") and user.pw_uid and user.pw_gid:
            names.append((user.pw_name, grp.getgrgid(user.pw_gid).gr_name))
    if len(names) < 2:
        raise Skip("needs two of the users nobody, daemon, bin, mail")
    return ", ".join(f'["{user}", "{group}"]' for user, group in names[:2])


if __name__ == "__main__":
    main("pjdfstest", ["mem", "dir", "dir null"], suite)
