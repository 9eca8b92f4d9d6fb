"""The lease's object in memory: conditional writes, an outage on command, and who truly wrote it last."""

from collections.abc import Callable

from bot.storage.lease import Found, LeaseUnreachable


class SimLease:
    """storage.s3_lease.LeaseStore, for all bots of one simulated day. `away` is asked at every call."""

    def __init__(self) -> None:
        self.away: Callable[[], bool] = lambda: False
        self.holder = ""  # by the store's own book, whatever any bot believes
        self._found: Found | None = None
        self._writes = 0

    def read(self) -> Found | None:
        self._reach()
        return self._found

    def write(self, holder: str, words: str, number: int, etag: str | None) -> str | None:
        """`number` is the real store's business: here every write has an etag of its own."""
        del number
        self._reach()
        if etag != (self._found.etag if self._found is not None else None):
            return None
        self._writes += 1
        self.holder, self._found = holder, Found(str(self._writes), holder, words)
        return self._found.etag

    def _reach(self) -> None:
        if self.away():
            raise LeaseUnreachable("S3 is away (simulated)")
