"""The classifier asked only where its answer can matter. Knows the window's layout and the entry rule."""

from typing import Final

from bot.core.forecast import Classifier, Window

_VELOCITY: Final = 9 * 3 + 1  # flat positions in a window of 10 × 3
_REL_DIFF: Final = 9 * 3 + 2


def lazy(classifier: Classifier) -> Classifier:
    """Ask the model only where the entry rule may hold: its other conditions stand in the window's last row
    (velocity < 0 ∧ rel_diff < 0, core/strategy.py). Elsewhere the answer is 0, which decides nothing.
    """

    def classify(window: Window) -> float:
        item = window.item
        if item(_VELOCITY) < 0.0 and item(_REL_DIFF) < 0.0:
            return classifier(window)
        return 0.0

    return classify
