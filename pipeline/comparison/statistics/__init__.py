"""Scores of runs over the same cases: estimates, paired differences, tests, calibration."""
