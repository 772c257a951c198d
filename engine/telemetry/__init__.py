"""Time, counters, histograms, event names and logging."""
