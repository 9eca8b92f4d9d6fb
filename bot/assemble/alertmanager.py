"""`bot alertmanager-config`: Alertmanager's configuration with the receivers that the environment names.

Alertmanager expands no environment, so this is run before it. The routing stands in
infra/alertmanager/alertmanager.yml; only `receivers` is made here (as JSON, which is YAML). Secrets come from
files. Where Alertmanager can read such a file itself, only its path is written.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

VARIABLES: Final = {
    "ALERT_TELEGRAM_CHAT_ID": "a number; with ALERT_TELEGRAM_TOKEN_FILE",
    "ALERT_TELEGRAM_TOKEN_FILE": "a file that holds the bot's token",
    "ALERT_SLACK_URL_FILE": "a file that holds the incoming webhook's address",
    "ALERT_SLACK_CHANNEL": "optional",
    "ALERT_EMAIL_TO": "with ALERT_EMAIL_FROM and ALERT_SMTP_HOST",
    "ALERT_EMAIL_FROM": "the sender",
    "ALERT_SMTP_HOST": "host:port",
    "ALERT_SMTP_USER": "optional; with ALERT_SMTP_PASSWORD_FILE",
    "ALERT_SMTP_PASSWORD_FILE": "a file that holds the password",
    "ALERT_SNS_TOPIC_ARN": "the instance's role signs",
    "ALERT_WEBHOOK_URL": "any other service that takes Alertmanager's JSON",
    "ALERT_DEADMAN_URL": "an outside service that calls when the Watchdog stays away",
}
_TITLE: Final = '{{ template "phone.title" . }}'
_MESSAGE: Final = '{{ template "phone.message" . }}'
_PARSE_MODE_NONE: Final = ""  # plain text: an underscore in a reason must not break a page


class AlertingRefused(ValueError):
    """The environment is wrong; `problems` names each variable."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def render(base: str, environ: Mapping[str, str]) -> str:
    """The routing of `base` with receivers from `environ`. Raises AlertingRefused, naming every problem."""
    problems: list[str] = []
    chosen = {name: value for name, value in environ.items() if name.startswith("ALERT_") and value}
    problems += [
        f"{name}: unknown; there is {', '.join(VARIABLES)}" for name in sorted(chosen.keys() - VARIABLES)
    ]
    receivers = [
        {"name": "phone", **_channels(chosen, problems, resolved=True)},
        {"name": "phone-once", **_channels(chosen, problems, resolved=False)},
        _deadman(chosen),
    ]
    if problems:
        raise AlertingRefused(list(dict.fromkeys(problems)))
    return f"{base.rstrip()}\n\nreceivers: {json.dumps(receivers, indent=2)}\n"


def write(base: Path, out: Path) -> list[str]:
    """Render `base` to `out`, readable by its owner only. Returns the channels chosen."""
    text = render(base.read_text(encoding="utf-8"), os.environ)
    templates = base.parent / "phone.tmpl"
    out.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    if out.parent.resolve() != base.parent.resolve():
        (out.parent / templates.name).write_text(templates.read_text(encoding="utf-8"), encoding="utf-8")
    found = json.loads(text.partition("\nreceivers: ")[2])
    return [key.removesuffix("_configs") for key in found[0] if key != "name"]


def _channels(env: Mapping[str, str], problems: list[str], *, resolved: bool) -> dict[str, Any]:
    made = {
        "telegram_configs": _telegram(env, problems),
        "slack_configs": _slack(env),
        "email_configs": _email(env, problems),
        "sns_configs": _sns(env, problems),
        "webhook_configs": {"url": env["ALERT_WEBHOOK_URL"]} if "ALERT_WEBHOOK_URL" in env else None,
    }
    return {kind: [{**one, "send_resolved": resolved}] for kind, one in made.items() if one is not None}


def _telegram(env: Mapping[str, str], problems: list[str]) -> dict[str, Any] | None:
    if not _all_or_none(env, problems, "ALERT_TELEGRAM_CHAT_ID", "ALERT_TELEGRAM_TOKEN_FILE"):
        return None
    chat = env["ALERT_TELEGRAM_CHAT_ID"]
    if not chat.lstrip("-").isdigit():
        problems.append("ALERT_TELEGRAM_CHAT_ID: must be a number")
        return None
    # Debian's 0.25 knows no bot_token_file, so the token itself is written, for the owner's eyes only.
    token = _secret(env, problems, "ALERT_TELEGRAM_TOKEN_FILE")
    return {"bot_token": token, "chat_id": int(chat), "message": _MESSAGE, "parse_mode": _PARSE_MODE_NONE}


def _slack(env: Mapping[str, str]) -> dict[str, Any] | None:
    if "ALERT_SLACK_URL_FILE" not in env:
        return None
    channel = {"channel": env["ALERT_SLACK_CHANNEL"]} if "ALERT_SLACK_CHANNEL" in env else {}
    text = '{{ template "phone.text" . }}'
    return {"api_url_file": env["ALERT_SLACK_URL_FILE"], "title": _TITLE, "text": text, **channel}


def _email(env: Mapping[str, str], problems: list[str]) -> dict[str, Any] | None:
    if not _all_or_none(env, problems, "ALERT_EMAIL_TO", "ALERT_EMAIL_FROM", "ALERT_SMTP_HOST"):
        return None
    login: dict[str, Any] = {}
    if _all_or_none(env, problems, "ALERT_SMTP_USER", "ALERT_SMTP_PASSWORD_FILE"):
        login = {
            "auth_username": env["ALERT_SMTP_USER"],
            "auth_password_file": env["ALERT_SMTP_PASSWORD_FILE"],
        }
    return {
        "to": env["ALERT_EMAIL_TO"],
        "from": env["ALERT_EMAIL_FROM"],
        "smarthost": env["ALERT_SMTP_HOST"],
        "headers": {"Subject": _TITLE},
        "text": _MESSAGE,
        "html": "",
        **login,
    }


def _sns(env: Mapping[str, str], problems: list[str]) -> dict[str, Any] | None:
    arn = env.get("ALERT_SNS_TOPIC_ARN")
    if arn is None:
        return None
    parts = arn.split(":")
    if len(parts) != 6 or parts[2] != "sns":
        problems.append("ALERT_SNS_TOPIC_ARN: must look like arn:aws:sns:ap-south-1:123456789012:name")
        return None
    return {"topic_arn": arn, "sigv4": {"region": parts[3]}, "subject": _TITLE, "message": _MESSAGE}


def _deadman(env: Mapping[str, str]) -> dict[str, Any]:
    if "ALERT_DEADMAN_URL" not in env:
        return {"name": "deadman"}
    return {"name": "deadman", "webhook_configs": [{"url": env["ALERT_DEADMAN_URL"], "send_resolved": False}]}


def _all_or_none(env: Mapping[str, str], problems: list[str], *names: str) -> bool:
    missing = [name for name in names if name not in env]
    if missing and len(missing) < len(names):
        given = next(name for name in names if name in env)
        problems.extend(f"{name}: is missing, but {given} is set" for name in missing)
    return not missing


def _secret(env: Mapping[str, str], problems: list[str], name: str) -> str:
    try:
        secret = Path(env[name]).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        problems.append(
            f"{name}: cannot be read: {type(error).__name__}; it must name a file with the secret"
        )
        return ""
    if not secret:
        problems.append(f"{name}: the file is empty")
    return secret
