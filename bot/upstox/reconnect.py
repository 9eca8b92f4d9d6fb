"""When to authorize, dial, doubt, drop and try again: the life of one reconnecting WebSocket, as a table.

Inputs and monotonic times in, actions out. It knows no socket, no clock, no randomness, and not what is said
on the line. It never gives up: whoever runs it stops when the session is over.

    state           input               → state           actions
    ─────────────────────────────────────────────────────────────────────────────────────────────────────
    IDLE            start               → AUTHORIZING     Authorize
    AUTHORIZING     authorized(uri)     → DIALLING        Dial(uri)
    AUTHORIZING     failed(status)      → RESTING or      Lost(reason)*, WakeAt
                                          AUTH_REQUIRED
    DIALLING        opened              → OPEN            Subscribe, WakeAt
    DIALLING        failed(status)      → as above
    OPEN, SUSPECT   frame               → OPEN
    OPEN            timer: 5 s silent   → SUSPECT         Ping, WakeAt
    SUSPECT         pong                → SUSPECT         (…and alive, though it says nothing)
    SUSPECT         timer: 3 s no pong  → DEAD            Drop(answers=False)
    SUSPECT         timer: 13.5 s silent → DEAD           Drop(answers=True)
    OPEN, SUSPECT   condemned(reason)   → DEAD            Drop(answers=True)
    OPEN, SUSPECT,  closed              → RESTING         Lost(reason)*, WakeAt
    DEAD
    RESTING,        timer: rested, or   → AUTHORIZING     Authorize
    AUTH_REQUIRED   renewed (a new token)

An input that has no row here is old news (a pong that comes after the drop): it changes nothing.

* Lost is said once an outage, and again when the outage turns into one of authority, or out of it.

Every address is good for one dial (upstox §3.1), so every attempt authorizes anew. Silence is judged only
while armed: outside the session a socket is rightly silent for minutes, and in the pre-open an eager watchdog
once reconnected twelve times for nothing (upstox §3.9). A ping is no frame: a feed that answers pings and
sends nothing is dead, too (upstox §8.2); one that does not even answer them is known to be dead sooner.

How long it rests: after ordinary failures from 0.5 s, doubling to 4 s (hazards F1 has 8, which would miss
"back within 5 s of the server"); after a 403 or a 429 from 5 s to 30 s, since the broker counts connections
and calls (upstox §8.1); after a 401, 30 s, for only a human can make a new token (upstox §0.2). Jitter takes
off up to half of the first two. The count starts anew with the first good frame of a connection that has
lived 2 s: two bots that evict each other would else authorize without a rest. 13.5 s of silence, a goodbye
and the first rest, of half a second each, keep "a new attempt has begun within 15 s".
"""

from collections.abc import Callable
from enum import StrEnum
from http import HTTPStatus
from typing import Literal, NamedTuple, TypeAlias

from bot.core.units import MILLISECOND, SECOND, Nanos

DownReason: TypeAlias = Literal["stall", "close", "auth", "error"]


class AuthorizeFailed(Exception):
    """The broker gave no address. `status` is the HTTP status, None when there was no answer; no secrets."""

    def __init__(self, status: int | None, code: str) -> None:
        super().__init__(f"authorize failed: status {status}, code {code or 'none'}")
        self.status = status
        self.code = code


class State(StrEnum):
    IDLE = "idle"
    AUTHORIZING = "authorizing"
    DIALLING = "dialling"
    OPEN = "open"
    SUSPECT = "suspect"
    DEAD = "dead"  # dropped by us, the end of the socket not yet seen
    RESTING = "resting"
    AUTH_REQUIRED = "auth_required"  # resting until a token that works can be hoped for


class Limits(NamedTuple):
    """Monotonic nanoseconds."""

    suspect_after: Nanos = 5 * SECOND
    pong_within: Nanos = 3 * SECOND
    dead_after: Nanos = 13_500 * MILLISECOND
    rest_first: Nanos = 500 * MILLISECOND
    rest_last: Nanos = 4 * SECOND
    slow_rest_first: Nanos = 5 * SECOND
    slow_rest_last: Nanos = 30 * SECOND
    auth_rest: Nanos = 30 * SECOND
    proven_after: Nanos = 2 * SECOND


class Authorize(NamedTuple):
    """Ask the broker for a fresh address."""


class Dial(NamedTuple):
    """Connect. The address is a secret and works once."""

    uri: str


class Subscribe(NamedTuple):
    """The socket is open: say what we want, all of it."""


class Ping(NamedTuple):
    """Is anyone there?"""


class Drop(NamedTuple):
    """End the socket; `closed` must follow. Say goodbye only to a peer that answers."""

    answers: bool


class Lost(NamedTuple):
    """Tell the others that there is no connection."""

    reason: DownReason


class WakeAt(NamedTuple):
    """Call `timer` then. It replaces any earlier WakeAt."""

    mono: Nanos


Action: TypeAlias = Authorize | Dial | Subscribe | Ping | Drop | Lost | WakeAt
_CONNECTED = frozenset({State.OPEN, State.SUSPECT})
_AT_REST = frozenset({State.RESTING, State.AUTH_REQUIRED})
_SLOW = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS})


class Reconnect:
    """The machine. `jitter` gives numbers in [0, 1). Read `state`, `opened_total`, `lost_total` freely."""

    def __init__(self, jitter: Callable[[], float], limits: Limits = Limits()) -> None:  # noqa: B008 - immutable
        self.state = State.IDLE
        self.opened_total = 0
        self.lost_total: dict[DownReason, int] = {"stall": 0, "close": 0, "auth": 0, "error": 0}
        self._jitter = jitter
        self._limits = limits
        self._armed = False
        self._failures = 0  # in a row, of the ordinary kind
        self._refusals = 0  # in a row, of the slow kind
        self._wake: Nanos = 0
        self._heard: Nanos = 0  # the last frame, or the moment from which we expect some
        self._opened: Nanos = 0
        self._pinged: Nanos = 0
        self._ponged = False
        self._reason: DownReason = "close"  # of the drop under way
        self._told: DownReason | None = None  # the last Lost of this outage

    def start(self) -> tuple[Action, ...]:
        """Begin. Once."""
        if self.state is not State.IDLE:
            return ()
        self.state = State.AUTHORIZING
        return (Authorize(),)

    def arm(self, on: bool, mono: Nanos) -> None:
        """In session (True) silence means trouble; outside it does not. No timer is needed at once."""
        if on and not self._armed:
            self._heard = max(self._heard, mono)
        self._armed = on
        if not on and self.state is State.SUSPECT:
            self.state = State.OPEN

    def authorized(self, uri: str) -> tuple[Action, ...]:
        """The broker gave an address."""
        if self.state is not State.AUTHORIZING:
            return ()
        self.state = State.DIALLING
        return (Dial(uri),)

    def failed(self, status: int | None, mono: Nanos) -> tuple[Action, ...]:
        """No address, or no handshake. `status`: the HTTP status; None when there was no answer."""
        if self.state not in {State.AUTHORIZING, State.DIALLING}:
            return ()
        if status == HTTPStatus.UNAUTHORIZED:
            self.state = State.AUTH_REQUIRED
            return self._rest(self._limits.auth_rest, "auth", mono)
        self.state = State.RESTING
        if status in _SLOW:
            rest = _doubled(self._limits.slow_rest_first, self._refusals, self._limits.slow_rest_last)
            self._refusals += 1
            return self._rest(
                self._jittered(rest), "auth" if status == HTTPStatus.FORBIDDEN else "error", mono
            )
        return self._rest(self._ordinary(), "error", mono)

    def opened(self, mono: Nanos) -> tuple[Action, ...]:
        """The handshake is done."""
        if self.state is not State.DIALLING:
            return ()
        self.state = State.OPEN
        self.opened_total += 1
        self._told = None
        self._heard = self._opened = mono
        self._ponged = False
        return (Subscribe(), self._wake_at(mono + self._limits.suspect_after))

    def frame(self, mono: Nanos) -> None:
        """The peer said something that makes sense. On the path of every tick."""
        self._heard = mono
        if self.state is State.SUSPECT:
            self.state = State.OPEN
        if self._failures or self._refusals:
            self._prove(mono)

    def pong(self) -> None:
        """The answer to our ping."""
        self._ponged = True

    def condemned(self, reason: DownReason) -> tuple[Action, ...]:
        """Whoever listens can make nothing of what comes."""
        if self.state not in _CONNECTED:
            return ()
        return self._drop(reason, answers=True)

    def renewed(self) -> tuple[Action, ...]:
        """There is a new token: no reason to rest any longer. Nothing for a connection that stands."""
        if self.state not in _AT_REST:
            return ()
        self.state = State.AUTHORIZING
        return (Authorize(),)

    def closed(self, reason: DownReason, mono: Nanos) -> tuple[Action, ...]:
        """The socket is gone. `reason` is how it looked from below; a drop of ours knows better."""
        if self.state is State.DEAD:
            reason = self._reason
        elif self.state not in _CONNECTED:
            return ()
        self.state = State.RESTING
        return self._rest(self._ordinary(), reason, mono)

    def timer(self, mono: Nanos) -> tuple[Action, ...]:
        """The time of the last WakeAt has come. Early is harmless."""
        if self.state in _AT_REST:
            if mono < self._wake:
                return (self._wake_at(self._wake),)
            self.state = State.AUTHORIZING
            return (Authorize(),)
        if self.state in _CONNECTED:
            return self._watch(mono)
        return ()

    def _watch(self, mono: Nanos) -> tuple[Action, ...]:
        limits = self._limits
        if not self._armed:
            return (self._wake_at(mono + limits.suspect_after),)
        if self.state is State.OPEN:
            if mono < self._heard + limits.suspect_after:
                return (self._wake_at(self._heard + limits.suspect_after),)
            self.state = State.SUSPECT
            self._pinged = mono
            self._ponged = False
            return (Ping(), self._wake_at(min(mono + limits.pong_within, self._heard + limits.dead_after)))
        dead_at = self._heard + limits.dead_after
        if not self._ponged:
            dead_at = min(dead_at, self._pinged + limits.pong_within)
        if mono < dead_at:
            return (self._wake_at(dead_at),)
        return self._drop("stall", answers=self._ponged)

    def _drop(self, reason: DownReason, *, answers: bool) -> tuple[Action, ...]:
        self.state = State.DEAD
        self._reason = reason
        return (Drop(answers),)

    def _prove(self, mono: Nanos) -> None:
        if mono - self._opened >= self._limits.proven_after:
            self._failures = self._refusals = 0

    def _ordinary(self) -> Nanos:
        rest = _doubled(self._limits.rest_first, self._failures, self._limits.rest_last)
        self._failures += 1
        return self._jittered(rest)

    def _jittered(self, rest: Nanos) -> Nanos:
        return rest - round(rest / 2 * self._jitter())

    def _rest(self, rest: Nanos, reason: DownReason, mono: Nanos) -> tuple[Action, ...]:
        wake = self._wake_at(mono + rest)
        told, self._told = self._told, reason
        if told is not None and (told == "auth") == (reason == "auth"):
            return (wake,)
        self.lost_total[reason] += 1
        return (Lost(reason), wake)

    def _wake_at(self, mono: Nanos) -> WakeAt:
        self._wake = mono
        return WakeAt(mono)


def _doubled(first: Nanos, times: int, last: Nanos) -> Nanos:
    return min(first << min(times, 16), last)
