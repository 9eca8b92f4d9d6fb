"""A certificate of the twin's own, made when it starts: nobody vouches for it but the file it writes.

Only made on request (`bot twin --tls`); the library for it is no part of a bot that trades. Clients are told
to trust `authority_pem` and nothing more. The keys live in memory and die with the process.
"""

import ssl
from collections.abc import Sequence
from typing import Final, NamedTuple

LOOPBACK: Final = ("127.0.0.1", "localhost")


class TlsUnavailable(Exception):
    """The library that makes certificates is not installed. Says what to do."""


class Certificate(NamedTuple):
    """What the twin listens with, and what a client needs to believe it."""

    context: ssl.SSLContext
    authority_pem: bytes


def make_certificate(names: Sequence[str] = LOOPBACK) -> Certificate:
    """For these host names and addresses, by an authority made for it. Raises TlsUnavailable."""
    try:
        import trustme  # late: an extra, and slow to import
    except ImportError:
        raise TlsUnavailable(
            "TLS needs the package trustme, which is not here: install the extra `tls`, or leave --tls out."
        ) from None
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return Certificate(context, authority.cert_pem.bytes())
