"""Benchmarks of xlsm beside what a careful user would write today: ``python -m benchmarks``."""
