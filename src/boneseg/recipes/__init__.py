"""Settings of a training, typed."""
