"""Films with masks: opening, pairing, splitting and auditing a dataset."""
