"""The ops server over real sockets: what it says, when it is not ready, and what an occupied port gets."""

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bot.telemetry.metrics import Metrics
from bot.telemetry.ops_server import OpsServer, PortTaken
from bot.telemetry.view import DayState, InstrumentState


class Desk:
    """A view with numbers to turn."""

    def __init__(self) -> None:
        self.now = DayState("before", ready=False, reason="the broker's book was not read yet", mode="paper")

    def day(self) -> DayState:
        return self.now

    def instruments(self) -> Sequence[InstrumentState]:
        return [InstrumentState("NSE_FO|1")]


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
async def server(desk: Desk) -> AsyncIterator[OpsServer]:
    made = OpsServer(Metrics(desk), desk, port=0)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def client(server: OpsServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as opened:
        yield opened


async def test_metrics_are_served_in_the_text_format_prometheus_reads(client: httpx.AsyncClient) -> None:
    got = await client.get("/metrics")
    assert got.status_code == 200
    assert got.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    names = {family.name for family in text_string_to_metric_families(got.text)}
    assert {"bot_session_state", "bot_orders", "bot_model_probability", "process_open_fds"} <= names


async def test_readyz_says_why_not_and_then_yes(client: httpx.AsyncClient, desk: Desk) -> None:
    got = await client.get("/readyz")
    assert got.status_code == 503
    assert got.json() == {
        "ready": False,
        "reason": "the broker's book was not read yet",
        "session": "before",
        "halted": "",
        "mode": "paper",
    }
    desk.now = DayState("open", ready=True)
    got = await client.get("/readyz")
    assert (got.status_code, got.json()["session"]) == (200, "open")


async def test_healthz_is_about_the_process_not_the_market(client: httpx.AsyncClient, desk: Desk) -> None:
    assert (await client.get("/healthz")).status_code == 200
    desk.now = desk.now._replace(heartbeat_age_seconds=11.0)
    got = await client.get("/healthz")
    assert (got.status_code, got.json()["alive"]) == (503, False)


async def test_it_is_read_only_and_knows_nothing_else(client: httpx.AsyncClient) -> None:
    assert (await client.post("/readyz")).status_code == 405
    assert (await client.get("/../../etc/passwd")).status_code == 404
    assert "server" not in (await client.get("/healthz")).headers


async def test_an_occupied_port_gets_a_sentence_what_to_do(server: OpsServer, desk: Desk) -> None:
    second = OpsServer(Metrics(desk), desk, port=server.port)
    with pytest.raises(PortTaken, match=rf"127\.0\.0\.1:{server.port} is taken.*\[telemetry\] port"):
        await second.start()
    await second.stop()


async def test_a_host_that_is_not_ours_gets_a_sentence_too(desk: Desk) -> None:
    with pytest.raises(PortTaken, match=r"no address of this machine.*\[telemetry\] host"):
        await OpsServer(Metrics(desk), desk, host="192.0.2.1", port=0).start()
    with pytest.raises(PortTaken, match="can't be listened on"):
        await OpsServer(Metrics(desk), desk, host="no.such.host.invalid", port=0).start()


async def test_it_listens_on_loopback_only_and_the_port_is_free_again_after_stop(desk: Desk) -> None:
    first = OpsServer(Metrics(desk), desk, port=0)
    await first.start()
    assert first.host == "127.0.0.1"
    async with httpx.AsyncClient(trust_env=False) as idle:  # keeps its connection open
        assert (await idle.get(f"http://127.0.0.1:{first.port}/healthz")).status_code == 200
        await asyncio.wait_for(first.stop(), 5)
    again = OpsServer(Metrics(desk), desk, port=first.port)
    await again.start()
    await again.stop()


async def test_stop_does_not_wait_for_a_client_that_never_ends(desk: Desk) -> None:
    """Half a request on an open connection must not hold up the end of the day."""
    served = OpsServer(Metrics(desk), desk, port=0)
    await served.start()
    _, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n")
    await writer.drain()
    await asyncio.sleep(0.05)
    await asyncio.wait_for(served.stop(), 5)
    writer.close()


async def test_it_installs_no_signal_handlers_and_leaves_no_task(desk: Desk) -> None:
    before = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
    tasks = asyncio.all_tasks()
    served = OpsServer(Metrics(desk), desk, port=0)
    await served.start()
    assert {name: signal.getsignal(name) for name in before} == before
    assert asyncio.all_tasks() == tasks, "nothing ticks: a lockstep clock would never stand still"
    await served.stop()


async def test_a_view_that_raises_costs_one_answer(
    client: httpx.AsyncClient, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.now = None  # type: ignore[assignment]
    assert (await client.get("/metrics")).status_code == 500
    desk.now = DayState("open", ready=True)
    assert (await client.get("/metrics")).status_code == 200
    assert "Error: " in caplog.text


def test_the_servers_libraries_are_loaded_only_when_it_starts() -> None:
    code = "import sys, bot.telemetry.ops_server; sys.exit(bool({'uvicorn', 'starlette'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])


async def test_an_ipv6_loopback_works_where_there_is_one(desk: Desk) -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    served = OpsServer(Metrics(desk), desk, host="::1", port=0)
    try:
        await served.start()
    except PortTaken:
        pytest.skip("this machine has no IPv6 loopback")
    async with httpx.AsyncClient(trust_env=False) as opened:
        assert (await opened.get(f"http://[::1]:{served.port}/healthz")).status_code == 200
    await served.stop()
