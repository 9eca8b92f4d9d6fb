"""Each trouble of a simulated day does what its name says: a short day with nothing else in it."""

import os
import time

import pytest

from bot.assemble.world import Day, World
from bot.core.units import SECOND
from bot.simulate.troubles import Kind, Trouble
from tests.planted_bugs import SHORT


def day_with(
    *kinds: Kind, seconds: float = 8.0, amount: int = 12, every: float = 25.0, tell: bool = False
) -> Day:
    """These in turn, from the first trades to the flatten."""
    begin, end = SHORT.open_at + 70 * SECOND, SHORT.flatten_at - 20 * SECOND
    count = int((end - begin) / (every * SECOND)) if kinds else 0
    troubles = [
        Trouble(round(begin + n * every * SECOND), kinds[n % len(kinds)], seconds, amount)
        for n in range(count)
    ]
    day = World(1, SHORT, troubles=troubles, tell=tell).run()
    assert not day.breaches
    assert day.trades
    return day


@pytest.fixture(scope="module")
def calm() -> Day:
    return day_with()


def test_in_which_time_zone_the_machine_stands_is_nothing_to_the_bot(
    calm: Day, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, zones, tzset = (os.environ.get("TZ"), time.tzname), set(), time.tzset

    def noted() -> None:
        tzset()
        zones.add(time.tzname)

    monkeypatch.setattr(time, "tzset", noted)
    assert day_with(Kind.TIME_ZONE, every=24.0).digest == calm.digest
    assert len(zones) >= 5, "it did stand elsewhere"
    assert (os.environ.get("TZ"), time.tzname) == before, "and it is undone"


@pytest.mark.parametrize("kind", [Kind.FEED_NO_NUMBER, Kind.FEED_UNKNOWN])
def test_a_frame_nobody_can_use_changes_no_trade(calm: Day, kind: Kind) -> None:
    day = day_with(kind)
    assert day.troubles[kind] > 5
    assert day.trades == calm.trades
    assert {m: n for m, n in day.marks.items() if m.startswith(("PlaceOrder", "ModifyOrder"))} == {
        m: n for m, n in calm.marks.items() if m.startswith(("PlaceOrder", "ModifyOrder"))
    }


def test_a_request_that_was_lost_is_in_doubt_and_not_at_the_exchange() -> None:
    day = day_with(Kind.REQUEST_LOST, every=130.0, tell=True)
    unknown = [line for line in day.story if "bot hears SendOutcome" in line and "UNKNOWN" in line]
    placed = [line for line in unknown if "Act.PLACE" in line]
    assert placed
    told = "\n".join(line for line in day.story if "  exchange " in line)
    for line in placed:
        tag = line.split("tag='")[1].split("'")[0]
        assert f" {tag} " not in told


def test_a_denial_is_any_of_the_brokers_codes() -> None:
    day = day_with(Kind.DENIED, every=10.0, tell=True)
    heard = [line for line in day.story if "bot hears SendOutcome" in line and "Refused on command" in line]
    codes = {line.split("code='")[1].split("'")[0] for line in heard}
    assert len(codes) > 5
    assert day.marks["bot PLACE REFUSED"]


def test_a_damaged_journal_refuses_the_start_until_it_is_moved_away() -> None:
    day = day_with(Kind.DISK_DAMAGED, every=120.0)
    assert day.marks["start refused: damaged journal"] == day.troubles[Kind.DISK_DAMAGED] > 1


def test_a_band_refuses_what_is_outside_of_it() -> None:
    assert day_with(Kind.BAND, seconds=20.0).marks["exchange SELL rejected"]


def test_where_nobody_bids_nothing_is_traded() -> None:
    day = day_with(Kind.NO_QUOTES, seconds=20.0, every=60.0, tell=True)
    empty, filled = 0.0, []
    for line in day.story:
        at = _seconds(line)
        empty = at if "TROUBLE no_quotes" in line else empty
        # A second for the message before the first without quotes, and for what is on its way.
        if "  exchange " in line and " complete " in line and empty + 1 < at < empty + 20:
            filled.append(line)
    assert not filled
    assert day.troubles[Kind.NO_QUOTES] > 5


def test_a_slow_exchange_answers_late() -> None:
    def slowest(day: Day) -> float:
        """From the call to the exchange's word, of entries."""
        began: dict[str, float] = {}
        took = []
        for line in day.story:
            words = line.split()
            if "  exchange " not in line or " BUY " not in line:
                continue
            if "put order req received" in line:
                began[words[2]] = _seconds(line)
            elif " complete " in line and words[2] in began:
                took.append(_seconds(line) - began[words[2]])
        return max(took)

    slow = day_with(Kind.SLOW_EXCHANGE, seconds=50.0, amount=1500, every=60.0, tell=True)
    assert slowest(slow) > slowest(day_with(tell=True)) + 0.3


def test_a_drifting_clock_stamps_the_orders(calm: Day) -> None:
    assert day_with(Kind.CLOCK_DRIFT, seconds=300.0, amount=200, every=400.0).digest != calm.digest


def test_what_all_comes_at_once_is_old_and_no_signal() -> None:
    """The judge holds every entry to the age of its tick; here such ticks do come."""
    day = day_with(Kind.NET_BURST, seconds=4.5, every=12.0)
    assert day.marks["tick older than 2 s"] > 20
    assert day.marks["guard behind"]


def test_the_rest_of_the_catalogue_is_lived_through(calm: Day) -> None:
    day = day_with(Kind.REPLY_LOST, Kind.BOOK_LACKS, seconds=5.0, every=30.0)
    alone = day_with(Kind.REPLY_LOST, seconds=5.0, every=60.0)
    assert day.digest != alone.digest
    assert day_with(Kind.SQUARE_OFF, every=60.0).digest != calm.digest
    assert day_with(Kind.ARCHIVE_TORN, every=400.0).troubles[Kind.ARCHIVE_TORN] == 1


def _seconds(line: str) -> float:
    """Of the day, from the beginning of a line of the story."""
    hours, minutes, seconds = line.split(" ", 1)[0].split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
