"""How a request is left without its venue's answer."""

from __future__ import annotations


class NoAnswer(Exception):
    """The connection is cut instead of answered."""


class Page(Exception):
    """An HTML page of something in front of the venue answers instead.

    Attributes:
        status: its HTTP status.
    """

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status
