"""A sweep: every combination once, never twice, the same as single backtests, and honest about its best."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.__main__ import app
from bot.assemble import sweep as sweeping
from bot.assemble.sweep_options import trials_of
from bot.research.deflated import BELIEVED
from tests.test_backtest import synthetic_csv

CLI = CliRunner()
GRID = ["--threshold", "0.5,0.6", "--stop", "5,50"]
PLAIN = {
    "filter": "model", "threshold": "0.63", "stop": "50", "band": "none", "quantity": "lot",
    "rel_diff": "price-minus-estimate",
}  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings of ten and fifteen minutes, and what is none."""
    folder = tmp_path_factory.mktemp("recordings")
    synthetic_csv(folder / "a.csv", until="09:25:00")
    synthetic_csv(folder / "b.csv", until="09:30:00")
    (folder / "notes.txt").write_text("no recording")
    return folder


def sweep(*arguments: object, exit_code: int = 0) -> dict:
    done = CLI.invoke(app, ["sweep", *map(str, arguments), "--jobs", "1"])
    assert done.exit_code == exit_code, done.output
    assert "Traceback" not in done.output
    return json.loads(done.stdout)


def refused(*arguments: object) -> str:
    done = CLI.invoke(app, ["sweep", *map(str, arguments)])
    assert done.exit_code == 2, done.output
    assert "Traceback" not in done.output
    return done.output


def lines(out: Path) -> list[str]:
    return (out / "cells.jsonl").read_text().splitlines()


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def untimed(table: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in table]


# ---- what is tried ----------------------------------------------------------------------------------------


def test_every_combination_is_tried_once_and_without_a_filter_there_is_no_threshold() -> None:
    given = PLAIN | {
        "filter": "model,none",
        "threshold": "0.5:0.7:0.1,0.6",
        "stop": "20,50",
        "band": "none,0.01",
    }
    trials, problems = trials_of(given)
    assert not problems
    assert len(trials) == len(set(trials)) == (3 + 1) * 2 * 2
    assert {trial.threshold for trial in trials if trial.filter == "model"} == {0.5, 0.6, 0.7}
    assert {trial.threshold for trial in trials if trial.filter == "none"} == {None}


def test_every_bad_value_is_named_at_once_with_what_is_allowed(files: Path, tmp_path: Path) -> None:
    said = refused(
        files, tmp_path / "gone", "--threshold", "0.5,1.5", "--stop", "60:20:5", "--band", "x",
        "--filter", "max", "--rel-diff", "sideways", "--quantity", "2.5", "--exchange", "MCX",
        "--charges", "soon", "--out", tmp_path,
    )  # fmt: skip
    for words in (
        "--threshold 1.5: allowed are numbers from 0 to 1",
        "--stop 60:20:5 (a range is FIRST:LAST:STEP, upwards): allowed are rupees",
        "--band x: allowed are numbers above 0",
        "--filter max: allowed are model and none",
        "--rel-diff sideways: allowed are price-minus-estimate and estimate-minus-price",
        "--quantity 2.5: allowed are whole numbers",
        "--exchange MCX: write NSE or BSE",
        "--charges soon: write a day",
        "gone: No such file",
    ):
        assert words in said, words


@pytest.mark.parametrize(
    "text", ["", ",", "nan", "inf", "1e400", "0.1:0.2", "0:1:0", "0:1:nan", "0:1:1e-9", "a:b:c"]
)
def test_no_text_whatever_is_a_traceback_or_a_value(text: str) -> None:
    trials, problems = trials_of(PLAIN | {"threshold": text})
    assert not trials
    assert all(problem.startswith("--threshold") for problem in problems)
    assert problems


def test_a_model_is_not_asked_about_the_sign_it_was_not_trained_on(files: Path, tmp_path: Path) -> None:
    said = refused(files, "--rel-diff", "estimate-minus-price", "--out", tmp_path / "o")
    assert "--rel-diff estimate-minus-price with --filter model" in said


# ---- the same as single backtests -------------------------------------------------------------------------


def test_a_cell_is_the_backtest_of_its_setting(files: Path, tmp_path: Path) -> None:
    result = sweep(files, *GRID, "--out", tmp_path / "o")
    assert [len(result["settings"]), len(result["files"]), result["trials"]] == [4, 2, 4]
    cells = rows(tmp_path / "o" / "cells.csv")
    assert len(cells) == 8
    single = CLI.invoke(
        app, ["backtest", str(files / "a.csv"), str(files / "b.csv"), "--threshold", "0.6", "--stop", "5"]
    )
    alone = json.loads(single.stdout)
    here = {row["file"]: row for row in cells if (row["threshold"], row["stop"]) == ("0.6", "5.0")}
    for file in alone["files"]:
        for name in ("trades", "gross_rupees", "charges_rupees", "net_rupees", "stops", "spread_rupees"):
            assert float(here[file["file"]][name]) == file[name], name
    (total,) = (s for s in result["settings"] if (s["threshold"], s["stop"]) == (0.6, 5.0))
    assert total["trades"] == alone["total"]["trades"] > 5
    assert total["net_rupees"] == pytest.approx(alone["total"]["net_rupees"], abs=0.005)
    assert total["net_per_trade_low"] == alone["total"]["net_per_trade"]["low"]


def test_the_quarters_of_an_hour_add_up_to_the_net_and_are_as_many_for_every_setting(
    files: Path, tmp_path: Path
) -> None:
    result = sweep(files, *GRID, "--out", tmp_path / "o")
    kept = [json.loads(line) for line in lines(tmp_path / "o")]
    for row in kept:
        assert sum(row["bars"]) == pytest.approx(row["net_rupees"], abs=0.005)
        assert len(row["bars"]) == 1  # ten and fifteen minutes
    assert result["observations"] == 2


def test_processes_give_what_one_gives(files: Path, tmp_path: Path) -> None:
    sweep(files, *GRID, "--out", tmp_path / "one")
    done = CLI.invoke(app, ["sweep", str(files), *GRID, "--out", str(tmp_path / "two"), "--jobs", "2"])
    assert done.exit_code == 0, done.output
    for name in ("settings.csv", "cells.csv"):
        assert untimed(rows(tmp_path / "one" / name)) == untimed(rows(tmp_path / "two" / name))


# ---- going on ---------------------------------------------------------------------------------------------


# A shell gives what it starts in the background an ignored SIGINT, and Python leaves it so: not here.
SWEEP = "import signal as s; s.signal(s.SIGINT, s.default_int_handler); from bot.__main__ import main; main()"


def started(files: Path, out: Path, jobs: int, grid: list[str]) -> subprocess.Popen[str]:
    """A sweep in a process of its own that has finished a cell or two. `-P`: of the package that we test."""
    arguments = [str(files), *grid, "--out", str(out), "--jobs", str(jobs)]
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", SWEEP, "sweep", *arguments],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (out / "cells.jsonl").exists() or not lines(out):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.005)
    return process


def test_a_killed_sweep_goes_on_where_it_was_and_ends_as_if_never_killed(files: Path, tmp_path: Path) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = started(files, killed, 2, GRID)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    workers = children.read_text().split() if children.exists() else []
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < deadline, "workers end with their parent"
        time.sleep(0.05)
    before = lines(killed)
    with (killed / "cells.jsonl").open("a") as torn:
        torn.write(before[0][: len(before[0]) // 2])
    sweep(files, *GRID, "--out", killed)
    sweep(files, *GRID, "--out", whole)
    after = [json.loads(line) for line in lines(killed)[: len(before)] + lines(killed)[len(before) + 1 :]]
    assert lines(killed)[: len(before)] == before
    assert len(after) == len({row["key"] for row in after}) == 8, "none twice, none missing"
    for name in ("settings.csv", "cells.csv"):
        assert untimed(rows(killed / name)) == untimed(rows(whole / name))


def test_an_interrupted_sweep_says_what_is_kept(files: Path, tmp_path: Path) -> None:
    process = started(files, tmp_path, 2, ["--stop", "1:200:1"])  # 400 cells: it can't be done by then
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said, said
    (kept,) = re.findall(r"Stopped: (\d+) of 400 cells are kept. The same command goes on from here.", said)
    assert len(lines(tmp_path)) - int(kept) in (0, 1), "one may have been under the pen"


def test_only_what_is_new_or_changed_runs(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[str, float]] = []
    real = sweeping.run_cell

    def watched(cell, folder):
        ran.append((cell.source.name, cell.trial.stop))
        return real(cell, folder)

    monkeypatch.setattr(sweeping, "run_cell", watched)
    folder, out = tmp_path / "files", tmp_path / "o"
    folder.mkdir()
    for name in ("a.csv", "b.csv"):
        (folder / name).write_bytes((files / name).read_bytes())

    def again(*arguments: str) -> list[tuple[str, float]]:
        ran.clear()
        sweep(folder, *arguments, "--out", out)
        return list(ran)

    both = [("a.csv", 50.0), ("b.csv", 50.0)]
    assert again("--stop", "50") == both
    assert again("--stop", "50") == []
    assert again("--stop", "50,20") == [("a.csv", 20.0), ("b.csv", 20.0)]
    assert again("--stop", "50", "--charges", "2026-04-01") == both, "another card is another setting"
    (folder / "a.csv").rename(folder / "c.csv")
    assert again("--stop", "50") == [], "a name is no content"
    content = (folder / "b.csv").read_text().splitlines()
    (folder / "b.csv").write_text("\n".join(content[:-1]) + "\n")
    assert again("--stop", "50") == [("b.csv", 50.0)]
    monkeypatch.setattr(sweeping, "engine_version", lambda: "another")
    ran.clear()
    said = refused(folder, "--stop", "50", "--out", out, "--jobs", "1")
    assert len(ran) == 2, "a changed engine runs all again"
    assert "another version of the bot" in said, "and one that differs from ours is not believed"


def test_one_sweep_a_folder(files: Path, tmp_path: Path) -> None:
    from bot.assemble.sweep_store import CellStore

    store = CellStore(tmp_path)
    assert "another sweep works here" in refused(files, "--out", tmp_path)
    store.close()
    sweep(files / "a.csv", "--out", tmp_path)


# ---- files ------------------------------------------------------------------------------------------------


def test_a_file_that_cannot_be_read_is_left_out_with_its_line_and_the_others_are_done(
    files: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.csv"
    content = (files / "a.csv").read_text().splitlines()
    content[40] = "2026-09-16 09:18:00,x"
    broken.write_text("\n".join(content))
    for jobs in ("1", "2"):
        arguments = [str(broken), str(files / "b.csv"), *GRID, "--out", str(tmp_path / jobs), "--jobs", jobs]
        done = CLI.invoke(app, ["sweep", *arguments])
        assert done.exit_code == 2
        assert f"left out: {broken}, line 41:" in done.stderr
        assert done.stderr.count("left out") == 1
        result = json.loads(done.stdout)
        assert [file["file"] for file in result["files"]] == ["b.csv"]
        assert len(result["left_out"]) == 1
    assert "no file could be used" in refused(broken, "--out", tmp_path / "none", "--jobs", "1")


def test_folders_globs_and_files_name_each_recording_once(files: Path, tmp_path: Path) -> None:
    (tmp_path / "copy.csv").write_bytes((files / "a.csv").read_bytes())
    result = sweep(files, files / "*.csv", files / "a.csv", tmp_path / "copy.csv", "--out", tmp_path / "o")
    assert [file["file"] for file in result["files"]] == ["a.csv", "b.csv"]
    assert any("copy.csv: the same content as" in note for note in result["notes"])
    assert "no recorded file there" in refused(files / "*.json", "--out", tmp_path / "o")


# ---- the best, and how much of it is luck -----------------------------------------------------------------


def test_settings_tried_before_count_as_trials(files: Path, tmp_path: Path) -> None:
    file, out = files / "b.csv", tmp_path / "o"
    assert sweep(file, "--stop", "5,50", "--out", out)["trials"] == 2
    assert sweep(file, "--stop", "20", "--out", out)["trials"] == 3, "the two of before were looked at too"
    assert sweep(file, "--stop", "20", "--out", out, "--trials-before", "40")["trials"] == 43
    assert sweep(files / "a.csv", "--stop", "20", "--out", out)["trials"] == 1, "on another file"


def test_on_ticks_without_an_edge_the_best_is_not_believed(tmp_path: Path) -> None:
    file, out = synthetic_csv(tmp_path / "synthetic.csv", until="10:20:00"), tmp_path / "o"
    result = sweep(file, "--threshold", "0.5,0.6", "--stop", "5,20", "--out", out)
    best, settings = result["best"], result["settings"]
    assert "loser" in best["words"]
    assert best["sharpe"] == settings[0]["sharpe"] < 0
    assert best["deflated"] < best["alone"] + 1e-9 < BELIEVED
    assert result["observations"] == 5
    sharpes = [setting["sharpe"] for setting in settings]
    assert sharpes == sorted(sharpes, reverse=True)
    idle = sweep(file, "--threshold", "0.5,0.6,0.99", "--stop", "5,20", "--out", out)
    assert "never traded" in idle["best"]["words"]
    assert idle["settings"][0]["trades"] == 0
    page = (out / "sweep.html").read_text()
    for words in (
        "SYNTHETIC",
        "deflated Sharpe",
        idle["best"]["words"],
        "threshold →",
        "stop ↓",
        "in-sample",
    ):
        assert words in page, words
    for outside in ('src="', 'href="', "@import", "fetch(", "XMLHttpRequest"):
        assert outside not in page, outside


def test_one_parameter_is_drawn_with_intervals(files: Path, tmp_path: Path) -> None:
    sweep(files, "--filter", "none", "--stop", "5,20,50", "--out", tmp_path / "o")
    page = (tmp_path / "o" / "sweep.html").read_text()
    assert "Net per trade, ₹, by stop, with 95 % intervals" in page
    assert "stop 20" in page


def test_dask_and_parquet_say_where_they_live(files: Path, tmp_path: Path) -> None:
    said = refused(files, "--dask", "tcp://127.0.0.1:1", "--parquet", "--out", tmp_path)
    assert "--dask: is not in this environment" in said
    assert "--parquet: is not in this environment" in said
    assert "make dask-env" in said
