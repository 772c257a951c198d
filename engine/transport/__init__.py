"""The only sockets: WebSocket sessions, keep-alive HTTP sessions, back-off, budgets, busy polling."""
