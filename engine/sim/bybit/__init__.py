"""Bybit v5: spot and linear perpetuals, as its clients see them."""
