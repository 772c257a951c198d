"""Reads request parameters with the venue's own complaints, for REST and the WebSocket API."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal

from engine.sim.binance import errors

NUMBER = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")
_NUMBER_LEGAL = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
_INTEGER = re.compile(r"-?[0-9]{1,19}")

CONTROL = frozenset({"timestamp", "recvWindow", "signature", "apiKey", "returnRateLimits"})
"""Parameters of the envelope: read before an operation sees the request."""


class Params:
    """The parameters of one request, as texts.

    WebSocket API numbers arrive here as their JSON text, so both roads are judged alike.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def raw(self, name: str) -> str | None:
        """Return the text of ``name``, or None when it was not sent."""
        return self._values.get(name)

    def has(self, name: str) -> bool:
        """Tell whether ``name`` was sent with a value."""
        return bool(self.raw(name))

    def text(self, name: str, default: str | None = None) -> str | None:
        """Return the text of ``name``; sent but empty is −1105."""
        value = self.raw(name)
        if value is None:
            return default
        if value == "":
            raise errors.empty(name)
        return value

    def need(self, name: str) -> str:
        """Return the text of a mandatory parameter, else −1102."""
        value = self.raw(name)
        if not value:
            raise errors.missing(name)
        return value

    def decimal(self, name: str) -> Decimal | None:
        """Return a decimal parameter, None when absent; bad characters are −1100."""
        value = self.text(name)
        return None if value is None else to_decimal(name, value)

    def need_decimal(self, name: str) -> Decimal:
        """Return a mandatory decimal parameter."""
        return to_decimal(name, self.need(name))

    def integer(self, name: str, default: int | None = None) -> int | None:
        """Return an integer parameter; anything else than digits is −1100."""
        value = self.text(name)
        if value is None:
            return default
        if not _INTEGER.fullmatch(value):
            raise errors.illegal_characters(name, r"^[0-9]{1,20}$")
        return int(value)

    def limit(self, default: int, maximum: int) -> int:
        """Return ``limit``, clipped to ``maximum`` as spot does; below 1 is −1130."""
        value = self.integer("limit", default)
        assert value is not None
        if value < 1:
            raise errors.invalid_value("limit")
        return min(value, maximum)

    def flag(self, name: str, default: bool = False) -> bool:
        """Return a boolean parameter (``true``/``false`` in any case)."""
        value = self.text(name)
        if value is None:
            return default
        lowered = value.lower()
        if lowered not in ("true", "false"):
            raise errors.invalid_value(name)
        return lowered == "true"

    def choice(self, name: str, allowed: Iterable[str]) -> str | None:
        """Return an enumerated parameter, None when absent; unknown values are −1130."""
        value = self.text(name)
        if value is not None and value not in allowed:
            raise errors.invalid_value(name)
        return value

    def reject_unknown(self, accepted: frozenset[str]) -> None:
        """Raise −1104 when a parameter was sent that the operation does not know (strict mode)."""
        sent = [name for name in self._values if name not in CONTROL]
        read = sum(1 for name in sent if name in accepted)
        if read < len(sent):
            raise errors.unread(read, len(sent))


def to_decimal(name: str, value: str) -> Decimal:
    """Parse a venue decimal: digits with an optional fraction, no sign, no exponent."""
    if not NUMBER.fullmatch(value):
        raise errors.illegal_characters(name, _NUMBER_LEGAL)
    return Decimal(value)
