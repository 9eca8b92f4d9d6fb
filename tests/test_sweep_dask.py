"""A sweep on Dask: a real scheduler, two worker processes, one of them killed; the same results as here."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_backtest import synthetic_csv
from tests.test_sweep import GRID, lines, rows, sweep, untimed

pytestmark = pytest.mark.component
ROOT = Path(__file__).parents[1]
PYTHON = ROOT / ".venv-dask" / "bin" / "python"
CLUSTER = """
import os, signal
from distributed import LocalCluster
if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        print(cluster.scheduler_address, flush=True)
        input()
        os.kill(cluster.workers[0].pid, signal.SIGKILL)
        input()
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Says its address; a line kills a worker, the next ends it."""
    if not PYTHON.exists():
        pytest.skip("Dask is not here: run `make dask-env` (it needs a package index)")
    script = tmp_path / "cluster.py"
    script.write_text(CLUSTER)
    with subprocess.Popen(
        [PYTHON, script],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
        text=True,
    ) as cluster:
        yield cluster
        cluster.communicate("\n", timeout=60)


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)}


def on_dask(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [PYTHON, "-m", "bot", "sweep", *map(str, arguments)],
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_a_cluster_that_loses_a_worker_gives_what_one_process_gives_and_runs_nothing_twice(
    cluster: subprocess.Popen[str], tmp_path: Path
) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    for name, until in (("a.csv", "09:25:00"), ("b.csv", "09:40:00")):
        synthetic_csv(folder / name, until=until)
    broken = tmp_path / "broken.csv"
    broken.write_text("timestamp,ltp\n2026-09-16 09:20:00,300\n2026-09-16 09:20:01,x\n")
    there, here = tmp_path / "there", tmp_path / "here"
    sweep(folder, *GRID, "--out", here)
    assert cluster.stdin is not None
    assert cluster.stdout is not None
    scheduler = cluster.stdout.readline().strip()
    first = on_dask(folder, broken, *GRID, "--dask", scheduler, "--parquet", "--out", there)
    deadline = time.monotonic() + 120
    while not (there / "cells.jsonl").exists() or not lines(there):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    cluster.stdin.write("\n")
    cluster.stdin.flush()
    said, complaints = first.communicate(timeout=240)
    assert first.returncode == 2, complaints
    assert f"left out: {broken}, line 3:" in complaints
    assert "Traceback" not in complaints
    assert len(json.loads(said)["settings"]) == 4
    for name in ("settings.csv", "cells.csv"):
        assert untimed(rows(there / name)) == untimed(rows(here / name))
    count = "import sys, pyarrow.parquet as p; print(p.read_table(sys.argv[1]).num_rows)"
    told = subprocess.run([PYTHON, "-c", count, there / "cells.parquet"], capture_output=True, check=True)
    assert int(told.stdout) == 8
    before = lines(there)
    assert len(before) == 8
    again = on_dask(folder, *GRID, "--dask", scheduler, "--out", there)
    _, complaints = again.communicate(timeout=240)
    assert again.returncode == 0, complaints
    assert lines(there) == before


def test_no_scheduler_is_said_in_words(tmp_path: Path) -> None:
    if not PYTHON.exists():
        pytest.skip("Dask is not here: run `make dask-env` (it needs a package index)")
    done = on_dask(synthetic_csv(tmp_path / "a.csv"), "--dask", "tcp://127.0.0.1:9", "--out", tmp_path / "o")
    _, complaints = done.communicate(timeout=120)
    assert done.returncode == 2
    assert "--dask tcp://127.0.0.1:9: no scheduler answers there" in complaints
    assert "Traceback" not in complaints
