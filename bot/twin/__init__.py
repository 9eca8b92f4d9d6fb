"""Upstox on the wire, on loopback: REST and WebSockets over the simulated exchange and a market."""
