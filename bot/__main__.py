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


@app.command("alertmanager-config")
def alertmanager_config(
    *,
    base: Annotated[Path, typer.Option(help="The routing.")] = Path("infra/alertmanager/alertmanager.yml"),
    out: Annotated[Path, typer.Option(help="Where the whole configuration is written, mode 0600.")],
) -> None:
    """Write Alertmanager's configuration with the receivers that ALERT_… in the environment names.

    Telegram, Slack, email, SNS, a webhook, and a dead man's switch: docs/runbook.md lists the variables.
    """
    from bot.assemble.alertmanager import AlertingRefused, write

    try:
        channels = write(base, out)
    except AlertingRefused as refused:
        refuse(refused.problems)
    except OSError as error:
        refuse([f"{error.filename}: {error.strerror}"])
    if not channels:
        _errors.print("[yellow]No receiver:[/yellow] alerts are only seen in Alertmanager. Set ALERT_…")
    typer.echo(f"{out}: {', '.join(channels) or 'no receiver'}")


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
