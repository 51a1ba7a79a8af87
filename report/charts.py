"""Charts as SVG text. Colours are the page's (CSS classes c0, c1, ...), so that they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 560, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 12, 40
_TICKS = 5


@dataclass(frozen=True)
class Axis:
    """One axis: its range, and how numbers stand on it."""

    low: float
    high: float
    label: str = ""
    log: bool = False

    def at(self, value: float) -> float:
        """0..1."""
        if self.log:
            return math.log(max(value, self.low) / self.low) / max(math.log(self.high / self.low), 1e-12)
        return (value - self.low) / max(self.high - self.low, 1e-12)

    def ticks(self) -> list[float]:
        if self.log:
            decades = range(math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9) + 1)
            return [10.0**decade for decade in decades] or [self.low, self.high]
        step = _step((self.high - self.low) / _TICKS)
        first = math.ceil(self.low / step - 1e-9)
        return [number * step for number in range(first, math.floor(self.high / step + 1e-9) + 1)]


@dataclass(frozen=True)
class Series:
    """A line: points, and low and high of its band where it has one. tips: what hovering says."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    tips: Sequence[str] = ()


def number(value: float) -> str:
    """A number for an axis: 12k, 3.4M, 0.05."""
    for limit, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{sign}"
    return f"{value:.3g}"


def bars(labels: Sequence[str], values: Sequence[float], title: str, y: str, tips: Sequence[str], x: str = "") -> str:
    """Bars beside each other; labels are thinned out where they are many."""
    axis = Axis(0, max([*values, 1e-12]) * 1.05, y)
    wide = (WIDTH - _LEFT - _RIGHT) / max(len(values), 1)
    parts = [_rows(axis)]
    every = max(1, math.ceil(len(labels) / 8))
    for place, (label, value, tip) in enumerate(zip(labels, values, tips, strict=True)):
        left, top = _LEFT + place * wide, _y(axis, value)
        parts.append(
            f'<rect class="column" x="{left + wide * 0.1:.1f}" y="{top:.1f}" width="{wide * 0.8:.1f}" '
            f'height="{max(HEIGHT - _BOTTOM - top, 0):.1f}" rx="2" data-tip="{escape(tip)}"/>'
        )
        if place % every == 0:
            parts.append(_text(left + wide / 2, HEIGHT - _BOTTOM + 16, label, "middle"))
    if x:
        parts.append(_text((WIDTH + _LEFT) / 2, HEIGHT - 6, x, "middle", "axis"))
    return _figure(title, parts)


def lines(series: Sequence[Series], title: str, x: Axis, y: Axis, dots: bool = True) -> str:
    """Lines with bands, in the order of the legend's colours."""
    parts = [_rows(y), _columns(x)]
    for place, one in enumerate(series):
        points = [(_x(x, a), _y(y, b)) for a, b in zip(one.x, one.y, strict=True)]
        if len(one.low):
            lower = [(_x(x, a), _y(y, b)) for a, b in zip(one.x, one.low, strict=True)]
            upper = [(_x(x, a), _y(y, b)) for a, b in zip(one.x, one.high, strict=True)]
            parts.append(f'<polygon class="band c{place}" points="{_points([*upper, *reversed(lower)])}"/>')
        parts.append(f'<polyline class="line c{place}" points="{_points(points)}"/>')
        if dots:
            parts += [
                f'<circle class="dot c{place}" cx="{a:.1f}" cy="{b:.1f}" r="4" data-tip="{escape(tip)}"/>'
                for (a, b), tip in zip(points, one.tips, strict=True)
            ]
    return _figure(title, parts) + (legend([one.name for one in series]) if len(series) > 1 else "")


def grouped(
    groups: Sequence[str], names: Sequence[str], cells: Callable[[int, int], tuple[float, float, float] | None], y: str
) -> str:
    """Bars with intervals, by group and name; `cells(group, name)` gives value, low and high, or None."""
    found = {(g, n): cells(g, n) for g in range(len(groups)) for n in range(len(names))}
    axis = Axis(0, max([cell[2] for cell in found.values() if cell] + [1e-12]) * 1.05, y)
    wide = (WIDTH - _LEFT - _RIGHT) / max(len(groups), 1)
    own = wide * 0.8 / max(len(names), 1)
    parts = [_rows(axis)]
    for (group, name), cell in found.items():
        if cell is None:
            continue
        value, low, high = cell
        left = _LEFT + group * wide + wide * 0.1 + name * own
        top, middle = _y(axis, value), left + own / 2
        tip = f"{names[name]}, {groups[group]}: {value:.4f} [{low:.4f}, {high:.4f}]"
        parts.append(
            f'<rect class="fill c{name}" x="{left + 1:.1f}" y="{top:.1f}" width="{max(own - 2, 1):.1f}" '
            f'height="{max(HEIGHT - _BOTTOM - top, 0):.1f}" rx="2" data-tip="{escape(tip)}"/>'
            f'<path class="whisker" d="M{middle:.1f} {_y(axis, low):.1f}V{_y(axis, high):.1f}"/>'
        )
    for group, label in enumerate(groups):
        parts.append(_text(_LEFT + (group + 0.5) * wide, HEIGHT - _BOTTOM + 16, label, "middle"))
    return _figure(y, parts) + legend(names)


def legend(names: Sequence[str]) -> str:
    """Names with their colours."""
    items = "".join(f'<li><i class="c{place}"></i>{escape(name)}</li>' for place, name in enumerate(names))
    return f'<ul class="legend">{items}</ul>'


def _step(rough: float) -> float:
    """The next of 1, 2, 5, 10, ... at or above."""
    size = 10.0 ** math.floor(math.log10(max(rough, 1e-300)))
    return next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough * (1 - 1e-9))


def _x(axis: Axis, value: float) -> float:
    return _LEFT + axis.at(value) * (WIDTH - _LEFT - _RIGHT)


def _y(axis: Axis, value: float) -> float:
    return HEIGHT - _BOTTOM - axis.at(value) * (HEIGHT - _BOTTOM - _TOP)


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _text(x: float, y: float, text: str, anchor: str, kind: str = "tick") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _rows(axis: Axis) -> str:
    parts = []
    for tick in axis.ticks():
        y = _y(axis, tick)
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}"/>')
        parts.append(_text(_LEFT - 8, y + 4, number(tick), "end"))
    middle = (_TOP + HEIGHT - _BOTTOM) / 2
    parts.append(f'<text class="axis" transform="translate(12 {middle}) rotate(-90)" text-anchor="middle">')
    return "".join(parts) + f"{escape(axis.label)}</text>"


def _columns(axis: Axis) -> str:
    parts = [_text(_x(axis, tick), HEIGHT - _BOTTOM + 16, number(tick), "middle") for tick in axis.ticks()]
    return "".join(parts) + _text((WIDTH + _LEFT) / 2, HEIGHT - 6, axis.label, "middle", "axis")


def _figure(title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg>"
    )
