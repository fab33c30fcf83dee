"""Scores, their statistics, and calibration."""
