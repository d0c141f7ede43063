"""An idmapped bind mount of a mount of filo: mount_setattr(2), which util-linux 2.38 lacks.

Takes the mount point and an empty directory to bind it on; user 1000 there is 2000 here. Runs the
commands it is given as user 2000, each in that directory, and prints what they say."""

import ctypes
import os
import subprocess
import sys

CLONE_NEWUSER = 0x10000000
SYS = {"x86_64": {"unshare": 272}, "aarch64": {"unshare": 97}}[os.uname().machine]
SYS |= {"open_tree": 428, "move_mount": 429, "mount_setattr": 442}
libc = ctypes.CDLL(None, use_errno=True)


def call(name, *arguments):
    answer = libc.syscall(SYS[name], *arguments)
    if answer < 0:
        sys.exit(f"{name}: {os.strerror(ctypes.get_errno())}")
    return answer


def main(mountpoint, bound, commands):
    ready, go = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        call("unshare", CLONE_NEWUSER)
        os.write(ready[1], b".")
        os.read(go[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    for kind in "uid_map", "gid_map":
        with open(f"/proc/{child}/{kind}", "w", encoding="ascii") as ids:
            ids.write("0 0 1\n1000 2000 1\n")
    namespace = os.open(f"/proc/{child}/ns/user", os.O_RDONLY)
    os.write(go[1], b".")
    os.waitpid(child, 0)
    tree = call("open_tree", -100, os.fsencode(mountpoint), 0x80001)
    idmap = (ctypes.c_uint64 * 4)(0x100000, 0, 0, namespace)
    call("mount_setattr", tree, b"", 0x1000, ctypes.byref(idmap), 32)
    call("move_mount", tree, b"", -100, os.fsencode(bound), 4)
    os.close(tree)
    try:
        for command in commands:
            user = ["setpriv", "--reuid=2000", "--regid=2000", "--clear-groups"]
            subprocess.run([*user, "sh", "-c", command], cwd=bound, stderr=sys.stdout, check=False)
    finally:
        subprocess.run(["umount", bound], check=False)


main(sys.argv[1], sys.argv[2], sys.argv[3:])
