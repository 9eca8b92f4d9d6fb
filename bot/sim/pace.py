"""How long a call to the broker takes: the same words at the same count, the same time.

Shared by the twin (over sockets) and the backtest (in process), so that one seed gives one day in both.
It knows no clock and no order.
"""

from collections import Counter
from random import Random
from typing import Final

# (low, high) seconds of the way there and of the way back; of an order call 20 to 80 ms in all.
ORDER_SECONDS: Final = ((0.005, 0.020), (0.015, 0.060))
READ_SECONDS: Final = ((0.003, 0.012), (0.007, 0.028))


class Pace:
    """Drawn by what a call says and not by when it is noticed: two calls of one instant come over two
    connections in no certain order.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._calls: Counter[bytes] = Counter()  # how often the very same thing was asked

    def __call__(self, words: bytes) -> Random:
        """The randomness of this call."""
        self._calls[words] += 1
        return Random(b"%d/%d/%s" % (self._seed, self._calls[words], words))  # noqa: S311  a simulation


def exchange_randomness(seed: int) -> Random:
    """Of what happens at the exchange (acknowledgements, verdicts)."""
    return Random(f"{seed}/exchange")  # noqa: S311
