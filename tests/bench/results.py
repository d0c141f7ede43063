"""What a run has measured: kept as JSON, and asked for medians and ratios."""

import json
import os
import statistics
import subprocess

ONE_CPU, FREE = "one CPU", "free"
KEPT = ("value", "p99", "rate", "client", "daemon", "others")


class Results:
    """Cells by place, test and candidate; of each the figures of every round."""

    def __init__(self, about=None):
        self.about = about or {}
        self.cells, self.faults, self.scale = {}, {}, {}

    def add(self, place, test, name, number, cell):
        """Keeps what one round measured; rate and tail only where they are asked for."""
        rounds = self.cells.setdefault((place, test, name), {})
        kept = [key for key in KEPT if key not in ("p99", "rate") or test.startswith("statx")]
        rounds[number] = {key: _short(cell[key]) for key in kept if key in cell}

    def fault(self, place, test, name, error):
        """Keeps why there is no figure."""
        self.faults.setdefault((place, test, name), str(error).strip()[-200:])

    def values(self, place, test, name, key="value"):
        """One figure of each round."""
        rounds = self.cells.get((place, test, name), {})
        return {number: cell[key] for number, cell in rounds.items() if key in cell}

    def median(self, place, test, name, key="value"):
        """The median of the rounds; None if there is none."""
        values = self.values(place, test, name, key)
        return statistics.median(values.values()) if values else None

    def ratios(self, mine, base, key="value"):
        """The ratio in each round in which both were measured."""
        mine, base = self.values(*mine, key), self.values(*base, key)
        return [mine[number] / base[number] for number in mine if base.get(number)]

    def noise(self, place):
        """Largest by smallest of a cell's rounds (median, 90th percentile), what others used."""
        spread, others = [], []
        for (where, _, _), rounds in self.cells.items():
            values = [cell["value"] for cell in rounds.values()]
            if where == place and len(values) > 1 and min(values) > 0:
                spread.append(max(values) / min(values))
                others += [cell["others"] for cell in rounds.values()]
        spread.sort()
        if not spread:
            return None
        return (statistics.median(spread), spread[len(spread) * 9 // 10],
                statistics.median(others))

    def save(self, path):
        """Writes it all; a line for each cell."""
        rows = [[*key, {name: [cell.get(name) for cell in rounds.values()] for name in KEPT
                        if name in next(iter(rounds.values()))}, list(rounds)]
                for key, rounds in self.cells.items()]
        parts = [f'"about": {json.dumps(self.about)}',
                 '"cells": [\n' + ",\n".join(json.dumps(row) for row in rows) + "\n]",
                 '"faults": [\n' + ",\n".join(
                     json.dumps([*key, text]) for key, text in self.faults.items()) + "\n]",
                 f'"scale": {json.dumps(self.scale)}']
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + ".new", "w", encoding="ascii") as file:
            file.write("{\n" + ",\n".join(parts) + "\n}\n")
        os.replace(path + ".new", path)

    @staticmethod
    def load(path):
        """Reads what `save` wrote."""
        with open(path, encoding="ascii") as file:
            found = json.load(file)
        results = Results(found["about"])
        for place, test, name, figures, numbers in found["cells"]:
            results.cells[place, test, name] = {
                number: {key: column[at] for key, column in figures.items()}
                for at, number in enumerate(numbers)}
        results.faults = {tuple(row[:3]): row[3] for row in found["faults"]}
        results.scale = found["scale"]
        return results


def about(rounds, seconds):
    """Machine, kernel, versions."""
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as text:
        models = [line.partition(":")[2].strip() for line in text if line.startswith("model name")]
    versions = {}
    for name, words in {
        "rustc": ["rustc", "--version"], "libfuse": ["pkg-config", "--modversion", "fuse3"],
        "bindfs": ["bindfs", "--version"], "mergerfs": ["dpkg-query", "-Wf${Version}", "mergerfs"],
        "fuse-overlayfs": ["dpkg-query", "-Wf${Version}", "fuse-overlayfs"],
        "unionfs-fuse": ["dpkg-query", "-Wf${Version}", "unionfs-fuse"],
    }.items():
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            versions[name] = " ".join(done.stdout.split()[:2]) or "not installed"
        except OSError:
            versions[name] = "not installed"
    return {"kernel": os.uname().release.split("-")[0], "cpus": os.cpu_count(),
            "model": models[0] if models else os.uname().machine, "rounds": rounds,
            "seconds": seconds, "versions": versions}


def _short(number):
    short = float(f"{number:.4g}")
    return int(short) if short == int(short) else short
