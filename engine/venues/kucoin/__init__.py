"""KuCoin: spot (HF accounts) and USDT-margined futures; NOTES.md says how the venue differs."""
