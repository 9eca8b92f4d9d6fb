"""Being watched: metrics, logs, and the small server that shows them. Nothing here ever answers the core."""
