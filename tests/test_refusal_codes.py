"""Every code by which the broker may refuse an order call (upstox §2.5), each for itself, over real sockets.

A code we know is a no; one we do not know, and the broker's own 500, is a doubt that is asked about. Neither
may cost a quantity or send an order twice: judged by the twin's ledger.
"""

import re
from pathlib import Path

import pytest

from bot.assemble.closing import EXIT_DONE
from bot.core.events import Act
from bot.twin.faults import Fault, FaultKind
from bot.upstox.wire_answers import DEFINITE
from tests.conftest import at
from tests.days import ShortDay

# Who asks, or from where: no entries until it is mended.
SHUT_OUT = {"UDAPI1154", "UDAPI100050", "UDAPI100057"}
CODES = [*sorted(DEFINITE - SHUT_OUT), "UDAPI100500", "UDAPI424242"]
A_DAY = 6
DAYS = [CODES[first : first + A_DAY] for first in range(0, len(CODES), A_DAY)]


def refusals(codes: list[str], act: Act) -> list[Fault]:
    """One each 40 s from 09:16:30 on: the next call of its kind gets it."""
    return [
        Fault(at("09:16:30") + number * 40_000_000_000, FaultKind.DENY, act=act, message=code)
        for number, code in enumerate(codes)
    ]


def lives_through(folder: Path, codes: list[str], act: Act) -> None:
    # Entries are cancelled where the book is thin: one lot a message, three wanted.
    thin = act is Act.CANCEL
    faults = [Fault(at("09:16:00"), FaultKind.THIN_BOOK, 600, quantity=65)] if thin else []
    outcome = ShortDay(folder, faults + refusals(codes, act), quantity=195 if thin else 65).run()
    outcome.judged()
    assert outcome.result.exit_code == EXIT_DONE
    met = set(re.findall(r"UDAPI\d+", (folder / "log.jsonl").read_text()))
    assert met >= set(codes), f"never met: {set(codes) - met}"


@pytest.mark.parametrize("codes", DAYS, ids=lambda codes: codes[0])
def test_each_code_refuses_an_order_and_nothing_is_lost_or_sent_twice(
    tmp_path: Path, codes: list[str]
) -> None:
    lives_through(tmp_path, codes, Act.PLACE)


@pytest.mark.parametrize("act", [Act.MODIFY, Act.CANCEL])
def test_a_refused_modify_or_cancel_loses_nothing_either(tmp_path: Path, act: Act) -> None:
    codes = ["UDAPI100041", "UDAPI100040", "UDAPI100010", "UDAPI1037", "UDAPI100500", "UDAPI424242"]
    lives_through(tmp_path, codes, act)
