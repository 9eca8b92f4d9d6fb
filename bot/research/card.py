"""The model card, written from the passport alone: no number in it that the command did not measure."""

# ruff: noqa: E501 — prose is wrapped as it reads in the card

from collections.abc import Mapping
from typing import Any

from bot.research.dataset import UNDATED
from bot.storage.model import MODEL_FILE, PASSPORT_FILE, Passport

_HEAD = ("tape", "windows", "base rate", "AUC (95 %)", "Brier skill", "ECE", "coverage", "precision", "lift")


def card(passport: Passport) -> str:
    """Markdown. Tables: one row a tape and one pooled, for files left out and for days left out."""
    by_file, by_day = passport.figures["leave_file_out"], passport.figures["leave_day_out"]
    parts = [
        "# The trade classifier",
        _what(passport),
        "## What it is not",
        _WHAT_IT_IS_NOT,
        "## Trained on",
        _trained_on(passport),
        "## Figures",
        _figures_intro(passport),
        "### One file left out",
        _table(by_file),
        _reading(by_file, "file"),
        "### One whole day left out",
        _table(by_day),
        _reading(by_day, "day"),
        "## Limits",
        _limits(passport),
        "## How it was made",
        _made(passport),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _what(passport: Passport) -> str:
    rows, columns = passport.window_shape[1:]
    return (
        f"`{MODEL_FILE}` ({passport.figures['bytes']:,} bytes) takes a window of {rows} ticks × {columns} raw values "
        f"[{', '.join(passport.features)}], float32, oldest first, rel_diff = {passport.rel_diff} (relative), and "
        f"answers a probability. The bot enters only at {passport.threshold} or above.\n\n"
        f"The label it was taught: *{passport.label}*. Everything that scales is inside the graph: moves in basis "
        "points of the last estimate, divided by the window's own rms; how wild the window is and how often the "
        "price moved stand beside it; then two small dense layers, and Platt's calibration folded into the last. "
        f"`{PASSPORT_FILE}` holds its hash, this interface, and golden rows (made-up ticks) that the bot "
        "reproduces at every start, or it refuses the model."
    )


_WHAT_IT_IS_NOT = """\
**It is not an edge.** It says how likely the price is to stand a little higher once within a few ticks. It does not
say that a trade entered on it earns its charges and its spread: the label knows neither, and a last price that bounces
between bid and ask satisfies it without anything to be earned. The strategy's rules lost after charges and spread
on every recorded option file they were run on, with an earlier model and without any; nothing measured here says
that this one changes that. Never read an accuracy or a precision without the base rate beside it."""


def _limits(passport: Passport) -> str:
    days = {tape["day"] for tape in passport.trained_on}
    return f"""\
* Tapes: {len(passport.trained_on)}; days: {len(days)}. The intervals are about these, not about the future. Options of one
  underlying mirror each other, so a file left out is no day left out: believe the second table.
* How it is made (features, variants, weights) was chosen on the recordings named in the project's own card, each left
  out in turn. On those, the figures are somewhat kind to it.
* Calibration holds over many tapes better than on any one: how often the label comes true differs more between
  contracts and days than a model can see in ten ticks. It learns from feeds made busier, lazier, wilder and calmer
  than those recorded, and its calibration follows the tapes half-way only; both were chosen by the second table.
* It was taught on option premiums. On an index or a share its answers mean nothing.
* One sign, one label, one horizon: another `rel_diff` setting needs another model, and the bot says so."""


def _trained_on(passport: Passport) -> str:
    rows = [
        f"| `{t['file']}` | {_cell(t['instrument'])} | {t['day']} | {t['ticks']:,} | {t['windows']:,} | {t['base_rate']:.3f} |"
        for t in passport.trained_on
    ]
    undated = any(t["day"] == UNDATED for t in passport.trained_on)
    note = "\n\nAn undated file has prices alone: one tick a second is assumed, glued sessions are cut apart at jumps."
    head = ["| file | instrument | day | ticks | windows | base rate |", "|---|---|---|--:|--:|--:|"]
    return (
        "\n".join([*head, *rows])
        + (note if undated else "")
        + "\n\nThe recordings themselves are not part of this project."
    )


def _figures_intro(passport: Passport) -> str:
    return (
        "Each row was predicted by a model that never saw that file (that day): windows of the same instrument and "
        "day never stand on both sides, and within a tape the calibration's part comes after the study's, 100 ticks "
        "apart. AUC intervals: 95 %, blocks of five minutes drawn anew. Brier skill: against the constant base rate "
        f"*of that row*. Coverage, precision and lift (precision ÷ base rate): at {passport.threshold}.\n\n"
        "What is shipped was then trained on all of them."
    )


def _table(rows: Mapping[str, Any]) -> str:
    if not rows:
        return "Nothing could be left out, so there is no honest figure."
    lines = ["| " + " | ".join(_HEAD) + " |", "|---|" + "--:|" * (len(_HEAD) - 1)]
    for name, s in rows.items():
        auc, precision, lift = s["auc"], s["precision_at_threshold"], s["lift"]
        cells = (
            f"**{name}**" if name == "pooled" else _cell(name),
            f"{s['n']:,}",
            f"{s['base_rate']:.3f}",
            f"{auc['value']:.3f} ({auc['low']:.3f}–{auc['high']:.3f})",
            f"{s['brier_skill']:+.3f}",
            f"{s['ece']:.3f}",
            f"{s['coverage']:.2%}",
            "–" if precision is None else f"{precision:.3f}",
            "–" if lift is None else f"{lift:.2f}",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    """Upstox's instrument keys carry a bar, and so do tables."""
    return text.replace("|", "\\|")


def _reading(rows: Mapping[str, Any], left_out: str) -> str:
    """What the table says, in words."""
    single = [s for name, s in rows.items() if name != "pooled"]
    if not single:
        return ""
    aucs = [s["auc"]["value"] for s in single]
    worse = sum(s["brier_skill"] <= 0 for s in single)
    return (
        f"Within a single tape the AUC is {min(aucs):.3f} to {max(aucs):.3f}; pooled, telling lively tapes from sleepy "
        f"ones counts too. With its {left_out} unseen, {worse} of {len(single)} tapes would have been described no "
        f"worse by their own base rate (skill ≤ 0), and the worst ECE is {max(s['ece'] for s in single):.3f}."
    )


def _made(passport: Passport) -> str:
    made = passport.created_by
    versions = ", ".join(
        f"{name} {made[name]}" for name in ("tensorflow", "keras", "numpy", "tflite-runtime")
    )
    return (
        f"```\n{made['command']}\n```\n\n"
        f"In `.venv-train/` (`make train-env`): {versions}. The same command gives the same bytes on the same machine. "
        f"Served against trained, on a sequence of different windows: at most {passport.figures['parity_max']:.1e}. "
        "This card, the passport and the model are written by that command and by nothing else.\n\n"
        f"sha256 `{passport.sha256}`"
    )
