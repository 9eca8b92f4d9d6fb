"""Thinking: events in, commands out. No IO, no clock, no randomness, no logging, no async (a test checks)."""
