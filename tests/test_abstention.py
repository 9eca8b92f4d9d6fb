"""Why nothing is bought: one reason a second, kept as few intervals, complete and in order."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.assemble.explain_words import WHY, counts
from bot.core import strategy
from bot.core.abstention import Quiet
from bot.core.commands import Command, Enter, NoTrade
from bot.core.events import (
    BY_HAND,
    BrokerSnapshot,
    FeedDown,
    FeedUp,
    Operator,
    OperatorAction,
    SegmentStatus,
)
from bot.core.forecast import Forecast
from bot.core.risk import Guard
from bot.core.rules import Contract, RiskRules, Rules, StrategyRules
from bot.core.session import Session
from bot.core.strategy import Unmet, unmet
from bot.core.units import SECOND
from bot.run.recover import replay
from bot.storage import records
from tests.conftest import DAY, KEY
from tests.test_engine import Desk

MINUTE = 60 * SECOND


@pytest.fixture
def desk(contract: Contract, session: Session) -> Desk:
    made = Desk(contract, session)
    made.up()
    return made


def lived(desk: Desk, seconds: int, price: Callable[[int], int] | None = None) -> list[NoTrade]:
    """A tick and a heartbeat each second (no time passes between the two)."""
    made: list[Command] = []
    for second in range(seconds):
        made += desk.tick(price(second) if price else None)
        made += desk.heartbeat(0.0)
    return [command for command in made if isinstance(command, NoTrade)]


def test_a_state_is_an_interval_with_its_begin_and_its_end(desk: Desk) -> None:
    begun = desk.now
    found = lived(desk, 150)
    assert [one.looks.partition("=")[0] for one in found] == ["warm_up", "warm_up", "not_falling"]
    assert found[0].since == begun + SECOND
    assert found[1].until == begun + 100 * SECOND
    assert counts(found[0].looks)["warm_up"] + counts(found[1].looks)["warm_up"] == 99


def test_a_minute_of_prices_is_one_record_that_counts_its_reasons(desk: Desk) -> None:
    desk.warm()
    found = lived(desk, 180, lambda second: 30_000 + 40 * (second * 7919 % 13))
    whole = [one for one in found if one.until - one.since == MINUTE]
    assert len(whole) == 2
    for one in whole:
        looks = counts(one.looks)
        assert sum(looks.values()) == 60
        assert looks.keys() <= {Unmet.NOT_FALLING, Unmet.ABOVE_ESTIMATE, Unmet.MODEL}
        assert one.seen.price
        assert one.best == 0.0


def test_what_a_guard_refused_is_counted_and_not_told_tick_by_tick(desk: Desk) -> None:
    desk.warm()
    desk.engine.forbid_entries("operator")
    desk.probability = 0.9
    found = lived(desk, 120, lambda second: 30_000 - 4 * second * second)
    assert sum(counts(one.refused).get(Guard.STOPPED, 0) for one in found) > 20
    assert len(found) <= 4
    assert found[-1].detail == "operator"


def test_a_position_and_a_dead_feed_have_their_names(desk: Desk) -> None:
    desk.warm()
    desk.enter()
    desk.tick()
    held = lived(desk, 61)
    assert {one.looks.partition("=")[0] for one in held} == {Quiet.HOLDING}
    assert all(one.position == 75 for one in held)


def test_silence_a_dead_feed_and_a_shut_segment_are_told_apart(desk: Desk) -> None:
    desk.warm()
    seen = []
    for word in (
        None,
        FeedDown(desk.now, desk.mono, "stall"),
        FeedUp(desk.now, desk.mono),
        SegmentStatus(desk.now, desk.mono, "NSE_FO", "HALTED"),
    ):
        if word is not None:
            desk.engine.handle(word)
        for _ in range(70):
            seen += [one for one in desk.heartbeat() if isinstance(one, NoTrade)]
    reasons = list(dict.fromkeys(one.looks.partition("=")[0] for one in seen))
    assert reasons == [Unmet.NOT_FALLING, Quiet.SILENT, Guard.FEED_DOWN, Quiet.SEGMENT_SHUT][-len(reasons) :]
    assert {Quiet.SILENT, Guard.FEED_DOWN, Quiet.SEGMENT_SHUT} <= set(reasons)


def test_a_whole_day_of_prices_is_a_few_hundred_records(desk: Desk, session: Session) -> None:
    desk.now = session.open_at - 10 * MINUTE
    desk.up()
    size = count = 0
    while desk.now < session.close_at:
        for one in desk.heartbeat():
            if isinstance(one, NoTrade):
                count, size = count + 1, size + len(records.encode(one)[1])
    minutes = (session.close_at - session.open_at) // MINUTE + 10
    assert minutes - 1 <= count <= minutes + 10
    assert size < 200_000


def test_a_record_outlives_the_disk_and_a_replay_passes_it_by(
    desk: Desk, contract: Contract, session: Session
) -> None:
    found = lived(desk, 70)
    kept = [records.decode(*records.encode(one)) for one in found]
    assert [one.looks for one in kept if isinstance(one, NoTrade)] == [one.looks for one in found]
    again = Desk(contract, session, run=2)
    recovered = replay(again.engine, kept, again.mono)
    assert (recovered.orders, again.engine.entries_stopped) == (0, "")


def test_every_reason_can_be_told() -> None:
    assert set(WHY) == {*Guard, *Quiet, *Unmet}


@given(
    velocity=st.floats(-1, 1),
    rel_diff=st.floats(-0.01, 0.01),
    probability=st.none() | st.floats(0, 1),
    band=st.none() | st.floats(0.0001, 0.01),
    use_model=st.booleans(),
)
def test_the_strategy_wants_exactly_when_no_reason_is_found(
    velocity: float, rel_diff: float, probability: float | None, band: float | None, use_model: bool
) -> None:
    rules = StrategyRules(band=band, use_model=use_model)
    seen = Forecast(200, 100_00, 100.0, velocity, rel_diff, probability)
    falls, below = velocity < 0, rel_diff < 0
    near = band is None or abs(rel_diff) < band
    sure = not use_model or (probability is not None and probability >= rules.threshold)
    wanted = strategy.want(KEY, seen, rules, long=False)
    assert (wanted == Enter(KEY)) == (falls and below and near and sure)
    assert (wanted is None) == (unmet(seen, rules) is not None)


_STEPS = st.sampled_from(
    ["tick", "tick", "tick", "beat", "beat", "beat", "down", "up", "stop", "jump", "book"]
)


@given(st.lists(_STEPS, min_size=50, max_size=300))
def test_intervals_never_overlap_never_run_past_a_minute_of_looks_and_lose_none(steps: list[str]) -> None:
    contract = Contract(KEY, 75, 75, 5, 1800, "NSE")
    rules = Rules(StrategyRules(warmup_ticks=10), risk=RiskRules())
    desk = Desk(contract, Session.on(DAY), rules)
    desk.up()
    found: list[NoTrade] = []
    beats = 0
    for step in steps:
        made: list[Any] = []
        match step:
            case "tick":
                made = desk.tick(desk.price + 10 * (len(steps) % 5 - 2))
            case "beat":
                beats += 1
                made = desk.heartbeat(1.0)
            case "down":
                made = desk.engine.handle(FeedDown(desk.now, desk.mono, "stall"))
            case "up":
                made = desk.engine.handle(FeedUp(desk.now, desk.mono))
            case "stop":
                action = OperatorAction.RESUME if desk.engine.entries_stopped else OperatorAction.STOP_ENTRIES
                made = desk.engine.handle(Operator(desk.now, desk.mono, action, BY_HAND))
            case "jump":
                desk.pass_time(37.0)
            case "book":
                made = desk.engine.handle(BrokerSnapshot(desk.now, desk.mono, desk.mono, (), ()))
        found += [one for one in made if isinstance(one, NoTrade)]
    for one in found:
        assert one.since < one.until
        assert one.looks
    for earlier, later in pairwise(found):
        assert earlier.until == later.since
    told = sum(sum(counts(one.looks).values()) for one in found)
    left = desk.engine._abstentions._now[contract.key].looks.total()
    assert told + left == beats
