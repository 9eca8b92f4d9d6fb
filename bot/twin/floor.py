"""What the twin's rooms share: the clock, the exchange, the boards, who may come in, what goes wrong.

It knows no HTTP and no socket. Randomness comes from the seed: the same seed and calls give the same day.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from random import Random
from typing import Final

import orjson

from bot.core.rules import Contract
from bot.core.units import SECOND, InstrumentKey, Nanos, Paise, Quantity, paise, tick_ceil, tick_floor
from bot.run.ports import Clock
from bot.sim.exchange import SimExchange
from bot.sim.market import MarketMove
from bot.sim.orders import NOT_CANCELLED, NOT_MODIFIED, REJECTED, ExchangeRules, OrderRow
from bot.sim.pace import Pace, exchange_randomness
from bot.twin import rows
from bot.twin.access import Access
from bot.twin.answers import Refused
from bot.twin.board import Board
from bot.twin.faults import Faults
from bot.twin.hours import Hours
from bot.twin.listings import Listings
from bot.twin.login import App, Login
from bot.twin.market_source import MarketEvent

# Price bands of an option, as multiples of yesterday's close: wide, and our guess. Quotes name them.
CIRCUIT: Final = (0.05, 4.0)
REFUSALS: Final = frozenset({REJECTED, NOT_MODIFIED, NOT_CANCELLED})
_ANY_TICK, _ANY_LOT = 5, 1  # of an instrument that is shown and not traded (an index)


class Floor:
    """`stir` wakes whoever carries the exchange's words out: call it after anything asked of the exchange."""

    def __init__(
        self,
        clock: Clock,
        contracts: Mapping[InstrumentKey, Contract],
        rules: ExchangeRules,
        hours: Hours,
        faults: Faults,
        span: tuple[Nanos, Nanos],
        seed: int,
        token: str,
        app: App,
    ) -> None:
        self.clock, self.contracts, self.hours, self.faults = clock, dict(contracts), hours, faults
        self.pace = Pace(seed)
        self._frame_rng = Random(f"{seed}/frames")  # noqa: S311  a simulation, not a secret
        self.exchange = SimExchange(self.contracts, exchange_randomness(seed), rules, *span)
        self.opening_funds = rules.funds
        self.access = Access(token, clock.now(), Random(f"{seed}/addresses"))  # noqa: S311
        self.boards: dict[InstrumentKey, Board] = {
            key: Board(key, contract.tick, contract.lot, self._frame_rng)
            for key, contract in self.contracts.items()
        }
        self.login = Login(app, self.access, rows.USER, Random(f"{seed}/logins"))  # noqa: S311
        self.listings = Listings(self.contracts, hours.day)
        self.killed: dict[str, Nanos] = {}  # segment → since when its kill switch is on
        self.written: dict[str, tuple[OrderRow, orjson.Fragment]] = {}  # order id → its row, and that as JSON
        self.refused: Counter[str] = Counter()  # code or text → how often we said no by ourselves
        self.injected: Counter[str] = Counter()  # texts of rejections on command, still to come
        self.errands: set[asyncio.Task[None]] = set()
        self.circuits: dict[InstrumentKey, tuple[Paise, Paise]] = {}
        self.stirred = asyncio.Event()

    def stir(self) -> None:
        """The exchange may have something due, or something to say."""
        self.stirred.set()

    def note(self, no: Refused) -> None:
        """A call was refused. What a script of faults refuses is no judgement on the client."""
        if not no.injected:
            self.refused[no.code] += 1

    def note_word(self, row: OrderRow) -> None:
        """The broker or the exchange spoke of an order: count what it refused by itself."""
        if row.status not in REFUSALS:
            return
        if self.injected[row.status_message]:
            self.injected[row.status_message] -= 1
        else:
            self.refused[f"{row.status}: {row.status_message}"] += 1

    def take(self, event: MarketEvent) -> Board:
        """The market moves: on the instrument's board, and at the exchange if it trades there."""
        board = self.boards.get(event.instrument)
        if board is None:
            board = Board(event.instrument, _ANY_TICK, _ANY_LOT, self._frame_rng)
            self.boards[event.instrument] = board
        if isinstance(event.what, MarketMove):
            board.moved(event.what)
        else:
            board.recorded(event.what)
        contract = self.contracts.get(event.instrument)
        if contract is not None and not board.repeated:  # the same message again is no fresh size
            if event.instrument not in self.circuits:
                self._band(board, contract)
            self._show(event.at, board)
        return board

    def last_price(self, instrument: InstrumentKey) -> Paise:
        """0 before the first price."""
        return self.boards[instrument].touch.ltp

    def quoted(self, instrument: InstrumentKey) -> Board | None:
        """What is shown of anything listed; None when there is no such thing."""
        board = self.boards.get(instrument)
        return board or self.listings.quoted(instrument, self.boards, self.clock.now())

    def close_price(self, instrument: InstrumentKey) -> Paise:
        """Yesterday's."""
        return paise(self.boards[instrument].picture().ltpc.cp)

    async def sleep(self, seconds: float) -> None:
        """Let that much of the twin's time pass."""
        await self.clock.sleep_until(self.clock.now() + round(seconds * SECOND))

    def _show(self, at: Nanos, board: Board) -> None:
        touch = board.touch
        bid_quantity, ask_quantity = touch.bid_quantity, touch.ask_quantity
        bid_quantity, ask_quantity = self._thinned(bid_quantity, at), self._thinned(ask_quantity, at)
        self.exchange.market(
            at,
            board.key,
            ltp=touch.ltp,
            ltq=touch.ltq,
            bid=touch.bid,
            ask=touch.ask,
            bid_quantity=bid_quantity,
            ask_quantity=ask_quantity,
        )

    def _thinned(self, quantity: Quantity, at: Nanos) -> Quantity:
        return self.faults.thinned(quantity, at)

    def _band(self, board: Board, contract: Contract) -> None:
        around = paise(board.picture().ltpc.cp) or board.touch.ltp
        if not around:
            return
        lower = max(tick_floor(round(around * CIRCUIT[0]), contract.tick), contract.tick)
        upper = tick_ceil(round(around * CIRCUIT[1]), contract.tick)
        self.circuits[contract.key] = lower, upper
        self.exchange.set_circuit_limits(contract.key, lower, upper)
