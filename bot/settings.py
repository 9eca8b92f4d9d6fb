"""`bot.toml` + environment + secrets → one frozen `Settings`, validated once; every error is listed at once.

Precedence: environment (`BOT_SECTION__KEY`, and the four short names users of the first implementation know)
over the file over the defaults. Secrets come from the environment or a token file, never from `bot.toml`, and
are never printed: their type hides them. Pydantic lives only here; inside the bot settings are plain records.
"""

import re
from dataclasses import dataclass
from datetime import time
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator

from bot.core.forecast import RelDiff
from bot.core.rules import Contract, OrderRules, RiskRules, Rules, StrategyRules
from bot.core.units import paise
from bot.settings_file import SettingsRefused as SettingsRefused  # noqa: PLC0414 - others know it from here
from bot.settings_file import read_tree
from bot.settings_sections import InstrumentSettings, LoginSettings, ProcessSettings, Section

SQUARE_OFF_MARGIN_MINUTES = 3
_PLAIN = frozenset({("http", "127.0.0.1"), ("http", "localhost")})
_HOST = re.compile(r"https?://(?!-)[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*(:\d+)?(/[\w./~-]*)?", re.ASCII)
TOKEN_FILE_NAME = "access_token"  # noqa: S105 - a file


class BrokerSettings(Section):
    mode: Literal["live", "sandbox", "paper", "demo"] = "live"
    product: Literal["D", "I"] = "D"
    square_off: time = time(15, 20)  # when the broker closes product I by itself (IST)
    algo_name: Annotated[str, Field(pattern=r"^[ -~]*$")] = ""  # goes into a header
    api_host: str = "https://api.upstox.com"
    order_host: str = "https://api-hft.upstox.com"
    sandbox_host: str = "https://api-sandbox.upstox.com"
    token_source: Annotated[str, Field(pattern=r"^(secretsmanager:\S+)?$")] = ""
    token_request: Annotated[str, Field(pattern=r"^(lambda:\S+)?$")] = ""
    live_access_token: SecretStr = SecretStr("")
    sandbox_access_token: SecretStr = SecretStr("")
    token_file: Path | None = None  # None: `access_token` in the data folder

    @field_validator("api_host", "order_host", "sandbox_host")
    @classmethod
    def _encrypted(cls, host: str) -> str:
        address = urlsplit(host)
        if address.scheme != "https" and (address.scheme, address.hostname) not in _PLAIN:
            raise ValueError("must start with https:// (plain http only to 127.0.0.1, the twin)")
        _ = address.port  # raises for one that is no number
        if not _HOST.fullmatch(host):
            raise ValueError("must be an address like https://api.upstox.com")
        return host.rstrip("/")


class StrategySettings(Section):
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.63
    rel_diff: RelDiff = RelDiff.PRICE_MINUS_ESTIMATE
    band: Annotated[float, Field(gt=0)] | None = None
    warmup_ticks: Annotated[int, Field(ge=10)] = 100


class OrderSettings(Section):
    entry_ticks: Annotated[int, Field(ge=0, le=100)] = 1
    entry_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 2.0
    exit_ticks: Annotated[int, Field(ge=0, le=1000)] = 5


class RiskSettings(Section):
    stop_loss_rupees: Annotated[float, Field(gt=0)] = 50.0
    daily_loss_rupees: Annotated[float, Field(gt=0)] | None = None
    charges_per_day_rupees: Annotated[float, Field(gt=0)] | None = None
    capital_rupees: Annotated[float, Field(gt=0)] | None = None
    entries_per_day: Annotated[int, Field(gt=0)] = 20
    entries_per_minute: Annotated[int, Field(gt=0, le=60)] = 6
    stops_per_day: Annotated[int, Field(gt=0)] = 3
    cooldown_seconds: Annotated[float, Field(ge=0)] = 300.0
    premium_min_rupees: Annotated[float, Field(gt=50.05)] = 60.0
    premium_max_rupees: Annotated[float, Field(gt=0)] | None = None
    spread_max_bps: Annotated[float, Field(gt=0)] = 100.0
    tick_lag_max_seconds: Annotated[float, Field(gt=0, le=60)] = 2.0
    last_trade_max_seconds: Annotated[float, Field(gt=0)] = 60.0
    clock_skew_max_seconds: Annotated[float, Field(ge=2, le=60)] = 5.0
    kill_file: Path = Path("KILL")  # in the data folder, unless a whole path
    accept_no_edge: bool = False


class SessionSettings(Section):
    open: time = time(9, 15)
    entry_cutoff: time = time(15, 10)
    flatten: time = time(15, 29)
    expiry_day_entry_cutoff: time = time(14, 0)  # on the day our contract expires
    expiry_day_flatten: time = time(15, 10)
    special: bool = False  # trade Muhurat and weekend sessions, too

    @model_validator(mode="after")
    def _ordered(self) -> "SessionSettings":
        if not self.open < self.entry_cutoff <= self.flatten < time(15, 40):
            raise ValueError("must be open < entry_cutoff ≤ flatten < 15:40 (IST)")
        if not self.expiry_day_entry_cutoff <= self.expiry_day_flatten:
            raise ValueError("must be expiry_day_entry_cutoff ≤ expiry_day_flatten (IST)")
        return self


class DataSettings(Section):
    folder: Path = Path("data")
    instrument_master: str | None = None  # address or path; None: Upstox's own, or none against a twin


class ArchiveSettings(Section):
    root: str = "archive"


class TelemetrySettings(Section):
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 9100
    alertmanager: Annotated[str, Field(pattern=r"^(https?://\S+[^/\s])?$")] = ""  # its base address


class ModelSettings(Section):
    path: Path | None = None  # the one that came along


class _Document(Section):
    """The shape of `bot.toml`."""

    broker: BrokerSettings = BrokerSettings()
    instruments: tuple[InstrumentSettings, ...] = ()
    strategy: StrategySettings = StrategySettings()
    orders: OrderSettings = OrderSettings()
    risk: RiskSettings = RiskSettings()
    session: SessionSettings = SessionSettings()
    data: DataSettings = DataSettings()
    archive: ArchiveSettings = ArchiveSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    model: ModelSettings = ModelSettings()
    login: LoginSettings = LoginSettings()
    process: ProcessSettings = ProcessSettings()


SECTIONS = frozenset(_Document.model_fields) - {"instruments"}


@dataclass(frozen=True, slots=True)
class Settings:
    """All that was decided outside the code, validated."""

    broker: BrokerSettings
    instruments: tuple[InstrumentSettings, ...]
    contracts: tuple[
        Contract, ...
    ]  # those whose numbers stand in the file; the others: the instrument master
    rules: Rules
    session: SessionSettings
    data_folder: Path
    instrument_master: str | None
    archive_root: str
    telemetry: TelemetrySettings
    model_path: Path | None  # None: the one that came along
    token_file: Path
    process: ProcessSettings
    kill_file: Path
    public: dict[str, Any]  # for the archive: everything but the secrets


def load(path: Path | None, environ: dict[str, str] | None = None, *, mode: str | None = None) -> Settings:
    """Read the file (None: `bot.toml` here, if it exists) and the environment; `mode` wins over both.

    Raises SettingsRefused.
    """
    tree, problems = read_tree(path, environ, SECTIONS)
    if mode is not None and isinstance(tree["broker"], dict):
        tree["broker"]["mode"] = mode
    problems += _wanted_by_mode(tree)
    try:
        document = _Document.model_validate(tree)
    except ValidationError as error:
        raise SettingsRefused(problems + [_say(item) for item in error.errors()]) from None
    problems += _across(document)
    if problems:
        raise SettingsRefused(problems)
    return _frozen(document)


def _say(item: Any) -> str:
    """One pydantic error as a sentence with its key; the value is left out (it may be secret)."""
    key = ".".join(str(part) for part in item["loc"]) or "bot.toml"
    if item["type"] == "extra_forbidden":
        return f"{key}: unknown setting; see bot.example.toml for all of them"
    if item["type"] == "missing":
        return f"{key}: is missing"
    return f"{key}: {item['msg'].removeprefix('Value error, ')}"


def _wanted_by_mode(tree: dict[str, Any]) -> list[str]:
    """What a mode does not start without. Looked at before validation, so that it is always told."""
    risk, broker = tree.get("risk"), tree.get("broker")
    risk = risk if isinstance(risk, dict) else {}
    broker = broker if isinstance(broker, dict) else {}
    mode = broker.get("mode", "live")
    if mode == "demo":
        return []
    problems = [] if tree.get("instruments") else ["instruments: at least one [[instruments]] is wanted"]
    if mode == "live" and risk.get("daily_loss_rupees") is None:
        problems.append("risk.daily_loss_rupees: live trading refuses to start without a limit")
    if mode == "live" and risk.get("accept_no_edge") in {None, False, "false", "0", ""}:
        problems.append(
            "risk.accept_no_edge: set it to true to say you know: no edge of this strategy survived costs on "
            "any file tested; break-even is 40–97 bps a round trip, the model's label is 18 bps"
        )
    if not (
        broker.get("live_access_token")
        or broker.get("token_file")
        or broker.get("token_source")
        or _kept_token(tree).exists()
    ):
        also = "" if mode == "live" else " (a read-only analytics token will do)"
        problems.append(
            "BOT_LIVE_ACCESS_TOKEN: is missing, and no token is kept: run `bot login`, or `bot token set`"
            + also
        )
    if mode == "sandbox" and not broker.get("sandbox_access_token"):
        problems.append("BOT_SANDBOX_ACCESS_TOKEN: is missing; mode sandbox posts its copies with it")
    return problems


def _kept_token(tree: dict[str, Any]) -> Path:
    data = tree.get("data")
    folder = data.get("folder") if isinstance(data, dict) else None
    return Path(folder if isinstance(folder, str) else DataSettings().folder) / TOKEN_FILE_NAME


def _across(document: _Document) -> list[str]:
    """What concerns several settings at once."""
    problems = []
    titles = [instrument.title for instrument in document.instruments]
    if len(set(titles)) < len(titles):
        problems.append("instruments: the same key or wish stands twice")
    if document.broker.product == "I":
        squared, latest = document.broker.square_off, document.session.flatten
        if _minutes(squared) - _minutes(latest) < SQUARE_OFF_MARGIN_MINUTES:
            problems.append(
                f"session.flatten: must lie {SQUARE_OFF_MARGIN_MINUTES} minutes before broker.square_off "
                f"({squared:%H:%M}) with broker.product I, else both sell at once; or use product D"
            )
    return problems


def _minutes(at: time) -> float:
    return at.hour * 60 + at.minute + at.second / 60


def _frozen(document: _Document) -> Settings:
    risk, strategy, orders = document.risk, document.strategy, document.orders
    daily_loss = _paise(risk.daily_loss_rupees)
    charges = _paise(risk.charges_per_day_rupees)
    return Settings(
        broker=document.broker,
        instruments=document.instruments,
        contracts=tuple(_contract(item) for item in document.instruments if item.by_hand),
        rules=Rules(
            StrategyRules(strategy.threshold, strategy.rel_diff, strategy.band, strategy.warmup_ticks),
            OrderRules(
                product=document.broker.product,
                entry_ticks=orders.entry_ticks,
                entry_timeout_seconds=orders.entry_timeout_seconds,
                exit_ticks=orders.exit_ticks,
            ),
            RiskRules(
                stop_loss=paise(risk.stop_loss_rupees),
                entries_per_day=risk.entries_per_day,
                entries_per_minute=risk.entries_per_minute,
                stops_per_day=risk.stops_per_day,
                cooldown_seconds=risk.cooldown_seconds,
                premium_min=paise(risk.premium_min_rupees),
                premium_max=_paise(risk.premium_max_rupees),
                spread_max_bps=risk.spread_max_bps,
                daily_loss=daily_loss,
                charges_per_day=charges if charges is not None or daily_loss is None else daily_loss // 2,
                capital=_paise(risk.capital_rupees),
                funds_wanted=document.broker.mode == "live",
                tick_lag_max_seconds=risk.tick_lag_max_seconds,
                last_trade_max_seconds=risk.last_trade_max_seconds,
                clock_skew_max_seconds=risk.clock_skew_max_seconds,
            ),
        ),
        session=document.session,
        data_folder=document.data.folder,
        instrument_master=document.data.instrument_master,
        archive_root=document.archive.root,
        telemetry=document.telemetry,
        model_path=document.model.path,
        token_file=document.broker.token_file or document.data.folder / TOKEN_FILE_NAME,
        process=document.process,
        kill_file=document.data.folder / risk.kill_file,
        public=document.model_dump(
            mode="json",
            exclude={"broker": {"live_access_token", "sandbox_access_token"}, "login": {"api_secret"}},
        ),
    )


def _contract(item: InstrumentSettings) -> Contract:
    assert item.key is not None
    assert item.freeze_quantity is not None
    return Contract(
        key=item.key,
        quantity=item.units,
        lot=item.lot or 0,
        tick=paise(item.tick_rupees),
        freeze_quantity=item.freeze_quantity,
        exchange=item.key[:3],
        name=item.name or item.key,
    )


def _paise(rupees: float | None) -> int | None:
    return None if rupees is None else paise(rupees)
