"""`bot.toml` + environment + secrets → one frozen `Settings`, validated once; every error is listed at once.

Precedence: environment (`BOT_SECTION__KEY`, and the four short names users of the first implementation know)
over the file over the defaults. Secrets come from the environment or a token file, never from `bot.toml`, and
are never printed: their type hides them. Pydantic lives only here; inside the bot settings are plain records.
"""

import os
import tomllib
from dataclasses import dataclass
from datetime import time
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from bot.core.forecast import RelDiff
from bot.core.rules import Contract, OrderRules, RiskRules, Rules, StrategyRules
from bot.core.units import paise

_SHORT_NAMES = ("BOT_LIVE_ACCESS_TOKEN", "BOT_SANDBOX_ACCESS_TOKEN", "BOT_INSTRUMENT_KEY", "BOT_TRADE_QTY")
_PREFIX = "BOT_"


class SettingsRefused(ValueError):
    """The settings are wrong. `problems` lists every one, each with its key and what to do."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class BrokerSettings(_Section):
    mode: Literal["live"] = "live"
    product: Literal["D", "I"] = "D"
    algo_name: str = ""
    api_host: str = "https://api.upstox.com"
    order_host: str = "https://api-hft.upstox.com"
    live_access_token: SecretStr = SecretStr("")
    sandbox_access_token: SecretStr = SecretStr("")

    @field_validator("api_host", "order_host")
    @classmethod
    def _encrypted(cls, host: str) -> str:
        plain_loopback = host.startswith(("http://127.0.0.1", "http://localhost"))
        if not (host.startswith("https://") or plain_loopback):
            raise ValueError("must start with https:// (plain http only to 127.0.0.1, the twin)")
        return host.rstrip("/")


class InstrumentSettings(_Section):
    key: Annotated[str, Field(pattern=r"^(NSE|BSE)_FO\|\w+$")]
    quantity: Annotated[int, Field(gt=0)]
    lot: Annotated[int, Field(gt=0)]
    freeze_quantity: Annotated[int, Field(gt=0)]
    tick_rupees: Annotated[float, Field(gt=0)] = 0.05
    name: str = ""

    @model_validator(mode="after")
    def _tradable(self) -> "InstrumentSettings":
        if self.quantity % self.lot:
            raise ValueError(f"quantity {self.quantity} is not a multiple of the lot {self.lot}")
        if self.quantity > self.freeze_quantity:
            raise ValueError(f"quantity {self.quantity} is above the freeze quantity {self.freeze_quantity}")
        return self


class StrategySettings(_Section):
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.63
    rel_diff: RelDiff = RelDiff.PRICE_MINUS_ESTIMATE
    band: Annotated[float, Field(gt=0)] | None = None
    warmup_ticks: Annotated[int, Field(ge=10)] = 100


class OrderSettings(_Section):
    entry_ticks: Annotated[int, Field(ge=0, le=100)] = 1
    entry_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 2.0
    exit_ticks: Annotated[int, Field(ge=0, le=1000)] = 5


class RiskSettings(_Section):
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
    accept_no_edge: bool = False


class SessionSettings(_Section):
    open: time = time(9, 15)
    entry_cutoff: time = time(15, 10)
    flatten: time = time(15, 29)
    special: bool = False  # trade Muhurat and weekend sessions, too

    @model_validator(mode="after")
    def _ordered(self) -> "SessionSettings":
        if not self.open < self.entry_cutoff <= self.flatten < time(15, 40):
            raise ValueError("must be open < entry_cutoff ≤ flatten < 15:40 (IST)")
        return self


class DataSettings(_Section):
    folder: Path = Path("data")


class ArchiveSettings(_Section):
    root: str = "archive"


class TelemetrySettings(_Section):
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 9100
    alertmanager: Annotated[str, Field(pattern=r"^(https?://\S+[^/\s])?$")] = ""  # its base address


class ModelSettings(_Section):
    path: Path = Path("models/trade_classifier.tflite")


class _Document(_Section):
    """The shape of `bot.toml`."""

    broker: BrokerSettings = BrokerSettings()
    instruments: Annotated[tuple[InstrumentSettings, ...], Field(min_length=1)]
    strategy: StrategySettings = StrategySettings()
    orders: OrderSettings = OrderSettings()
    risk: RiskSettings = RiskSettings()
    session: SessionSettings = SessionSettings()
    data: DataSettings = DataSettings()
    archive: ArchiveSettings = ArchiveSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    model: ModelSettings = ModelSettings()


@dataclass(frozen=True, slots=True)
class Settings:
    """All that was decided outside the code, validated."""

    broker: BrokerSettings
    contracts: tuple[Contract, ...]
    rules: Rules
    session: SessionSettings
    data_folder: Path
    archive_root: str
    telemetry: TelemetrySettings
    model_path: Path
    public: dict[str, Any]  # for the archive: everything but the secrets


def load(path: Path | None, environ: dict[str, str] | None = None) -> Settings:
    """Read the file (None: `bot.toml` here, if it exists) and the environment. Raises SettingsRefused."""
    environ = dict(os.environ) if environ is None else environ
    chosen = path or Path("bot.toml")
    if path is None and not chosen.exists():
        tree: dict[str, Any] = {}
    else:
        tree = _read(chosen)
    problems = _secrets_in_file(tree)
    problems += _overlay(tree, environ)
    problems += _wanted_for_live(tree)
    try:
        document = _Document.model_validate(tree)
    except ValidationError as error:
        raise SettingsRefused(problems + [_say(item) for item in error.errors()]) from None
    problems += _across(document)
    if problems:
        raise SettingsRefused(problems)
    return _frozen(document)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsRefused(
            [f"{path}: no such file. Copy bot.example.toml and fill in your instrument."]
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsRefused([f"{path}: cannot be read: {error}"]) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsRefused([f"{path}: not valid TOML: {error}"]) from None


def _secrets_in_file(tree: dict[str, Any]) -> list[str]:
    broker = tree.get("broker")
    if not isinstance(broker, dict):
        return []
    found = [key for key in ("live_access_token", "sandbox_access_token") if broker.pop(key, "")]
    return [
        f"broker.{key}: a token must not stand in the file; put it in the environment as BOT_{key.upper()}"
        for key in found
    ]


def _overlay(tree: dict[str, Any], environ: dict[str, str]) -> list[str]:
    """Lay the environment over the file. Returns what it could not place."""
    problems = []
    sections = set(_Document.model_fields) - {"instruments"}
    for name, value in sorted(environ.items()):
        if not name.startswith(_PREFIX) or name in _SHORT_NAMES:
            continue
        section, _, key = name.removeprefix(_PREFIX).lower().partition("__")
        if section not in sections or not key:
            problems.append(
                f"{name}: unknown; write BOT_SECTION__KEY, with SECTION one of {', '.join(sorted(sections))}"
            )
        else:
            tree.setdefault(section, {})[key] = value
    broker = tree.setdefault("broker", {})
    if isinstance(broker, dict):
        for key in ("live_access_token", "sandbox_access_token"):
            if token := environ.get(f"BOT_{key.upper()}"):
                broker[key] = token
    problems += _one_instrument(tree, environ)
    return problems


def _one_instrument(tree: dict[str, Any], environ: dict[str, str]) -> list[str]:
    """BOT_INSTRUMENT_KEY and BOT_TRADE_QTY set the one instrument, as in the first implementation."""
    changes = {
        field: environ[name]
        for name, field in (("BOT_INSTRUMENT_KEY", "key"), ("BOT_TRADE_QTY", "quantity"))
        if environ.get(name)
    }
    if not changes:
        return []
    instruments = tree.setdefault("instruments", [{}])
    if not isinstance(instruments, list) or len(instruments) > 1:
        return ["BOT_INSTRUMENT_KEY, BOT_TRADE_QTY: need exactly one [[instruments]] in the file"]
    instruments[0].update(changes)
    return []


def _say(item: Any) -> str:
    """One pydantic error as a sentence with its key; the value is left out (it may be secret)."""
    key = ".".join(str(part) for part in item["loc"]) or "bot.toml"
    if item["type"] == "extra_forbidden":
        return f"{key}: unknown setting; see bot.example.toml for all of them"
    if item["type"] == "missing":
        return f"{key}: is missing"
    return f"{key}: {item['msg'].removeprefix('Value error, ')}"


def _wanted_for_live(tree: dict[str, Any]) -> list[str]:
    """What live trading does not start without. Looked at before validation, so that it is always told."""
    risk, broker = tree.get("risk"), tree.get("broker")
    risk = risk if isinstance(risk, dict) else {}
    broker = broker if isinstance(broker, dict) else {}
    problems = []
    if risk.get("daily_loss_rupees") is None:
        problems.append("risk.daily_loss_rupees: live trading refuses to start without a limit")
    if risk.get("accept_no_edge") in {None, False, "false", "0", ""}:
        problems.append(
            "risk.accept_no_edge: set it to true to say you know: no edge of this strategy survived costs on "
            "any file tested; break-even is 40–97 bps a round trip, the model's label is 18 bps"
        )
    if not broker.get("live_access_token"):
        problems.append("BOT_LIVE_ACCESS_TOKEN: is missing; today's token from Upstox goes there")
    return problems


def _across(document: _Document) -> list[str]:
    """What concerns several settings at once."""
    problems = []
    keys = [instrument.key for instrument in document.instruments]
    if len(set(keys)) < len(keys):
        problems.append("instruments: the same key stands twice")
    return problems


def _frozen(document: _Document) -> Settings:
    risk, strategy, orders = document.risk, document.strategy, document.orders
    daily_loss = _paise(risk.daily_loss_rupees)
    charges = _paise(risk.charges_per_day_rupees)
    return Settings(
        broker=document.broker,
        contracts=tuple(
            Contract(
                key=item.key,
                quantity=item.quantity,
                lot=item.lot,
                tick=paise(item.tick_rupees),
                freeze_quantity=item.freeze_quantity,
                exchange=item.key[:3],
                name=item.name or item.key,
            )
            for item in document.instruments
        ),
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
            ),
        ),
        session=document.session,
        data_folder=document.data.folder,
        archive_root=document.archive.root,
        telemetry=document.telemetry,
        model_path=document.model.path,
        public=document.model_dump(
            mode="json", exclude={"broker": {"live_access_token", "sandbox_access_token"}}
        ),
    )


def _paise(rupees: float | None) -> int | None:
    return None if rupees is None else paise(rupees)
