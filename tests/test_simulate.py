"""Simulated days: the same seed is the same day, nothing is violated, and a bot that is wrong is caught."""

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter

import pytest
from rich.console import Console

from benchmarks import reliability
from bot.assemble.simulations import live, simulate
from bot.assemble.world import FOCUS, World
from bot.core.units import SECOND
from bot.simulate.network import Incarnation
from bot.simulate.troubles import AWAY, Kind, Trouble, away, draw, longest_well


def test_the_same_seed_is_the_same_clean_day_whatever_the_hash_seed():
    words = "from bot.assemble.world import World; print(World(1).run().digest)"
    other = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    there = subprocess.run(
        [sys.executable, "-c", words],
        env=os.environ | {"PYTHONHASHSEED": other},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    day = World(1).run()
    assert there.stdout.strip() == str(day.digest)
    assert not day.breaches
    assert sum(day.troubles.values()) > 10
    assert day.trades


# Seed 1 is above. The last two would cost `make test` a minute: they are lived among the components' tests,
# and in `make soak`.
LONG = pytest.mark.component


@pytest.mark.parametrize("seed", [2, pytest.param(3, marks=LONG), pytest.param(4, marks=LONG)])
def test_a_focus_day_under_faults_violates_nothing(seed):
    day = World(seed).run()
    assert not day.breaches
    assert sum(day.troubles.values()) > 10
    assert day.trades


def test_a_full_disk_is_said_once_and_not_for_ever():
    """Found by the simulator: the word that the journal failed wanted a record in the journal that failed."""
    at = FOCUS.open_at + 240 * SECOND
    day = World(7, troubles=[Trouble(at, Kind.DISK_FULL, 30.0, 0)]).run()
    assert not day.breaches
    assert day.marks["event Operator"] == 1


def test_a_timeout_taken_for_a_refusal_is_caught(monkeypatch):
    """The first implementation's worst: it did not know, took it for a no, and asked again."""
    from bot.core.events import Outcome
    from bot.upstox import broker

    real = broker.SendOutcome

    def taken_for_a_no(*words, **named):
        said = real(*words, **named)
        return said._replace(outcome=Outcome.REFUSED) if said.outcome is Outcome.UNKNOWN else said

    monkeypatch.setattr(broker, "SendOutcome", taken_for_a_no)
    troubles = [
        Trouble(FOCUS.open_at + n * 40 * SECOND, kind, 20.0, 0)
        for n, kind in enumerate([Kind.REPLY_LOST, Kind.REPLY_SLOW, Kind.ACCEPTED_LATE] * 15, 5)
    ]
    assert any(World(seed, troubles=troubles).run().breaches for seed in range(1, 4))


@pytest.mark.parametrize("seed", [146, 951, 1422, 3978])
def test_days_that_a_long_range_found(seed):
    """A start after the day that died; a SIGTERM with an entry in doubt; two bots that cancelled each other's
    stops for ever; a volume that was lost but for the day's CSV.
    """
    assert World(seed).run().breaches == ()


def all_but_the_eighth(seed, focus):
    if seed == 8:
        raise asyncio.CancelledError
    return live(seed, focus)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_day_that_cannot_be_lived_is_told_with_its_seed_and_the_others_go_on(jobs, tmp_path, monkeypatch):
    """In a process of its own, too; and what is raised may be no Exception."""
    monkeypatch.setattr("bot.assemble.simulations.live", all_but_the_eighth)
    out = tmp_path / "days.json"
    code = simulate(7, 10, focus=True, jobs=jobs, trace=False, json_out=out, console=Console(quiet=True))
    found = json.loads(out.read_text())
    assert (code, found["days"]) == (1, 3)
    (violation,) = found["violations"]
    assert violation["seed"] == 8
    assert violation["command"] == "bot simulate --seeds 8:9 --focus --trace"


def test_the_dead_have_no_effects():
    done = []
    life = Incarnation(1)
    life.doom(2, after=False)
    for number in range(4):
        life.effect(lambda number=number: done.append(number))
    assert done == [0]
    assert not life.alive


def test_troubles_of_a_seed_end_before_the_close_and_every_kind_comes_in_some_day():
    kinds = Counter(trouble.kind for seed in range(200) for trouble in draw(seed, FOCUS))
    assert set(kinds) == set(Kind)
    ends = [one.at + one.seconds * SECOND for seed in range(50) for one in draw(seed, FOCUS)]
    assert max(ends) <= FOCUS.close_at - 179 * SECOND


def test_spans_in_which_the_broker_is_away_are_joined():
    at = FOCUS.flatten_at
    troubles = (Trouble(at, Kind.CALLS_503, 5, 0), Trouble(at + 6 * SECOND, Kind.NET_RESET, 0, 0))
    (span,) = away(troubles)
    assert span == (at, at + round((5 + AWAY[Kind.CALLS_503]) * SECOND))
    assert longest_well([span], at, at + 60 * SECOND) == 47 * SECOND


def test_a_range_lived_in_parts_is_one_row_of_the_figures() -> None:
    def part(first: int, last: int, focus: str = " --focus") -> dict[str, object]:
        return {
            "command": f"bot simulate --seeds {first}:{last}{focus}", "seeds": [first, last],
            "days": last - first, "orders": 10, "crashes": 2, "violations": [],
            "faults": {"kill": 1, "halt": 0}, "marks": {f"mark {first}": 1},
        }  # fmt: skip

    (whole, full) = reliability.joined([part(5, 9), part(0, 5), part(0, 5, "")])
    assert (
        reliability.row(whole) == "| `bot simulate --seeds 0:9 --focus` | 9 | 20 | 2 | 1 of 2 | 4 | 2 | 0 |"
    )
    assert full["days"] == 5
    assert [run["seeds"] for run in reliability.joined([part(0, 5), part(6, 9)])] == [[0, 5], [6, 9]]
