"""Reading dashboards as data: their expressions, as they stand and as Prometheus can run them."""

import json
from collections.abc import Iterator
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder

VARIABLES = {"$__rate_interval": "1m", "$__interval": "15s", "$__range": "3m"}


def plain(board: Any) -> dict[str, Any]:
    """A dashboard as the JSON that Grafana gets."""
    loaded: dict[str, Any] = json.loads(JSONEncoder().encode(board))
    return loaded


def expressions(board: Any) -> Iterator[str]:
    """Of all panels."""
    for panel in plain(board)["panels"]:
        for target in panel["targets"]:
            yield target["expr"]


def executable(expr: str) -> str:
    """With Grafana's own variables filled in."""
    for name, value in VARIABLES.items():
        expr = expr.replace(name, value)
    return expr
