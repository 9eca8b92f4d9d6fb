"""A day: played, traded, looked at beforehand, or served to other clients."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bot.cli.base import app, errors, refuse


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

    Exit codes: 0 done, or no session today · 1 an error nobody foresaw (the next start goes on) ·
    2 wrong settings, every one listed · 3 somebody must mend
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
    except SettingsRefused as refused:
        refuse(refused.problems)
    except LiveRefused as refused:
        refuse(refused.problems, refused.exit_code)


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
    settings: Annotated[
        Path | None,
        typer.Option(help="Write settings here that lead `bot run --config` and the others to this twin."),
    ] = None,
) -> None:
    """Serve the twin: Upstox on the wire, on loopback, for any Upstox client.

    Things go wrong on command: by --script, or at any time by POST /twin/faults (the same words, no time):

    drop market, drop portfolio, half open market, half open portfolio, stall market 20s,
    refuse handshake 20s, redirect handshake, reject modify "RMS:text", deny place UDAPI1037,
    lose reply place, late acceptance 8s, slow reply cancel 3s, thin book 5m 65,
    shuffle portfolio 5m, unauthorized 1m, blocked 1m, too many 10s, wrong address 1m, down 30s.

    It lives in a day of its own: with --settings, login, preflight and run ask it for the time.
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
            settings=settings,
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
        errors.print("[yellow]No receiver:[/yellow] alerts are only seen in Alertmanager. Set ALERT_…")
    typer.echo(f"{out}: {', '.join(channels) or 'no receiver'}")
