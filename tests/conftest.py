"""Shared makers. Instants of tests stand on one pinned day; nothing here depends on today's date."""

import os
from collections import Counter
from datetime import date, time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from bot.core import engine
from bot.core.rules import Contract
from bot.core.session import Session
from bot.core.units import SECOND, ist_nanos

# How long an example takes is a machine's business, not a property. `make test` looks at the same examples
# every time, so that it never fails by chance; `make soak` looks at others, and at many.
_SLOW_IS_FINE = [HealthCheck.too_slow]
settings.register_profile("house", deadline=None, derandomize=True, suppress_health_check=_SLOW_IS_FINE)
settings.register_profile("soak", deadline=None, max_examples=2_000, suppress_health_check=_SLOW_IS_FINE)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "house"))

DAY = date(2026, 9, 16)
KEY = "NSE_FO|45450"
RECORDED = Path(__file__).parents[2] / "shared" / "data"


if "COMPILED" in os.environ:  # `make test-compiled`: the same tests, on the tick path as machine code
    assert engine.__file__.endswith(".so"), engine.__file__


def at(clock: str, *, nanos: int = 0) -> int:
    """`at("09:15:30")` on the pinned day, as nanoseconds since the epoch."""
    return ist_nanos(DAY, time.fromisoformat(clock)) + nanos


def seconds(number: float) -> int:
    return round(number * SECOND)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tests of components that are not here skip, and say so once more at the very end, with their number."""
    skipped = [
        report for report in terminalreporter.stats.get("skipped", []) if "component" in report.keywords
    ]
    if skipped:
        reasons = Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in skipped)
        terminalreporter.section(f"{len(skipped)} component tests did NOT run", sep="!", yellow=True)
        for reason, number in reasons.most_common():
            terminalreporter.line(f"{number:4} × {reason}")


@pytest.fixture
def contract() -> Contract:
    return Contract(
        key=KEY, quantity=75, lot=75, tick=5, freeze_quantity=1800, exchange="NSE", name="NIFTY 25000 CE"
    )


@pytest.fixture
def session() -> Session:
    return Session.on(DAY)


@pytest.fixture
def recorded() -> Path:
    """Real recorded data beside the checkout; skips loudly where it is not."""
    if not RECORDED.is_dir():
        pytest.skip("real recorded data is not beside this checkout (../shared/data)")
    return RECORDED
