#!/usr/bin/env python3
"""A file system with one file, in Python with no library: docs/protocol.md spoken over a socket.

It is mounted by filo, perhaps under layers: filo mount server:./examples/hello.py /mnt
"""

import errno
import os
import socket
import stat
import struct
import sys

LOOKUP, FORGET, GETATTR, OPEN, READ, STATFS, RELEASE, INIT, OPENDIR, READDIR, RELEASEDIR = \
    1, 2, 3, 14, 15, 17, 18, 26, 27, 28, 29
INTERRUPT, DESTROY, BATCH_FORGET = 36, 38, 42
SYNC_LATER, UNMOUNT, ERROR, RESPONSE = 0x1103, 0x1104, 0x1106, 0x1107
NEVER_ANSWERED = {FORGET, INTERRUPT, BATCH_FORGET, SYNC_LATER, ERROR, RESPONSE}
MAGIC, VERSION, READ_ONLY = 0x66696C6F, 1, 0x2
MAX_WRITE = 64 << 10

NAME, CONTENT = b"hello", b"world\n"
ROOT, FILE = 1, 2
FOREVER = 1 << 30  # seconds that an answer may be believed: nothing changes here
NUMBERS = struct.pack("=5Q4I24x", 0, 0, 0, 2, 0, 512, 255, 512, 0)  # fuse_kstatfs


def attributes(node):
    mode, size = (stat.S_IFDIR | 0o755, 0) if node == ROOT else (stat.S_IFREG | 0o644, len(CONTENT))
    return struct.pack("=6Q10I", node, size, 1, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 512, 0)


def entry(node):
    return struct.pack("=4Q2I", node, 0, FOREVER, FOREVER, 0, 0) + attributes(node)


def mount_arguments():
    has = {LOOKUP, FORGET, GETATTR, OPEN, READ, STATFS, RELEASE, OPENDIR, READDIR, RELEASEDIR}
    operations = bytes(opcode in has for opcode in range(64))
    extended = bytes(0x1100 + opcode == UNMOUNT for opcode in range(32))
    head = struct.pack("=6IQ", MAGIC, VERSION, READ_ONLY, 0, 0, 0, 0)
    names = struct.pack("=32s256s", b"hello.py", b"hello")
    return head + entry(ROOT) + NUMBERS + names + operations + extended + bytes(80)


def init(body):
    major, minor = struct.unpack_from("=2I", body)
    if major != 7:
        raise OSError(errno.EPROTO, "another FUSE")
    answer = struct.pack("=4I2H2I2H2I24x", 7, min(minor, 45), 0, 0, 0, 0, MAX_WRITE, 1, 0, 0, 0, 0)
    offered = len(body) >= 32 and struct.unpack_from("=2I", body, 20) == (MAGIC, VERSION)
    return answer + mount_arguments() if offered else answer


def listing(offset, size):
    names = [(ROOT, b"."), (ROOT, b".."), (FILE, NAME)]
    answer = b""
    for after, (node, name) in list(enumerate(names, start=1))[offset:]:
        kind = stat.S_IFMT(stat.S_IFDIR if node == ROOT else stat.S_IFREG) >> 12
        one = struct.pack("=2Q2I", node, after, len(name), kind) + name
        one += bytes(-len(one) % 8)
        if len(answer) + len(one) > size:
            break
        answer += one
    return answer


def answer_to(opcode, node, body):
    if opcode == INIT:
        return init(body)
    if opcode == LOOKUP:
        if node != ROOT or body != NAME + b"\0":
            raise OSError(errno.ENOENT, "no such name")
        return entry(FILE)
    if opcode == GETATTR:
        return struct.pack("=Q2I", FOREVER, 0, 0) + attributes(node)
    if opcode in (OPEN, OPENDIR):
        return bytes(16)
    if opcode in (READ, READDIR):
        offset, size = struct.unpack_from("=QI", body, 8)
        return CONTENT[offset:][:size] if opcode == READ else listing(offset, size)
    if opcode == STATFS:
        return NUMBERS
    if opcode in (RELEASE, RELEASEDIR, UNMOUNT, DESTROY):
        return b""
    raise OSError(errno.ENOSYS, "no such operation")


def main():
    if "FILO_CHANNEL" not in os.environ:
        sys.exit("this is a file server: mount it with 'filo mount server:PROGRAM MOUNTPOINT'")
    channel = socket.socket(fileno=int(os.environ["FILO_CHANNEL"]))
    while message := channel.recv(MAX_WRITE + 4096):
        _, opcode, unique, node = struct.unpack_from("=2I2Q", message)
        if opcode in NEVER_ANSWERED:
            continue
        error, answer = 0, b""
        try:
            answer = answer_to(opcode, node, message[40:])
        except OSError as refused:
            error = -refused.errno
        channel.send(struct.pack("=IiQ", 16 + len(answer), error, unique) + answer)


if __name__ == "__main__":
    main()
