"""From `[[instruments]]` to contracts: by the instrument master of today, or by what today's journal holds.

It joins settings, master and journal; the rules of what may be traded are core/selection.py's.
"""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import NamedTuple

from bot.core.calendar import Calendar
from bot.core.selection import ContractRefused, Option, Wish, contract
from bot.core.units import InstrumentKey, Quantity, paise
from bot.run.ports import Clock
from bot.settings import Settings
from bot.settings_sections import InstrumentSettings
from bot.storage.choices import Chosen
from bot.upstox.instruments import SOURCE, Master, MasterRefused, Wanted, ready

AS_SET = "as set by its key"
_LOOPBACK = ("http://127.0.0.1", "http://localhost")


class ContractsRefused(Exception):
    """Nothing can be traded as set; `problems` says why and what to do, a sentence each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Pending(NamedTuple):
    """A wish not yet fulfilled."""

    entry: InstrumentSettings
    wish: Wish
    options: tuple[Option, ...]  # all on its underlying
    index_key: InstrumentKey


class DayContracts(NamedTuple):
    """What is known before the open. `warnings` want to be read."""

    chosen: tuple[Chosen, ...]
    pending: tuple[Pending, ...]
    warnings: tuple[str, ...]


def master_source(settings: Settings) -> str:
    """Address or path of the instrument master; "": there is none, the numbers in bot.toml stand alone."""
    if settings.instrument_master is not None:
        return settings.instrument_master
    return "" if settings.broker.api_host.startswith(_LOOPBACK) else SOURCE


async def contracts_of(
    settings: Settings, clock: Clock, day: date, calendar: Calendar, before: Mapping[str, Chosen]
) -> DayContracts:
    """`before`: today's choices, from the journal. They stand for wishes; for keys they stand in for a master
    that can't be had. Raises ContractsRefused.
    """
    keys = [item for item in settings.instruments if item.key is not None]
    wishes = [item for item in settings.instruments if item.key is None]
    pending = [item for item in wishes if item.title not in before]
    chosen = [before[item.title] for item in wishes if item.title in before]
    source = master_source(settings)
    if not source:
        return DayContracts((*_by_hand(settings), *chosen), (), _no_expiries(settings))
    if not keys and not pending:
        return DayContracts(tuple(chosen), (), ())
    wanted = Wanted(
        frozenset(item.underlying for item in pending if item.underlying),
        frozenset(item.key for item in keys if item.key),
    )
    try:
        master = await ready(clock, wanted, settings.data_folder, source)
    except MasterRefused as refused:
        if pending or any(item.title not in before for item in keys):
            raise ContractsRefused([str(refused)]) from None
        return DayContracts((*(before[item.title] for item in keys), *chosen), (), (str(refused),))
    return _by_master(master, keys, pending, chosen, day, calendar)


def _by_master(
    master: Master,
    keys: Iterable[InstrumentSettings],
    pending: Iterable[InstrumentSettings],
    chosen: Iterable[Chosen],
    day: date,
    calendar: Calendar,
) -> DayContracts:
    found, waiting, problems = list(chosen), [], []
    warnings = list(master.warnings(day))
    for item in keys:
        try:
            option = master.option(item.key or "")
            found.append(fulfilled(item, option, day, AS_SET))
        except ContractRefused as refused:
            problems += refused.problems
            continue
        problems += _disagreements(item, option)
        warnings.append(master.expiry_warning(option.key, day, calendar.trading_days(day, option.expiry)))
    for item in pending:
        try:
            waiting.append(_pending(master, item))
        except ContractRefused as refused:
            problems += refused.problems
    if problems:
        raise ContractsRefused(problems)
    return DayContracts(tuple(found), tuple(waiting), tuple(filter(None, warnings)))


def fulfilled(item: InstrumentSettings, option: Option, day: date, reason: str) -> Chosen:
    """The option in the quantity that is set. Raises ContractRefused."""
    made = contract(option, _units(item, option), day)
    return Chosen(item.title, made, option.expiry, option.underlying_key, reason)


def _units(item: InstrumentSettings, option: Option) -> Quantity | None:
    return item.lots * option.lot if item.lots else item.quantity


def _pending(master: Master, item: InstrumentSettings) -> Pending:
    assert item.underlying is not None
    assert item.option_type is not None
    wish = Wish(
        underlying=item.underlying,
        option_type=item.option_type,
        strike=None if isinstance(item.strike, str) else paise(item.strike),
        expiry=None if isinstance(item.expiry, str) else item.expiry,
        min_days_to_expiry=item.min_days_to_expiry,
    )
    options = tuple(
        option for option in master.options_on(item.underlying) if option.option_type == item.option_type
    )
    return Pending(item, wish, options, master.index_of(item.underlying))


def _disagreements(item: InstrumentSettings, option: Option) -> list[str]:
    """Numbers in bot.toml that are not the master's: they change, and a forgotten one is refused orders."""
    if not item.by_hand:
        return []
    rows = (
        ("lot", item.lot, option.lot),
        ("freeze_quantity", item.freeze_quantity, option.freeze_quantity),
        ("tick_rupees", item.tick_rupees, option.tick / 100),
    )
    return [
        f"instruments: {option.name}: {name} is {ours} in the settings, the instrument master says {theirs}; "
        "remove the line, the master is read each morning"
        for name, ours, theirs in rows
        if ours != theirs and name in item.model_fields_set
    ]


def _by_hand(settings: Settings) -> list[Chosen]:
    problems = [
        f"instruments: {item.title}: there is no instrument master; set data.instrument_master to an address "
        "or a file, or write key, lot and freeze_quantity by hand"
        for item in settings.instruments
        if not item.by_hand
    ]
    if problems:
        raise ContractsRefused(problems)
    titles = [item.title for item in settings.instruments]
    return [
        Chosen(title, made, None, "", "numbers as set by hand")
        for title, made in zip(titles, settings.contracts, strict=True)
    ]


def _no_expiries(settings: Settings) -> tuple[str, ...]:
    if not settings.contracts:
        return ()
    return ("no instrument master: nobody knows the contracts' expiry, so an expiry day counts as any other",)
