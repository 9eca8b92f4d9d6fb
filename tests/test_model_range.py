"""A model that sees another kind of market than taught it is demoted: entries off, exits on, for the day."""

import pytest

from bot.core.commands import Alert, Command, EntriesEnded, ModifyOrder, Refused
from bot.core.events import OrderType
from bot.core.model_range import LOOKS, SLACK
from bot.core.risk import Guard
from bot.core.rules import Contract, Rules, StrategyRules
from bot.core.session import Session
from bot.run.recover import replay
from bot.storage import records
from tests.test_engine import Desk, none_of, only

TAUGHT = (6.0, 36.0)  # basis points


@pytest.fixture
def rules() -> Rules:
    return Rules(StrategyRules(taught_bps=TAUGHT))


@pytest.fixture
def desk(contract: Contract, session: Session, rules: Rules) -> Desk:
    made = Desk(contract, session, rules)
    made.up()
    made.warm()
    return made


def looked(desk: Desk, wildness_bps: float, looks: int = LOOKS) -> list[Command]:
    """So many seconds of a market that is as wild as that; the last look's commands."""
    out: list[Command] = []
    inner = next(iter(desk.engine.desks.values()))
    for number in range(looks):
        desk.tick()
        assert inner.forecast is not None
        sign = 1 if number % 2 else -1  # the filter is not what is tested here: its answer is put in place
        inner.forecast = inner.forecast._replace(rel_diff=sign * wildness_bps / 1e4)
        out = desk.heartbeat(0.0)
    return out


@pytest.mark.parametrize("wildness_bps", [0.2, TAUGHT[0] / SLACK * 0.99, TAUGHT[1] * SLACK * 1.01, 1e5])
def test_ten_minutes_of_another_market_demote_it_and_somebody_is_told(
    desk: Desk, wildness_bps: float
) -> None:
    none_of(looked(desk, wildness_bps, LOOKS - 1), Alert)
    assert not desk.engine.entries_stopped
    made = looked(desk, wildness_bps, 1)
    assert only(made, EntriesEnded).reason == "model_out_of_range"
    assert only(made, Alert).name == "ModelOutOfRange"
    assert only(desk.fall(), Refused).reason == Guard.STOPPED


@pytest.mark.parametrize("wildness_bps", [TAUGHT[0] / SLACK * 1.01, 6.0, 20.0, TAUGHT[1] * SLACK * 0.99])
def test_a_market_like_those_that_taught_it_does_not(desk: Desk, wildness_bps: float) -> None:
    none_of(looked(desk, wildness_bps, 2 * LOOKS), Alert)
    assert not desk.engine.entries_stopped


def test_one_jump_of_the_price_is_not_another_market(desk: Desk) -> None:
    looked(desk, 2_500.0, 30)  # a quarter, and half a minute until the filter is there again
    none_of(looked(desk, 20.0, LOOKS - 30), Alert)
    assert not desk.engine.entries_stopped


def test_what_is_held_is_still_sold_by_the_rule(desk: Desk) -> None:
    looked(desk, 0.2, LOOKS - 1)
    desk.enter()
    looked(desk, 0.2, 1)
    assert desk.engine.entries_stopped == "model_out_of_range"
    made: list[Command] = []
    for _ in range(30):
        made += desk.tick(desk.price + 20)  # rising, above the estimate
    changed = next(one for one in made if isinstance(one, ModifyOrder))
    assert changed.order_type == OrderType.LIMIT, "the stop is made into the exit"


def test_a_silent_feed_is_no_calm_market(desk: Desk) -> None:
    for _ in range(2 * LOOKS):
        desk.heartbeat()
    assert not desk.engine.entries_stopped


def test_a_model_that_does_not_say_what_taught_it_is_never_demoted(
    contract: Contract, session: Session
) -> None:
    desk = Desk(contract, session)
    desk.up()
    desk.warm()
    looked(desk, 1e5)
    assert not desk.engine.entries_stopped


def test_a_restart_does_not_promote_it(
    desk: Desk, contract: Contract, session: Session, rules: Rules
) -> None:
    ended = only(looked(desk, 0.2), EntriesEnded)
    kept = records.decode(*records.encode(ended))
    again = Desk(contract, session, rules, run=2)
    replay(again.engine, [kept], again.mono)
    again.up()
    again.warm()
    assert only(again.fall(), Refused).reason == Guard.STOPPED
