"""What watching costs a tick: every observer of `bot run`, timed on turns. Run: `make bench`.

`all_us_a_tick`: all observers' part of a tick's turn, and its share of the heartbeat's once-a-second tidying.
"""

import json
import sys
from collections.abc import Callable, Sequence
from datetime import date
from time import perf_counter_ns

from bot.core.events import FeedUp, Heartbeat, Tick
from bot.core.forecast import Forecast
from bot.core.session import Session
from bot.core.units import SECOND
from bot.run.ports import Observer, Turn
from bot.telemetry.logs import LogObserver, Logs
from bot.telemetry.metrics import Metrics, MetricsObserver
from bot.telemetry.recent import Recent
from bot.telemetry.view import DayState, InstrumentState

TICKS = 200_000
TICKS_A_SECOND = 5
LIMIT_US = 5.0


class _Still:
    """A view of a bot that stands still."""

    def day(self) -> DayState:
        return DayState("open", ready=True)

    def instruments(self) -> Sequence[InstrumentState]:
        return [InstrumentState("NSE_FO|45450", ltp=30_000, estimate=300.0)]


def main() -> int:
    view = _Still()
    logs = Logs(lambda: 0, stream=sys.stderr, pretty=False)
    deciles = [number / 10 for number in range(11)]
    metrics = Metrics(view, reference={"probability_deciles": deciles, "rel_diff_deciles": deciles})
    observers: dict[str, Observer] = {
        "metrics": MetricsObserver(metrics),
        "log": LogObserver(logs.log),
        "recent": Recent(view),
    }
    turns, beats = _turns()
    for one in observers.values():
        one.hear(Turn(FeedUp(turns[0].event.at, turns[0].event.mono), None, [], 0.0))
    mixed = _with_beats(turns, beats)
    result: dict[str, float] = {}
    for name, hears in (
        *((f"{name}", [one.hear]) for name, one in observers.items()),
        ("all", [one.hear for one in observers.values()]),
    ):
        tick, beat = _cost(mixed, hears)
        result |= {f"{name}_tick_us": round(tick, 2), f"{name}_heartbeat_us": round(beat, 2)}
    result["all_us_a_tick"] = round(result["all_tick_us"] + result["all_heartbeat_us"] / TICKS_A_SECOND, 2)
    result["limit_us"] = LIMIT_US
    logs.close()
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return 0 if result["all_us_a_tick"] <= LIMIT_US else 1


def _turns() -> tuple[list[Turn], list[Turn]]:
    at = Session.on(date(2026, 9, 16)).open_at
    ticks, beats = [], []
    for number in range(TICKS):
        now = at + number * SECOND // TICKS_A_SECOND
        tick = Tick(now, now, "NSE_FO|45450", 30_000, 65, now, 29_990, 30_010, 65, 65, now - SECOND // 20)
        ticks.append(Turn(tick, Forecast(number, 30_000, 300.0, 0.0, 0.0, 0.5), [], 1e-4))
        if number % TICKS_A_SECOND == 0:
            beats.append(Turn(Heartbeat(now, now), None, [], 1e-5))
    return ticks, beats


def _with_beats(ticks: list[Turn], beats: list[Turn]) -> list[Turn]:
    mixed: list[Turn] = []
    for number, turn in enumerate(ticks):
        mixed.append(turn)
        if number % TICKS_A_SECOND == 0:
            mixed.append(beats[number // TICKS_A_SECOND])
    return mixed


def _cost(turns: list[Turn], hears: Sequence[Callable[[Turn], None]]) -> tuple[float, float]:
    """Microseconds a tick and a heartbeat, stopwatch included: the best of twenty slices, so that it is what
    the code costs and not what the machine was busy with.
    """
    ticks, beats = [], []
    size = len(turns) // 20
    for first in range(0, size * 20, size):
        spent = {True: 0, False: 0}
        count = {True: 0, False: 0}
        for turn in turns[first : first + size]:
            kind = type(turn.event) is Tick
            began = perf_counter_ns()
            for hear in hears:
                hear(turn)
            spent[kind] += perf_counter_ns() - began
            count[kind] += 1
        ticks.append(spent[True] / count[True] / 1000)
        beats.append(spent[False] / count[False] / 1000)
    return min(ticks), min(beats)


if __name__ == "__main__":
    raise SystemExit(main())
