"""Real Prometheus and Alertmanager with the shipped rules, routing and intervals, and a webhook that listens.

Only addresses differ from what ships: the targets, and a webhook as the receiver.
"""

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import httpx

from bot.assemble.alertmanager import render
from tests.loopback import unused_port

INFRA = Path(__file__).parents[1] / "infra"
PROMETHEUS = shutil.which("prometheus")
ALERTMANAGER = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
MISSING = "Prometheus or Alertmanager is missing: apt-get install prometheus prometheus-alertmanager"


class Heard(NamedTuple):
    """One notification of one alert, as a receiver got it."""

    at: float  # time.monotonic
    name: str
    status: str
    path: str  # /phone or /deadman
    alert: dict[str, Any]


class Webhook:
    """Keeps what Alertmanager posts."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                for alert in body["alerts"]:
                    name = alert["labels"]["alertname"]
                    outer.heard.append(Heard(time.monotonic(), name, alert["status"], self.path, alert))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def names(self, *, path: str = "/phone", status: str = "firing") -> list[str]:
        return [heard.name for heard in self.heard if (heard.path, heard.status) == (path, status)]

    def wait(self, name: str, status: str, seconds: float, since: float = 0.0) -> Heard:
        """The first such notification after `since`; AssertionError when none comes in time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for heard in list(self.heard):
                if (heard.name, heard.status) == (name, status) and heard.at >= since:
                    return heard
            time.sleep(0.05)
        raise AssertionError(f"no {status} {name} within {seconds} s; heard {self.heard}")

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Monitoring:
    """A context manager: Prometheus scraping `bot_port`, Alertmanager, the webhook."""

    def __init__(self, folder: Path, bot_port: int) -> None:
        self.folder = folder
        self.webhook = Webhook()
        self.prometheus_port, self.alertmanager_port = unused_port(), unused_port()
        self.url = f"http://127.0.0.1:{self.prometheus_port}"
        self.alertmanager_url = f"http://127.0.0.1:{self.alertmanager_port}"
        self._bot_port = bot_port
        self.processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        config = (INFRA / "prometheus" / "prometheus.yml").read_text()
        for name, port in (
            ("alertmanager:9093", self.alertmanager_port),
            ("bot:9100", self._bot_port),
            ("localhost:9090", self.prometheus_port),
        ):
            assert name in config
            config = config.replace(name, f"127.0.0.1:{port}")
        (self.folder / "prometheus.yml").write_text(config)
        shutil.copytree(INFRA / "prometheus" / "rules", self.folder / "rules")
        shutil.copy(INFRA / "alertmanager" / "phone.tmpl", self.folder)
        base = (INFRA / "alertmanager" / "alertmanager.yml").read_text()
        hook = self.webhook.url
        (self.folder / "alertmanager.yml").write_text(
            render(base, {"ALERT_WEBHOOK_URL": f"{hook}/phone", "ALERT_DEADMAN_URL": f"{hook}/deadman"})
        )
        assert PROMETHEUS is not None
        assert ALERTMANAGER is not None
        self._start(
            ALERTMANAGER,
            "--config.file=alertmanager.yml",
            "--storage.path=alertmanager",
            f"--web.listen-address=127.0.0.1:{self.alertmanager_port}",
            "--cluster.listen-address=",
        )
        # First, or the first alert finds nobody and is sent again only after Prometheus' minute.
        wait_until(lambda: _answers(f"{self.alertmanager_url}/-/ready"), 30, "Alertmanager is not ready")
        self._start(
            PROMETHEUS,
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=tsdb",
            f"--web.listen-address=127.0.0.1:{self.prometheus_port}",
        )
        wait_until(lambda: _answers(f"{self.url}/-/ready"), 30, "Prometheus is not ready")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.processes:
            process.kill()
            process.wait(10)
        self.webhook.close()

    def query(self, expr: str) -> list[dict[str, Any]]:
        """An instant query; AssertionError with Prometheus' words when it is wrong."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": expr}, trust_env=False, timeout=10)
        assert answer.status_code == 200, f"{expr}: {answer.text}"
        result: list[dict[str, Any]] = answer.json()["data"]["result"]
        return result

    def _start(self, *command: str) -> None:
        with (self.folder / f"{Path(command[0]).name}.log").open("wb") as log:
            self.processes.append(
                subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, env=os.environ)
            )


def wait_until(done: Callable[[], bool], seconds: float, words: str) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, words
        time.sleep(0.05)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False
