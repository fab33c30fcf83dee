"""Run from the root of the repository, as `python -m benchmarks.speed.inference`."""
