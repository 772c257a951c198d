"""BitMart spot and USDT-margined futures (v2): see ``NOTES.md``."""
