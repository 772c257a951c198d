"""Binance spot and USD-M; read NOTES.md first, then ``adapter``."""
