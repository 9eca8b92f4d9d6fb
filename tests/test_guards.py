"""Every guard: with its cause the entry is refused by its very name, without it the wish is an order."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core import guards
from bot.core.commands import Alert, EntriesEnded, PlaceOrder, Refused
from bot.core.events import (
    CRASH_LOOP,
    AccessChanged,
    ClockRead,
    FeedDown,
    FundsRead,
    LeaseChanged,
    Operator,
    OperatorAction,
    OrderReport,
    OrderStreamDown,
    Outcome,
    SegmentStatus,
    Side,
)
from bot.core.risk import Guard
from bot.core.rules import Contract, RiskRules, Rules
from bot.core.session import Session
from bot.core.units import SECOND
from bot.run.recover import replay
from bot.storage import records
from tests.conftest import KEY, at
from tests.test_engine import Desk, none_of, only

Make = Callable[..., Desk]
Cause = Callable[[Desk], Any]


@pytest.fixture
def make(contract: Contract, session: Session) -> Make:
    def made(**risk: Any) -> Desk:
        desk = Desk(contract, session, Rules(risk=RiskRules(**risk)))
        desk.up()
        desk.warm()
        return desk

    return made


def stopped_out(desk: Desk) -> None:
    """In, and sold again by the stop at the exchange."""
    desk.enter()
    desk.word(desk.stop, "complete", desk.stop.quantity)
    desk.warm(70)  # a minute on: the guard of entries a minute must not answer for another


def funds(desk: Desk, available: int, *, asked_ago: float = 0.0) -> None:
    asked = desk.mono - round(asked_ago * SECOND)
    desk.engine.handle(FundsRead(desk.now, desk.mono, asked, available))


def skew(desk: Desk, seconds: float) -> list[Any]:
    return desk.engine.handle(ClockRead(desk.now, desk.mono, round(seconds * SECOND)))


def traded_by_hand(desk: Desk) -> list[Any]:
    row = OrderReport(
        desk.now, desk.mono, "", "hand1", "X", KEY, Side.BUY, "LIMIT", "complete", 75, 75, 75 * 300_00,
        300_00, 0, "", "",
    )  # fmt: skip
    return desk.engine.handle(row)


def nothing(_: Desk) -> None:
    pass


def late(desk: Desk) -> None:
    """Two minutes of prices, over the cut-off."""
    desk.pass_time((at("15:08:30") - desk.now) / SECOND)
    desk.warm()


CAUSES: dict[Guard, tuple[dict[str, Any], Cause, dict[str, Any]]] = {  # rules, what happens, the last tick
    Guard.PHASE: ({}, late, {}),
    Guard.NOT_READY: (
        {}, lambda d: d.engine.handle(AccessChanged(d.now, d.mono, False, "no token")), {}),
    Guard.STREAM_DOWN: ({}, lambda d: d.engine.handle(OrderStreamDown(d.now, d.mono, "")), {}),
    Guard.STOPPED: (
        {}, lambda d: d.engine.handle(Operator(d.now, d.mono, OperatorAction.STOP_ENTRIES, "kill_file")), {}),
    Guard.NOT_LEASED: (
        {}, lambda d: d.engine.handle(LeaseChanged(d.now, d.mono, 0, 0, "another bot")), {}),
    Guard.FEED_DOWN: ({}, lambda d: d.engine.handle(FeedDown(d.now, d.mono, "stall")), {}),
    Guard.BEHIND: ({}, nothing, {"newest": False}),
    Guard.LAGGED: ({}, nothing, {"exchange_ago": 2.1}),
    Guard.CLOCK_SKEW: ({}, lambda d: only(skew(d, 5.1), Alert), {}),
    Guard.FROZEN: ({}, nothing, {"trade_ago": 60.1}),
    Guard.ORDER_OPEN: ({}, lambda d: d.answer(only(d.fall(), PlaceOrder), Outcome.ACCEPTED), {}),
    Guard.ORDER_UNKNOWN: ({}, lambda d: d.answer(only(d.fall(), PlaceOrder), Outcome.UNKNOWN), {}),
    Guard.MISMATCH: ({}, lambda d: d.snapshot(position=75), {}),
    Guard.NO_QUOTE: ({}, lambda d: setattr(d.engine.desks[KEY], "ask", 0), {"ask": 0}),
    Guard.SPREAD: ({}, nothing, {"bid": 290_00, "ask": 293_00}),
    Guard.NO_STOP: ({"stop_loss": 400_00}, nothing, {}),
    Guard.PREMIUM_LOW: ({"premium_min": 301_00}, nothing, {}),
    Guard.PREMIUM_HIGH: ({"premium_max": 200_00}, nothing, {}),
    Guard.CAPITAL: ({"capital": 75 * 200_00}, nothing, {}),
    Guard.ENTRIES_DAY: ({"entries_per_day": 1, "cooldown_seconds": 0.0}, stopped_out, {}),
    Guard.ENTRIES_MINUTE: (
        {"entries_per_minute": 1},
        lambda d: d.word(only(d.fall(), PlaceOrder), "rejected"), {}),
    Guard.COOLDOWN: ({}, stopped_out, {}),
    Guard.STOPS_DAY: ({"stops_per_day": 1, "cooldown_seconds": 0.0}, stopped_out, {}),
    Guard.CHARGES: ({"charges_per_day": 1, "cooldown_seconds": 0.0}, stopped_out, {}),
}  # fmt: skip


def wish(
    desk: Desk, *, exchange_ago: float | None = None, trade_ago: float | None = None, **tick: Any
) -> Any:
    """The rule is true: falling, below the estimate, the model says yes."""
    desk.probability = 0.9
    coming = desk.now + SECOND  # the tick's own instant
    if exchange_ago is not None:
        tick["exchange_at"] = coming - round(exchange_ago * SECOND)
    if trade_ago is not None:
        tick["ltt"] = coming - round(trade_ago * SECOND)
    return desk.tick(desk.price - 20, **tick)


def test_every_guard_has_its_case() -> None:
    assert set(CAUSES) == set(Guard)


@pytest.mark.parametrize("guard", CAUSES)
def test_a_guard_refuses_and_says_which_it_was(make: Make, guard: Guard) -> None:
    rules, cause, tick = CAUSES[guard]
    desk = make(**rules)
    cause(desk)
    assert only(wish(desk, **tick), Refused).reason == guard


def test_without_a_cause_the_same_wish_is_an_order(make: Make) -> None:
    desk = make()
    skew(desk, 1.0)
    order = only(wish(desk, exchange_ago=1.9, trade_ago=59.0), PlaceOrder)
    assert order.side is Side.BUY


@pytest.mark.parametrize("reason", ["stop", "charges", "entries"])
def test_a_limit_that_ends_the_day_is_told_once_and_outlasts_any_wish(make: Make, reason: str) -> None:
    limits = {
        "stop": {"stops_per_day": 1},
        "charges": {"charges_per_day": 1},
        "entries": {"entries_per_day": 1},
    }
    desk = make(cooldown_seconds=0.0, **limits[reason])
    stopped_out(desk)
    told = [
        c for _ in range(10) for c in desk.heartbeat() if isinstance(c, Alert) and c.name == "EntriesStopped"
    ]
    assert len(told) == 1
    assert reason in told[0].text
    assert only(wish(desk), Refused).reason == Guard.STOPPED


def test_a_limit_of_the_day_is_the_owner_s_to_raise_at_the_next_start(make: Make) -> None:
    desk = make(entries_per_day=1, cooldown_seconds=0.0)
    stopped_out(desk)
    assert none_of(desk.heartbeat(), EntriesEnded)


# ---- money -----


def test_capital_counts_the_charges_too(make: Make) -> None:
    probe = only(wish(make()), PlaceOrder)
    cost = probe.price * probe.quantity
    charges = make().engine.account.buying_charges(KEY, cost)
    assert charges > 20_00
    assert only(wish(make(capital=cost)), Refused).reason == Guard.CAPITAL
    assert only(wish(make(capital=cost + charges - 1)), Refused).reason == Guard.CAPITAL
    assert only(wish(make(capital=cost + charges)), PlaceOrder)


def test_live_an_entry_needs_funds_that_are_known_and_enough(make: Make) -> None:
    desk = make(funds_wanted=True)
    assert only(wish(desk), Refused).reason == Guard.CAPITAL
    funds(desk, 10_000_00)
    assert only(wish(desk), Refused).reason == Guard.CAPITAL
    funds(desk, 30_000_00)
    assert only(wish(desk), PlaceOrder)


def test_a_reading_of_the_funds_is_not_believed_for_ever(make: Make) -> None:
    desk = make(funds_wanted=True)
    funds(desk, 30_000_00)
    desk.pass_time(guards.FUNDS_HOLD / SECOND)
    desk.warm()
    assert only(wish(desk), Refused).reason == Guard.CAPITAL


def test_what_was_lost_since_the_reading_is_gone(make: Make) -> None:
    desk = make(funds_wanted=True, cooldown_seconds=0.0)
    funds(desk, 24_000_00)
    stopped_out(desk)  # 75 × ₹50, and charges
    assert only(wish(desk), Refused).reason == Guard.CAPITAL
    funds(desk, 24_000_00)
    assert only(wish(desk), PlaceOrder)


def test_a_reading_that_a_fill_overtook_is_dropped(make: Make) -> None:
    desk = make(funds_wanted=True, cooldown_seconds=0.0)
    funds(desk, 24_000_00)
    stopped_out(desk)
    funds(desk, 90_000_00, asked_ago=300.0)
    assert only(wish(desk), Refused).reason == Guard.CAPITAL


@given(
    available=st.integers(0, 10**9),
    before=st.integers(-(10**9), 10**9),
    flows=st.lists(st.integers(-(10**6), 10**6)),
    age=st.integers(0, 2 * guards.FUNDS_HOLD),
)
def test_funds_are_the_reading_and_our_own_flows_or_nothing(
    available: int, before: int, flows: list[int], age: int
) -> None:
    left = guards.Funds(7, available, before).left(before + sum(flows), 7 + age)
    assert left == (available + sum(flows) if age <= guards.FUNDS_HOLD else None)


@given(
    cost=st.integers(1, 10**9),
    funds=st.none() | st.integers(0, 10**9),
    cap=st.none() | st.integers(1, 10**9),
    wanted=st.booleans(),
)
def test_nothing_above_the_smaller_of_cap_and_funds_is_affordable(
    cost: int, funds: int | None, cap: int | None, wanted: bool
) -> None:
    allowed = guards.affordable(cost, funds, RiskRules(capital=cap, funds_wanted=wanted))
    bounds = [bound for bound in (cap, (funds or 0) if wanted else None) if bound is not None]
    assert allowed == all(cost <= bound for bound in bounds)


def test_the_day_s_loss_limit_sells_and_is_not_forgotten_by_a_restart(
    make: Make, contract: Contract, session: Session
) -> None:
    desk = make(daily_loss=1_000_00)
    order = desk.enter()
    made = desk.tick(desk.price - 20_00)
    ended = only(made, EntriesEnded)
    assert ended.reason == "daily_loss"
    kept = records.decode(*records.encode(ended))
    again = Desk(contract, session, run=2)
    replay(again.engine, [order, kept], again.mono)
    assert again.engine.entries_stopped == "daily_loss"


# ---- time -----


def test_the_feed_s_clock_far_ahead_of_ours_refuses_as_the_deadlines_would_come_late(make: Make) -> None:
    assert only(wish(make(), exchange_ago=-5.1), Refused).reason == Guard.CLOCK_SKEW
    assert only(wish(make(), exchange_ago=-4.9), PlaceOrder)


def test_a_clock_that_is_off_is_told_from_two_seconds_on_and_when_it_is_right_again(make: Make) -> None:
    desk = make()
    assert none_of(skew(desk, 2.0), Alert)
    assert "behind" in only(skew(desk, -2.5), Alert).text
    assert none_of(skew(desk, -3.0), Alert)
    assert "No entries" in only(skew(desk, -6.0), Alert).text
    assert "agrees" in only(skew(desk, 0.0), Alert).text
    assert only(wish(desk), PlaceOrder)


@given(st.integers(-(10**11), 10**11))
def test_skew_is_judged_alike_in_both_directions(skew: int) -> None:
    risk = RiskRules()
    assert guards.skew_of(skew, risk) is guards.skew_of(-skew, risk)
    assert (guards.skew_of(skew, risk) is guards.Skew.TOO_MUCH) == (abs(skew) > 5 * SECOND)


# ---- the owner's hand -----


def test_a_trade_by_hand_ends_the_day_s_entries_for_good(
    make: Make, contract: Contract, session: Session
) -> None:
    desk = make()
    ended = only(traded_by_hand(desk), EntriesEnded)
    assert only(wish(desk), Refused).reason == Guard.STOPPED
    again = Desk(contract, session, run=2)
    replay(again.engine, [ended], again.mono)
    assert again.engine.entries_stopped == "operator_takeover"


def test_what_ended_for_good_is_not_resumed_though_a_crash_loop_had_ended_it_before(make: Make) -> None:
    desk = make()
    desk.engine.handle(Operator(desk.now, desk.mono, OperatorAction.STOP_ENTRIES, CRASH_LOOP))
    assert only(traded_by_hand(desk), EntriesEnded).reason == "operator_takeover"
    said = only(desk.engine.handle(Operator(desk.now, desk.mono, OperatorAction.RESUME, "operator")), Alert)
    assert said.name == "EntriesNotResumed"
    assert only(wish(desk), Refused).reason == Guard.STOPPED


@pytest.mark.parametrize("first", ["operator", CRASH_LOOP])
@pytest.mark.parametrize("other", ["preflight", "calendar", "kill_file", "journal_failed", "model_broken"])
@pytest.mark.parametrize("restart", [False, True])
def test_a_reason_behind_the_shown_one_is_not_lifted_by_resume(
    make: Make, contract: Contract, session: Session, first: str, other: str, restart: bool
) -> None:
    """A no-go, a calendar nobody confirmed, a kill file: what a person stopped before them hides none."""
    desk = make()
    said = [Operator(desk.now, desk.mono, OperatorAction.STOP_ENTRIES, why) for why in (first, other)]
    if restart and other != "journal_failed":  # that one is found anew, with the disk
        kept, desk = said, Desk(contract, session, run=2)
        replay(desk.engine, kept, desk.mono)
        desk.up()
        desk.warm()
    else:
        for word in said:
            desk.engine.handle(word)
    assert desk.engine.entries_stopped == other, "the one that is harder to end"
    told = only(desk.engine.handle(Operator(desk.now, desk.mono, OperatorAction.RESUME, "operator")), Alert)
    assert (told.name, other in told.text) == ("EntriesNotResumed", True)
    assert only(wish(desk), Refused).reason == Guard.STOPPED


@pytest.mark.parametrize("reason", ["kill_file", "kill_signal"])
def test_the_kill_switch_ends_entries_holds_what_is_held_and_outlasts_a_restart(
    make: Make, contract: Contract, session: Session, reason: str
) -> None:
    desk = make()
    desk.enter()
    pulled = Operator(desk.now, desk.mono, OperatorAction.STOP_ENTRIES, reason)
    made = desk.engine.handle(pulled)
    assert [type(command) for command in made] == [Alert]  # no order: the stop goes on protecting
    assert desk.engine.desks[KEY].exit_reason is None
    again = Desk(contract, session, run=2)
    replay(again.engine, [pulled], again.mono)
    assert again.engine.entries_stopped == reason


def test_a_segment_that_is_shut_hears_no_wish(make: Make) -> None:
    desk = make()
    desk.engine.handle(SegmentStatus(desk.now, desk.mono, "NSE_FO", "NORMAL_CLOSE"))
    assert not wish(desk)
