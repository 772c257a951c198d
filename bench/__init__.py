"""Benchmarks: each file answers one question, checks its answer first, and prints percentiles."""
