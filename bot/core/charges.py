"""What a fill costs: dated rate cards, and exact arithmetic on them (market.md §2).

It knows rates and nothing of orders: who asks says whether this fill is an order's first. Amounts are whole
nanopaise (a billionth of a paisa), so every component is exact and nothing is rounded until `Charges.total`
is asked for, once: the charges of part fills add up to the paisa. Rounding each fill (or each component) by
itself would be off by a paisa or two a round trip. For a column of whole paise whose rows add up, use the
differences of the running total's `.total`, as `Charges.step` does. Contract notes round STT to the rupee:
compare within ±₹2.

What an exercised option costs (STT on the intrinsic value) is not here: the bot does not hold to expiry.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from operator import add
from typing import Final, NamedTuple, TypeAlias

from bot.core.events import Side
from bot.core.units import Paise

Nanopaise: TypeAlias = int
NANOPAISE: Final = 1_000_000_000  # in a paisa: the finest rate, and GST on it, are whole numbers of these


class Charges(NamedTuple):
    """Charges by component, exact, in nanopaise (`in_rupees(charges.stt)` for a gauge)."""

    brokerage: Nanopaise = 0
    stt: Nanopaise = 0
    exchange: Nanopaise = 0  # transaction charge; on NSE with the investor protection fund's (IPFT)
    sebi: Nanopaise = 0
    stamp: Nanopaise = 0
    gst: Nanopaise = 0

    @property
    def exact(self) -> Nanopaise:
        """The sum, not rounded."""
        return sum(self)

    @property
    def total(self) -> Paise:
        """The sum in whole paise, half a paisa up."""
        return (2 * self.exact + NANOPAISE) // (2 * NANOPAISE)

    def plus(self, other: "Charges") -> "Charges":
        """Component by component."""
        return Charges._make(map(add, self, other))

    def step(self, fill: "Charges") -> Paise:
        """By how many whole paise `fill` raises the running total `self`: such steps sum to the total."""
        return self.plus(fill).total - self.total


NO_CHARGES: Final = Charges()


@dataclass(frozen=True, slots=True)
class RateCard:
    """The rates of one exchange's equity options from `since` on, until the next card: nanopaise a paisa of
    premium, but `brokerage` (paise an executed order) and `gst_percent` (of brokerage, exchange and SEBI).
    """

    exchange: str
    since: date
    brokerage: Paise
    stt_sell: Nanopaise
    transaction: Nanopaise
    sebi: Nanopaise
    stamp_buy: Nanopaise
    gst_percent: int

    def __post_init__(self) -> None:
        """What GST is taken of must be whole hundreds, or a hundredth of it would be no whole number."""
        assert self.transaction % 100 == self.sebi % 100 == 0

    def fill_charges(self, side: Side, value: Paise, *, first_fill_of_order: bool) -> Charges:
        """Charges of one fill worth `value` paise (price x quantity). Brokerage comes with the first fill."""
        assert value >= 0
        brokerage = self.brokerage * NANOPAISE if first_fill_of_order else 0
        exchange, sebi = self.transaction * value, self.sebi * value
        return Charges(
            brokerage=brokerage,
            stt=self.stt_sell * value if side == Side.SELL else 0,
            exchange=exchange,
            sebi=sebi,
            stamp=self.stamp_buy * value if side == Side.BUY else 0,
            gst=self.gst_percent * (brokerage + exchange + sebi) // 100,
        )

    def round_trip(self, buy_value: Paise, sell_value: Paise) -> Charges:
        """One BUY and one SELL order, each filled: what a trade must earn to break even."""
        buy = self.fill_charges(Side.BUY, buy_value, first_fill_of_order=True)
        return buy.plus(self.fill_charges(Side.SELL, sell_value, first_fill_of_order=True))


class NoRateCard(LookupError):
    """No card covers that exchange and day; the message says which do."""


def card_on(day: date, exchange: str) -> RateCard:
    """The card in force on `day` at `exchange` (NSE | BSE). Raises NoRateCard before the first one.

    There is no last day: a future change of rates is not known until a card is added here.
    """
    cards = [card for card in RATE_CARDS if card.exchange == exchange]
    if not cards:
        raise NoRateCard(f"no rate card for exchange {exchange!r}; known: BSE, NSE")
    valid = [card for card in cards if card.since <= day]
    if not valid:
        first = min(card.since for card in cards)
        raise NoRateCard(
            f"no rate card for {exchange} on {day.isoformat()}; the first is of {first.isoformat()}"
        )
    return max(valid, key=lambda card: card.since)


def first_card_day(exchange: str) -> date:
    """From when on charges at `exchange` are known."""
    return min(card.since for card in RATE_CARDS if card.exchange == exchange)


def in_rupees(amount: Nanopaise) -> float:
    """For a gauge or a picture, not for sums."""
    return amount / (100 * NANOPAISE)


def _percent(text: str) -> Nanopaise:
    """A share, in nanopaise a paisa. Raises where it is finer than that."""
    share = Decimal(text) * NANOPAISE / 100
    assert share == int(share), text
    return int(share)


def _card(exchange: str, since: date, *, stt_percent: str) -> RateCard:
    # NSE: 0.03503 % and 0.0005 % IPFT, which is inside the GST base (market.md §2).
    transaction = {"NSE": _percent("0.03503") + _percent("0.0005"), "BSE": _percent("0.0325")}[exchange]
    return RateCard(
        exchange=exchange,
        since=since,
        brokerage=20_00,  # the ₹10 offer for API orders (ended 2026-09-30) is not counted on (upstox §6.2)
        stt_sell=_percent(stt_percent),
        transaction=transaction,
        sebi=_percent("0.0001"),
        stamp_buy=_percent("0.003"),
        gst_percent=18,
    )


# The first cards begin when STT became 0.10 % and the exchanges' charges became uniform. Newest last.
RATE_CARDS: Final = tuple(
    _card(exchange, since, stt_percent=stt)
    for since, stt in ((date(2024, 10, 1), "0.10"), (date(2026, 4, 1), "0.15"))
    for exchange in ("NSE", "BSE")
)
