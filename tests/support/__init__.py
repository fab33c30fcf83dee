"""Shared by the tests, the fuzzing harness and the benchmarks."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The repository."""
