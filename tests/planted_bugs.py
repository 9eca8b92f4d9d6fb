"""Bugs on purpose: each is a small patch of the bot, and the simulated days must notice every one.

`python -m tests.planted_bugs --search 2000` looks for a seed that kills each; tests/test_planted_bugs.py
repeats the seeds found. A bug that survives shows where the judge (simulate/checks.py) is blind. It knows the
insides of the bot, as a bug does; nothing of the bot knows it.
"""

import argparse
import asyncio
import logging
import multiprocessing
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import time
from functools import partial
from typing import Any, Final, NamedTuple
from unittest.mock import patch

from bot.assemble import day, world, world_lives
from bot.assemble.world import DAY, World
from bot.core import account, engine, leaving, risk, strategy
from bot.core.commands import ModifyOrder, PlaceOrder
from bot.core.events import Act, Heartbeat, OrderType, Outcome, SendOutcome, Side, Tick
from bot.core.orders import Word
from bot.core.session import Session
from bot.core.units import SECOND
from bot.simulate.checks import Breach
from bot.simulate.troubles import Kind, Trouble
from bot.upstox import broker, rest, wire_market, wire_orders

SHORT: Final = Session.on(DAY, opens=time(15, 20), entry_cutoff=time(15, 28))
Patch = Callable[[], AbstractContextManager[Any]]


def _scripted(
    *kinds: Kind, every: float = 25.0, seconds: float = 8.0, amount: int = 12
) -> tuple[Trouble, ...]:
    """The same troubles in turn, from the first trades to the flatten."""
    begin, end = SHORT.open_at + 70 * SECOND, SHORT.flatten_at - 20 * SECOND
    count = int((end - begin) / (every * SECOND))
    return tuple(
        Trouble(round(begin + n * every * SECOND), kinds[n % len(kinds)], seconds, amount)
        for n in range(count)
    )


class Bug(NamedTuple):
    """`plant` makes the context in which the bot is wrong; `seed` kills it. None: its own troubles."""

    name: str
    seed: int
    plant: Patch
    troubles: Sequence[Trouble] | None = ()


def _instead(owner: Any, name: str, make: Callable[[Any], Any]) -> Patch:
    """`owner.name` replaced by what `make` makes of the real one."""
    return lambda: patch.object(owner, name, make(getattr(owner, name)))


def _outcomes(change: Callable[[SendOutcome], SendOutcome]) -> Patch:
    return _instead(broker, "SendOutcome", lambda real: lambda **named: change(real(**named)))


def _commands(change: Callable[[Any, list[Any], Any], list[Any]]) -> Patch:
    """What the engine decides, changed on its way out."""

    def make(real: Any) -> Any:
        def handle(self: Any, event: Any, *, newest: bool = True) -> list[Any]:
            return change(self, real(self, event, newest=newest), event)

        return handle

    return _instead(engine.Engine, "handle", make)


def _each(change: Callable[[Any], Any]) -> Patch:
    def make(_: Any, commands: list[Any], __: Any) -> list[Any]:
        return [made for made in map(change, commands) if made is not None]

    return _commands(make)


def _unless(kind: type, when: Callable[[Any], bool] = lambda _: True) -> Patch:
    """Commands of a kind never leave."""
    return _each(lambda command: None if isinstance(command, kind) and when(command) else command)


def _entry(command: Any) -> bool:
    return isinstance(command, PlaceOrder) and command.reason == "ENTRY"


def _changed(which: Callable[[Any], bool], **to: Any) -> Patch:
    def change(command: Any) -> Any:
        if not which(command):
            return command
        return command._replace(**{name: make(command) for name, make in to.items()})

    return _each(change)


def _only_guard(*without: str) -> Patch:
    def make(real: Any) -> Any:
        def guard(*args: Any) -> Any:
            found = real(*args)
            return None if found in without else found

        return guard

    return _instead(risk, "_mechanics", make)


def _too_old() -> AbstractContextManager[Any]:
    """Neither is a younger tick waited for, nor is one of long ago too old."""
    return _both(_only_guard("behind"), _instead(risk, "_age", lambda real: lambda *_: None))


def _twice(real: Any) -> Any:
    async def send(self: Any, command: Any) -> None:
        await real(self, command)
        if isinstance(command, PlaceOrder):
            await real(self, command)

    return send


def _resend(real: Any) -> Any:
    """Asked again when no answer came, as the first implementation did."""

    async def place(self: Any, command: Any) -> Any:
        result = await real(self, command)
        return await real(self, command) if result.outcome is Outcome.UNKNOWN else result

    return place


def _sleepy(real: Any) -> Any:
    """The call on the decision path: everything waits for it."""

    async def send(self: Any, command: Any) -> None:
        loop: Any = asyncio.get_running_loop()
        if isinstance(command, PlaceOrder):
            loop._selector.seconds += 8.0  # what the machine's clock does while nobody can answer
        await real(self, command)

    return send


def _forgets(real: Any) -> Any:
    def replay(bot: Any, _kept: Any, mono: Any) -> Any:
        return real(bot, [], mono)

    return replay


def _only_on_ticks(real: Any) -> Any:
    def handle(self: Any, event: Any, *, newest: bool = True) -> list[Any]:
        if not isinstance(event, Tick) and event.at >= self.session.flatten_at:
            return []
        return list(real(self, event, newest=newest))

    return handle


def _adds(real: Any) -> Any:
    """Each word's filled quantity taken for news, not for the sum of all."""

    def heard(self: Any, report: Any) -> Any:
        order = self.orders[report.tag]
        return real(self, report._replace(filled_quantity=order.filled + report.filled_quantity))

    return heard


def _first_word_only(real: Any) -> Any:
    def heard(self: Any, report: Any) -> Any:
        order = self.orders[report.tag]
        return real(self, report._replace(filled_quantity=order.filled) if order.filled else report)

    return heard


class _Flipped:
    BUY, SELL = Side.SELL, Side.BUY


def _both(first: Patch, second: Patch) -> AbstractContextManager[Any]:
    from contextlib import ExitStack

    stack = ExitStack()
    stack.enter_context(first())
    stack.enter_context(second())
    return stack


def _ready_anyhow(self: Any, *_: Any) -> None:
    self.ready = self.known = True


def _halved(report: Any) -> Any:
    return report._replace(filled_quantity=report.filled_quantity // 2)


def _as_sell(command: ModifyOrder) -> PlaceOrder:
    return PlaceOrder(
        f"{command.tag}x", world.KEY, Side.SELL, command.order_type, command.quantity, command.price,
        command.trigger_price, "D", command.reason, command.decision,
    )  # fmt: skip


def _late(self: Any, commands: list[Any], event: Any) -> list[Any]:
    """Entries are kept back until a heartbeat of five seconds later."""
    kept = self.__dict__.setdefault("kept_back", [])
    kept += [(event.mono, c) for c in commands if _entry(c)]
    out = [c for c in commands if not _entry(c)]
    if isinstance(event, Heartbeat):
        out += [c for mono, c in kept if event.mono - mono >= 5 * SECOND]
        kept[:] = [(mono, c) for mono, c in kept if event.mono - mono < 5 * SECOND]
    return out


def _amnesia(real: Any) -> Any:
    class Amnesia(real):  # type: ignore[misc]
        def read(self) -> list[Any]:
            return []

    return Amnesia


async def _empty(*_: Any) -> tuple[Any, ...]:
    return ()


async def _tells_token(*_: Any) -> tuple[Any, ...]:
    raise ValueError(world.CANARY)


def _raises(*_: Any) -> Any:
    raise ValueError("a frame that can't be read")


def _asserted(outcome: SendOutcome) -> SendOutcome:
    assert outcome.act is not Act.PLACE or outcome.outcome is not Outcome.UNKNOWN
    return outcome


LOST: Final = _scripted(Kind.REPLY_LOST, Kind.REPLY_SLOW, Kind.ACCEPTED_LATE, every=12.0)
DEATHS: Final = _scripted(Kind.KILL_AFTER, Kind.KILL, every=45.0, seconds=1.0)
PARTS: Final = _scripted(Kind.THIN_BOOK, every=60.0, seconds=59.0, amount=1)
STREAM: Final = _scripted(Kind.STREAM_LOSES, every=40.0, seconds=12.0)

BUGS: Final = (
    # ---- the first implementation's own
    Bug(
        "timeout taken for a rejection", 1,
        _outcomes(lambda o: o._replace(outcome=Outcome.REFUSED) if o.outcome is Outcome.UNKNOWN else o), LOST,
    ),
    Bug("fire and forget", 1, lambda: _both(
        _instead(engine.Engine, "_report", lambda real: lambda *_: None),
        _instead(engine.Engine, "_snapshot", lambda real: _ready_anyhow))),
    Bug("flatten only on a tick", 3, _instead(engine.Engine, "handle", _only_on_ticks),
        (Trouble(SHORT.flatten_at - 62 * SECOND, Kind.FEED_REFUSED, 170.0, 0),
         Trouble(SHORT.flatten_at - 62 * SECOND, Kind.FEED_DROP, 0.0, 0))),
    Bug("state lost on a crash", 2, lambda: _both(
        _instead(day, "replay", _forgets),
        _instead(engine.Engine, "is_own", lambda real: lambda self, tag: tag in self.account.orders)),
        DEATHS),
    Bug("blind re-send", 1, _instead(rest.UpstoxRest, "place", _resend), LOST),
    Bug("every order sent twice", 1, _instead(broker.UpstoxBroker, "send", _twice)),
    Bug("a blocking call", 1, _instead(broker.UpstoxBroker, "send", _sleepy)),
    Bug("the sign of the fills flipped", 1, _instead(account, "Side", lambda real: _Flipped)),
    # ---- hearing
    Bug("fills added, not compared", 1, _instead(account.Account, "heard", _adds), PARTS),
    Bug("only the first fill of an order heard", 1, _instead(account.Account, "heard", _first_word_only),
        PARTS),
    Bug("an accepted order is taken for complete", 1, _instead(
        account.Account, "_move", lambda real: lambda self, order, word: real(
            self, order, Word.COMPLETE if word is Word.ACCEPTED else word))),
    Bug("quantity of a report halved", 1, _instead(
        wire_orders, "order_report", lambda real: lambda *a: _halved(real(*a)))),
    # ---- protection
    Bug("no stop at the exchange", 1, _unless(PlaceOrder, lambda c: c.order_type is OrderType.SL)),
    Bug("the stop covers half, and nobody looks", 1, lambda: _both(
        _changed(lambda c: isinstance(c, PlaceOrder) and c.order_type is OrderType.SL and c.quantity > 65,
                 quantity=lambda c: c.quantity - 65),
        _instead(leaving, "_resize", lambda real: lambda *_: iter(())))),
    Bug("the stop at a price off the tick", 1, _changed(
        lambda c: isinstance(c, PlaceOrder) and c.order_type is OrderType.SL, price=lambda c: c.price + 1)),
    Bug("the stop without a price", 1, _changed(
        lambda c: isinstance(c, PlaceOrder) and c.order_type is OrderType.SL, price=lambda _: 0)),
    Bug("the stop in another instrument", 1, _changed(
        lambda c: isinstance(c, PlaceOrder) and c.order_type is OrderType.SL,
        instrument=lambda _: "NSE_FO|1")),
    Bug("a second SELL beside the stop", 1, _each(
        lambda c: _as_sell(c) if isinstance(c, ModifyOrder) else c)),
    Bug("the stop buys", 1, _changed(
        lambda c: isinstance(c, PlaceOrder) and c.order_type is OrderType.SL, side=lambda _: Side.BUY)),
    # ---- leaving
    Bug("no flatten at all", 1, _instead(
        engine.Engine, "_exit", lambda real: lambda self, desk, reason, at: None)),
    Bug("exits never priced, no last rung", 3, lambda: _both(
        _unless(ModifyOrder), _instead(leaving, "_last_rung", lambda real: lambda *_: ""))),
    Bug("an exit one lot too large", 1, _changed(
        lambda c: isinstance(c, ModifyOrder), quantity=lambda c: c.quantity + 65)),
    Bug("an exit of twice what is held", 1, _changed(
        lambda c: isinstance(c, ModifyOrder), quantity=lambda c: 2 * c.quantity)),
    Bug("flatten forgets the position", 1, _instead(leaving, "sellable", lambda real: lambda desk: 0)),
    # ---- entering
    Bug("entries of double the quantity", 1, _changed(_entry, quantity=lambda c: 2 * c.quantity)),
    Bug("entries of half a lot", 1, _changed(_entry, quantity=lambda c: 32)),
    Bug("entries at a price off the tick", 1, _changed(_entry, price=lambda c: c.price + 1)),
    Bug("entries in another instrument", 1, _changed(_entry, instrument=lambda _: "NSE_FO|1")),
    Bug("entries when an order is unknown", 1, _only_guard("order_unknown", "order_open"), LOST),
    Bug("entries while long or an order is open", 1, lambda: _both(
        _only_guard("order_open"),
        _instead(strategy, "want", lambda real: lambda *a, long: real(*a, long=False)))),
    Bug("what came late is traded on", 1, _too_old, _scripted(Kind.NET_BURST, every=12.0, seconds=4.5)),
    Bug("entries after the cut-off", 1, _only_guard("phase")),
    Bug("entries on a dead feed's last tick", 1, _commands(_late),
        _scripted(Kind.FEED_STALL, every=60.0, seconds=20.0)),
    Bug("no limit of entries", 1, _instead(risk, "_limits", lambda real: lambda *_: None)),
    Bug("entries beyond the config's quantity by one", 1,
        _changed(_entry, quantity=lambda c: c.quantity + 1)),
    Bug("entries for nothing", 1, _changed(_entry, price=lambda _: 0)),
    Bug("entries sold, not bought", 1, _changed(_entry, side=lambda _: Side.SELL)),
    Bug("entries without a number behind them", 1, _changed(
        _entry, decision=lambda c: c.decision._replace(probability=float("nan")))),
    # ---- restarts, the disk
    Bug("a restart doubts nothing", 39,
        _instead(account.Account, "doubt", lambda real: lambda self, mono: None), DEATHS),
    Bug("every start is the first, and its tags strangers", 2, lambda: _both(
        _instead(world_lives, "SimJournal", _amnesia),
        _instead(engine.Engine, "is_own", lambda real: lambda self, tag: tag in self.account.orders)),
        DEATHS),
    # ---- broken by others
    Bug("another hand's units sold, too", 1, _changed(
        lambda c: isinstance(c, PlaceOrder) and c.side is Side.SELL, quantity=lambda c: c.quantity + 65)),
    Bug("modifies raise", 1, _instead(rest.UpstoxRest, "modify", lambda real: _raises)),
    Bug("the order book is taken for empty", 2, _instead(
        rest.UpstoxRest, "order_book", lambda real: _empty), STREAM),
    Bug("positions read as flat", 1, _instead(rest.UpstoxRest, "positions", lambda real: _empty)),
    Bug("the token in the log", 1, _instead(
        rest.UpstoxRest, "order_book", lambda real: _tells_token)),
    Bug("frames of noise end the process", 1, _instead(
        wire_market.MarketDecoder, "_undecodable", lambda real: _raises), _scripted(Kind.FEED_GARBAGE)),
    Bug("a stalled answer ends the process", 1, _outcomes(_asserted), LOST),
)  # fmt: skip


def breaches(bug: Bug, seed: int) -> tuple[Breach, ...]:
    """What the judge says of a short day with this bug in the bot."""
    logging.getLogger("uvicorn.error").disabled = True  # calls cut short by the end of the day
    with bug.plant():
        try:
            return World(seed, SHORT, troubles=bug.troubles, until_breach=True).run().breaches
        except Exception as error:  # noqa: BLE001 - a bug that even the box notices is noticed
            return (Breach(0, "13 no crash", repr(error)),)


def search(number: int, seeds: int) -> tuple[int, int, str]:
    """(bug's number, seed that kills it or 0, what the judge said)."""
    for seed in range(1, seeds + 1):
        if found := breaches(BUGS[number], seed):
            return number, seed, str(found[0])
    return number, 0, "ALIVE"


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--search", type=int, default=10, help="seeds to try for each bug")
    words.add_argument("--only", default="", help="bugs with this in their name")
    words.add_argument("--jobs", type=int, default=2)
    asked = words.parse_args()
    numbers = [number for number, bug in enumerate(BUGS) if asked.only in bug.name]
    survived = 0
    with multiprocessing.get_context("spawn").Pool(asked.jobs) as pool:
        for number, seed, said in pool.imap_unordered(partial(search, seeds=asked.search), numbers):
            survived += not seed
            print(f"{seed:5}  {BUGS[number].name}: {said}"[:170], flush=True)
    print(f"{survived} of {len(numbers)} survived")
    return 1 if survived else 0


if __name__ == "__main__":
    raise SystemExit(main())
