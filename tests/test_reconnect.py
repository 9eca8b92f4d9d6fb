"""The reconnecting machine: every row of its table, its promises under arbitrary input, its clocks."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bot.core.units import MILLISECOND, SECOND
from bot.upstox.reconnect import (
    Authorize,
    Dial,
    Drop,
    Limits,
    Lost,
    Ping,
    Reconnect,
    State,
    Subscribe,
    WakeAt,
)

LIMITS = Limits()


def no_jitter():
    return 0.0


def machine(state=State.OPEN, *, mono=0, armed=True, jitter=no_jitter):
    """A machine on its way: connected at `mono` unless told otherwise."""
    it = Reconnect(jitter)
    it.arm(armed, mono)
    it.start()
    if state is State.AUTHORIZING:
        return it
    it.authorized("wss://one")
    if state is State.DIALLING:
        return it
    it.opened(mono)
    if state is State.SUSPECT:
        it.timer(mono + LIMITS.suspect_after)
    assert it.state is state
    return it


def wake_of(actions):
    (wake,) = [action.mono for action in actions if isinstance(action, WakeAt)]
    return wake


# ---- the table ---------------------------------------------------------------------------------------


def test_the_way_up_authorizes_dials_and_subscribes():
    it = Reconnect(no_jitter)
    assert it.start() == (Authorize(),)
    assert it.authorized("wss://one") == (Dial("wss://one"),)
    assert it.opened(7) == (Subscribe(), WakeAt(7 + 5 * SECOND))
    assert it.state is State.OPEN
    assert it.opened_total == 1


def test_a_close_rests_and_then_authorizes_anew():
    """The address of before is never dialled again."""
    it = machine()
    lost, wake = it.closed("close", 100 * SECOND)
    assert lost == Lost("close")
    assert wake == WakeAt(100 * SECOND + 500 * MILLISECOND)
    assert it.timer(wake.mono - 1) == (wake,)  # early is harmless
    assert it.timer(wake.mono) == (Authorize(),)
    assert it.authorized("wss://two") == (Dial("wss://two"),)


@pytest.mark.parametrize("state", [State.AUTHORIZING, State.DIALLING])
@pytest.mark.parametrize(
    ("status", "reason", "rest", "then"),
    [
        (None, "error", 500 * MILLISECOND, State.RESTING),
        (500, "error", 500 * MILLISECOND, State.RESTING),
        (429, "error", 5 * SECOND, State.RESTING),
        (403, "auth", 5 * SECOND, State.RESTING),
        (401, "auth", 30 * SECOND, State.AUTH_REQUIRED),
    ],
)
def test_a_refusal_rests_by_its_kind_wherever_it_comes(state, status, reason, rest, then):
    it = machine(state)
    assert it.failed(status, SECOND) == (Lost(reason), WakeAt(SECOND + rest))
    assert it.state is then
    assert it.timer(SECOND + rest) == (Authorize(),)


def test_old_news_changes_nothing():
    """An input without a row in the table gives no action and leaves the state."""
    inputs = {
        "start": lambda it: it.start(),
        "authorized": lambda it: it.authorized("wss://late"),
        "failed": lambda it: it.failed(401, 0),
        "opened": lambda it: it.opened(0),
        "condemned": lambda it: it.condemned("error"),
        "closed": lambda it: it.closed("close", 0),
        "pong": lambda it: it.pong() or (),
    }
    rows = {
        State.AUTHORIZING: {"authorized", "failed"},
        State.DIALLING: {"opened", "failed"},
        State.OPEN: {"condemned", "closed"},
        State.SUSPECT: {"condemned", "closed"},
    }
    for state, known in rows.items():
        for name, say in inputs.items():
            if name not in known:
                it = machine(state)
                assert say(it) == (), (state, name)
                assert it.state is state


# ---- the two clocks ----------------------------------------------------------------------------------


def test_silence_is_suspected_after_5_s_and_ended_in_time_for_a_new_attempt_within_15_s():
    """With pongs, that is: someone is there and says nothing."""
    it = machine()
    ping, wake = it.timer(5 * SECOND)
    assert (ping, it.state) == (Ping(), State.SUSPECT)
    it.pong()
    wake = wake_of(it.timer(wake.mono))
    assert wake == 13_500 * MILLISECOND
    assert it.timer(wake) == (Drop(answers=True),)
    assert it.state is State.DEAD
    lost, rest = it.closed("close", wake)
    assert lost == Lost("stall")  # we know better than the socket why it ended
    assert rest.mono <= 15 * SECOND - SECOND // 2  # what the goodbye may take


def test_a_ping_without_answer_ends_it_sooner():
    """Half-open: the other end is gone and no packet will say so."""
    it = machine()
    wake = wake_of(it.timer(5 * SECOND))
    assert it.timer(wake) == (Drop(answers=False),)
    assert wake == 8 * SECOND


def test_frames_keep_it_alive_and_clear_a_suspicion():
    it = machine()
    it.frame(4 * SECOND)
    assert it.timer(5 * SECOND) == (WakeAt(9 * SECOND),)
    assert it.timer(9 * SECOND)[0] == Ping()
    it.frame(9 * SECOND + 1)
    assert it.state is State.OPEN
    assert it.timer(12 * SECOND) == (WakeAt(14 * SECOND + 1),)
    assert it.timer(14 * SECOND + 1)[0] == Ping()  # the pong of another suspicion counts for nothing
    assert it.timer(17 * SECOND + 1) == (Drop(answers=False),)


def test_unarmed_it_bears_any_silence_and_arming_counts_from_then():
    """A quiet pre-open is no stall; the session's start grants the full five seconds."""
    it = machine(armed=False)
    now = 0
    for _ in range(1000):
        (wake,) = it.timer(now)
        now = wake.mono
    assert it.state is State.OPEN
    it.arm(True, now - SECOND)
    assert it.timer(now) == (WakeAt(now + 4 * SECOND),)
    it.timer(now + 4 * SECOND)
    assert it.state is State.SUSPECT
    it.arm(False, now + 5 * SECOND)
    assert it.state is State.OPEN


# ---- rests -------------------------------------------------------------------------------------------


def rests(it, status, count, mono=0):
    """The lengths of `count` rests in a row, and the time after them."""
    lengths = []
    for _ in range(count):
        wake = wake_of(it.failed(status, mono))
        lengths.append(wake - mono)
        mono = wake
        it.timer(mono)
    return lengths, mono


def test_rests_double_to_a_ceiling_and_never_give_up():
    """Four seconds at most, so that the feed is back within five of its server; 403 and 429 slower."""
    lengths, _ = rests(machine(State.AUTHORIZING), None, 1000)
    assert lengths[:4] == [500 * MILLISECOND, SECOND, 2 * SECOND, 4 * SECOND]
    assert set(lengths[4:]) == {4 * SECOND}
    lengths, _ = rests(machine(State.AUTHORIZING), 403, 6)
    assert lengths == [length * SECOND for length in (5, 10, 20, 30, 30, 30)]
    lengths, _ = rests(machine(State.AUTHORIZING), 401, 6)
    assert set(lengths) == {30 * SECOND}


@settings(deadline=None)
@given(st.integers(0, 2**32))
def test_jitter_takes_off_up_to_half_and_a_seed_repeats_it(seed):
    lengths, _ = rests(machine(State.AUTHORIZING, jitter=random.Random(seed).random), None, 10)
    again, _ = rests(machine(State.AUTHORIZING, jitter=random.Random(seed).random), None, 10)
    plain, _ = rests(machine(State.AUTHORIZING), None, 10)
    assert lengths == again
    assert all(whole / 2 <= length <= whole for length, whole in zip(lengths, plain, strict=True))


def test_a_good_frame_of_a_proven_connection_starts_the_count_anew():
    """…and one in the first two seconds does not: two bots evicting each other must not storm the broker."""
    it = machine(State.AUTHORIZING)
    _, mono = rests(it, None, 5)
    it.authorized("wss://again")
    it.opened(mono)
    it.frame(mono + SECOND)
    assert wake_of(it.closed("close", mono + SECOND)) == mono + 5 * SECOND
    it.timer(mono + 5 * SECOND)
    it.authorized("wss://again")
    it.opened(mono + 5 * SECOND)
    it.frame(mono + 8 * SECOND)
    assert wake_of(it.closed("close", mono + 8 * SECOND)) == mono + 8 * SECOND + 500 * MILLISECOND


def test_a_loss_is_told_once_an_outage_and_again_when_it_comes_to_need_a_human():
    it = machine()
    said, mono = [], 0
    for action in it.closed("close", mono):
        said += [action.reason] if isinstance(action, Lost) else []
    for status in (None, 500, 401, 401, 403, None, None):
        mono += 60 * SECOND
        it.timer(mono)
        said += [action.reason for action in it.failed(status, mono) if isinstance(action, Lost)]
    assert said == ["close", "auth", "error"]
    assert it.lost_total == {"stall": 0, "close": 1, "auth": 1, "error": 1}


# ---- promises under arbitrary input ------------------------------------------------------------------


class AnyWorld(RuleBasedStateMachine):
    """The driver honest, the world arbitrary: late, early, repeated and impossible inputs in any order."""

    @initialize(seed=st.integers(0, 1000))
    def begin(self, seed):
        self.it = Reconnect(random.Random(seed).random)
        self.mono = 0
        self.asked = False  # an address was asked for and not yet given
        self.addresses = 0
        self.dialled = set()
        self.dialling = False
        self.socket = False
        self.wake = None
        self.perform(self.it.start())

    def busy(self):
        return self.asked or self.dialling or self.socket

    def perform(self, actions):
        for action in actions:
            match action:
                case Authorize():
                    assert not self.busy(), "two attempts at once"
                    self.asked, self.wake = True, None
                case Dial(uri):
                    assert not self.busy(), "two dials at once"
                    assert uri not in self.dialled, "an address used twice"
                    assert uri == f"wss://{self.addresses}", "a dial without a fresh authorize"
                    self.dialled.add(uri)
                    self.dialling = True
                case Subscribe() | Ping() | Drop():
                    assert self.socket, f"{action} without a socket"
                case Lost():
                    assert not self.socket
                case WakeAt(mono):
                    assert mono >= self.mono
                    self.wake = mono

    @rule()
    def an_address_comes(self):
        if self.asked:
            self.asked = False
            self.addresses += 1
        self.perform(self.it.authorized(f"wss://{self.addresses}"))

    @rule(status=st.sampled_from([None, 401, 403, 429, 500]))
    def an_attempt_fails(self, status):
        self.asked = self.dialling = False
        self.perform(self.it.failed(status, self.mono))

    @rule()
    def the_handshake_is_done(self):
        if self.dialling:
            self.dialling, self.socket = False, True
        self.perform(self.it.opened(self.mono))

    @rule(reason=st.sampled_from(["close", "stall", "error"]))
    def the_socket_ends(self, reason):
        self.socket = False
        self.perform(self.it.closed(reason, self.mono))

    @rule()
    def a_frame(self):
        self.it.frame(self.mono)

    @rule()
    def a_pong(self):
        self.it.pong()

    @rule()
    def nonsense_comes(self):
        self.perform(self.it.condemned("error"))

    @rule(on=st.booleans())
    def the_session_turns(self, on):
        self.it.arm(on, self.mono)

    @rule(step=st.integers(0, 40 * SECOND))
    def time_passes(self, step):
        self.mono += step
        self.perform(self.it.timer(self.mono))

    @rule()
    def the_wake_comes(self):
        if self.wake is not None:
            self.mono = max(self.mono, self.wake)
            self.perform(self.it.timer(self.mono))

    @invariant()
    def something_is_always_pending(self):
        assert self.busy() or self.wake is not None, self.it.state

    @invariant()
    def a_rest_is_never_long(self):
        if not self.busy():
            assert self.wake <= self.mono + LIMITS.auth_rest

    @invariant()
    def an_open_socket_is_watched(self):
        if self.socket and self.it.state in (State.OPEN, State.SUSPECT):
            assert self.wake is not None


AnyWorld.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAnyWorld = AnyWorld.TestCase
