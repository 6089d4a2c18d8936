"""Line charts as inline SVG: no fonts, scripts or addresses from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt

LEFT_PX, RIGHT_PX, TOP_PX, BOTTOM_PX = 46, 8, 8, 34
TICKS = 5
COLOURS = (
    "#1f6fb4",
    "#d9730d",
    "#2b8a3e",
    "#9c36b5",
    "#6b7280",
)  # as many lines as a chart may have


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    x: npt.ArrayLike  # (N,)
    y: npt.ArrayLike  # (N,); nan leaves a gap
    steps: bool = False  # y holds until the next x


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the x axis."""

    first: float
    last: float
    kind: (
        str  # its CSS class: "anomalous" (the whole height), "alarm" or "false" (a bar at the foot)
    )


@dataclass(frozen=True, slots=True)
class Chart:
    x_label: str
    y_label: str
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    width_px: int = 420
    height_px: int = 280

    def draw(
        self, lines: Sequence[Line], spans: Sequence[Span] = (), level: float | None = None
    ) -> str:
        """level: a dashed line across, such as a threshold."""
        parts = [self._span(span) for span in spans]
        parts += self._axes()
        if level is not None:
            path = self._path([self.x_range[0], self.x_range[1]], [level, level])
            parts.append(f'<path class="level" d="{path}"/>')
        for line, colour in zip(lines, COLOURS[: len(lines)], strict=True):
            x, y = np.asarray(line.x, float), np.asarray(line.y, float)
            x, y = (np.repeat(x, 2)[1:], np.repeat(y, 2)[:-1]) if line.steps else (x, y)
            parts.append(f'<path class="line" stroke="{colour}" d="{self._path(x, y)}"/>')
        size = (
            f'width="{self.width_px}" height="{self.height_px}" '
            f'viewBox="0 0 {self.width_px} {self.height_px}"'
        )
        return f"<figure><svg {size}>{''.join(parts)}</svg>{_legend(lines)}</figure>"

    def _x(self, x: float) -> float:
        low, high = self.x_range
        return LEFT_PX + (x - low) / (high - low) * (self.width_px - LEFT_PX - RIGHT_PX)

    def _y(self, y: float) -> float:
        low, high = self.y_range
        return (
            self.height_px
            - BOTTOM_PX
            - (y - low) / (high - low) * (self.height_px - TOP_PX - BOTTOM_PX)
        )

    def _path(self, xs: npt.ArrayLike, ys: npt.ArrayLike) -> str:
        words, pen = [], "M"
        for x, y in zip(np.asarray(xs, float), np.asarray(ys, float), strict=True):
            if not (np.isfinite(x) and np.isfinite(y)):
                pen = "M"
                continue
            words.append(f"{pen}{self._x(x):.1f} {self._y(y):.1f}")
            pen = "L"
        return "".join(words)

    def _span(self, span: Span) -> str:
        left, foot = self._x(span.first), self.height_px - BOTTOM_PX
        width = max(1.0, self._x(span.last) - left)
        top = TOP_PX if span.kind == "anomalous" else foot - 6
        box = f'x="{left:.1f}" y="{top}" width="{width:.1f}" height="{foot - top}"'
        return f'<rect class="{escape(span.kind)}" {box}/>'

    def _axes(self) -> list[str]:
        foot, right = self.height_px - BOTTOM_PX, self.width_px - RIGHT_PX
        parts = [f'<path class="axis" d="M{LEFT_PX} {TOP_PX}V{foot}H{right}"/>']
        for x in np.linspace(*self.x_range, TICKS):
            parts.append(
                f'<text x="{self._x(x):.1f}" y="{foot + 14}" text-anchor="middle">{x:.4g}</text>'
            )
        for y in np.linspace(*self.y_range, TICKS):
            parts.append(
                f'<text x="{LEFT_PX - 5}" y="{self._y(y) + 4:.1f}" text-anchor="end">{y:.4g}</text>'
            )
        middle = (LEFT_PX + right) // 2
        parts.append(
            f'<text x="{middle}" y="{foot + 30}" text-anchor="middle">{escape(self.x_label)}</text>'
        )
        turned = f'transform="translate(10 {(TOP_PX + foot) // 2}) rotate(-90)"'
        parts.append(f'<text {turned} text-anchor="middle">{escape(self.y_label)}</text>')
        return parts


def _legend(lines: Sequence[Line]) -> str:
    names = [
        f'<span style="color:{colour}">{escape(line.name)}</span>'
        for line, colour in zip(lines, COLOURS[: len(lines)], strict=True)
    ]
    return f"<figcaption>{' · '.join(names)}</figcaption>"
