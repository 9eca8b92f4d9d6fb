"""Checks of what is ours or public: instrument, lot and freeze, model, disk, archive, feed.

Slow work goes to a thread. What a check can't understand is raised, not swallowed: it is a mistake of ours.
"""

import asyncio
import os
import random
import shutil
import tempfile
from pathlib import Path
from typing import Final

from bot.assemble.preflight.finding import Finding, no_go, ok, warn
from bot.assemble.preflight.ground import Ground
from bot.core.calendar import CalendarRefused
from bot.core.events import Event, FeedUp, SegmentStatus, Tick
from bot.core.rules import Contract
from bot.core.selection import ContractRefused
from bot.core.units import SECOND, rupees_text
from bot.storage import calendar_file
from bot.storage.archive import ArchiveFailed, ArchiveRefused
from bot.storage.archive_probe import probe
from bot.storage.model import ModelRefused, load_model
from bot.upstox.feed import MarketFeed
from bot.upstox.instruments import Master, MasterRefused
from bot.upstox.reconnect import State
from bot.upstox.wire_market import MarketDecoder

FREE_WARN_BYTES: Final = 1 << 30
FREE_NO_GO_BYTES: Final = 200 << 20  # a day's journal and tape take some tens of MB
_OPEN: Final = "NORMAL_OPEN"
_LOOK_EVERY: Final = SECOND // 10


async def instrument(ground: Ground) -> Finding:
    """Is each contract listed today, an index option, and not about to expire?"""
    name = "instrument"
    try:
        master = await ground.master()
        for contract in ground.contracts:
            option = master.option(contract.key)
            if option.expiry < ground.day:
                advice = "Name a contract that is listed today in [[instruments]]."
                return no_go(name, f"{option.name} expired on {option.expiry}", advice)
            if not option.on_index:
                master.contract_of(contract.key, None, ground.day)
    except MasterRefused as refused:
        return no_go(name, str(refused), "Try again in a minute; the list is public and needs no token.")
    except ContractRefused as refused:
        return no_go(name, " ".join(refused.problems), "Correct [[instruments]] key in bot.toml.")
    said = ", ".join(f"{option.name} expires {option.expiry}" for option in map(master.option, ground.keys))
    alerts = [*master.warnings(ground.day), *_expiring(ground, master)]
    return warn(name, said, " ".join(alerts)) if alerts else ok(name, said)


def _expiring(ground: Ground, master: Master) -> list[str]:
    try:
        calendar = calendar_file.load(ground.settings.data_folder)
    except CalendarRefused:
        return []  # the calendar check says so
    words = []
    for key in ground.keys:
        left = calendar.trading_days(ground.day, master.option(key).expiry)
        words.append(master.expiry_warning(key, ground.day, left))
    return [word for word in words if word]


async def lot_and_freeze(ground: Ground) -> Finding:
    """Do lot, freeze quantity and tick of the settings equal the exchange's of today?"""
    name = "lot and freeze"
    try:
        master = await ground.master()
        wrong = [word for contract in ground.contracts for word in _differences(contract, ground, master)]
    except MasterRefused:
        return no_go(name, "not known without the instrument master", "See instrument.")
    except ContractRefused as refused:
        return no_go(name, "; ".join(refused.problems), "Correct [[instruments]] in bot.toml.")
    if wrong:
        return no_go(name, "; ".join(wrong), "Correct [[instruments]] in bot.toml.")
    said = ", ".join(
        f"{c.quantity} = {c.quantity // c.lot} × {c.lot}, at most {c.freeze_quantity} in an order"
        for c in ground.contracts
    )
    return ok(name, said)


def _differences(ours: Contract, ground: Ground, master: Master) -> list[str]:
    theirs = master.contract_of(ours.key, ours.quantity, ground.day)
    pairs = (
        ("lot", ours.lot, theirs.lot),
        ("freeze_quantity", ours.freeze_quantity, theirs.freeze_quantity),
        ("tick_rupees", ours.tick / 100, theirs.tick / 100),
    )
    return [
        f"{ours.name}: {setting} = {mine} in the settings, the exchange says {real}"
        for setting, mine, real in pairs
        if mine != real
    ]


async def model(ground: Ground) -> Finding:
    """Does the classifier prove itself on its passport's golden rows, with our sign of rel_diff?"""
    settings = ground.settings
    try:
        loaded = await asyncio.to_thread(
            load_model, settings.model_path, rel_diff=settings.rules.strategy.rel_diff
        )
    except ModelRefused as refused:
        return no_go("model", *_said_and_advice(str(refused)))
    rows = len(loaded.passport.golden_probabilities)
    return ok("model", f"{loaded.passport.sha256[:12]}, {rows} golden rows answered as its passport says")


def _said_and_advice(text: str) -> tuple[str, str]:
    said, _, advice = text.partition(". ")
    return said, advice or "Restore the model's folder, or correct [model] path."


async def disk(ground: Ground) -> Finding:
    """Can the data folder be written, and is there room for a day?"""
    return await asyncio.to_thread(check_disk, ground.settings.data_folder)


def check_disk(folder: Path, *, free_bytes: int | None = None) -> Finding:
    """`free_bytes`: as the system says, unless a test knows better."""
    name = "disk"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(prefix=".preflight-", dir=folder) as file:
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
        free = shutil.disk_usage(folder).free if free_bytes is None else free_bytes
    except OSError as error:
        advice = "Give the bot's user the folder, or set [data] folder to another."
        return no_go(name, f"{folder} can't be written ({error.strerror})", advice)
    said = f"{free / (1 << 30):.1f} GiB free in {folder}"
    advice = "Make room there, or set [data] folder to another disk: without a journal entries end."
    if free < FREE_NO_GO_BYTES:
        return no_go(name, said, advice)
    return warn(name, said, advice) if free < FREE_WARN_BYTES else ok(name, said)


async def archive(ground: Ground) -> Finding:
    """Write one object where days are stored, read it back, take it away."""
    name, root = "archive", ground.settings.archive_root
    # A name of its own: two preflights at once must not meet. (No day's file is called like this.)
    probe_name = f"probe-{ground.clock.now()}-{os.getpid()}.txt"
    try:
        left = await asyncio.to_thread(probe, root, probe_name)
    except ArchiveRefused as refused:
        return no_go(name, f"{root}: no use as the archive", str(refused))
    except ArchiveFailed as failed:
        return no_go(name, str(failed), "Check the network and the bucket; days stay here until it works.")
    if left:
        return warn(name, left, "Harmless: allow s3:DeleteObject on preflight/*, or remove it by hand.")
    return ok(name, f"{root}: written, read back, removed")


async def feed(ground: Ground) -> Finding:
    """Authorize, connect and subscribe; a tick of each instrument, or the word that the market is shut."""
    name, clock = "feed", ground.clock
    heard: list[Event] = []
    decoder = MarketDecoder(ground.keys)
    sample = MarketFeed(
        clock, heard.append, ground.rest.authorize_market, decoder, decoder.instruments, jitter=random.random
    )
    began = clock.monotonic()
    running = asyncio.create_task(sample.run())
    until = began + round(ground.feed_seconds * SECOND)
    try:
        while clock.monotonic() < until and not _enough(heard, ground):
            if running.done():
                running.result()  # ends only by a mistake of ours: raised here
            if sample.state is State.AUTH_REQUIRED:
                break
            await clock.sleep_until(clock.now() + _LOOK_EVERY)
    finally:
        running.cancel()
        await asyncio.wait({running})
    return judge_feed(name, ground, heard, sample, (clock.monotonic() - began) / SECOND)


def _enough(heard: list[Event], ground: Ground) -> bool:
    ticked = {event.instrument for event in heard if isinstance(event, Tick)}
    return ticked >= set(ground.keys) or bool(_shut(heard))


def _shut(heard: list[Event]) -> dict[str, str]:
    """Segments that the feed says are not open, with its word."""
    last = {event.segment: event.status for event in heard if isinstance(event, SegmentStatus)}
    return {segment: status for segment, status in last.items() if status != _OPEN}


def judge_feed(name: str, ground: Ground, heard: list[Event], sample: MarketFeed, seconds: float) -> Finding:
    """What came within the time, in words."""
    prices = {event.instrument: event.ltp for event in heard if isinstance(event, Tick)}
    if prices.keys() >= set(ground.keys):
        told = ", ".join(f"{c.name} ₹{rupees_text(prices[c.key])}" for c in ground.contracts)
        return ok(name, f"{told}, after {seconds:.1f} s")
    if shut := _shut(heard):
        told = ", ".join(f"{segment} {status}" for segment, status in sorted(shut.items()))
        return ok(name, f"connected and subscribed; no tick is due: the market is closed ({told})")
    if sample.state is State.AUTH_REQUIRED:
        return no_go(name, f"refused ({sample.last_failure})", "Get a new token with `bot login`.")
    if not any(isinstance(event, FeedUp) for event in heard):
        advice = (
            "If it says 403: another program may use the feed's two connections (close it), or the token may "
            "not read the feed (get another); then try again."
        )
        return no_go(
            name, f"no connection within {seconds:.0f} s ({sample.last_failure or 'silence'})", advice
        )
    if not decoder_heard(heard):
        advice = "Try again; if it stays, the broker's feed has an outage: see its status page."
        return no_go(name, f"connected, and not one frame within {seconds:.0f} s", advice)
    silent = ", ".join(contract.name for contract in ground.contracts if contract.key not in prices)
    advice = "It may trade rarely, or the key may be of an expired contract: see instrument."
    return warn(name, f"connected, but no tick of {silent} within {seconds:.0f} s", advice)


def decoder_heard(heard: list[Event]) -> bool:
    """Did anything come that the other side has said?"""
    return any(not isinstance(event, FeedUp) for event in heard)
