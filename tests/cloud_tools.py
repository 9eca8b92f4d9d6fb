"""Tools that only the cloud's tests need: found, or the test skips and says what to install.

They live in `.venv-cloud/` (`make cloud-env`) or come from Debian (`.ci/install-cloud`).
"""

import glob
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INFRA = ROOT / "infra"
_MIRRORS = (
    "~/.terraform.d/plugins",
    "~/.local/share/terraform/plugins",
    "/usr/local/share/terraform/plugins",
    "/usr/share/terraform/plugins",
    "/opt/*",
)


def tool(name: str, how: str = "`make cloud-env`, or .ci/install-cloud") -> str:
    """The program's path. Skips the test where it is missing."""
    own = ROOT / ".venv-cloud" / "bin" / name
    found = str(own) if own.exists() else shutil.which(name)
    if not found:
        pytest.skip(f"{name} is not installed ({how})")
    return found


def provider_mirror() -> str:
    """A folder with Terraform's AWS provider, so that `init` needs no network. Skips where there is none."""
    places = [os.environ.get("TF_PLUGIN_MIRROR", ""), *_MIRRORS]
    for place in filter(None, places):
        for folder in sorted(glob.glob(os.path.expanduser(place))):  # noqa: PTH207, PTH111
            if (Path(folder) / "registry.terraform.io" / "hashicorp" / "aws").is_dir():
                return folder
    pytest.skip("no local mirror of Terraform's AWS provider (set TF_PLUGIN_MIRROR to its folder)")


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    seconds: float = 120,
    codes: tuple[int, ...] = (0,),
    stdin: str = "",
) -> str:
    """Run to the end; returns both outputs. Any other exit code than `codes` fails the test with them."""
    environ = {**os.environ, **(env or {})}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environ,
        input=stdin,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=seconds,
        check=False,
    )
    assert done.returncode in codes, f"{command} → {done.returncode}\n{done.stdout[-6000:]}"
    return done.stdout
