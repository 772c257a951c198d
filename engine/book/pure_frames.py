"""Reads depth frames in plain Python: the parsing half of the twin in ``pure.py``, nothing else uses it.

Like the kernel it reads in order, so that a frame that breaks (cut off, not JSON, not UTF-8) still tells
what stood before the break: where its route did, it is a bad delta of that book; else it is nobody's.
"""

from __future__ import annotations

import json
import re
from typing import Any

from engine.model.market import DepthSchema

LEVELS_MAX = 100_000
FRAME_BYTES_MAX = 33_554_432
CONTAINER_DEPTH_MAX = 4
_DECIMAL = re.compile(r"(0|[1-9][0-9]*)(?:\.([0-9]+))?", re.ASCII)
_DIGITS = re.compile(r"0|[1-9][0-9]*", re.ASCII)
_SPACE = re.compile(r"[ \t\r\n]*")
_UNDECODED = re.compile("[\udc80-\udcff]")

Level = tuple[int, int, int]
"""Side (0 = bids, 1 = asks), price, quantity, scaled."""


class BadFrame(Exception):
    """The frame is not a delta that can be believed."""


class Members(list[tuple[str, Any]]):
    """An object's members in order, repeated keys kept."""


class BareNumber(str):
    """The text of a JSON number."""

    __slots__ = ()


def _refuse(text: str) -> Any:
    raise ValueError(text)


_JSON = json.JSONDecoder(
    object_pairs_hook=Members,
    parse_int=BareNumber,
    parse_float=BareNumber,
    parse_constant=_refuse,
    strict=True,
)


class FrameReader:
    """Walks one frame and collects what the schema names.

    Attributes:
        fields: values by key; the first value of a repeated key, which also makes the frame bad.
        is_bad: something was repeated, broken or of another shape.
        is_control: the frame holds a key that no depth frame has.
    """

    def __init__(self, schema: DepthSchema, raw: bytes) -> None:
        self._schema = schema
        self._wanted = {
            *schema.route_keys,
            schema.first_key,
            schema.last_key,
            schema.previous_key,
            schema.bids_key,
            schema.asks_key,
            schema.change_key,
            schema.kind_key,
            schema.event_time_key,
            schema.transaction_time_key,
        } - {None}
        self._text = raw.decode("utf-8", "surrogateescape")
        self._at = 0
        self._met: set[str] = set()
        self.fields: dict[str, Any] = {}
        self.is_bad = False
        self.is_control = False
        try:
            self._document()
        except (ValueError, RecursionError):
            self.is_bad = True

    def route(self) -> str | None:
        """Return the route, ``None`` where the frame does not name one, or is no depth frame."""
        parts = [self.fields.get(key) for key in self._schema.route_keys]
        if self.is_control or any(part is None for part in parts):
            return None
        return "\n".join(str(part) for part in parts)

    # ------------------------------------------------------------------------------------------ walk

    def _document(self) -> None:
        self._expect("{")
        self._object(0)
        self._space()
        if self._at != len(self._text):
            raise ValueError("something follows the frame")

    def _object(self, depth: int) -> None:
        """Read members after an opening brace, to behind the closing one."""
        if self._peek() == "}":
            self._at += 1
            return
        while True:
            if self._peek() != '"':
                raise ValueError("a key is no string")
            key = self._value()
            is_known = self._meet(key)
            self._expect(":")
            self._space()
            self._member(key, is_known, depth)
            if self._next(",}") == "}":
                return

    def _meet(self, key: str) -> bool:
        """Note a key before its value is read; tell whether the value is wanted."""
        if key in self._schema.control_keys:
            self.is_control = True
            raise ValueError("not a depth frame")
        if key in self._met:
            self.is_bad = True  # which value is meant is unknown
        if key in self._wanted:
            self._met.add(key)
        return key in self._wanted

    def _member(self, key: str, is_known: bool, depth: int) -> None:
        schema = self._schema
        first = self._peek()
        if key in schema.containers and first == "{" and depth < CONTAINER_DEPTH_MAX:
            self._at += 1
            self._object(depth + 1)
        elif key in schema.array_containers and first == "[" and depth < CONTAINER_DEPTH_MAX:
            self._at += 1
            self._array(depth)
        else:
            value = self._value()
            if is_known and (type(value) is str or key not in schema.route_keys):
                self.fields.setdefault(key, value)

    def _array(self, depth: int) -> None:
        """Descend into the objects of an array; more than one shows as repeated keys."""
        if self._peek() == "]":
            self._at += 1
            return
        while True:
            if self._peek() == "{":
                self._at += 1
                self._object(depth + 1)
            else:
                self.is_bad = True
                self._value()
            if self._next(",]") == "]":
                return

    def _value(self) -> Any:
        """Read one whole value."""
        begin = self._at
        value, self._at = _JSON.raw_decode(self._text, begin)
        if _UNDECODED.search(self._text, begin, self._at):
            raise ValueError("not UTF-8")
        return value

    def _space(self) -> None:
        match = _SPACE.match(self._text, self._at)
        assert match is not None
        self._at = match.end()

    def _peek(self) -> str:
        self._space()
        return self._text[self._at : self._at + 1]

    def _next(self, allowed: str) -> str:
        found = self._peek()
        if not found or found not in allowed:
            raise ValueError(f"one of {allowed} is missing")
        self._at += 1
        return found

    def _expect(self, wanted: str) -> None:
        self._next(wanted)


# ------------------------------------------------------------------------------------------- numbers


def integer(value: Any, is_quoting: bool = False, digits_max: int = 18) -> int:
    """Return a non-negative integer of at most ``digits_max`` digits and 63 bits; raises BadFrame."""
    is_right = isinstance(value, BareNumber) or (is_quoting and isinstance(value, str))
    if not is_right or len(value) > digits_max or not _DIGITS.fullmatch(value) or int(value) >= 2**63:
        raise BadFrame
    return int(value)


def scaled(value: Any, scale: int, contract: tuple[int, int] = (1, 0)) -> int:
    """Return an exact scaled integer, or raise: signs, exponents and what does not fit are refused.

    Args:
        contract: base units in one contract, as (integer, decimals).
    """
    match = _DECIMAL.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise BadFrame
    whole, fraction = match[1], match[2] or ""
    if len(whole) + len(fraction) > 18:
        fraction = fraction.rstrip("0")
        if len(whole) + len(fraction) > 18:
            raise BadFrame
    number = int(whole + fraction) * contract[0]
    shift = scale - len(fraction) - contract[1]
    if number >= 2**63 or number % 10 ** max(-shift, 0):
        raise BadFrame
    result: int = number * 10**shift if shift >= 0 else number // 10**-shift
    if result >= 2**63:
        raise BadFrame
    return result


def change_rows(value: Any) -> tuple[list[Any], list[Any]]:
    """Return (bid rows, ask rows) of ``"price,side,qty"``; raises BadFrame."""
    parts = value.split(",") if type(value) is str else ()
    if len(parts) != 3 or parts[1] not in ("buy", "sell"):
        raise BadFrame
    row = [[parts[0], parts[2]]]
    return (row, []) if parts[1] == "buy" else ([], row)


def array_rows(value: Any, level_keys: tuple[str, str] | None) -> list[Any]:
    """Return a side's rows as arrays, whatever shape the venue gives its levels; raises BadFrame."""
    if not isinstance(value, list) or isinstance(value, Members) or len(value) > LEVELS_MAX:
        raise BadFrame
    if level_keys is None:
        if any(not isinstance(row, list) or isinstance(row, Members) or len(row) < 2 for row in value):
            raise BadFrame
        return value
    rows = []
    for row in value:
        if not isinstance(row, Members):
            raise BadFrame
        found = [[item for key, item in row if key == name] for name in level_keys]
        if any(len(items) != 1 for items in found):
            raise BadFrame
        rows.append([items[0] for items in found])
    return rows
