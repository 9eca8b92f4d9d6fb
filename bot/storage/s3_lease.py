"""The lease object in S3: one writer at a time, by conditional writes. Blocking code for a thread.

What a lease means and how long it lasts is decided elsewhere; this file must never compare two clocks.
"""

from typing import Any, Final

import boto3
import orjson
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from bot.storage.lease import Found, LeaseUnreachable

_CONFIG: Final = Config(connect_timeout=3, read_timeout=4, retries={"total_max_attempts": 1})
_TAKEN: Final = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})
_ABSENT: Final = frozenset({"NoSuchKey", "404"})


class LeaseStore:
    """`s3://bucket/prefix/lease-<name>.json`."""

    def __init__(self, root: str, name: str) -> None:
        bucket, _, prefix = root.removeprefix("s3://").partition("/")
        prefix = prefix.strip("/")
        self._named = {"Bucket": bucket, "Key": f"{prefix}/lease-{name}.json".lstrip("/")}
        try:
            self._client = boto3.client("s3", config=_CONFIG)
        except (BotoCoreError, ValueError) as error:
            raise LeaseUnreachable(f"S3 can't be set up ({error})") from error

    def read(self) -> Found | None:
        """None: nobody has ever held it."""
        try:
            answer = self._client.get_object(**self._named)
            body: Any = orjson.loads(answer["Body"].read(10_000))
        except ClientError as error:
            if error.response["Error"]["Code"] in _ABSENT:
                return None
            raise _unreachable(error) from error
        except (BotoCoreError, OSError) as error:
            raise _unreachable(error) from error
        except orjson.JSONDecodeError:
            body = {}
        body = body if isinstance(body, dict) else {}
        return Found(answer["ETag"], str(body.get("holder", "")), str(body.get("words", "somebody")))

    def write(self, holder: str, words: str, number: int, etag: str | None) -> str | None:
        """Write if it is still as `etag` says (None: there is none). The new etag; None: another was first.

        `number` must differ each time: an object's etag is its content's.
        """
        body = orjson.dumps({"holder": holder, "words": words, "number": number})
        if etag is None:
            return self._put(body, IfNoneMatch="*")
        new = self._put(body, IfMatch=etag)
        if new is None and (found := self.read()) is not None and found.etag == etag:
            # Nobody was first: Ceph's gateway compares the bare hash and never the quoted one that it gave.
            new = self._put(body, IfMatch=etag.strip('"'))
        return new

    def _put(self, body: bytes, **condition: str) -> str | None:
        try:
            return str(self._client.put_object(**self._named, Body=body, **condition)["ETag"])
        except ClientError as error:
            if error.response["Error"]["Code"] in _TAKEN:
                return None
            raise _unreachable(error) from error
        except (BotoCoreError, OSError) as error:
            raise _unreachable(error) from error


def _unreachable(error: Exception) -> LeaseUnreachable:
    return LeaseUnreachable(f"S3 did not take or tell the lease ({error})")
