"""Recorded files in an S3 bucket: what is there, and one of them brought here. It never writes to the bucket.

Credentials, region and AWS_ENDPOINT_URL are found by boto3 in its usual places, as for the archive.
"""

import os
from pathlib import Path
from typing import Final, NamedTuple

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from bot.storage.s3 import S3Store

_CONFIG: Final = Config(connect_timeout=5, read_timeout=60, retries={"total_max_attempts": 5})
_CHANGED: Final = frozenset({"PreconditionFailed", "412"})


class S3Object(NamedTuple):
    """`etag` changes when the content does."""

    key: str
    size: int
    etag: str


class S3Files(S3Store):
    """The objects of a bucket. Raises ArchiveRefused (what to mend) or S3Fault (try again)."""

    what = "the address of the files"
    rights = "read here. Allow s3:ListBucket on the bucket and s3:GetObject on"

    def __init__(self, bucket: str) -> None:
        super().__init__(bucket, "", _CONFIG)

    def listed(self, prefix: str) -> list[S3Object]:
        """All objects whose key begins so, in order of their keys."""
        found = []
        try:
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
            for page in pages:
                found += [
                    S3Object(row["Key"], row["Size"], row["ETag"].strip('"'))
                    for row in page.get("Contents", ())
                ]
        except ClientError as error:
            raise self._said(error) from error
        except BotoCoreError as error:
            raise self._unreachable(error) from error
        return found

    def fetch_listed(self, key: str, etag: str, target: Path) -> bool:
        """Write the object to `target`, whole or not at all. False: it is no longer the one listed."""
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            body = self._client.get_object(**self._named(key), IfMatch=f'"{etag}"')["Body"]
            with beside.open("wb") as file:
                for piece in body.iter_chunks(1 << 20):
                    file.write(piece)
        except ClientError as error:
            if error.response["Error"]["Code"] in {*_CHANGED, "NoSuchKey", "404"}:
                return False
            raise self._said(error) from error
        except BotoCoreError as error:
            raise self._unreachable(error) from error
        beside.replace(target)
        return True
