"""Checks of what is ours or public: instrument, lot and freeze, model, disk, archive, feed.

Slow work goes to a thread. What a check can't understand is raised, not swallowed: it is a mistake of ours.
"""

import asyncio
import os
import random
import re
import shutil
import tempfile
from pathlib import Path
from typing import Final

from bot.assemble.contracts import ContractsRefused
from bot.assemble.day_files import on_thread
from bot.assemble.preflight.finding import Finding, no_go, ok, warn
from bot.assemble.preflight.ground import Ground
from bot.core.events import Event, FeedUp, SegmentStatus, Tick
from bot.core.units import SECOND, InstrumentKey, rupees_text
from bot.storage.archive import ArchiveFailed, ArchiveRefused
from bot.storage.archive_probe import probe
from bot.storage.model import SHIPPED, ModelRefused, load_model
from bot.upstox.feed import MarketFeed
from bot.upstox.reconnect import State
from bot.upstox.wire_market import MarketDecoder

FREE_WARN_BYTES: Final = 1 << 30
FREE_NO_GO_BYTES: Final = 200 << 20  # a day's journal and tape take some tens of MB
# Problems of contracts_of that are about numbers, not about the contract itself.
_ABOUT_NUMBERS: Final = re.compile(r"quantity \d|instruments: .* in the settings, the instrument master says")
_OPEN: Final = "NORMAL_OPEN"
_LOOK_EVERY: Final = SECOND // 10


async def instrument(ground: Ground) -> Finding:
    """Is each contract listed today, an option on an index, and not about to expire?"""
    name = "instrument"
    try:
        found = await ground.day_contracts()
    except ContractsRefused as refused:
        problems = [problem for problem in refused.problems if not _ABOUT_NUMBERS.match(problem)]
        if problems:
            return no_go(name, " ".join(problems), "Correct [[instruments]] in bot.toml, or try again.")
        return ok(name, "listed in today's instrument master")
    told = [f"{chosen.contract.name} expires {chosen.expiry or '(nobody told)'}" for chosen in found.chosen]
    told += [f"{one.entry.title}: chosen at 09:20 out of {len(one.options)}" for one in found.pending]
    if found.warnings:
        advice = "Look at the expiry; name another contract in [[instruments]] if this one ends too soon."
        return warn(name, " ".join((*told, *found.warnings)), advice)
    return ok(name, ", ".join(told))


async def lot_and_freeze(ground: Ground) -> Finding:
    """Do lot, freeze quantity and tick of the settings equal the exchange's of today?"""
    name = "lot and freeze"
    try:
        found = await ground.day_contracts()
    except ContractsRefused as refused:
        if wrong := [problem for problem in refused.problems if _ABOUT_NUMBERS.match(problem)]:
            return no_go(name, "; ".join(wrong), "Correct [[instruments]] in bot.toml.")
        return no_go(name, "not known without the contract", "See instrument.")
    if not found.chosen:
        return ok(name, "taken from the instrument master when the contract is chosen")
    contracts = [chosen.contract for chosen in found.chosen]
    said = ", ".join(
        f"{c.quantity} = {c.quantity // c.lot} × {c.lot}, at most {c.freeze_quantity} in an order"
        for c in contracts
    )
    return ok(name, said)


async def model(ground: Ground) -> Finding:
    """Does the classifier prove itself on its passport's golden rows, with our sign of rel_diff?"""
    settings = ground.settings
    try:
        rel_diff = settings.rules.strategy.rel_diff
        loaded = await on_thread(
            ground.clock, lambda: load_model(settings.model_path or SHIPPED, rel_diff=rel_diff)
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
    found: Finding = await on_thread(ground.clock, lambda: check_disk(ground.settings.data_folder))
    return found


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
        left = await on_thread(ground.clock, lambda: probe(root, probe_name))
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
    keys = await ground.keys_to_sample()
    if not keys:
        return warn(name, "nothing to subscribe without a contract", "See instrument.")
    decoder = MarketDecoder(keys)
    sample = MarketFeed(
        clock, heard.append, ground.rest.authorize_market, decoder, decoder.instruments, jitter=random.random
    )
    began = clock.monotonic()
    running = asyncio.create_task(sample.run())
    until = began + round(ground.feed_seconds * SECOND)
    try:
        while clock.monotonic() < until and not _enough(heard, keys):
            if running.done():
                running.result()  # ends only by a mistake of ours: raised here
            if sample.state is State.AUTH_REQUIRED:
                break
            await clock.sleep_until(clock.now() + _LOOK_EVERY)
    finally:
        running.cancel()
        await asyncio.wait({running})
    return judge_feed(keys, heard, sample, (clock.monotonic() - began) / SECOND)


def _enough(heard: list[Event], keys: tuple[InstrumentKey, ...]) -> bool:
    ticked = {event.instrument for event in heard if isinstance(event, Tick)}
    return ticked >= set(keys) or bool(_shut(heard))


def _shut(heard: list[Event]) -> dict[str, str]:
    """Segments that the feed says are not open, with its word."""
    last = {event.segment: event.status for event in heard if isinstance(event, SegmentStatus)}
    return {segment: status for segment, status in last.items() if status != _OPEN}


def judge_feed(
    keys: tuple[InstrumentKey, ...], heard: list[Event], sample: MarketFeed, seconds: float
) -> Finding:
    """What came within the time, in words."""
    name = "feed"
    prices = {event.instrument: event.ltp for event in heard if isinstance(event, Tick)}
    if prices.keys() >= set(keys):
        told = ", ".join(f"{key} ₹{rupees_text(prices[key])}" for key in keys)
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
    silent = ", ".join(key for key in keys if key not in prices)
    advice = "It may trade rarely, or the key may be of an expired contract: see instrument."
    return warn(name, f"connected, but no tick of {silent} within {seconds:.0f} s", advice)


def decoder_heard(heard: list[Event]) -> bool:
    """Did anything come that the other side has said?"""
    return any(not isinstance(event, FeedUp) for event in heard)
