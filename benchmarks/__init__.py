"""Benchmarks: whole processes side by side in one run, figures as ratios. Never part of the tests."""
