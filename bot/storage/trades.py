"""The day's CSV, one row a fill (contract: *The day's CSV*), and the sums of a day.

Rows are durable one by one; at start the file is made anew from the journal, so a crash neither loses nor
doubles a row. This file must never know how a fill came about; it writes down what `RecordFill` says.
"""

import csv
import io
import math
import os
from collections.abc import Iterable, Iterator
from datetime import date
from operator import itemgetter
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import orjson

from bot.core.commands import Reason, RecordFill
from bot.core.events import Side
from bot.core.units import InstrumentKey, Paise, Quantity, ist_text
from bot.run.ports import Record
from bot.storage.records import BOOT, decode

COLUMNS: Final = (
    *("time_ist", "instrument", "side", "reason", "quantity", "price", "decision_price"),
    *("estimate", "velocity", "rel_diff", "probability", "slippage", "charges", "realized_pnl_net"),
    *("position_after", "order_id", "exchange_order_id", "trade_id", "exchange_time", "product", "tag"),
    *("model", "config"),
)
_TAG: Final = COLUMNS.index("tag")
_QUANTITY: Final = COLUMNS.index("quantity")
_KEY: Final = itemgetter(*map(COLUMNS.index, ("tag", "order_id", "time_ist", "quantity", "position_after")))
Cells: TypeAlias = tuple[str, ...]


class TradesFailed(Exception):
    """A row did not reach the disk. It is kept in memory and written with the next one, or by `settle`."""


class TradeRow(NamedTuple):
    """A fill, and which model and configuration (names or short hashes) it was made under."""

    fill: RecordFill
    model: str
    config: str
    trade_id: str = ""  # the exchange's; the broker's words on an order do not carry it


def trades_path(folder: Path, day: date) -> Path:
    """`<folder>/trades-2026-09-16.csv`."""
    return folder / f"trades-{day.isoformat()}.csv"


def rows_of(records: Iterable[Record]) -> list[TradeRow]:
    """The fills of a journal, each with the `model` and `config` facts of the boot it happened under."""
    rows: list[TradeRow] = []
    facts: dict[str, object] = {}
    for record in records:
        if record.kind == BOOT:
            facts = orjson.loads(record.body)
        elif record.kind == RecordFill.__name__:
            fill = decode(record.kind, record.body)
            assert isinstance(fill, RecordFill), fill
            rows.append(TradeRow(fill, str(facts.get("model", "")), str(facts.get("config", ""))))
    return rows


class TradesCsv:
    """The day's file. Call `rewrite` once at start, then `append` each fill; both block for the disk.

    A fill already in the file is not written again. Rows the journal does not know (it was lost, or failed
    when the CSV did not) stay until the order is heard of again: the newest word then replaces them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._keys: set[tuple[object, ...]] = set()
        self._rows: list[bytes] = []
        self._orphans: dict[str, list[bytes]] = {}  # rows the journal does not know, by tag
        self._whole = False  # the file on disk is exactly header + orphans + rows

    def rewrite(self, rows: Iterable[TradeRow]) -> None:
        """Make the file from `rows`, atomically; without any it is the header alone. Raises TradesFailed."""
        rows = list(rows)
        try:
            self._orphans = _orphans(_rows_in(self.path), [_cells(row) for row in rows])
        except OSError as error:
            raise self._failed(error) from error
        self._whole = False
        self._keys.clear()
        self._rows.clear()
        for row in rows:
            self._take(row)
        self.settle()

    def append(self, fill: RecordFill, *, model: str, config: str, trade_id: str = "") -> None:
        """Add one row and wait until it is on disk. Raises TradesFailed; the row is then kept for later."""
        if self._orphans.pop(fill.tag, None):
            self._whole = False
        if not self._take(TradeRow(fill, model, config, trade_id)):
            return
        if not self._whole:
            self.settle()
            return
        self._whole = False  # until this very row is safe
        try:
            with self.path.open("ab") as file:
                file.write(self._rows[-1])
                _sync(file)
        except OSError as error:
            raise self._failed(error) from error
        self._whole = True

    def settle(self) -> None:
        """Bring the file up to date where an earlier write failed. Nothing to do: no disk is touched."""
        if self._whole:
            return
        old = (line for lines in self._orphans.values() for line in lines)
        try:
            _replace(self.path, b"".join([_line(COLUMNS), *old, *self._rows]))
        except OSError as error:
            raise self._failed(error) from error
        self._whole = True

    def _take(self, row: TradeRow) -> bool:
        """Add a row to memory; False when it is there already."""
        fill = row.fill
        key = (fill.tag, fill.order_id, fill.at, fill.quantity, fill.value, fill.position_after)
        if key in self._keys:
            return False
        self._keys.add(key)
        self._rows.append(_line(_cells(row)))
        return True

    def _failed(self, error: OSError) -> TradesFailed:
        return TradesFailed(
            f"{self.path}: the day's CSV could not be written ({error.strerror}). The journal has the fills; "
            "free the disk, the rows follow with the next fill or at the end of the day."
        )


# --- one row --------------------------------------------------------------------------------------------


def _cells(row: TradeRow) -> Cells:
    fill, decision = row.fill, row.fill.decision
    return (
        ist_text(fill.at),
        fill.instrument,
        fill.side,
        fill.reason,
        str(fill.quantity),
        _price(fill.value, fill.quantity),
        _rupees(decision.price) if decision.price else "",
        *map(_number, (decision.estimate, decision.velocity, decision.rel_diff, decision.probability)),
        _rupees(fill.slippage),
        _rupees(fill.charges),
        _rupees(fill.realized_pnl_net),
        str(fill.position_after),
        fill.order_id,
        fill.exchange_order_id,
        row.trade_id,
        fill.exchange_time,
        fill.product,
        fill.tag,
        row.model,
        row.config,
    )


def _price(value: Paise, quantity: Quantity) -> str:
    """The average price of a fill: 2 decimals when that is exact, else 4 (half up)."""
    if value % quantity == 0:
        return _rupees(value // quantity)
    parts = (2 * 100 * value + quantity) // (2 * quantity)  # hundredths of a paisa
    return f"{parts // 10_000}.{parts % 10_000:04d}"


def _rupees(amount: Paise) -> str:
    return f"{'-' if amount < 0 else ''}{abs(amount) // 100}.{abs(amount) % 100:02d}"


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6f}"


def _line(cells: Iterable[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode("utf-8", "replace")


def _rows_in(path: Path) -> Iterator[Cells]:
    """Each whole row of an existing file; a torn or strange line is no row."""
    try:
        text = path.read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:
        return
    try:
        for cells in csv.reader(io.StringIO(text, newline="")):
            if len(cells) == len(COLUMNS) and cells[_QUANTITY].isdecimal():
                yield tuple(cells)
    except csv.Error:  # a field without end: what follows is no CSV
        return


def holds(path: Path, rows: Iterable[TradeRow]) -> bool:
    """Does the file on disk say these rows, all of them, and nothing else?"""
    try:
        return list(_rows_in(path)) == [_cells(row) for row in rows]
    except OSError:
        return False


def _orphans(found: Iterable[Cells], rebuilt: Iterable[Cells]) -> dict[str, list[bytes]]:
    """The rows found that are to stay: of an order of which the file knows more units than the journal."""
    units: dict[str, int] = {}
    keys = set()
    for cells in rebuilt:
        units[cells[_TAG]] = units.get(cells[_TAG], 0) + int(cells[_QUANTITY])
        keys.add(_KEY(cells))
    by_tag: dict[str, list[Cells]] = {}
    for cells in found:
        by_tag.setdefault(cells[_TAG], []).append(cells)
    return {
        tag: [_line(cells) for cells in rows if _KEY(cells) not in keys]
        for tag, rows in by_tag.items()
        if sum(int(cells[_QUANTITY]) for cells in rows) > units.get(tag, 0)
    }


# --- the disk -------------------------------------------------------------------------------------------


def _replace(path: Path, content: bytes) -> None:
    """Write beside, sync, rename, sync the folder: readers see the old file or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    with beside.open("wb") as file:
        file.write(content)
        _sync(file)
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _sync(file: io.BufferedWriter) -> None:
    file.flush()
    os.fsync(file.fileno())


# --- the day --------------------------------------------------------------------------------------------


class DaySummary(NamedTuple):
    """The sums of a day, money in paise. A trade is a round trip: flat → long → flat in one instrument."""

    fills: int
    trades: int
    wins: int  # trades with a net gain
    stops: int  # trades left by the stop-loss
    flattens: int  # trades left by the end of the day
    gross: Paise
    charges: Paise
    net: Paise  # realized: gross − all charges, those of open positions included
    turnover: Paise
    slippage: Paise  # against us
    worst_slippage: Paise  # of one fill
    worst_trade: Paise  # net of the worst round trip; 0 without any
    best_trade: Paise
    holding: tuple[tuple[InstrumentKey, Quantity], ...]  # what is still owned, () when flat


def summary(fills: Iterable[RecordFill]) -> DaySummary:
    """Add up the day's fills, in the order they happened."""
    fills = list(fills)
    open_trips: dict[InstrumentKey, list[RecordFill]] = {}
    trips: list[tuple[Paise, set[Reason]]] = []
    position: dict[InstrumentKey, Quantity] = {}
    for fill in fills:
        trip = open_trips.setdefault(fill.instrument, [])
        trip.append(fill)
        position[fill.instrument] = fill.position_after
        if fill.side is Side.SELL and fill.position_after <= 0:
            net = sum(part.realized_pnl_net for part in open_trips.pop(fill.instrument))
            trips.append((net, {part.reason for part in trip}))
    nets = [net for net, _ in trips]
    net, charges = sum(fill.realized_pnl_net for fill in fills), sum(fill.charges for fill in fills)
    return DaySummary(
        fills=len(fills),
        trades=len(trips),
        wins=sum(net > 0 for net in nets),
        stops=sum(Reason.STOP_LOSS in reasons for _, reasons in trips),
        flattens=sum(Reason.END_OF_DAY in reasons for _, reasons in trips),
        gross=net + charges,
        charges=charges,
        net=net,
        turnover=sum(fill.value for fill in fills),
        slippage=sum(fill.slippage for fill in fills),
        worst_slippage=max((fill.slippage for fill in fills), default=0),
        worst_trade=min(nets, default=0),
        best_trade=max(nets, default=0),
        holding=tuple((key, quantity) for key, quantity in position.items() if quantity),
    )
