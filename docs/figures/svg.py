"""Plots as SVG, with nothing but Python's own library."""

import math

COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd")
WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM, TOP = 640, 360, 70, 150, 40, 40


def lines(title, across, unit, curves):
    """Lines over two logarithmic axes. `curves`: pairs of a name and its points."""
    points = [point for _, curve in curves for point in curve]
    low_x, high_x = (decade([x for x, _ in points], round_to) for round_to in (math.floor, math.ceil))
    low_y, high_y = (decade([y for _, y in points], round_to) for round_to in (math.floor, math.ceil))

    def x_at(x):
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(x / low_x) / math.log(high_x / low_x)

    def y_at(y):
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * math.log(y / low_y) / math.log(high_y / low_y)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="20" font-size="14">{title}</text>',
        f'<text x="{LEFT}" y="{HEIGHT - 6}">{across}</text>',
    ]
    for value in decades(low_x, high_x):
        x = x_at(value)
        out.append(f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#ddd"/>')
        out.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{label(value)}</text>')
    for value in decades(low_y, high_y):
        y = y_at(value)
        out.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        out.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label(value)}{unit}</text>')
    for index, (name, curve) in enumerate(curves):
        path = "L".join(f"{x_at(x):.1f} {y_at(y):.1f}" for x, y in curve)
        out.append(f'<path d="M{path}" fill="none" stroke="{COLOURS[index]}" stroke-width="2"/>')
        out.append(f'<text x="{WIDTH - RIGHT + 6}" y="{TOP + 16 + 18 * index}" fill="{COLOURS[index]}">{name}</text>')
    return "\n".join(out) + "\n</svg>\n"


def bars(title, rows):
    """Horizontal bars beside a mark at 1. `rows`: pairs of a name and a ratio."""
    height, left = 60 + 24 * len(rows), 300
    scale = (WIDTH - left - 60) / max(1.0, *(value for _, value in rows))
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="10" y="20" font-size="14">{title}</text>',
    ]
    for index, (name, value) in enumerate(rows):
        y = 40 + 24 * index
        out.append(f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{name}</text>')
        out.append(f'<rect x="{left}" y="{y}" width="{value * scale:.1f}" height="18" fill="{COLOURS[0]}"/>')
        out.append(f'<text x="{left + value * scale + 6:.1f}" y="{y + 13}">{value:.2f}</text>')
    one = left + scale
    out.append(f'<path d="M{one:.1f} 34V{height - 16}" stroke="{COLOURS[1]}" stroke-dasharray="4 3"/>')
    return "\n".join(out) + "\n</svg>\n"


def decade(values, round_to):
    limit = min(values) if round_to is math.floor else max(values)
    return 10.0 ** round_to(math.log10(limit))


def decades(low, high):
    first, last = round(math.log10(low)), round(math.log10(high))
    return [10.0**exponent for exponent in range(first, max(first, last) + 1)]


def label(value):
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"
