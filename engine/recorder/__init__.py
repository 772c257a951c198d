"""Batches of market data to Parquet; the only pyarrow."""
