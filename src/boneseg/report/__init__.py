"""Reports of runs, cross-validations and comparisons: one self-contained HTML page each."""
