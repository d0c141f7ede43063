#!/usr/bin/env python3
"""Real programs on a tree: git, cargo, SQLite in WAL mode by two processes, tar both ways."""

import array
import hashlib
import os
import shutil
import sqlite3
import stat
import struct
import subprocess
import sys

from harness import Failed, is_root, main, need_program, run

GIT_COMMITS = 40
SQLITE_ROWS = 400
SPARSE_BYTES = 64 << 20
HOLE_SHARE = 8  # a sparse file may take at most one eighth of its size
ACL = "system.posix_acl_access"
TIME_LIMIT_SECONDS = 600


def suite(spec, the):
    """Every program on one tree."""
    with the.tree(spec) as tree:
        for name, body in PROGRAMS.items():
            the.report.check(f"{spec}: {name}", in_tree, body, the, tree, name)


def in_tree(body, the, tree, name):
    """Runs one program in a directory of its own."""
    path = os.path.join(tree.path, name)
    os.mkdir(path)
    body(the, path)


def git(the, place):
    """Clone, check, pack, move between commits, commit: what is read is what was written."""
    need_program("git")
    origin = the.fresh("origin")
    environment = {
        "HOME": origin,
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{who}_NAME": "filo" for who in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{who}_EMAIL": "filo@localhost" for who in ("AUTHOR", "COMMITTER")},
    }

    def call(where, *arguments):
        return run(["git", *arguments], where, environment, TIME_LIMIT_SECONDS).strip()

    call(origin, "init", "--quiet", "--initial-branch=main")
    for number in range(GIT_COMMITS):
        for file in range(8):
            folder = os.path.join(origin, f"folder{file % 5}")
            os.makedirs(folder, exist_ok=True)
            with open(os.path.join(folder, f"file{number % 11}-{file}"), "a") as text:
                text.writelines(f"{number} {file} {line}\n" for line in range(50 * file))
        call(origin, "add", "--all")
        call(origin, "commit", "--quiet", "--message", f"commit {number}")
    clone = os.path.join(place, "clone")
    call(place, "clone", "--quiet", "--no-local", origin, clone)
    call(clone, "fsck", "--full", "--strict")
    call(clone, "gc", "--quiet", "--aggressive", "--prune=now")
    call(clone, "fsck", "--full", "--strict")
    call(clone, "checkout", "--quiet", f"HEAD~{GIT_COMMITS // 2}")
    call(clone, "checkout", "--quiet", "main")
    expect(call(clone, "status", "--porcelain"), "", "git status in a fresh clone")
    tree = call(origin, "rev-parse", "HEAD^{tree}")
    expect(call(clone, "rev-parse", "HEAD^{tree}"), tree, "the clone's tree")
    with open(os.path.join(clone, "new"), "w") as text:
        text.write("new\n")
    call(clone, "add", "new")
    call(clone, "commit", "--quiet", "--message", "one more")
    call(clone, "push", "--quiet", "origin", "main:copy")
    call(origin, "fsck", "--full", "--strict")
    expect(call(origin, "rev-parse", "copy"), call(clone, "rev-parse", "main"), "what was pushed")


def cargo(_, place):
    """Build a crate, change it, build it again, test it; its output is exact."""
    need_program("cargo")
    files = {
        "Cargo.toml": '[package]\nname = "small"\nedition = "2024"\n[workspace]\n',
        "src/main.rs": 'mod sum;\nfn main() {\n    println!("{}", sum::sum(4));\n}\n',
        "src/sum.rs": "pub fn sum(n: u32) -> u32 {\n    (1..=n).sum()\n}\n"
        "#[test]\nfn small() {\n    assert_eq!(sum(1), 1);\n}\n",
    }
    os.mkdir(os.path.join(place, "src"))
    for name, text in files.items():
        with open(os.path.join(place, name), "w") as file:
            file.write(text)
    environment = {"CARGO_TARGET_DIR": os.path.join(place, "target"), "CARGO_INCREMENTAL": "1"}
    program = os.path.join(place, "target", "debug", "small")

    def call(*arguments):
        return run(["cargo", *arguments, "--offline"], place, environment, TIME_LIMIT_SECONDS)

    call("build")
    expect(run([program]), "10\n", "the program's output")
    with open(os.path.join(place, "src", "sum.rs"), "w") as file:
        file.write(files["src/sum.rs"].replace("(1..=n)", "(2..=n)").replace("(1), 1", "(2), 2"))
    call("build")
    expect(run([program]), "9\n", "the changed program's output")
    if "1 passed" not in call("test"):
        raise Failed("cargo test did not run the crate's test")


WRITER = """
import sqlite3, sys
path, name, rows = sys.argv[1], sys.argv[2], int(sys.argv[3])
db = sqlite3.connect(path, timeout=120, isolation_level=None)
for row in range(rows):
    db.execute("BEGIN IMMEDIATE")
    db.execute("INSERT INTO log VALUES (?, ?, ?)", (name, row, "x" * (row % 900)))
    db.execute("UPDATE total SET n = n + 1")
    db.execute("COMMIT")
    seen = db.execute("SELECT n, (SELECT count(*) FROM log) FROM total").fetchone()
    assert seen[0] == seen[1], seen
"""


def sqlite(_, place):
    """Two processes write one database in WAL mode, whose index is a shared mapping."""
    path = os.path.join(place, "log.db")
    database = sqlite3.connect(path)
    mode = database.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    expect(mode, "wal", "journal mode (WAL needs shared mappings)")
    database.execute("CREATE TABLE log (who TEXT, row INTEGER, text TEXT)")
    database.execute("CREATE TABLE total (n INTEGER)")
    database.execute("INSERT INTO total VALUES (0)")
    database.commit()
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, path, name, str(SQLITE_ROWS)])
        for name in ("one", "two")
    ]
    try:
        for writer in writers:
            expect(writer.wait(TIME_LIMIT_SECONDS), 0, "a writer's exit code")
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    expect(database.execute("PRAGMA integrity_check").fetchall(), [("ok",)], "integrity_check")
    counts = database.execute("SELECT who, count(*) FROM log GROUP BY who ORDER BY who").fetchall()
    expect(counts, [("one", SQLITE_ROWS), ("two", SQLITE_ROWS)], "rows")
    expect(database.execute("SELECT n FROM total").fetchone(), (2 * SQLITE_ROWS,), "the total")
    busy = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    expect((busy, os.path.getsize(path + "-wal")), (0, 0), "checkpoint and the log's size after it")
    database.close()
    expect(os.path.exists(path + "-wal"), False, "a log file after the last close")


def tar(the, place):
    """Native to tree and back: data, holes, links, times, owners, xattrs and ACLs survive."""
    need_program("tar")
    source, archive = the.fresh("tar"), os.path.join(the.fresh("archive"), "tar")
    make_files(source)
    before = manifest(source)
    flags = ["--sparse", "--xattrs", "--acls", "--format=posix", "--numeric-owner"]
    extract = [*flags, "--same-permissions", "--delay-directory-restore"]
    run(["tar", *flags, "-cf", archive, "-C", source, "."])
    run(["tar", *extract, "-xf", archive, "-C", place])
    same(before, manifest(place), "extracted in the tree")
    run(["tar", *flags, "--compare", "-f", archive, "-C", place])
    again = archive + "2"
    run(["tar", *flags, "-cf", again, "-C", place, "."])
    back = the.fresh("back")
    run(["tar", *extract, "-xf", again, "-C", back])
    same(before, manifest(back), "archived from the tree and extracted outside")
    shutil.rmtree(place)


def make_files(root):
    """One of everything that tar can carry."""

    def path(name):
        return os.path.join(root, name)

    os.makedirs(path("folder/below"))
    os.chmod(path("folder"), 0o2775)
    os.chmod(path("folder/below"), 0o1777)
    write(path("empty"), b"")
    write(path("data"), array.array("I", range(300_000)).tobytes())
    write(path("folder/below/\N{LATIN SMALL LETTER U WITH DIAERESIS} with spaces"), b"name\n")
    write(path("n" * 255), b"the longest name\n")
    with open(path("sparse"), "wb") as sparse:
        for offset in (0, SPARSE_BYTES // 3, SPARSE_BYTES - 4096):
            sparse.seek(offset)
            sparse.write(b"island".ljust(4096, b"."))
    with open(path("hole"), "wb") as hole:
        hole.truncate(SPARSE_BYTES)
    for name in ("link", "folder/link"):
        os.link(path("data"), path(name))
    os.symlink("data", path("symlink"))
    os.symlink("/nowhere/at/all", path("dangling"))
    os.mkfifo(path("fifo"), 0o640)
    os.setxattr(path("data"), "user.filo.text", b"value")
    os.setxattr(path("data"), "user.filo.bytes", bytes(range(256)))
    os.setxattr(path("folder"), "user.filo.folder", b"of a directory")
    os.setxattr(path("data"), ACL, acl(0o6, user=(1, 0o4), group=0o4, mask=0o6, other=0))
    os.setxattr(
        path("folder"), "system.posix_acl_default", acl(7, user=(2, 7), group=5, mask=7, other=0)
    )
    if is_root():
        os.chown(path("folder/below"), 1234, 5678)
        os.chown(path("empty"), 3_000_000_000, 65534)
        os.mknod(path("null"), stat.S_IFCHR | 0o666, os.makedev(1, 3))
    write(path("setuid"), b"#!/bin/sh\n")
    os.chmod(path("setuid"), 0o4755)
    for number, name in enumerate(("data", "empty", "symlink", "fifo", "folder/below", "folder")):
        nanoseconds = (1_000_000_000 + number) * 10**9 + 123_456_789
        os.utime(path(name), ns=(nanoseconds, nanoseconds), follow_symlinks=False)


def acl(owner, user, group, mask, other):
    """A POSIX ACL as Linux keeps it in an xattr (linux/posix_acl_xattr.h)."""
    nobody = 0xFFFFFFFF
    entries = [(1, owner, nobody), (2, user[1], user[0]), (4, group, nobody), (16, mask, nobody)]
    return struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", *entry) for entry in [*entries, (32, other, nobody)]
    )


def write(path, data):
    """Makes a file with these bytes."""
    with open(path, "wb") as file:
        file.write(data)


def manifest(root):
    """Path by path, everything that a copy must keep."""
    found, links = {}, {}
    for folder, folders, files in os.walk(root):
        for name in [*folders, *files]:
            path = os.path.join(folder, name)
            relative = os.path.relpath(path, root)
            links.setdefault(os.lstat(path).st_ino, []).append(relative)
            found[relative] = describe(path)
    for group in links.values():
        for relative in group:
            found[relative]["links"] = sorted(group)
    return found


def describe(path):
    """What a copy of one file must keep."""
    status = os.lstat(path)
    about = {
        "mode": oct(status.st_mode),
        "owner": (status.st_uid, status.st_gid),
        "mtime": status.st_mtime_ns,
        "device": status.st_rdev,
        "xattrs": {
            name: os.getxattr(path, name, follow_symlinks=False)
            for name in sorted(os.listxattr(path, follow_symlinks=False))
            if name.startswith(("user.", "system.posix_acl"))
        },
    }
    if stat.S_ISREG(status.st_mode):
        with open(path, "rb") as file:
            about["data"] = hashlib.sha256(file.read()).hexdigest()
        about["size"], about["nlink"] = status.st_size, status.st_nlink
        about["sparse"] = status.st_blocks * 512 * HOLE_SHARE <= status.st_size > 0
    elif stat.S_ISLNK(status.st_mode):
        about["target"] = os.readlink(path)
    return about


def same(before, after, where):
    """Failed, with each difference, unless two manifests are equal."""
    lines = []
    for path in sorted(before.keys() | after.keys()):
        one, other = before.get(path, {}), after.get(path, {})
        for key in sorted(one.keys() | other.keys()):
            if one.get(key) != other.get(key):
                lines.append(f"    {path}: {key}: {one.get(key)!r} became {other.get(key)!r}")
    if lines:
        raise Failed("\n".join([f"{len(lines)} differences, {where}:", *lines]))


def expect(found, wanted, what):
    """Failed unless two values are equal."""
    if found != wanted:
        raise Failed(f"{what}: {found!r}, not {wanted!r}")


PROGRAMS = {"git": git, "cargo": cargo, "sqlite": sqlite, "tar": tar}

if __name__ == "__main__":
    main("programs", ["mem", "dir null"], suite)
