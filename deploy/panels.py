"""Panels and dashboards as ours look; what they show is in dashboards.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import TypeVar

from grafana_foundation_sdk.builders import common as build_common
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common, dashboard

DATASOURCE = dashboard.DataSourceRef(
    "prometheus", "prometheus"
)  # uid: grafana/provisioning/datasources
SCRAPE = "5s"  # as prometheus.yml has it: no step is shorter
HEIGHT = 8  # of a panel, in Grafana's grid; it is 24 wide
TAG = "lookout"

Query = tuple[str, str]  # PromQL, and what its series are called
Panel = timeseries.Panel | stat.Panel | statetimeline.Panel
P = TypeVar("P", timeseries.Panel, stat.Panel, statetimeline.Panel)
Steps = Sequence[tuple[float | None, str]]  # from which value on (None: always), which colour


def lines(
    title: str,
    text: str,
    unit: str,
    *queries: Query,
    width: int = 12,
    stacked: bool = False,
    most: float | None = None,
) -> timeseries.Panel:
    """Curves over time; `most`: where the axis ends."""
    panel = _dressed(timeseries.Panel(), title, text, queries, width, HEIGHT).unit(unit).min(0)
    if most is not None:
        panel.max(most)
    if stacked:
        panel.fill_opacity(30).stacking(
            build_common.StackingConfig().mode(common.StackingMode.NORMAL).group("A")
        )
    legend = (
        build_common.VizLegendOptions()
        .display_mode(common.LegendDisplayMode.LIST)
        .show_legend(True)
    )
    tooltip = build_common.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI)
    placed = legend.placement(common.LegendPlacement.BOTTOM)
    return panel.show_points(common.VisibilityMode.NEVER).legend(placed).tooltip(tooltip)


def number(
    title: str,
    text: str,
    unit: str,
    steps: Steps,
    *queries: Query,
    width: int = 4,
    named: bool = False,
) -> stat.Panel:
    """The newest value, large, on the colour of its step; `named`: its series' name instead."""
    panel = _dressed(stat.Panel(), title, text, queries, width, HEIGHT // 2).unit(unit)
    newest = build_common.ReduceDataOptions().calcs(["lastNotNull"]).values(False)
    panel.reduce_options(newest).graph_mode(common.BigValueGraphMode.NONE)
    panel.text_mode(common.BigValueTextMode.NAME if named else common.BigValueTextMode.AUTO)
    return panel.color_mode(common.BigValueColorMode.BACKGROUND).thresholds(_thresholds(steps))


def states(
    title: str, text: str, names: Mapping[int, tuple[str, str]], *queries: Query, width: int = 24
) -> statetimeline.Panel:
    """A row a series, coloured by its state; `names`: value → word and colour."""
    panel = _dressed(statetimeline.Panel(), title, text, queries, width, HEIGHT)
    shown = {
        str(value): dashboard.ValueMappingResult(word, colour)
        for value, (word, colour) in names.items()
    }
    panel.mappings([dashboard.ValueMap(shown)]).color_scheme(
        build.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS)
    )
    return panel.merge_values(True).show_value(common.VisibilityMode.AUTO)


def board(
    uid: str,
    title: str,
    text: str,
    panels: Sequence[Panel],
    *,
    by_camera: bool = False,
    alerts_on: Sequence[str] = (),
    alerts: str = "",
) -> dashboard.Dashboard:
    """by_camera: a choice of cameras, `$camera`; alerts_on: titles of panels on which `alerts` (PromQL) are marked."""
    made = (
        build.Dashboard(title).uid(uid).description(text).tags([TAG]).timezone("browser").readonly()
    )
    made.time("now-1h", "now").refresh("10s").tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
    made.link(
        build.DashboardLink("Lookout")
        .type(dashboard.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .keep_time(True)
    )
    if by_camera:
        made.with_variable(_camera_variable())
    for number_, panel in enumerate(panels, 1):
        made.with_panel(panel.id(number_))
    built = made.build()
    if alerts_on:
        ids = [panel.id_val for panel in built.panels or [] if panel.title in alerts_on]
        built.annotations.list_val = [_Alerts(alerts, [number_ for number_ in ids if number_])]
    return built


class _Alerts(dashboard.AnnotationQuery):
    """Marks for the time in which `expr` is not 0, on some panels alone."""

    def __init__(self, expr: str, panels: list[int]) -> None:
        only = dashboard.AnnotationPanelFilter(exclude=False, ids=panels)
        super().__init__("Alerts", DATASOURCE, True, False, "red", only, expr=expr)

    def to_json(self) -> dict[str, object]:
        """With what Prometheus' annotations have and the SDK does not know."""
        words = {"titleFormat": "alert at {{camera}}", "tagKeys": "camera", "step": SCRAPE}
        return super().to_json() | words


def _camera_variable() -> Builder[dashboard.VariableModel]:
    choice = build.QueryVariable("camera").label("camera").datasource(DATASOURCE)
    choice.current(dashboard.VariableOption(True, "All", "$__all"))
    choice.query("label_values(lookout_camera_state, camera)").refresh(
        dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED
    )
    return (
        choice.multi(True)
        .include_all(True)
        .all_value(".*")
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
    )


def _dressed(
    panel: P, title: str, text: str, queries: Sequence[Query], width: int, height: int
) -> P:
    panel.title(title).description(text).datasource(DATASOURCE).span(width).height(height).interval(
        SCRAPE
    )
    for letter, (expr, legend) in zip(ascii_uppercase, queries, strict=False):
        query = prometheus.Dataquery().expr(expr).legend_format(legend).ref_id(letter)
        panel.with_target(query.datasource(DATASOURCE).range())
    return panel


def _thresholds(steps: Steps) -> build.ThresholdsConfig:
    made = [dashboard.Threshold(value, colour) for value, colour in steps]
    return build.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(made)
