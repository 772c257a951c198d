"""Public prints in order: what is missing of them, and the candles that they make."""
