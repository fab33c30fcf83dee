"""Access control and limits, applied before a route is called."""
