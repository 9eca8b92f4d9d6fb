"""No wounded frame and no wounded answer raises what its decoder does not announce."""

from tests.fuzz import fuzz_answers, fuzz_frames


def test_ten_thousand_wounded_frames():
    seen = fuzz_frames(10_000, seed=1)
    assert seen["Tick"] > 100


def test_ten_thousand_wounded_answers():
    seen = fuzz_answers(10_000, seed=1)
    for name in ("order_book", "positions", "trades", "stream"):
        assert seen[f"{name} refused"] > 100
    assert seen["order_book taken"] > 100
    assert seen["stream taken"] > 100
