"""The status page: what stands on it, that nothing from outside becomes markup, and how a phone shows it."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

from bot.core.commands import Alert, Decision, Reason, RecordFill, Refused, Severity
from bot.core.events import Heartbeat, Side, Tick
from bot.core.risk import Guard
from bot.core.units import SECOND
from bot.run.ports import Turn
from bot.telemetry.metrics import Metrics
from bot.telemetry.ops_server import OpsServer
from bot.telemetry.recent import Recent
from bot.telemetry.status_page import page
from bot.telemetry.view import DayState, InstrumentState
from tests.conftest import KEY, at

CHROMIUM = shutil.which("chromium")
HOSTILE = "<script>alert(1)</script>"


class View:
    """A bot in a position, on a bad day."""

    def day(self) -> DayState:
        return DayState(
            "open", ready=True, flatten_at=at("15:29:00"), close_at=at("15:40:00"), now=at("11:32:05"),
            realized=-3_250_00, unrealized=120_50, charges=61_20, daily_loss_limit=5_000_00, mode="demo",
            day="2026-09-16",
        )  # fmt: skip

    def instruments(self) -> Sequence[InstrumentState]:
        return [
            InstrumentState(KEY, 100, at("11:32:05"), 251_35, 251.52, -0.01, 65, 250_10.0, 200_10.0, HOSTILE)
        ]


def lived_through() -> Recent:
    recent = Recent(View())
    decision = Decision(0, 0, 0.0, 0.0, 0.0, 0.0)
    fill = RecordFill(
        at("11:30:00"), KEY, Side.SELL, Reason.STOP_LOSS, 65, 65 * 200_10, decision, 0, 30_60, -3_280_60, 0,
        "", "", "", "D", "t",
    )  # fmt: skip
    now = at("11:30:00")
    tick = Tick(now, now, KEY, 251_35, 65, now, 0, 0, 0, 0, 0)
    alert = Alert(Severity.PAGE, "StopLossTriggered", f"sold {HOSTILE}")
    recent.hear(Turn(tick, None, [fill, Refused(KEY, Guard.SPREAD), Refused(KEY, Guard.SPREAD), alert], 0.0))
    for second in range(90):
        recent.hear(Turn(Heartbeat(now + second * SECOND, 0), None, [], 0.0))
    return recent


def test_it_tells_state_position_price_net_trades_guards_and_alerts() -> None:
    text = page(View(), lived_through())
    for words in ("open", "ready", "₹251.35", "251.52", "<b>65</b> units", "₹250.10", "stop ₹51.25 away",
                  "₹-3,190.70", "stop loss", "spread", "StopLossTriggered", "polyline"):  # fmt: skip
        assert words in text, words


def test_nothing_from_outside_becomes_markup() -> None:
    text = page(View(), lived_through())
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_a_bot_that_has_just_started_has_a_page_too() -> None:
    class Empty(View):
        def day(self) -> DayState:
            return DayState("before", ready=False, reason="the books have not been read yet")

        def instruments(self) -> Sequence[InstrumentState]:
            return [InstrumentState(KEY)]

    text = page(Empty(), Recent(Empty()))
    assert "no entries: the books have not been read yet" in text
    assert "nan" not in text


def test_what_is_remembered_does_not_grow_with_the_day() -> None:
    recent = lived_through()
    for second in range(5_000):
        alert = Alert(Severity.WARN, "OrderRefused", "")
        recent.hear(Turn(Heartbeat(second * SECOND, 0), None, [alert], 0.0))
    assert len(recent.samples) == 600
    assert len(recent.alerts) == 10


async def test_it_is_served_at_the_root_and_may_load_nothing() -> None:
    server = OpsServer(Metrics(View()), View(), port=0, recent=lived_through())
    await server.start()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as client:
        got = await client.get("/")
    await server.stop()
    assert got.status_code == 200
    assert got.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in got.headers["content-security-policy"]


@pytest.mark.component
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is missing: apt-get install chromium")
def test_chromium_shows_it_on_a_phone_without_a_sideways_scroll(tmp_path: Path) -> None:
    """The layout is as wide as the window: asked of the rendered page."""
    probe = (
        "<script>document.title='wide '+(document.documentElement.scrollWidth<=innerWidth)+"
        "' '+document.querySelectorAll('td').length</script>"
    )
    file = tmp_path / "status.html"
    file.write_text(page(View(), lived_through()).replace("</body>", f"{probe}</body>"), encoding="utf-8")
    done = subprocess.run(
        [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
            "--disable-background-networking", "--disable-component-update", "--window-size=500,900",
            f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", file.as_uri(),
        ],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert "<title>wide true" in done.stdout, done.stdout[:500] + done.stderr[-500:]
    assert "<title>wide true 0" not in done.stdout
