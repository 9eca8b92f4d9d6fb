"""The judge of a simulated day: what must hold after every event (hazards §4.1), by the exchange's own books.

It listens to the exchange and to what the bot decides, never to what the bot believes. A breach is kept with
the time and the words; it never stops the day.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from math import isfinite
from typing import Final, NamedTuple

from bot.core.commands import Alert, CancelOrder, ModifyOrder, PlaceOrder
from bot.core.events import (
    BrokerSnapshot,
    Event,
    FeedDown,
    FrameSeen,
    OrderReport,
    Quote,
    SendOutcome,
    Side,
    Tick,
)
from bot.core.rules import Contract, Rules
from bot.core.session import Phase, Session
from bot.core.units import MILLISECOND, SECOND, Nanos, ist
from bot.run.ports import Turn
from bot.sim.exchange import SimExchange
from bot.sim.orders import OrderRow
from bot.simulate.troubles import joined, longest_well

FRESH: Final[Nanos] = 2 * SECOND
CLOCK_RIGHT: Final[Nanos] = 10 * MILLISECOND  # a wrong one can't tell how old a tick is
REPAIRED: Final[Nanos] = 2 * SECOND  # a surplus of live SELLs made from outside
SHORT_COVERED: Final[Nanos] = 10 * SECOND  # hazards says 5; a buy-back needs a read and two steps
ANSWERS: Final[Nanos] = 20 * SECOND  # at a stretch: then flat by 15:30:00
EXIT_GIVEN_UP: Final[Nanos] = 8 * SECOND
GIVEN_UP: Final[Nanos] = 90 * SECOND  # an order the book still does not know may be taken for lost
LAST_START: Final[Nanos] = 15 * SECOND  # the stretch must begin so long before 15:30:00
RETURNED: Final[Nanos] = 10 * SECOND
TERM_ENDS: Final[Nanos] = 45 * SECOND  # from SIGTERM to the end of the process, while the broker answers
SKEW_TAKEN: Final[Nanos] = 5_500 * MILLISECOND  # a clock wrong by less may make entries by its own hours
PROTECTED: Final[Nanos] = 5 * SECOND  # 3, and the next heartbeat that says so
PROTECTED_AT_LAST: Final[Nanos] = 20 * SECOND  # paged or not, when nothing hinders
PAGES: Final = frozenset({"PositionUnprotected", "ExitNotFilled", "ExitRejected"})  # of what is not protected
_TAG: Final = "k"


def _signed(row: OrderRow) -> int:
    return row.filled_quantity if row.side == "BUY" else -row.filled_quantity


def _is_entry(command: object) -> bool:
    return isinstance(command, PlaceOrder) and command.reason == "ENTRY" and command.side is Side.BUY


class Breach(NamedTuple):
    """`rule`: the invariant's number and name."""

    at: Nanos
    rule: str
    words: str

    def __str__(self) -> str:
        return f"{ist(self.at):%H:%M:%S.%f} {self.rule}: {self.words}"


class Judge:
    """`away`: when the broker can't be said to answer (troubles.away), known before the day begins."""

    def __init__(
        self,
        exchange: SimExchange,
        contract: Contract,
        rules: Rules,
        session: Session,
        away: list[tuple[Nanos, Nanos]],
        without_tag: set[str],
    ) -> None:
        self._exchange, self._contract, self._rules, self._session = exchange, contract, rules, session
        self._away, self._without_tag = away, without_tag
        self.breaches: list[Breach] = []
        self.marks: Counter[str] = Counter()
        self._rows: dict[str, OrderRow] = {}
        self._tagged = 0  # units bought less units sold by orders with a tag of ours
        self._live: set[str] = set()  # our SELLs that may fill
        self._tags: dict[str, str] = {}  # tag → order id
        self._since: dict[str, Nanos] = {}  # when something began to be wrong
        self._entries: list[Nanos] = []  # when each was decided, by the bot's own clock
        self._heard: Nanos = 0  # the last frame of the market
        self._entry_tags: set[str] = set()
        self._asked_at: dict[str, Nanos] = {}
        self._told_of: set[str] = set()  # tags of which the broker spoke to the bot
        self._unknown: set[str] = set()  # others, whose call ended in doubt
        self.told_to_stop = False  # by SIGTERM
        self.writer: Callable[[], str] = lambda: ""  # who holds the lease, by the store's own book
        self._paged = False  # that what we hold is not protected
        self._bare_at: Nanos = 0  # the last time it was so
        self._by_tags_alone = False  # the volume was lost: what was sold without a tag counts as another's
        self._decided_at: dict[str, Nanos] = {}  # tag → when, by the bot's own clock
        self.not_flat_at: Nanos = 0  # the last time something of ours was open after 15:30:00

    # ---- what we own, by the exchange --------------------------------------------------------------------

    def _ours(self, row: OrderRow) -> bool:
        return row.tag.startswith(_TAG) or row.order_id in self._without_tag

    @property
    def own(self) -> int:
        """Units bought less units sold by the bot."""
        others = sum(_signed(self._rows[each]) for each in self._without_tag if each in self._rows)
        return self._tagged + others

    @property
    def account(self) -> int:
        return sum(row.quantity for row in self._exchange.positions())

    @property
    def flat(self) -> bool:
        """Nothing that is ours to sell, or to buy back."""
        own = self.own
        return own == 0 or (own > 0 and self.account <= 0)

    # ---- the exchange speaks -----------------------------------------------------------------------------

    def words(self, now: Nanos, rows: Sequence[OrderRow]) -> None:
        for row in rows:
            before = self._rows.get(row.order_id)
            self._rows[row.order_id] = row
            if row.tag.startswith(_TAG):
                known = self._tags.setdefault(row.tag, row.order_id)
                if before is None and row.side == "BUY" and row.tag in self._entry_tags:
                    self._entered(row)
                if known != row.order_id:
                    self._breach(now, "2 no blind resend", f"{row.tag} is {known} and {row.order_id}")
                self._tagged += _signed(row) - (_signed(before) if before else 0)
                self.marks[f"exchange {row.side} {row.status}"] += 1
                if 0 < row.filled_quantity < row.quantity:
                    self.marks["exchange part fill"] += 1
            if self._ours(row) and row.side == "SELL":
                self._live.add(row.order_id)
        if rows:
            self.look(now)

    def _entered(self, row: OrderRow) -> None:
        """A new BUY of ours is at the broker."""
        risk, at = self._rules.risk, self._decided_at.get(row.tag, row.order_time)
        self._entries.append(at)
        last_minute = sum(one > at - 60 * SECOND for one in self._entries)
        if last_minute > risk.entries_per_minute or len(self._entries) > risk.entries_per_day:
            self._breach(at, "5 rate", f"{last_minute} entries in a minute, {len(self._entries)} today")

    def look(self, now: Nanos) -> None:
        """After an event, and once in a while without one."""
        own = self.own
        self._lasting(now, "4 stop", self.told_to_stop, TERM_ENDS, lambda: "SIGTERM was not obeyed")
        if not (own or self._live or self._since):
            return  # nothing owned, nothing offered, nothing wrong: nearly always
        account, selling, limit = self.account, self._selling(), self._contract.quantity
        if (min(own, account) if self._by_tags_alone else own) > limit:
            self._breach(now, "3 bounded exposure", f"own position {own} > {limit}")
        self._lasting(now, "3 short", own < 0, SHORT_COVERED, lambda: f"short by {-own}")
        surplus = selling > max(account, 0)
        self._lasting(now, "3 surplus", surplus, REPAIRED, lambda: f"live SELLs {selling} > long {account}")
        bare = selling < min(own, account)
        if bare:
            self._bare_at = now
        self._paged = (
            self._paged and now - self._bare_at < PROTECTED
        )  # a try that came to nothing ends nothing
        patience = PROTECTED_AT_LAST if self._paged else PROTECTED
        self._lasting(now, "8 protected", bare, patience, lambda: f"{own} held, {selling} in SELLs")
        if now >= self._flat_by and not self.flat:
            self.not_flat_at = now

    def _selling(self) -> int:
        """Units of our live SELLs."""
        self._live = {row.order_id for row in map(self._rows.__getitem__, self._live) if row.pending_quantity}
        return sum(self._rows[each].pending_quantity for each in self._live)

    def excuse(self, since: Nanos, until: Nanos) -> None:
        """Another span in which nothing can be demanded: a process that rightly refuses to start."""
        self._away[:] = joined([*self._away, (since, until)])

    def _lasting(self, now: Nanos, rule: str, wrong: bool, allowed: Nanos, words: Callable[[], str]) -> None:
        """Wrong for longer than allowed, not counting the time in which the broker did not answer."""
        if not wrong:
            if self._since:
                self._since.pop(rule, None)
            return
        since = self._since.setdefault(rule, now)
        if longest_well(self._away, since, now) > allowed:
            self._breach(now, rule, f"{words()} since {ist(since):%H:%M:%S.%f}")
            self._since[rule] = now + 3600 * SECOND  # once is enough

    # ---- the bot decides -----------------------------------------------------------------------------------

    def turn_of_second(self, turn: Turn, now: Nanos, name: str) -> None:
        """Of another bot on the same account: what it believes is not followed, only what it does."""
        for command in turn.commands:
            if isinstance(command, PlaceOrder):
                self.marks[f"second bot {command.reason}"] += 1
                self._gate(command, now)
                self._asked_at[command.tag] = now
                if command.reason == "ENTRY":
                    self._entry(command, now, turn.event.at, name)

    def turn(self, turn: Turn, now: Nanos, name: str) -> None:
        """`now`: the true time; the event's own is by the bot's clock. `name`: to the lease."""
        event = turn.event
        if isinstance(event, Tick | Quote | FrameSeen):
            self._heard = max(self._heard, event.mono)
        self._mark(turn)
        age = now - event.exchange_at if isinstance(event, Tick) and event.exchange_at else 0
        if age > FRESH:
            self.marks["tick older than 2 s"] += 1
            if abs(event.at - now) < CLOCK_RIGHT and any(map(_is_entry, turn.commands)):
                self._breach(now, "7 fresh", f"entry on a tick that was {age / SECOND:.3f} s old")
        for command in turn.commands:
            if isinstance(command, PlaceOrder):
                self._asked(command, now, event, name)
            elif isinstance(command, ModifyOrder) and not 0 < command.quantity <= self._contract.quantity:
                self._breach(now, "12 config gate", f"{command}")
        if isinstance(event, SendOutcome) and event.act == "PLACE":
            doubtful = event.outcome == "UNKNOWN" and event.tag not in self._told_of
            (self._unknown.add if doubtful else self._unknown.discard)(event.tag)
        elif isinstance(event, OrderReport):
            self._told_of.add(event.tag)
            self._unknown.discard(event.tag)
        elif isinstance(event, BrokerSnapshot):
            self._told_of.update(row.tag for row in event.orders)
            self._unknown -= self._told_of

    def _gate(self, order: PlaceOrder, now: Nanos) -> None:
        contract = self._contract
        whole = 0 < order.quantity <= contract.quantity and not order.quantity % contract.lot
        if order.instrument != contract.key or not whole:
            self._breach(now, "12 config gate", f"{order}")
        # No price: only the last rung, the broker's own closing of our position at market.
        if order.price % contract.tick or (order.price <= 0) != bool(order.closes):
            self._breach(now, "12 config gate", f"price {order.price}")
        if order.reason == "ENTRY" and order.side is Side.SELL:
            self._breach(now, "12 config gate", f"an entry that sells: {order}")

    def _entry(self, order: PlaceOrder, now: Nanos, at: Nanos, name: str) -> None:
        """What holds for an entry of any bot. `at`: by its own clock."""
        self._entry_tags.add(order.tag)
        self._decided_at[order.tag] = at
        hours = self._session.phase_at(now)
        if hours is not Phase.OPEN and abs(at - now) < SKEW_TAKEN:
            hours = self._session.phase_at(at)
        if hours is not Phase.OPEN:
            self._breach(now, "6 hours", f"entry in {hours}")
        if abs(at - now) > SKEW_TAKEN:
            self._breach(now, "6 hours", f"entry by a clock that is wrong by {(at - now) / SECOND:.3f} s")
        if self.writer() != name:
            self._breach(now, "11 one writer", f"an entry of {name}, and the lease is with {self.writer()}")
        decision = order.decision
        if not all(isfinite(x) for x in (decision.estimate, decision.velocity, decision.probability)):
            self._breach(now, "9 clean signal", f"{decision}")

    def _asked(self, order: PlaceOrder, now: Nanos, event: Event, name: str) -> None:
        self._gate(order, now)
        self._unknown = {tag for tag in self._unknown if now - self._asked_at[tag] < self._given_up(tag)}
        self._asked_at[order.tag] = now
        if order.side is Side.SELL or order.reason != "ENTRY":
            self._entry_tags.discard(order.tag)  # of a life whose journal was lost, and never sent
            return
        self._entry(order, now, event.at, name)
        if event.mono - self._heard > FRESH:
            self._breach(
                now, "7 fresh", f"entry {(event.mono - self._heard) / SECOND:.3f} s after the last frame"
            )
        if self._unknown:
            self._breach(now, "2 no blind resend", f"entry while {sorted(self._unknown)} unknown")

    def _given_up(self, tag: str) -> Nanos:
        return GIVEN_UP if tag in self._entry_tags else EXIT_GIVEN_UP

    def _mark(self, turn: Turn) -> None:
        event = turn.event
        if isinstance(event, SendOutcome):
            self.marks[f"bot {event.act} {event.outcome}"] += 1
        elif isinstance(event, FeedDown):
            self.marks[f"feed lost by {event.reason}"] += 1
        elif not isinstance(event, Tick):
            self.marks[f"event {type(event).__name__}"] += 1
        for command in turn.commands:
            if isinstance(command, PlaceOrder | ModifyOrder):
                self.marks[f"{type(command).__name__} {command.reason}"] += 1
            elif isinstance(command, Alert):
                self.marks[f"alert {command.name}"] += 1
                self._paged = self._paged or command.name in PAGES
            elif isinstance(command, CancelOrder):
                self.marks["CancelOrder"] += 1
            elif (reason := getattr(command, "reason", "")) and not hasattr(command, "tag"):
                self.marks[f"guard {reason}"] += 1

    # ---- the end -------------------------------------------------------------------------------------------

    @property
    def _flat_by(self) -> Nanos:
        return self._session.flatten_at + 60 * SECOND

    def volume_lost(self) -> None:
        """What the bot did not know for certain it can't know any more: only the broker's book is left: in
        it, an order without a tag is another hand's.
        """
        self._unknown.clear()
        self._without_tag.clear()
        self._by_tags_alone = True

    def must_be_flat(self, now: Nanos, words: str) -> None:
        """A process said that nothing is ours any more."""
        if not self.flat:
            self._breach(now, "4 flat", f"{words} and holds {self.own}")

    def archived(self, now: Nanos, files: dict[str, bytes], stored: dict[str, bytes], *, alone: bool) -> None:
        """What lies in the archive in the end: each of the day's files, once. `alone`: and nothing else;
        another bot with the same archive puts its own beside.
        """
        if not set(files.values()) <= set(stored.values()) or (alone and files != stored):
            names = f"made {sorted(files)}, stored {sorted(stored)}"
            self._breach(now, "15 paper trail", f"the archive is not the day's files: {names}")

    def close(self, now: Nanos, exit_code: int | None, booked: Counter[str]) -> None:
        """`booked`: units and paise by order id, as the CSV has them. Judge the whole day."""
        self.look(now)
        answers = longest_well(self._away, self._session.flatten_at, self._flat_by - LAST_START) >= ANSWERS
        if self.not_flat_at and answers:
            self._breach(self.not_flat_at, "4 flat", "not flat at 15:30:00 though the broker answered")
        well_since = max([until for _, until in self._away] + [self._flat_by])
        if self.not_flat_at > well_since + RETURNED:
            self._breach(self.not_flat_at, "4 flat", "not flat 10 s after the broker's return")
        if not self.flat and exit_code != 5:
            self._breach(now, "4 flat", f"ended with {self.own} units and exit code {exit_code}")
        if exit_code == 0:
            traded: Counter[str] = Counter()
            for trade in self._exchange.trades():
                if self._ours(self._rows[trade.order_id]):
                    traded[f"{trade.order_id} {trade.side} units"] += trade.quantity
                    traded[f"{trade.order_id} {trade.side} paise"] += trade.quantity * trade.price
            if traded != booked:
                words = f"only at the exchange {traded - booked}, only in the CSV {booked - traded}"
                self._breach(now, "15 paper trail", words)

    def _breach(self, now: Nanos, rule: str, words: str) -> None:
        self.breaches.append(Breach(now, rule, words))
