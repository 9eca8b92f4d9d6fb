"""The morning's and the evening's message, and Alertmanager's configuration from the environment."""

import json
import shutil
import stat
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from bot.__main__ import app
from bot.assemble.alertmanager import AlertingRefused, render
from bot.telemetry.messages import ContractLine, Evening, evening, morning, post, refused
from tests.days import ShortDay
from tests.monitoring import Webhook

BASE = Path(__file__).parents[1] / "infra" / "alertmanager" / "alertmanager.yml"
AMTOOL = shutil.which("amtool")
LINE = ContractLine("NIFTY 25000 CE", 65, 65, 3_250_00)
GOOD_DAY = Evening(True, True, 3, 1_200_00, 180_00, 1_020_00, 1, 40_00, ("a/trades.csv",), "")


def test_the_morning_says_go_contract_lot_and_the_loss_at_the_stop() -> None:
    said = morning([LINE], [("token", True)], "")
    assert said.summary == "GO: NIFTY 25000 CE"
    assert "65 units, lot 65; a stop costs ₹3,250.00" in said.text
    assert not said.page


def test_no_go_names_every_reason_and_pages() -> None:
    said = morning([LINE], [("token", False), ("disk", True), ("funds", False)], "calendar")
    assert said.summary.startswith("NO-GO")
    assert "calendar, token, funds" in said.text
    assert said.page
    assert refused(["BOT_LIVE_ACCESS_TOKEN: is missing"]).page


def test_the_evening_says_flat_trades_gross_charges_net_stops_slippage_files() -> None:
    said = evening(GOOD_DAY)
    assert said.summary == "net ₹1,020.00, 3 trades, flat"
    for words in ("flat, verified", "3 trades, 1 stop-losses", "gross ₹1,200.00", "charges ₹180.00",
                  "net ₹1,020.00", "worst slippage ₹40.00", "a/trades.csv"):  # fmt: skip
        assert words in said.text
    assert not said.page


@pytest.mark.parametrize(
    ("wrong", "words", "page"),
    [
        ({"flat": False}, "NOT FLAT", True),
        ({"books_agree": False}, "DIFFER", True),
        ({"books_agree": None}, "not compared", True),
        ({"archive_problem": "no space"}, "not archived: no space", False),
    ],
)
def test_an_evening_with_something_wrong_says_so_first(wrong: dict[str, Any], words: str, page: bool) -> None:
    said = evening(GOOD_DAY._replace(**wrong))
    assert words in said.text.splitlines()[0]
    assert said.page is page


def test_a_day_sends_both_to_alertmanagers_api_and_goes_on_when_nobody_takes_them(tmp_path: Path) -> None:
    heard: list[tuple[str, dict[str, Any]]] = []

    class Api(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            heard.extend((self.path, alert) for alert in body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ShortDay(tmp_path / "taken", alertmanager=f"http://127.0.0.1:{server.server_port}").run().judged()
    server.shutdown()
    server.server_close()
    assert [path for path, _ in heard] == ["/api/v2/alerts"] * 2
    assert [alert["labels"]["alertname"] for _, alert in heard] == ["MorningMessage", "EveningMessage"]
    assert heard[0][1]["labels"]["session"] == "2026-09-16"
    assert heard[0][1]["annotations"]["summary"].startswith("GO")
    assert "books" not in heard[1][1]["annotations"]["description"]
    dead = f"http://127.0.0.1:{server.server_port}"
    ShortDay(tmp_path / "dead", alertmanager=dead).run().judged()
    assert "message_not_delivered" in (tmp_path / "dead" / "log.jsonl").read_text()


def test_a_refusal_of_alertmanager_is_told_in_words() -> None:
    hook = Webhook()  # takes only its own shape: an error of it is an answer that is no success
    hook.close()
    assert "Connect" in post(hook.url, refused(["x"]), "2026-09-16")


# --- the configuration ----------------------------------------------------------------------------------


def files(folder: Path) -> dict[str, str]:
    for name, text in (("token", "123:canary-token\n"), ("slack", "https://hooks/canary\n"), ("pass", "p")):
        (folder / name).write_text(text)
    return {
        "ALERT_TELEGRAM_CHAT_ID": "-100123",
        "ALERT_TELEGRAM_TOKEN_FILE": str(folder / "token"),
        "ALERT_SLACK_URL_FILE": str(folder / "slack"),
        "ALERT_SLACK_CHANNEL": "#bot",
        "ALERT_EMAIL_TO": "me@example.org",
        "ALERT_EMAIL_FROM": "bot@example.org",
        "ALERT_SMTP_HOST": "smtp.example.org:587",
        "ALERT_SMTP_USER": "bot",
        "ALERT_SMTP_PASSWORD_FILE": str(folder / "pass"),
        "ALERT_SNS_TOPIC_ARN": "arn:aws:sns:ap-south-1:123456789012:bot",
        "ALERT_WEBHOOK_URL": "http://127.0.0.1:1/x",
        "ALERT_DEADMAN_URL": "http://127.0.0.1:1/deadman",
    }


def test_the_environment_chooses_the_receivers(tmp_path: Path) -> None:
    config = yaml.safe_load(render(BASE.read_text(), files(tmp_path)))
    phone, once, deadman = config["receivers"]
    kinds = {"telegram_configs", "slack_configs", "email_configs", "sns_configs", "webhook_configs"}
    assert phone.keys() == once.keys() == {"name", *kinds}
    assert all(phone[kind][0]["send_resolved"] for kind in kinds)
    assert not any(once[kind][0]["send_resolved"] for kind in kinds)
    assert deadman["webhook_configs"][0]["url"].endswith("/deadman")
    assert phone["slack_configs"][0]["api_url_file"].endswith("slack"), "a secret's file, not the secret"
    assert phone["sns_configs"][0]["sigv4"] == {"region": "ap-south-1"}
    names = {receiver["name"] for receiver in config["receivers"]}
    route = config["route"]
    assert {route["receiver"], *(r["receiver"] for r in route["routes"] if "receiver" in r)} <= names
    assert route["group_by"] == ["alertname", "session"]
    assert route["group_wait"] == "1s"


def test_half_a_receiver_and_typos_are_all_named(tmp_path: Path) -> None:
    with pytest.raises(AlertingRefused) as refusal:
        render(
            BASE.read_text(),
            {
                "ALERT_TELEGRAM_CHAT_ID": "me",
                "ALERT_EMAIL_TO": "x@y",
                "ALERT_SNS_TOPIC_ARN": "topic",
                "ALERT_TELEGRAMM": "1",
                "ALERT_TELEGRAM_TOKEN_FILE": str(tmp_path / "none"),
            },
        )
    said = " ".join(refusal.value.problems)
    for name in (
        "ALERT_TELEGRAMM:",
        "ALERT_EMAIL_FROM",
        "ALERT_SMTP_HOST",
        "ALERT_SNS_TOPIC_ARN",
        "a number",
    ):
        assert name in said


def test_the_command_writes_a_file_only_its_owner_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in files(tmp_path).items():
        monkeypatch.setenv(name, value)
    out = tmp_path / "out" / "alertmanager.yml"
    result = CliRunner().invoke(app, ["alertmanager-config", "--base", str(BASE), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "telegram" in result.output
    assert "canary" not in result.output
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert (out.parent / "phone.tmpl").exists()


@pytest.mark.component
@pytest.mark.skipif(AMTOOL is None, reason="amtool is missing: apt-get install prometheus-alertmanager")
@pytest.mark.parametrize("some", [True, False], ids=["all receivers", "none"])
def test_alertmanager_itself_accepts_it(tmp_path: Path, some: bool) -> None:
    file = tmp_path / "alertmanager.yml"
    file.write_text(render(BASE.read_text(), files(tmp_path) if some else {}))
    shutil.copy(BASE.parent / "phone.tmpl", tmp_path)
    done = subprocess.run(
        [str(AMTOOL), "check-config", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
