"""Whole (short) days of the assembled bot against the twin, over real sockets, in virtual time.

The judge is always the twin's own ledger, never the bot's word.
"""

import itertools
import json
from pathlib import Path

import httpx
import pytest

from bot.assemble.closing import EXIT_DONE
from bot.core.events import Act, Event, FeedDown, FeedUp, Tick
from bot.core.units import SECOND
from bot.run.ports import Turn
from bot.sim.market import Shock
from bot.twin.faults import Fault, FaultKind
from tests.conftest import at
from tests.days import Running, ShortDay


class Ears:
    """An observer that keeps the events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def hear(self, turn: Turn) -> None:
        self.events.append(turn.event)

    def of(self, kind: type) -> list:
        return [event for event in self.events if isinstance(event, kind)]


def fault(clock: str, kind: FaultKind, seconds: float = 0.0, act: Act = Act.PLACE, **more: object) -> Fault:
    return Fault(at(clock), kind, seconds, act, **more)


def test_a_day_runs_and_ends_flat_with_equal_books_and_an_archive(tmp_path: Path) -> None:
    outcome = ShortDay(tmp_path).run()
    outcome.judged()
    result = outcome.result
    assert result.exit_code == EXIT_DONE
    assert result.books is not None
    assert result.books.reconciled
    assert result.summary.trades >= 3
    assert all(row["trade_id"] for row in outcome.csv_rows)
    archived = sorted(path.name for path in (tmp_path / "archive" / "2026" / "09" / "16").iterdir())
    assert archived == [
        "certificate-2026-09-16.json",
        "journal-2026-09-16.sqlite",
        "settings-2026-09-16.json",
        "tape-2026-09-16-1.ktape.gz",
        "trades-2026-09-16.csv",
    ]


def test_a_calm_day_alerts_nobody(tmp_path: Path) -> None:
    """No false pages: the broker's answers straddle fills all day, and nothing is wrong."""
    outcome = ShortDay(tmp_path).run()
    assert outcome.result.summary.trades >= 3
    assert '"event":"alert"' not in (tmp_path / "log.jsonl").read_text()


def test_the_same_seed_gives_the_same_csv_and_another_seed_another(tmp_path: Path) -> None:
    texts = [
        ShortDay(tmp_path / name, seed=seed).run().csv_text for name, seed in (("a", 3), ("b", 3), ("c", 4))
    ]
    assert texts[0] == texts[1] != texts[2]


def test_net_is_gross_less_charges_and_the_csv_adds_up(tmp_path: Path) -> None:
    outcome = ShortDay(tmp_path).run()
    day = outcome.result.summary
    column = sum(round(float(row["realized_pnl_net"]) * 100) for row in outcome.csv_rows)
    assert day.gross - day.charges == day.net == column
    spent = sum((-1 if side == "BUY" else 1) * q * p for side, q, p in outcome.ledger())
    assert spent == day.gross


def test_a_dropped_feed_comes_back_by_itself(tmp_path: Path) -> None:
    ears = Ears()
    outcome = ShortDay(tmp_path, [fault("09:20:00", FaultKind.DROP_MARKET)], observers=(ears,)).run()
    outcome.judged()
    downs, ups = ears.of(FeedDown), ears.of(FeedUp)
    assert len(downs) == 1
    assert outcome.result.reconnects == 1
    assert ups[1].at - downs[0].at <= 5 * SECOND
    assert any(tick.at > ups[1].at for tick in ears.of(Tick))


def test_a_silent_feed_is_dropped_within_15_seconds(tmp_path: Path) -> None:
    ears = Ears()
    outcome = ShortDay(tmp_path, [fault("09:20:00", FaultKind.STALL_MARKET, 600)], observers=(ears,)).run()
    outcome.judged()
    last = max(tick.at for tick in ears.of(Tick) if tick.at < at("09:20:01"))
    down = ears.of(FeedDown)[0]
    assert down.reason == "stall"
    assert down.at - last <= 15 * SECOND
    assert any(up.at - down.at <= 5 * SECOND for up in ears.of(FeedUp)[1:])


def test_a_broker_that_hangs_60_seconds_delays_no_tick_and_no_order_is_sent_twice(tmp_path: Path) -> None:
    """The call ends in doubt after its timeout; the stream or the book tells what became of the order."""
    ears = Ears()
    hang = fault("09:19:00", FaultKind.SLOW_REPLY, 60)
    outcome = ShortDay(tmp_path, [hang], observers=(ears,)).run()
    outcome.judged()
    ticks = [tick.at for tick in ears.of(Tick) if at("09:19:00") <= tick.at <= at("09:21:00")]
    gaps = [after - before for before, after in itertools.pairwise(ticks)]
    assert max(gaps) < 3 * SECOND
    assert max(event.at - event.exchange_at for event in ears.of(Tick) if event.exchange_at) < SECOND // 10


@pytest.mark.parametrize("act", [Act.PLACE, Act.MODIFY, Act.CANCEL])
@pytest.mark.parametrize("clock", ["09:17:00", "09:18:30", "09:22:00"])
def test_a_lost_reply_loses_no_order(tmp_path: Path, act: Act, clock: str) -> None:
    outcome = ShortDay(tmp_path, [fault(clock, FaultKind.LOSE_REPLY, act=act)]).run()
    outcome.judged()
    assert outcome.result.exit_code == EXIT_DONE


@pytest.mark.parametrize("seconds", [5, 20, 80])
def test_an_order_accepted_late_is_not_forgotten(tmp_path: Path, seconds: float) -> None:
    outcome = ShortDay(tmp_path, [fault("09:18:00", FaultKind.LATE_ACCEPTANCE, seconds)]).run()
    outcome.judged()
    assert outcome.result.exit_code == EXIT_DONE


def test_part_fills_are_positions(tmp_path: Path) -> None:
    """Three lots wanted, one lot a message to be had: entries are cut short, exits take what they need."""
    thin = fault("09:17:00", FaultKind.THIN_BOOK, 600, quantity=65)
    outcome = ShortDay(tmp_path, [thin], quantity=195).run()
    outcome.judged()
    assert any(row["side"] == "BUY" and row["position_after"] == "65" for row in outcome.csv_rows)
    assert any(
        order.status == "cancelled" and order.filled_quantity for order in outcome.twin.exchange.orders()
    )


def test_a_refused_order_is_no_position(tmp_path: Path) -> None:
    refusal = fault("09:17:00", FaultKind.REJECT, message="RMS: margin exceeds")
    outcome = ShortDay(tmp_path, [refusal]).run()
    outcome.judged()
    assert any(order.status == "rejected" for order in outcome.twin.exchange.orders())


@pytest.mark.parametrize("kind", [FaultKind.UNAUTHORIZED, FaultKind.TOO_MANY, FaultKind.WRONG_ADDRESS])
def test_half_a_minute_of_refused_calls_forgets_nothing(tmp_path: Path, kind: FaultKind) -> None:
    outcome = ShortDay(tmp_path, [fault("09:18:00", kind, 30)]).run()
    outcome.judged()


def test_a_lost_order_stream_loses_nothing(tmp_path: Path) -> None:
    drops = [fault(f"09:{minute}:07", FaultKind.DROP_PORTFOLIO) for minute in range(17, 26)]
    outcome = ShortDay(tmp_path, drops).run()
    outcome.judged()


def test_the_stop_loss_sells(tmp_path: Path) -> None:
    slides = [Shock(at("09:20:00"), -4_000, 60)]
    outcome = ShortDay(tmp_path, shocks=slides).run()
    outcome.judged()
    assert outcome.result.summary.stops >= 1
    stopped = [row for row in outcome.csv_rows if row["reason"] == "STOP_LOSS"]
    assert stopped
    log = (tmp_path / "log.jsonl").read_text()
    assert "StopLossTriggered" in log


def test_a_crash_in_a_position_is_survived(tmp_path: Path) -> None:
    """Killed the moment the exchange says we are long: the next incarnation knows, and sells."""
    seen = []

    async def crash(running: Running) -> None:
        await running.until("09:18:00")
        for _ in range(5):
            await running.until_long()
            running.kill_and_restart()
            seen.append(running.clock.now())
            await running.clock.sleep_until(running.clock.now() + 20 * SECOND)

    outcome = ShortDay(tmp_path, meanwhile=crash).run()
    assert len(seen) == 5
    outcome.judged()
    assert outcome.result.exit_code == EXIT_DONE


def test_a_restart_after_the_end_trades_nothing_and_exits_at_once(tmp_path: Path) -> None:
    first = ShortDay(tmp_path).run()
    second = ShortDay(tmp_path).run()
    assert second.result.exit_code == first.result.exit_code
    assert second.ledger() == []
    assert second.csv_text == first.csv_text


def test_sigterm_in_a_position_sells_it_and_ends(tmp_path: Path) -> None:
    ended = []

    async def term(running: Running) -> None:
        await running.until("09:18:00")
        await running.until_long()
        began = running.clock.now()
        running.stop.set()
        while running.twin.exchange.positions()[0].quantity:
            await running.clock.sleep_until(running.clock.now() + SECOND // 10)
        ended.append((running.clock.now() - began) / SECOND)

    outcome = ShortDay(tmp_path, meanwhile=term).run()
    outcome.judged()
    assert ended[0] < 10
    assert not (tmp_path / "archive").exists()  # the day is not over: a later start may go on
    assert outcome.running.clock.now() < at("09:19:30")


def test_an_archive_that_is_away_changes_no_trade_and_is_tried_again(tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the archive's folder should be")
    outcome = ShortDay(tmp_path, archive_root=str(blocked)).run()
    outcome.judged()
    assert outcome.result.exit_code == EXIT_DONE
    assert outcome.result.archive_problem
    blocked.unlink()
    again = ShortDay(tmp_path, archive_root=str(blocked)).run()
    assert not again.result.archive_problem
    assert (blocked / "2026" / "09" / "16" / "trades-2026-09-16.csv").exists()


def test_metrics_and_health_tell_of_a_running_day(tmp_path: Path) -> None:
    told: dict[str, str] = {}

    async def look(running: Running) -> None:
        await running.until("09:24:00")
        assert running.desk is not None
        base = f"http://127.0.0.1:{running.desk.ops_port}"
        async with httpx.AsyncClient() as client:
            for path in ("metrics", "healthz", "readyz"):
                running.clock.departed()
                told[path] = (await client.get(f"{base}/{path}")).text
                running.clock.arrived()

    ShortDay(tmp_path, meanwhile=look, telemetry=("127.0.0.1", 0)).run()
    assert json.loads(told["healthz"])["alive"] is True
    assert json.loads(told["readyz"])["ready"] is True
    ticks = next(line for line in told["metrics"].splitlines() if line.startswith("bot_feed_ticks_total{"))
    assert float(ticks.split()[-1]) > 300


def test_no_secret_is_in_anything_written(tmp_path: Path) -> None:
    """The token and the single-use codes of the WebSocket addresses."""
    outcome = ShortDay(tmp_path, [fault("09:20:00", FaultKind.DROP_MARKET)]).run()
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert outcome.twin.token.encode() not in written
    assert b"code=" not in written


def test_a_bug_in_a_task_ends_the_process_instead_of_limping_on(tmp_path: Path) -> None:
    async def sabotage(running: Running) -> None:
        await running.until("09:17:00")
        assert running.desk is not None
        running.desk.engine.desks = None  # type: ignore[assignment]

    with pytest.raises((ExceptionGroup, TypeError, AttributeError)):
        ShortDay(tmp_path, meanwhile=sabotage).run()
