"""Does the model still see the kind of market that taught it? If not, it is demoted: entries off, exits on.

A market is judged by its wildness: the rms of rel_diff, in basis points, over ten minutes of looks a second
apart. It has no scale (a dear option and a cheap one look alike, the raw price never counts), and it tells
kinds of instruments apart where a probability can't: an index stirs far less than any option. What the
training saw stands in the model's passport (storage/model.py).
"""

from math import sqrt

from bot.core.desk import Desk
from bot.core.units import SECOND, Nanos

LOOKS = 600
SLACK = 2.0  # another market: twice as wild as the wildest stretch that taught, or half as the calmest
JUMP = 4.0  # of the wildest: no look counts for more, so that one jump of a price is not another market
_STALE: Nanos = 5 * SECOND  # a forecast this old is no look at the market


class RangeWatch:
    """All instruments of a day. `taught_bps`: wildness of the calmest and the wildest stretch of training;
    None: not known, and nothing is ever outside.
    """

    def __init__(self, taught_bps: tuple[float, float] | None) -> None:
        self._taught = taught_bps
        self._squares: dict[str, list[float]] = {}

    def beat(self, at: Nanos, desks: dict[str, Desk]) -> bool:
        """Once a second: is some market found to be of another kind?"""
        if self._taught is None:
            return False
        calmest, wildest = self._taught
        found = False
        for key, desk in desks.items():
            forecast = desk.forecast
            if forecast is None or forecast.probability is None or at - desk.at > _STALE:
                continue
            squares = self._squares.setdefault(key, [])
            squares.append(min(abs(forecast.rel_diff) * 1e4, JUMP * wildest) ** 2)
            if len(squares) == LOOKS:
                rms_bps = sqrt(sum(squares) / LOOKS)
                found = found or not calmest / SLACK <= rms_bps <= wildest * SLACK
                squares.clear()
        return found
