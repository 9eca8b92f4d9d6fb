"""The container image: built from the lock, small, without secrets, root or capabilities; it trades a day,
is healthy, and SIGTERM in a position leaves it flat. Built by buildah and run by podman: no engine is needed.
"""

import contextlib
import csv
import json
import os
import re
import shutil
import subprocess
import tarfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cloud_tools import ROOT, run, tool
from tests.loopback import unused_port

pytestmark = pytest.mark.component

BASE = "docker.io/library/python:3.11-slim-bookworm"
IMAGE = "localhost/options-bot:test"
CANARY = "canary-7f3a-secret-of-the-owner"
ENGINE = {
    "CONTAINERS_CONF": str(ROOT / ".ci" / "containers.conf"),
    "CONTAINERS_STORAGE_CONF": str(ROOT / ".ci" / "storage.conf"),
    "DISABLE_HC_SYSTEMD": "true",
}
LOCKED = ["--read-only", "--tmpfs", "/tmp", "--cap-drop=ALL", "--security-opt", "no-new-privileges"]
SMALL = ["--memory", "160m", "--memory-swap", "160m", "--network", "none"]
SECRETS = re.compile(
    rb"eyJ[A-Za-z0-9_-]{20,}\.eyJ[A-Za-z0-9_-]{20,}\."  # a JWT
    rb"|AKIA(?![0-9A-Z]{9}EXAMPLE)[0-9A-Z]{16}"
    rb"|-----BEGIN (?:RSA |EC )?PRIVATE KEY-----\s[A-Za-z0-9+/=]{60}"
)
# Runs inside, polls from there: the day is a hundred times faster than life, and a position short.
SIGTERM_IN_A_POSITION = """
import os, re, signal, time, urllib.request
for _ in range(4000):
    text = urllib.request.urlopen("http://127.0.0.1:9100/metrics").read().decode()
    if re.search(r"^bot_position_quantity\\{.*\\} [1-9]", text, re.M):
        os.kill(1, signal.SIGTERM)
        print("signalled")
        break
    time.sleep(0.02)
"""


@pytest.fixture(scope="module")
def podman() -> str:
    for name in ("buildah", "runc"):
        tool(name, ".ci/install-cloud installs it")
    found = tool("podman", ".ci/install-cloud installs it")
    if os.geteuid() != 0:
        pytest.skip("building and running the image here needs root")
    exists = subprocess.run([found, "image", "exists", BASE], env=os.environ | ENGINE, check=False)
    if exists.returncode:
        pytest.skip(f"no base image {BASE} (pull it, or .ci/install-cloud makes a stand-in from Debian)")
    return found


@pytest.fixture(scope="module")
def image(podman: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Built from a copy of the checkout in which secrets lie about, as they do on a trader's machine."""
    context = tmp_path_factory.mktemp("context")
    (context / "infra").mkdir()
    for name in (
        "Dockerfile",
        ".dockerignore",
        "requirements-run.lock",
        "requirements-compile.lock",
        "infra/compile.py",
    ):
        shutil.copy(ROOT / name, context / name)
    for name in ("bot", "models"):
        shutil.copytree(ROOT / name, context / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".env", "bot.toml", "bot/.env", "bot/bot.toml", "models/owner.pem", "terraform.tfvars"):
        (context / name).write_text(CANARY)
    command = ["buildah", "bud", "--isolation", "chroot", "--network", "host", "--pull-never", "--layers"]
    run([*command, "--format", "docker", "-t", IMAGE, "."], cwd=context, env=ENGINE, seconds=900)
    return IMAGE


def engine(podman: str, *arguments: str | Path, codes: tuple[int, ...] = (0,), seconds: float = 60) -> str:
    return run([podman, *arguments], env=ENGINE, codes=codes, seconds=seconds)


def inspect(podman: str, name: str) -> dict[str, Any]:
    said = engine(podman, "inspect", name)
    found: dict[str, Any] = json.loads(said[said.index("[") :])[0]
    return found


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    os.chown(folder, 10001, 10001)
    return folder


@pytest.fixture
def trading(podman: str, image: str, data: Path) -> Iterator[str]:
    """A container in which the bot trades against its twin, a hundred times faster than life."""
    demo = ["demo", "--calm", "--no-picture", "--max-speed", "100", "--out", "/data/demo"]
    where = ["-v", f"{data}:/data", image, *demo, "--telemetry", "127.0.0.1:9100"]
    name = engine(podman, "run", "-d", *LOCKED, *SMALL, *where).split()[-1]
    yield name
    engine(podman, "rm", "-f", "-t", "1", name, codes=(0, 1, 2, 125))


# ---- the recipe ----


def test_hadolint_has_nothing_to_say() -> None:
    assert run([tool("hadolint"), ROOT / "Dockerfile"]) == ""


def test_every_locked_dependency_has_a_wheel_for_arm64(tmp_path: Path) -> None:
    platforms = [f"manylinux{tag}_aarch64" for tag in ("_2_34", "_2_28", "_2_17", "2014")]
    command = [
        "python3",
        "-m",
        "pip",
        "install",
        "--dry-run",
        "--ignore-installed",
        "--quiet",
        "--require-hashes",
    ]
    wanted = ["--only-binary", ":all:", "--python-version", "3.11", "--target", str(tmp_path)]
    tags = [part for platform in platforms for part in ("--platform", platform)]
    locks = ["-r", ROOT / "requirements-run.lock", "-r", ROOT / "requirements-compile.lock"]
    run([*command, *wanted, *tags, *locks], seconds=300)


# ---- the image ----


def test_it_is_small_labelled_and_runs_as_nobody_in_exec_form(podman: str, image: str) -> None:
    told = inspect(podman, image)
    above = told["Size"] - inspect(podman, BASE)["Size"]
    print(f"image above its base: {above / 1e6:.0f} MB")
    assert above <= 180e6
    settings = told["Config"]
    assert settings["User"] == "10001:10001"
    assert settings["Entrypoint"] == ["python", "-m", "bot"]
    assert settings["Cmd"] == ["run"]
    assert settings["StopSignal"] in {"SIGTERM", "15"}
    assert settings["Labels"]["org.opencontainers.image.licenses"] == "MIT"
    assert (told.get("HealthCheck") or told.get("Healthcheck") or settings["Healthcheck"])["Test"][0] == "CMD"


def test_no_layer_holds_a_secret_that_lay_beside_the_sources(podman: str, image: str, tmp_path: Path) -> None:
    saved = tmp_path / "image.tar"
    engine(podman, "save", "--format", "docker-archive", "-o", saved, image, seconds=300)
    files = 0
    ours = len(inspect(podman, BASE)["RootFS"]["Layers"])  # the base's own layers hold test keys of libraries
    with tarfile.open(saved) as outer:
        manifest = json.load(outer.extractfile("manifest.json"))[0]  # type: ignore[arg-type]
        history = outer.extractfile(manifest["Config"]).read()  # type: ignore[union-attr]
        assert CANARY.encode() not in history
        assert not SECRETS.search(history)
        for name in manifest["Layers"][ours:]:
            with tarfile.open(fileobj=outer.extractfile(name)) as layer:
                for file in layer:
                    content = layer.extractfile(file) if file.isfile() else None
                    if content is None:
                        continue
                    files += 1
                    body = content.read()
                    assert CANARY.encode() not in body, f"{file.name} brought a secret along"
                    assert not SECRETS.search(body), f"{file.name} looks like a secret"
    assert files > 1000, "the layers were really read"


# ---- the container ----


def test_its_tick_path_is_machine_code_and_no_compiler_came_along(podman: str, image: str) -> None:
    asked = "import bot.core.engine, shutil; print(bot.core.engine.__file__, shutil.which('gcc'))"
    said = engine(podman, "run", "--rm", "--entrypoint", "python", *LOCKED, image, "-c", asked)
    assert said.split()[-2].endswith(".so")
    assert said.split()[-1] == "None"


def test_a_whole_demo_day_inside_without_network_root_or_a_writable_disk(
    podman: str, image: str, data: Path
) -> None:
    demo = ["demo", "--no-picture", "--out", "/data/demo"]
    said = engine(podman, "run", "--rm", *LOCKED, *SMALL, "-v", f"{data}:/data", image, *demo, seconds=400)
    assert "agree" in said
    assert len(list(data.rglob("archive/**/trades-*.csv"))) == 1


def test_healthy_bare_of_rights_and_sigterm_in_a_position_ends_flat(
    podman: str, trading: str, data: Path
) -> None:
    deadline = time.monotonic() + 120
    while subprocess.run(
        [podman, "healthcheck", "run", trading], env=os.environ | ENGINE, capture_output=True, check=False
    ).returncode:
        assert time.monotonic() < deadline, engine(podman, "logs", trading)
        time.sleep(0.5)
    state = inspect(podman, trading)["State"]
    assert (state.get("Health") or state["Healthcheck"])["Status"] == "healthy"
    status = engine(podman, "exec", trading, "cat", "/proc/1/status")
    values = dict(re.findall(r"^(\w+):\s+(.*)$", status, re.MULTILINE))
    assert values["Uid"].split() == ["10001"] * 4
    assert {int(values[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")} == {0}
    assert values["NoNewPrivs"] == "1"
    engine(podman, "exec", trading, "touch", "/app/written", codes=(1,))
    assert "signalled" in engine(
        podman, "exec", trading, "python", "-c", SIGTERM_IN_A_POSITION, seconds=150, codes=(0, 137)
    )
    assert engine(podman, "wait", trading, seconds=60).split()[-1] == "0"
    (trades,) = data.rglob("data/trades-*.csv")
    rows = list(csv.DictReader(trades.read_text().splitlines()))
    assert rows[-1]["reason"] == "OPERATOR", "sold because it was told to go"
    assert rows[-1]["position_after"] == "0"
    peak_kb = int(values["VmHWM"].split()[0])
    print(
        f"peak of the bot and its twin together: {peak_kb / 1024:.0f} MiB; the limit of the container: 160 MB"
    )
    assert peak_kb <= 160_000


def test_the_compose_files_demo_profile_runs_and_can_be_scraped(podman: str, image: str) -> None:
    """The service of infra/compose.yaml itself, in its own network, its port published on loopback."""
    port, project = unused_port(), "options-bot-test"
    env = ENGINE | {"BOT_IMAGE": image, "BOT_PORT": str(port), "DEMO_SPEED": "100"}
    compose: list[str | Path] = [
        tool("podman-compose"),
        "-p",
        project,
        "-f",
        ROOT / "infra" / "compose.yaml",
        "--profile",
        "demo",
    ]
    try:
        run([*compose, "up", "-d", "--no-build", "demo"], env=env)
        deadline, healthy = time.monotonic() + 90, False
        while not healthy and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                healthy = urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5).status == 200
            time.sleep(0.5)
        assert healthy
        metrics = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
        assert metrics.count("\nbot_") > 100
    finally:
        run([*compose, "down", "-v", "-t", "5"], env=env, codes=tuple(range(256)))
