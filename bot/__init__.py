"""A trading bot for Indian index options on Upstox. Start reading at docs/architecture.md."""
