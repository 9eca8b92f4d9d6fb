"""Champion and challenger: the model that traded a day, and another that is asked about the same windows.

The tape holds every tick, so a challenger need not run beside the bot: what it would have said is computed
afterwards, from the same features, and costs the tick path nothing. It trades nothing.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Final

import numpy as np

from bot.core.events import Tick
from bot.core.session import Session
from bot.core.units import InstrumentKey
from bot.research.dataset import Heard, Tape, tape_of
from bot.research.evaluate import Judged, Scores, score
from bot.research.judgement import signed
from bot.storage.model import LoadedModel

Row = tuple[str, str]
WINDOWS_MIN: Final = 300  # fewer are no judgement


def compared(
    ticks: Iterable[Tick], day: date, models: Sequence[tuple[str, LoadedModel]]
) -> dict[InstrumentKey, list[Row]]:
    """For each instrument a row a model: (which, its figures in words)."""
    session, heard = Session.on(day), dict[InstrumentKey, list[Heard]]()
    for tick in ticks:
        if session.open_at <= tick.at < session.close_at:
            heard.setdefault(tick.instrument, []).append(Heard(tick.at, tick.ltp))
    tapes = {key: tape_of(tuple(rows), key, key, day.isoformat()) for key, rows in heard.items()}
    return {key: [_row(name, model, tape) for name, model in models] for key, tape in tapes.items()}


def _row(name: str, model: LoadedModel, tape: Tape) -> Row:
    title = f"{name} {model.passport.sha256[:12]}"
    rate = float(tape.rises.mean()) if len(tape.rises) else 0.0
    if len(tape.rises) < WINDOWS_MIN or not 0 < rate < 1:
        return title, f"{len(tape.rises)} windows, {rate:.0%} of them a rise: nothing to judge"
    windows = signed(tape.windows, model.passport.rel_diff)
    asked = np.array([model.classifier(window[np.newaxis]) for window in windows], dtype=np.float32)
    return title, words(score([Judged(name, asked, tape.rises)], model.passport.threshold, 1), model)


def words(found: Scores, model: LoadedModel) -> str:
    """The figures of one model on one day."""
    chosen = "none" if found.lift is None else f"{found.coverage:.2%}, lift {found.lift:.2f}"
    auc = f"AUC {found.auc:.3f} ({found.auc_low:.3f}–{found.auc_high:.3f})"
    return (
        f"{auc}, Brier skill {found.brier_skill:+.3f}, "
        f"ECE {found.ece:.3f}; at {model.passport.threshold:g}: {chosen}"
    )
