"""Training a network on films with masks."""
