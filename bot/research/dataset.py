"""Tick files → labelled windows. The features are the serving code's own (`core.forecast`), never a copy.

This file knows nothing of networks. The label: does one of the next 5 prices stand ≥ 18 bps above this one?
It is no trade and not net of costs (models/README.md).
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from io import TextIOWrapper
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from bot.core.forecast import FEATURES, WARMUP_TICKS, WINDOW_TICKS, Forecaster, Window
from bot.core.session import Session
from bot.core.units import SECOND, InstrumentKey, Nanos, Paise, ist, paise
from bot.research.recording import ticks_of
from bot.storage.tick_source import UNREADABLE, open_plain, unreadable
from bot.storage.ticks import TickFileError

HORIZON_TICKS: Final = 5
RISE_BPS: Final = 18.0
TEMPO: Final = (0.5, 7.0)  # of the contracts known, the busiest changes its price six times as often
UNDATED: Final = "undated"
_GOLDEN_SEED: Final = 20251215
_GLUED_JUMP: Final = 0.05  # prices without times: a step this large joins two sessions

Floats: TypeAlias = npt.NDArray[np.float32]


class Heard(NamedTuple):
    """An accepted tick: all the filter needs of it."""

    at: Nanos
    ltp: Paise


@dataclass(frozen=True, slots=True)
class Tape:
    """One instrument's windows of one day, in order.

    `windows` float32 [n, 10, 3] as served · `best_bps` float32 [n]: the highest of the next 5 prices over
    this one · `rises` bool [n], the label · `at` int64 [n] · `place` int64 [n]: the tick each window ends
    with, in `ticks`, all that were heard.
    """

    file: str
    instrument: InstrumentKey
    day: str
    ticks: tuple[Heard, ...]
    windows: Floats
    best_bps: Floats
    rises: npt.NDArray[np.bool_]
    at: npt.NDArray[np.int64]
    place: npt.NDArray[np.int64]

    @property
    def name(self) -> str:
        return self.file.partition(".")[0]

    def split(self, share: float) -> tuple["Tape", "Tape"]:
        """The earlier `share` of the ticks and the rest. Each half warms up a filter of its own, so that 100
        ticks lie between them, and no label of the first looks into the second: purge and embargo.
        """
        cut = int(len(self.ticks) * share)
        return self._part(self.ticks[:cut]), self._part(self.ticks[cut:])

    def at_another_tempo(self, rng: np.random.Generator) -> "Tape":
        """The same prices as a busier or a lazier feed would have told them.

        How often a message repeats the price differs between contracts (24–89 %) more than anything else.
        Stretch by stretch a tick is told `tempo` times on average, drawn log-uniform from TEMPO; below one,
        only repeats are left out. Filter and labels are made anew.
        """
        told: list[Heard] = []
        tempo = 1.0
        for place, tick in enumerate(self.ticks):
            if place % 400 == 0:
                tempo = float(np.exp(rng.uniform(*np.log(TEMPO))))
            repeat = bool(place) and self.ticks[place - 1].ltp == tick.ltp
            if repeat and rng.random() > tempo:
                continue
            told.append(tick)
            while rng.random() < 1 - 1 / tempo:  # never, below one
                told.append(tick)
        return self._part(tuple(told))

    def _part(self, ticks: tuple[Heard, ...]) -> "Tape":
        return tape_of(ticks, self.file, self.instrument, self.day)


def tape_of(ticks: tuple[Heard, ...], file: str, instrument: InstrumentKey, day: str) -> Tape:
    """Run the serving code over the ticks and label every warm window that has its horizon in its own run."""
    windows: list[Floats] = []

    def capture(window: Window) -> float:
        windows.append(window[0].copy())
        return 0.0

    forecaster = Forecaster(capture)
    counts = np.array([forecaster.hear(tick.at, tick.ltp).tick for tick in ticks], dtype=np.int64)
    prices = np.array([tick.ltp for tick in ticks], dtype=np.int64)
    runs = np.cumsum(counts == 1)  # no window and no label looks across a reset of the filter
    here = np.flatnonzero(counts >= WARMUP_TICKS)
    whole = here + HORIZON_TICKS < len(ticks)
    whole[whole] = runs[here[whole] + HORIZON_TICKS] == runs[here[whole]]
    here = here[whole]
    ahead = prices[here[:, None] + np.arange(1, HORIZON_TICKS + 1)].max(axis=1) - prices[here]
    stack = np.array(windows, dtype=np.float32).reshape(-1, WINDOW_TICKS, FEATURES)[whole]
    at = np.array([tick.at for tick in ticks], dtype=np.int64)[here]
    best_bps = (ahead * 10_000 / prices[here]).astype(np.float32)
    rises = ahead * 10_000 >= RISE_BPS * prices[here]  # in integers: 18 bps exactly is a rise
    return Tape(file, instrument, day, ticks, stack, best_bps, rises, at, here)


def golden_windows() -> Floats:
    """25 windows of made-up ticks: cheap and dear options, quiet and wild, and one that never moves."""
    rng = np.random.default_rng(_GOLDEN_SEED)
    kept: list[Window] = []
    for rupees, bps in ((42.0, 60.0), (480.0, 18.0), (910.0, 8.0), (2.5, 0.0)):
        heard: list[Window] = []

        def capture(window: Window, heard: list[Window] = heard) -> float:
            heard.append(window[0].copy())
            return 0.0

        forecaster, price = Forecaster(capture), rupees
        for second in range(260):
            price *= 1 + rng.standard_t(5) * bps / 1e4 * (rng.random() < 0.7)
            forecaster.hear(second * SECOND, round(price * 20) * 5)
        kept.extend(heard[20::18][: 8 if bps else 1])
    return np.stack(kept)


def load(path: Path) -> list[Tape]:
    """The tapes of one tick file: one an instrument and day, open sessions only. Raises TickFileError."""
    days = _prices_alone(path) if _is_prices_alone(path) else _sessions(path)
    tapes = (tape_of(tuple(ticks), path.name, key, day) for (key, day), ticks in days.items())
    return [tape for tape in tapes if len(tape.rises)]


_Days: TypeAlias = dict[tuple[InstrumentKey, str], list[Heard]]


def _sessions(path: Path) -> _Days:
    days: _Days = {}
    sessions: dict[date, Session] = {}
    for tick in ticks_of(path):
        day = ist(tick.at).date()
        session = sessions.setdefault(day, Session.on(day))
        if session.open_at <= tick.at < session.close_at:
            days.setdefault((tick.instrument, day.isoformat()), []).append(Heard(tick.at, tick.ltp))
    return days


# --- prices without times: the output of an earlier filter, kept for training only -----------------------


def _is_prices_alone(path: Path) -> bool:
    try:
        with open_plain(path) as stream:
            return stream.read(64).startswith(b"Measured_Price")
    except UNREADABLE as error:
        raise unreadable(path, 1, error) from error


def _prices_alone(path: Path) -> _Days:
    """Only the prices are read. A second a tick is assumed; where two sessions were glued, an hour."""
    ticks: list[Heard] = []
    at: Nanos = 0
    for line, row in _rows(path):
        try:
            ltp = paise(float(row[0]))
        except (ValueError, OverflowError):
            ltp = 0
        if ltp <= 0:
            raise TickFileError(path, line, "no price in the first column. Repair or delete this line.")
        glued = bool(ticks) and abs(ltp / ticks[-1].ltp - 1) > _GLUED_JUMP
        at += 3600 * SECOND if glued else SECOND
        ticks.append(Heard(at, ltp))
    return {(path.name.partition(".")[0], UNDATED): ticks}


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        with open_plain(path) as stream, TextIOWrapper(stream, "utf-8-sig", newline="") as text:
            reader = csv.reader(text)
            next(reader)
            yield from ((reader.line_num, row) for row in reader if row)
    except (*UNREADABLE, csv.Error) as error:
        raise unreadable(path, 1, error) from error
