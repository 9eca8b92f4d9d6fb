"""AWS on loopback: a real moto_server process, and boto3 pointed at it. Moto checks no credentials."""

import os
import socket
import subprocess
import sys
import time

import pytest

from tests.loopback import unused_port


class Moto:
    """A real moto_server that can be stopped and started again on the same port (it forgets everything)."""

    def __init__(self) -> None:
        self.port = unused_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        pytest.fail("moto_server did not come up")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def point_boto3(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Dummy keys, and nothing of the machine's own AWS set-up."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name, value in loopback_aws(address).items():
        monkeypatch.setenv(name, value)


def loopback_aws(address: str) -> dict[str, str]:
    """The environment that points any AWS client at `address`."""
    return {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": address,
        "AWS_REGION": "ap-south-1",  # Terraform reads this, boto3 the next
        "AWS_DEFAULT_REGION": "ap-south-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
    }
