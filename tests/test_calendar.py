"""The calendar: our reviewed days, what they make of a day, the broker's word, and a new year's list."""

import contextlib
import csv
from dataclasses import replace
from datetime import date, datetime, time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.assemble.calendar import accept, ask_for_year
from bot.core.calendar import (
    HEADER,
    Calendar,
    CalendarRefused,
    Entry,
    Hours,
    Kind,
    Year,
    parse,
    written,
)
from bot.core.calendar_update import Notice, broker_day, lines, propose, year_to_fetch
from bot.core.session import fo_close_on
from bot.core.trading_day import BrokerDay, Deadlines, NoSession, Opening, Why, session_for
from bot.core.units import IST, ist, ist_nanos
from bot.storage import calendar_file
from bot.twin.hours import Hours as TwinHours
from bot.upstox import wire_calendar
from bot.upstox.auth import Token
from bot.upstox.calendar import ask_broker
from bot.upstox.rest import Hosts, UpstoxRest
from bot.upstox.wire_answers import ReadFailed
from bot.upstox.wire_orders import WireError
from tests.loopback import CountingClock, error, serving, success

OURS = calendar_file.packaged()
REGULAR, HOLIDAY, MUHURAT, BUDGET = (
    date(2026, 9, 16),
    date(2026, 11, 10),
    date(2025, 10, 21),
    date(2026, 2, 1),
)
UNSURE = date(2026, 11, 8)  # a Muhurat whose times no circular has told us
HALF = date(2026, 9, 18)
WISHES = Deadlines()
HEAD = ",".join(HEADER)


def clocks(opening) -> tuple[str, ...]:
    """Open, entry cut-off, flatten, close: wall times."""
    assert isinstance(opening, Opening), opening
    session = opening.session
    instants = (session.open_at, session.entry_cutoff_at, session.flatten_at, session.close_at)
    assert {ist(at).date() for at in instants} == {session.day}
    return tuple(f"{ist(at):%H:%M}" for at in instants)


def day_of(day, calendar=OURS, deadlines=WISHES, **asked):
    return session_for(day, calendar, deadlines, exchanges=asked.pop("exchanges", ("NSE",)), **asked)


def hours(opens: str, closes: str) -> Hours:
    return Hours(time.fromisoformat(opens), time.fromisoformat(closes))


def told(day, nse: Hours | None, bse: Hours | str | None = "same", conflict: str = "") -> BrokerDay:
    return BrokerDay(day, {"NSE": nse, "BSE": nse if bse == "same" else bse}, conflict)


def with_half_day() -> Calendar:
    half = Entry(HALF, Kind.SHORT, hours("09:15", "13:00"), "half a day", "a test", "high")
    return OURS.overlaid(Calendar({}, {HALF: half}))


# ---- our own days -----


def test_the_packaged_file_has_the_days_and_times_of_the_reference_table(recorded):
    """Dates are facts: the same closed days and the same special sessions, to the minute."""
    with (recorded / "reference" / "nse_calendar_2025_2026.csv").open() as file:
        reference = {
            date.fromisoformat(row["date"]): hours(row["open_ist"], row["close_ist"])
            if row["open_ist"]
            else None
            for row in csv.DictReader(file)
        }
    assert {day: entry.hours for day, entry in OURS.entries.items() if day.year < 2027} == reference


def test_every_packaged_row_makes_a_difference_and_names_its_source():
    for day, entry in OURS.entries.items():
        shut_anyway = day.weekday() >= 5
        assert shut_anyway == (entry.kind is Kind.SPECIAL) or day == MUHURAT, day
        assert entry.source
        assert entry.label
    assert {entry.confidence for entry in OURS.entries.values() if entry.day.year < 2027} <= {"high", "low"}
    assert OURS.entries[UNSURE].confidence == "low"


def test_2025_and_2026_are_covered_and_2027_is_not():
    assert set(OURS.years) == {2025, 2026}
    assert next(entry.label for day, entry in OURS.entries.items() if day.year == 2027) == "Republic Day"


@pytest.mark.parametrize("day", [date(2024, 12, 31), date(2027, 1, 1), date(2027, 1, 2), date(2027, 1, 26)])
def test_a_year_nobody_covers_has_no_session_whatever_the_day_or_the_broker(day):
    broker = told(day, hours("09:15", "15:40"))
    for asked in ({}, {"special": True}, {"broker": broker}):
        answer = day_of(day, **asked)
        assert isinstance(answer, NoSession)
        assert answer.why is Why.NOT_COVERED
        assert answer.why.wants_a_person
        assert f"{day.year} is not covered" in answer.reason
        assert "bot calendar fetch" in answer.reason


def test_the_missing_year_is_announced_from_the_first_of_december_on_every_day():
    assert OURS.early_warning(date(2026, 11, 30)) == ""
    assert OURS.early_warning(date(2025, 12, 31)) == ""
    for day in (date(2026, 12, 1), date(2026, 12, 5), date(2026, 12, 25)):  # open, weekend, holiday
        assert any(
            "2027 is not covered" in alert and "bot calendar fetch" in alert for alert in day_of(day).alerts
        )


# ---- days and deadlines -----


def test_a_regular_day_closes_at_half_past_three_and_since_august_2026_at_twenty_to_four():
    assert clocks(day_of(date(2026, 7, 31))) == ("09:15", "15:10", "15:29", "15:30")
    assert clocks(day_of(date(2026, 8, 3))) == ("09:15", "15:10", "15:29", "15:40")
    assert "regular hours, 09:15–15:40" in day_of(REGULAR).title


def test_every_closed_day_says_which_holiday_it_is_and_every_weekend_that_it_is_one():
    for day, entry in OURS.entries.items():
        if entry.kind is Kind.CLOSED and day.year < 2027:
            answer = day_of(day)
            assert (answer.why, answer.why.wants_a_person) == (Why.HOLIDAY, False)
            assert entry.label in answer.reason
    saturday = day_of(date(2026, 9, 19))
    assert saturday.why is Why.WEEKEND
    assert "Saturday 19 September 2026" in saturday.reason


def test_2025_has_its_261_weekdays_less_14_and_the_two_special_sessions_when_asked():
    year = [date(2025, 1, 1) + timedelta(days=number) for number in range(365)]
    assert sum(isinstance(day_of(day, special=True), Opening) for day in year) == 249
    assert sum(isinstance(day_of(day), Opening) for day in year) == 247


def test_special_sessions_are_left_alone_unless_asked():
    for day in (MUHURAT, BUDGET, UNSURE, date(2025, 2, 1)):
        answer = day_of(day)
        assert (answer.why, answer.why.wants_a_person) == (Why.SPECIAL, False)
        assert "unless asked" in answer.reason


def test_in_a_special_session_every_deadline_is_at_the_latest_five_minutes_before_the_close():
    assert clocks(day_of(BUDGET, special=True)) == ("09:15", "15:10", "15:25", "15:30")
    assert clocks(day_of(MUHURAT, special=True)) == ("13:45", "14:40", "14:40", "14:45")
    early = Deadlines(flatten=time(14, 20), entry_cutoff=time(14, 10))
    assert clocks(day_of(MUHURAT, deadlines=early, special=True)) == ("13:45", "14:10", "14:20", "14:45")


def test_deadlines_before_an_evening_session_become_five_minutes_before_its_close():
    answer = day_of(UNSURE, special=True, broker=told(UNSURE, hours("18:00", "19:00")))
    assert clocks(answer) == ("18:00", "18:55", "18:55", "19:00")


def test_times_we_are_not_sure_of_are_the_brokers_or_there_are_no_entries():
    alone = day_of(UNSURE, special=True)
    assert not alone.entries_allowed
    assert clocks(alone)[0] == "18:00"
    confirmed = day_of(UNSURE, special=True, broker=told(UNSURE, hours("18:15", "19:15")))
    assert confirmed.entries_allowed
    assert clocks(confirmed)[0] == "18:15"
    assert confirmed.alerts == ()


def test_a_half_day_ends_five_minutes_before_its_close_without_being_asked():
    assert clocks(day_of(HALF, with_half_day())) == ("09:15", "12:55", "12:55", "13:00")


def test_on_the_day_of_expiry_entries_end_at_two_and_everything_is_sold_by_ten_past_three():
    assert clocks(day_of(REGULAR, expires_today=True)) == ("09:15", "14:00", "15:10", "15:40")
    assert clocks(day_of(HALF, with_half_day(), expires_today=True)) == ("09:15", "12:55", "12:55", "13:00")


def test_deadlines_that_leave_no_time_are_no_session_and_say_so():
    late = Deadlines(opens=time(13, 30))
    answer = day_of(HALF, with_half_day(), late)
    assert (answer.why, answer.why.wants_a_person) == (Why.NO_TIME, True)
    assert "[session]" in answer.reason


# ---- the broker's word -----


def test_agreement_is_silent_and_not_being_told_is_an_alert():
    agreed = day_of(REGULAR, broker=told(REGULAR, hours("09:15", "15:40")))
    assert (agreed.entries_allowed, agreed.alerts) == (True, ())
    alone = day_of(REGULAR)
    assert alone.entries_allowed
    assert "not confirmed" in alone.alerts[0]
    assert day_of(HOLIDAY, broker=told(HOLIDAY, None)).alerts == ()


@pytest.mark.parametrize(
    ("broker", "words"),
    [
        (told(REGULAR, None), "the broker says NSE is shut, our calendar says 09:15–15:40"),
        (told(REGULAR, hours("09:15", "15:30")), "the broker says NSE 09:15–15:30"),
        (told(REGULAR, hours("09:15", "15:45")), "the broker says NSE 09:15–15:45"),
        (told(REGULAR, hours("09:30", "15:40")), "09:30"),
        (told(REGULAR, hours("08:59", "15:40")), "08:59"),
        (told(REGULAR, hours("09:15", "15:40"), conflict="it says both"), "it says both"),
        (BrokerDay(REGULAR, {}), "says nothing about NSE"),
    ],
)
def test_where_the_broker_differs_there_are_no_entries_and_an_alert_but_a_session_to_look_after(
    broker, words
):
    answer = day_of(REGULAR, broker=broker)
    assert isinstance(answer, Opening)
    assert not answer.entries_allowed
    assert len(answer.alerts) == 1
    assert words in answer.alerts[0]
    assert "No entries" in answer.alerts[0]


def test_a_pre_open_session_is_no_difference():
    answer = day_of(REGULAR, broker=told(REGULAR, hours("09:00", "15:40")))
    assert (answer.entries_allowed, answer.alerts) == (True, ())
    assert clocks(answer)[0] == "09:15"


def test_with_an_earlier_close_by_the_broker_positions_are_closed_before_it():
    answer = day_of(REGULAR, broker=told(REGULAR, hours("09:15", "13:00")))
    assert clocks(answer) == ("09:15", "12:55", "12:55", "13:00")


def test_only_the_exchanges_we_trade_on_count():
    broker = told(REGULAR, hours("09:15", "15:40"), bse=None)
    assert day_of(REGULAR, broker=broker).entries_allowed
    assert not day_of(REGULAR, broker=broker, exchanges=("NSE", "BSE")).entries_allowed


def test_a_broker_that_is_open_on_our_holiday_is_an_alert_and_no_session():
    for day in (HOLIDAY, date(2026, 9, 19)):
        answer = day_of(day, broker=told(day, hours("09:15", "15:40")))
        assert isinstance(answer, NoSession)
        assert "our calendar says shut" in answer.alerts[0]


WALL = st.times(max_value=time(15, 39)).map(lambda at: at.replace(microsecond=0, tzinfo=None))
SPANS = st.tuples(WALL, st.times().map(lambda at: at.replace(microsecond=0, second=0))).filter(
    lambda s: s[0] < s[1]
)
BROKERS = st.none() | st.just("shut") | SPANS.map(lambda span: Hours(*span))


@given(
    day=st.dates(date(2025, 1, 1), date(2026, 12, 31))
    | st.sampled_from([MUHURAT, BUDGET, UNSURE, HALF, HOLIDAY]),
    walls=st.tuples(WALL, WALL, WALL, WALL, WALL),
    special=st.booleans(),
    expires_today=st.booleans(),
    word=BROKERS,
)
def test_whatever_is_set_and_said_the_deadlines_are_ordered_and_within_the_hours(
    day, walls, special, expires_today, word
):
    calendar = with_half_day()
    opens, cutoff, flatten = sorted(walls[:3])
    wishes = Deadlines(opens, cutoff, flatten, *sorted(walls[3:]))
    broker = None if word is None else told(day, None if word == "shut" else word)
    answer = day_of(day, calendar, wishes, special=special, expires_today=expires_today, broker=broker)
    listed = calendar.hours_on(day)
    if isinstance(answer, NoSession):
        # With the default deadlines there is time on each day that has a session we may trade.
        plain = day_of(day, calendar, special=special, broker=told(day, listed))
        assert isinstance(plain, NoSession) or answer.why is Why.NO_TIME
        return
    session = answer.session  # its own constructor asserts the order
    entry = calendar.entries.get(day)
    if entry is None or entry.confidence != "low":
        assert session.open_at >= ist_nanos(day, listed.opens)
        assert session.close_at <= ist_nanos(day, listed.closes)
    if entry is not None and entry.hours:
        assert special or entry.kind is Kind.SHORT
        assert session.close_at - session.flatten_at >= 5 * 60 * 10**9
    if isinstance(word, Hours) and session.close_at > ist_nanos(day, word.closes):
        assert not answer.entries_allowed
    if word == "shut":
        assert not answer.entries_allowed
    if not answer.entries_allowed:
        assert answer.alerts
    if expires_today and not (entry and entry.kind is Kind.SPECIAL):
        assert session.flatten_at <= ist_nanos(day, max(wishes.expiry_day_flatten, time(9, 15)))


# ---- the file -----


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("closed,2026-13-01,,,a,b,high", "date must be YYYY-MM-DD"),
        ("closed,2026-01-05,09:15,15:30,a,b,high", "no times of its own"),
        ("special,2026-01-04,,,a,b,high", "must be HH:MM"),
        ("special,2026-01-04,0915Z,15:30,a,b,high", "must be HH:MM"),
        ("special,2026-01-04,15:30,09:15,a,b,high", "at least 15 minutes"),
        ("special,2026-01-04,09:15,09:25,a,b,high", "at least 15 minutes"),
        ("holiday,2026-01-05,,,a,b,high", "kind must be covers, closed, special, short, regular"),
        ("closed,2026-01-05,,,,b,high", "label and source"),
        ("closed,2026-01-05,,,a,,high", "label and source"),
        ("closed,2026-01-05,,,a,b,certain", "confidence must be one of"),
        ("closed,2026-01-05,,,a,b", "7 columns are wanted, 6 found"),
        ("covers,26,,,a,b,high", "covers wants a year"),
        ("covers,2026,09:15,,a,b,high", "covers wants a year"),
        ('closed,2026-01-05,,,"a,b,high', "is no CSV"),
        ("closed,2026-01-06,,,again,b,high", "2026-01-06 stands twice"),
    ],
)
def test_each_slip_in_the_file_is_named_with_its_line(row, words):
    text = f"# ours\n{HEAD}\nclosed,2026-01-06,,,a,b,high\n{row}\n"
    with pytest.raises(CalendarRefused) as refused:
        parse(text, "calendar.csv")
    assert len(refused.value.problems) == 1
    assert refused.value.problems[0].startswith("calendar.csv:4: ")
    assert words in refused.value.problems[0]


def test_all_slips_are_listed_at_once_and_a_file_without_its_header_is_refused():
    with pytest.raises(CalendarRefused) as refused:
        parse(f"{HEAD}\nclosed,x,,,a,b,high\nshort,2026-01-05,a,b,a,b,high\n", "f")
    assert len(refused.value.problems) == 2
    for text in ("", "# nothing\n", "date,kind\n", "<html>"):
        with pytest.raises(CalendarRefused, match="first line"):
            parse(text, "f")


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1).filter(str.strip)
ROWS = st.builds(
    lambda day, kind, span, label, source, sure: Entry(
        day, kind, Hours(*span) if kind in {Kind.SPECIAL, Kind.SHORT} else None, label, source, sure
    ),
    st.dates(date(2000, 1, 1), date(2099, 12, 31)),
    st.sampled_from(Kind),
    st.tuples(st.integers(0, 11), st.integers(12, 23)).map(lambda h: (time(h[0], 7), time(h[1], 59))),
    WORDS,
    WORDS,
    st.sampled_from(["high", "medium", "low"]),
)


@given(rows=st.lists(ROWS, max_size=5), years=st.sets(st.integers(2000, 2099), max_size=3), words=WORDS)
def test_what_is_written_is_read_back(rows, years, words):
    calendar = Calendar(
        {year: Year(year, words, "a circular", "high") for year in years}, {row.day: row for row in rows}
    )
    assert parse(written(calendar, ["a remark", words]), "f") == calendar


def test_the_owners_file_lies_over_ours(tmp_path):
    """A covered year is the owner's alone; single days replace ours; `regular` takes a closure back."""
    assert calendar_file.load(tmp_path) == OURS
    text = (
        f"{HEAD}\ncovers,2027,,,me,the circular,high\nclosed,2027-01-26,,,Republic Day,the circular,high\n"
        "regular,2026-11-24,,,open after all,the circular,high\n"
        "closed,2026-09-16,,,a new one,the circular,high\n"
    )
    (tmp_path / "calendar.csv").write_text(text)
    calendar = calendar_file.load(tmp_path)
    assert isinstance(
        day_of(date(2027, 3, 26), calendar), Opening
    )  # our unconfirmed row is gone with its year
    assert day_of(date(2027, 1, 26), calendar).why is Why.HOLIDAY
    assert clocks(day_of(date(2026, 11, 24), calendar))[3] == "15:40"
    assert day_of(REGULAR, calendar).why is Why.HOLIDAY
    assert day_of(HOLIDAY, calendar).why is Why.HOLIDAY


def test_an_unreadable_file_of_the_owner_is_refused_by_name_and_never_overwritten(tmp_path):
    path = tmp_path / "calendar.csv"
    for content in (b"\xff\xfe", b"not a calendar"):
        path.write_bytes(content)
        with pytest.raises(CalendarRefused, match=str(path)):
            calendar_file.load(tmp_path)
        with pytest.raises(CalendarRefused, match=str(path)):
            calendar_file.save(tmp_path, OURS)
        assert path.read_bytes() == content


def test_trading_days_up_to_an_expiry_are_counted_around_holidays_and_weekends():
    friday, tuesday = date(2026, 11, 6), date(2026, 11, 17)
    assert OURS.trading_days(friday, date(2026, 11, 9)) == 2  # Sunday's Muhurat and Monday
    assert OURS.trading_days(friday, tuesday) == 7  # not on the 10th
    assert OURS.trading_days(friday, friday) == 0
    assert OURS.trading_days(date(2026, 12, 31), date(2027, 1, 4)) == 2  # nobody covers it: weekdays count


# ---- the broker's dialect -----


def ms(day: date, at: str) -> int:
    return int(datetime.combine(day, time.fromisoformat(at), IST).timestamp() * 1000)


def span(exchange: str, day: date, opens="09:15", closes="15:30") -> dict:
    return {"exchange": exchange, "start_time": ms(day, opens), "end_time": ms(day, closes)}


def row(day, label="Holi", kind="TRADING_HOLIDAY", shut=("NSE", "NFO", "BSE", "BFO"), spans=()) -> dict:
    return {
        "date": day.isoformat(),
        "description": label,
        "holiday_type": kind,
        "closed_exchanges": list(shut),
        "open_exchanges": list(spans),
    }


def test_timings_are_those_of_the_derivatives_and_nothing_listed_is_shut():
    rows = [
        span("NFO", REGULAR, closes="15:40"),
        span("BSE", REGULAR),
        span("MCX", REGULAR, "09:00", "23:30"),
    ]
    assert wire_calendar.timings(rows, REGULAR) == {"NSE": hours("09:15", "15:40")}
    assert wire_calendar.timings([], REGULAR) == {}


def test_of_a_day_in_two_parts_the_first_counts():
    rows = [span("NFO", BUDGET, "11:30", "12:30"), span("NFO", BUDGET, "09:15", "10:00")]
    assert wire_calendar.timings(rows, BUDGET) == {"NSE": hours("09:15", "10:00")}


def test_the_twins_timings_say_what_our_calendar_says():
    for day in (REGULAR, date(2026, 7, 31)):
        opens, closes = ist_nanos(day, time(9, 15)), ist_nanos(day, fo_close_on(day))
        said = wire_calendar.timings(TwinHours(opens, closes).timings(day), day)
        answer = day_of(day, broker=broker_day(day, said), exchanges=("NSE", "BSE"))
        assert (answer.entries_allowed, answer.alerts) == (True, ())


def test_a_holiday_is_what_the_exchanges_do_and_not_what_the_row_is_called():
    """The broker's documentation shows a TRADING_HOLIDAY on which all exchanges trade."""
    day = date(2026, 1, 1)
    everything = wire_calendar.holidays([row(day, shut=(), spans=[span("NFO", day), span("BFO", day)])])
    assert everything[0].shut == frozenset()
    assert set(everything[0].hours) == {"NSE", "BSE"}
    settlement = wire_calendar.holidays([row(day, kind="SETTLEMENT_HOLIDAY", shut=("NFO", "BFO"))])
    assert (settlement[0].shut, settlement[0].hours) == (frozenset(), {})
    closed = wire_calendar.holidays([row(HOLIDAY, spans=[span("MCX", HOLIDAY, "17:00", "23:30")])])
    assert (closed[0].shut, closed[0].hours, closed[0].label) == (frozenset({"NSE", "BSE"}), {}, "Holi")
    currency = wire_calendar.holidays([row(day, shut=("CDS", "BCD"))])
    assert currency[0].shut == frozenset()


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        "[]",
        [None],
        [{}],
        [{"date": "26-01-2026"}],
        [{"date": 5}],
        [{"date": "2026-01-26", "closed_exchanges": "NFO"}],
        [{"date": "2026-01-26", "open_exchanges": [{"exchange": "NFO"}]}],
        [row(REGULAR, spans=[span("NFO", HOLIDAY)])],
        [row(REGULAR, spans=[span("NFO", REGULAR, "15:30", "09:15")])],
        [row(REGULAR, spans=[{"exchange": "NFO", "start_time": 1 << 70, "end_time": True}])],
    ],
)
def test_a_garbled_list_is_an_error_and_never_a_list_with_holes(data):
    with pytest.raises(WireError):
        wire_calendar.holidays(data)


def test_timings_of_another_day_prove_nothing():
    with pytest.raises(WireError, match="another day"):
        wire_calendar.timings([span("NFO", HOLIDAY)], REGULAR)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from([*row(REGULAR), *span("NFO", REGULAR)]), inner)
        ),
        max_leaves=8,
    )
)
@settings(max_examples=50)
def test_whatever_json_comes_it_decodes_or_is_a_wire_error(data):
    for decode in (wire_calendar.holidays, lambda value: wire_calendar.timings(value, REGULAR)):
        with contextlib.suppress(WireError):
            decode(data)


def test_the_brokers_two_answers_are_held_against_each_other():
    open_all = {"NSE": hours("09:15", "15:40"), "BSE": hours("09:15", "15:40")}
    both_shut = Notice(REGULAR, "x", frozenset({"NSE", "BSE"}), {})
    assert broker_day(REGULAR, open_all).conflict == ""
    assert broker_day(REGULAR, open_all, [both_shut._replace(day=HOLIDAY)]).conflict == ""
    assert "its holiday list has it shut" in broker_day(REGULAR, open_all, [both_shut]).conflict
    evening = Notice(REGULAR, "x", frozenset(), {"NSE": hours("18:00", "19:00")})
    assert "open at 18:00–19:00" in broker_day(REGULAR, open_all, [evening]).conflict
    assert broker_day(HOLIDAY, {}, [both_shut._replace(day=HOLIDAY)]) == told(HOLIDAY, None)


# ---- asking the broker -----


def rest_at(server) -> UpstoxRest:
    return UpstoxRest(
        CountingClock(),
        Token("a-token"),
        Hosts(server.base, server.base),
        total_seconds=2.0,
        connect_seconds=1.8,
    )


async def test_the_days_hours_are_asked_for_by_date_and_confirm_the_session():
    async with serving() as server:
        server.on("/v2/market/timings/2026-09-16", success([span("NFO", REGULAR, closes="15:40")]))
        server.on("/v2/market/holidays", success([row(HOLIDAY)]))
        rest = rest_at(server)
        broker, problem = await ask_broker(rest, REGULAR)
        await rest.aclose()
    assert problem == ""
    assert day_of(REGULAR, broker=broker).entries_allowed
    assert {sent.path for sent in server.sent} == {"/v2/market/timings/2026-09-16", "/v2/market/holidays"}


async def test_without_timings_there_is_no_word_and_without_the_list_the_timings_stand_alone():
    async with serving() as server:
        rest = rest_at(server)
        server.on("/v2/market/timings/2026-09-16", success([{"exchange": "NFO"}]))
        nothing, problem = await ask_broker(rest, REGULAR)
        assert nothing is None
        assert "garbled" in problem
        server.on("/v2/market/timings/2026-09-16", success([]))
        server.on("/v2/market/holidays", error(401, "UDAPI100050", "Invalid token"))
        shut, problem = await ask_broker(rest, REGULAR)
        await rest.aclose()
    assert shut == told(REGULAR, None)
    assert "holidays: auth (HTTP 401 UDAPI100050)" in problem


# ---- a new year -----


def listed_as(calendar: Calendar, year: int) -> list[dict]:
    """`year` of our calendar as the broker would list it."""
    rows = []
    for day, entry in calendar.entries.items():
        if day.year == year:
            spans = (
                [
                    span(name, day, f"{entry.hours.opens:%H:%M}", f"{entry.hours.closes:%H:%M}")
                    for name in ("NFO", "BFO")
                ]
                if entry.hours
                else []
            )
            rows.append(row(day, entry.label, shut=() if spans else ("NFO", "BFO"), spans=spans))
    return rows


def test_a_list_that_agrees_changes_nothing():
    for year in (2025, 2026):
        proposal = propose(OURS, wire_calendar.holidays(listed_as(OURS, year)), year, REGULAR)
        assert (proposal.changes, proposal.problems, proposal.doubts) == ((), (), ())
        assert lines(proposal) == [f"{year}: the broker's list and our calendar say the same"]


def test_what_is_new_gone_or_other_is_shown_day_by_day():
    rows = [one for one in listed_as(OURS, 2026) if one["date"] != "2026-12-25"]
    rows = [one for one in rows if one["date"] != "2026-11-08"]
    rows.append(row(UNSURE, "M.", "SPECIAL_TIMING", (), [span("NFO", UNSURE, "18:15", "19:15")]))
    rows.append(row(date(2026, 8, 28), "Parsi New Year"))
    rows.append(row(date(2026, 2, 19), "banks only", "SETTLEMENT_HOLIDAY", ()))
    rows.append(row(date(2026, 8, 15), "a Saturday"))
    proposal = propose(OURS, wire_calendar.holidays(rows), 2026, REGULAR)
    assert not proposal.problems
    assert lines(proposal) == [
        "+ Fri 2026-08-28  closed Parsi New Year",
        "~ Sun 2026-11-08  special 18:00–19:15 Diwali: Muhurat session on a Sunday → special 18:15–19:15 M.",
        "− Fri 2026-12-25  closed Christmas",
        "? 2026-12-25 (Christmas) is in our calendar and not in the broker's list",
    ]


def test_a_muhurat_day_listed_twice_keeps_its_hours_in_either_order():
    twice = [
        row(MUHURAT, "Diwali"),
        row(MUHURAT, "Muhurat", "SPECIAL_TIMING", (), [span("NFO", MUHURAT, "13:45", "14:45")]),
    ]
    for order in (twice, twice[::-1]):
        proposal = propose(OURS, wire_calendar.holidays(order), 2025, REGULAR)
        assert proposal.calendar.entries[MUHURAT].kind is Kind.SPECIAL
        assert proposal.calendar.entries[MUHURAT].hours == hours("13:45", "14:45")


def test_a_weekday_with_a_shorter_session_is_a_short_day():
    rows = [row(HALF, "half", "SPECIAL_TIMING", (), [span("NFO", HALF, closes="13:00"), span("BFO", HALF)])]
    proposal = propose(OURS, wire_calendar.holidays(rows), 2026, REGULAR)
    assert proposal.calendar.entries[HALF].kind is Kind.SHORT
    assert any("NSE and BSE have different hours" in doubt for doubt in proposal.doubts)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "it is empty"),
        (listed_as(OURS, 2026), "it has 2026"),
        ([row(date(2027, 1, 26), "Republic Day")], "1 closed weekdays"),
    ],
)
def test_a_list_that_is_not_complete_is_not_to_be_written(rows, words):
    proposal = propose(OURS, wire_calendar.holidays(rows), 2027, REGULAR)
    assert words in proposal.problems[0]
    assert any(line.startswith("! ") for line in lines(proposal))
    with pytest.raises(AssertionError):
        accept(proposal, None)


def test_the_year_to_fetch_is_the_first_that_is_missing():
    assert year_to_fetch(OURS, date(2026, 12, 3)) == 2027
    assert year_to_fetch(OURS, date(2027, 1, 3)) == 2027


async def test_a_fetched_year_is_shown_written_beside_the_owners_days_and_trades(tmp_path):
    """`bot calendar fetch` over a real socket, from the list to a session of 2027."""
    days = [
        date(2027, 1, 26),
        date(2027, 3, 26),
        *(date(2027, month, 14) for month in (4, 5, 6, 7, 9, 10, 12)),
    ]
    (tmp_path / "calendar.csv").write_text(f"{HEAD}\nclosed,2026-09-16,,,my own,me,high\n")
    async with serving() as server:
        server.on("/v2/market/holidays", success([row(day, f"day {day:%j}") for day in days]))
        rest = rest_at(server)
        proposal = await ask_for_year(rest, tmp_path, date(2026, 12, 20))
        server.on("/v2/market/holidays", error(403, "UDAPI1154", "no"))
        with pytest.raises(ReadFailed):
            await ask_for_year(rest, tmp_path, date(2026, 12, 20))
        await rest.aclose()
    assert proposal.year == 2027
    assert "+ Mon 2027-06-14  closed day 165" in lines(proposal)
    assert not [line for line in lines(proposal) if "01-26" in line]  # known already
    path = accept(proposal, tmp_path)
    calendar = calendar_file.load(tmp_path)
    assert calendar.years[2027].source == "the broker's holiday list, asked on 2026-12-20"
    assert day_of(date(2027, 6, 14), calendar).why is Why.HOLIDAY
    assert clocks(day_of(date(2027, 6, 15), calendar))[3] == "15:40"
    assert day_of(REGULAR, calendar).why is Why.HOLIDAY
    assert calendar.early_warning(date(2026, 12, 20)) == ""
    assert (tmp_path / "calendar.csv.bak").read_text().endswith("my own,me,high\n")
    assert "my own" in path.read_text()
    accept(replace(proposal, calendar=Calendar(proposal.calendar.years, {})), tmp_path)
    assert isinstance(day_of(date(2027, 6, 14), calendar_file.load(tmp_path)), Opening)
