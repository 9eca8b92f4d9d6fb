"""What the engine knows of one instrument: its contract, filter, last price and book, and the exit under way.

A record with three small rules about prices; it decides nothing about orders.
"""

from bot.core.books import Holding
from bot.core.commands import Decision, Reason
from bot.core.events import Quote
from bot.core.forecast import Forecast, Forecasting
from bot.core.rules import Contract
from bot.core.units import SECOND, Nanos, Paise, Quantity, tick_ceil, tick_floor

EXIT_OVERDUE: Nanos = 3 * SECOND
JUMP_TICKS = 3  # a move over 10 % outside the book waits for so many that agree; never refused for ever


class Desk:
    """Mutable state of one instrument. Prices in paise, 0 when not known."""

    __slots__ = (
        "ask",
        "ask_quantity",
        "at",
        "bid",
        "bid_quantity",
        "broker_position",
        "cautious",
        "closed_mono",
        "contract",
        "difference",
        "doubtful",
        "exit_at",
        "exit_decision",
        "exit_paged",
        "exit_reason",
        "exit_steps",
        "filled_mono",
        "forecast",
        "forecaster",
        "holding",
        "ltp",
        "mismatch",
        "next_mono",
        "others_filled",
        "others_sold",
        "read_mono",
        "segment",
        "stop",
        "stop_refusals",
        "stop_told",
        "stop_touched_mono",
        "ticks_total",
        "tries",
        "unprotected_mono",
        "unprotected_paged",
    )

    def __init__(self, contract: Contract, forecaster: Forecasting) -> None:
        self.contract = contract
        self.segment = contract.segment
        self.forecaster = forecaster
        self.holding = Holding()  # the account's, once the engine joins them
        self.at: Nanos = 0  # of the last accepted tick
        self.ltp: Paise = 0
        self.bid: Paise = 0
        self.ask: Paise = 0
        self.bid_quantity: Quantity = 0
        self.ask_quantity: Quantity = 0
        self.ticks_total = 0
        self.forecast: Forecast | None = None
        self.exit_reason: Reason | None = None
        self.exit_decision: Decision | None = None
        self.exit_at: Nanos = 0  # when it began
        self.exit_paged = False
        self.exit_steps = 0  # how often its price was stepped down
        self.tries = 0  # orders to leave (or to rest as a stop) in a row that came to nothing
        self.next_mono: Nanos = 0  # no such order before
        self.closed_mono: Nanos = -60 * SECOND  # when positions/exit was last asked for
        self.stop: tuple[Paise, Paise] | None = None  # trigger and limit for the open position, once made
        self.stop_refusals = 0  # by the venue: its limit moves nearer to its trigger
        self.stop_touched_mono: Nanos = 0  # when the price was first seen at the stop
        self.stop_told = False  # that the stop was reached
        self.unprotected_mono: Nanos = 0  # since when no stop covers the position; 0: it is covered, or none
        self.unprotected_paged = False
        self.doubtful: list[Paise] = []  # prices waiting for confirmation
        self.broker_position: Quantity | None = None  # as last read; None: never read
        self.difference: Quantity = (
            0  # broker's position less ours at the last reading; maybe only in passing
        )
        self.read_mono: Nanos = -60 * SECOND  # when the reading behind `difference` began
        self.others_filled: dict[str, Quantity] = {}  # order id → units, of orders that are not ours
        self.others_sold = False  # one of them was a SELL
        self.filled_mono: Nanos = -1  # when we last heard of a fill
        self.cautious = False  # a SELL was given up: sell no more than the broker says is there
        self.mismatch: Quantity = 0  # broker's position less ours, confirmed by two readings

    @property
    def name(self) -> str:
        """For people."""
        return self.contract.name or self.contract.key

    def quote(self, event: Quote) -> None:
        """Take the book of an event; a side it does not know keeps its last value."""
        if event.bid:
            self.bid, self.bid_quantity = event.bid, event.bid_quantity
        if event.ask:
            self.ask, self.ask_quantity = event.ask, event.ask_quantity

    def believable(self, ltp: Paise) -> bool:
        """Is this price one to act on? A wild print is held until three in a row agree (hazards F7)."""
        last = self.ltp
        if 0.9 * last <= ltp <= 1.1 * last or not last:
            if self.doubtful:
                self.doubtful.clear()
            return True
        if self.bid and self.ask and 0.98 * self.bid <= ltp <= 1.02 * self.ask:
            self.doubtful.clear()
            return True
        held = self.doubtful
        if held and abs(ltp - held[-1]) > 0.1 * held[-1]:
            held.clear()
        held.append(ltp)
        if len(held) < JUMP_TICKS:
            return False
        held.clear()
        return True

    def over(self) -> None:
        """Flat, or not ours any more: nothing is left to leave or to protect."""
        self.exit_reason = self.exit_decision = self.stop = None
        self.tries = self.next_mono = self.exit_steps = self.stop_refusals = 0
        self.stop_touched_mono = self.unprotected_mono = 0
        self.exit_paged = self.stop_told = self.unprotected_paged = False

    def leave(self, reason: Reason, at: Nanos) -> None:
        """An exit begins."""
        self.exit_reason, self.exit_at = reason, at
        self.exit_decision = self.decision(at, self.ltp)
        self.tries = self.next_mono = self.exit_steps = 0

    def exit_overdue(self, at: Nanos) -> bool:
        """True once an exit: it has been under way for too long, and a human must hear of it."""
        if self.exit_reason is None or self.exit_paged or self.holding.position <= 0:
            return False
        if at - self.exit_at < EXIT_OVERDUE:
            return False
        self.exit_paged = True
        return True

    def exit_price(self, exit_ticks: int) -> Paise:
        """A SELL limit priced to fill: bid − max(`exit_ticks`, 0.5 %), deeper with each step of this exit,
        down to 20 % under the bid (NSE refuses below 40 %); on the grid, at least one tick.
        """
        tick, reference = self.contract.tick, self.bid or self.ltp
        return max(tick_floor(reference - self._step(reference, exit_ticks), tick), tick)

    def cover_price(self, exit_ticks: int) -> Paise:
        """A BUY limit priced to fill, the mirror image of `exit_price`."""
        reference = self.ask or self.ltp
        return tick_ceil(reference + self._step(reference, exit_ticks), self.contract.tick)

    def _step(self, reference: Paise, exit_ticks: int) -> Paise:
        step = max(exit_ticks * self.contract.tick, reference // 200) * (1 + self.exit_steps)
        return min(step, reference // 5)

    def decision(self, at: Nanos, price: Paise) -> Decision:
        """What the bot sees right now, to be kept with an order."""
        seen = self.forecast
        if seen is None:
            nan = float("nan")
            return Decision(at, price, nan, nan, nan, nan)
        probability = float("nan") if seen.probability is None else seen.probability
        return Decision(at, price, seen.estimate, seen.velocity, seen.rel_diff, probability)
