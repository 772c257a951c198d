"""What the router measures: latency histograms by stage, and counters."""

from __future__ import annotations

from typing import Any

from engine.telemetry.histogram import Histogram, HistogramLike, summary

STAGES = (
    "decided_to_encoded",
    "encoded_to_written",
    "decided_to_written",
    "round_trip",
    "ack_to_updated",
    "written_to_venue",
    "written_to_first_fill",
)
"""Per action: until the request was encoded, until the socket had it, both; until the answer's first byte
had come; from the answer's last byte until the order was updated. The first three and the last are the
engine's own share. Of places also: until the venue's own stamp of the order (by the clock model: as exact as
that stamp, mostly a millisecond, and the model's interval), and until the first fill was heard of."""


class RouterStats:
    """Latency histograms (ns) by (transport, action, stage) and counters by name."""

    def __init__(self) -> None:
        self.histograms: dict[tuple[str, str, str], HistogramLike] = {}
        self.counts: dict[str, int] = {}

    def record(self, transport: str, action: str, stage: str, value_ns: int) -> None:
        """Record one latency."""
        key = (transport, action, stage)
        histogram = self.histograms.get(key)
        if histogram is None:
            histogram = self.histograms[key] = Histogram()
        histogram.record(value_ns)

    def count(self, name: str) -> None:
        """Add one to a counter."""
        self.counts[name] = self.counts.get(name, 0) + 1

    def view(self) -> dict[str, Any]:
        """Return everything for people and machines."""
        return {
            "counts": dict(self.counts),
            "latency_ns": {
                f"{transport}.{action}.{stage}": summary(histogram)
                for (transport, action, stage), histogram in self.histograms.items()
            },
        }
