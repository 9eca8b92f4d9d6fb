"""`bot explain DAY HH:MM`: what the bot saw in that minute, and why it did or did not trade. Reads, only.

Out of the day's journal where it lies: the data folder, else the archive's copy. What the journal does not
say is said to be unknown, never guessed.
"""

import sys
from collections.abc import Iterator, Sequence
from datetime import date, time
from re import fullmatch
from typing import Any, NamedTuple

import orjson
from rich.console import Console
from rich.markup import escape

from bot.assemble import explain_words as words
from bot.assemble.kept_day import ExplainRefused, kept_of
from bot.core.commands import Alert, CancelOrder, EntriesEnded, ModifyOrder, NoTrade, PlaceOrder, RecordFill
from bot.core.events import Operator, OrderReport, Outcome, SendOutcome
from bot.core.units import SECOND, InstrumentKey, Nanos, ist_nanos, ist_text, rupees, rupees_text
from bot.run.ports import Record
from bot.storage import records
from bot.storage.choices import choices
from bot.storage.journal import JournalRefused


class Happened(NamedTuple):
    """One thing, in words. `instrument` "" concerns the whole bot."""

    at: Nanos
    instrument: InstrumentKey
    what: str  # order | change | fill | answer | alert | operator | start | end
    text: str


class Minute(NamedTuple):
    """All that the journal holds of a minute. `gap`: why there is nothing, "" when there is."""

    begin: Nanos
    mode: str
    names: dict[InstrumentKey, str]
    intervals: tuple[NoTrade, ...]
    happened: tuple[Happened, ...]
    held: dict[InstrumentKey, str]  # what was owned, and under which stop, in words
    gap: str


def run_explain(
    day: str, minute: str, places: Sequence[str], console: Console, *, as_json: bool = False
) -> int:
    """Tell it; 0. `places`: folders or archive roots, the first that has the day. Raises ExplainRefused."""
    begin = begin_of(day, minute)
    kept, where = kept_of(date.fromisoformat(day), places)
    found = minute_of(kept, begin)
    if as_json or not console.is_terminal:
        body = orjson.dumps(document(found, day, minute, where), option=orjson.OPT_INDENT_2)
        sys.stdout.write(body.decode() + "\n")
        return 0
    for number, line in enumerate(told(found)):
        console.print(f"[bold]{escape(line)}[/bold]" if not number else escape(line), highlight=False)
    return 0


def begin_of(day: str, minute: str) -> Nanos:
    """When the minute began. Raises ExplainRefused."""
    problems = []
    try:
        on = date.fromisoformat(day)
    except ValueError:
        problems.append(f"{day}: is no day. Write it like 2026-09-16.")
    try:
        at = time.fromisoformat(minute if fullmatch(r"\d\d:\d\d", minute) else "")
    except ValueError:
        problems.append(f"{minute}: is no minute. Write it like 10:32, in India's time.")
    if problems:
        raise ExplainRefused(problems)
    return ist_nanos(on, at)


# ---- the journal -------------------------------------------------------------------------------------


def minute_of(kept: Sequence[Record], begin: Nanos) -> Minute:
    """What the records say of the minute that began then. Raises ExplainRefused for what can't be read."""
    end = begin + 60 * SECOND
    boots = records.boots(kept)
    try:
        known = [
            (one.at, records.decode(one.kind, one.body)) for one in kept if one.kind not in records.MARKS
        ]
    except JournalRefused as refused:
        raise ExplainRefused([str(refused)]) from None
    of_tag = {made.tag: made.instrument for _, made in known if isinstance(made, PlaceOrder)}
    marks = [
        Happened(at, "", "start", f"the bot was started (start {number} of the day)")
        for number, at in enumerate(boots, 1)
    ]
    over = records.ended(kept)
    if over is not None:
        marks.append(Happened(over.at, "", "end", f"the day was closed (exit code {over.exit_code})"))
    rejected: set[str] = set()
    for at, made in known:
        if isinstance(made, OrderReport):  # a book that is read again repeats what it said
            if made.order_id in rejected:
                continue
            rejected |= {made.order_id} if made.status == "rejected" else set()
        marks += _happened(at, made, of_tag)
    intervals = tuple(
        made for _, made in known if isinstance(made, NoTrade) and made.since < end and made.until > begin
    )
    names = {one.contract.key: one.contract.name or one.contract.key for one in choices(kept).values()}
    happened = tuple(sorted((one for one in marks if begin <= one.at < end), key=lambda one: one.at))
    gap = "" if intervals else _gap(begin, kept, boots, over.at if over else None)
    modes = ", ".join(sorted(records.modes(kept)))
    return Minute(begin, modes, names, intervals, happened, _held(known, end), gap)


def _happened(at: Nanos, made: object, of_tag: dict[str, InstrumentKey]) -> Iterator[Happened]:
    match made:
        case PlaceOrder():
            yield Happened(at, made.instrument, "order", words.order(made))
        case ModifyOrder() | CancelOrder():
            yield Happened(at, of_tag.get(made.tag, ""), "change", words.change(made))
        case RecordFill():
            yield Happened(made.at, made.instrument, "fill", words.fill(made))
        case SendOutcome() if made.outcome is not Outcome.ACCEPTED:
            said = f"the broker's answer to {made.act.lower()}: {made.outcome.lower()} {made.code}"
            yield Happened(at, of_tag.get(made.tag, ""), "answer", f"{said} {made.message}".rstrip())
        case OrderReport(status="rejected"):
            yield Happened(at, made.instrument, "answer", f"the order was rejected: {made.message}")
        case Alert():
            yield Happened(at, "", "alert", made.text)
        case Operator():
            yield Happened(at, "", "operator", f"{made.action.lower().replace('_', ' ')}: {made.reason}")
        case EntriesEnded():
            pass  # its alert says it


def _held(known: Sequence[tuple[Nanos, object]], end: Nanos) -> dict[InstrumentKey, str]:
    """What was owned at the end of the minute."""
    owned: dict[InstrumentKey, int] = {}
    triggers: dict[InstrumentKey, int] = {}
    for at, made in known:
        if at >= end:
            break
        if isinstance(made, RecordFill):
            owned[made.instrument] = made.position_after
        elif isinstance(made, PlaceOrder) and made.trigger_price:
            triggers[made.instrument] = made.trigger_price
    return {
        key: f"It held {units} units"
        + (f"; its stop was at ₹{rupees_text(triggers[key])}" if key in triggers else "")
        + ". It sells when the price rises above its estimate, at the stop, or at the end of the day."
        for key, units in owned.items()
        if units > 0
    }


def _gap(begin: Nanos, kept: Sequence[Record], boots: Sequence[Nanos], over: Nanos | None) -> str:
    """Why the journal has no look of that minute."""
    end = begin + 60 * SECOND
    later = [at for at in boots if at >= begin]
    if not [at for at in boots if at < end]:
        first = f"it was started at {words.clock(boots[0])}" if boots else "it was never started that day"
        return f"The bot was not running yet: {first}."
    if over is not None and begin > over:
        return f"The bot's day was over: it was closed at {words.clock(over)}."
    if not any(one.kind == NoTrade.__name__ for one in kept):
        return (
            "This journal keeps no reasons: an older version of the bot wrote it, or its first minute runs."
        )
    last = max((one.at for one in kept if one.at < end), default=0)
    if later:
        return (
            f"The bot was not looking: its last word before was at {words.clock(last)}, "
            f"and it was started again at {words.clock(later[0])}."
        )
    return (
        f"The journal ends at {words.clock(last)}: the bot had stopped, or is still in that minute; what it "
        "sees is written when a minute is over."
    )


# ---- telling -----------------------------------------------------------------------------------------


def told(minute: Minute) -> list[str]:
    """Line by line, the verdict first."""
    lines = [f"{ist_text(minute.begin)[:16].replace('T', ' ')} IST: {_verdict(minute)}"]
    lines += [f"  {words.clock(one.at)} {one.text}" for one in minute.happened if not one.instrument]
    for key in _instruments(minute):
        lines.append(f"{minute.names.get(key, key)}")
        lines += [f"  {line}" for line in _of(minute, key)]
    return lines + ([minute.gap] if minute.gap else [])


def _instruments(minute: Minute) -> list[InstrumentKey]:
    keys = [one.instrument for one in minute.intervals]
    keys += [one.instrument for one in minute.happened if one.instrument]
    return list(dict.fromkeys(keys))


def _verdict(minute: Minute) -> str:
    fills = [one.text for one in minute.happened if one.what == "fill"]
    if fills:
        return "; ".join(fills) + "."
    if any(one.what == "order" for one in minute.happened):
        return "it sent an order; nothing was filled within the minute."
    if not minute.intervals:
        return "nothing was traded."
    looks: dict[tuple[str, str], int] = {}
    for one in minute.intervals:
        for reason, count in words.counts(one.looks).items():
            looks[reason, one.detail] = looks.get((reason, one.detail), 0) + count
    return f"nothing was traded, mostly because {words.why(*max(looks, key=lambda pair: looks[pair]))}."


def _of(minute: Minute, key: InstrumentKey) -> list[str]:
    intervals = [one for one in minute.intervals if one.instrument == key]
    timed = [(one.since, words.not_bought(one)) for one in intervals]
    timed += [
        (one.at, f"{words.clock(one.at)} {one.text}.") for one in minute.happened if one.instrument == key
    ]
    lines = [text for _, text in sorted(timed)]
    if intervals:
        last = intervals[-1]
        saw = words.saw(last.seen, last.bid, last.ask)
        lines.insert(0, f"{saw[0].upper()}{saw[1:]}.")
    return lines + ([minute.held[key]] if key in minute.held else [])


def document(minute: Minute, day: str, at: str, where: str) -> dict[str, Any]:
    """The same for programs. Prices in rupees; what is not known is null."""
    return {
        "day": day,
        "minute": at,
        "zone": "Asia/Kolkata",
        "mode": minute.mode,
        "journal": where,
        "verdict": _verdict(minute),
        "gap": minute.gap,
        "instruments": [
            {
                "instrument": key,
                "name": minute.names.get(key, key),
                "words": _of(minute, key),
                "intervals": [_interval(one) for one in minute.intervals if one.instrument == key],
            }
            for key in _instruments(minute)
        ],
        "happened": [one._asdict() | {"at": ist_text(one.at)} for one in minute.happened],
    }


def _interval(one: NoTrade) -> dict[str, Any]:
    seen = one.seen
    return {
        "since": ist_text(one.since),
        "until": ist_text(one.until),
        "looks": words.counts(one.looks),
        "refused": words.counts(one.refused),
        "detail": one.detail,
        "position": one.position,
        "bid": rupees(one.bid) if one.bid else None,
        "ask": rupees(one.ask) if one.ask else None,
        "ticks": one.ticks,
        "best_probability": one.best,
        "threshold": one.threshold,
        "saw": {
            "at": ist_text(seen.at) if seen.at else None,
            "price": rupees(seen.price) if seen.price else None,
            "estimate": seen.estimate,
            "velocity": seen.velocity,
            "rel_diff": seen.rel_diff,
            "probability": seen.probability,
        },
    }
