"""The only place where parts are chosen and joined, one function a mode."""
