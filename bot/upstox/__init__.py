"""The broker's dialect. `wire_*` files are pure: bytes ↔ values; machines are tables; the rest is thin IO."""
