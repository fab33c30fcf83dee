"""Tests: `unit/` mirrors the packages of src/boneseg, `integration/` runs several together."""
