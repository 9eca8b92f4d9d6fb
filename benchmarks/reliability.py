"""The figures of docs/reliability.md, from what simulated days left behind: nobody types a number there.

bot simulate --seeds 1:101 --focus --json build/focus-days.json
python -m benchmarks.reliability build/focus-days.json      (any number of such files: one row each)

`--keep` adds to the rows that are there (a long range may be lived in parts).
"""

import json
import sys
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "reliability.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
HEAD = (
    "| command | days | orders | faults | kinds of fault | crashes | coverage marks | violations |",
    "|---|---|---|---|---|---|---|---|",
)


def row(found: dict[str, Any]) -> str:
    """One run of `bot simulate --json`, as a row."""
    faults = found["faults"]
    met = sum(count > 0 for count in faults.values())
    return (
        f"| `{found['command']}` | {found['days']:,} | {found['orders']:,} | {sum(faults.values()):,} "
        f"| {met} of {len(faults)} | {found['crashes']:,} | {len(found['marks'])} "
        f"| {len(found['violations'])} |"
    )


def written(page: str, rows: list[str], *, keep: bool = False) -> str:
    """The page with the table between its marks made anew. `keep`: other commands' rows stay."""
    before, _, rest = page.partition(BEGIN)
    table, _, after = rest.partition(END)
    commands = {line.split("|")[1] for line in rows}
    there = [line for line in table.splitlines() if line.startswith("| `")] if keep else []
    kept = [line for line in there if line.split("|")[1] not in commands]
    return "\n".join([before + BEGIN, *HEAD, *kept, *rows, END + after])


if __name__ == "__main__":
    names = [name for name in sys.argv[1:] if name != "--keep"]
    rows = [row(json.loads(Path(name).read_text())) for name in names]
    PAGE.write_text(written(PAGE.read_text(), rows, keep="--keep" in sys.argv))
    print("\n".join(rows))
