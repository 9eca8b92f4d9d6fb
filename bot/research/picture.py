"""A day as a picture: price with the estimate, every fill, and the net result below.

Matplotlib is imported here and nowhere else; the running bot never loads this file.
"""

from array import array
from collections.abc import Sequence
from datetime import date, time
from pathlib import Path
from typing import Any

from bot.core.commands import Reason, RecordFill
from bot.core.events import FeedDown, Side, Tick
from bot.core.units import IST, SECOND, InstrumentKey, Nanos, ist_nanos, rupees, rupees_text
from bot.run.ports import Turn

_MARKS = {
    Reason.ENTRY: ("^", "#1a7f37", "entry"),
    Reason.SIGNAL_EXIT: ("v", "#0969da", "signal exit"),
    Reason.STOP_LOSS: ("X", "#cf222e", "stop-loss"),
    Reason.END_OF_DAY: ("s", "#8250df", "flatten"),
}
_OTHER = ("D", "#6e7781", "other exit")


class DayRecorder:
    """An observer that keeps what the picture needs: 24 bytes a tick."""

    def __init__(self) -> None:
        self.ticks: dict[InstrumentKey, tuple[array[int], array[float], array[float]]] = {}
        self.disconnects: list[Nanos] = []

    def hear(self, turn: Turn) -> None:
        """Note accepted ticks and lost connections."""
        event = turn.event
        if isinstance(event, Tick) and turn.forecast is not None:
            series = self.ticks.get(event.instrument)
            if series is None:
                series = self.ticks[event.instrument] = (array("q"), array("d"), array("d"))
            series[0].append(event.at)
            series[1].append(rupees(event.ltp))
            series[2].append(turn.forecast.estimate if turn.forecast.tick > 10 else rupees(event.ltp))
        elif isinstance(event, FeedDown):
            self.disconnects.append(event.at)


def draw_day(path: Path, title: str, day: date, recorder: DayRecorder, fills: Sequence[RecordFill]) -> None:
    """Write the picture of `day` to `path` (the suffix chooses the format: .png, .svg)."""
    import matplotlib as mpl  # here, so that only a picture pays its 0.3 s

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    plt.rcParams["svg.hashsalt"] = "day"  # the same day gives the same file
    keys = list(recorder.ticks)
    rows = len(keys) + 1
    figure, axes = plt.subplots(
        rows, 1, figsize=(11, 3.2 * len(keys) + 2), sharex=True, squeeze=False,
        gridspec_kw={"height_ratios": [3] * len(keys) + [1.4]},
    )  # fmt: skip
    midnight = ist_nanos(day, time(0))
    for axis, key in zip(axes[:-1, 0], keys, strict=True):
        _prices(axis, key, recorder, [fill for fill in fills if fill.instrument == key], midnight)
    _net(axes[-1, 0], fills, midnight)
    for at in recorder.disconnects:
        for axis in axes[:, 0]:
            axis.axvline(_hour(at, midnight), color="#bf8700", linewidth=1, linestyle=":")
        if at == recorder.disconnects[0]:
            where = (_hour(at, midnight), 0.02)
            axes[0, 0].annotate(
                " feed lost", where, xycoords=("data", "axes fraction"), fontsize=7, color="#bf8700"
            )
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)


def _prices(axis: Any, key: str, recorder: DayRecorder, fills: Sequence[RecordFill], midnight: Nanos) -> None:
    at, price, estimate = recorder.ticks[key]
    hours = [_hour(instant, midnight) for instant in at]
    axis.plot(hours, price, color="#afb8c1", linewidth=0.6, label="last price")
    axis.plot(hours, estimate, color="#24292f", linewidth=0.6, label="Kalman estimate")
    said = set()
    for fill in fills:
        marker, colour, name = _MARKS.get(fill.reason, _OTHER)
        price_rupees = rupees(fill.value) / fill.quantity
        label = None if name in said else name
        style = {
            "marker": marker,
            "color": colour,
            "s": 34,
            "zorder": 3,
            "edgecolors": "white",
            "linewidths": 0.5,
        }
        axis.scatter(_hour(fill.at, midnight), price_rupees, label=label, **style)
        said.add(name)
    axis.set_ylabel(f"{key}\n₹ per unit")
    axis.grid(alpha=0.25)
    axis.legend(loc="upper right", fontsize=7, ncols=3, frameon=False)


def _net(axis: Any, fills: Sequence[RecordFill], midnight: Nanos) -> None:
    """Realized net and gross, stepping at each exit."""
    hours, nets, grosses = [9.25], [0.0], [0.0]
    net = gross = 0
    for fill in fills:
        net += fill.realized_pnl_net
        gross += fill.realized_pnl_net + fill.charges
        if fill.side is Side.SELL:
            hours.append(_hour(fill.at, midnight))
            nets.append(rupees(net))
            grosses.append(rupees(gross))
    axis.step(hours, grosses, where="post", color="#afb8c1", label="gross")
    axis.step(hours, nets, where="post", color="#cf222e" if net < 0 else "#1a7f37", label="net of charges")
    axis.axhline(0, color="#24292f", linewidth=0.5)
    axis.set_ylabel("realized ₹")
    axis.set_xlabel(f"hour of the day, {IST.key} · net {rupees_text(net)}, gross {rupees_text(gross)}")
    axis.grid(alpha=0.25)
    axis.legend(loc="lower left", fontsize=7, ncols=2, frameon=False)


def _hour(at: Nanos, midnight: Nanos) -> float:
    return (at - midnight) / SECOND / 3600
