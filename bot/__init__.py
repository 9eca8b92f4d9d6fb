"""A trading bot for Indian index options on Upstox. Start reading at docs/architecture.md."""

__version__ = "0.1.0"
