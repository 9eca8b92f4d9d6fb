"""Paper and sandbox: live prices over real sockets, simulated orders that reach no live host."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from bot.assemble.broker import Sandbox
from bot.assemble.closing import EXIT_DONE
from bot.core.commands import Decision, ModifyOrder, PlaceOrder, Reason, RecordFill
from bot.core.events import BrokerSnapshot, Event, OrderReport, OrderType, Outcome, SendOutcome, Side, Tick
from bot.core.rules import Contract
from bot.core.units import SECOND
from bot.run.ports import Turn
from bot.sim.exchange import SimExchange
from bot.sim.orders import ExchangeRules
from bot.sim.pace import Pace
from bot.sim.paper import PaperBroker
from bot.storage.journal import JournalRefused
from bot.twin.access import Stream
from bot.upstox.auth import Token
from tests.conftest import KEY, at
from tests.days import SHORT, Running, ShortDay
from tests.loopback import CountingClock, Script, answer, error, serving, success

ORDER_PATHS = re.compile(r"/order/(place|modify|cancel|positions|multi)|portfolio|/order/retrieve|/user/")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Every REST call that any twin answers, by method and path."""
    calls: Counter[str] = Counter()
    draw = Pace.__call__

    def counted(pace: Pace, words: bytes) -> Random:
        calls[words.partition(b"?")[0].decode()] += 1
        return draw(pace, words)

    monkeypatch.setattr(Pace, "__call__", counted)
    return calls


class Ledger:
    """An observer: what came of orders, by the one who took them."""

    def __init__(self) -> None:
        self.reports: list[OrderReport] = []
        self.outcomes: list[SendOutcome] = []

    def hear(self, turn: Turn) -> None:
        if isinstance(turn.event, OrderReport):
            self.reports.append(turn.event)
        elif isinstance(turn.event, SendOutcome):
            self.outcomes.append(turn.event)


class Prices:
    """An observer: the touch at each tick."""

    def __init__(self) -> None:
        self.touches: list[tuple[int, int, int]] = []

    def hear(self, turn: Turn) -> None:
        if isinstance(turn.event, Tick):
            self.touches.append((turn.event.at, turn.event.bid, turn.event.ask))


def test_a_paper_day_trades_on_live_prices_and_asks_the_broker_for_nothing_but_the_feed(
    tmp_path: Path, asked: Counter[str]
) -> None:
    """A read-only token suffices: the only calls are for the market socket's address. Books equal, flat."""
    portfolio_links: list[int] = []
    feed = Prices()

    async def look(running: Running) -> None:
        for clock in ("09:16:00", "09:22:00", "09:29:00"):
            await running.until(clock)
            portfolio_links.append(running.twin.links[Stream.PORTFOLIO])

    outcome = ShortDay(tmp_path, mode="paper", meanwhile=look, observers=(feed,)).run()
    result = outcome.result
    assert result.exit_code == EXIT_DONE
    assert result.books is not None
    assert result.books.reconciled
    assert result.summary.trades >= 3
    assert result.summary.holding == ()
    assert set(asked) == {"GET /v3/feed/market-data-feed/authorize"}
    assert outcome.twin.exchange.orders() == ()
    assert portfolio_links == [0, 0, 0]
    assert all(row["trade_id"] for row in outcome.csv_rows)
    for fill in result.fills:  # no gifts: a buy pays an ask that was there, a sell gets a bid
        near = [(bid, ask) for when, bid, ask in feed.touches if abs(when - fill.at) <= 2 * SECOND]
        price = fill.value / fill.quantity
        if fill.side is Side.BUY:
            assert price >= min(ask for _, ask in near)
        else:
            assert price <= max(bid for bid, _ in near)


def test_a_paper_day_killed_in_a_position_goes_on_with_it(tmp_path: Path) -> None:
    """The exchange lived in the process that died: the journal gives the account back, and it is sold."""
    held: list[int] = []

    async def kill(running: Running) -> None:
        await running.until("09:18:00")
        position = 0
        while not position:
            await running.clock.sleep_until(running.clock.now() + SECOND // 5)
            assert running.clock.now() < SHORT.flatten_at, "never in a position, and only its stop open"
            desk = running.desk
            assert desk is not None
            if all(order.command.reason is Reason.STOP_LOSS for order in desk.engine.account.open.values()):
                position = sum(holding.position for holding in desk.engine.account.holdings.values())
        held.append(position)
        running.kill_and_restart()

    outcome = ShortDay(tmp_path, mode="paper", meanwhile=kill).run()
    result = outcome.result
    assert held == [65]
    assert result.exit_code == EXIT_DONE
    assert result.summary.holding == ()
    assert result.books is not None
    assert result.books.reconciled, result.books.differences
    assert "PositionMismatch" not in (tmp_path / "log.jsonl").read_text()
    assert outcome.twin.exchange.orders() == ()


def sandbox_day(folder: Path, script: Script, ledger: Ledger) -> dict[str, list[object]]:
    """A short day in mode sandbox; the sandbox's words by event name."""
    day = ShortDay(
        folder,
        mode="sandbox",
        observers=(ledger,),
        sandbox_of=lambda _: Sandbox(script.base, Token("sandbox-token")),
    )
    result = day.run().result
    assert result.exit_code == EXIT_DONE
    assert result.summary.trades >= 3
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    answers: dict[str, list[object]] = {}
    for line in lines:
        if line["event"] == "sandbox_answer":
            answers.setdefault(line["outcome"], []).append(line["tag"])
    return answers


@pytest.fixture
def script() -> Iterator[Script]:
    runner = asyncio.Runner()
    serve = serving()
    with runner:
        script = runner.run(serve.__aenter__())
        yield script
        runner.run(serve.__aexit__(None, None, None))


def test_sandbox_posts_each_order_once_with_its_own_token_and_believes_nothing(
    tmp_path: Path, script: Script, asked: Counter[str]
) -> None:
    ledger = Ledger()
    number = iter(range(10_000))

    async def take(sent: object) -> object:
        return await success({"order_ids": [f"sandbox-{next(number)}"]})(sent)  # type: ignore[arg-type]

    script.on("/v3/order/place", take)  # type: ignore[arg-type]
    script.on("/v3/order/modify", error(400, "UDAPI100041", "order is final"))
    script.on("/v3/order/cancel", success({"order_id": "sandbox"}))
    answers = sandbox_day(tmp_path, script, ledger)
    placed = [sent.body["tag"] for sent in script.sent if sent.path == "/v3/order/place"]
    at_the_exchange = {report.tag for report in ledger.reports}
    assert len(placed) == len(set(placed))
    assert set(placed) == at_the_exchange
    assert all(sent.headers["authorization"] == "Bearer sandbox-token" for sent in script.sent)
    amended = [sent.body["order_id"] for sent in script.sent if sent.path == "/v3/order/modify"]
    assert all(order_id.startswith("sandbox-") for order_id in amended)
    assert sum(map(len, answers.values())) == len(ledger.outcomes)
    assert set(asked) == {"GET /v3/feed/market-data-feed/authorize"}


def test_a_sandbox_that_refuses_changes_no_trade(tmp_path: Path, script: Script) -> None:
    """The same seed in paper and in a sandbox that says 500, 401, an empty 400: the same fills."""
    script.on("/v3/order/place", *(error(status, "") for status in (500, 401)), answer(400))
    answers = sandbox_day(tmp_path / "sandbox", script, Ledger())
    assert "ACCEPTED" not in answers
    placed = [sent.body["tag"] for sent in script.sent]
    assert len(placed) == len(set(placed)), "a refused copy was posted again"
    ShortDay(tmp_path / "paper", mode="paper").run()
    csv = "data/trades-2026-09-16.csv"
    assert (tmp_path / "paper" / csv).read_text() == (tmp_path / "sandbox" / csv).read_text()


# ---- the port itself -------------------------------------------------------------------------------------

CONTRACT = Contract(KEY, 65, 65, 5, 1755, "NSE")
SEEN = Decision(at("09:20:00"), 300_00, 0.0, 0.0, 0.0, 0.9)


class Clock(CountingClock):
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        super().__init__()
        self.time = at("09:20:00")

    def now(self) -> int:
        return self.time

    def monotonic(self) -> int:
        return self.time


def paper() -> tuple[PaperBroker, Clock, list[Event]]:
    clock, heard = Clock(), list[Event]()
    exchange = SimExchange({KEY: CONTRACT}, Random(1), ExchangeRules(), SHORT.open_at, SHORT.close_at)
    broker = PaperBroker(clock, heard.append, exchange)
    broker.hear(Tick(clock.now(), 0, KEY, 300_00, 65, 0, 299_95, 300_05, 650, 650, 0))
    return broker, clock, heard


def buy(tag: str, **more: object) -> PlaceOrder:
    order = PlaceOrder(tag, KEY, Side.BUY, OrderType.LIMIT, 65, 300_10, 0, "D", Reason.ENTRY, SEEN)
    return order._replace(**more)  # type: ignore[arg-type]


async def test_a_refusal_is_the_brokers_own_and_a_modify_reaches_the_order() -> None:
    broker, clock, heard = paper()
    await broker.send(buy("a", instrument="NSE_FO|1"))
    await broker.send(buy("b", price=290_00))
    refused, taken = [event for event in heard if isinstance(event, SendOutcome)]
    assert (refused.outcome, refused.code) == (Outcome.REFUSED, "UDAPI100011")
    assert taken.outcome is Outcome.ACCEPTED
    clock.time += SECOND
    await broker.send(ModifyOrder("b", taken.order_id, OrderType.LIMIT, 65, 300_10, 0, Reason.ENTRY))
    clock.time += SECOND
    await broker.ask_snapshot()
    snapshot = heard[-1]
    assert isinstance(snapshot, BrokerSnapshot)
    (row,) = (order for order in snapshot.orders if order.tag == "b")
    assert (row.status, row.filled_quantity, row.filled_value) == ("complete", 65, 65 * 300_05)
    assert [(each.instrument, each.quantity) for each in snapshot.positions] == [(KEY, 65)]


def test_simulated_orders_of_today_are_never_taken_up_by_a_live_start(tmp_path: Path) -> None:
    """Paper at ten, live at eleven, one data folder: a position that is nobody's must not be sold."""

    async def kill(running: Running) -> None:
        await running.until("09:20:00")
        object.__setattr__(running.plan, "mode", "live")
        running.kill_and_restart()

    with pytest.raises(JournalRefused, match=r"orders of mode paper; this start is mode live"):
        ShortDay(tmp_path, mode="paper", meanwhile=kill).run()


@pytest.mark.parametrize("value", [130 * 300_05, 65 * 300_05 + 65 * 300_10, 65 * 300_05 + 65 * 300_10 + 7])
async def test_what_is_carried_over_a_restart_is_exact_to_the_paisa(value: int) -> None:
    broker, _, heard = paper()
    order = buy("k1", quantity=195)
    fill = RecordFill(
        at("09:16:00"), KEY, Side.BUY, Reason.ENTRY, 130, value, SEEN, 0, 0, 0, 130, "42", "", "", "D", "k1"
    )
    never_sent = buy("k2")
    broker.resume([order, fill, never_sent])
    await broker.ask_snapshot()
    snapshot = heard[-1]
    assert isinstance(snapshot, BrokerSnapshot)
    (row,) = snapshot.orders
    assert (row.tag, row.status, row.filled_quantity, row.filled_value) == ("k1", "cancelled", 130, value)
    assert snapshot.positions[0].quantity == 130
    trades = await broker.trades()
    assert sum(trade.quantity * trade.price for trade in trades) == value
    assert sum(trade.quantity for trade in trades) == 130
