"""The command line: `bot --help`. The commands stand in cli/."""

import sys

from bot.cli import trading

# isort: split
from bot.cli import account, calendar, operator, sweep, workbench
from bot.cli.base import app

# Importing the rooms makes their commands; `--help` lists them in this order.
__all__ = ["account", "app", "calendar", "main", "operator", "sweep", "trading", "workbench"]


def main() -> None:
    """Entry point of the `bot` command."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
