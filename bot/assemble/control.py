"""How a person's command reaches the running bot: a socket in the data folder, for whoever may write there.

One word a connection (flatten, resume, state), one line of JSON back: what the engine knows right now. A word
becomes an event for the engine, like everything else; nothing is decided here.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import orjson

from bot.assemble.plan import Desk, Lines
from bot.core.engine import Engine
from bot.core.events import BY_HAND, Operator, OperatorAction
from bot.run.ports import Clock

Beside: TypeAlias = Callable[[Lines], Awaitable[None]]
SOCKET_NAME: Final = "bot.sock"
_ACTIONS: Final = {b"flatten": OperatorAction.FLATTEN, b"resume": OperatorAction.RESUME}
_SECONDS: Final = 5.0


class NobodyAnswers(Exception):
    """There is a bot, but it could not be spoken to. Says what to do instead; shown as it stands."""


def state_of(engine: Engine) -> dict[str, Any]:
    """What a person wants to know of the engine."""
    account = engine.account
    held = {desk.name: desk.holding.position for desk in engine.desks.values() if desk.holding.position}
    return {
        "flat": engine.flat and engine.ready,
        "ready": engine.ready,
        "positions": held,
        "orders_open": len(account.open),
        "halted": engine.entries_stopped,
        "gross_paise": account.realized_gross,
        "charges_paise": account.charges,
    }


class Control:
    """Serves one day: `ready` gets its desk, `serve` runs beside it."""

    def __init__(self, folder: Path, clock: Clock, log: Any) -> None:
        self._path, self._clock, self._log = folder / SOCKET_NAME, clock, log
        self._desk: Desk | None = None

    def ready(self, desk: Desk) -> None:
        self._desk = desk

    async def serve(self, lines: Lines) -> None:
        """Until cancelled. Without a socket (a full disk, a path too long) the day goes on without it."""

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                async with asyncio.timeout(_SECONDS):
                    word = (await reader.readline()).strip()
                if action := _ACTIONS.get(word):
                    lines.put(Operator(self._clock.now(), self._clock.monotonic(), action, BY_HAND))
                    for _ in range(20):  # the engine's turn
                        await asyncio.sleep(0)
                assert self._desk is not None
                writer.write(orjson.dumps(state_of(self._desk.engine)) + b"\n")
                await writer.drain()
            except (TimeoutError, ConnectionError):
                pass  # whoever asked is gone
            finally:
                writer.close()

        try:
            self._path.unlink(missing_ok=True)  # of a bot that died: we hold the folder's lock
            server = await asyncio.start_unix_server(answer, self._path)
            self._path.chmod(0o600)
        except OSError as error:
            self._log.warning("control", problem=f"{self._path}: {error}: `bot flatten` can't reach this bot")
            return
        async with server:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self._path.unlink(missing_ok=True)


def together(clock: Clock, works: Sequence[Beside], *, sell: bool) -> Beside:
    """All of `works` as one, under the same rule: what one raises ends all. `sell`: all must go, by hand."""

    async def run(lines: Lines) -> None:
        if sell:
            lines.put(Operator(clock.now(), clock.monotonic(), OperatorAction.FLATTEN, BY_HAND))
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(_running(work, lines))

    return run


async def _running(work: Beside, lines: Lines) -> None:
    await work(lines)


def ask(folder: Path, word: str) -> dict[str, Any]:
    """Say a word to the bot that holds the folder. Raises NobodyAnswers."""
    path = folder / SOCKET_NAME
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(_SECONDS)
            line.connect(str(path))
            line.sendall(word.encode() + b"\n")
            answer = line.makefile("rb").readline()
        found: dict[str, Any] = orjson.loads(answer)
    except (OSError, orjson.JSONDecodeError) as error:
        raise NobodyAnswers(
            f"{path}: the running bot does not answer ({error}). Before its day begins it cannot; else "
            "stop it (SIGTERM sells what is open), or close the position in the broker's app."
        ) from None
    return found
