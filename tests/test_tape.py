"""The tape: what a day was told and decided, on disk, and the day run again from it."""

import json
import zlib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.__main__ import app
from bot.assemble.replay import certify
from bot.core.events import (
    Act,
    BrokerSnapshot,
    FeedDown,
    Heartbeat,
    Operator,
    OperatorAction,
    OrderReport,
    Outcome,
    PositionRow,
    SendOutcome,
    Side,
)
from bot.storage.tape import EventPen, EventReader, TapeRefused, TapeWriter, read_tape, tapes_of
from bot.twin.faults import Fault, FaultKind
from tests.conftest import DAY, KEY
from tests.days import MODEL, ShortDay, instant

REPORT = OrderReport(
    1, 2, "k1", "2", "", KEY, Side.SELL, "LIMIT", "open", 65, 0, 0, 300_00, 0, "odd \ud800 text", ""
)


def eager(_: object) -> float:
    return 0.9


def test_a_day_runs_again_from_its_tape_to_the_very_decisions(tmp_path: Path) -> None:
    """With a lost connection and a kill -9 in it: two tapes, both certified in the archive."""

    async def meanwhile(running) -> None:
        await running.until("09:22:00")
        running.kill_and_restart()

    drop = Fault(instant("09:18:00"), FaultKind.DROP_MARKET)
    day = ShortDay(tmp_path, faults=(drop,), meanwhile=meanwhile).run()
    assert len(day.result.fills) > 4
    tapes = tapes_of(tmp_path / "data", DAY)
    assert len(tapes) == 2
    stored = {item.name for item in day.result.stored}
    assert {*(tape.name for tape in tapes), f"certificate-{DAY}.json"} <= stored
    written = json.loads((tmp_path / "data" / f"certificate-{DAY}.json").read_text())
    assert [one["identical"] for one in written] == [True, True], written
    assert sum(one["frames"] for one in written) > 500
    assert all(one["turns_with_decisions"] > 0 for one in written)
    assert all(one["decisions_sha256"] == one["replayed_sha256"] for one in written)


@pytest.fixture(scope="module")
def eager_tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("eager")
    ShortDay(folder).run()
    (tape,) = tapes_of(folder / "data", DAY)
    return tape


def test_another_model_decides_otherwise_and_the_differences_are_named(eager_tape: Path) -> None:
    tape = eager_tape
    found = certify(tape, lambda _: 0.1)
    assert not found.identical
    assert found.decisions_sha256 != found.replayed_sha256
    orders = [difference for difference in found.differences if "PlaceOrder" in difference]
    assert "Tick: then" in orders[0]


def test_bot_replay_says_identical_or_what_differs_by_its_exit_code(tmp_path: Path, eager_tape: Path) -> None:
    ShortDay(tmp_path / "true", eager=False).run()
    (tape,) = tapes_of(tmp_path / "true" / "data", DAY)
    done = CliRunner().invoke(app, ["replay", str(tape), "--model", str(MODEL)])
    assert (done.exit_code, "identical" in done.output) == (0, True), done.output
    done = CliRunner().invoke(app, ["replay", str(eager_tape), "--model", str(MODEL)])
    assert (done.exit_code, "different" in done.output) == (1, True), done.output
    done = CliRunner().invoke(app, ["replay", str(MODEL)])
    assert done.exit_code == 2
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    "event",
    [
        Heartbeat(1, 2),
        FeedDown(1, 2, "stall"),
        REPORT,
        SendOutcome(1, 2, "k1", Act.PLACE, Outcome.UNKNOWN, "", "timeout", ""),
        Operator(1, 2, OperatorAction.FLATTEN, "sigterm"),
        BrokerSnapshot(1, 2, 3, (REPORT,), (PositionRow(KEY, "D", -65),)),
    ],
)
def test_an_event_comes_back_as_it_was(event) -> None:
    again = EventReader().event(EventPen().text(event))
    assert again == event
    assert type(again) is type(event)
    if isinstance(again, OrderReport):
        assert isinstance(again.side, Side)


def test_an_order_book_is_written_without_the_rows_that_did_not_change() -> None:
    others = [REPORT._replace(order_id=str(number)) for number in range(300)]
    books = [tuple(others), (*others, REPORT), (*others[:299], REPORT), (), tuple(others)]
    pen, reader = EventPen(), EventReader()
    texts = [pen.text(BrokerSnapshot(1, 2, 3, book, ())) for book in books]
    assert [reader.event(text).orders for text in texts] == books
    assert len(texts[1]) < len(texts[0]) / 100


def test_a_torn_tape_gives_all_that_was_flushed(tmp_path: Path) -> None:
    path = tmp_path / "tape.ktape.gz"
    writer = TapeWriter(path)
    for number in range(1000):
        writer.put(b"F", number, number, b"frame %d" % number)
    writer.close()
    assert [entry.at for entry in read_tape(path)] == list(range(1000))
    content = path.read_bytes()
    path.write_bytes(content[:-200])
    some = [entry.at for entry in read_tape(path)]
    assert some == list(range(len(some)))
    assert 0 < len(some) < 1000


def test_what_is_no_tape_is_refused(tmp_path: Path) -> None:
    for name, content in (("a", b"plain"), ("b", zlib.compress(b"x", wbits=31))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(TapeRefused):
            list(read_tape(tmp_path / name))
    with pytest.raises(TapeRefused, match="another version"):
        EventReader().event(b'["Surprise",{}]')


def test_a_disk_that_fails_ends_the_tape_and_nothing_else(tmp_path: Path) -> None:
    writer = TapeWriter(tmp_path / "no-such-folder" / "tape")
    writer.close()
    assert "the tape ends here" in writer.problem
    writer.put(b"F", 1, 1, b"")  # not an error: nobody waits for it
