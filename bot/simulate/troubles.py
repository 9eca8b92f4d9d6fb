"""Everything that may go wrong in a simulated day, and which of it does under a seed (hazards §4.2).

Swarm testing: each kind of trouble is on or off for a day, by a coin, and has an intensity of its own that
day; uniformly weak trouble finds half as much (hazards §3.4). Times crowd around the flatten, where most can
break. It only draws; the world makes things happen.
"""

from collections.abc import Iterable
from enum import StrEnum
from math import exp, log
from random import Random
from typing import Final, NamedTuple

from bot.core.session import Session
from bot.core.units import SECOND, Nanos


class Kind(StrEnum):
    """What `seconds` and `amount` of a Trouble mean is said here."""

    # the market feed
    FEED_DROP = "feed_drop"  # its connections end without a goodbye
    FEED_STALL = "feed_stall"  # silent for `seconds`, pongs go on
    FEED_REFUSED = "feed_refused"  # handshakes end with 403 for `seconds`
    FEED_GARBAGE = "feed_garbage"  # `amount` frames of noise
    FEED_BAD_PRICE = "feed_bad_price"  # one tick of 0, a hundredth or ten times the price
    FEED_DUPLICATE = "feed_duplicate"  # the last move again
    FEED_OLD = "feed_old"  # a move with the times of a minute ago
    FEED_FROZEN = "feed_frozen"  # for `seconds` messages come and nothing in them moves
    FEED_NO_NUMBER = "feed_no_number"  # one tick whose price is not a number, endless, or negative
    FEED_UNKNOWN = "feed_unknown"  # one frame of a type and with a field that nobody knows
    NO_QUOTES = "no_quotes"  # for `seconds` nobody bids and nobody asks
    # calls
    NET_RESET = "net_reset"  # every connection ends with a reset
    NET_REFUSED = "net_refused"  # nobody listens for `seconds`
    NET_SWALLOWED = "net_swallowed"  # half-open: for `seconds` nothing gets through, nobody is told
    NET_LAG = "net_lag"  # everything takes `amount` ms longer for `seconds`
    NET_BURST = "net_burst"  # for `seconds` nothing arrives, and then all of it at once
    REQUEST_LOST = "request_lost"  # the next order call is not done, and its connection ends
    REPLY_LOST = "reply_lost"  # the next order call is done, its answer never comes
    REPLY_SLOW = "reply_slow"  # …done at once, answered `seconds` late
    ACCEPTED_LATE = "accepted_late"  # …reaches the broker `seconds` late
    CALLS_401 = "calls_401"  # for `seconds` every call
    CALLS_429 = "calls_429"
    ORDERS_403 = "orders_403"  # order calls only
    CALLS_503 = "calls_503"  # the broker's servers answer 503, having done nothing
    DONE_BUT_500 = "done_but_500"  # the next order call is done and answered 500
    HTML = "html"  # for `seconds` answers are a web page
    WRONG_SCHEMA = "wrong_schema"  # for `seconds` reads are JSON of another shape
    BOOK_STALE = "book_stale"  # for `seconds` (≤ 5) the order book and the positions are as they were before
    BOOK_LACKS = "book_lacks"  # for `seconds` (≤ 5) the book lacks the order we placed last
    # the broker and the exchange
    PLACE_REJECTED = "place_rejected"
    MODIFY_REJECTED = "modify_rejected"
    CANCEL_REJECTED = "cancel_rejected"
    DENIED = "denied"  # the next order call is refused at once, by any of the broker's codes
    SLOW_EXCHANGE = "slow_exchange"  # for `seconds` each step of an order takes up to `amount` ms longer
    BAND = "band"  # for `seconds` prices more than `amount` thousandths from the last are refused
    THIN_BOOK = "thin_book"  # for `seconds` an order meets at most `amount` lots a message
    HALT = "halt"  # the exchange stands still for `seconds`
    MANUAL_SELL = "manual_sell"  # the user sells what the bot holds, in the app
    MANUAL_BUY = "manual_buy"  # the user buys a lot of the same, and keeps it
    MANUAL_CANCEL = "manual_cancel"  # the user cancels one of the bot's orders
    SQUARE_OFF = "square_off"  # the broker closes the account's position by itself, at market
    # the order stream
    STREAM_DROP = "stream_drop"
    STREAM_LOSES = "stream_loses"  # for `seconds` its words are lost
    STREAM_REPEATS = "stream_repeats"  # for `seconds` everything is said twice, the second time 2 s later
    STREAM_LATE = "stream_late"  # for `seconds` its words come up to 20 s late, in any order
    # the disk
    DISK_FULL = "disk_full"  # for `seconds`
    DISK_SLOW = "disk_slow"  # for `seconds` every write takes `amount` ms
    DISK_EIO = "disk_eio"  # this process can write no journal any more
    # The process dies; its journal is damaged, so the next start is refused until somebody moves it away,
    # `seconds` later.
    DISK_DAMAGED = "disk_damaged"
    # what is stored elsewhere
    ARCHIVE_DOWN = "archive_down"  # the day's files are not taken before another start
    ARCHIVE_TORN = "archive_torn"  # half a file lies where one of the day's is to be stored
    LEASE_AWAY = "lease_away"  # for `seconds` the lease can be neither read nor renewed
    # the process
    KILL = "kill"  # dies at its `amount`-th effect from now, and stays down for `seconds`
    KILL_AFTER = "kill_after"  # …right behind that effect
    KILL_AND_LOSE_DISK = "kill_and_lose_disk"
    BOOT_DEATHS = "boot_deaths"  # dies, and so do the next `amount` starts, each at an early effect
    SIGTERM = "sigterm"  # told to stop; the next start comes `seconds` later
    PAUSE = "pause"  # stands still for `seconds`, the world goes on
    CLOCK_SKEW = "clock_skew"  # for `seconds` its wall clock is `amount` ms ahead
    CLOCK_DRIFT = "clock_drift"  # for `seconds` its wall clock gains `amount` parts in a million
    TIME_ZONE = "time_zone"  # the machine's time zone becomes another
    # For `seconds` somebody runs another bot on the same account; `amount` 0: beside ours, 1: while ours
    # stands still (a machine that is being moved), 2: while ours is dead.
    SECOND_BOT = "second_bot"


class Trouble(NamedTuple):
    at: Nanos
    kind: Kind
    seconds: float
    amount: int


_SECONDS: Final[dict[Kind, tuple[float, float]]] = {
    Kind.FEED_STALL: (1, 40),
    Kind.FEED_REFUSED: (1, 30),
    Kind.NET_REFUSED: (0.5, 40),
    Kind.NET_SWALLOWED: (0.5, 40),
    Kind.NET_LAG: (5, 120),
    Kind.NET_BURST: (0.5, 40),
    Kind.NO_QUOTES: (1, 40),
    Kind.REPLY_SLOW: (0.2, 20),
    Kind.ACCEPTED_LATE: (0.5, 90),
    Kind.CALLS_401: (1, 60),
    Kind.CALLS_429: (0.5, 20),
    Kind.ORDERS_403: (1, 60),
    Kind.CALLS_503: (0.5, 30),
    Kind.HTML: (0.5, 30),
    Kind.WRONG_SCHEMA: (0.5, 30),
    Kind.BOOK_STALE: (0.5, 5),
    Kind.BOOK_LACKS: (0.5, 5),
    Kind.SLOW_EXCHANGE: (5, 120),
    Kind.BAND: (5, 120),
    Kind.THIN_BOOK: (5, 120),
    Kind.HALT: (5, 120),
    Kind.STREAM_LOSES: (2, 120),
    Kind.STREAM_REPEATS: (5, 120),
    Kind.STREAM_LATE: (5, 120),
    Kind.DISK_FULL: (1, 60),
    Kind.DISK_SLOW: (2, 60),
    Kind.KILL: (0.5, 40),
    Kind.KILL_AFTER: (0.5, 40),
    Kind.KILL_AND_LOSE_DISK: (0.5, 40),
    Kind.DISK_DAMAGED: (5, 60),
    Kind.FEED_FROZEN: (5, 120),
    Kind.LEASE_AWAY: (2, 90),
    Kind.SIGTERM: (0.5, 40),
    Kind.PAUSE: (0.2, 60),
    Kind.CLOCK_SKEW: (5, 180),
    Kind.CLOCK_DRIFT: (60, 1800),
    Kind.SECOND_BOT: (10, 240),
}
_AMOUNT: Final[dict[Kind, tuple[int, int]]] = {
    Kind.FEED_GARBAGE: (1, 20),
    Kind.NET_LAG: (20, 1500),
    Kind.THIN_BOOK: (1, 2),
    Kind.DISK_SLOW: (5, 900),
    Kind.KILL: (1, 60),
    Kind.KILL_AFTER: (1, 60),
    Kind.KILL_AND_LOSE_DISK: (1, 60),
    Kind.BOOT_DEATHS: (1, 4),
    Kind.SLOW_EXCHANGE: (50, 5000),
    Kind.BAND: (10, 100),
    Kind.CLOCK_SKEW: (-300_000, 300_000),
    Kind.CLOCK_DRIFT: (-200, 200),
    Kind.SECOND_BOT: (0, 2),
}
# While one of these lasts, the broker can't be said to answer (invariant 4's premise), and this much after.
AWAY: Final[dict[Kind, float]] = {
    Kind.NET_RESET: 1, Kind.NET_REFUSED: 6, Kind.NET_SWALLOWED: 20, Kind.NET_LAG: 4, Kind.REPLY_LOST: 12,
    Kind.REPLY_SLOW: 12, Kind.ACCEPTED_LATE: 12, Kind.CALLS_401: 8, Kind.CALLS_429: 8, Kind.ORDERS_403: 8,
    Kind.CALLS_503: 8, Kind.DONE_BUT_500: 12, Kind.HTML: 8, Kind.WRONG_SCHEMA: 8, Kind.BOOK_STALE: 8,
    Kind.PLACE_REJECTED: 4, Kind.MODIFY_REJECTED: 4, Kind.CANCEL_REJECTED: 4, Kind.THIN_BOOK: 4, Kind.HALT: 4,
    Kind.MANUAL_SELL: 8, Kind.MANUAL_BUY: 8, Kind.MANUAL_CANCEL: 8, Kind.STREAM_LOSES: 8,
    Kind.STREAM_LATE: 20, Kind.DISK_SLOW: 4, Kind.KILL: 10, Kind.KILL_AFTER: 10, Kind.KILL_AND_LOSE_DISK: 12,
    Kind.PAUSE: 10, Kind.NET_BURST: 12, Kind.NO_QUOTES: 4, Kind.REQUEST_LOST: 12, Kind.BOOK_LACKS: 8,
    Kind.DENIED: 12, Kind.SLOW_EXCHANGE: 20, Kind.BAND: 12, Kind.SQUARE_OFF: 8, Kind.DISK_DAMAGED: 12,
}  # fmt: skip
_ON: Final = 0.5  # of all kinds, on a day
_PER_DAY: Final = (0.4, 6.0)  # of a kind that is on: log-uniform
_AROUND_FLATTEN: Final = 0.35  # of all troubles: within a minute of it
_HEALED: Final[Nanos] = 3 * 60 * SECOND  # before the close everything is well: progress can be demanded


def draw(seed: int, session: Session) -> tuple[Trouble, ...]:
    """The day's troubles, in order of time. The last one ends `_HEALED` before the close."""
    troubles = []
    for kind in Kind:  # a stream of its own for each: a new kind shifts no other
        rng = Random(f"{seed}/{kind}")  # noqa: S311
        if rng.random() >= _ON:
            continue
        many = exp(rng.uniform(*(log(edge) for edge in _PER_DAY)))
        count = int(many) + (rng.random() < many % 1)
        troubles += [_trouble(rng, kind, session) for _ in range(count)]
    return tuple(sorted(troubles))


def _trouble(rng: Random, kind: Kind, session: Session) -> Trouble:
    least, most = _SECONDS.get(kind, (0.0, 0.0))
    seconds = exp(rng.uniform(log(least), log(most))) if least else 0.0
    low, high = _AMOUNT.get(kind, (0, 0))
    healed_at = session.close_at - _HEALED
    if rng.random() < _AROUND_FLATTEN:
        at = session.flatten_at + round(rng.uniform(-60, 60) * SECOND)
    else:
        at = round(rng.uniform(session.open_at, healed_at))
    seconds = min(seconds, (healed_at - at) / SECOND)
    return Trouble(at, kind, round(seconds, 3), rng.randint(low, high))


def away(troubles: tuple[Trouble, ...]) -> list[tuple[Nanos, Nanos]]:
    """When the broker can't be said to answer: disjoint spans, in order."""
    return joined(
        (one.at, one.at + round((one.seconds + AWAY[one.kind]) * SECOND))
        for one in troubles
        if one.kind in AWAY
    )


def joined(spans: Iterable[tuple[Nanos, Nanos]]) -> list[tuple[Nanos, Nanos]]:
    """The same time as disjoint spans, in order."""
    out: list[tuple[Nanos, Nanos]] = []
    for since, until in sorted(spans):
        if out and since <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], until))
        else:
            out.append((since, until))
    return out


def longest_well(spans: list[tuple[Nanos, Nanos]], since: Nanos, until: Nanos) -> Nanos:
    """The longest stretch within [since, until] that no span touches."""
    longest, free_from = 0, since
    for began, ended in spans:
        longest = max(longest, min(began, until) - free_from)
        free_from = max(free_from, ended)
    return max(longest, until - free_from)
