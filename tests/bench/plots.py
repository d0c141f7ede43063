"""Plots as SVG, written by hand: bars of ratios, and lines over a number that grows."""

import math
from html import escape

COLOURS = ("#1f6fb4", "#d9822b", "#3a9a4d", "#c0392b", "#7d5ba6", "#8c6d46", "#d46aa8", "#6b6b6b",
           "#a8a32a", "#2aa8a8")
WIDTH, LEFT, RIGHT, TOP, BOTTOM = 760, 70, 180, 40, 50


def _text(x, y, words, anchor="start", size=12):
    return (f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" text-anchor="{anchor}">'
            f"{escape(words)}</text>")


def _page(height, title, parts):
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
            f'font-family="sans-serif" fill="#222">\n<rect width="100%" height="100%" '
            f'fill="#fff"/>\n{_text(LEFT, 20, title, size=14)}\n')
    return head + "\n".join(parts) + "\n</svg>\n"


def _powers(low, high):
    return [10.0 ** power for power in range(math.floor(math.log10(low)),
                                             math.ceil(math.log10(high)) + 1)]


def _marks(numbers):
    """Those of the numbers that are marked on an axis: powers of ten if there are some."""
    powers = {number for number in numbers if math.log10(number).is_integer()}
    return sorted(powers if len(powers) > 2 else numbers)


def lines(title, across, up, series):
    """Several lines, both axes logarithmic; `series` is {name: [(x, y), ...]}."""
    height, right, bottom = 400, WIDTH - RIGHT, 400 - BOTTOM
    points = [point for line in series.values() for point in line if point[1] > 0]
    low_x, high_x = min(x for x, _ in points), max(x for x, _ in points)
    low_y, high_y = min(y for _, y in points) / 1.5, max(y for _, y in points) * 1.5

    def place(x, y):
        part_x = math.log(x / low_x) / max(math.log(high_x / low_x), 1e-9)
        part_y = math.log(y / low_y) / math.log(high_y / low_y)
        return LEFT + part_x * (right - LEFT), bottom - part_y * (bottom - TOP)

    parts = [f'<path d="M{LEFT} {TOP}V{bottom}H{right}" stroke="#222" fill="none"/>',
             _text((LEFT + right) / 2, height - 12, across, "middle"),
             _text(8, TOP - 6, up)]
    for y in (y * step for y in _powers(low_y, high_y) for step in (1, 2, 5)):
        if low_y <= y <= high_y:
            at = place(low_x, y)[1]
            parts.append(f'<path d="M{LEFT} {at:.1f}H{right}" stroke="#ddd"/>')
            parts.append(_text(LEFT - 6, at + 4, f"{y:,.0f}" if y >= 1 else f"{y:g}", "end", 11))
    for x in _marks({x for x, _ in points}):
        at = place(x, low_y)[0]
        parts.append(f'<path d="M{at:.1f} {bottom}v4" stroke="#222"/>')
        parts.append(_text(at, bottom + 16, f"{x:,.0f}", "middle", 11))
    for number, (name, line) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        spots = [place(x, y) for x, y in line if y > 0]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in spots)
        parts.append(f'<path d="M{path}" stroke="{colour}" stroke-width="2" fill="none"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in spots]
        at = TOP + 14 + number * 18
        parts.append(f'<rect x="{right + 12}" y="{at - 9}" width="10" height="10" '
                     f'fill="{colour}"/>')
        parts.append(_text(right + 28, at, name, size=11))
    return _page(height, title, parts)


def bars(title, names, rows):
    """A group of bars for each row, logarithmic from 0.1 up; `rows` is {label: {name: ratio}}."""
    thick, gap, left, right = 9, 12, 230, WIDTH - 130
    top = TOP + 18
    high = max((ratio for row in rows.values() for ratio in row.values()), default=1) * 1.3
    low = min(0.5, min((ratio for row in rows.values() for ratio in row.values()), default=1) / 1.3)

    def place(ratio):
        return left + math.log(ratio / low) / math.log(high / low) * (right - left)

    parts, y = [], top
    for label, row in rows.items():
        shown = [name for name in names if name in row]
        parts.append(_text(left - 8, y + thick * len(shown) / 2 + 4, label, "end", 11))
        for name in shown:
            colour = COLOURS[names.index(name) % len(COLOURS)]
            parts.append(f'<rect x="{left}" y="{y}" width="{place(row[name]) - left:.1f}" '
                         f'height="{thick - 1}" fill="{colour}"/>')
            parts.append(_text(place(row[name]) + 4, y + thick - 2, f"{row[name]:.2f}", size=9))
            y += thick
        y += gap
    for ratio in (r * s for r in _powers(low, high) for s in (1, 2, 5)):
        if low <= ratio <= high:
            at = place(ratio)
            dark = "#222" if ratio == 1 else "#ddd"
            parts.insert(0, f'<path d="M{at:.1f} {top - 4}V{y - gap}" stroke="{dark}"/>')
            parts.append(_text(at, top - 8, f"{ratio:g}", "middle", 10))
    for number, name in enumerate(names):
        at = top + 10 + number * 16
        parts.append(f'<rect x="{right + 30}" y="{at - 9}" width="10" height="10" '
                     f'fill="{COLOURS[number % len(COLOURS)]}"/>')
        parts.append(_text(right + 45, at, name, size=11))
    return _page(max(y, top + 16 * len(names)) + 10, title, parts)
