"""The archive: what it says is stored is there, bit for bit; nothing is written over; nothing is forgotten.

S3 is a real HTTP server (moto) in a process of its own; it checks neither credentials nor digests, so what
those would refuse is said by small servers here, in S3's own words.
"""

import base64
import hashlib
import http.server
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest

from bot.storage.archive import Archive, ArchiveFailed, ArchiveRefused, content_of
from bot.storage.archive_probe import probe
from tests.moto_server import Moto, point_boto3

DAY = date(2026, 9, 16)
NEXT = date(2026, 9, 17)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with a day's files."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "trades-2026-09-16.csv").write_text("time_ist,instrument\n")
    (folder / "journal-2026-09-16.sqlite").write_bytes(os.urandom(300_000))
    return folder


def files(data: Path) -> list[Path]:
    return [data / "trades-2026-09-16.csv", data / "journal-2026-09-16.sqlite"]


def archive(root: str | Path, data: Path, pauses: list[float] | None = None) -> Archive:
    return Archive(root, data, pause=(pauses if pauses is not None else []).append)


def marks(data: Path) -> list[str]:
    return sorted(path.name for path in data.glob("*pending*"))


# --- a folder -------------------------------------------------------------------------------------------


def test_a_folder_gets_the_layout_of_the_contract_and_true_copies(data: Path, tmp_path: Path) -> None:
    root = tmp_path / "archive"
    stored = archive(root, data).upload(DAY, files(data))
    assert [item.address for item in stored] == [str(root / "2026/09/16" / file.name) for file in files(data)]
    for item, file in zip(stored, files(data), strict=True):
        assert Path(item.address).read_bytes() == file.read_bytes()
        assert (item.sha256, item.size, item.renamed) == (*_sha_size(file), False)
    assert len(list((root / "2026/09/16").iterdir())) == 2, "nothing of the copying is left behind"
    assert marks(data) == []


def test_same_content_again_is_fine_and_other_content_never_overwrites(data: Path, tmp_path: Path) -> None:
    kept = archive(tmp_path / "archive", data)
    first = kept.upload(DAY, files(data))
    assert kept.upload(DAY, files(data)) == first
    files(data)[0].write_text("another day of the same name\n")
    (changed,) = kept.upload(DAY, files(data)[:1])
    assert changed.renamed
    assert Path(changed.address).name == f"trades-2026-09-16.{changed.sha256[:12]}.csv"
    assert Path(changed.address).read_text() == "another day of the same name\n"
    assert Path(first[0].address).read_text() == "time_ist,instrument\n"
    assert kept.upload(DAY, files(data)[:1]) == [changed], "asked again, it is found beside"


def test_a_folder_that_fails_leaves_the_day_pending_for_the_next_start(data: Path, tmp_path: Path) -> None:
    root = tmp_path / "archive"
    root.symlink_to(tmp_path / "unmounted" / "disk")
    pauses: list[float] = []
    with pytest.raises(ArchiveFailed, match="tried again at the next start"):
        archive(root, data, pauses).upload(DAY, files(data))
    assert pauses == [1.0, 2.0, 4.0], "one outage is waited for once, not once a file"
    assert marks(data) == ["pending-2026-09-16.json"]
    (tmp_path / "unmounted" / "disk").mkdir(parents=True)
    moved = data.rename(data.with_name("moved"))  # the marks do not mind
    (outcome,) = archive(root, moved).retry_pending()
    assert (outcome.day, outcome.problem, len(outcome.stored)) == (DAY, "", 2)
    assert marks(moved) == []
    assert archive(root, moved).retry_pending() == []


def test_a_retry_that_fails_again_does_not_stop_the_start(data: Path, tmp_path: Path) -> None:
    root = tmp_path / "file"
    root.touch()
    for day in (DAY, NEXT):
        with pytest.raises(ArchiveRefused, match=r"\[archive\] root"):
            archive(root, data).upload(day, files(data))
    outcomes = archive(root, data).retry_pending()
    assert [outcome.day for outcome in outcomes] == [DAY, NEXT]
    assert all("no use as the archive" in outcome.problem for outcome in outcomes)
    assert len(marks(data)) == 2


def test_a_missing_file_is_said_once_and_the_others_are_stored(data: Path, tmp_path: Path) -> None:
    kept = archive(tmp_path / "archive", data)
    with pytest.raises(ArchiveFailed, match=r"tape.*is gone"):
        kept.upload(DAY, [data / "tape-2026-09-16.sqlite", *files(data)])
    assert len(list((tmp_path / "archive/2026/09/16").iterdir())) == 2
    assert kept.retry_pending() == []


def test_files_of_an_earlier_try_go_along_with_those_of_a_later_one(data: Path, tmp_path: Path) -> None:
    root = tmp_path / "archive"
    root.touch()
    with pytest.raises(ArchiveRefused):
        archive(root, data).upload(DAY, files(data)[:1])
    root.unlink()
    assert len(archive(root, data).upload(DAY, files(data)[1:])) == 2


def test_a_copy_that_goes_bad_on_the_way_is_never_called_stored(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk flips a byte on writing: both names end up wrong, so the upload fails."""
    real = shutil.copyfile

    def rotten(source: Path, target: Path) -> None:
        real(source, target)
        target.write_bytes(target.read_bytes()[:-1] + b"\x00")

    monkeypatch.setattr("bot.storage.archive._copy", rotten)
    with pytest.raises(ArchiveFailed, match="don't trust it"):
        archive(tmp_path / "archive", data).upload(DAY, files(data)[:1])
    assert marks(data) == ["pending-2026-09-16.json"]


def test_a_full_data_folder_does_not_keep_the_day_from_the_archive(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bot.storage.archive.orjson.dumps", full)  # stands in for the disk under the mark
    assert len(archive(tmp_path / "archive", data).upload(DAY, files(data))) == 2
    with pytest.raises(ArchiveFailed, match="Store it by hand"):
        archive(_unreachable_folder(tmp_path), data).upload(DAY, files(data))


def _unreachable_folder(tmp_path: Path) -> Path:
    link = tmp_path / "nowhere"
    link.symlink_to(tmp_path / "un" / "mounted")
    return link


@pytest.mark.parametrize("root", ["s3://", "s3:///prefix", "s3://UPPER/x", "s3://a b"])
def test_an_s3_address_without_a_bucket_is_refused_at_once(root: str, data: Path) -> None:
    with pytest.raises(ArchiveRefused, match="s3://bucket/prefix"):
        archive(root, data)


@pytest.mark.parametrize(
    "work",
    [
        "import bot.storage.archive as a; from pathlib import Path; a.Archive('x', Path(), pause=print)",
        "import bot.__main__, bot.assemble.live, bot.settings",
    ],
)
def test_neither_a_local_archive_nor_a_start_loads_boto3(work: str) -> None:
    code = f"import sys; {work}"
    check = f"{code}; sys.exit('boto3' in sys.modules or 'botocore' in sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True, cwd=Path(__file__).parents[1])


# --- S3 -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    pytest.importorskip("moto.server", reason="moto[server] is not installed: no S3 to test against")
    server = Moto()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return partial(point_boto3, monkeypatch)


@pytest.fixture
def bucket(moto: Moto, aws: Callable[[str], None], request: pytest.FixtureRequest) -> str:
    """A fresh bucket on moto."""
    aws(moto.address)
    name = f"bot-{hashlib.sha256(request.node.name.encode()).hexdigest()[:16]}"
    _make_bucket(name)
    return name


def _make_bucket(name: str) -> None:
    boto3.client("s3").create_bucket(
        Bucket=name, CreateBucketConfiguration={"LocationConstraint": "ap-south-1"}
    )


def _sha_size(file: Path) -> tuple[str, int]:
    raw = file.read_bytes()
    return hashlib.sha256(raw).hexdigest(), len(raw)


def test_s3_holds_the_files_with_their_checksum_under_prefix_and_day(bucket: str, data: Path) -> None:
    stored = archive(f"s3://{bucket}/live/bot/", data).upload(DAY, files(data))
    assert stored[0].address == f"s3://{bucket}/live/bot/2026/09/16/trades-2026-09-16.csv"
    client = boto3.client("s3")
    for item, file in zip(stored, files(data), strict=True):
        key = f"live/bot/2026/09/16/{file.name}"
        got = client.get_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
        assert got["Body"].read() == file.read_bytes()
        assert base64.b64decode(got["ChecksumSHA256"]).hex() == item.sha256 == _sha_size(file)[0]
    assert marks(data) == []


def test_s3_same_content_is_one_object_and_other_content_goes_beside(bucket: str, data: Path) -> None:
    kept = archive(f"s3://{bucket}", data)
    first = kept.upload(DAY, files(data))
    assert kept.upload(DAY, files(data)) == first
    assert len(_keys(bucket)) == 2
    files(data)[0].write_text("other\n")
    (changed,) = kept.upload(DAY, files(data)[:1])
    assert changed.renamed
    assert kept.upload(DAY, files(data)[:1]) == [changed]
    assert _keys(bucket) == sorted(
        [
            "2026/09/16/journal-2026-09-16.sqlite",
            "2026/09/16/trades-2026-09-16.csv",
            f"2026/09/16/trades-2026-09-16.{changed.sha256[:12]}.csv",
        ]
    )
    first_body = boto3.client("s3").get_object(Bucket=bucket, Key="2026/09/16/trades-2026-09-16.csv")["Body"]
    assert first_body.read() == b"time_ist,instrument\n"


def _keys(bucket: str) -> list[str]:
    return sorted(item["Key"] for item in boto3.client("s3").list_objects_v2(Bucket=bucket)["Contents"])


def test_s3_a_name_taken_between_the_look_and_the_write_is_not_overwritten(bucket: str, data: Path) -> None:
    """Two bots at once: the condition on the write decides, not the look before it."""
    from bot.storage.s3 import S3Store

    store = S3Store(bucket, "")
    boto3.client("s3").put_object(Bucket=bucket, Key="k", Body=b"the other bot was faster")
    content = content_of(files(data)[0])
    store.put("k", files(data)[0], content)
    assert store.holds("k", content) is False
    assert boto3.client("s3").get_object(Bucket=bucket, Key="k")["Body"].read() == b"the other bot was faster"


def test_s3_gives_back_what_it_holds_and_says_what_it_lacks(bucket: str, tmp_path: Path) -> None:
    from bot.storage.s3 import S3Store

    store = S3Store(bucket, "p")
    boto3.client("s3").put_object(Bucket=bucket, Key="p/kept", Body=b"a journal")
    assert store.fetch("kept", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"a journal"
    assert not store.fetch("never", tmp_path / "other")


def test_s3_objects_without_a_checksum_are_compared_by_etag_or_read_back(bucket: str, data: Path) -> None:
    """Servers that keep no SHA-256 (Ceph), encrypt by KMS, or got the object in parts."""
    from bot.storage.s3 import S3Store

    store, client = S3Store(bucket, "p"), boto3.client("s3")
    file = files(data)[1]
    raw, content = file.read_bytes(), content_of(file)
    wrong = raw[:-1] + bytes([raw[-1] ^ 1])
    client.put_object(Bucket=bucket, Key="p/etag", Body=raw)
    assert store.holds("etag", content) is True
    client.put_object(Bucket=bucket, Key="p/wrong", Body=wrong)
    assert store.holds("wrong", content) is False
    client.put_object(Bucket=bucket, Key="p/kms", Body=wrong, ServerSideEncryption="aws:kms")
    assert store.holds("kms", content) is False
    assert store.holds("short", content) is None
    upload = client.create_multipart_upload(Bucket=bucket, Key="p/parts")["UploadId"]
    part = client.upload_part(Bucket=bucket, Key="p/parts", UploadId=upload, PartNumber=1, Body=raw)
    client.complete_multipart_upload(
        Bucket=bucket,
        Key="p/parts",
        UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )
    assert "-" in client.head_object(Bucket=bucket, Key="p/parts")["ETag"]
    assert store.holds("parts", content) is True


def test_s3_outage_then_retry_at_the_next_start(aws: Callable[[str], None], data: Path) -> None:
    """Nothing listens; the day stays pending; the server comes up; the next start stores it."""
    server = Moto()
    aws(server.address)
    pauses: list[float] = []
    with pytest.raises(ArchiveFailed, match="could not be stored"):
        archive("s3://late-bucket/x", data, pauses).upload(DAY, files(data))
    assert pauses == [1.0, 2.0, 4.0]
    assert marks(data) == ["pending-2026-09-16.json"]
    server.start()
    try:
        _make_bucket("late-bucket")
        (outcome,) = archive("s3://late-bucket/x", data).retry_pending()
        assert (outcome.problem, len(outcome.stored)) == ("", 2)
        assert marks(data) == []
    finally:
        server.stop()


def test_s3_that_comes_back_between_two_attempts_is_not_a_failure(
    moto: Moto, aws: Callable[[str], None], bucket: str, data: Path
) -> None:
    """The first answers are 503 SlowDown; the pause after them is where S3 recovers."""
    with _answering(503, "SlowDown") as slow:
        aws(slow)
        kept = Archive(f"s3://{bucket}", data, pause=lambda _: _redirect(kept, moto.address))
        assert len(kept.upload(DAY, files(data))) == 2
    aws(moto.address)
    assert len(_keys(bucket)) == 2


def _redirect(kept: Archive, address: str) -> None:
    kept._store._client = boto3.client("s3", endpoint_url=address)  # type: ignore[attr-defined]


def test_s3_without_bucket_says_so(moto: Moto, aws: Callable[[str], None], data: Path) -> None:
    aws(moto.address)
    with pytest.raises(ArchiveRefused, match=r"no bucket of this name.*NoSuchBucket"):
        archive("s3://nobody-made-this", data).upload(DAY, files(data))
    assert marks(data) == ["pending-2026-09-16.json"]


def test_s3_without_credentials_says_so(
    moto: Moto, aws: Callable[[str], None], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws(moto.address)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it remembers credentials
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(ArchiveRefused, match="no AWS credentials"):
        archive("s3://any-bucket", data).upload(DAY, files(data))


@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [
        (403, "AccessDenied", "s3:PutObject"),
        (403, "InvalidAccessKeyId", "not known"),
        (403, "SignatureDoesNotMatch", "wrong"),
        (400, "ExpiredToken", "expired"),
        (400, "AuthorizationHeaderMalformed", "AWS_DEFAULT_REGION"),
        (403, "RequestTimeTooSkewed", "clock"),
    ],
)
def test_s3_refusals_say_what_to_change(
    status: int, code: str, advice: str, aws: Callable[[str], None], data: Path
) -> None:
    with _answering(status, code) as address:
        aws(address)
        pauses: list[float] = []
        with pytest.raises(ArchiveRefused, match=advice) as caught:
            archive("s3://any-bucket/p", data, pauses).upload(DAY, files(data))
    assert pauses == [], "trying again would not help"
    assert "testing" not in str(caught.value), "no key in a message"


def test_s3_digest_refused_on_the_way_is_tried_again(aws: Callable[[str], None], data: Path) -> None:
    with _answering(400, "BadDigest") as address:
        aws(address)
        pauses: list[float] = []
        with pytest.raises(ArchiveFailed, match="BadDigest"):
            archive("s3://any-bucket/p", data, pauses).upload(DAY, files(data)[:1])
    assert pauses == [1.0, 2.0, 4.0]


def test_an_endpoint_that_is_no_address_is_refused(aws: Callable[[str], None], data: Path) -> None:
    aws("not an address")
    with pytest.raises(ArchiveRefused, match="can't be set up"):
        archive("s3://any-bucket/p", data)


class _answering:  # noqa: N801 (reads as a verb at its uses)
    """A server that answers every request with one S3 error."""

    def __init__(self, status: int, code: str) -> None:
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>m</Message></Error>".encode()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"  # answers the client's "Expect: 100-continue"

            def _answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Content-Type", "application/xml")
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_PUT = do_GET = do_HEAD = _answer  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self) -> str:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_the_probe_of_a_bucket_leaves_nothing_and_a_missing_bucket_is_named(bucket: str) -> None:
    assert probe(f"s3://{bucket}/live", "probe-1.txt") == ""
    assert "Contents" not in boto3.client("s3").list_objects_v2(Bucket=bucket)
    with pytest.raises(ArchiveRefused, match="no bucket of this name"):
        probe("s3://no-such-bucket-here/x", "probe-1.txt")
