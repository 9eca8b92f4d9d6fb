"""Whose token, from where, and is it good: what `bot login`, `bot token`, the preflight and the run share.

It must never print a token, and never trust one that a profile call has not proven: a token file can be
written by anything (components: the morning token).
"""

from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from bot.core.units import Nanos, ist
from bot.run.ports import Clock
from bot.settings import SECTIONS, TOKEN_FILE_NAME, BrokerSettings, DataSettings, Settings, SettingsRefused
from bot.settings_file import read_tree
from bot.settings_sections import LoginSettings
from bot.storage.token_file import read_token
from bot.upstox.auth import Token, expiry_of
from bot.upstox.rest import Hosts, UpstoxRest
from bot.upstox.wire_account import Identity
from bot.upstox.wire_answers import ReadFailed

NEW_TOKEN = "get a new one with `bot login` (or `bot token set`)"  # noqa: S105


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """What it takes to get and keep a token. No instrument or limit is needed for that."""

    hosts: Hosts
    environment_token: str
    token_file: Path
    login: LoginSettings
    data_folder: Path = Path("data")


NOBODY = Identity("", "", active=True, exchanges=frozenset(), products=frozenset())


class TokenRefused(Exception):
    """The token does not do. `passing`: the broker could not be asked; another try may help."""

    def __init__(self, text: str, *, passing: bool = False) -> None:
        super().__init__(text)
        self.passing = passing


def load_access(path: Path | None, environ: dict[str, str] | None = None) -> AccessSettings:
    """The few settings of it, out of an otherwise perhaps unfinished file. Raises SettingsRefused."""
    tree, problems = read_tree(path, environ, SECTIONS)
    known: dict[str, Any] = {}
    models: dict[str, type[BaseModel]] = {
        "broker": BrokerSettings,
        "data": DataSettings,
        "login": LoginSettings,
    }
    for section, model in models.items():
        try:
            known[section] = model.model_validate(tree.get(section, {}))
        except ValidationError as error:
            for item in error.errors():
                key = ".".join(str(part) for part in (section, *item["loc"]))
                problems.append(f"{key}: {item['msg'].removeprefix('Value error, ')}")
    if problems:
        raise SettingsRefused(problems)
    broker, data, login = known["broker"], known["data"], known["login"]
    return AccessSettings(
        Hosts(broker.api_host, broker.order_host),
        broker.live_access_token.get_secret_value(),
        broker.token_file or data.folder / TOKEN_FILE_NAME,
        login,
        data.folder,
    )


def access_of(settings: Settings) -> AccessSettings:
    """The same out of settings that are complete."""
    return AccessSettings(
        Hosts(settings.broker.api_host, settings.broker.order_host),
        settings.broker.live_access_token.get_secret_value(),
        settings.token_file,
        LoginSettings(),
        settings.data_folder,
    )


def kept_token(access: AccessSettings) -> str:
    """The token that was put down for us, "" when there is none: the one place that knows where tokens lie.

    Raises TokenFileRefused.
    """
    return read_token(access.token_file)


def first_token(access: AccessSettings, now: Nanos) -> tuple[str, Literal["environment", "file", ""]]:
    """The token to begin with, and where it was: the environment's, unless it says that it has expired; then
    the file's. ("", "") when there is none at all. Raises TokenFileRefused.
    """
    environment = access.environment_token
    if environment and not expired(environment, now):
        return environment, "environment"
    if kept := kept_token(access):
        return kept, "file"
    return (environment, "environment") if environment else ("", "")


def expired(text: str, now: Nanos) -> bool:
    """By its own words; a token that says nothing of it may still be dead."""
    expiry = expiry_of(text)
    return expiry is not None and expiry <= now


def expiry_words(text: str) -> str:
    expiry = expiry_of(text)
    if expiry is None:
        return "does not say when it expires (every token dies at 03:30 IST)"
    return f"expires at {ist(expiry):%Y-%m-%d %H:%M} IST"


async def verify(clock: Clock, hosts: Hosts, text: str, *, read_only: bool = False) -> Identity:
    """Whose token this is, by a real call with it on a line of its own. Raises TokenRefused.

    `read_only`: an analytics token will do; from an address that is not registered it may read prices and not
    the profile (403), and then it is nobody's by name (upstox §2.4).
    """
    try:
        token = Token(text)
    except ValueError as error:
        raise TokenRefused(f"{error}: copy it again, whole and alone") from None
    if expired(text, clock.now()):
        raise TokenRefused(f"the token {expiry_words(text).replace('expires', 'expired')}; {NEW_TOKEN}")
    rest = UpstoxRest(clock, token, hosts)
    try:
        found = await rest.identity()
    except ReadFailed as failure:
        if read_only and failure.status == HTTPStatus.FORBIDDEN:
            return NOBODY
        raise refusal(failure) from None
    finally:
        await rest.aclose()
    if not found.active:
        raise TokenRefused(
            f"the account {found.user_id} is not active: log in to the broker's site, mend that"
        )
    return found


def refusal(failure: ReadFailed) -> TokenRefused:
    """A profile call that failed, in words that say what to do."""
    if failure.status == HTTPStatus.UNAUTHORIZED:
        return TokenRefused(f"the broker does not accept the token ({failure.code}): {NEW_TOKEN}")
    if failure.status == HTTPStatus.FORBIDDEN:
        return TokenRefused(
            f"the broker turns us away (403 {failure.code}): if this machine's address is not the registered "
            "one, register it in the developer console and get a new token; else try again in a minute",
            passing=True,
        )
    return TokenRefused(
        f"the broker could not be asked ({failure}): check this machine's network, then try again",
        passing=True,
    )
