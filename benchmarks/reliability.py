"""The figures of docs/reliability.md, from what simulated days left behind: nobody types a number there.

bot simulate --seeds 1:101 --focus --json build/focus-days.json
python -m benchmarks.reliability build/focus-days.json      (any number of such files)

A row each; ranges that follow one another become one, for a long one may be lived in parts. `--keep` adds to
the rows that are there.
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


def joined(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ranges of the same kind of day that follow one another, as one range; the others as they are."""
    kinds: dict[bool, list[dict[str, Any]]] = {}
    for run in runs:
        kinds.setdefault("--focus" in run["command"], []).append(run)
    out = []
    for of_a_kind in kinds.values():
        whole: dict[str, Any] | None = None
        for part in sorted(of_a_kind, key=lambda run: int(run["seeds"][0])):
            if whole is not None and whole["seeds"][1] == part["seeds"][0]:
                _extend(whole, part)
            else:
                whole = dict(part)
                out.append(whole)
    return out


def _extend(whole: dict[str, Any], part: dict[str, Any]) -> None:
    first, last = whole["seeds"][0], part["seeds"][1]
    whole["command"] = whole["command"].replace(":".join(map(str, whole["seeds"])), f"{first}:{last}")
    whole["seeds"] = [first, last]
    for name in ("days", "orders", "crashes", "violations"):  # numbers, and a list
        whole[name] = whole[name] + part[name]
    for name in ("faults", "marks"):
        one, other = whole[name], part[name]
        whole[name] = {each: one.get(each, 0) + other.get(each, 0) for each in one | other}


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
    rows = [row(run) for run in joined([json.loads(Path(name).read_text()) for name in names])]
    PAGE.write_text(written(PAGE.read_text(), rows, keep="--keep" in sys.argv))
    print("\n".join(rows))
