"""Bybit v5: spot and linear perpetuals of a unified account. Read NOTES.md first."""
