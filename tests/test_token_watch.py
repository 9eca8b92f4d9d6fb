"""The token while the bot runs: it dies at noon, a new one is put into the file, and the day goes on.

Whole assembled days against the twin over real sockets, in lockstep; and the morning on the wall clock.
"""

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from typer.testing import CliRunner

from bot.__main__ import app
from bot.assemble.admission import Morning
from bot.assemble.day_files import on_thread
from bot.assemble.live import run_live
from bot.assemble.plan import Plan
from bot.assemble.preflight.finding import unsafe
from bot.assemble.token_watch import TokenWatch
from bot.core.session import Session
from bot.run.live import WallClock
from bot.storage.token_file import write_token
from bot.telemetry.logs import Logs
from bot.twin import rest_account
from bot.twin.answers import success
from bot.twin.faults import Fault, FaultKind
from bot.twin.server import TOKEN
from bot.upstox.auth import Token
from tests.conftest import DAY, at
from tests.days import Outcome, Running, ShortDay
from tests.loopback import unused_port
from tests.test_cli import settings
from tests.test_preflight import TEXT
from tests.twin_thread import TwinThread

NEW = "tomorrows-token"


@dataclass
class WatchedDay(ShortDay):
    """A short day whose token is looked after. `happens(day)`: a coroutine function run beside it."""

    happens: Callable[["WatchedDay"], Any] | None = None
    running: Running | None = None
    states: list[tuple[int, bool, str]] = field(default_factory=list)

    def _plan(self, *arguments: Any) -> Plan:
        plan = super()._plan(*arguments)
        self.watch = TokenWatch(
            plan.clock, plan.token, self.token_file, plan.hosts, plan.logs.hide, plan.logs.log
        )
        return replace(plan, beside=self.watch.run)

    @property
    def token_file(self) -> Path:
        return self.folder / "token"

    def play(self) -> Outcome:
        async def beside(running: Running) -> None:
            self.running = running
            assert self.happens is not None
            await self.happens(self)

        self.meanwhile = beside
        return self.run()

    async def until(self, clock_time: str) -> None:
        assert self.running is not None
        await self.running.until(clock_time)

    def kill_token(self) -> None:
        """As a login elsewhere does: what we hold is worth nothing from now on."""
        self.access.revoke(TOKEN)

    def issue(self, token: str) -> None:
        assert self.running is not None
        self.access.issue(token, self.running.clock.now())

    @property
    def access(self) -> Any:
        assert self.running is not None
        return self.running.twin._floor.access

    @property
    def engine(self) -> Any:
        assert self.running is not None
        assert self.running.desk is not None
        return self.running.desk.engine

    def set_token(self, text: str) -> None:
        """The very command. Offline: the twin's time stands still while it runs."""
        done = CliRunner().invoke(
            app,
            ["token", "set", "--offline"],
            input=text,
            env={"BOT_BROKER__TOKEN_FILE": str(self.token_file)},
        )
        assert done.exit_code == 0, done.output

    async def set_token_beside(self, text: str) -> None:
        """On a thread: it has a loop of its own. The day's time stands still meanwhile."""
        assert self.running is not None
        await on_thread(self.running.clock, lambda: self.set_token(text))

    def logged(self, event: str) -> list[dict[str, Any]]:
        lines = [orjson.loads(line) for line in (self.folder / "log.jsonl").read_bytes().splitlines()]
        return [line for line in lines if line["event"] == event]

    def alerts(self) -> list[str]:
        return [line["name"] for line in self.logged("alert")]


def test_the_token_dies_at_midday_a_new_one_is_set_and_the_bot_goes_on(tmp_path: Path) -> None:
    seen: list[bool] = []

    async def happens(day: WatchedDay) -> None:
        await day.until("09:18:00")
        day.kill_token()
        await day.running.twin.inject(Fault(0, FaultKind.DROP_MARKET))  # type: ignore[union-attr]
        await day.until("09:19:00")
        seen.append(day.engine.shut_out)
        day.issue(NEW)
        await day.set_token_beside(NEW)
        await day.until("09:19:10")
        seen.append(day.engine.shut_out)
        seen.append(day.engine.feed_up)

    day = WatchedDay(tmp_path, happens=happens)
    outcome = day.play()
    assert seen == [True, False, True]  # shut out; and back within seconds of the new token
    outcome.judged()
    assert outcome.result.exit_code == 0
    late = [row for row in outcome.csv_rows if row["time_ist"] > "2026-09-16 09:19:10"]
    assert any(row["side"] == "BUY" for row in late), "it did not trade on"
    assert day.alerts().count("AuthRequired") == 1
    assert day.alerts().count("AccessRestored") == 1
    text = (tmp_path / "log.jsonl").read_text()
    assert TOKEN not in text
    assert NEW not in text


def test_a_wrong_token_in_the_file_is_refused_aloud_and_the_old_one_stays(tmp_path: Path) -> None:
    seen: list[Any] = []

    async def happens(day: WatchedDay) -> None:
        await day.until("09:17:00")
        await day.set_token_beside("a-stranger")
        await day.until("09:18:00")
        seen.extend((day.engine.shut_out, day.engine.feed_up))

    day = WatchedDay(tmp_path, happens=happens)
    outcome = day.play()
    assert seen == [False, True]
    refused = day.logged("token_refused")
    assert len(refused) == 1, "said once, not every two seconds"
    assert "does not accept" in refused[0]["problem"]
    assert "a-stranger" not in (tmp_path / "log.jsonl").read_text()
    assert not day.logged("token_replaced")
    assert day.alerts().count("AuthRequired") == 0
    outcome.judged()


def test_a_token_of_another_account_is_refused_though_it_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = rest_account.profile

    async def profile(call: Any) -> Any:
        answer = await known(call)
        if call.token == NEW:
            return success(answer.body["data"] | {"user_id": "ZZ9999"})
        return answer

    monkeypatch.setattr("bot.twin.rest_account.profile", profile)
    calls = tuple(
        (method, path, profile if path == "/v2/user/profile" else handler)
        for method, path, handler in _twin_calls()
    )
    monkeypatch.setattr("bot.twin.rest_app.OTHER_CALLS", calls)

    async def happens(day: WatchedDay) -> None:
        await day.until("09:17:00")
        day.issue(NEW)
        await day.set_token_beside(NEW)
        await day.until("09:18:00")

    day = WatchedDay(tmp_path, happens=happens)
    day.play().judged()
    (refused,) = day.logged("token_refused")
    assert "ZZ9999" in refused["problem"]
    assert not day.logged("token_replaced")


def _twin_calls() -> Any:
    from bot.twin.rest_app import OTHER_CALLS

    return OTHER_CALLS


def test_a_window_of_401_passes_without_a_new_token(tmp_path: Path) -> None:
    async def happens(day: WatchedDay) -> None:
        await day.until("09:18:00")
        await day.running.twin.inject(Fault(0, FaultKind.UNAUTHORIZED, seconds=60))  # type: ignore[union-attr]
        await day.running.twin.inject(Fault(0, FaultKind.DROP_MARKET))  # type: ignore[union-attr]

    day = WatchedDay(tmp_path, happens=happens)
    day.play().judged()
    assert day.alerts().count("AuthRequired") == 1
    assert day.alerts().count("AccessRestored") == 1


def test_orders_refused_for_their_address_are_a_state_that_ends_by_itself(tmp_path: Path) -> None:
    """403 on orders while reads work: no entry is tried against the wall, and its fall is noticed."""
    seen: list[bool] = []

    async def happens(day: WatchedDay) -> None:
        await day.until("09:17:00")
        await day.running.twin.inject(Fault(0, FaultKind.WRONG_ADDRESS, seconds=120))  # type: ignore[union-attr]
        await day.until("09:18:30")
        seen.append(day.engine.shut_out)
        await day.until("09:20:00")
        seen.append(day.engine.shut_out)

    day = WatchedDay(tmp_path, happens=happens)
    day.play().judged()
    assert seen == [True, False]


# ---- the morning, on the wall clock ------------------------------------------------------------------


def test_without_a_token_it_waits_takes_the_one_that_comes_and_runs_the_preflight(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "token"
    with TwinThread(starts_at=at("09:08:00"), speed=30) as twin:
        write_token(kept, "yesterdays")
        chosen = settings(
            tmp_path, TEXT, BOT_LIVE_ACCESS_TOKEN="", BOT_BROKER__TOKEN_FILE=str(kept),
            BOT_BROKER__API_HOST=twin.rest, BOT_BROKER__ORDER_HOST=twin.rest,
        )  # fmt: skip
        bring = threading.Timer(1.0, write_token, (kept, TOKEN))
        bring.start()
        stop = threading.Timer(7.0, _terminate)
        stop.start()
        code = run_live(chosen, verbose=False, clock=twin.clock)
        bring.join()
        stop.join()
    said = capsys.readouterr().out
    lines = [orjson.loads(line) for line in said.splitlines()]
    events = [line["event"] for line in lines]
    assert code == 0, said
    assert events.index("token_refused") < events.index("token_accepted") < events.index("recovered")
    assert {line["check"] for line in lines if line["event"] == "preflight"} >= {
        "address",
        "calendar",
        "disk",
    }
    assert TOKEN not in said
    assert "yesterdays" not in said


def test_without_a_token_by_ten_past_nine_the_day_is_not_traded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with TwinThread(starts_at=at("09:09:30"), speed=30) as twin:
        chosen = settings(
            tmp_path, TEXT, BOT_LIVE_ACCESS_TOKEN="", BOT_BROKER__TOKEN_FILE=str(tmp_path / "token"),
            BOT_BROKER__API_HOST=twin.rest, BOT_BROKER__ORDER_HOST=twin.rest,
        )  # fmt: skip
        assert run_live(chosen, verbose=False, clock=twin.clock) == 3
        assert httpx.get(f"{twin.rest}/nothing").status_code == 404  # the twin lives: it was not the network
        assert twin.orders() == 0
    alerts = [
        line for line in map(orjson.loads, capsys.readouterr().out.splitlines()) if line["event"] == "alert"
    ]
    assert [line["name"] for line in alerts] == ["AuthRequired", "NoToken"]
    assert "bot login" in alerts[0]["text"]


def test_a_preflight_that_says_no_ends_entries_and_the_day_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A clock ten seconds off (a no-go): the run looks after what it has, and buys nothing."""
    with TwinThread(starts_at=at("09:20:00"), speed=30) as twin:
        chosen = settings(
            tmp_path, TEXT, BOT_STRATEGY__THRESHOLD="0.01",
            BOT_BROKER__API_HOST=twin.rest, BOT_BROKER__ORDER_HOST=twin.rest,
            BOT_TELEMETRY__PORT=str(port := unused_port()),
        )  # fmt: skip
        scraped: list[str] = []
        look = threading.Timer(5.0, lambda: scraped.append(_metrics(port)))
        look.start()
        stop = threading.Timer(6.0, _terminate)
        stop.start()
        ahead = WallClock(starts_at=twin.clock.now() + 30_000_000_000, speed=30)
        run_live(chosen, verbose=False, clock=ahead)
        stop.join()
        look.join()
        assert twin.traded() == 0
    assert 'bot_preflight_check_ok{check="clock"} 0.0' in scraped[0], "the page and the rules see it"
    assert 'bot_preflight_check_ok{check="address"} 1.0' in scraped[0]
    lines = [orjson.loads(line) for line in capsys.readouterr().out.splitlines()]
    alerts = [line["name"] for line in lines if line["event"] == "alert"]
    assert "PreflightNoGo" in alerts
    assert "EntriesStopped" in alerts


async def test_what_said_no_at_0850_and_is_mended_by_0910_does_not_cost_the_day(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The address is refused for a minute (or the broker is away): asked again, not remembered."""
    with TwinThread(starts_at=at("08:50:30"), speed=30) as twin:
        chosen = settings(tmp_path, TEXT, BOT_BROKER__API_HOST=twin.rest, BOT_BROKER__ORDER_HOST=twin.rest)
        twin.inject(Fault(at("08:50:30"), FaultKind.WRONG_ADDRESS, 60.0))
        logs = Logs(twin.clock.now)
        morning = Morning(chosen, twin.clock, Session.on(DAY), logs)
        findings = await morning.examine(Token(TOKEN))
        logs.close()
    assert unsafe(findings) == ()
    lines = [orjson.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["name"] for line in lines if line["event"] == "alert"] == ["PreflightNoGo"]
    assert [line["checks"] for line in lines if line["event"] == "preflight_mended"] == ["address"]


def _metrics(port: int) -> str:
    return httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text


def _terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
