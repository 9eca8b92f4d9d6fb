"""The few kinds of panel we use, and how they are laid out. It knows Grafana; it knows no metric."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from grafana_foundation_sdk.builders import dashboard, heatmap, prometheus, stat, timeseries
from grafana_foundation_sdk.builders.common import ReduceDataOptions, VizLegendOptions
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

GRID_WIDTH: Final = 24
SOURCE: Final = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
RUPEES: Final = "currencyINR"
SECONDS: Final = "s"
COUNT: Final = "short"
_NUMBER_HEIGHT: Final = 4
SHARE: Final = "percentunit"
BYTES: Final = "bytes"


class Query(NamedTuple):
    """A PromQL expression and what its line is called."""

    expr: str
    legend: str = ""


class Placed(NamedTuple):
    """A panel and how much of the grid it takes."""

    panel: Builder[models.Panel]
    width: int
    height: int


def graph(title: str, unit: str, *queries: Query, width: int = 12, height: int = 8, says: str = "") -> Placed:
    """Lines over time."""
    legend = VizLegendOptions().display_mode(common.LegendDisplayMode.LIST).show_legend(True)
    legend = legend.placement(common.LegendPlacement.BOTTOM)
    panel = timeseries.Panel().title(title).description(says).unit(unit).legend(legend)
    panel = panel.line_width(1).fill_opacity(8).show_points(common.VisibilityMode.NEVER)
    return Placed(_asked(panel, queries), width, height)


def number(
    title: str,
    unit: str,
    query: Query,
    *,
    width: int = 4,
    words: dict[str, str] | None = None,
    bad: float | None = None,
    good: float | None = None,
    says: str = "",
) -> Placed:
    """The value of now. `words` replace values by text; red from `bad` on, or green only from `good` on."""
    last = ReduceDataOptions().calcs(["lastNotNull"])
    panel = stat.Panel().title(title).description(says).unit(unit).reduce_options(last)
    panel = panel.graph_mode(common.BigValueGraphMode.NONE)
    if words:
        options = {value: models.ValueMappingResult(text=text) for value, text in words.items()}
        panel = panel.mappings([models.ValueMap(options=options)])
    if "{{" in query.legend and not words:
        panel = panel.text_mode(common.BigValueTextMode.VALUE_AND_NAME)
    steps = [models.Threshold(value=None, color="green" if good is None else "red")]
    if (edge := bad if good is None else good) is not None:
        steps.append(models.Threshold(value=edge, color="red" if good is None else "green"))
    absolute = dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)
    return Placed(_asked(panel.thresholds(absolute), [query]), width, _NUMBER_HEIGHT)


def heat(title: str, unit: str, metric: str, *, width: int = 12, height: int = 8, says: str = "") -> Placed:
    """A histogram over time."""
    expr = f"sum by (le) (increase({metric}_bucket[$__rate_interval]))"
    panel = heatmap.Panel().title(title).description(says).calculate(False).unit(unit)
    return Placed(_asked(panel, [Query(expr, "{{le}}")], heat=True), width, height)


def board(
    uid: str, title: str, placed: Sequence[Placed], notes: Sequence[tuple[str, str, str]], since: str
) -> models.Dashboard:
    """A dashboard: panels from left to right, each row as high as its highest; ids count from 1."""
    made = dashboard.Dashboard(title).uid(uid).tags(["bot"]).timezone("Asia/Kolkata").time(since, "now")
    made = made.refresh("5s").readonly().tooltip(models.DashboardCursorSync.CROSSHAIR)
    made = made.with_variable(dashboard.DatasourceVariable("datasource").type("prometheus").label("Source"))
    for name, colour, expr in notes:
        query = dashboard.AnnotationQuery().name(name).datasource(SOURCE).enable(True).icon_color(colour)
        made = made.annotation(query.expr(expr))
    x = y = row = 0
    for number_, (panel, width, height) in enumerate(placed, 1):
        if x + width > GRID_WIDTH:
            x, y, row = 0, y + row, 0
        position = models.GridPos(h=height, w=width, x=x, y=y)
        made = made.with_panel(_Fixed(panel, position, number_))
        x, row = x + width, max(row, height)
    return made.build()


class _Fixed(Builder[models.Panel]):
    """A panel where it was put: the SDK's own layout takes (0, 0) for "nowhere"."""

    def __init__(self, panel: Builder[models.Panel], position: models.GridPos, number_: int) -> None:
        self._panel, self._position, self._number = panel, position, number_

    def build(self) -> models.Panel:
        made = self._panel.build()
        made.grid_pos, made.id_val = self._position, self._number
        return made


def _asked(panel: Any, queries: Sequence[Query], *, heat: bool = False) -> Builder[models.Panel]:
    panel = panel.datasource(SOURCE)
    for letter, (expr, legend) in zip("ABCDEFGHIJ", queries, strict=False):
        query = prometheus.Dataquery().expr(expr).ref_id(letter).datasource(SOURCE).range()
        if legend:
            query = query.legend_format(legend)
        panel = panel.with_target(query.format(PromQueryFormat.HEATMAP) if heat else query)
    return panel  # type: ignore[no-any-return]
