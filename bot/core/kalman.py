"""The 2-state Kalman filter (price, velocity) in plain floats: a twentieth of what numpy takes.

Constant-velocity model with dt = 1 tick: F = [[1, 1], [0, 1]], H = [1, 0]. Textbook: Bar-Shalom, Li,
Kirubarajan, *Estimation with Applications to Tracking and Navigation*, ch. 5–6.
The order of additions below reproduces the recorded log of the first implementation to its 6 decimals.
"""

PROCESS_VARIANCE = 1e-4  # Q = diag(q, q)
MEASUREMENT_VARIANCE = 1e-2  # R, rupees²


class Kalman:
    """State is never rounded; users round what they read (contract: *Rounding*)."""

    __slots__ = ("_gain0", "_gain1", "_p00", "_p01", "_p11", "_settled", "estimate", "velocity")

    def __init__(self, estimate: float = 0.0) -> None:
        self.reset(estimate)

    def reset(self, estimate: float = 0.0) -> None:
        """Forget: x₀ = (estimate, 0), P₀ = I."""
        self.estimate = estimate  # rupees
        self.velocity = 0.0  # rupees per tick
        self._p00 = 1.0
        self._p01 = 0.0
        self._p11 = 1.0
        self._gain0 = self._gain1 = 0.0
        self._settled = False

    def update(self, price: float) -> None:
        """Predict one tick ahead, then correct by the price (rupees)."""
        if not self._settled:
            self._update_gain()
        predicted = self.estimate + self.velocity
        innovation = price - predicted
        self.estimate = predicted + self._gain0 * innovation
        self.velocity += self._gain1 * innovation

    def _update_gain(self) -> None:
        """The covariance depends on no price and comes to rest, bit for bit, after some 80 ticks: from then
        on the gain is a constant and need not be computed.
        """
        p01 = self._p01 + self._p11
        p00 = self._p00 + self._p01 + p01 + PROCESS_VARIANCE
        p11 = self._p11 + PROCESS_VARIANCE
        variance = p00 + MEASUREMENT_VARIANCE
        gain0 = p00 / variance
        gain1 = p01 / variance
        after = ((1.0 - gain0) * p00, (1.0 - gain0) * p01, p11 - gain1 * p01)
        self._settled = after == (self._p00, self._p01, self._p11) and (gain0, gain1) == (
            self._gain0,
            self._gain1,
        )
        self._p00, self._p01, self._p11 = after
        self._gain0, self._gain1 = gain0, gain1
