"""Client order ids that are never used twice: instance, boot epoch, counter.

Letters and digits only, at most 19 characters: inside the tightest rule of all five venues (32). The boot
epoch is a number that grows with every start and is kept on disk, so a restart cannot repeat an id.
"""

from __future__ import annotations

from engine.model.errors import UsageError

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
EPOCH_DIGITS = 6
COUNTER_DIGITS = 9
_COUNTER_BASE = 10**COUNTER_DIGITS
"""Its text without the leading one is a counter padded with zeros, at half the cost of a format."""


def base36(value: int, width: int) -> str:
    """Return ``value`` in base 36, padded to ``width``; raises UsageError when it does not fit."""
    if not 0 <= value < 36**width:
        raise UsageError(f"{value} does not fit {width} base-36 digits")
    text = ""
    rest = value
    while rest:
        rest, digit = divmod(rest, 36)
        text = _DIGITS[digit] + text
    return text.rjust(width, "0")


class ClientIds:
    """Gives out ids of one process life.

    Args:
        instance: 1-4 lower-case letters or digits, unique per API key.
        epoch: larger than in any earlier life of this instance.
    """

    def __init__(self, instance: str, epoch: int) -> None:
        self.prefix = instance
        self._head = instance + base36(epoch, EPOCH_DIGITS)
        self._count = 0

    def next(self) -> str:
        """Return an id that was never given out before."""
        self._count += 1
        if self._count >= _COUNTER_BASE:
            raise UsageError("the ids of this process life are used up: restart the engine")
        return self._head + str(_COUNTER_BASE + self._count)[1:]

    def is_ours(self, client_order_id: str) -> bool:
        """Tell whether this instance (in this life or another) made the id."""
        return (
            client_order_id.startswith(self.prefix)
            and len(client_order_id) == len(self.prefix) + EPOCH_DIGITS + COUNTER_DIGITS
            and client_order_id.isalnum()
        )
