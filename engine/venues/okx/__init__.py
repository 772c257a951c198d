"""OKX v5: spot and linear perpetual swaps. Read NOTES.md first."""
