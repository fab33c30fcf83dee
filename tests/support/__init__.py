"""What tests share, the fuzzing harness and benchmarks included."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The repository."""
