"""Commands of ``python -m engine``."""
