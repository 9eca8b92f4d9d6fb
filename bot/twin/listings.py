"""What the twin's exchange lists: the contracts it plays, their index, and the strikes around them.

Only what is played moves and can be traded. The rest makes the instrument master and the quotes of a
strike's neighbours believable: the index stands at the strike of the first contract, the others' premiums
follow from it. Rows are the instrument master's (upstox §6.6). No clock.
"""

import gzip
import re
from collections.abc import Mapping
from datetime import date, time, timedelta
from math import exp
from random import Random
from typing import Any, Final, NamedTuple

import orjson

from bot.core.rules import Contract
from bot.core.units import MILLISECOND, InstrumentKey, Nanos, Paise, ist_nanos, tick_floor
from bot.sim.market import MarketMove
from bot.twin.board import Board

STRIKE: Final = 25_000  # of a contract whose name has none
NEIGHBOURS: Final = 5  # strikes on either side
DAYS_AHEAD_MIN: Final = 2  # the nearest expiry is at least so far away
_NAME: Final = re.compile(r".* (\d{3,6}) (CE|PE)\b")
_LEVELS_LOTS: Final = 10


class _Underlying(NamedTuple):
    symbol: str
    key: InstrumentKey
    name: str
    token: str
    step: int  # rupees between strikes
    weekday: int  # of expiry


UNDERLYINGS: Final = {
    "NSE": _Underlying("NIFTY", "NSE_INDEX|Nifty 50", "Nifty 50", "26000", 50, 1),
    "BSE": _Underlying("SENSEX", "BSE_INDEX|SENSEX", "BSE SENSEX", "1", 100, 3),
}


class Listing(NamedTuple):
    """One option of the master."""

    contract: Contract
    strike: int  # rupees
    option_type: str  # CE | PE
    expiry: date
    weekly: bool


class Listings:
    """Everything listed on the twin's day. `played` move; what is not played is only quoted."""

    def __init__(self, contracts: Mapping[InstrumentKey, Contract], day: date) -> None:
        self.played = contracts
        self.options: dict[InstrumentKey, Listing] = {}
        self.indices: dict[InstrumentKey, _Underlying] = {}
        self._spots: dict[InstrumentKey, int] = {}
        for number, contract in enumerate(contracts.values()):
            self._list(contract, number, day)

    def master(self, name: str) -> bytes | None:
        """`NAME.json.gz` as the broker's static host serves it, or None. The same bytes each time."""
        exchanges = {"complete": ("NSE", "BSE"), "NSE": ("NSE",), "BSE": ("BSE",)}.get(name)
        if exchanges is None:
            return None
        return gzip.compress(
            orjson.dumps([row for row in self.rows() if row["exchange"] in exchanges]), mtime=0
        )

    def rows(self) -> list[dict[str, Any]]:
        """The master's rows: indices, then options."""
        indices = [
            {
                "segment": key.partition("|")[0],
                "name": index.name,
                "exchange": key[:3],
                "instrument_type": "INDEX",
                "instrument_key": key,
                "exchange_token": index.token,
                "trading_symbol": index.symbol,
            }
            for key, index in self.indices.items()
        ]
        return indices + [_row(listing) for listing in self.options.values()]

    def contracts_on(self, underlying: InstrumentKey, expiry: str | None) -> list[dict[str, Any]]:
        """Options on one index as /v2/option/contract has them: the expiry is a date there (upstox §6.6)."""
        dated = [_row(one) | {"expiry": one.expiry.isoformat()} for one in self.options.values()]
        return [
            row for row in dated if row["underlying_key"] == underlying and expiry in {None, row["expiry"]}
        ]

    def quoted(self, key: InstrumentKey, played: Mapping[InstrumentKey, Board], at: Nanos) -> Board | None:
        """A board of something that is listed and not played; None when it is not listed."""
        if key in self.indices:
            price, tick, lot = self._spots[key] * 100, 5, 1
        elif key in self.options and key not in self.played:
            listing = self.options[key]
            tick, lot = listing.contract.tick, listing.contract.lot
            price = self._premium(listing, played)
        else:
            return None
        board = Board(key, tick, lot, Random(0))  # noqa: S311  a simulation, not a secret
        size = lot * _LEVELS_LOTS
        board.moved(MarketMove(at, price, lot, at, price - tick, price + tick, size, size, lot))
        return board

    def symbol(self, key: InstrumentKey) -> str:
        """What people call it."""
        if key in self.played and self.played[key].name:
            return self.played[key].name
        if key in self.options and key not in self.played:
            return _symbol(self.options[key])
        return key.partition("|")[2]

    def _list(self, contract: Contract, number: int, day: date) -> None:
        if not contract.segment.endswith("_FO"):
            return  # a recording of a share or an index
        underlying = UNDERLYINGS[contract.exchange]
        named = _NAME.match(contract.name)
        strike = int(named[1]) if named else STRIKE + number * underlying.step
        option_type = named[2] if named else "CE"
        near = day + timedelta(days=DAYS_AHEAD_MIN)
        near += timedelta(days=(underlying.weekday - near.weekday()) % 7)
        self.indices[underlying.key] = underlying
        self._spots.setdefault(underlying.key, strike)
        self.options[contract.key] = Listing(contract, strike, option_type, near, weekly=True)
        token = int(contract.key.partition("|")[2]) if contract.key.partition("|")[2].isdigit() else 0
        taken = {(one.strike, one.option_type, one.expiry) for one in self.options.values()}
        for expiry in (near, near + timedelta(days=7)):
            for away in range(-NEIGHBOURS, NEIGHBOURS + 1):
                for kind in ("CE", "PE"):
                    place = strike + away * underlying.step, kind, expiry
                    token += 1
                    key = f"{contract.segment}|{token}"
                    if place in taken or key in self.played or key in self.options:
                        continue
                    neighbour = Contract(
                        key,
                        contract.lot,
                        contract.lot,
                        contract.tick,
                        contract.freeze_quantity,
                        contract.exchange,
                    )
                    self.options[key] = Listing(neighbour, *place, weekly=True)

    def _premium(self, listing: Listing, played: Mapping[InstrumentKey, Board]) -> Paise:
        """Intrinsic value, and a time value that fades with the distance from the index. A decoration."""
        index = UNDERLYINGS[listing.contract.exchange]
        away = listing.strike - self._spots[index.key]
        first = next(key for key in self.played if self.played[key].exchange == listing.contract.exchange)
        at_the_money = played[first].touch.ltp or 100_00
        inner = max(-away if listing.option_type == "CE" else away, 0) * 100
        price = inner + round(at_the_money * exp(-abs(away) / index.step / 10))
        return max(tick_floor(price, listing.contract.tick), 2 * listing.contract.tick)


def _symbol(listing: Listing) -> str:
    """The broker's way: NIFTY 25000 CE 22 SEP 26."""
    index = UNDERLYINGS[listing.contract.exchange]
    return f"{index.symbol} {listing.strike} {listing.option_type} {listing.expiry:%d %b %y}".upper()


def _row(listing: Listing) -> dict[str, Any]:
    contract, index = listing.contract, UNDERLYINGS[listing.contract.exchange]
    return {
        "weekly": listing.weekly,
        "segment": contract.segment,
        "name": index.symbol,
        "exchange": contract.exchange,
        "expiry": ist_nanos(listing.expiry, time(23, 59, 59)) // MILLISECOND,
        "instrument_type": listing.option_type,
        "asset_symbol": index.symbol,
        "underlying_symbol": index.symbol,
        "instrument_key": contract.key,
        "lot_size": contract.lot,
        "freeze_quantity": float(contract.freeze_quantity),
        "exchange_token": contract.key.partition("|")[2],
        "minimum_lot": contract.lot,
        "asset_key": index.key,
        "underlying_key": index.key,
        "tick_size": float(contract.tick),  # in paise (upstox §0 fact 10)
        "asset_type": "INDEX",
        "underlying_type": "INDEX",
        "trading_symbol": _symbol(listing),
        "strike_price": float(listing.strike),
    }
