"""The command line: parse, call, exit code. Nothing is decided here."""

import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

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
    telemetry: Annotated[
        str, typer.Option(help="HOST:PORT of /metrics and /healthz, for a Prometheus to watch the day.")
    ] = "127.0.0.1:0",
) -> None:
    """Run one whole trading day against the built-in Upstox twin. No account, no key, no network.

    The bot's own adapters talk to the twin over real HTTP and WebSockets on loopback, in lockstep: the market
    moves on only when the bot has dealt with everything it was sent. The synthetic day is eventful by design
    (a lost connection, a slide that hits the stop). Files are what the archive would hold after a live day.
    """
    from bot.assemble.demo import DemoOptions, DemoRefused, run_demo

    try:
        code = run_demo(
            DemoOptions(tuple(files or ()), seed, calm, max_speed, out, picture, telemetry), Console()
        )
    except DemoRefused as refused:
        refuse(refused.problems)
    raise typer.Exit(code)


@app.command()
def run(
    *,
    config: Annotated[
        Path | None, typer.Option(help="Settings; bot.toml in this folder unless given.")
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(
            help="live, sandbox, paper or demo, whatever the settings say. paper: live prices, simulated "
            "orders, a read-only token will do. sandbox: paper, and each order posted to the sandbox, too."
        ),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("-v", help="Print each tick: price, estimate, velocity, rel_diff, probability.")
    ] = False,
) -> None:
    """Trade one day with the settings in bot.toml, then exit. Early: waits. Late: joins safely.

    Exit codes: 0 done, or no session today · 2 wrong settings, every one listed · 3 somebody must mend
    something first: a year the calendar lacks, no instrument master, a contract that is gone · 4 the books
    differ from the broker's · 5 ended holding a position.
    """
    from bot.assemble.live import LiveRefused, run_live
    from bot.settings import SettingsRefused, load

    try:
        settings = load(config, mode=mode)
        if settings.broker.mode == "demo":
            demo([])
        raise typer.Exit(run_live(settings, verbose=verbose))
    except (SettingsRefused, LiveRefused) as refused:
        refuse(refused.problems)


@app.command()
def preflight(
    *,
    config: Annotated[
        Path | None, typer.Option(help="Settings; bot.toml in this folder unless given.")
    ] = None,
    mode: Annotated[
        str | None, typer.Option(help="live, sandbox or paper, whatever the settings say.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document (as in a pipe).")] = False,
) -> None:
    """Go or no-go: every check with what to do. Sends no order; asks the broker a dozen questions.

    token by a real call · address by cancelling an order that does not exist · calendar against the broker ·
    instrument, lot and freeze · funds and rupees at risk · charges · clock · model · disk · archive · feed.

    Exit codes: 0 go, warnings or not · 2 wrong settings · 3 no go.
    """
    from bot.assemble.preflight.command import run_preflight
    from bot.settings import SettingsRefused, load

    try:
        code = run_preflight(load(config, mode=mode), Console(), as_json=as_json)
    except SettingsRefused as refused:
        refuse(refused.problems)
    raise typer.Exit(code)


@app.command()
def login(
    *,
    config: Annotated[
        Path | None, typer.Option(help="Settings; bot.toml in this folder unless given.")
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the page; else only print its address.")] = True,
) -> None:
    """Get today's token: the broker's login page in your browser, its answer caught on this machine.

    Needs login.api_key and login.redirect_uri as registered with your app, and the secret in
    BOT_LOGIN__API_SECRET (asked for when it is not set). A running bot takes the new token by itself.

    Exit codes: 0 done · 1 no token came of it · 2 wrong settings.
    """
    import webbrowser

    from bot.assemble import login as body
    from bot.assemble.access import load_access
    from bot.settings import SettingsRefused

    try:
        access = load_access(config)
    except SettingsRefused as refused:
        refuse(refused.problems)
    if not access.login.api_key:
        refuse(["login.api_key: is missing; it stands on your app's page in the developer console"])
    secret = access.login.api_secret.get_secret_value()
    if not secret:
        secret = typer.prompt("API secret (not shown)", hide_input=True).strip()
    open_page = webbrowser.open if browser else (lambda _: None)
    token_exit(lambda: body.login(access, secret, Console(), open_page=open_page))


token_app = typer.Typer(no_args_is_help=True, help="Keep, or ask about, the day's access token.")
app.add_typer(token_app, name="token")


@token_app.command("set")
def token_set(
    *,
    config: Annotated[
        Path | None, typer.Option(help="Settings; bot.toml in this folder unless given.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the broker whose it is.")] = False,
) -> None:
    """Store today's token, from a prompt that does not show it or from standard input (a pipe).

    Kept 0600, and only once a profile call has proven it. A running bot takes it by itself.

    Exit codes: 0 kept · 1 the broker does not accept it · 2 wrong settings.
    """
    from bot.assemble import login as body
    from bot.assemble.access import load_access
    from bot.settings import SettingsRefused

    try:
        access = load_access(config)
    except SettingsRefused as refused:
        refuse(refused.problems)
    interactive = sys.stdin.isatty()
    text = typer.prompt("Token (not shown)", hide_input=True) if interactive else sys.stdin.read(10_000)
    token_exit(lambda: body.set_token(access, text, Console(), offline=offline))


@token_app.command("show")
def token_show(
    *,
    config: Annotated[
        Path | None, typer.Option(help="Settings; bot.toml in this folder unless given.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the broker whose it is.")] = False,
) -> None:
    """Whose token there is, from where, and until when. Never the token itself.

    Exit codes: 0 it works · 1 there is none that works · 2 wrong settings.
    """
    from bot.assemble import login as body
    from bot.assemble.access import load_access
    from bot.settings import SettingsRefused

    try:
        access = load_access(config)
    except SettingsRefused as refused:
        refuse(refused.problems)
    token_exit(lambda: body.show_token(access, Console(), offline=offline))


def token_exit(work: Callable[[], int]) -> NoReturn:
    """Exit with what `work` says; a refusal of token, login or file is a sentence and code 1."""
    from bot.assemble.access import TokenRefused
    from bot.storage.token_file import TokenFileRefused
    from bot.upstox.login import LoginRefused

    try:
        code = work()
    except (TokenRefused, TokenFileRefused, LoginRefused) as refused:
        _errors.print(f"[red]✗[/red] {escape(str(refused))}", highlight=False, soft_wrap=True)
        code = 1
    raise typer.Exit(code)


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
    script: Annotated[
        Path | None,
        typer.Option(help="Faults, a line each: `09:30:00 drop market`, `10:15 stall market 20s`."),
    ] = None,
    tls: Annotated[
        Path | None, typer.Option(help="Speak TLS; the authority to trust is written into this file.")
    ] = None,
) -> None:
    """Serve the twin: Upstox on the wire, on loopback, for any Upstox client.

    Things go wrong on command: by --script, or at any time by POST /twin/faults (the same words, no time):

    drop market, drop portfolio, half open market, half open portfolio, stall market 20s,
    refuse handshake 20s, redirect handshake, reject modify "RMS:text", lose reply place,
    late acceptance 8s, slow reply cancel 3s, thin book 5m 65, unauthorized 1m, blocked 1m,
    too many 10s, wrong address 1m.
    """
    from bot.assemble.market import DemoRefused
    from bot.assemble.twin import serve_twin

    try:
        serve_twin(
            tuple(files or ()),
            port=port,
            seed=seed,
            speed=speed,
            at=at,
            console=Console(),
            script=script,
            tls=tls,
        )
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

    first, _, last = seeds.partition(":")
    if not (first.isdecimal() and last.isdecimal() and int(first) < int(last)):
        refuse([f"--seeds {seeds}: write FIRST:END, like 1:101"])
    span = int(first), int(last)
    raise typer.Exit(
        run_simulation(*span, focus=focus, jobs=jobs, trace=trace, json_out=json_out, console=Console())
    )


calendar = typer.Typer(no_args_is_help=True, help="The trading calendar: show it, fetch the next year.")
app.add_typer(calendar, name="calendar")


@calendar.command("show")
def calendar_show(
    *,
    year: Annotated[int | None, typer.Option(help="Only this year's days that are not regular.")] = None,
    data: Annotated[
        Path, typer.Option(envvar="BOT_DATA__FOLDER", help="The data folder; calendar.csv there is yours.")
    ] = Path("data"),
) -> None:
    """Print the years that are covered, their holidays and special sessions, each with its source."""
    from bot.assemble.calendar import show
    from bot.core.calendar import CalendarRefused

    try:
        for line in show(data, year):
            typer.echo(line)
    except CalendarRefused as refused:
        refuse(refused.problems)


@calendar.command("fetch")
def calendar_fetch(
    *,
    config: Annotated[
        Path | None, typer.Option(help="Settings; bot.toml in this folder unless given.")
    ] = None,
    year: Annotated[int | None, typer.Option(help="The year that is missing next, unless given.")] = None,
    accept: Annotated[
        bool, typer.Option("--accept", help="Write it into calendar.csv at once, without a review.")
    ] = False,
) -> None:
    """Ask the broker for a year's holidays, print what would change, and write a proposal for your review.

    Nothing counts until it stands in calendar.csv in the data folder: compare the proposal with the
    exchange's circular, then rename it, or run again with --accept. Exit code 1: the list can't be used yet.
    """
    from bot.assemble.calendar import fetch
    from bot.core.calendar import CalendarRefused
    from bot.settings import SettingsRefused, load

    try:
        raise typer.Exit(fetch(load(config), year, accept_it=accept, say=typer.echo))
    except (SettingsRefused, CalendarRefused) as refused:
        refuse(refused.problems)


def main() -> None:
    """Entry point of the `bot` command."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
