"""What the day trades, as the journal keeps it: a restart takes the contract that was chosen, not another.

One record a `[[instruments]]` entry, with all the master said of the contract: a restart needs no master. The
last record of an entry counts. This file must never know how a choice is made.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

import orjson

from bot.core.rules import Contract
from bot.core.units import InstrumentKey, Nanos
from bot.run.ports import Record
from bot.storage.journal import JournalRefused, SqliteJournal
from bot.storage.records import CHOICE


class Chosen(NamedTuple):
    """A contract of the day. `entry`: the settings' words for it, its key or the wish."""

    entry: str
    contract: Contract
    expiry: date | None  # None: nobody told (numbers written by hand)
    index_key: InstrumentKey  # quoted beside it, lively; "" when not known
    reason: str  # in words, for people


def choice_record(at: Nanos, chosen: Chosen) -> Record:
    """`chosen` as a record."""
    contract = chosen.contract
    body = {
        "entry": chosen.entry,
        "key": contract.key,
        "quantity": contract.quantity,
        "lot": contract.lot,
        "tick": contract.tick,
        "freeze_quantity": contract.freeze_quantity,
        "exchange": contract.exchange,
        "name": contract.name,
        "expiry": chosen.expiry and chosen.expiry.isoformat(),
        "index_key": chosen.index_key,
        "reason": chosen.reason,
    }
    return Record(at, CHOICE, orjson.dumps(body).decode())


def choices(records: Iterable[Record]) -> dict[str, Chosen]:
    """By entry. Raises JournalRefused for a record that can't be read."""
    found = (_read(record.body) for record in records if record.kind == CHOICE)
    return {chosen.entry: chosen for chosen in found}


def _read(body: str) -> Chosen:
    try:
        row = orjson.loads(body)
        contract = Contract(
            key=row["key"],
            quantity=int(row["quantity"]),
            lot=int(row["lot"]),
            tick=int(row["tick"]),
            freeze_quantity=int(row["freeze_quantity"]),
            exchange=row["exchange"],
            name=row["name"],
        )
        expiry = date.fromisoformat(row["expiry"]) if row["expiry"] else None
        return Chosen(row["entry"], contract, expiry, row["index_key"], row["reason"])
    except (ValueError, TypeError, KeyError) as error:
        raise JournalRefused(f"a {CHOICE} record of the journal can't be read ({error!r}).") from error


def keep_choices(path: Path, at: Nanos, chosen: Sequence[Chosen]) -> None:
    """Into the journal at `path`. Raises JournalRefused, JournalFailed."""
    journal = SqliteJournal(path)
    try:
        journal.commit([choice_record(at, one) for one in chosen])
    finally:
        journal.close()
