"""One option's day, made up from a seed so that it looks like a real one (market.md §7).

A martingale: what happened says nothing about what comes, so nothing can be earned from it but luck; a
planted edge exists for tests only. Every file made of these ticks must carry `watermark`. This file knows no
order, no strategy and no clock; the seed and the session's times are arguments: the same ones, the same day.

The figures below are those of the recipe in market.md §7 unless a comment says otherwise.
"""

from collections.abc import Iterable, Iterator, Sequence
from math import cos, exp, log, pi, sqrt
from random import Random
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bot.core.units import SECOND, InstrumentKey, Nanos, Paise, Quantity

BPS: Final = 1e-4
SHOCK_SCALE_BPS: Final = 32.0  # of a fresh message; 37 in the recipe, less so that the 1-minute range is met
TAIL: Final = 5.0  # Student-t degrees of freedom
TAIL_CUT: Final = 5.0  # in standard deviations: uncut, some days' kurtosis leaves the range
MOVE_MAX_BPS: Final = 400.0  # a message, jumps included (largest real one: 517)
U_DEPTH: Final = 1.25  # volatility at the day's ends is 1 + this times the middle's
VOLATILITY_SIGMA: Final = 0.25  # of log volatility, an Ornstein-Uhlenbeck path
VOLATILITY_RHO: Final = 0.985
JUMP_PROBABILITY: Final = 2e-4
JUMP_BPS: Final = 200.0  # 250 in the recipe: with it every tenth day's kurtosis leaves the range
SPREAD_BPS: Final = 25.0
SPREAD_SIGMA: Final = 0.25
SPREAD_RHO: Final = 0.6
STALE: Final = 0.21  # messages in which nothing traded and no price moved
AT_ASK, AT_BID = 0.315, 0.27  # where a trade prints; the rest is inside the spread
SIDE_PERSISTENCE: Final = 0.19
SPACINGS: Final = ((0.30, 0.12), (0.342, 2.02), (1.0, 1.03))  # cumulative probability, seconds
PREOPEN: Final[Nanos] = 15 * 60 * SECOND  # messages come from 09:00 (market.md §3)
PREOPEN_SPACING_SECONDS: Final = 45.0
OPENING_GAP_BPS: Final = 400.0  # sd of the first price against yesterday's close; 24 % was seen once
START_PRICES: Final = (250_00, 480_00)
TOUCH_LOTS: Final = 2.5  # scale of the size at the touch: 3 lots on average, as on the recorded days
TRADE_LOTS: Final = 0.7  # of a trade: 1.3 lots on average, likewise


class MarketMove(NamedTuple):
    """One message: a trade (or none, when stale) and the touch after it. Before the open the touch is 0."""

    at: Nanos
    ltp: Paise
    ltq: Quantity
    ltt: Nanos  # of the last trade; a stale message repeats it
    bid: Paise
    ask: Paise
    bid_quantity: Quantity
    ask_quantity: Quantity
    volume: Quantity  # cumulative for the day


class Shock(NamedTuple):
    """A scripted slide (bps < 0) or rally, spread evenly over `seconds`."""

    at: Nanos
    bps: float
    seconds: float = 60.0


class SyntheticMarket:
    """Iterating gives the day's MarketMoves, the same each time; `at` strictly increases.

    From 15 minutes before `opens_at` (a few messages at yesterday's close, without quotes) to `closes_at`.
    `start_price` is the first price of the session; None draws it. `edge` > 0 makes the mid revert that share
    of its last return: for tests, and watermarked.
    """

    synthetic: Final = True

    def __init__(
        self,
        key: InstrumentKey,
        *,
        tick: Paise,
        lot: Quantity,
        seed: int,
        opens_at: Nanos,
        closes_at: Nanos,
        start_price: Paise | None = None,
        edge: float = 0.0,
        shocks: Sequence[Shock] = (),
    ) -> None:
        assert opens_at < closes_at
        assert 0 <= edge < 1
        assert tick > 0
        assert lot > 0
        self.key, self.tick, self.lot, self.seed = key, tick, lot, seed
        self.opens_at, self.closes_at = opens_at, closes_at
        self.start_price, self.edge, self.shocks = start_price, edge, tuple(shocks)

    @property
    def watermark(self) -> dict[str, object]:
        """What every file made of these ticks says about itself."""
        return {
            "synthetic": True,
            "instrument": self.key,
            "seed": self.seed,
            "edge": self.edge,
            "shocks": [shock._asdict() for shock in self.shocks],
        }

    def __iter__(self) -> Iterator[MarketMove]:
        rng = Random(f"{self.seed}/{self.key}")  # noqa: S311  a simulation, not a secret
        start = self.start_price if self.start_price is not None else rng.uniform(*START_PRICES)
        close = max(round(start / exp(rng.gauss(0, OPENING_GAP_BPS * BPS)) / self.tick), 4) * self.tick
        at = self.opens_at - PREOPEN + rng.randrange(SECOND)
        while at < self.opens_at:
            yield MarketMove(at, close, 0, self.opens_at - PREOPEN, 0, 0, 0, 0, 0)
            at += round(PREOPEN_SPACING_SECONDS * (0.5 + rng.random()) * SECOND)
        yield from self._session(rng, start)

    def _session(self, rng: Random, start: float) -> Iterator[MarketMove]:
        random, tick, lot = rng.random, self.tick, self.lot
        mid = start / tick  # everything in ticks from here
        mids = _mids(rng, self.opens_at, self.closes_at, self.edge, self.shocks)
        log_spread, side, volume = 0.0, random(), 0
        ltp, ltq, ltt, bid, ask = 0, 0, 0, 0, 0
        for at, change in mids:
            if change != 0.0 or ltp == 0:
                mid = max(mid * (1 + change), 4.0)  # an option is never free
                log_spread = SPREAD_RHO * log_spread + _SPREAD_STEP * rng.gauss(0, 1)
                width = max(round(mid * SPREAD_BPS * BPS * exp(log_spread)), 1)
                bid = max(round(mid - width / 2), 1)
                ask = bid + width
                if random() >= SIDE_PERSISTENCE:
                    side = random()
                ltp = _print(side, bid, ask, random())
                ltq = lot * (1 + int(-TRADE_LOTS * log(1 - random())))
                ltt = at
                volume += ltq
            yield MarketMove(
                at,
                ltp * tick,
                ltq,
                ltt,
                bid * tick,
                ask * tick,
                lot * (1 + int(-TOUCH_LOTS * log(1 - random()))),
                lot * (1 + int(-TOUCH_LOTS * log(1 - random()))),
                volume,
            )


_SPREAD_STEP: Final = SPREAD_SIGMA * sqrt(1 - SPREAD_RHO**2)
_VOLATILITY_STEP: Final = VOLATILITY_SIGMA * sqrt(1 - VOLATILITY_RHO**2)
_T_SCALE: Final = sqrt((TAIL - 2) / TAIL)  # makes the t's variance 1
_U_MIDDLE: Final = 1 / sqrt(1 + 2 * U_DEPTH / 3 + U_DEPTH**2 / 5)  # makes the U's mean square 1


def _print(side: float, bid: int, ask: int, where: float) -> int:
    """Where a trade prints, in ticks. A spread of one tick has no inside: the nearer half decides."""
    if side < AT_ASK:
        return ask
    if side < AT_ASK + AT_BID:
        return bid
    inside = ask - bid - 1
    if inside <= 0:
        return ask if where < 0.5 else bid
    return bid + 1 + int(where * inside)


def _mids(
    rng: Random, opens_at: Nanos, closes_at: Nanos, edge: float, shocks: Sequence[Shock]
) -> Iterator[tuple[Nanos, float]]:
    """Message times and the mid's simple return at each (so it is a martingale); 0.0 in a stale message."""
    random, gauss = rng.random, rng.gauss
    at, previous, volatility, last = opens_at, opens_at, gauss(0, VOLATILITY_SIGMA), 0.0
    span = closes_at - opens_at
    while True:
        draw = random()
        spacing = next(seconds for limit, seconds in SPACINGS if draw < limit)
        at += round(spacing * (0.95 + 0.1 * random()) * SECOND)
        if at >= closes_at:
            return
        volatility = VOLATILITY_RHO * volatility + _VOLATILITY_STEP * gauss(0, 1)
        push = sum(_pushed(shock, previous, at) for shock in shocks)
        previous = at
        if random() < STALE and push == 0.0:
            yield at, 0.0
            continue
        # Student-t by Bailey's polar method: two uniforms, no rejection. 1 - random() is never 0.
        t = sqrt(TAIL * ((1 - random()) ** (-2 / TAIL) - 1)) * cos(2 * pi * random()) * _T_SCALE
        t = min(max(t, -TAIL_CUT), TAIL_CUT)
        day = 2 * (at - opens_at) / span - 1
        move = t * SHOCK_SCALE_BPS * BPS * _U_MIDDLE * (1 + U_DEPTH * day * day) * exp(volatility)
        if random() < JUMP_PROBABILITY:
            move += gauss(0, JUMP_BPS * BPS)
        move = min(max(move, -MOVE_MAX_BPS * BPS), MOVE_MAX_BPS * BPS)
        last = move - edge * last
        yield at, last + push


def _pushed(shock: Shock, since: Nanos, until: Nanos) -> float:
    """The part of a shock that falls into (since, until], as a simple return."""
    length = round(shock.seconds * SECOND)
    overlap = min(until, shock.at + length) - max(since, shock.at)
    return (1 + shock.bps * BPS) ** (overlap / length) - 1 if overlap > 0 else 0.0


def statistics(moves: Iterable[MarketMove]) -> dict[str, float]:
    """The figures of market.md §7, of the session's moves (those with a touch).

    Spacings in seconds, returns in bps a message, shares 0 to 1, spreads in bps and rupees. At least ten
    minutes of messages are needed.
    """
    rows = [move for move in moves if move.bid > 0]
    at = np.array([row.at for row in rows], dtype=np.int64)
    ltp, bid, ask = (np.array([row[n] for row in rows], dtype=np.float64) for n in (1, 4, 5))
    spacing = np.diff(at) / SECOND
    second = at // SECOND
    returns = np.diff(np.log(ltp)) / BPS
    mid = (bid + ask) / 2
    spread = ask - bid
    minute = at // (60 * SECOND)
    last_of_minute = np.append(np.nonzero(np.diff(minute))[0], len(rows) - 1)
    minutes = np.diff(np.log(ltp[last_of_minute])) / BPS
    thirty = 30
    edges = np.concatenate([minutes[:thirty], minutes[-thirty:]])
    middle = minutes[len(minutes) // 3 : 2 * len(minutes) // 3]
    values = {
        "messages": len(rows),
        "spacing_mean": spacing.mean(),
        "spacing_p50": np.quantile(spacing, 0.5),
        "spacing_p90": np.quantile(spacing, 0.9),
        "spacing_p99": np.quantile(spacing, 0.99),
        "same_second": np.mean(np.diff(second) == 0),
        "ltp_unchanged": np.mean(returns == 0),
        "rms_bps": _rms(returns),
        "move_p99_bps": np.quantile(np.abs(returns), 0.99),
        "move_p999_bps": np.quantile(np.abs(returns), 0.999),
        "move_max_bps": np.abs(returns).max(),
        "excess_kurtosis": np.mean((returns - returns.mean()) ** 4) / returns.var() ** 2 - 3,
        "ltp_autocorrelation_1": _autocorrelation(returns, 1),
        "ltp_autocorrelation_2": _autocorrelation(returns, 2),
        "mid_autocorrelation_1": _autocorrelation(np.diff(np.log(mid)), 1),
        "spread_bps_median": np.median(spread / mid) / BPS,
        "spread_rupees_p5": np.quantile(spread, 0.05) / 100,
        "spread_rupees_p50": np.quantile(spread, 0.5) / 100,
        "spread_rupees_p95": np.quantile(spread, 0.95) / 100,
        "at_ask": np.mean(ltp == ask),
        "at_bid": np.mean(ltp == bid),
        "elsewhere": np.mean((ltp != ask) & (ltp != bid)),
        "minute_volatility_bps": _rms(minutes),
        "u_shape": _rms(edges) / _rms(middle),
    }
    return {name: float(value) for name, value in values.items()}


def _rms(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _autocorrelation(values: NDArray[np.float64], lag: int) -> float:
    centred = values - values.mean()
    return float(np.sum(centred[lag:] * centred[:-lag]) / np.sum(centred**2))
