"""General helpers: text, files, locks, processes and logs."""
