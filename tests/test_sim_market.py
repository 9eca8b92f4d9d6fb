"""The synthetic market looks like real ones (market.md §7), repeats itself, and holds nothing to earn."""

import json
from datetime import date, time
from itertools import pairwise
from math import log

import pytest
from typer.testing import CliRunner

from bot.__main__ import app
from bot.core.units import SECOND, ist_nanos
from bot.research.market_check import TARGETS, outside
from bot.sim.market import Shock, SyntheticMarket, statistics
from tests.compiled import plants

DAY = date(2026, 9, 16)
OPENS, CLOSES = ist_nanos(DAY, time(9, 15)), ist_nanos(DAY, time(15, 40))
KEY, TICK, LOT = "NSE_FO|51414", 5, 35


def _market(seed=1, *, closes=CLOSES, **more):
    return SyntheticMarket(KEY, tick=TICK, lot=LOT, seed=seed, opens_at=OPENS, closes_at=closes, **more)


@pytest.mark.parametrize("seed", [1, 2, 3, 2026])
def test_a_full_day_has_the_statistics_of_real_ones(seed):
    found = statistics(_market(seed))
    assert set(found) >= set(TARGETS)
    assert not outside(found)


def test_market_check_prints_the_statistics(tmp_path):
    told = tmp_path / "told.json"
    said = CliRunner().invoke(app, ["market", "--check", "--seeds", "7:8", "--json", str(told)])
    assert said.exit_code == 0, said.output
    assert "spread_bps_median" in said.output
    body = json.loads(told.read_text())
    assert body["outside"] == {"7": []}
    low, high = body["ranges"]["rms_bps"]
    assert low <= body["days"]["7"]["rms_bps"] <= high


@plants
def test_market_check_fails_for_a_day_unlike_real_ones(tmp_path, monkeypatch):
    told = tmp_path / "told.json"
    monkeypatch.setattr("bot.sim.market.SPREAD_BPS", 60.0)
    said = CliRunner().invoke(app, ["market", "--check", "--seeds", "7:8", "--json", str(told)])
    assert said.exit_code == 1
    assert "spread_bps_median" in json.loads(told.read_text())["outside"]["7"]


def test_market_wants_to_know_what_to_do_and_which_seeds():
    assert CliRunner().invoke(app, ["market"]).exit_code == 2
    said = CliRunner().invoke(app, ["market", "--check", "--seeds", "3"])
    assert said.exit_code == 2
    assert "FIRST:END" in said.output


def test_a_message_is_well_formed():
    """Times strictly increase; prices are ticks; the touch is open; sizes are lots; volume adds up."""
    moves = list(_market())
    assert all(one.at < two.at for one, two in pairwise(moves))
    session = [m for m in moves if m.at >= OPENS]
    assert OPENS < session[0].at < OPENS + 5 * SECOND
    assert CLOSES - 5 * SECOND < session[-1].at < CLOSES
    for move in session:
        assert 0 < move.bid < move.ask
        assert move.bid <= move.ltp <= move.ask
        assert move.ltp % TICK == move.bid % TICK == move.ask % TICK == 0
        assert min(move.bid_quantity, move.ask_quantity, move.ltq) >= LOT
        assert move.bid_quantity % LOT == move.ask_quantity % LOT == move.ltq % LOT == 0
        assert move.ltt <= move.at
    for one, two in pairwise(session):
        traded = two.ltt == two.at
        assert two.volume - one.volume == (two.ltq if traded else 0)
        assert traded or (two.ltp, two.ltt, two.bid, two.ask) == (one.ltp, one.ltt, one.bid, one.ask)


def test_before_the_open_a_few_messages_show_yesterdays_close_and_no_touch():
    """market.md §3: pre-open ticks from 09:00; the first price after 09:15 may be far away."""
    early = [m for m in _market() if m.at < OPENS]
    assert 10 <= len(early) <= 60
    assert early[0].at < OPENS - 14 * 60 * SECOND
    assert {(m.bid, m.ask, m.bid_quantity, m.ask_quantity, m.volume) for m in early} == {(0, 0, 0, 0, 0)}
    assert len({m.ltp for m in early}) == 1


def test_the_same_seed_is_the_same_day_another_seed_or_key_is_not():
    closes = OPENS + 300 * SECOND
    first = list(_market(5, closes=closes))
    market = _market(5, closes=closes)
    assert list(market) == list(market) == first
    assert list(_market(6, closes=closes)) != first
    other = SyntheticMarket("NSE_FO|2", tick=TICK, lot=LOT, seed=5, opens_at=OPENS, closes_at=closes)
    assert list(other) != first


def test_the_day_starts_where_it_is_told_or_between_250_and_480():
    closes = OPENS + 60 * SECOND

    def first(**more):
        return next(m.ltp for m in _market(closes=closes, **more) if m.at >= OPENS)

    assert abs(first(start_price=60_00) - 60_00) < 60_00 * 0.05
    assert all(245_00 < first(seed=seed) < 490_00 for seed in range(20))


def test_a_shock_slides_the_price_by_its_size_within_its_time():
    """A quarter of the price within the minute, give or take the noise of that minute."""
    slide = Shock(at=OPENS + 600 * SECOND, bps=-2500, seconds=60)
    falls = []
    for seed in range(8):
        moves = list(_market(seed, closes=OPENS + 720 * SECOND, start_price=300_00, shocks=[slide]))
        before = [m for m in moves if m.at <= slide.at][-1]
        after = next(m for m in moves if m.at > slide.at + 60 * SECOND)
        falls.append(log(after.ltp / before.ltp))
    assert sum(falls) / len(falls) == pytest.approx(log(0.75), abs=0.05)
    assert max(falls) < log(0.85)


def test_every_day_says_what_it_is():
    assert _market(9).watermark == {
        "synthetic": True,
        "instrument": KEY,
        "seed": 9,
        "edge": 0.0,
        "shocks": [],
    }
    assert _market(9).synthetic
    marked = _market(9, edge=0.3, shocks=[Shock(OPENS, -100.0)]).watermark
    assert marked["edge"] == 0.3
    assert marked["shocks"] == [{"at": OPENS, "bps": -100.0, "seconds": 60.0}]


def test_only_a_planted_edge_makes_the_mid_revert():
    """market.md §5, controls: martingale ticks carry nothing, a planted reversion of 0.3 shows as such."""
    closes = OPENS + 3 * 3600 * SECOND
    assert abs(statistics(_market(4, closes=closes))["mid_autocorrelation_1"]) < 0.03
    assert statistics(_market(4, closes=closes, edge=0.3))["mid_autocorrelation_1"] == pytest.approx(
        -0.24, abs=0.06
    )
