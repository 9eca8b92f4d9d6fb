"""The market and the exchange, simulated. Pure: time and randomness are arguments; nothing is read."""
