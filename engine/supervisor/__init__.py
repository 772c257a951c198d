"""Wiring, health, shutdown and systemd."""
