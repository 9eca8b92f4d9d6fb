"""What other labels and other networks would give, each judged on what it never saw: docs/model_research.md.

Run in the training environment on recordings of your own:
`.venv-train/bin/python -m benchmarks.model_research FILE… --out docs/model_research.md` (about half an hour).
Nothing here ships: what ships is made by `bot train`, by the recipe this table spoke for.
"""

import argparse
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from bot.core.charges import card_on
from bot.core.events import Side
from bot.core.session import Session
from bot.core.units import ist
from bot.research.dataset import HORIZON_TICKS, RISE_BPS, UNDATED, Tape, load
from bot.research.evaluate import Judged, Scores, score
from bot.research.recording import ticks_of
from bot.storage.ticks import TickFileError

SEED: Final = 7
THRESHOLD: Final = 0.63
UNITS: Final = 595  # of a round trip's charges: seventeen lots of 35
Bools: TypeAlias = npt.NDArray[np.bool_]
Model = Any


class Variant(NamedTuple):
    """One row. `label` "": the one that ships, by days left out; else of tapes with quotes, by files."""

    name: str
    network: str = "dense"
    told_anew: bool = True  # trained on feeds made lazier and busier, wilder and calmer, too
    trust: float | None = None  # of the calibration; None: the recipe's
    label: str = ""


VARIANTS: Final = (
    Variant("Dense 32 → 16 (ships)"),
    Variant("the same, calibration followed in full", trust=1.0),
    Variant("the same, no calibration", trust=0.0),
    Variant("the same, recorded feeds only", told_anew=False),
    Variant("logistic regression", "logistic"),
    Variant("Conv1D 32", "conv"),
    Variant("LSTM 24", "lstm"),
    Variant("GRU 24", "gru"),
    Variant("last price (ships)", told_anew=False, label="ltp"),
    Variant("mid", told_anew=False, label="mid"),
    Variant("bid over the ask", told_anew=False, label="net"),
    Variant("the rule's own trade, net", told_anew=False, label="trade"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Train and judge every variant; print the table, and write it where asked."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("files", nargs="+", type=Path, help="recorded ticks, as bot train reads them")
    parser.add_argument("--out", type=Path, help="write the page here, too")
    parser.add_argument("--jobs", type=int, default=2, help="variants at a time")
    asked = parser.parse_args(argv)
    context = multiprocessing.get_context("spawn")  # a network library does not survive a fork
    rows: list[tuple[Variant, Scores, float]] = []
    with ProcessPoolExecutor(asked.jobs, mp_context=context) as pool:
        found = [pool.submit(judge, variant, asked.files) for variant in VARIANTS]
        for number, (variant, waiting) in enumerate(zip(VARIANTS, found, strict=True), 1):
            scores, worst = waiting.result()
            rows.append((variant, scores, worst))
            print(f"[{number}/{len(VARIANTS)}] {_row(variant, scores, worst)}", flush=True)
    text = page(rows, asked.files)
    print(text)
    if asked.out is not None:
        asked.out.write_text(text)
    return 0


def judge(variant: Variant, files: Sequence[Path]) -> tuple[Scores, float]:
    """(pooled figures of what was left out, the worst tape's ECE)."""
    from bot.research import network

    loaded = [labelled(tape, path, variant.label) for path in files for tape in load(path)]
    tapes = [tape for tape in loaded if tape is not None]
    recipe = network.Recipe(layers=_NETWORKS[variant.network])
    if not variant.told_anew:
        recipe = recipe._replace(variants=lambda tape, weight, _: [network._plain(tape, weight)])
    if variant.trust is not None:
        recipe = recipe._replace(calibration_trust=variant.trust)
    judged: list[Judged] = []
    for group in dict.fromkeys(_left_out(tape, variant) for tape in tapes):
        taught = [tape for tape in tapes if _left_out(tape, variant) != group]
        if not taught:
            continue
        model = network.fit(taught, SEED, recipe)
        judged += [
            Judged(tape.name, network.probabilities(model, tape.windows), tape.rises)
            for tape in tapes
            if _left_out(tape, variant) == group
        ]
    worst = max(score([one], THRESHOLD, SEED).ece for one in judged)
    return score(judged, THRESHOLD, SEED), worst


def _left_out(tape: Tape, variant: Variant) -> str:
    return tape.file if variant.label else tape.day


# --- labels that want quotes ------------------------------------------------------------------------------


class Labelled(Tape):
    """A tape whose label is not made of last prices: cut by windows, with a warm-up left out between."""

    def split(self, share: float) -> tuple[Tape, Tape]:
        cut = int(len(self.rises) * share)
        return self._rows(slice(0, cut)), self._rows(slice(cut + 100, None))

    def _rows(self, rows: slice) -> Tape:
        return replace(
            self,
            windows=self.windows[rows],
            best_bps=self.best_bps[rows],
            rises=self.rises[rows],
            at=self.at[rows],
            place=self.place[rows],
        )


def labelled(tape: Tape, path: Path, label: str) -> Tape | None:
    """The tape with another label; None where it has no honest quotes for it."""
    if not label:
        return tape
    quotes = _quotes(tape, path)
    if quotes is None:
        return None
    bid, ask = quotes
    here = tape.place
    ahead = here[:, None] + np.arange(1, HORIZON_TICKS + 1)
    keep: Bools = (bid[here] > 0) & (ask[here] > 0)
    charges_bps = _charges_bps(tape, float(np.median(ask[ask > 0])))
    dear = ask[here] * (1 + charges_bps / 1e4)
    match label:
        case "ltp":
            rises = tape.rises
        case "mid":
            mid = (bid + ask) / 2
            rises = mid[ahead].max(axis=1) * 1e4 >= mid[here] * (1e4 + RISE_BPS)
        case "net":
            rises = bid[ahead].max(axis=1) >= dear
        case _:
            velocity, rel_diff = tape.windows[:, -1, 1], tape.windows[:, -1, 2]
            keep &= (velocity < 0) & (rel_diff < 0)
            sold = _next(here, (velocity > 0) & (rel_diff > 0))
            rises = bid[sold] >= dear
    whole = Labelled(
        tape.file, tape.instrument, tape.day, tape.ticks, tape.windows, tape.best_bps, rises, tape.at, here
    )
    return whole._rows(keep)  # type: ignore[arg-type]


def _next(place: npt.NDArray[np.int64], exits: Bools) -> npt.NDArray[np.int64]:
    """For each window the tick at which the exit rule next holds; the last one where it never does."""
    found = np.where(exits, np.arange(len(exits)), len(exits) - 1)
    following = np.minimum.accumulate(found[::-1])[::-1]
    later = np.append(following[1:], len(exits) - 1)
    sold: npt.NDArray[np.int64] = place[later]
    return sold


def _quotes(tape: Tape, path: Path) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
    """(bid, ask) of every tick of the tape, in paise."""
    if tape.day == UNDATED:
        return None
    day = date.fromisoformat(tape.day)
    session = Session.on(day)
    try:
        ticks = [
            tick
            for tick in ticks_of(path)
            if tick.instrument == tape.instrument
            and ist(tick.at).date() == day
            and session.open_at <= tick.at < session.close_at
        ]
    except TickFileError:
        return None
    bid = np.array([tick.bid for tick in ticks], dtype=np.float64)
    ask = np.array([tick.ask for tick in ticks], dtype=np.float64)
    honest = len(ticks) == len(tape.ticks) and np.mean((bid > 0) & (ask > bid)) > 0.9
    return (bid, ask) if honest else None


def _charges_bps(tape: Tape, price: float) -> float:
    card, value = card_on(date.fromisoformat(tape.day), "NSE"), round(price) * UNITS
    sides = [card.fill_charges(side, value, first_fill_of_order=True).total for side in Side]
    return sum(sides) / value * 1e4


# --- networks, on the numbers of network.scale_free ---------------------------------------------------------


def _dense() -> list[Model]:
    from bot.research import network

    return network._layers()


def _logistic() -> list[Model]:
    import keras

    return [keras.layers.Dense(1)]


def _over_time(body: Callable[[Any], Any]) -> list[Model]:
    """`body` sees ten ticks of [rel_diff, price − estimate, velocity]; moves and wildness join behind it."""
    import keras
    from keras import ops

    numbers = keras.Input((50,))
    ticks = keras.layers.Lambda(lambda x: ops.stack([x[:, :10], x[:, 10:20], x[:, 20:30]], axis=2))(numbers)
    rest = keras.layers.Lambda(lambda x: x[:, 30:])(numbers)
    joined = keras.layers.Concatenate()([body(ticks), rest])
    out = keras.layers.Dense(16, "relu")(joined)
    return [keras.Model(numbers, out), keras.layers.Dense(1)]


def _conv() -> list[Model]:
    import keras

    def body(ticks: Any) -> Any:
        seen = keras.layers.Conv1D(32, 3, activation="relu")(ticks)
        return keras.layers.Flatten()(keras.layers.Conv1D(16, 3, activation="relu")(seen))

    return _over_time(body)


def _lstm() -> list[Model]:
    import keras

    return _over_time(keras.layers.LSTM(24))


def _gru() -> list[Model]:
    import keras

    return _over_time(keras.layers.GRU(24))


_NETWORKS: Final = {"dense": _dense, "logistic": _logistic, "conv": _conv, "lstm": _lstm, "gru": _gru}


# --- the page ---------------------------------------------------------------------------------------------


def _row(variant: Variant, found: Scores, worst: float) -> str:
    lift = "–" if found.lift is None else f"{found.lift:.2f}"
    auc = f"{found.auc:.3f} ({found.auc_low:.3f}–{found.auc_high:.3f})"
    return (
        f"| {variant.name} | {found.n:,} | {found.base_rate:.3f} | {auc} | {found.brier_skill:+.3f} "
        f"| {found.ece:.3f} | {worst:.3f} | {found.coverage:.2%} | {lift} |"
    )


def page(rows: Sequence[tuple[Variant, Scores, float]], files: Sequence[Path]) -> str:
    """docs/model_research.md."""
    head = (
        "| | windows | base rate | AUC (95 %) | Brier skill | ECE | worst tape | at 0.63 | lift |\n"
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|"
    )
    tables = [
        "\n".join([head, *(_row(*row) for row in rows if bool(row[0].label) is quotes)])
        for quotes in (False, True)
    ]
    names = " ".join(path.name for path in files)
    return f"""# Which label, which network

Written by `python -m benchmarks.model_research FILE… --out docs/model_research.md`, seed {SEED}, on
{names}.
Each row is what a model said of tapes it never saw. What ships is chosen by the first table: it must be right
about how often (ECE), on every tape (the worst one's ECE), and reach 0.63 now and then.

## Networks: the label that ships, one whole day left out

{tables[0]}

*Ships* is Dense on what was recorded and on feeds told lazier, busier, wilder and calmer, its calibration
followed half-way. AUC intervals: 95 %, blocks of five minutes drawn anew.

## Labels: files with honest quotes, one file left out

All of one day, so kinder than the first table. The same Dense network on the recorded feeds alone.

* *last price*: the highest of the next {HORIZON_TICKS} is {RISE_BPS:g} bps up; *mid*: the same of the mid.
* *bid over the ask*: one of the next {HORIZON_TICKS} bids pays the ask of now and a round trip's charges on
  {UNITS} units.
* *the rule's own trade*: bought at the ask where the entry rule holds, sold at the bid where the exit rule
  next does, stop aside, net of charges.

*At 0.63* is how often such a model would let the bot enter at all.

{tables[1]}
"""


if __name__ == "__main__":
    raise SystemExit(main())
