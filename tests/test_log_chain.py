"""From the tick to the fill: one tag, one instrument, times with a zone, in the log of a real day."""

import json
from datetime import datetime, timedelta
from pathlib import Path

from tests.conftest import KEY
from tests.days import ShortDay


def test_a_tag_leads_from_the_tick_over_the_answer_to_the_fill(tmp_path: Path) -> None:
    ShortDay(tmp_path).run().judged()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert all(datetime.fromisoformat(line["time"]).utcoffset() == timedelta(hours=5.5) for line in lines)
    fills = [line for line in lines if line["event"] == "fill"]
    assert len(fills) >= 6
    for fill in fills:
        chain = [line for line in lines if line.get("tag") == fill["tag"]]
        assert chain[0]["event"] == "order"
        assert {"order_answer", "fill"} <= {line["event"] for line in chain}, "in either order"
        assert {line["instrument"] for line in chain} == {KEY}
        if fill["reason"] in {"ENTRY", "SIGNAL_EXIT"}:
            cause = next(line for line in chain if line.get("reason") == fill["reason"])
            assert cause["event"] in {"order", "order_modify"}, "a resting stop becomes the exit"
            assert cause["tick"] >= 100, "the tick that caused it, as -v numbers them"
