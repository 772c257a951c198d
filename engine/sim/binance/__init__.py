"""Binance as seen on the wire: spot and USDⓈ-M REST, market streams, WebSocket API and user data."""
