"""One trading day in process: engine and simulated exchange on virtual time, no sockets, no event loop.

The engine is the bot's own, the exchange the twin's, and calls take as long as over the twin's wire for the
same seed (sim/pace.py): so a recorded day trades alike here and in the demo. It knows no file and no report.

What keeps it lean, and changes no decision: the exchange hears of the market only while it holds orders (its
last half minute is told when one is sent), and heartbeats come only while the engine is not flat.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from typing import Final, TypeAlias

from bot.core.account import Account
from bot.core.charges import card_on, first_card_day
from bot.core.commands import (
    Alert,
    AskSnapshot,
    CancelOrder,
    Command,
    ModifyOrder,
    PlaceOrder,
    RecordFill,
    Refused,
)
from bot.core.engine import Engine
from bot.core.events import (
    Act,
    BrokerSnapshot,
    Event,
    FeedUp,
    Heartbeat,
    OrderStreamUp,
    Outcome,
    PositionRow,
    Quote,
    SendOutcome,
    Side,
    Tick,
)
from bot.core.forecast import Classifier
from bot.core.rules import Contract, Rules
from bot.core.session import Session
from bot.core.units import SECOND, InstrumentKey, Nanos, Paise
from bot.research.direct_words import report_of, request_of, words_of
from bot.run.ports import OrderCommand
from bot.sim.exchange import SimExchange
from bot.sim.orders import ExchangeRules, SimReply
from bot.sim.pace import ORDER_SECONDS, Pace, exchange_randomness

READ: Final[Nanos] = SECOND // 40  # a reading of the book takes about that
NEVER: Final[Nanos] = 1 << 62
CATCH_UP: Final[Nanos] = 31 * SECOND  # of the market's past matters to an exchange (its reference price)
AFTER_THE_END: Final[Nanos] = 60 * SECOND  # a recording that ends so close to the flatten covers the day
_PROGRESS_TICKS: Final = 4096

MarketEvent: TypeAlias = Tick | Quote
Watch: TypeAlias = Callable[[MarketEvent, Engine, Sequence[Command]], None]
NextEntry: TypeAlias = Callable[[int], int]  # while flat: the index of the next event worth hearing


_ACTS: Final = {PlaceOrder: Act.PLACE, ModifyOrder: Act.MODIFY, CancelOrder: Act.CANCEL}


class DirectDay:
    """Make one, `run` it over the day's market, read `fills`, `refused`, `engine`.

    `charges_day`: whose rate card holds; default: the session's. Raises NoRateCard.
    """

    def __init__(
        self,
        contracts: Sequence[Contract],
        rules: Rules,
        session: Session,
        classifier: Classifier,
        *,
        seed: int = 7,
        charges_day: date | None = None,
        exchange_rules: ExchangeRules = ExchangeRules(),  # noqa: B008  frozen
        watch: Watch | None = None,
    ) -> None:
        self.session = session
        # The engine takes the card of its session's day (and marks its tags with it). An older day than the
        # first card borrows that one's name; the instants are what time is told by.
        known = max(session.day, *(first_card_day(contract.exchange) for contract in contracts))
        self.engine = Engine(rules, replace(session, day=known), contracts, classifier, 1)
        if charges_day is not None and charges_day != known:
            self._charge_by(charges_day)
        by_key: Mapping[InstrumentKey, Contract] = {contract.key: contract for contract in contracts}
        span = session.open_at, session.close_at
        self.exchange = SimExchange(by_key, exchange_randomness(seed), exchange_rules, *span)
        self.fills: list[RecordFill] = []
        self.fill_spreads: list[float] = []  # paise: what each fill lost against the mid of its moment
        self.refused: Counter[str] = Counter()
        self.alerts: Counter[str] = Counter()
        self.now: Nanos = 0
        self._pace = Pace(seed)
        self._watch = watch
        self._heap: list[tuple[Nanos, int, Callable[[], None]]] = []
        self._sequence = 0
        self._order_ids: dict[str, str] = {}  # tag → the exchange's id
        self._beat: Nanos = NEVER
        self._due: Nanos = NEVER  # the earliest of all that waits
        self._live = False  # the exchange holds, or will soon hold, an order of ours
        self._market: Sequence[MarketEvent] = ()
        self._index = 0
        self._shown = -1  # the last event that the exchange was told of

    def run(
        self,
        market: Sequence[MarketEvent],
        *,
        progress: Callable[[int], None] | None = None,
        next_entry: NextEntry | None = None,
    ) -> None:
        """Play the market, in order of time; then let what is under way come to its end."""
        self._market = market
        self._ready(market[0].at if market else self.session.open_at)
        handle, watch, live = self.engine.handle, self._watch, self._live
        index, count = 0, len(market)
        while index < count:
            event = market[index]
            at = event.at
            if self._due <= at:
                self._index = index - 1
                self._until(at)
                live = self._live
            if live:
                self._show(event)
                self._shown = index
            commands = handle(event)
            if commands or live:
                self._index = index
                self.now = at
                self._act(commands)
                self._hear()
                self._settle()
                live = self._live
            if watch is not None:
                watch(event, self.engine, commands)
            index += 1
            if next_entry is not None and not live and self._beat == NEVER:
                index = max(index, next_entry(index))
            if progress is not None and index % _PROGRESS_TICKS == 0:
                progress(_PROGRESS_TICKS)
        self._end()

    def _charge_by(self, day: date) -> None:
        """Another day's card, and nothing else of that day."""
        desks = self.engine.desks
        cards = {key: card_on(day, desk.contract.exchange) for key, desk in desks.items()}
        self.engine.account = Account(desks, cards)
        for key, desk in desks.items():
            desk.holding = self.engine.account.holdings[key]

    # ---- time ----------------------------------------------------------------------------------------

    def _ready(self, at: Nanos) -> None:
        self.now = at
        handle = self.engine.handle
        ready: tuple[Event, ...] = (
            FeedUp(at, at),
            OrderStreamUp(at, at),
            BrokerSnapshot(at, at, at, (), ()),
        )
        for event in ready:
            handle(event)

    def _until(self, at: Nanos) -> None:
        """Whatever is due up to and including `at`, in order."""
        while True:
            due = self._next_due()
            if due > at:
                return
            self.now = due
            if self._heap and self._heap[0][0] == due:
                heapq.heappop(self._heap)[2]()
            elif (self.exchange.due_at() or NEVER) == due:
                self.exchange.advance(due)
                self._hear()
            else:
                self._beat += SECOND
                self._take(Heartbeat(due, due))
            self._settle()

    def _next_due(self) -> Nanos:
        due = self.exchange.due_at() or NEVER
        if self._heap and self._heap[0][0] < due:
            due = self._heap[0][0]
        self._due = min(due, self._beat)
        return self._due

    def _end(self) -> None:
        """After the last message: a recording of the whole day goes on to the close, a shorter one ends."""
        if not self._market:
            return
        last = self._market[-1].at
        if last >= self.session.flatten_at - AFTER_THE_END:
            self._until(self.session.close_at)
        else:
            self._until(last + 2 * SECOND)

    def _settle(self) -> None:
        """After anything that may have changed what is under way."""
        flat = self.engine.flat
        if flat:
            self._beat = NEVER
        elif self._beat == NEVER:
            self._beat = (self.now // SECOND + 1) * SECOND
        if self._live and flat and not self._heap:
            self._live = False
        self._next_due()

    def _after(self, at: Nanos, step: Callable[[], None]) -> None:
        self._sequence += 1
        heapq.heappush(self._heap, (at, self._sequence, step))

    # ---- the market and the exchange -------------------------------------------------------------------

    def _show(self, event: MarketEvent) -> None:
        if isinstance(event, Tick):
            ltp, ltq = event.ltp, event.ltq
        else:
            ltp, ltq = 0, 0
        self.exchange.market(
            event.at,
            event.instrument,
            ltp=ltp,
            ltq=ltq,
            bid=event.bid,
            ask=event.ask,
            bid_quantity=event.bid_quantity,
            ask_quantity=event.ask_quantity,
        )

    def _wake(self) -> None:
        """An order is on its way: tell the exchange of the market's last half minute."""
        if self._live:
            return
        self._live = True
        market, first = self._market, self._index
        # Counted from the last trade: older ones stay in the reference price until a new one comes.
        while first > 0 and not (isinstance(market[first], Tick) and market[first][4]):
            first -= 1
        since = market[first].at - CATCH_UP
        while first > 0 and market[first - 1].at >= since:
            first -= 1
        for number in range(max(first, self._shown + 1), self._index + 1):
            self._show(market[number])
        self._shown = self._index

    # ---- the engine ------------------------------------------------------------------------------------

    def _take(self, event: Event) -> None:
        self._act(self.engine.handle(event))

    def _act(self, commands: Sequence[Command]) -> None:
        for command in commands:
            match command:
                case Refused():
                    self.refused[command.reason] += 1
                case PlaceOrder() | ModifyOrder() | CancelOrder():
                    self._call(command)
                case AskSnapshot():
                    self._after(self.now + READ, partial(self._read, self.now))
                case RecordFill():
                    self.fills.append(command)
                    self.fill_spreads.append(self._spread_lost(command))
                case Alert():
                    self.alerts[command.name] += 1

    def _read(self, asked: Nanos) -> None:
        self._take(self._snapshot(asked))

    def _call(self, command: OrderCommand) -> None:
        """One order call: there, to the exchange, and back."""
        self._wake()
        pace = self._pace(words_of(command))
        there, back = (round(pace.uniform(*way) * SECOND) for way in ORDER_SECONDS)

        def arrive() -> None:
            reply = self._ask(command)
            self._hear()
            outcome = Outcome.ACCEPTED if reply.ok else Outcome.REFUSED
            act, answered = _ACTS[type(command)], self.now + back
            said = SendOutcome(
                answered, answered, command.tag, act, outcome, reply.order_id, reply.code, reply.message
            )
            self._after(answered, lambda: self._take(said))

        self._after(self.now + there, arrive)

    def _ask(self, command: OrderCommand) -> SimReply:
        match command:
            case PlaceOrder():
                reply = self.exchange.place(self.now, request_of(command))
                self._order_ids[command.tag] = reply.order_id
                return reply
            case ModifyOrder():
                return self.exchange.modify(
                    self.now,
                    command.order_id,
                    quantity=command.quantity,
                    order_type=command.order_type.value,
                    price=command.price,
                    trigger_price=command.trigger_price,
                    validity="DAY",
                )
            case CancelOrder():
                return self.exchange.cancel(self.now, command.order_id)

    def _hear(self) -> None:
        while rows := self.exchange.take_updates():
            for row in rows:
                self._take(report_of(row, self.now))

    def _snapshot(self, asked: Nanos) -> BrokerSnapshot:
        """The book, as far as the engine can be in doubt of it: orders that are over it has heard of."""
        rows = []
        for tag in self.engine.account.open:
            row = self.exchange.order(self._order_ids.get(tag, ""))
            if row is not None:
                rows.append(report_of(row, self.now))
        positions = tuple(
            PositionRow(row.instrument, row.product, row.quantity) for row in self.exchange.positions()
        )
        return BrokerSnapshot(self.now, self.now, asked, tuple(rows), positions)

    def _spread_lost(self, fill: RecordFill) -> float:
        desk = self.engine.desks[fill.instrument]
        if not (desk.bid and desk.ask):
            return 0.0
        against = fill.value - fill.quantity * (desk.bid + desk.ask) / 2
        return against if fill.side is Side.BUY else -against

    @property
    def unclosed_value(self) -> Paise:
        """What is still owned, at the last bid."""
        holdings = self.engine.account.holdings
        return sum(
            holding.position * (desk.bid or desk.ltp)
            for key, desk in self.engine.desks.items()
            if (holding := holdings[key]).position > 0
        )
