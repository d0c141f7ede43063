#!/usr/bin/env python3
"""The licence of every crate that is linked into filo, against the list in deny.toml.

cargo-deny does this and more, and ./test uses it where it is installed. It is not installed by
./test: it takes more than three minutes to build on two cores, longer than everything else.
"""

import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def allowed_licences():
    """The `allow` list of the [licenses] section."""
    with open(os.path.join(ROOT, "deny.toml"), encoding="utf-8") as file:
        section = file.read().partition("[licenses]")[2]
    inside = re.search(r"^allow = \[(.*?)^\]", section, re.MULTILINE | re.DOTALL)
    return set(re.findall(r'"([^"]+)"', inside[1]))


def satisfied(expression, allowed):
    """Whether an SPDX expression can be met by allowed licences alone. `/` is an old `OR`."""
    words = re.findall(r"[()]|[^\s()/]+|/", expression)

    def either(at):
        met, at = both(at)
        while at < len(words) and words[at] in ("OR", "/"):
            other, at = both(at + 1)
            met = met or other
        return met, at

    def both(at):
        met, at = one(at)
        while at < len(words) and words[at] == "AND":
            other, at = one(at + 1)
            met = met and other
        return met, at

    def one(at):
        if words[at] == "(":
            met, at = either(at + 1)
            return met, at + 1
        name, at = words[at], at + 1
        if at < len(words) and words[at] == "WITH":
            name, at = f"{name} WITH {words[at + 1]}", at + 2
        return name in allowed, at

    return bool(words) and either(0)[0]


def main():
    """Prints each crate at fault; exit code 1 when there is one."""
    allowed = allowed_licences()
    for expression, met in {
        "MIT": True,
        "GPL-3.0-only": False,
        "GPL-2.0-only OR MIT": True,
        "GPL-2.0-only AND MIT": False,
        "(MIT OR Apache-2.0) AND Unicode-3.0": True,
        "MIT/GPL-3.0": True,
        "Apache-2.0 WITH LLVM-exception OR GPL-2.0-only": True,
        "": False,
    }.items():
        assert satisfied(expression, allowed) == met, expression
    command = ["cargo", "metadata", "--format-version=1", "--all-features"]
    found = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
    packages = json.loads(found.stdout)["packages"]
    bad = [
        f"{package['name']} {package['version']}: {package['license'] or 'no licence named'}"
        for package in packages
        if not satisfied(package["license"] or "", allowed)
    ]
    print("\n".join([f"{len(packages)} crates, {len(bad)} with a licence not allowed", *bad]))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
