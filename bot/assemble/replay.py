"""`bot replay`: a taped day through the same engine again. The same decisions, or the differences.

The tape holds what came in (frames, the broker's words, heartbeats) and what was decided; this runs the first
and compares with the second, turn by turn. Nothing is sent anywhere.
"""

import json
from collections.abc import Callable, Iterator
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from bot.core.engine import Engine
from bot.core.events import Event
from bot.core.forecast import Classifier, RelDiff
from bot.core.rules import Contract, OrderRules, RiskRules, Rules, StrategyRules
from bot.core.session import Session
from bot.core.units import ist_text
from bot.run.recover import replay as recover
from bot.storage import records
from bot.storage.model import ModelRefused, load_model
from bot.storage.tape import Entry, EventReader, TapeRefused, commands_text, read_tape
from bot.upstox.wire_market import MarketDecoder

DIFFERENCES_MAX = 20
_SIGN_OF_LIFE_TURNS = 512


class Certificate(NamedTuple):
    """What a replay found. `differences` are words, the first twenty."""

    tape: str
    sha256: str
    starts: int  # of the process
    frames: int
    events: int
    turns: int
    turns_with_decisions: int
    decisions_sha256: str  # of what was decided then
    replayed_sha256: str  # …and now
    identical: bool
    differences: tuple[str, ...]


def run_replay(path: Path, model: Path, console: Console) -> int:
    """Replay, say what came of it; 0 when identical, else 1. Raises TapeRefused, ModelRefused."""
    head = header_of(path)
    rules = rules_of(head["rules"])
    loaded = load_model(model, rel_diff=rules.strategy.rel_diff)
    if not loaded.passport.sha256.startswith(head["model"]):
        raise ModelRefused(
            f"The tape was made with the model {head['model']}, {model} is {loaded.passport.sha256[:12]}. "
            "Give the day's own with --model."
        )
    certificate = certify(path, loaded.classifier)
    if certificate.identical:
        console.print(
            f"[green]identical[/green]: {certificate.turns:,} turns, {certificate.turns_with_decisions:,} of "
            f"them with decisions, from {certificate.frames:,} frames; "
            f"sha256 {certificate.decisions_sha256[:16]}",
            highlight=False,
        )
        return 0
    console.print("[red]different[/red]", highlight=False)
    for difference in certificate.differences:
        console.print(f"  {difference}", highlight=False, markup=False)
    return 1


def header_of(path: Path) -> dict[str, Any]:
    """What the first start on the tape was made of. Raises TapeRefused."""
    for entry in read_tape(path):
        if entry.kind == "H":
            head: dict[str, Any] = json.loads(entry.payload)
            return head
    raise TapeRefused(f"{path}: holds no start of the bot. Was it cut off?")


def certify(path: Path, classifier: Classifier, alive: Callable[[], object] | None = None) -> Certificate:
    """Run the tape again. `alive` is called now and then: a waiting loop must not take us for stuck.
    Raises TapeRefused.
    """
    with path.open("rb") as file:
        content = sha256(file.read()).hexdigest()
    counts = {"frames": 0, "events": 0, "turns": 0, "starts": 0, "decided": 0}
    then, now = sha256(), sha256()
    differences: list[str] = []
    for start in _starts(path):
        counts["starts"] += 1
        decided: dict[int, str] = {}
        for number, event, made in _again(start, classifier, counts):
            if alive is not None and number % _SIGN_OF_LIFE_TURNS == 0:
                alive()
            if made != "[]":
                now.update(made.encode())
                decided[number] = made
            recorded = start.decided.get(number, "[]")
            if made != recorded and len(differences) < DIFFERENCES_MAX:
                differences.append(_words(number, event, recorded, made))
        for number in sorted(start.decided):
            then.update(start.decided[number].encode())
            if number not in decided and number > start.turns_replayed and len(differences) < DIFFERENCES_MAX:
                differences.append(f"turn {number}: decided then, but its event is not on the tape")
        counts["decided"] += len(start.decided)
    return Certificate(
        tape=path.name,
        sha256=content,
        starts=counts["starts"],
        frames=counts["frames"],
        events=counts["events"],
        turns=counts["turns"],
        turns_with_decisions=counts["decided"],
        decisions_sha256=then.hexdigest(),
        replayed_sha256=now.hexdigest(),
        identical=not differences and then.digest() == now.digest() and counts["starts"] > 0,
        differences=tuple(differences),
    )


class _Start:
    """One incarnation's part of the tape."""

    def __init__(self, head: dict[str, Any], mono: int) -> None:
        self.head, self.mono = head, mono
        self.told: list[Entry] = []
        self.behind: set[int] = set()
        self.decided: dict[int, str] = {}
        self.turns: int | None = None  # None: it ended without a word
        self.turns_replayed = 0


def _starts(path: Path) -> Iterator[_Start]:
    start: _Start | None = None
    for entry in read_tape(path):
        if entry.kind == "H":
            if start is not None:
                yield start
            start = _Start(json.loads(entry.payload), entry.mono)
        elif start is None:
            raise TapeRefused(f"{path}: begins in the middle. Was it cut?")
        elif entry.kind == "B":
            start.behind.add(int(entry.payload))
        elif entry.kind == "C":
            number, _, text = entry.payload.decode().partition(" ")
            start.decided[int(number)] = text
        elif entry.kind == "Z":
            start.turns = int(entry.payload)
        else:
            start.told.append(entry)
    if start is not None:
        yield start


def _again(start: _Start, classifier: Classifier, counts: dict[str, int]) -> Iterator[tuple[int, Event, str]]:
    """(turn, event, what is decided now), for each turn that was handled then."""
    engine = engine_of(start.head, start.mono, classifier)
    decoder, reader = MarketDecoder(engine.desks), EventReader()
    # Without a last word (a crash), what came after the last decision may never have been handled.
    last = start.turns if start.turns is not None else max(start.decided, default=0)
    number = 0
    for entry in start.told:
        events: list[Event]
        match entry.kind:
            case "O":
                decoder.opened()
                continue
            case "F":
                counts["frames"] += 1
                events = decoder.decode(entry.payload, entry.at, entry.mono)
            case _:
                counts["events"] += 1
                events = [reader.event(entry.payload)]
        for event in events:
            number += 1
            if number > last:
                return
            made = engine.handle(event, newest=number not in start.behind)
            counts["turns"] += 1
            start.turns_replayed = number
            yield number, event, commands_text(tuple(made))


def engine_of(head: dict[str, Any], mono: int, classifier: Classifier) -> Engine:
    """The engine as it stood at a start: made of the head, recovered from its journal."""
    session = head["session"] | {"day": date.fromisoformat(head["session"]["day"])}
    contracts = [Contract(**fields) for fields in head["contracts"]]
    engine = Engine(rules_of(head["rules"]), Session(**session), contracts, classifier, head["run"])
    kept = [(kind, body) for _, kind, body in head["kept"] if kind not in records.MARKS]
    recover(engine, [records.decode(kind, body) for kind, body in kept], mono)
    engine.forbid_entries(head["no_entries"])
    return engine


def rules_of(fields: dict[str, Any]) -> Rules:
    """The rules out of a head. Raises TapeRefused for those of another version."""
    try:
        strategy = fields["strategy"] | {"rel_diff": RelDiff(fields["strategy"]["rel_diff"])}
        if strategy.get("taught_bps") is not None:
            strategy["taught_bps"] = tuple(strategy["taught_bps"])
        return Rules(StrategyRules(**strategy), OrderRules(**fields["orders"]), RiskRules(**fields["risk"]))
    except (KeyError, TypeError, ValueError) as error:
        raise TapeRefused(f"the rules are another version's ({error}). Replay it with that.") from error


def _words(number: int, event: Event, then: str, now: str) -> str:
    return f"turn {number}, {ist_text(event.at)}, {type(event).__name__}: then {then[:300]} · now {now[:300]}"
