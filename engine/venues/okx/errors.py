"""OKX's errors in venue-neutral words: one table, and the rules of HTTP statuses and item codes around it.

An answer has a top ``code`` and, for order requests, one ``sCode`` an item; where both are present the item's
decides. Top codes 0, 1 and 2 only say whether all, none or some of the items worked.

    {"code":"1","msg":"All operations failed","data":[{"clOrdId":"a1","ordId":"","sCode":"51008",
     "sMsg":"Order failed. Insufficient USDT margin in account","subCode":"1001"}]}
    {"code":"50011","msg":"Too Many Requests","data":[]}

A time-out of the venue's own (50004, 51054, 51149) proves nothing about an order, nor does anything that is
not OKX's JSON.
Source: OKX v5 API docs, "Error Code", seen 2026-08.
"""

from __future__ import annotations

import msgspec

from engine.model.answers import clean as clean
from engine.model.answers import retry_after_ms as retry_after_ms
from engine.model.answers import undecodable as undecodable
from engine.model.orders import Outcome, RejectReason, Retry, VenueError
from engine.venues.okx.numbers import DECODE_ERRORS

Row = tuple[Outcome, RejectReason, Retry]

_NO, _MAYBE = Outcome.REFUSED, Outcome.UNKNOWN
_R = RejectReason
_NEVER, _READ, _RESIGN, _WAIT = Retry.NEVER, Retry.READ, Retry.RESIGN, Retry.AFTER_WAIT


def _rows(codes: str, row: Row) -> dict[str, Row]:
    return dict.fromkeys(codes.split(), row)


TABLE: dict[str, Row] = {
    # the limits: nothing was done
    **_rows("50011 50013 50040 50061 60014 60023", (_NO, _R.RATE_LIMIT, _WAIT)),
    **_rows("51113 51115", (_NO, _R.RATE_LIMIT, _WAIT)),
    # the venue is down or slow: a read may be repeated, an order may have happened
    **_rows("50001 50026 50004 51054 51149 63999 64007", (_MAYBE, _R.OVERLOADED, _READ)),
    "51412": (_MAYBE, _R.OTHER, _READ),  # a cancel timed out
    # the clock: certainly not accepted
    **_rows("50102 50112 60004 60006", (_NO, _R.CLOCK, _RESIGN)),
    **_rows("50036 50037", (_NO, _R.CLOCK, _NEVER)),  # past its own expTime: decide again
    # over already, or never there: cancel races, and queries of unknown orders
    **_rows("51400 51401 51402 51410 51503 51509 51510 51603", (_NO, _R.UNKNOWN_ORDER, _READ)),
    **_rows("51011 51016", (_NO, _R.DUPLICATE_CLIENT_ORDER_ID, _NEVER)),
    **_rows("51511", (_NO, _R.WOULD_TAKE, _NEVER)),
    **_rows("51008 51127 51131 51502", (_NO, _R.INSUFFICIENT_FUNDS, _NEVER)),
    "51000": (_NO, _R.MALFORMED, _NEVER),  # "Parameter px error" and the like: by text
    **_rows("51005 51101 51120 51121 51020", (_NO, _R.QTY_FILTER, _NEVER)),
    **_rows("51006 51116 51136 51137 51138 51150", (_NO, _R.PRICE_BAND, _NEVER)),
    **_rows("51102 51103 51174", (_NO, _R.TOO_MANY_ORDERS, _NEVER)),
    "51513": (_NO, _R.TOO_MANY_ORDERS, _WAIT),  # three amends in flight
    **_rows("51112 51139 51169 51170", (_NO, _R.REDUCE_ONLY, _NEVER)),
    **_rows("51001 51010 51021 51022 51027 51028 51029 51087 51155", (_NO, _R.NOT_TRADING, _NEVER)),
    "51030": (_NO, _R.NOT_TRADING, _WAIT),  # funding is being settled
    # the account or the key
    **_rows(
        "50007 50008 50009 50010 50012 50017 50018 50019 50020 50021 50022 50023 50027 51024 51037",
        (_NO, _R.AUTH, _NEVER),
    ),
    **_rows(
        "50035 50100 50101 50103 50104 50105 50106 50107 50108 50109 50110 50111 50113 50114 50119 50120",
        (_NO, _R.AUTH, _NEVER),
    ),
    **_rows("60005 60007 60009 60011 60022 60024 60032", (_NO, _R.AUTH, _NEVER)),
    **_rows("50067 50072", (_NO, _R.AUTH, _NEVER)),  # a key of another site; a margin mode not allowed
    # what we sent was not understood
    **_rows("50000 50002 50005 50006 50014 50015 50016 50115", (_NO, _R.MALFORMED, _NEVER)),
    **_rows("51406 51501 60012 60013 60019 60027 60033", (_NO, _R.MALFORMED, _NEVER)),
    **_rows("60008 60018 60028 64001 64002 64003 64004", (_NO, _R.MALFORMED, _NEVER)),
    "60031": (_NO, _R.NO_CHANGE, _NEVER),  # logged in already
    "51071": (_NO, _R.TOO_MANY_ORDERS, _NEVER),  # tags of cancel-all-after
}

_TEXTS: tuple[tuple[str, RejectReason], ...] = (
    ("px", _R.PRICE_FILTER),
    ("price", _R.PRICE_FILTER),
    ("sz", _R.QTY_FILTER),
    ("size", _R.QTY_FILTER),
)
"""What 51000 complains about; the parameter is named in its text."""


class _Item(msgspec.Struct, gc=False):
    sCode: str = ""  # noqa: N815 - the wire's names
    sMsg: str = ""  # noqa: N815


class _Body(msgspec.Struct, gc=False):
    code: str
    msg: str = ""
    data: msgspec.Raw = msgspec.Raw()


_BODY = msgspec.json.Decoder(_Body)
_ITEMS = msgspec.json.Decoder(list[_Item])


def classify(
    status: int, code: str, message: str, is_item: bool, retry_after_ms: int | None = None
) -> VenueError:
    """Return what an error means.

    Args:
        status: the HTTP status, 200 for WebSocket answers.
        code: the item's ``sCode``, or the top code.
        is_item: the code is an ``sCode``: the venue looked at this very order and failed it.
    """
    text = clean(message)
    outcome, reason, retry = _row(status, code, text, is_item)
    return VenueError(code[:40], text, outcome, reason, retry, retry_after_ms)


def _row(status: int, code: str, text: str, is_item: bool) -> Row:
    row = TABLE.get(code)
    if row is not None:
        if code == "51000":
            words = text.lower().replace(",", " ").split()
            return _NO, next((reason for word, reason in _TEXTS if word in words), row[1]), _NEVER
        if status >= 500 and row[0] is _NO and row[1] is not _R.RATE_LIMIT:
            return _MAYBE, row[1], _READ  # the code says refused, the status that something broke
        return row
    if status == 429:
        return _NO, _R.RATE_LIMIT, _WAIT
    if status >= 500 or status == 408:
        return _MAYBE, _R.OVERLOADED, _READ
    # An item that failed was not done, whatever the number says; 501xx are keys, 51xxx order rules, 60xxx
    # the WebSocket's. What else is not listed proves nothing.
    if code.startswith("501"):
        return _NO, _R.AUTH, _NEVER
    if code.startswith(("51", "60")) or is_item or status in (400, 401, 403, 404, 405, 410):
        return _NO, _R.OTHER, _NEVER
    return _MAYBE, _R.OTHER, _READ


def decode_error(status: int, body: bytes, retry_after: str | None = None) -> VenueError:
    """Decode an answer that is not a success, whatever its status; never raises.

    A body that is not OKX's JSON proves nothing about an order: UNKNOWN, except for HTTP 429, which is
    decided before anything is processed.
    """
    return error_in(status, body, retry_after) or _foreign(status, body, retry_after)


def _foreign(status: int, body: bytes, retry_after: str | None) -> VenueError:
    text = clean(body[:300].decode("utf-8", "replace"))
    outcome, reason, retry = _MAYBE, _R.OTHER, _READ
    if status == 429:
        outcome, reason, retry = _NO, _R.RATE_LIMIT, _WAIT
    elif status == 403:  # a firewall: perhaps a ban, but its page may be anybody's
        reason, retry = _R.BANNED, _WAIT
    elif status >= 500 or status == 408:
        reason = _R.OVERLOADED
    return VenueError(f"http:{status}", text, outcome, reason, retry, retry_after_ms(retry_after))


def error_in(status: int, body: bytes, retry_after: str | None = None) -> VenueError | None:
    """Return the error that a body states, or ``None`` when it states none."""
    try:
        answer = _BODY.decode(body)
        items = _ITEMS.decode(answer.data) if bytes(answer.data).startswith(b"[{") else []
    except DECODE_ERRORS:
        return None
    wait_ms = retry_after_ms(retry_after)
    for item in items:
        if item.sCode not in ("", "0"):
            return classify(status, item.sCode, item.sMsg, True, wait_ms)
    if answer.code == "0":
        return None
    if answer.code in ("1", "2"):  # says that items failed, and names none
        return VenueError(answer.code, clean(answer.msg), _MAYBE, _R.OTHER, _READ, wait_ms)
    return classify(status, answer.code, answer.msg, False, wait_ms)


def refusal_in(status: int, body: bytes, retry_after: str | None = None) -> VenueError | None:
    """Return what an answer refuses with, by its status or in its body; ``None`` where it does not."""
    if status != 200:
        return decode_error(status, body, retry_after)
    return error_in(status, body, retry_after)
