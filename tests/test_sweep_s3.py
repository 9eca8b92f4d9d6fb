"""A sweep reads its files from S3: a real HTTP server (moto) in a process of its own, as for the archive."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from bot.assemble.sweep_sources import sources_of
from bot.storage.s3_files import S3Files
from tests.moto_server import Moto, point_boto3
from tests.test_backtest import synthetic_csv
from tests.test_sweep import lines, refused, sweep

BUCKET = "recordings"


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    pytest.importorskip("moto.server", reason="moto[server] is not installed: no S3 to test against")
    server = Moto()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def bucket(moto: Moto, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """Two recordings in a folder, one deeper, and what is none."""
    point_boto3(monkeypatch, moto.address)
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "ap-south-1"})
    for number, key in enumerate(("day/a.csv", "day/b.csv", "day/deeper/c.csv")):
        file = synthetic_csv(tmp_path / "made.csv", until=f"09:2{number + 2}:00")
        client.upload_file(str(file), BUCKET, key)
    client.put_object(Bucket=BUCKET, Key="day/notes.txt", Body=b"no recording")
    yield BUCKET
    for row in client.list_objects_v2(Bucket=BUCKET)["Contents"]:
        client.delete_object(Bucket=BUCKET, Key=row["Key"])
    client.delete_bucket(Bucket=BUCKET)


@pytest.mark.parametrize(
    ("word", "keys"),
    [
        ("s3://recordings/day/", ["day/a.csv", "day/b.csv"]),
        ("s3://recordings/day", ["day/a.csv", "day/b.csv"]),
        ("s3://recordings/day/b.csv", ["day/b.csv"]),
        ("s3://recordings/d*/[ab].csv", ["day/a.csv", "day/b.csv"]),
        ("s3://recordings/day/*/*.csv", ["day/deeper/c.csv"]),
    ],
)
def test_an_address_names_what_a_path_would(bucket: str, word: str, keys: list[str]) -> None:
    sources, notes, problems = sources_of([word])
    assert [source.address for source in sources] == [f"s3://{bucket}/{key}" for key in keys]
    assert not notes
    assert not problems


def test_a_sweep_over_a_bucket_gives_what_one_over_the_same_files_gives_and_goes_on(
    bucket: str, tmp_path: Path
) -> None:
    out = tmp_path / "o"
    there = sweep(f"s3://{bucket}/day/", "--stop", "5,50", "--out", out)
    for name in ("a.csv", "b.csv"):
        boto3.client("s3").download_file(bucket, f"day/{name}", str(tmp_path / name))
    here = sweep(tmp_path / "a.csv", tmp_path / "b.csv", "--stop", "5,50", "--out", tmp_path / "p")
    for one, other in zip(there["settings"], here["settings"], strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}
    assert len(lines(out)) == 4
    sweep(f"s3://{bucket}/day/", "--stop", "5,50", "--out", out)
    assert len(lines(out)) == 4, "nothing ran again"
    other_content = synthetic_csv(tmp_path / "made.csv", until="09:26:00")
    boto3.client("s3").upload_file(str(other_content), bucket, "day/a.csv")
    sweep(f"s3://{bucket}/day/", "--stop", "5,50", "--out", out)
    assert len(lines(out)) == 6, "the changed object ran again, the other did not"


def test_an_object_that_changes_under_a_sweep_is_not_mixed_in(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (found,) = S3Files(bucket).listed("day/a.csv")
    boto3.client("s3").put_object(Bucket=bucket, Key="day/a.csv", Body=b"timestamp,ltp\n")
    assert not S3Files(bucket).fetch_listed(found.key, found.etag, tmp_path / "a.csv")
    assert not list(tmp_path.glob("*a.csv*")), "whole or not at all"


def test_what_s3_refuses_is_said_with_what_to_mend(bucket: str, tmp_path: Path) -> None:
    assert "There is no bucket of this name. Create it, or correct the address of the files" in refused(
        "s3://nothing-here/day/", "--out", tmp_path
    )
    assert "no recorded file there" in refused(f"s3://{bucket}/night/", "--out", tmp_path)
    assert "names no bucket" in refused("s3:///day/", "--out", tmp_path)


def test_a_damaged_object_is_named_by_its_address(bucket: str, tmp_path: Path) -> None:
    boto3.client("s3").put_object(
        Bucket=bucket, Key="bad/x.csv", Body=b"timestamp,ltp\n2026-09-16 09:20:00,no\n"
    )
    assert f"s3://{bucket}/bad/x.csv, line 2:" in refused(
        f"s3://{bucket}/bad/", "--out", tmp_path, "--jobs", "1"
    )
