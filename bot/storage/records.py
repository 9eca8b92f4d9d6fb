"""What the journal's records say: the core's own types as JSON and back, and the marks of a day.

A record is read by the fields of its class, strictly: what does not fit is refused, never guessed. This file
must never know how records are kept.
"""

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple, TypeAlias, cast, get_type_hints

import orjson

from bot.core import commands, events
from bot.core.units import Nanos
from bot.run.ports import Record
from bot.storage.journal import JournalRefused

BOOT: Final = "BOOT"
END: Final = "END"
CHOICE: Final = "CHOICE"  # storage/choices.py
MARKS: Final = frozenset({BOOT, END, CHOICE})  # records of the day, not of the core's types

# --- the day's marks ----------------------------------------------------------------------------------


class End(NamedTuple):
    """The day is over: a restart that finds this exits at once with `exit_code`."""

    at: Nanos
    exit_code: int


def boot_record(at: Nanos, **facts: str | int) -> Record:
    """One start of the process. `facts` (mode, version, model, config hash …) are for people and the CSV."""
    return Record(at, BOOT, orjson.dumps(facts).decode())


def end_record(at: Nanos, exit_code: int) -> Record:
    return Record(at, END, orjson.dumps({"exit_code": exit_code}).decode())


def boots(records: Iterable[Record]) -> list[Nanos]:
    """When the process was started today. Their number is the run that a new start begins, less one."""
    return [record.at for record in records if record.kind == BOOT]


def modes(records: Iterable[Record]) -> set[str]:
    """The modes the day was started in so far."""
    told = (orjson.loads(record.body).get("mode") for record in records if record.kind == BOOT)
    return {mode for mode in told if isinstance(mode, str)}


def ended(records: Iterable[Record]) -> End | None:
    """The end-of-day mark; None while the day is not over. The last one counts."""
    marks = [record for record in records if record.kind == END]
    return End(marks[-1].at, int(orjson.loads(marks[-1].body)["exit_code"])) if marks else None


# --- records of the core's own types ------------------------------------------------------------------

Journaled: TypeAlias = (
    commands.PlaceOrder
    | commands.ModifyOrder
    | commands.CancelOrder
    | commands.RecordFill
    | commands.Refused
    | commands.Alert
    | commands.NoTrade
    | commands.EntriesEnded
    | events.OrderReport
    | events.SendOutcome
    | events.Operator
)
_TYPES: Final[tuple[type[Journaled], ...]] = Journaled.__args__
_Reader: TypeAlias = Callable[[Any], Any]


def encode(thing: Journaled) -> tuple[str, str]:
    """(kind, body): the class's name and its fields as JSON. NaN and infinities become null.

    Text that is no Unicode (a lone surrogate out of a broker's JSON) is written with `?` in its place: the
    journal must take whatever the world said.
    """
    body = thing._asdict()
    try:
        packed = orjson.dumps(body, default=_fields)
    except orjson.JSONEncodeError:
        clean = {key: _unicode(value) if isinstance(value, str) else value for key, value in body.items()}
        packed = orjson.dumps(clean, default=_fields)
    return type(thing).__name__, packed.decode()


def record_of(at: Nanos, thing: Journaled) -> Record:
    return Record(at, *encode(thing))


def decode(kind: str, body: str) -> Journaled:
    """The object a record was made of; null floats are NaN. Raises JournalRefused for anything else."""
    readers = _READERS.get(kind)
    if readers is None:
        raise JournalRefused(
            f"the journal holds a record of unknown kind {kind!r}: another version wrote it."
        )
    try:
        return _CLASSES[kind](**_read(readers, orjson.loads(body)))
    except (ValueError, TypeError, KeyError) as error:
        raise JournalRefused(f"a {kind} record of the journal can't be read ({error!r}).") from error


def _fields(value: Any) -> Any:
    if isinstance(value, commands.Decision):
        return value._asdict()
    raise TypeError(f"{type(value).__name__} has no place in the journal")


def _unicode(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _read(readers: Mapping[str, _Reader], values: Any) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise TypeError(f"{values!r} where an object was expected")
    if extra := values.keys() - readers.keys():
        raise ValueError(f"unknown fields {sorted(extra)}")
    return {name: reader(values[name]) for name, reader in readers.items()}


def _exact(wanted: type) -> _Reader:
    def read(value: Any) -> Any:
        if type(value) is not wanted:
            raise TypeError(f"{value!r} where {wanted.__name__} was expected")
        return value

    return read


def _reader(hint: Any) -> _Reader:
    if hint is float:
        return lambda value: float("nan") if value is None else float(value)
    if hint is commands.Decision:
        nested = _readers(commands.Decision)
        return lambda value: commands.Decision(**_read(nested, value))
    if issubclass(hint, StrEnum):
        return cast(_Reader, hint)
    return _exact(hint)


def _readers(kind: type) -> dict[str, _Reader]:
    return {name: _reader(hint) for name, hint in get_type_hints(kind).items()}


_CLASSES: Final = {kind.__name__: kind for kind in _TYPES}
_READERS: Final = {name: _readers(kind) for name, kind in _CLASSES.items()}
