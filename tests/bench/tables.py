"""Results as Markdown."""

import os
import statistics

import goals
import measure
from results import FREE, ONE_CPU


def figure(value):
    """Three digits, as people write them."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(head, rows):
    """One table, as lines."""
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return lines + ["| " + " | ".join(row) + " |" for row in rows] + [""]


def goal_table(results):
    """What is wanted beside what is measured."""
    def show(found):
        return f"{found[0]:.2f} [{found[1]:.2f} - {found[2]:.2f}]" if found else "n/a"

    rows, shown = [], []
    tests = {(place, test) for place, test, _ in results.cells}
    for goal in goals.GOALS:
        if tests.isdisjoint((goal.place, test) for test in goal.tests):
            continue  # not asked for this time
        met = goal.met(results)
        floor = goal.known
        if goal.floor and (found := goal.ratio(results, goal.floor)):
            floor = show(found)
        # The best of the peers in the same row, where one can be: it needs no other stack.
        peer = best_peer(results, goal) if goal.mine in ("filo", "filo private") else None
        shown.append(goal)
        rows.append([goal.what, goal.wanted(), show(goal.ratio(results, goal.mine)),
                     {True: "yes", False: "**no**", None: "n/a"}[met], floor or "-",
                     f"{peer[1]:.2f} {peer[0]}" if peer else "-"])
    count = sum(goal.met(results) is True for goal in goals.GOALS)
    reasons = {}
    for goal in shown:
        if goal.met(results) is False and goal.why:
            reasons.setdefault(goal.why, []).append(goal.what)
    lines = ["Why the others are not, and what was tried:", ""] if reasons else []
    lines += [f"- **{'; '.join(names)}**: {why}" for why, names in reasons.items()]
    return [f"{count} of {len(rows)} are met.", "",
            *table(["what", "goal", "measured [rounds]", "met", "floor", "best peer"], rows),
            *lines, ""]


def best_peer(results, goal):
    """The peer with the best ratio in a row, and that ratio."""
    found = {name: goal.ratio(results, name) for name in goals.PEERS}
    found = {name: ratio[0] for name, ratio in found.items() if ratio}
    if not found:
        return None
    name = (max if goal.at_least() else min)(found, key=found.get)
    return name, found[name]


def figures(results, place, tests, names, base, key="value"):
    """A figure for each test and candidate, with its ratio to the base."""
    names = [name for name in names
             if any(results.values(place, test, name) for test in tests)]
    if base not in names:
        return []
    unit = {"value": "us (ms for programs)", "rate": "in a second"}[key]

    def cell(test, name):
        value = results.median(place, test, name, key)
        if value is None:
            return "-"
        shown = figure(value if key == "rate" or measure.is_operation(test) else value / 1e3)
        if place == FREE:
            rounds = results.values(place, test, name, key).values()
            scale = 1 if key == "rate" or measure.is_operation(test) else 1e3
            shown += f" [{figure(min(rounds) / scale)} - {figure(max(rounds) / scale)}]"
        ratios = results.ratios((place, test, name), (place, test, base), key)
        if name == base or not ratios:
            return shown
        return f"{shown} ({figure(statistics.median(ratios))})"

    rows = [[measure.label(test), *[cell(test, name) for name in names]] for test in tests
            if any(results.values(place, test, name, key) for name in names)]
    return table([f"{unit}; ratio to {base}", *names], rows) if rows else []


def processor(results, place, tests, names):
    """Processor time of an operation, and the daemon's part."""
    def cell(test, name):
        daemon = results.values(place, test, name, "daemon")
        client = results.values(place, test, name, "client")
        if not daemon:
            return "-"
        scale = 1 if measure.is_operation(test) else 1e3
        both = statistics.median(daemon[number] + client[number] for number in daemon)
        own = statistics.median(daemon.values())
        return f"{figure(both / scale)} ({figure(own / scale)})"

    names = [name for name in names if any(results.values(place, test, name) for test in tests)]
    rows = [[measure.label(test), *[cell(test, name) for name in names]] for test in tests
            if any(results.values(place, test, name) for name in names)]
    return table(["CPU, us (ms); the daemon's part", *names], rows) if rows else []


def report(results, sections, plots=""):
    """The whole report, as lines. `plots` is the folder of the plots, as links need it."""
    about = results.about
    # Some say their own name with the number.
    versions = ", ".join(version if version.startswith(name) else f"{name} {version}"
                         for name, version in about["versions"].items())
    lines = [f"{about['cpus']} CPUs ({about['model']}), Linux {about['kernel']}; {versions}. "
             f"{about['rounds']} rounds of {about['seconds']} s, candidates in turn.", ""]
    if about.get("note"):
        lines += [about["note"], ""]
    if any((place, test, name) in results.cells for place, test, name in goals.cells()):
        lines += ["### Goals", "", *goal_table(results)]
    known = {name for section in sections for name in section.names}
    known |= {name for _, _, name in goals.cells()}
    others = dict.fromkeys(name for _, _, name in results.cells if name not in known)
    for section in sections:
        part = []
        names = (*section.names, *others)
        for place in (ONE_CPU, FREE):
            shown = figures(results, place, section.tests, names, section.base)
            if section.rates:
                shown += figures(results, place, section.rates, names, section.base, "rate")
            if shown:
                part += [f"#### {place}", "", *shown]
            if shown and place == ONE_CPU and section.processor:
                part += processor(results, place, section.tests, names)
        if part:
            picture = [f"![{section.title}]({plots}/{section.name}.svg)", ""] \
                if plots and section.plotted else []
            lines += [f"### {section.title}", "", *picture, *part]
    for place in (ONE_CPU, FREE):
        if noise := results.noise(place):
            lines.append(f"Noise, {place}: largest by smallest of a cell's rounds: median "
                         f"{noise[0]:.2f}, 90th percentile {noise[1]:.2f}. Others used "
                         f"{noise[2]:.0%} of the machine (median).")
    lines.append("")
    lines += [f"- {name}{', ' + measure.label(test) + ', ' + place if test else ''}: {text}"
              for (place, test, name), text in results.faults.items()]
    return lines


def replace_part(path, mark, lines):
    """Puts lines between the two marks of that name in a file."""
    begin, end = f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
    with open(path, encoding="ascii") as file:
        head, _, rest = file.read().partition(begin)
    tail = rest.partition(end)[2]
    if not tail:
        raise RuntimeError(f"{os.path.basename(path)} lacks the marks of {mark}")
    text = "\n".join(lines).strip()
    with open(path, "w", encoding="ascii") as file:
        file.write(f"{head}{begin}\n\n{text}\n\n{end}{tail}")
