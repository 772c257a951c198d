"""Numbers as Binance writes them: plain decimals in text, times in UTC milliseconds, integer ids."""

from __future__ import annotations

from engine.model.decimals import DECODE_ERRORS as DECODE_ERRORS
from engine.model.decimals import MS as MS
from engine.model.decimals import Id as Id
from engine.model.decimals import Millis as Millis
from engine.model.decimals import decimal as decimal
from engine.model.decimals import plain as plain
from engine.model.decimals import scaled as scaled
