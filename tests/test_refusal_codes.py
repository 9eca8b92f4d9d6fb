"""Every code by which the broker may refuse an order call (upstox §2.5), each for itself, over real sockets.

A code we know is a no; one we do not know, and the broker's own 500, is a doubt that is asked about. Neither
may cost a quantity or send an order twice: judged by the twin's ledger.
"""

import re
from pathlib import Path

import pytest

from bot.assemble.day import EXIT_DONE
from bot.core.events import Act
from bot.twin.faults import Fault, FaultKind
from bot.upstox.wire_answers import _DEFINITE
from tests.conftest import at
from tests.days import ShortDay

# Who asks, or from where: no entries until it is mended.
SHUT_OUT = {"UDAPI1154", "UDAPI100050", "UDAPI100057"}
CODES = [*sorted(_DEFINITE - SHUT_OUT), "UDAPI100500", "UDAPI424242"]
A_DAY = 6
DAYS = [CODES[first : first + A_DAY] for first in range(0, len(CODES), A_DAY)]


def refusals(codes: list[str], act: Act) -> list[Fault]:
    """One each 40 s from 09:16:30 on: the next call of its kind gets it."""
    return [
        Fault(at("09:16:30") + number * 40_000_000_000, FaultKind.DENY, act=act, message=code)
        for number, code in enumerate(codes)
    ]


@pytest.mark.parametrize("codes", DAYS, ids=lambda codes: codes[0])
def test_each_code_refuses_an_order_and_nothing_is_lost_or_sent_twice(
    tmp_path: Path, codes: list[str]
) -> None:
    outcome = ShortDay(tmp_path, refusals(codes, Act.PLACE)).run()
    outcome.judged()
    assert outcome.result.exit_code == EXIT_DONE
    met = set(re.findall(r"UDAPI\d+", (tmp_path / "log.jsonl").read_text()))
    assert met >= set(codes), f"never met: {set(codes) - met}"


@pytest.mark.parametrize("act", [Act.MODIFY, Act.CANCEL])
def test_a_refused_modify_or_cancel_loses_nothing_either(tmp_path: Path, act: Act) -> None:
    codes = ["UDAPI100041", "UDAPI100040", "UDAPI100010", "UDAPI1037", "UDAPI100500", "UDAPI424242"]
    outcome = ShortDay(tmp_path, refusals(codes, act)).run()
    outcome.judged()
    assert outcome.result.exit_code == EXIT_DONE
