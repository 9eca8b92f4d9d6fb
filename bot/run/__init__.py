"""Turning the crank: ports, one turn, the inbox, the outbox, the clocks, recovery."""
