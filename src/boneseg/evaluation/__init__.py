"""Metrics, statistics and calibration."""
