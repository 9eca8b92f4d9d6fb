"""What can be known of the lease, whoever keeps it (s3_lease.py does). Imports no cloud: a start is quick."""

from typing import NamedTuple


class LeaseUnreachable(Exception):
    """S3 did not answer, or would not: nothing is known of the lease."""


class Found(NamedTuple):
    """Who wrote it last. `etag` changes with every renewal."""

    etag: str
    holder: str
    words: str
