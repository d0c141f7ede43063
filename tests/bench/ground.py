"""The directory that every candidate mounts: the same files each time, on a tmpfs."""

import os
import random
import shutil

from candidates import run

NAMES = 10_000
FILE_BYTES = 64 << 20
TREE_FILES, TREE_DIRS = 4_000, 100
TMPFS_BYTES = 6 << 30


class Ground:
    """The files, and what a measurement leaves behind taken away again."""

    def __init__(self, place, names=NAMES, tree_files=TREE_FILES):
        self.place, self.names = place, names
        backing = os.path.join(place, "backing")
        os.makedirs(backing)
        run(["mount", "-t", "tmpfs", "-o", f"size={TMPFS_BYTES},mode=755", "filo-bench", backing])
        self.source = os.path.join(backing, "source")
        self.archive = os.path.join(backing, "tree.tar")
        many = os.path.join(self.source, "many")
        os.makedirs(many)
        for name in range(names):
            os.mknod(os.path.join(many, f"name{name:05}"))
        with open(os.path.join(self.source, "file"), "wb") as file:
            for _ in range(FILE_BYTES >> 20):
                file.write(b"x" * (1 << 20))
        self._make_tree(os.path.join(self.source, "tree"), tree_files)
        self._kept = set(os.listdir(self.source)) | {"moved"}
        self.tidy()

    def _make_tree(self, tree, files):
        """Small files in directories, in an archive and in a repository."""
        numbers = random.Random(1)
        for number in range(files):
            directory = os.path.join(tree, f"d{number % TREE_DIRS:02}")
            os.makedirs(directory, exist_ok=True)
            with open(os.path.join(directory, f"file{number:04}.txt"), "wb") as file:
                file.write(numbers.randbytes(numbers.randrange(8192)))
        run(["tar", "-cf", self.archive, "-C", tree, "."])
        git = ["git", "-C", tree, "-c", "user.name=bench", "-c", "user.email=bench@localhost"]
        run([*git, "init", "-q"])
        # What a mount may show otherwise (device, inode number) is not compared.
        run([*git, "config", "core.checkStat", "minimal"])
        run([*git, "config", "gc.auto", "0"])
        run([*git, "add", "."])
        run([*git, "commit", "-q", "-m", "tree"])
        run([*git, "status"])

    def tidy(self):
        """Takes away what a candidate left, so that the next one finds the same."""
        backing = os.path.dirname(self.source)
        found = [os.path.join(self.source, name) for name in os.listdir(self.source)
                 if name not in self._kept]
        found += [os.path.join(backing, name) for name in os.listdir(backing)
                  if name.startswith("scratch")]
        for path in found:
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)
        with open(os.path.join(self.source, "moved"), "wb"):
            pass
