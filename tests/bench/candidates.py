"""What is measured: programs that mount a directory, and how each is had and started."""

import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
MOUNT_SECONDS = 15
# libfuse's examples: one thread at a time as Debian 12 ships the source, and a later libfuse, as
# Debian 13 has its source, for FUSE passthrough. One with io_uring (3.18) is in no Debian yet.
LL_SOURCE = "/usr/share/doc/libfuse3-dev/examples/passthrough_ll.c"
FUSE_ARCHIVE = "http://deb.debian.org/debian/pool/main/f/fuse3/fuse3_3.17.2.orig.tar.gz"
FUSE_SHA256 = "3d932431ad94e86179e5265cddde1d67aa3bb2fb09a5bd35c641f86f2b5ed06f"
PACKAGES = {
    "bindfs": "bindfs", "mergerfs": "mergerfs", "fuse-overlayfs": "fuse-overlayfs",
    "unionfs-fuse": "unionfs-fuse", "cc": "gcc", "c++": "g++", "pkg-config": "pkgconf",
    "meson": "meson", "ninja": "ninja-build", "git": "git", LL_SOURCE: "libfuse3-dev",
}


def run(words, **more):
    """Runs a command to its end; RuntimeError with its last words if it fails."""
    done = subprocess.run(words, capture_output=True, text=True, check=False, **more)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise RuntimeError(said[-1] if said else f"{words[0]}: exit code {done.returncode}")
    return done.stdout


class Candidate:
    """One way to mount a directory, by a command; an empty one is none at all.

    In the command {source} is the directory and {point} where it is to be mounted; {scratch} and
    {empty} are empty directories beside the first and somewhere. The program stays in the
    foreground. `times` daemons are mounted, each over the one before.
    """

    def __init__(self, name, command, times=1):
        self.name, self.command, self.times = name, command, times
        self.processes, self.points = [], []

    def start(self, source, place):
        """Mounts; answers where to work. RuntimeError with what the program said."""
        for number in range(self.times if self.command else 0):
            point = os.path.join(place, f"mnt{number}")
            fields = {"source": source, "point": point,
                      "scratch": os.path.join(os.path.dirname(source), f"scratch{number}"),
                      "empty": os.path.join(place, "empty")}
            for name in ("point", "scratch", "empty"):
                os.makedirs(fields[name], exist_ok=True)
            words = [word.format(**fields) for word in shlex.split(self.command)]
            self.processes.append(subprocess.Popen(
                words, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE, text=True))
            self.points.append(point)
            self._wait(self.processes[-1], point)
            source = point
        return source

    def _wait(self, process, point):
        until = time.monotonic() + MOUNT_SECONDS
        while not os.path.ismount(point):
            if process.poll() is not None or time.monotonic() > until:
                process.kill()
                words = process.stderr.read().strip()
                self.stop()
                raise RuntimeError(f"{self.name} does not mount: {words[-300:]}")
            time.sleep(0.002)
        os.stat(point)
        time.sleep(0.03)  # its threads come to rest

    def stop(self):
        """Unmounts, and waits for the daemons to end."""
        for point in reversed(self.points):
            for _ in range(100):
                done = subprocess.run(["umount", "-i", point], capture_output=True, check=False)
                if done.returncode == 0 or not os.path.ismount(point):
                    break
                time.sleep(0.05)
        for process in self.processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
            process.stderr.close()
        self.processes, self.points = [], []

    def processor(self):
        """Processor time of the daemons, and of what they started, in nanoseconds."""
        return sum(_processor(process.pid) for process in self.processes)

    def resident(self):
        """Memory of the daemons in bytes: what is resident and theirs."""
        total = 0
        for process in self.processes:
            with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
                total += int(re.search(r"^RssAnon:\s+(\d+) kB", status.read(), re.M)[1]) << 10
        return total


def _processor(pid):
    total = 0
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as text:
                total += int(text.read().split()[0])
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as text:
                total += sum(_processor(child) for child in text.read().split())
    except OSError:
        pass  # it has just gone
    return total


class Programs:
    """What has to be there, built into a folder that is kept from run to run."""

    def __init__(self, folder, filo, constants):
        self.folder, self.filo, self.constants = folder, os.path.abspath(filo), constants
        self.missing = {}
        os.makedirs(folder, exist_ok=True)

    def install(self):
        """What Debian has, with apt, where that is possible."""
        packages = [package for program, package in PACKAGES.items()
                    if not os.path.exists(program) and not shutil.which(program)]
        if packages and shutil.which("apt-get"):
            words = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
            subprocess.run(words, check=False, stdout=subprocess.DEVNULL,
                           env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})

    def compile(self, name, source, flags=()):
        """The path of a program made of one C file."""
        path = os.path.join(self.folder, name)
        if not os.path.exists(path) or os.path.getmtime(path) < os.path.getmtime(source):
            run(["cc", "-O2", "-Wall", "-Wextra", source, "-o", path, *flags])
        return path

    def ops(self):
        """The program that does single operations."""
        return self.compile("ops", os.path.join(HERE, "ops.c"), ["-lpthread"])

    def floor(self):
        """The server of constants in C."""
        return self.compile("floor", os.path.join(HERE, "floor.c"), ["-lpthread"])

    def passthrough_ll(self):
        """libfuse's example, with the libfuse of this machine."""
        flags = run(["pkg-config", "fuse3", "--cflags", "--libs"]).split()
        return self.compile("passthrough_ll", LL_SOURCE, [*flags, "-w"])

    def passthrough_hp(self):
        """libfuse's example that has the kernel read and write by itself."""
        tree = os.path.join(self.folder, "fuse-3.17.2")
        program = os.path.join(tree, "build", "example", "passthrough_hp")
        if not os.path.exists(program):
            with urllib.request.urlopen(FUSE_ARCHIVE, timeout=60) as answer:
                archive = answer.read()
            if hashlib.sha256(archive).hexdigest() != FUSE_SHA256:
                raise RuntimeError("the archive of libfuse is not the one that is known")
            with open(tree + ".tar.gz", "wb") as file:
                file.write(archive)
            run(["tar", "-xzf", tree + ".tar.gz", "-C", self.folder])
            run(["meson", "setup", "-Dtests=false", "-Dutils=false", "--buildtype=release",
                 "--default-library=static", os.path.join(tree, "build"), tree])
            run(["ninja", "-C", os.path.join(tree, "build"), "example/passthrough_hp"])
        return program

    def layers(self):
        """The words for layers that this filo knows."""
        layers = run([self.filo, "layers"]).partition("\nLayers")[2]
        return re.findall(r"^  (\w+)", layers, re.M)

    def all(self):
        """Every candidate that can be had here, by name; what cannot is in `missing`."""
        filo = f"{shlex.quote(self.filo)} mount -f"
        serve = f"{shlex.quote(self.filo)} serve dir:{{source}}"
        commands = {
            "native": lambda: "",
            "filo": lambda: f"{filo} dir:{{source}} null {{point}}",
            "ll -s": lambda: f"{self.passthrough_ll()} -f -s -o source={{source}} {{point}}",
            "ll": lambda: f"{self.passthrough_ll()} -f -o source={{source}} {{point}}",
            "hp": lambda: f"{self.passthrough_hp()} --foreground {{source}} {{point}}",
            "bindfs": lambda: _installed("bindfs", "-f {source} {point}"),
            "mergerfs": lambda: _installed("mergerfs", "-f {source} {point}"),
            "fuse-overlayfs": lambda: _installed(
                "fuse-overlayfs",
                "-f -o lowerdir={empty},upperdir={source},workdir={scratch} {point}"),
            "unionfs": lambda: _installed("unionfs-fuse", "-f {source}=RW {point}"),
            "floor": lambda: f"{self.floor()} {{point}}",
            "floor no-opens": lambda: f"{self.floor()} {{point}} no-opens",
            "floor ring": lambda: f"{self.floor()} {{point}} ring",
            "filo constants": lambda: f"{shlex.quote(self._example())} {{point}}",
            "filo no-opens": lambda: f"{shlex.quote(self._example())} {{point}} no-opens",
            "filo private": lambda: f"{filo} -o no_allow_other dir:{{source}} null {{point}}",
            "filo + acting layer": lambda:
                f"{filo} dir:{{source}} fault:op=read,nth=1000000000,errno=EIO {{point}}",
            "filo + slow reads": lambda:
                f"{filo} dir:{{source}} fault:op=read,times=0,delay_ms=20 {{point}}",
            "filo exec": lambda: f"{filo} 'exec:bindfs {{source}} {{{{}}}}' null {{point}}",
            "filo server": lambda: f"{filo} 'server:{serve}' null {{point}}",
        }
        for depth in DEPTHS:
            nulls = " ".join(["null"] * depth)
            commands[f"filo {depth} null"] = \
                lambda nulls=nulls: f"{filo} dir:{{source}} {nulls} {{point}}"
            commands[f"filo {depth} idmap"] = lambda depth=depth: self._idmap(filo, depth)
        found = {}
        for name, command in commands.items():
            try:
                found[name] = Candidate(name, command())
            except (RuntimeError, OSError) as error:
                self.missing[name] = str(error)
        for depth in DEPTHS[:4]:
            if "bindfs" in found:
                name = f"{depth} bindfs"
                found[name] = Candidate(name, found["bindfs"].command, depth)
        return found

    def _example(self):
        if not self.constants or not os.path.exists(self.constants):
            raise RuntimeError("cargo build --release -p filofs-front --example constants")
        return os.path.abspath(self.constants)

    def _idmap(self, filo, depth):
        if "idmap" not in self.layers():
            raise RuntimeError("this filo has no layer idmap")
        layers = " ".join(["idmap:uid=0:0:65536,gid=0:0:65536"] * depth)
        return f"{filo} dir:{{source}} {layers} {{point}}"


# How many layers, or daemons one on the other, are measured.
DEPTHS = (1, 2, 4, 8, 16)


def _installed(program, words):
    if not shutil.which(program):
        raise RuntimeError(f"{program} is not installed")
    return f"{program} {words}"
