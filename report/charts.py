"""Charts as SVG text. Their colours are CSS classes (c0, c1, ...), so they follow the page's light or dark theme."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT = 560, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 12, 40
_NAMES = 152  # width to the right of lines, for their names
_LINE_HEIGHT = 14
_PLOT_WIDTH = WIDTH - _LEFT - _RIGHT
_TICKS = 5
_DECADES = 3  # from which on a logarithmic axis has ticks at powers of ten alone


@dataclass(frozen=True)
class Axis:
    """An axis: its range, its label, whether it is logarithmic, and names of the numbers from 0, if they have names."""

    low: float
    high: float
    label: str = ""
    log: bool = False
    names: tuple[str, ...] = ()

    def text(self, tick: float) -> str:
        """Return what is written at a tick."""
        return self.names[round(tick)] if self.names else number(tick)

    def at(self, value: float) -> float:
        """Return the position of a value, 0..1 within the range."""
        if self.log:
            return math.log(max(value, self.low) / self.low) / max(math.log(self.high / self.low), 1e-12)
        return (value - self.low) / max(self.high - self.low, 1e-12)

    def ticks(self) -> list[float]:
        """Return round numbers within the range."""
        if self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            steps = (1, 2, 5) if last - first < _DECADES else (1,)
            rounds = [step * 10.0**decade for decade in range(first, last + 1) for step in steps]
            within = [each for each in rounds if self.low * (1 - 1e-9) <= each <= self.high * (1 + 1e-9)]
            return within or [self.low, self.high]
        step = _step((self.high - self.low) / _TICKS)
        step = max(step, 1) if self.names else step
        first = math.ceil(self.low / step - 1e-9)
        return [number * step for number in range(first, math.floor(self.high / step + 1e-9) + 1)]


class Interval(NamedTuple):
    """A value with its interval."""

    value: float
    low: float
    high: float


class Series(NamedTuple):
    """A line: its points, the limits of its band if it has one, and the tooltips of the points."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    tips: Sequence[str] = ()


class Curve(NamedTuple):
    """A line over a histogram, of another quantity than the bars."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


def number(value: float) -> str:
    """Return a short form of a number: 12k, 3.4M, 0.05."""
    for limit, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{sign}"
    return f"{value:.3g}"


def histogram(edges: Sequence[float], values: Sequence[float], title: str, x: Axis, y: str, curve: Curve) -> str:
    """Return bars between edges on an axis of any kind, and over them a curve from 0 at the bottom to its greatest.

    edges: len(values) + 1 numbers, of which the first may be below the axis.
    """
    axis = Axis(0, max([*values, 1e-12]) * 1.05, y)
    parts = [_y_axis(axis), *(_x_tick(_x(x, tick), number(tick)) for tick in x.ticks()), _x_label(x.label)]
    for low, high, value in zip(edges[:-1], edges[1:], values, strict=True):
        left, right = _x(x, max(low, x.low)), _x(x, high)
        tip = f"{number(low)} to {number(high)}: {value:,}"
        parts.append(_bar(axis, left + 0.5, max(right - left - 1, 1), value, 0, tip))
    scale = Axis(0, max([*curve.y, 1e-12]) * 1.05)
    points = " ".join(f"{_x(x, a):.1f},{_y(scale, b):.1f}" for a, b in zip(curve.x, curve.y, strict=True))
    parts.append(f'<polyline class="line c1" points="{points}"/>')
    return _figure(title, parts) + legend([y, curve.name])


def bars(labels: Sequence[str], values: Sequence[float], title: str, y: str, tips: Sequence[str], x: str = "") -> str:
    """Return a bar chart; if there are many labels, only some are shown."""
    axis = Axis(0, max([*values, 1e-12]) * 1.05, y)
    width = _PLOT_WIDTH / max(len(values), 1)
    parts = [_y_axis(axis)]
    for index, (value, tip) in enumerate(zip(values, tips, strict=True)):
        parts.append(_bar(axis, _LEFT + (index + 0.1) * width, 0.8 * width, value, 0, tip))
    every = max(1, math.ceil(len(labels) / 8))
    parts += [_x_tick(_LEFT + (index + 0.5) * width, labels[index]) for index in range(0, len(labels), every)]
    return _figure(title, [*parts, _x_label(x)])


def grouped(groups: Sequence[str], names: Sequence[str], cells: Mapping[tuple[str, str], Interval], y: str) -> str:
    """Return a bar chart with intervals, by group and name; a pair that is not in `cells` has no bar."""
    axis = Axis(0, max([cell.high for cell in cells.values()] + [1e-12]) * 1.05, y)
    width = _PLOT_WIDTH / max(len(groups), 1)
    bar_width = 0.8 * width / max(len(names), 1)
    parts = [_y_axis(axis)]
    for (group, name), (value, low, high) in cells.items():
        colour = names.index(name)
        left = _LEFT + (groups.index(group) + 0.1) * width + colour * bar_width
        tip = f"{name}, {group}: {value:.4f}" + (f" [{low:.4f}, {high:.4f}]" if low < high else "")
        parts.append(_bar(axis, left + 1, max(bar_width - 2, 1), value, colour, tip))
        middle = left + bar_width / 2
        if low < high:
            parts.append(f'<path class="whisker" d="M{middle:.1f} {_y(axis, low):.1f}V{_y(axis, high):.1f}"/>')
    parts += [_x_tick(_LEFT + (index + 0.5) * width, group) for index, group in enumerate(groups)]
    return _figure(y, parts) + legend(names)


def lines(series: Sequence[Series], title: str, x: Axis, y: Axis, dots: bool = True) -> str:
    """Return a line chart with bands; several lines have their names at their ends, dashes of their own and a legend.

    So two lines that coincide can be told apart, without colours too.
    """
    right = _NAMES if len(series) > 1 else _RIGHT

    def points(xs: Sequence[float], ys: Sequence[float]) -> list[str]:
        return [f"{_x(x, a, right):.1f},{_y(y, b):.1f}" for a, b in zip(xs, ys, strict=True)]

    parts = [_y_axis(y, right), *(_x_tick(_x(x, tick, right), x.text(tick)) for tick in x.ticks()), _x_label(x.label)]
    for colour, line in enumerate(series):
        if line.low:
            band = points(line.x, line.high) + points(line.x, line.low)[::-1]
            parts.append(f'<polygon class="band c{colour}" points="{" ".join(band)}"/>')
        parts.append(f'<polyline class="line c{colour} d{colour % 4}" points="{" ".join(points(line.x, line.y))}"/>')
        if dots:
            for a, b, tip in zip(line.x, line.y, line.tips, strict=True):
                place = f'cx="{_x(x, a, right):.1f}" cy="{_y(y, b):.1f}" r="4"'
                parts.append(f'<circle class="dot c{colour}" {place} data-tip="{escape(tip)}"/>')
    if len(series) == 1:
        return _figure(title, parts)
    ends = _apart([_y(y, line.y[-1]) for line in series])
    for line, top in zip(series, ends, strict=True):
        parts.append(f'<text class="end" x="{WIDTH - right + 6}" y="{top + 4:.1f}">{escape(line.name)}</text>')
    return _figure(title, parts) + legend([line.name for line in series], dashed=True)


def _apart(tops: Sequence[float]) -> list[float]:
    """Return positions near the given ones, in their order and a line's height from each other."""
    order = sorted(range(len(tops)), key=lambda index: tops[index])
    placed, least, most = list(tops), float(_TOP), float(HEIGHT - _BOTTOM)
    for index in order:
        placed[index] = max(placed[index], least)
        least = placed[index] + _LINE_HEIGHT
    for index in reversed(order):
        placed[index] = min(placed[index], most)
        most = placed[index] - _LINE_HEIGHT
    return placed


def legend(names: Sequence[str], dashed: bool = False) -> str:
    """Return a legend of names and their colours, or of their dashes."""
    items = "".join(f"<li>{_key(colour, dashed)}{escape(name)}</li>" for colour, name in enumerate(names))
    return f'<ul class="legend">{items}</ul>'


def _key(colour: int, dashed: bool) -> str:
    if not dashed:
        return f'<i class="c{colour}"></i>'
    line = f'<path class="line c{colour} d{colour % 4}" d="M0 5H28"/>'
    return f'<svg width="28" height="10" aria-hidden="true">{line}</svg>'


def _step(rough: float) -> float:
    """Return the smallest of 1, 2, 5, 10, 20, ... that is at least `rough`."""
    size = 10.0 ** math.floor(math.log10(max(rough, 1e-300)))
    return next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough * (1 - 1e-9))


def _x(axis: Axis, value: float, right: int = _RIGHT) -> float:
    return _LEFT + axis.at(value) * (WIDTH - _LEFT - right)


def _y(axis: Axis, value: float) -> float:
    return HEIGHT - _BOTTOM - axis.at(value) * (HEIGHT - _BOTTOM - _TOP)


def _bar(axis: Axis, left: float, width: float, value: float, colour: int, tip: str) -> str:
    top = _y(axis, value)
    return (
        f'<rect class="column c{colour}" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" '
        f'height="{max(HEIGHT - _BOTTOM - top, 0):.1f}" rx="2" data-tip="{escape(tip)}"/>'
    )


def _x_tick(x: float, text: str) -> str:
    return f'<text x="{x:.1f}" y="{HEIGHT - _BOTTOM + 16}" text-anchor="middle">{escape(text)}</text>'


def _x_label(text: str) -> str:
    return f'<text x="{(WIDTH + _LEFT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(text)}</text>'


def _y_axis(axis: Axis, right: int = _RIGHT) -> str:
    parts = []
    for tick in axis.ticks():
        y = _y(axis, tick)
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{WIDTH - right}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{number(tick)}</text>')
    place = f"translate(12 {(_TOP + HEIGHT - _BOTTOM) / 2}) rotate(-90)"
    return "".join(parts) + f'<text transform="{place}" text-anchor="middle">{escape(axis.label)}</text>'


def _figure(title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg>"
    )
