"""What the engine knows of one instrument: its contract, filter, last price and book, and the exit under way.

A record with three small rules about prices; it decides nothing about orders.
"""

from bot.core.account import Holding
from bot.core.commands import Decision, Reason
from bot.core.events import Quote
from bot.core.forecast import Forecast, Forecaster
from bot.core.rules import Contract
from bot.core.units import SECOND, Nanos, Paise, Quantity, tick_floor

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
        "contract",
        "difference",
        "doubtful",
        "exit_at",
        "exit_decision",
        "exit_next_mono",
        "exit_paged",
        "exit_reason",
        "exit_steps",
        "exit_tries",
        "filled_mono",
        "forecast",
        "forecaster",
        "holding",
        "ltp",
        "mismatch",
        "segment",
        "ticks_total",
    )

    def __init__(self, contract: Contract, forecaster: Forecaster) -> None:
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
        self.exit_tries = 0  # SELLs of this exit since the last fill
        self.exit_next_mono: Nanos = 0  # no SELL before
        self.doubtful: list[Paise] = []  # prices waiting for confirmation
        self.broker_position: Quantity | None = None  # as last read; None: never read
        self.difference: Quantity = (
            0  # broker's position less ours at the last reading; maybe only in passing
        )
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

    def exit_over(self) -> None:
        """Flat, or not ours any more: nothing is left to leave."""
        self.exit_reason = self.exit_decision = None
        self.exit_tries, self.exit_next_mono, self.exit_steps, self.exit_paged = 0, 0, 0, False

    def leave(self, reason: Reason, at: Nanos) -> None:
        """An exit begins."""
        self.exit_reason, self.exit_at = reason, at
        self.exit_decision = self.decision(at, self.ltp)

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
        tick = self.contract.tick
        reference = self.bid or self.ltp
        step = max(exit_ticks * tick, reference // 200) * (1 + self.exit_steps)
        return max(tick_floor(reference - min(step, reference // 5), tick), tick)

    def decision(self, at: Nanos, price: Paise) -> Decision:
        """What the bot sees right now, to be kept with an order."""
        seen = self.forecast
        if seen is None:
            nan = float("nan")
            return Decision(at, price, nan, nan, nan, nan)
        probability = float("nan") if seen.probability is None else seen.probability
        return Decision(at, price, seen.estimate, seen.velocity, seen.rel_diff, probability)
