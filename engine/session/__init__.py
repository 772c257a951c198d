"""The life of one connection: market data, account, order entry."""
