"""The archive on a real S3 server: Ceph's gateway checks signatures and digests, which moto does not."""

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from bot.storage.archive import Archive, ArchiveRefused
from tests.cloud_tools import ROOT, run, tool
from tests.loopback import unused_port
from tests.moto_server import loopback_aws

pytestmark = pytest.mark.component
DAY = date(2026, 9, 16)


@pytest.fixture(scope="module")
def ceph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The gateway's address; access key AK, secret SK."""
    for name in ("radosgw", "ceph-mon", "ceph-osd", "ceph", "radosgw-admin"):
        tool(name, "Debian: radosgw ceph-mon ceph-osd ceph-mgr ceph-common; .ci/install-cloud")
    if os.geteuid() != 0:
        pytest.skip("Ceph's daemons are started as root here")
    folder, port = tmp_path_factory.mktemp("ceph"), unused_port()
    try:
        run([ROOT / ".ci" / "ceph-rgw", folder, str(unused_port()), str(port)], seconds=180)
        yield f"http://127.0.0.1:{port}"
    finally:
        for pid in folder.glob("run/*.pid"):
            with contextlib.suppress(ProcessLookupError, ValueError):
                os.kill(int(pid.read_text()), signal.SIGKILL)
        time.sleep(0.5)
        shutil.rmtree(folder, ignore_errors=True)


def use(monkeypatch: pytest.MonkeyPatch, address: str, *, key: str = "AK", secret: str = "SK") -> None:
    keys = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in (loopback_aws(address) | keys).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it keeps the keys it found first


def test_a_day_is_uploaded_and_a_wrong_key_or_a_damaged_body_is_refused(
    ceph: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "trades-2026-09-16.csv").write_text("time_ist,instrument\n")
    (data / "journal-2026-09-16.sqlite").write_bytes(os.urandom(2_000_000))
    files = sorted(data.iterdir())
    use(monkeypatch, ceph)
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="books")

    for wrong in ({"secret": "wrong"}, {"key": "wrong"}):
        use(monkeypatch, ceph, **wrong)
        with pytest.raises(ArchiveRefused, match="credentials"):
            Archive("s3://books/archive", data).upload(DAY, files)
    assert s3.list_objects_v2(Bucket="books")["KeyCount"] == 0, "a refused key leaves nothing"

    use(monkeypatch, ceph)
    (retried,) = Archive("s3://books/archive", data).retry_pending()
    assert (retried.problem, len(retried.stored)) == ("", 2), "what was refused is stored at the next start"
    for stored, file in zip(retried.stored, files, strict=True):
        key = stored.address.removeprefix("s3://books/")
        assert key == f"archive/2026/09/16/{file.name}"
        assert s3.get_object(Bucket="books", Key=key)["Body"].read() == file.read_bytes()

    files[1].write_text("another content of the same name\n")
    (aside,) = Archive("s3://books/archive", data).upload(DAY, files[1:])
    assert aside.renamed
    assert s3.list_objects_v2(Bucket="books")["KeyCount"] == 3, "nothing was written over"

    with pytest.raises(ClientError, match="BadDigest"):
        s3.put_object(Bucket="books", Key="x", Body=b"half", ContentMD5="1B2M2Y8AsgTpgAmY7PhCfg==")
    with pytest.raises(ClientError):
        s3.head_object(Bucket="books", Key="x")
