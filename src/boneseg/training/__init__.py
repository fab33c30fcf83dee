"""Training of a network on films with masks."""
