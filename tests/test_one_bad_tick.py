"""No decision is changed by one bad tick: a day with a bad frame anywhere in it is the day without it.

From bytes on: the twin's own frames through the decoder into the engine; orders fill at once at their price.
"""

from functools import cache
from itertools import islice
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from bot.core.commands import Command, ModifyOrder, PlaceOrder
from bot.core.engine import Engine
from bot.core.events import (
    BrokerSnapshot,
    Event,
    FeedUp,
    OrderReport,
    OrderStreamUp,
    OrderType,
    Side,
    Tick,
)
from bot.core.rules import Contract, RiskRules, Rules, StrategyRules
from bot.core.session import Session
from bot.core.units import MILLISECOND
from bot.sim.market import SyntheticMarket
from bot.twin.board import Board
from bot.upstox import market_feed_pb2 as pb
from bot.upstox.wire_market import MarketDecoder
from tests.conftest import DAY, KEY, at
from tests.fuzz import wounded

FRAMES = 1_500
CONTRACT = Contract(KEY, 65, 65, 5, 1755, "NSE", "NIFTY CE")
RULES = Rules(StrategyRules(use_model=False), risk=RiskRules(guards=False))


@cache
def frames() -> list[tuple[int, bytes]]:
    """The first frames of a day, as a full subscriber hears them, each with its instant."""
    market = SyntheticMarket(
        KEY, tick=5, lot=65, seed=11, opens_at=at("09:15:00"), closes_at=at("15:30:00"), start_price=300_00
    )
    board, told = Board(KEY, 5, 65, Random(3)), []
    for move in islice(market, FRAMES):
        board.moved(move)
        told += [(move.at, frame.encode(move.at // MILLISECOND)) for frame in board.frames]
    return told


class Life:
    """A decoder, an engine, and a broker that fills every order at its own price, at once."""

    def __init__(self) -> None:
        self.decoder = MarketDecoder([KEY])
        self.engine = Engine(RULES, Session.on(DAY), [CONTRACT], lambda _: 0.0, 1)
        self.ticks = 0
        now = at("09:14:00")
        for event in (FeedUp(now, now), OrderStreamUp(now, now), BrokerSnapshot(now, now, now, (), ())):
            self.engine.handle(event)

    def hear(self, now: int, frame: bytes) -> list[Command]:
        decided: list[Command] = []
        for event in self.decoder.decode(frame, now, now):
            self.ticks += isinstance(event, Tick)
            decided += self._handled(event)
        return decided

    def _handled(self, event: Event) -> list[Command]:
        decided = self.engine.handle(event)
        for command in list(decided):
            if isinstance(command, PlaceOrder | ModifyOrder):
                decided += self._handled(self._word(command, event.at))
        return decided

    def _word(self, command: PlaceOrder | ModifyOrder, now: int) -> OrderReport:
        side = command.side if isinstance(command, PlaceOrder) else Side.SELL
        rests = command.order_type is OrderType.SL
        filled = 0 if rests else command.quantity
        return OrderReport(
            now, now, command.tag, f"id{command.tag}", "X1", KEY, side, command.order_type,
            "trigger pending" if rests else "complete", command.quantity, filled, filled * command.price,
            command.price, command.trigger_price, "", "",
        )  # fmt: skip


@cache
def undisturbed() -> tuple[list[list[Command]], int]:
    life = Life()
    decided = [life.hear(now, frame) for now, frame in frames()]
    return decided, life.ticks


def spoilt(frame: bytes, factor: float, *, book_too: bool, later_ms: int) -> bytes:
    """The frame with its price, or all its prices, so many times as high; told as that much later."""
    response = pb.FeedResponse.FromString(frame)
    market = response.feeds[KEY].fullFeed.marketFF
    market.ltpc.ltp *= factor
    market.ltpc.ltt += later_ms
    if book_too:
        for level in market.marketLevel.bidAskQuote:
            level.bidP *= factor
            level.askP *= factor
    return response.SerializeToString()


def test_the_day_trades() -> None:
    decided, ticks = undisturbed()
    assert ticks > FRAMES * 0.9
    assert sum(isinstance(command, PlaceOrder) for each in decided for command in each) > 50


@given(
    where=st.integers(0, FRAMES - 1),
    factor=st.sampled_from([0.0, -1.0, 0.01, 0.5, 0.89, 1.2, 10.0, 1e9, float("nan"), float("inf")]),
    book_too=st.booleans(),
    later_ms=st.sampled_from([0, 1, -3_600_000, 86_400_000]),
)
def test_a_price_that_cannot_be_is_as_if_it_had_not_come(
    where: int, factor: float, book_too: bool, later_ms: int
) -> None:
    """Zero, negative, a hundredth, twice, no number at all: before any frame of the day."""
    life, (decided, _) = Life(), undisturbed()
    for number, (now, frame) in enumerate(frames()):
        if number == where:
            assert not life.hear(now, spoilt(frame, factor, book_too=book_too, later_ms=later_ms))
        assert life.hear(now, frame) == decided[number], number
        if number > where + 200:
            break


@given(where=st.integers(0, FRAMES - 1), seed=st.integers(0, 1 << 30))
def test_a_frame_that_is_no_frame_is_as_if_it_had_not_come(where: int, seed: int) -> None:
    life, (decided, _) = Life(), undisturbed()
    for number, (now, frame) in enumerate(frames()):
        if number == where:
            broken = wounded(Random(seed), frame)
            told = MarketDecoder([KEY]).decode(broken, now, now)
            if any(isinstance(event, Tick) for event in told):
                return  # still a tick: the other test's
            life.hear(now, broken)
        assert life.hear(now, frame) == decided[number], number
        if number > where + 200:
            break
