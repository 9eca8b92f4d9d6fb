"""The simulator is honest over its default range: every trouble happened, and nothing was violated."""

import json
from pathlib import Path

from rich.console import Console

from bot.assemble.simulations import simulate
from bot.simulate.troubles import Kind

DAYS = 100


def test_a_hundred_focus_days_meet_every_trouble_and_violate_nothing(tmp_path: Path) -> None:
    out = tmp_path / "days.json"
    code = simulate(1, 1 + DAYS, focus=True, jobs=0, trace=False, json_out=out, console=Console(quiet=True))
    found = json.loads(out.read_text())
    assert not found["violations"]
    assert code == 0
    assert found["days"] == DAYS
    assert set(found["faults"]) == set(Kind)
    assert all(found["faults"].values()), {name for name, count in found["faults"].items() if not count}
    assert len(found["marks"]) >= 40
    assert found["crashes"] > DAYS
    # What the rarer troubles must have led to, or they prove nothing.
    for mark in ("start refused: another bot", "second bot ENTRY", "ended in mid-day with 0"):
        assert found["marks"].get(mark), mark
