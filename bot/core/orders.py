"""Everything that moves an order from one state to another is here, and nothing else is.

An order's life, as far as we can know it:

* ASKED: we decided and (are about to) send. Money may move from this moment on.
* UNKNOWN: the call ended and we cannot tell whether the broker has the order: a timeout, a 5xx, a torn
  answer. It counts as exposure until the broker's book says otherwise. It is never sent again.
* LIVE: the broker has it. Part fills are numbers, not states (upstox §9: there is no word for them).
* CANCELLING: we asked to cancel. Only a final word ends it: a fill may overtake the cancel.
* FILLED, CANCELLED, REJECTED: the broker's final words. They stick: stream updates arrive in any order,
  and an older word after a final one is stale, not news.
* REFUSED: the call itself was refused with a definite no, so no order should exist.
* LOST: the book was asked often enough and does not know the tag, whatever a call had answered.

REFUSED and LOST are our conclusions, not the broker's, so a later word about the order revives it.

Fills are cumulative and max-merged (account.py), so duplicates and reordering cannot change a position.
An illegal move of ours is a bug and crashes; a strange word of theirs changes nothing and asks for a
snapshot. This file does not know about HTTP, Upstox's addresses, or the time of day.
"""

from enum import StrEnum, auto


class State(StrEnum):
    ASKED = auto()
    UNKNOWN = auto()
    LIVE = auto()
    CANCELLING = auto()
    FILLED = auto()
    CANCELLED = auto()
    REJECTED = auto()
    REFUSED = auto()
    LOST = auto()


class Word(StrEnum):
    """What can be said about an order. The first two groups are the broker's, the last is ours."""

    ACCEPTED = auto()  # answers to a call
    REFUSAL = auto()
    DOUBT = auto()
    WORKING = auto()  # the stream or the book
    COMPLETE = auto()
    CANCELLED = auto()
    REJECTED = auto()
    CANCEL_FAILED = auto()
    CANCEL_ASKED = auto()  # ours
    GIVEN_UP = auto()


FINAL = frozenset({State.FILLED, State.CANCELLED, State.REJECTED, State.REFUSED, State.LOST})
_OURS = frozenset({Word.CANCEL_ASKED, Word.GIVEN_UP})

# The broker's status strings (upstox §9) as words. A string not here is strange: see `word_of`.
_STATUS: dict[str, Word] = {
    "put order req received": Word.WORKING,
    "validation pending": Word.WORKING,
    "open pending": Word.WORKING,
    "open": Word.WORKING,
    "trigger pending": Word.WORKING,
    "modify validation pending": Word.WORKING,
    "modify pending": Word.WORKING,
    "modified": Word.WORKING,
    "not modified": Word.WORKING,
    "cancel pending": Word.WORKING,
    "not cancelled": Word.CANCEL_FAILED,
    "after market order req received": Word.WORKING,
    "modify after market order req received": Word.WORKING,
    "complete": Word.COMPLETE,
    "rejected": Word.REJECTED,
    "cancelled": Word.CANCELLED,
    "cancelled after market order": Word.CANCELLED,
}

_ENDS = {Word.COMPLETE: State.FILLED, Word.CANCELLED: State.CANCELLED, Word.REJECTED: State.REJECTED}

_TABLE: dict[State, dict[Word, State]] = {
    State.ASKED: _ENDS
    | {
        Word.ACCEPTED: State.LIVE,
        Word.WORKING: State.LIVE,
        Word.CANCEL_FAILED: State.LIVE,
        Word.REFUSAL: State.REFUSED,
        Word.DOUBT: State.UNKNOWN,
    },
    State.UNKNOWN: _ENDS
    | {
        Word.ACCEPTED: State.LIVE,
        Word.WORKING: State.LIVE,
        Word.CANCEL_FAILED: State.LIVE,
        Word.DOUBT: State.UNKNOWN,
        Word.GIVEN_UP: State.LOST,
    },
    State.LIVE: _ENDS
    | {
        Word.ACCEPTED: State.LIVE,  # the stream was faster than the answer
        Word.WORKING: State.LIVE,
        Word.CANCEL_FAILED: State.LIVE,
        Word.DOUBT: State.LIVE,  # the answer was lost, but the stream had told us
        Word.CANCEL_ASKED: State.CANCELLING,
        Word.GIVEN_UP: State.LOST,  # taken, they said, and yet it never showed in the book
    },
    State.CANCELLING: _ENDS
    | {
        Word.ACCEPTED: State.CANCELLING,
        Word.WORKING: State.CANCELLING,
        Word.DOUBT: State.CANCELLING,
        Word.CANCEL_FAILED: State.LIVE,
        Word.CANCEL_ASKED: State.CANCELLING,  # asking again is harmless
        Word.GIVEN_UP: State.LOST,
    },
    # Final words stick; what comes late is stale. A fill after a cancel is the exchange telling us second
    # what it did first: not an error.
    State.FILLED: dict.fromkeys(Word, State.FILLED),
    State.CANCELLED: dict.fromkeys(Word, State.CANCELLED) | {Word.COMPLETE: State.FILLED},
    State.REJECTED: dict.fromkeys(Word, State.REJECTED) | {Word.COMPLETE: State.FILLED},
    # Our own conclusions give way to any word of the broker's.
    State.REFUSED: _ENDS | {Word.REFUSAL: State.REFUSED, Word.WORKING: State.LIVE, Word.ACCEPTED: State.LIVE},
    State.LOST: _ENDS
    | {
        Word.REFUSAL: State.REFUSED,
        Word.WORKING: State.LIVE,
        Word.ACCEPTED: State.LIVE,
        Word.DOUBT: State.LOST,
    },
}
for _final in (State.FILLED, State.CANCELLED, State.REJECTED):
    for _ours in _OURS:
        del _TABLE[_final][_ours]  # cancelling what is over would be our mistake


def word_of(status: str) -> Word | None:
    """The broker's status string as a word; None when it is none we know."""
    return _STATUS.get(status)


def advance(state: State, word: Word) -> State | None:
    """The state after `word`; None when the broker said something that makes no sense here (an anomaly:
    the state stays, ask for a snapshot). Raises AssertionError when the illegal move is ours.
    """
    after = _TABLE[state].get(word)
    assert after is not None or word not in _OURS, f"illegal move of ours: {word} in {state}"
    return after
