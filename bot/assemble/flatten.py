"""`bot flatten` and `bot resume`: a person's words to the bot, running or not.

Runs one, it is asked, and does it by its own ladder. Runs none, the same engine is started with exits only,
sells by the same ladder, and ends. It must never send an order by a way of its own.
"""

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console

from bot.assemble.closing import EXIT_DONE, EXIT_HOLDING
from bot.assemble.control import NobodyAnswers, ask
from bot.assemble.live import LiveRefused, run_live
from bot.assemble.no_disk import readable
from bot.assemble.twin_time import clock_for
from bot.core.units import ist, rupees_text
from bot.run.live import WallClock
from bot.settings import Settings
from bot.storage import records
from bot.storage.journal import journal_path
from bot.storage.lock import FolderLock, FolderTaken

_ASKS_SECONDS = 1.0
_GIVES_UP_AFTER = 5  # answers in a row that did not come


def run_flatten(
    settings: Settings, console: Console, *, sure: Callable[[str], bool], clock: WallClock | None = None
) -> int:
    """Sell what this bot holds; 0 when flat, 5 when something is held. `sure` asks the person."""
    if not sure("Sell everything this bot holds, now, and enter nothing more today?"):
        console.print("Nothing was done.")
        return EXIT_DONE
    if _runs(settings):
        return _ask_the_running(settings, console)
    console.print("No bot runs here: starting one that only sells.")
    code = run_live(settings, verbose=False, clock=clock, flatten=True)
    clock = clock or clock_for(settings.broker.api_host)
    kept = readable(journal_path(settings.data_folder, ist(clock.now()).date()))
    end = records.ended(kept)
    if code == EXIT_DONE and end is not None and end.exit_code == EXIT_HOLDING:
        code = EXIT_HOLDING  # the day ended so, and the market is closed
    console.print("STILL HOLDING: look into the broker's app." if code == EXIT_HOLDING else "Flat.")
    return code


def run_resume(settings: Settings, console: Console) -> int:
    """Entries again, after a crash loop or a flatten by hand; 1 when they stay stopped."""
    if not _runs(settings):
        raise LiveRefused(["no bot runs with this [data] folder: start one with `bot run`, then resume"])
    state = _asked(settings, "resume")
    console.print(f"Still no entries: {state['halted']}." if state["halted"] else "Entries again.")
    return 1 if state["halted"] else EXIT_DONE


def _runs(settings: Settings) -> bool:
    lock = FolderLock(settings.data_folder)
    try:
        lock.take("bot flatten")
    except FolderTaken:
        return True
    except OSError:
        return False
    lock.release()
    return False


def _asked(settings: Settings, word: str) -> dict[str, Any]:
    try:
        return ask(settings.data_folder, word)
    except NobodyAnswers as silent:
        raise LiveRefused([str(silent)]) from None


def _ask_the_running(settings: Settings, console: Console) -> int:
    state = _asked(settings, "flatten")
    console.print("The running bot was asked; it sells as at 15:29.")
    silent, told = 0, ""
    while not state["flat"]:
        words = f"held: {state['positions'] or 'nothing'}, orders open: {state['orders_open']}"
        if words != told:
            console.print(words, highlight=False)
            told = words
        time.sleep(_ASKS_SECONDS)
        try:
            state, silent = ask(settings.data_folder, "state"), 0
        except NobodyAnswers as problem:
            silent += 1
            if silent >= _GIVES_UP_AFTER:
                console.print(str(problem), highlight=False, markup=False)
                return EXIT_HOLDING  # not known to be flat is not flat
    gross, charges = state["gross_paise"], state["charges_paise"]
    console.print(
        f"Flat. Today: gross {rupees_text(gross)}, charges {rupees_text(charges)}.", highlight=False
    )
    return EXIT_DONE
