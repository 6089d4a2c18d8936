"""Line charts as inline SVG, drawn by matplotlib: no scripts or addresses from elsewhere."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy.typing as npt

PX_PER_INCH = 96  # a CSS pixel
LEFT_PX, RIGHT_PX, TOP_PX, BOTTOM_PX = 46, 12, 8, 38
FOOT_SHARE = 0.04  # of the height: a bar at the foot

COLOURS = ("#1f6fb4", "#d9730d", "#2b8a3e", "#9c36b5", "#6b7280")
"""As many lines as a chart may have."""

SPAN_COLOURS = {"anomalous": "#fbe3e3", "alarm": "#555555", "false": "#dd2222"}
LEVEL_COLOUR = "#999999"

STYLE: dict[Any, object] = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "lookout",
    "text.parse_math": False,
    "font.size": 8,
    "text.color": "#666666",
    "axes.edgecolor": "#999999",
    "axes.labelcolor": "#666666",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.1,
    "xtick.color": "#666666",
    "xtick.major.size": 0,
    "ytick.color": "#666666",
    "ytick.major.size": 0,
}

FOREIGN = re.compile(r' (?:id|xmlns(?::xlink)?)="[^"]*"')
"""Attributes that an SVG within a page does not need; ids would repeat from chart to chart."""


@dataclass(frozen=True, slots=True)
class Line:
    """A named line of a chart."""

    name: str
    x: npt.ArrayLike  # (N,)
    y: npt.ArrayLike  # (N,); nan leaves a gap
    steps: bool = False  # y holds until the next x


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the x axis: the whole height where it is anomalous, else a bar at the foot."""

    first: float
    last: float
    kind: Literal["anomalous", "alarm", "false"]


@dataclass(frozen=True, slots=True)
class DrawnChart:
    """A chart as it is shown: the picture, and the names of its lines below it."""

    svg: str
    legend: list[tuple[str, str]]  # name, colour


@dataclass(frozen=True, slots=True)
class Chart:
    """The axes of a chart."""

    x_label: str
    y_label: str
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    width_px: int = 420
    height_px: int = 280

    def draw(
        self, lines: Sequence[Line], spans: Sequence[Span] = (), level: float | None = None
    ) -> DrawnChart:
        """Return the chart; the same input gives the same bytes.

        level: a dashed line across, such as a threshold. Raises ValueError for more lines than
        there are colours.
        """
        from matplotlib import rc_context  # noqa: PLC0415  slow to import, and only reports need it
        from matplotlib.figure import Figure  # noqa: PLC0415

        legend = list(zip((line.name for line in lines), COLOURS[: len(lines)], strict=True))
        width, height = self.width_px, self.height_px
        with rc_context(STYLE):
            figure = Figure(figsize=(width / PX_PER_INCH, height / PX_PER_INCH), frameon=False)
            inner = (width - LEFT_PX - RIGHT_PX, height - TOP_PX - BOTTOM_PX)
            axes = figure.add_axes(
                (LEFT_PX / width, BOTTOM_PX / height, inner[0] / width, inner[1] / height),
                xlim=self.x_range,
                ylim=self.y_range,
                xlabel=self.x_label,
                ylabel=self.y_label,
            )
            for span in spans:
                top = 1 if span.kind == "anomalous" else FOOT_SHARE
                colour = SPAN_COLOURS[span.kind]
                axes.axvspan(span.first, span.last, 0, top, color=colour, linewidth=0.5)
            if level is not None:
                axes.axhline(level, color=LEVEL_COLOUR, linestyle="--", linewidth=0.8)
            for line, (_, colour) in zip(lines, legend, strict=True):
                style = "steps-post" if line.steps else "default"
                axes.plot(line.x, line.y, color=colour, drawstyle=style)
            for artist in (*axes.lines, *axes.patches):
                artist.set_clip_on(False)
            written = io.StringIO()
            metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
            figure.savefig(written, format="svg", metadata=metadata)
        svg = written.getvalue()
        return DrawnChart(FOREIGN.sub("", svg[svg.index("<svg") :]), legend)
