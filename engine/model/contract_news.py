"""What separate messages said of one perpetual last, put together."""

from __future__ import annotations

from decimal import Decimal

from engine.model.instrument import Instrument
from engine.model.market import FundingUpdate


class ContractNews:
    """Mark, index, funding and open interest of one contract, for venues that tell them one by one.

    Attributes:
        Those of :class:`FundingUpdate`, each as it was told last; ``None`` until it was told.
    """

    __slots__ = (
        "funding_rate", "index_price", "instrument", "interval_ns", "last_settled_rate", "mark_price",
        "next_funding_utc_ns", "open_interest", "predicted_rate", "rate_utc_ns",
    )  # fmt: skip

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.mark_price: Decimal | None = None
        self.index_price: Decimal | None = None
        self.funding_rate: Decimal | None = None
        self.next_funding_utc_ns: int | None = None
        self.open_interest: Decimal | None = None
        self.rate_utc_ns: int | None = None
        self.predicted_rate: Decimal | None = None
        self.interval_ns: int | None = None
        self.last_settled_rate: Decimal | None = None

    def update(self, venue_utc_ns: int, utc_ns: int) -> tuple[FundingUpdate, ...]:
        """Return all that is known, or nothing before the first mark price."""
        if self.mark_price is None:
            return ()
        return (
            FundingUpdate(
                self.instrument.universal,
                self.mark_price,
                self.index_price,
                self.funding_rate,
                self.next_funding_utc_ns,
                venue_utc_ns,
                utc_ns,
                self.open_interest,
                self.rate_utc_ns,
                self.predicted_rate,
                self.interval_ns,
                self.last_settled_rate,
            ),
        )
