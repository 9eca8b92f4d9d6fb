"""The scripts that touch the account: clean by shellcheck, they say what they do, ask, and refuse in market
hours. Tools are replaced by ones that write down how they were called.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cloud_tools import INFRA, ROOT, run, tool

SCRIPTS = ("deploy", "destroy", "logs", "shell", "grafana")
TOOLS = ("terraform", "aws", "docker", "session-manager-plugin")
EVENING, NOON, SUNDAY = "31930", "31200", "71200"  # as `date +%u%H%M` says them

# What the tools say back, as the real ones would.
ANSWERS = """
case "$*" in
  *"state list") printf 'aws_eip.bot\\naws_instance.bot\\ndata.aws_x.y\\n' ;;
  *"output -json host_settings") echo '{"LOG_GROUP": "/options-bot/bot", "ODD": "a b"}' ;;
  *"output -raw registry") printf 123.dkr.ecr/options-bot ;;
  *"output -raw "*) printf %s "${@: -1}" ;;
  "ecr describe-images"*) exit 255 ;;
  "s3 sync"*) for word; do [ ! -d "$word" ] || cp -r "$word" STAGED; done ;;
  "ec2 describe-instances"*) echo running ;;
esac
"""


class Desk:
    """A copy of the repository's scripts, and a folder of tools that only take notes."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "repo"
        shutil.copytree(
            INFRA, self.root / "infra", ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*")
        )
        (self.root / "bot.toml").write_text("[broker]\n")
        (self.root / "infra" / "terraform" / "terraform.tfvars").write_text('alert_email = "a@b.c"\n')
        self.calls = folder / "calls"
        self.bin = folder / "bin"
        self.bin.mkdir()
        for name in TOOLS:
            self._tool(
                name,
                f'echo "{name} $*" >> "{self.calls}"\n{ANSWERS}'.replace("STAGED", str(folder / "staged")),
            )
        git: list[str | Path] = ["git", "-c", "user.name=t", "-c", "user.email=t@t", "-C", self.root]
        for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"]):
            run([*git, *words])

    def _tool(self, name: str, body: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/bash\n{body}\n")
        path.chmod(0o755)

    def __call__(
        self, script: str, *arguments: str, now: str = EVENING, code: int = 0, typed: str = ""
    ) -> str:
        self._tool("date", f"echo {now}")
        return run(
            [self.root / "infra" / script, *arguments],
            env={"PATH": f"{self.bin}:{os.environ['PATH']}"},
            codes=(code,),
            stdin=typed,
        )

    def called(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.component
def test_shellcheck_has_nothing_to_say() -> None:
    files = [INFRA / name for name in (*SCRIPTS, "common.sh", "terraform/user_data.sh")]
    files += [*(INFRA / "host").glob("*.sh"), *(ROOT / ".ci").glob("*.sh"), ROOT / ".ci" / "run"]
    files += [ROOT / ".ci" / "install-cloud", ROOT / ".ci" / "ceph-rgw"]
    assert run([tool("shellcheck", "Debian: shellcheck"), "-x", "-P", INFRA, *files]) == ""


@pytest.mark.parametrize("script", SCRIPTS)
def test_each_says_what_it_will_do_and_does_nothing_in_a_dry_run(desk: Desk, script: str) -> None:
    said = desk(script, "--dry-run")
    assert said.startswith("This will:\n  - ")
    assert "dry run: nothing is done" in said
    assert desk.called() == []


@pytest.mark.parametrize("script", SCRIPTS)
def test_each_asks_and_takes_anything_but_yes_for_no(desk: Desk, script: str) -> None:
    said = desk(script, code=1, typed="y\n")
    assert "nothing was done" in said
    assert not [call for call in desk.called() if "apply" in call or "destroy" in call or "ssm" in call]


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_unknown_option_is_answered_with_the_usage(desk: Desk, script: str) -> None:
    assert "--yes" in desk(script, "--what", code=2)


@pytest.mark.parametrize("script", ["deploy", "destroy"])
def test_nothing_is_rolled_out_or_destroyed_while_the_market_is_open(desk: Desk, script: str) -> None:
    assert "market is open" in desk(script, "--yes", now=NOON, code=3)
    assert desk.called() == []
    assert "This will" in desk(script, "--dry-run", now=SUNDAY)
    assert "This will" in desk(script, "--dry-run", "--force", now=NOON)


def test_deploy_applies_builds_pushes_uploads_and_restarts_in_this_order(desk: Desk, tmp_path: Path) -> None:
    desk("deploy", "--yes")
    called = [call.split(maxsplit=1)[1] for call in desk.called()]
    steps = (
        "apply -input",
        "build --platform",
        "login --username",
        "push 123",
        "s3 sync",
        "ssm send-command",
    )
    order = [next(n for n, call in enumerate(called) if step in call) for step in steps]
    assert order == sorted(order)
    staged = tmp_path / "staged"
    environment = (staged / "host.env").read_text().splitlines()
    tag = run(["git", "-C", desk.root, "rev-parse", "--short=12", "HEAD"]).strip()
    assert environment[:2] == ["LOG_GROUP=/options-bot/bot", "ODD='a b'"]
    assert environment[2].startswith(f"BOT_IMAGE=123.dkr.ecr/options-bot:{tag}")
    wanted = {"bot.toml", "host.env", "infra/compose.yaml", "infra/compose.aws.yaml", "infra/host/up.sh"}
    assert wanted <= {str(path.relative_to(staged)) for path in staged.rglob("*")}
    assert not list(staged.rglob("*.tfvars")), "what Terraform reads stays at home"


def test_a_rollback_builds_and_pushes_nothing(desk: Desk, tmp_path: Path) -> None:
    desk("deploy", "--yes", "--tag", "abc")
    assert not [call for call in desk.called() if call.startswith("docker")]
    assert "BOT_IMAGE=123.dkr.ecr/options-bot:abc" in (tmp_path / "staged" / "host.env").read_text()


def test_a_missing_file_or_tool_is_named(desk: Desk) -> None:
    (desk.root / "bot.toml").unlink()
    assert "bot.example.toml" in desk("deploy", "--yes", code=2)
    (desk.root / "infra" / "terraform" / "terraform.tfvars").unlink()
    assert "terraform.tfvars.example" in desk("deploy", "--yes", code=2)
    if shutil.which("session-manager-plugin") is None:
        (desk.bin / "session-manager-plugin").unlink()
        assert "session-manager-plugin is not installed" in desk("shell", "--yes", code=2)


def test_destroy_keeps_the_address_and_the_bucket_unless_told_everything(desk: Desk) -> None:
    desk("destroy", "--yes")
    (destroyed,) = [call for call in desk.called() if " destroy -input" in call]
    assert "-target=aws_instance.bot" in destroyed
    assert "aws_eip" not in destroyed
    desk.calls.unlink()
    said = desk("destroy", "--everything", "--yes")
    assert "delete every archived day" in said
    assert any(call.endswith("destroy -input=false -auto-approve") for call in desk.called())
    assert not (desk.root / "infra" / "terraform" / "destroy_override.tf").exists()


def test_a_new_webhook_path_is_shown_once_and_only_its_hash_is_kept(desk: Desk) -> None:
    import hashlib

    said = desk("deploy", "--new-webhook", "--yes")
    path = said.strip().rsplit(" ", 1)[-1]
    kept = (desk.root / "infra" / "terraform" / "terraform.tfvars").read_text()
    assert len(path) >= 43
    assert path not in kept
    assert f'webhook_path_sha256 = "{hashlib.sha256(path.encode()).hexdigest()}"' in kept
    assert "alert_email" in kept


@pytest.mark.parametrize(
    ("state", "healthy", "beats"),
    [
        ("running 0", True, True),
        ("running 0", False, False),
        ("exited 0", False, True),
        ("exited 1", False, False),
    ],
)
def test_the_heart_beats_only_for_a_bot_that_lives_or_ended_in_order(
    tmp_path: Path, state: str, healthy: bool, beats: bool
) -> None:
    calls = tmp_path / "calls"
    for name, body in (
        ("curl", "exit 0" if healthy else "exit 7"),
        ("docker", f"echo '{state}'"),
        ("aws", f'echo "$*" >> {calls}'),
    ):
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        ["bash", INFRA / "host" / "heartbeat.sh"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "BOT_NAME": "options-bot"},
        check=False,
    )
    assert done.returncode == 0
    assert calls.exists() == beats
