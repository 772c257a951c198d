"""Errors by owner: ours, theirs, the link's. Business refusals are values (see ``orders.Reject``)."""


class EngineError(Exception):
    """Base of every error this package raises on purpose."""


class UsageError(EngineError):
    """Ours: a caller broke a documented rule. Fail loudly, never catch to continue."""


class ConfigError(EngineError):
    """The configuration cannot be used; the text names the key, the value and the nearest valid choice."""


class ProtocolViolation(EngineError):
    """Theirs: bytes that the venue's own rules do not allow.

    Attributes:
        raw: the offending bytes, cut to 4 KiB, for the log and for a test case.
    """

    def __init__(self, message: str, raw: bytes = b"") -> None:
        super().__init__(message)
        self.raw = raw[:4096]


class BookNotLive(EngineError):
    """A price was asked of a book that is not LIVE; the text names the state and its age."""


class InstrumentUnknown(EngineError):
    """No such universal symbol at that venue; the text lists the nearest ones."""


class VenueNotUp(EngineError):
    """A venue's listing has not been read, so nothing of it is known yet; the text says why."""


class NotSent(EngineError):
    """The link's: no byte of the request left this host, so it certainly did not happen."""


class Unanswered(EngineError):
    """The link's: bytes may have left and no complete answer came; the outcome is unknown.

    Attributes:
        reason: one word for counters, e.g. ``deadline``, ``closed``, ``reset``, ``truncated``.
    """

    def __init__(self, message: str, reason: str = "closed") -> None:
        super().__init__(message)
        self.reason = reason
