"""Backtest, replay, report, train, simulate: what people decide with."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bot.cli.base import app, refuse


@app.command()
def backtest(
    files: Annotated[list[Path], typer.Argument(help="Recorded ticks: CSV, Upstox V3 JSON, plain or .gz.")],
    *,
    filter_: Annotated[
        str, typer.Option("--filter", help="`model`, or `none`: the entry rule without the classifier.")
    ] = "model",
    model: Annotated[Path | None, typer.Option(help="The classifier; the one that came along.")] = None,
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Enter at this probability or above.")
    ] = 0.63,
    stop: Annotated[float, typer.Option(min=0.05, help="Stop-loss, rupees of premium per unit.")] = 50.0,
    band: Annotated[float | None, typer.Option(help="Enter only while |rel_diff| is below this.")] = None,
    rel_diff: Annotated[
        str, typer.Option(help="price-minus-estimate, or the first implementation's estimate-minus-price.")
    ] = "price-minus-estimate",
    quantity: Annotated[int | None, typer.Option(min=1, help="Units a trade; one lot.")] = None,
    lot: Annotated[int | None, typer.Option(min=1, help="Units a lot; read from the file's trades.")] = None,
    exchange: Annotated[str | None, typer.Option(help="NSE or BSE, for charges; by the instrument.")] = None,
    charges: Annotated[
        str | None, typer.Option(help="Rate card of this day; that of the file's day.")
    ] = None,
    guards: Annotated[bool, typer.Option("--guards", help="With the limits that hold live.")] = False,
    entries_per_day: Annotated[int, typer.Option(min=1, help="With --guards.")] = 20,
    entries_per_minute: Annotated[int, typer.Option(min=1, help="With --guards.")] = 6,
    seed: Annotated[int, typer.Option(help="Of the latencies and the random entries.")] = 7,
    jobs: Annotated[int, typer.Option(min=1, help="Processes; a file each.")] = 1,
    random_runs: Annotated[int, typer.Option(min=0, help="Random-entry runs of the report.")] = 200,
    trace: Annotated[Path | None, typer.Option(help="CSV, a row a tick: what was seen and decided.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures here. In a pipe: to stdout.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write one HTML file that needs no network.")] = None,
) -> None:
    """Run the bot's own engine over recorded ticks: orders with latency, fills at the touch, all charges.

    Without quotes in a file a spread is assumed, and said. Guards of the live bot are off unless --guards.
    The model is asked only where the entry rule can be true; the decisions are the same. In a pipe: JSON.
    """
    from bot.assemble.backtest import BacktestRefused, run_backtest
    from bot.assemble.backtest_options import options_of

    try:
        options = options_of(
            files, filter_=filter_, model=model, threshold=threshold, stop=stop, band=band, rel_diff=rel_diff,
            quantity=quantity, lot=lot, exchange=exchange, charges=charges, guards=guards,
            entries_per_day=entries_per_day, entries_per_minute=entries_per_minute, seed=seed, jobs=jobs,
            random_runs=random_runs, trace=trace, json=json, report=report,
        )  # fmt: skip
        raise typer.Exit(run_backtest(options, Console()))
    except BacktestRefused as refused:
        refuse(refused.problems)


@app.command()
def replay(
    tape: Annotated[Path, typer.Argument(help="A day's tape-….ktape.gz.")],
    *,
    model: Annotated[Path | None, typer.Option(help="The day's classifier; the one that came along.")] = None,
) -> None:
    """Run a taped day through the same engine again: the same decisions, or the differences.

    Exit codes: 0 identical · 1 different.
    """
    from bot.assemble.replay import run_replay
    from bot.storage.model import SHIPPED, ModelRefused
    from bot.storage.tape import TapeRefused

    try:
        raise typer.Exit(run_replay(tape, model or SHIPPED, Console()))
    except (TapeRefused, ModelRefused) as refused:
        refuse([str(refused)])


@app.command()
def report(
    what: Annotated[str, typer.Argument(help="A day 2026-09-16, a week 2026-W38, or a folder of days.")],
    *,
    archive: Annotated[Path, typer.Option(help="The archive's root, for a day or a week.")] = Path("archive"),
    out: Annotated[Path | None, typer.Option(help="The HTML file; else beside the day's files.")] = None,
    model: Annotated[Path | None, typer.Option(help="The day's classifier; the one that came along.")] = None,
    challenger: Annotated[
        Path | None, typer.Option(help="Another model: judged beside the day's own on what really came.")
    ] = None,
) -> None:
    """Draw traded days from the archive: one HTML file that needs no network, a table first for several."""
    from bot.assemble.day_pages import ReportRefused, run_report
    from bot.storage.model import SHIPPED

    try:
        raise typer.Exit(run_report(what, archive, out, (model or SHIPPED, challenger), Console()))
    except ReportRefused as refused:
        refuse(refused.problems)


@app.command()
def explain(
    day: Annotated[str, typer.Argument(help="The day, like 2026-09-16.")],
    minute: Annotated[str, typer.Argument(help="The minute in India's time, like 10:32.")],
    *,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from", help="A folder with the day's journal, or an archive's root; by bot.toml unless given."
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Settings; bot.toml in this folder unless given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document (as in a pipe).")] = False,
) -> None:
    """Tell in words what the bot saw in that minute, and why it did or did not trade.

    Out of the day's journal in the data folder, or the archive's copy of it. Nothing is asked of the broker,
    and a running bot is not disturbed. The running minute is told when it is over.

    Exit codes: 0 told · 2 no such day or minute, with what to do.
    """
    from bot.assemble.explain import run_explain
    from bot.assemble.kept_day import ExplainRefused, places_of
    from bot.settings import SettingsRefused

    try:
        places = [str(source)] if source else places_of(config)
        raise typer.Exit(run_explain(day, minute, places, Console(), as_json=as_json))
    except (ExplainRefused, SettingsRefused) as refused:
        refuse(refused.problems)


@app.command()
def train(
    files: Annotated[list[Path], typer.Argument(help="Recorded ticks: CSV or Upstox V3 JSON, plain or .gz.")],
    *,
    out: Annotated[Path, typer.Option(help="Folder for trade_classifier.tflite, passport.json, README.md.")],
    seed: Annotated[int, typer.Option(help="The same command gives the same model.")] = 7,
) -> None:
    """Train the classifier on recorded ticks, in .venv-train (TensorFlow; made by `make train-env`)."""
    if find_spec("tensorflow") is None:
        refuse(["TensorFlow is not here. Run `make train-env`, then `.venv-train/bin/bot train …`."])
    from bot.research.train import TrainingFailed
    from bot.research.train import main as train_model
    from bot.storage.model import ModelRefused
    from bot.storage.tick_source import TickFileError

    try:
        train_model(files, out, seed)
    except (TickFileError, TrainingFailed, ModelRefused) as refused:
        refuse([str(refused)])


@app.command("import-model")
def import_model(
    keras_file: Annotated[Path, typer.Argument(help="A Keras model: .keras or .h5. Never a pickle.")],
    *,
    mean: Annotated[str, typer.Option(help="The scaler's means: price,velocity,rel_diff.")],
    scale: Annotated[str, typer.Option(help="The scaler's scales, in the same order.")],
    out: Annotated[Path, typer.Option(help="Folder for the .tflite, its passport and its card.")],
    rel_diff: Annotated[
        str, typer.Option(help="Its sign: the first implementation's, or price-minus-estimate.")
    ] = "estimate-minus-price",
    threshold: Annotated[
        float, typer.Option(min=0.01, max=0.99, help="Entries from this probability.")
    ] = 0.63,
) -> None:
    """Bring a Keras model of your own (Conv1D, LSTM, Dense …) with its scaler inside the .tflite.

    In .venv-train (TensorFlow; made by `make train-env`). Served answers are held to Keras' own within 1e-5
    on windows in changing order; what can't be proven and looks wrong is said. The scaler's numbers stand in
    a pickle? In the environment that made it: `s = joblib.load("scaler.pkl"); print(s.mean_, s.scale_)`.
    """
    from bot.core.forecast import RelDiff
    from bot.research.imported import ImportRefused
    from bot.research.imported import import_model as bring
    from bot.storage.model import ModelRefused

    signs = [sign.value for sign in RelDiff]
    if rel_diff not in signs:
        refuse([f"--rel-diff {rel_diff}: one of {', '.join(signs)}"])
    try:
        made = bring(keras_file, mean, scale, out, RelDiff(rel_diff), threshold)
    except ImportRefused as refused:
        refuse(refused.problems)
    except ModelRefused as refused:
        refuse([str(refused)])
    console = Console()
    figures = f"{made.bytes:,} bytes, parity {made.parity:.1e}, {made.invoke_p99_us:.0f} µs a run (p99)"
    console.print(f"Written to {out}: {figures}.", highlight=False, soft_wrap=True)
    for doubt in made.doubts:
        console.print(f"[yellow]![/yellow] {doubt}", highlight=False, soft_wrap=True)
    console.print(f'Serve it with [strategy] rel_diff = "{rel_diff}" in bot.toml.', markup=False)


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="The model's folder, like models/, or its .tflite file.")],
    files: Annotated[list[Path], typer.Argument(help="Recorded ticks that did not teach it.")],
    *,
    json_out: Annotated[Path | None, typer.Option("--json", help="Write all figures here.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="One HTML file: reliability plot, threshold curve.")
    ] = None,
) -> None:
    """Judge a model on tick files: skill, calibration, lift, baselines, and what is left after charges.

    It is served as the bot serves it. Beside it: the wildness of the window alone, shuffled labels, a
    constant, and the entry rule without any model. A file that taught the model is marked: there its
    figures flatter; those with files and days left out are in its card (models/README.md, by `bot train`).
    """
    from bot.assemble.evaluate import run_evaluate
    from bot.storage.model import ModelRefused
    from bot.storage.tick_source import TickFileError

    try:
        raise typer.Exit(run_evaluate(model, files, json_out=json_out, report=report, console=Console()))
    except (TickFileError, ModelRefused) as refused:
        refuse([str(refused)])


@app.command()
def simulate(
    *,
    seeds: Annotated[str, typer.Option(help="Which days: 1:101 are the hundred days 1 to 100.")] = "1:101",
    focus: Annotated[bool, typer.Option("--focus", help="The last fifty minutes, dense signals.")] = False,
    jobs: Annotated[int, typer.Option(help="So many at a time; 0: one a core.")] = 0,
    trace: Annotated[bool, typer.Option("--trace", help="Tell the first day's story, line by line.")] = False,
    json_out: Annotated[Path | None, typer.Option("--json", help="Write all counts and violations.")] = None,
) -> None:
    """Live seeded days under faults and crashes, and judge them by the exchange's own books.

    The assembled bot, adapter and libraries included, on virtual time: lost replies, late acceptances,
    half-open sockets, full disks, deaths between any two effects. The same seed gives the same day to the
    byte. A violation prints the command that repeats it, and makes the exit code 1.
    """
    from bot.assemble.simulations import simulate as run_simulation

    span = _span(seeds, like="1:101")
    raise typer.Exit(
        run_simulation(*span, focus=focus, jobs=jobs, trace=trace, json_out=json_out, console=Console())
    )


@app.command()
def market(
    *,
    check: Annotated[bool, typer.Option("--check", help="Measure synthetic days against real ones.")] = False,
    seeds: Annotated[str, typer.Option(help="Which days: 1:4 are those of the seeds 1 to 3.")] = "1:4",
    json_out: Annotated[Path | None, typer.Option("--json", help="Write statistics and ranges.")] = None,
) -> None:
    """Does the synthetic market look like real ones? Its statistics beside those of recorded options.

    The demo, the twin and the simulator trade on it, so what they show is worth no more than this table.
    Exit code 1: a statistic of a day is outside its range.
    """
    from bot.research.market_check import check as run_check

    span = _span(seeds, like="1:4")
    if not check:
        refuse(["say what to do: `bot market --check`"])
    raise typer.Exit(run_check(range(*span), Console(), json_out))


def _span(seeds: str, like: str) -> tuple[int, int]:
    """FIRST:END as two numbers, or a refusal."""
    first, _, last = seeds.partition(":")
    if not (first.isdecimal() and last.isdecimal() and int(first) < int(last)):
        refuse([f"--seeds {seeds}: write FIRST:END, like {like}"])
    return int(first), int(last)
