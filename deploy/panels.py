"""Look of panels and dashboards; dashboards.py has their contents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import TypeVar

from grafana_foundation_sdk.builders import common as build_common
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common, dashboard

DATASOURCE = dashboard.DataSourceRef("prometheus", "prometheus")
"""Its uid is in grafana/provisioning/datasources."""
SCRAPE = "5s"  # as prometheus.yml has it: no step is shorter
HEIGHT = 8  # of a panel, in Grafana's grid; it is 24 wide
TAG = "lookout"

Query = tuple[str, str]  # PromQL, and the legend of its series
Panel = timeseries.Panel | stat.Panel | statetimeline.Panel
P = TypeVar("P", timeseries.Panel, stat.Panel, statetimeline.Panel)
Steps = Sequence[tuple[float | None, str]]  # lowest value (None: any) and colour


def lines(
    title: str,
    text: str,
    unit: str,
    *queries: Query,
    width: int = 12,
    stacked: bool = False,
    most: float | None = None,
) -> timeseries.Panel:
    """Return a panel of curves over time; `most`: end of the axis."""
    panel = with_queries(timeseries.Panel(), title, text, queries, width, HEIGHT).unit(unit).min(0)
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
    """Return a panel of the newest value on its step's colour; `named`: the series' name."""
    panel = with_queries(stat.Panel(), title, text, queries, width, HEIGHT // 2).unit(unit)
    newest = build_common.ReduceDataOptions().calcs(["lastNotNull"]).values(False)
    panel.reduce_options(newest).graph_mode(common.BigValueGraphMode.NONE)
    panel.text_mode(common.BigValueTextMode.NAME if named else common.BigValueTextMode.AUTO)
    return panel.color_mode(common.BigValueColorMode.BACKGROUND).thresholds(
        thresholds_config(steps)
    )


def states(
    title: str, text: str, names: Mapping[int, tuple[str, str]], *queries: Query, width: int = 24
) -> statetimeline.Panel:
    """Return a panel with a row for each series; `names`: word and colour of each value."""
    panel = with_queries(statetimeline.Panel(), title, text, queries, width, HEIGHT)
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
    """Return a dashboard.

    by_camera: with a choice of cameras, `$camera`.
    alerts_on: titles of the panels on which `alerts` (PromQL) are marked.
    """
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
        made.with_variable(camera_variable())
    for number_, panel in enumerate(panels, 1):
        made.with_panel(panel.id(number_))
    built = made.build()
    if alerts_on:
        ids = [panel.id_val for panel in built.panels or [] if panel.title in alerts_on]
        built.annotations.list_val = [
            AlertAnnotations(alerts, [number_ for number_ in ids if number_])
        ]
    return built


class AlertAnnotations(dashboard.AnnotationQuery):
    """Marks for the time in which `expr` is not 0, on some panels alone."""

    def __init__(self, expr: str, panels: list[int]) -> None:
        only = dashboard.AnnotationPanelFilter(exclude=False, ids=panels)
        super().__init__("Alerts", DATASOURCE, True, False, "red", only, expr=expr)

    def to_json(self) -> dict[str, object]:
        """Return the JSON with the fields of Prometheus' annotations that the SDK lacks."""
        words = {"titleFormat": "alert at {{camera}}", "tagKeys": "camera", "step": SCRAPE}
        return super().to_json() | words


def camera_variable() -> Builder[dashboard.VariableModel]:
    """Return the choice of cameras, `$camera`."""
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


def with_queries(
    panel: P, title: str, text: str, queries: Sequence[Query], width: int, height: int
) -> P:
    """Add title, description, size and queries to a panel and return it."""
    panel.title(title).description(text).datasource(DATASOURCE).span(width).height(height).interval(
        SCRAPE
    )
    for letter, (expr, legend) in zip(ascii_uppercase, queries, strict=False):
        query = prometheus.Dataquery().expr(expr).legend_format(legend).ref_id(letter)
        panel.with_target(query.datasource(DATASOURCE).range())
    return panel


def thresholds_config(steps: Steps) -> build.ThresholdsConfig:
    """Return the colours of `steps` as absolute thresholds."""
    made = [dashboard.Threshold(value, colour) for value, colour in steps]
    return build.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(made)
