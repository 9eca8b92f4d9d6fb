"""The command line: parse, call, exit code. Nothing is decided here."""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

EXIT_USAGE = 2

app = typer.Typer(
    name="bot",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="A small, honest trading bot for Indian index options on Upstox. No edge of its strategy survived "
    "costs on any file tested: what it sells is engineering and truth. Start with [bold]bot demo[/bold].",
)
_errors = Console(stderr=True)


def refuse(problems: list[str]) -> NoReturn:
    """Say what is wrong, all of it, and stop with the usage exit code."""
    for problem in problems:
        _errors.print(f"[red]✗[/red] {problem}", markup=True, highlight=False, soft_wrap=True)
    raise typer.Exit(EXIT_USAGE)


@app.command()
def demo(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Recorded ticks to play instead of the synthetic market.")
    ] = None,
    *,
    seed: Annotated[int, typer.Option(help="The same seed gives the same day, to the paisa.")] = 7,
    calm: Annotated[bool, typer.Option("--calm", help="A day without incidents.")] = False,
    max_speed: Annotated[
        float | None,
        typer.Option(min=1, help="At most so many market seconds a second. As fast as possible."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Where the day's files go.")] = Path("demo-out"),
    picture: Annotated[bool, typer.Option(help="Draw the day.")] = True,
) -> None:
    """Run one whole trading day against the built-in Upstox twin. No account, no key, no network.

    The bot's own adapters talk to the twin over real HTTP and WebSockets on loopback, in lockstep: the market
    moves on only when the bot has dealt with everything it was sent. The synthetic day is eventful by design
    (a lost connection, a slide that hits the stop). Files are what the archive would hold after a live day.
    """
    from bot.assemble.demo import DemoOptions, DemoRefused, run_demo

    try:
        code = run_demo(DemoOptions(tuple(files or ()), seed, calm, max_speed, out, picture), Console())
    except DemoRefused as refused:
        refuse(refused.problems)
    raise typer.Exit(code)


@app.command()
def run(
    *,
    config: Annotated[
        Path | None, typer.Option(help="Settings; bot.toml in this folder unless given.")
    ] = None,
    verbose: Annotated[
        bool, typer.Option("-v", help="Print each tick: price, estimate, velocity, rel_diff, probability.")
    ] = False,
) -> None:
    """Trade one day with the settings in bot.toml, then exit. Early: waits. Late: joins safely.

    Exit codes: 0 done, or no session today · 2 wrong settings, every one listed · 3 a year that the
    calendar does not cover · 4 the books differ from the broker's · 5 ended holding a position.
    """
    from bot.assemble.live import LiveRefused, run_live
    from bot.settings import SettingsRefused, load

    try:
        raise typer.Exit(run_live(load(config), verbose=verbose))
    except (SettingsRefused, LiveRefused) as refused:
        refuse(refused.problems)


@app.command()
def twin(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Recorded ticks to play; synthetic without.")
    ] = None,
    *,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="REST port; the WebSocket's is the next free.")
    ] = 8765,
    seed: Annotated[int, typer.Option(help="Of the synthetic market.")] = 7,
    speed: Annotated[float, typer.Option(min=0.1, max=30, help="Times real time.")] = 1.0,
    at: Annotated[str, typer.Option(help="Wall time in India at which the twin's clock starts.")] = "09:15",
) -> None:
    """Serve the twin: Upstox on the wire, on loopback, for any Upstox client."""
    from bot.assemble.market import DemoRefused
    from bot.assemble.twin import serve_twin

    try:
        serve_twin(tuple(files or ()), port=port, seed=seed, speed=speed, at=at, console=Console())
    except DemoRefused as refused:
        refuse(refused.problems)


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
    from bot.assemble.backtest_options import MODEL
    from bot.assemble.replay import run_replay
    from bot.storage.model import ModelRefused
    from bot.storage.tape import TapeRefused

    try:
        raise typer.Exit(run_replay(tape, model or MODEL, Console()))
    except (TapeRefused, ModelRefused) as refused:
        refuse([str(refused)])


@app.command()
def report(
    what: Annotated[str, typer.Argument(help="A day 2026-09-16, a week 2026-W38, or a folder of days.")],
    *,
    archive: Annotated[Path, typer.Option(help="The archive's root, for a day or a week.")] = Path("archive"),
    out: Annotated[Path | None, typer.Option(help="The HTML file; else beside the day's files.")] = None,
    model: Annotated[Path | None, typer.Option(help="The day's classifier; the one that came along.")] = None,
) -> None:
    """Draw traded days from the archive: one HTML file that needs no network, a table first for several."""
    from bot.assemble.backtest_options import MODEL
    from bot.assemble.day_pages import ReportRefused, run_report

    try:
        raise typer.Exit(run_report(what, archive, out, model or MODEL, Console()))
    except ReportRefused as refused:
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


def main() -> None:
    """Entry point of the `bot` command."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
