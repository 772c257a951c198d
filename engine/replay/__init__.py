"""Recorded frames through the same adapter, sync and book as live ones."""
