"""The findings for people (a table on a terminal) and for programs (one JSON document)."""

from collections.abc import Sequence
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bot.assemble.preflight.finding import Finding, Verdict, go
from bot.core.units import Nanos, ist
from bot.telemetry.redact import Redactor

_MARKS: Final = {Verdict.OK: ("✓", "green"), Verdict.WARN: ("!", "yellow"), Verdict.NO_GO: ("✗", "red")}


def document(findings: Sequence[Finding], at: Nanos, mode: str, redactor: Redactor) -> dict[str, Any]:
    """`{go, at, mode, checks: [{check, verdict, said, advice, seconds}]}`; verdict ∈ ok | warn | no_go."""
    checks = [
        {
            "check": finding.check,
            "verdict": finding.verdict.value,
            "said": redactor.text(finding.said),
            "advice": redactor.text(finding.advice),
            "seconds": finding.seconds,
        }
        for finding in findings
    ]
    return {"go": go(findings), "at": ist(at).isoformat(timespec="seconds"), "mode": mode, "checks": checks}


def show(findings: Sequence[Finding], mode: str, console: Console, redactor: Redactor) -> None:
    """A row a check: mark, name, what was found and, below it, what to do."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(width=1)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        mark, colour = _MARKS[finding.verdict]
        words = Text(redactor.text(finding.said))
        if finding.advice:
            words.append(f"\n→ {redactor.text(finding.advice)}", style=colour)
        table.add_row(Text(mark, style=colour), Text(finding.check, style="bold"), words)
    console.print(table)
    no = [finding.check for finding in findings if finding.verdict is Verdict.NO_GO]
    verdict = f"[red]✗ No go[/red]: {', '.join(no)}" if no else "[green]✓ Go[/green]"
    console.print(f"{verdict} (mode {mode})", highlight=False)
