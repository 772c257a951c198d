"""OKX v5 on the wire: REST, public and private WebSocket, spot and linear perpetual swaps."""
