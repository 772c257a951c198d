"""Cross-exchange trading engine core; start reading at engine/README.md."""

__version__ = "0.1.0"
