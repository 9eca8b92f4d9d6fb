"""Turning the crank: ports, one turn, the inbox, the clocks, recovery. The only asyncio below the adapters."""
