"""The simulator is honest over its default range: every trouble happened, and nothing was violated."""

import json
import os
from pathlib import Path

import pytest
from rich.console import Console

from bot.assemble.simulations import simulate

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(
        "SOAK" not in os.environ, reason="a hundred days take many minutes: `make soak` runs them"
    ),
]


def test_a_hundred_focus_days_meet_every_trouble_and_violate_nothing(tmp_path: Path) -> None:
    out = tmp_path / "days.json"
    console = Console(quiet=True)
    code = simulate(0, 100, focus=True, jobs=2, trace=False, json_out=out, console=console)
    found = json.loads(out.read_text())
    assert not found["violations"]
    assert code == 0
    assert all(found["faults"].values()), {name for name, count in found["faults"].items() if not count}
    assert len(found["marks"]) >= 40
    assert found["crashes"] > 100
