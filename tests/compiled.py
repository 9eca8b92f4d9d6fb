"""What tests of `make test-compiled` can't do: machine code calls itself, nothing can be put in its way."""

import os

import pytest

plants = pytest.mark.skipif(
    "COMPILED" in os.environ, reason="machine code calls itself: nothing can be planted"
)
