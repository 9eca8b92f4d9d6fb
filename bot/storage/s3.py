"""An S3 bucket as a store for the archive, and S3's ways to say no in words a person can act on.

Imported only when the archive's root is an `s3://` address. Credentials, region and AWS_ENDPOINT_URL are
found by boto3 in its usual places; this file must never see or name them.
"""

import base64
import hashlib
import mimetypes
import re
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from bot.storage.archive import ArchiveRefused, Content

_READ_BYTES: Final = 1 << 20
_CONFIG: Final = Config(
    connect_timeout=5,
    read_timeout=30,
    retries={"total_max_attempts": 1},  # the archive retries, with a mark on disk
)
_KEYS: Final = "Check the machine's role, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in its environment."
_ADVICE: Final = {
    "NoSuchBucket": "There is no bucket of this name. Create it, or correct {what}.",
    "AccessDenied": "The credentials may not {rights} {address}*.",
    "InvalidAccessKeyId": f"The credentials are not known. {_KEYS}",
    "SignatureDoesNotMatch": f"The credentials are wrong. {_KEYS}",
    "InvalidToken": f"The credentials are wrong. {_KEYS}",
    "ExpiredToken": f"The credentials have expired. {_KEYS}",
    "PermanentRedirect": "The bucket lies in another region. Set AWS_DEFAULT_REGION to it.",
    "AuthorizationHeaderMalformed": "The bucket lies in another region. Set AWS_DEFAULT_REGION to it.",
    "IllegalLocationConstraintException": "The bucket lies in another region. Set AWS_DEFAULT_REGION to it.",
    "RequestTimeTooSkewed": "The machine's clock is wrong. Set it by NTP.",
}
_TAKEN: Final = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412"})
_PLAIN_MD5: Final = re.compile(r'"[0-9a-f]{32}"')


class S3Fault(Exception):
    """Something on the way to S3 failed that may work a moment later."""


class S3Store:
    """Objects `s3://bucket/prefix/key`."""

    passing: tuple[type[Exception], ...] = (S3Fault, OSError)
    # For people, where the address stands and which rights are wanted:
    what = "[archive] root"
    rights = "write here. Allow s3:GetObject and s3:PutObject on"

    def __init__(self, bucket: str, prefix: str, config: Config = _CONFIG) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        try:
            self._client = boto3.client("s3", config=config)
        except (BotoCoreError, ValueError) as error:  # ValueError: an AWS_ENDPOINT_URL that is no address
            raise ArchiveRefused(f"{self.address('')}: S3 can't be set up ({error}).") from error

    def address(self, key: str) -> str:
        return f"s3://{self._bucket}/{self._prefix}{key}"

    def holds(self, key: str, content: Content) -> bool | None:
        """By size and the server's SHA-256; else by ETag; else by reading it back."""
        try:
            head = self._client.head_object(**self._named(key), ChecksumMode="ENABLED")
        except ClientError as error:
            # A HEAD has no body to say why not, and 403 is also "not there" to one who may not list. Take it
            # for "not there": the PUT that follows is told a reason.
            if 400 <= error.response["ResponseMetadata"]["HTTPStatusCode"] < 500:
                return None
            raise self._said(error) from error
        except BotoCoreError as error:
            raise self._unreachable(error) from error
        if head["ContentLength"] != content.size:
            return False
        if checksum := head.get("ChecksumSHA256"):
            return bool(checksum == _base64(content.sha256))
        etag = head.get("ETag", "")
        if _PLAIN_MD5.fullmatch(etag) and "KMS" not in str(head.get("ServerSideEncryption", "")).upper():
            return bool(etag.strip('"') == content.md5)
        return self._read_back(key) == content.sha256

    def put(self, key: str, file: Path, content: Content) -> None:
        request = {
            **self._named(key),
            "ContentType": mimetypes.guess_type(file.name)[0] or "application/octet-stream",
            "ChecksumAlgorithm": "SHA256",
            "ChecksumSHA256": _base64(content.sha256),
        }
        try:
            self._put(file, request | {"IfNoneMatch": "*"})
        except ClientError as error:
            if error.response["Error"]["Code"] in _TAKEN:
                return
            if error.response["Error"]["Code"] != "NotImplemented":
                raise self._said(error) from error
            self._put_plainly(file, request)

    def remove(self, key: str) -> None:
        try:
            self._client.delete_object(**self._named(key))
        except ClientError as error:
            raise self._said(error) from error
        except BotoCoreError as error:
            raise self._unreachable(error) from error

    def fetch(self, key: str, target: Path) -> bool:
        try:
            body = self._client.get_object(**self._named(key))["Body"]
            with target.open("wb") as file:
                while piece := body.read(_READ_BYTES):
                    file.write(piece)
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                return False
            raise self._said(error) from error
        except BotoCoreError as error:
            raise self._unreachable(error) from error
        return True

    def _put_plainly(self, file: Path, request: dict[str, Any]) -> None:
        """For servers that know no condition; that the name is free was seen a moment ago."""
        try:
            self._put(file, request)
        except ClientError as error:
            raise self._said(error) from error

    def _put(self, file: Path, request: dict[str, Any]) -> None:
        try:
            with file.open("rb") as body:
                self._client.put_object(**request, Body=body)
        except BotoCoreError as error:
            raise self._unreachable(error) from error

    def _read_back(self, key: str) -> str:
        digest = hashlib.sha256()
        try:
            body = self._client.get_object(**self._named(key))["Body"]
            while piece := body.read(_READ_BYTES):
                digest.update(piece)
        except ClientError as error:
            raise self._said(error) from error
        except BotoCoreError as error:
            raise self._unreachable(error) from error
        return digest.hexdigest()

    def _named(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + key}

    def _said(self, error: ClientError) -> Exception:
        code = str(error.response["Error"]["Code"])
        advice = _ADVICE.get(code)
        if advice is None:
            return S3Fault(f"S3 said {code}: {error.response['Error'].get('Message', '')}")
        words = {"address": self.address(""), "what": self.what, "rights": self.rights}
        return ArchiveRefused(f"{self.address('')}: {advice.format(**words)} (S3: {code})")

    def _unreachable(self, error: BotoCoreError) -> Exception:
        if isinstance(error, NoCredentialsError | PartialCredentialsError):
            return ArchiveRefused(f"{self.address('')}: no AWS credentials found. {_KEYS}")
        return S3Fault(str(error))


def _base64(hexdigest: str) -> str:
    return base64.b64encode(bytes.fromhex(hexdigest)).decode()
