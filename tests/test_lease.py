"""One bot at a time: the folder's lock, and the lease in S3 with two contenders, wrong clocks and outages."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from bot.assemble.lease import Lease, lease_for
from bot.core.commands import Alert, ModifyOrder, PlaceOrder, Refused
from bot.core.events import LeaseChanged
from bot.core.units import SECOND, Nanos
from bot.run.live import WallClock
from bot.storage.lease import Found, LeaseUnreachable
from bot.storage.lock import FolderLock, FolderTaken
from bot.storage.s3_lease import LeaseStore
from tests.test_cloud_ceph import ceph, use
from tests.test_engine import Desk, make, none_of, only

__all__ = ["ceph", "make"]
TERM = 90.0


class Bucket:
    """An object with S3's conditions, and a line that can be cut before or after the write."""

    def __init__(self) -> None:
        self.found: Found | None = None
        self.down = self.reply_lost = False
        self.writes = 0

    def read(self) -> Found | None:
        self._up()
        return self.found

    def write(self, holder: str, words: str, number: int, etag: str | None) -> str | None:
        self._up()
        if (self.found.etag if self.found else None) != etag:
            return None
        self.writes += 1
        self.found = Found(f"{holder}/{number}", holder, words)
        if self.reply_lost:
            raise LeaseUnreachable("the reply was lost")
        return self.found.etag

    def _up(self) -> None:
        if self.down:
            raise LeaseUnreachable("S3 is away")


class Hands:
    """A clock by hand, whose wall may be wrong; whoever sleeps moves it, and `meanwhile` happens."""

    def __init__(self, skew_seconds: float = 0.0) -> None:
        self.time: Nanos = 1_000 * SECOND
        self.skew = round(skew_seconds * SECOND)
        self.meanwhile: Callable[[], Awaitable[None]] | None = None
        self.other: Hands | None = None

    def now(self) -> Nanos:
        return self.time + self.skew

    def monotonic(self) -> Nanos:
        return self.time

    async def sleep_until(self, at: Nanos) -> None:
        self.pass_time(max(at - self.now(), 0) / SECOND)
        if self.meanwhile is not None:
            await self.meanwhile()

    def pass_time(self, seconds: float) -> None:
        self.time += round(seconds * SECOND)
        if self.other is not None:
            self.other.time = self.time

    def departed(self) -> None: ...

    def arrived(self) -> None: ...

    async def quiet(self) -> None: ...


def two(skew_seconds: float = 0.0) -> tuple[Bucket, Hands, Lease, Hands, Lease]:
    bucket, here, there = Bucket(), Hands(), Hands(skew_seconds)
    here.other, there.other = there, here
    return (
        bucket, here, Lease(here, bucket, "a", "bot A", TERM), there, Lease(there, bucket, "b", "bot B", TERM)
    )  # fmt: skip


def test_the_second_bot_of_a_folder_is_told_who_holds_it_and_a_dead_one_holds_nothing(tmp_path: Path) -> None:
    first, second = FolderLock(tmp_path), FolderLock(tmp_path)
    first.take("mode live")
    with pytest.raises(FolderTaken, match=r"pid \d+ on .*mode live.*bot flatten"):
        second.take("mode paper")
    first.release()
    second.take("mode paper")
    second.release()


@pytest.mark.parametrize("skew_seconds", [0.0, 300.0, -300.0])
async def test_who_comes_second_waits_a_term_and_is_refused_by_a_living_holder(skew_seconds: float) -> None:
    _, _, first, there, second = two(skew_seconds)
    assert await first.claim() == ""
    assert first.held

    async def renew() -> None:
        await first._try()

    there.meanwhile = renew
    assert "bot A" in await second.claim()
    assert first.held
    assert not second.held


@pytest.mark.parametrize("skew_seconds", [0.0, 300.0, -300.0])
async def test_a_dead_holders_lease_is_taken_over_after_its_term_and_never_held_twice(
    skew_seconds: float,
) -> None:
    _, here, first, there, second = two(skew_seconds)
    assert await first.claim() == ""
    began = here.time

    async def look() -> None:
        assert not (first.held and second.held)

    there.meanwhile = look
    assert await second.claim() == ""
    assert second.held
    assert not first.held
    assert TERM * SECOND <= here.time - began <= 1.5 * TERM * SECOND
    await first._try()
    assert not first.held, "it learns that another was faster"
    assert "bot B" in first.text


async def test_an_outage_shorter_than_the_term_loses_nothing_a_longer_one_does_until_it_ends() -> None:
    bucket, here, first, _, _ = two()
    await first.claim()
    bucket.down = True
    here.pass_time(TERM - 1)
    with pytest.raises(LeaseUnreachable):
        await first._try()
    assert first.held
    here.pass_time(2)
    assert not first.held, "another bot may reach S3 though we do not"
    bucket.down = False
    await first._try()
    assert first.held


async def test_a_lost_reply_is_recognized_as_our_own_writing() -> None:
    bucket, here, first, _, _ = two()
    await first.claim()
    bucket.reply_lost = True
    with pytest.raises(LeaseUnreachable):
        await first._try()
    bucket.reply_lost = False
    here.pass_time(30)
    await first._try()
    assert first.held


async def test_an_unreachable_s3_is_no_reason_to_stay_away_from_a_position() -> None:
    bucket, _, first, _, _ = two()
    bucket.down = True
    assert await first.claim() == ""
    assert not first.held


class Enough(Exception):
    pass


async def test_the_engine_is_told_of_each_renewal_of_the_loss_and_of_the_return() -> None:
    bucket, here, first, _, _ = two()
    await first.claim()
    told: list[LeaseChanged] = []
    began = here.time

    async def script() -> None:
        passed = (here.time - began) / SECOND
        bucket.down = 100 < passed < 300
        if passed > 400:
            raise Enough

    here.meanwhile = script

    class Lines:
        put = staticmethod(told.append)

    lines: Any = Lines()
    with pytest.raises(Enough):
        await first.keep(lines)
    states = [bool(word.until_mono) for word in told]
    changes = [one for one, before in zip(states, [None, *states], strict=False) if one != before]
    assert changes == [True, False, True]
    lost = next(word for word in told if not word.until_mono)
    assert 100 + TERM - 31 < (lost.at - began) / SECOND < 101 + TERM


def test_a_lost_lease_stops_entries_never_exits_and_one_that_ran_out_unheard_does_too(
    make: Callable[..., Desk],
) -> None:
    desk = make()
    desk.enter()
    made = desk.engine.handle(LeaseChanged(desk.now, desk.mono, 0, 0, "S3 is away"))
    assert [c.name for c in made if isinstance(c, Alert)] == ["LeaseLost"]
    assert only(desk.tick(desk.price + 200), ModifyOrder), "the resting stop becomes the exit"

    other = make()
    until = other.now + 30 * SECOND, other.mono + 30 * SECOND
    other.engine.handle(LeaseChanged(other.now, other.mono, *until, "ours"))
    other.pass_time(40)  # asleep, and nobody said a word
    assert only(other.fall(), Refused).reason == "not_leased"
    again = LeaseChanged(other.now, other.mono, other.now + 90 * SECOND, other.mono + 90 * SECOND, "ours")
    assert none_of(other.engine.handle(again), Alert)
    assert only(other.fall(), PlaceOrder)


def test_only_a_live_bot_with_an_archive_in_s3_needs_a_lease(tmp_path: Path) -> None:
    clock = WallClock()
    assert lease_for(clock, "s3://b/p", "paper", tmp_path, TERM) is None
    assert lease_for(clock, str(tmp_path), "live", tmp_path, TERM) is None
    one, again = (lease_for(clock, "s3://b/p", "live", tmp_path, TERM) for _ in range(2))
    assert one is not None
    assert again is not None
    assert one._holder == again._holder, "a restart need not wait for itself"


@pytest.mark.component
async def test_two_contenders_at_a_real_s3(
    ceph: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, ceph)
    boto3.client("s3").create_bucket(Bucket="leases")
    stores = [LeaseStore("s3://leases/books", "live") for _ in range(2)]
    assert stores[0].read() is None
    etag = stores[0].write("a", "bot A", 1, None)
    assert etag
    assert stores[1].write("b", "bot B", 1, None) is None, "If-None-Match"
    assert stores[0].write("a", "bot A", 2, etag)
    assert stores[1].write("b", "bot B", 2, etag) is None, "If-Match: the etag is of the past"
    found = stores[1].read()
    assert found is not None
    assert (found.holder, found.words) == ("a", "bot A")

    first, second = (
        Lease(WallClock(), store, name, f"bot {name}", 4.0) for store, name in zip(stores, "ab", strict=True)
    )
    assert await first.claim() == ""
    assert await second.claim() == "", "the first renews no more"
    assert second.held
    assert not first.held
