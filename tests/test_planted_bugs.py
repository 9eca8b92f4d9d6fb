"""Every bug planted on purpose is noticed by a simulated day; without a bug the same days are clean."""

import pytest

from bot.assemble.world import World
from tests.compiled import plants
from tests.planted_bugs import BUGS, DEATHS, LOST, PARTS, SHORT, STREAM, breaches


@plants
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_noticed(bug):
    assert breaches(bug, bug.seed)


@pytest.mark.parametrize("troubles", [LOST, DEATHS, PARTS, STREAM], ids=["lost", "deaths", "parts", "stream"])
def test_the_bot_as_it_is_lives_through_the_same_days(troubles):
    day = World(1, SHORT, troubles=troubles).run()
    assert not day.breaches
    assert day.marks["PlaceOrder ENTRY"]


def test_there_are_forty_and_each_has_a_name_of_its_own():
    assert len({bug.name for bug in BUGS}) == len(BUGS) >= 40
