"""Text, files, locks and processes: nothing of the field."""
