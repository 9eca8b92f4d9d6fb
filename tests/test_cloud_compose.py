"""The compose file: what it promises, that a compose tool reads it, and that the bot of it really runs."""

from pathlib import Path
from typing import Any

import pytest

from tests.cloud_tools import INFRA, ROOT, run, tool

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed (it comes with moto[server])")

SERVICES = {"bot", "demo", "prometheus", "alertmanager-config", "alertmanager", "grafana"}
# Settings that may stand in the file; everything else comes from outside.
OPEN = {"BOT_TELEMETRY__HOST", "BOT_ARCHIVE__ROOT", "BOT_BROKER__TOKEN_SOURCE", "BOT_BROKER__TOKEN_REQUEST"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((INFRA / "compose.yaml").read_text())
    return loaded


def test_every_port_is_on_loopback_and_every_service_is_bare_of_rights(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == SERVICES
    for service in compose["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert not {"privileged", "network_mode", "pid", "cap_add"} & service.keys()
        assert service["mem_limit"]
        assert not any("docker.sock" in volume for volume in service["volumes"])


def test_the_bot_restarts_on_failure_and_has_time_to_sell(compose: dict[str, Any]) -> None:
    for name in ("bot", "demo"):
        service = compose["services"][name]
        assert service["restart"] == "on-failure"
        assert int(service["stop_grace_period"].removesuffix("s")) >= 30
        assert service["stop_signal"] == "SIGTERM"
        volume = service["volumes"][0].split(":")
        assert volume[1] == "/data", "the end marker outlives the container"
        assert volume[0] in compose["volumes"]


def test_demo_and_live_never_run_together_unasked(compose: dict[str, Any]) -> None:
    profiles = {name: service.get("profiles", []) for name, service in compose["services"].items()}
    assert (profiles["bot"], profiles["demo"]) == (["live"], ["demo"])
    assert not any(profiles[name] for name in SERVICES - {"bot", "demo"})


def test_no_secret_has_a_value_and_every_image_a_version(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert service["image"].rpartition(":")[2] not in {"", "latest"} or "BOT_IMAGE" in service["image"]
        for entry in service.get("environment", []):
            name, given, _ = entry.partition("=")
            assert not given or name in OPEN or name.startswith("GF_"), f"{name} has a value in the file"


def test_the_files_it_mounts_are_in_the_repository(compose: dict[str, Any]) -> None:
    missing = []
    for service in compose["services"].values():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            if source.startswith(".") and not (INFRA / source).exists():
                missing.append(source)
    if missing:
        pytest.skip(f"not in this checkout yet: {', '.join(missing)}")


def test_every_setting_it_passes_is_known_to_the_bot(compose: dict[str, Any], tmp_path: Path) -> None:
    from bot.settings import load
    from tests.test_settings import GOOD

    names = [entry.split("=")[0] for entry in compose["services"]["bot"]["environment"]]
    values = {
        "BOT_TELEMETRY__HOST": "0.0.0.0",
        "BOT_ARCHIVE__ROOT": "s3://bucket/archive",
        "BOT_BROKER__TOKEN_SOURCE": "secretsmanager:options-bot/token",
        "BOT_BROKER__TOKEN_REQUEST": "lambda:options-bot-token-request",
        "BOT_LIVE_ACCESS_TOKEN": "",
        "BOT_SANDBOX_ACCESS_TOKEN": "",
    }
    assert {name for name in names if name.startswith("BOT_")} == set(values)
    path = tmp_path / "bot.toml"
    path.write_text(GOOD)
    settings = load(path, values)
    assert settings.broker.token_source == "secretsmanager:options-bot/token"


def test_every_receiver_the_bot_knows_can_be_given(compose: dict[str, Any]) -> None:
    known = pytest.importorskip("bot.assemble.alertmanager", reason="no receivers in this checkout yet")
    assert set(compose["services"]["alertmanager-config"]["environment"]) == set(known.VARIABLES)


@pytest.mark.component
@pytest.mark.parametrize("profile", ["live", "demo"])
def test_a_compose_tool_reads_both_files(profile: str) -> None:
    tool("podman", ".ci/install-cloud installs it")  # podman-compose asks it for its version
    command: list[str | Path] = [
        tool("podman-compose"),
        "-f",
        INFRA / "compose.yaml",
        "-f",
        INFRA / "compose.aws.yaml",
    ]
    said = run(
        [*command, "--profile", profile, "config"],
        cwd=ROOT,
        env={"LOG_GROUP": "/options-bot/bot", "AWS_DEFAULT_REGION": "ap-south-1"},
    )
    found = yaml.safe_load(said[said.index("name:") :]) if "name:" in said else yaml.safe_load(said)
    assert {"prometheus", "grafana"} <= set(found["services"])
