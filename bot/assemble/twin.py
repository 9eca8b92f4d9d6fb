"""`bot twin`: the twin alone, on the wall clock or faster, for any Upstox client."""

import asyncio
import contextlib
from datetime import date, time
from pathlib import Path

from rich.console import Console

from bot.assemble.market import DemoRefused, recorded_market, synthetic_market
from bot.core.units import ist_nanos
from bot.run.live import WallClock
from bot.storage.calendar_file import packaged
from bot.twin import control
from bot.twin.faults import Fault
from bot.twin.hours import holiday_rows
from bot.twin.login import App
from bot.twin.script import ScriptRefused, read_script
from bot.twin.server import Twin
from bot.twin.tls import Certificate, TlsUnavailable, make_certificate


def serve_twin(
    files: tuple[Path, ...],
    *,
    port: int,
    seed: int,
    speed: float,
    at: str,
    console: Console,
    script: Path | None = None,
    tls: Path | None = None,
    settings: Path | None = None,
) -> None:
    """Serve until the twin's close or Ctrl-C. Raises DemoRefused for what a person must mend."""
    market = recorded_market(files) if files else synthetic_market(seed, calm=True)
    try:
        starts_at = ist_nanos(market.session.day, time.fromisoformat(at))
    except ValueError:
        raise DemoRefused([f"--at {at}: write a time of day like 09:15"]) from None
    day = market.session.day
    faults = _script(script, day) if script else ()
    certificate = _certificate(tls) if tls else None
    twin = Twin(
        WallClock(starts_at=starts_at, speed=speed),
        {contract.key: contract for contract in market.contracts},
        market.events,
        opens_at=market.session.open_at,
        closes_at=market.session.close_at,
        seed=seed,
        faults=faults,
        holidays=holiday_rows(packaged(), day.year),
        tls=certificate,
        rest_port=port,
        stream_port=port + 1 if port else 0,
    )

    async def serve() -> None:
        try:
            addresses = await twin.start()
        except OSError as error:
            raise DemoRefused(
                [f"port {port} or {port + 1}: {error.strerror}. Give another --port."]
            ) from None
        console.print(f"[bold]{market.title}[/bold] · {speed:g} × real time from {at} IST")
        console.print(f"  REST        {addresses.rest}", highlight=False)
        console.print(f"  WebSocket   {addresses.streams}", highlight=False)
        console.print(f"  token       {twin.token}", highlight=False)
        console.print(f"  login       {App().client_id} / {App().client_secret}", highlight=False)
        console.print(f"  faults      curl -d 'drop market' {addresses.rest}{control.PATH}", highlight=False)
        if tls:
            console.print(f"  trust       {tls}", highlight=False)
        for contract in market.contracts:
            console.print(f"  instrument  {contract.key}  lot {contract.lot}", highlight=False)
        if settings is not None:
            _write_settings(settings, addresses.rest, [contract.key for contract in market.contracts])
            console.print(f"\nIn another terminal, in the twin's own time ({settings} says where it is):")
            for line in (
                f"export BOT_LOGIN__API_SECRET={App().client_secret}",
                f"export BOT_SANDBOX_ACCESS_TOKEN={twin.token}  # for --mode sandbox",
                f"bot login --config {settings}",
                f"bot preflight --config {settings}",
                f"bot run --config {settings} -v",
            ):
                console.print(f"  {line}", highlight=False, soft_wrap=True)
        try:
            await twin.run()
        finally:
            await twin.stop()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve())


_SETTINGS = """\
# Written by `bot twin --settings`: for practising, against the twin alone.
[broker]
api_host = "{rest}"
order_host = "{rest}"
sandbox_host = "{rest}"

[login]
api_key = "{api_key}"

{instruments}
[risk]
daily_loss_rupees = 5000
accept_no_edge = true

[data]
folder = "twin-data"
instrument_master = "{rest}/market-quote/instruments/exchange/complete.json.gz"

[archive]
root = "twin-archive"
"""


def _write_settings(path: Path, rest: str, keys: list[str]) -> None:
    """Settings that lead every command to this twin. Raises DemoRefused."""
    instruments = "".join(f'[[instruments]]\nkey = "{key}"\n' for key in keys)
    text = _SETTINGS.format(rest=rest, api_key=App().client_id, instruments=instruments)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DemoRefused(
            [f"--settings {path}: {error.strerror}. Give a file that can be written."]
        ) from None


def _script(path: Path, day: date) -> tuple[Fault, ...]:
    try:
        return read_script(path.read_text(encoding="utf-8"), str(path), day)
    except ScriptRefused as refused:
        raise DemoRefused(refused.problems) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DemoRefused([f"--script {path}: it cannot be read ({error}). Give a text file."]) from None


def _certificate(authority: Path) -> Certificate:
    """Made now; whoever trusts the file written here believes the twin."""
    try:
        certificate = make_certificate()
        authority.write_bytes(certificate.authority_pem)
    except TlsUnavailable as missing:
        raise DemoRefused([str(missing)]) from None
    except OSError as error:
        raise DemoRefused(
            [f"--tls {authority}: {error.strerror}. Give a file that can be written."]
        ) from None
    return certificate
