"""`bot evaluate`: read, judge, show, write. The figures are research/judgement.py's."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bot.research import judgement_page as shown
from bot.research.evaluate import score
from bot.research.judgement import (
    FileJudged,
    curve_of,
    judge_file,
    reliability_of,
    to_dict,
    tradable_of,
    words,
)
from bot.research.page import write_page
from bot.storage.model import LoadedModel, load_model

SEED = 1  # of the bootstrap and the shuffle


def run_evaluate(
    model_path: Path, files: Sequence[Path], *, json_out: Path | None, report: Path | None, console: Console
) -> int:
    """Raises ModelRefused, TickFileError."""
    model = load_model(model_path, rel_diff=None)
    judged: list[FileJudged] = []
    columns = (TextColumn("{task.description:44}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=len(files))
        for path in files:
            judged += judge_file(path, model, lambda text: bar.update(task, description=text[:44]))
            bar.advance(task)
    result = _result(model, judged)
    text = orjson.dumps(result, option=orjson.OPT_INDENT_2)
    if json_out is not None:
        json_out.write_bytes(text + b"\n")
    if sys.stdout.isatty() or json_out is not None:
        _tell(result, console)
    else:
        sys.stdout.write(text.decode() + "\n")
    if report is not None:
        _write(report, result, judged, model)
        console.print(f"Written: {report}", highlight=False, soft_wrap=True)
    return 0


def _result(model: LoadedModel, judged: Sequence[FileJudged]) -> dict[str, Any]:
    threshold = model.passport.threshold
    scores = score([each.judged for each in judged], threshold, SEED)
    return {
        "model": {"sha256": model.passport.sha256, "threshold": threshold, "label": model.passport.label},
        "files": {each.name: to_dict([each], threshold, SEED) for each in judged},
        "pooled": to_dict(judged, threshold, SEED),
        "curve": [point._asdict() for point in curve_of(judged)],
        "reliability": [each._asdict() for each in reliability_of(judged)],
        "words": words(scores, tradable_of(judged), [each.name for each in judged if each.taught]),
    }


def _rows(result: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        shown.cells(name, found) for name, found in {**result["files"], "pooled": result["pooled"]}.items()
    ]


def _tell(result: dict[str, Any], console: Console) -> None:
    label, threshold = result["model"]["label"], result["model"]["threshold"]
    split = shown.HEAD.index("coverage")
    for title, columns in (
        (f"The label: {label}", slice(1, split)),
        (f"At {threshold:g}, the bot's threshold", slice(split, None)),
    ):
        table = Table(shown.HEAD[0], *shown.HEAD[columns], title=title)
        for row in _rows(result):
            table.add_row(row[0], *row[columns])
        console.print(table)
    for text in result["words"]:
        console.print(text, highlight=False, soft_wrap=True)


def _write(path: Path, result: dict[str, Any], judged: Sequence[FileJudged], model: LoadedModel) -> None:
    pictures = shown.pictures(reliability_of(judged), curve_of(judged), model.passport.threshold)
    title = f"The trade classifier on {len(judged)} tape{'s' if len(judged) > 1 else ''}"
    write_page(path, title, shown.lead(result["words"]), (), shown.table(_rows(result)) + pictures)
