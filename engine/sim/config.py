"""``config/sim.toml``: markets and test accounts of the simulated exchange."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from engine.sim.accounts import Account
from engine.sim.model import MarketSpec, ProductName


class SimConfigError(Exception):
    """The file cannot be used; the text names the key."""


@dataclass(frozen=True, slots=True)
class SimConfig:
    """Markets and accounts by venue."""

    specs: dict[str, list[MarketSpec]]
    accounts: dict[str, list[Account]]


_MARKET_KEYS = {
    "symbol", "base", "quote", "settle", "tick", "lot", "price", "max_qty", "min_notional", "activity",
    "maker_fee", "taker_fee", "multiplier", "funding_interval_h", "max_leverage", "price_decimals",
    "qty_decimals", "min_qty", "max_num_orders", "typical_notional",
    "contract_size", "fee_in_quote",
}  # fmt: skip
_ACCOUNT_KEYS = {"name", "api_key", "secret", "key_type", "passphrase", "spot", "perp", "leverage"}


def load(path: Path, venues: list[str]) -> SimConfig:
    """Read the file for the venues asked for; raises SimConfigError."""
    try:
        data = tomllib.loads(path.read_text())
    except OSError as error:
        raise SimConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SimConfigError(f"{path}: not valid TOML: {error}") from None
    specs: dict[str, list[MarketSpec]] = {}
    accounts: dict[str, list[Account]] = {}
    for venue in venues:
        section = data.get(venue)
        if not isinstance(section, dict):
            raise SimConfigError(f"{path}: no section [{venue}]; there are: {', '.join(data) or 'none'}")
        where = f"{path}: {venue}"
        specs[venue] = [
            _spec(where, venue, product, row)
            for product in ("spot", "perp")
            for row in section.get(product, {}).get("market", [])
        ]
        accounts[venue] = [
            _account(where, number, row) for number, row in enumerate(section.get("account", []))
        ]
        if not specs[venue]:
            raise SimConfigError(f"{where}: no markets")
    return SimConfig(specs, accounts)


def _spec(where: str, venue: str, product: str, row: dict[str, Any]) -> MarketSpec:
    unknown = set(row) - _MARKET_KEYS
    if unknown:
        raise SimConfigError(f"{where}.{product}.market: unknown key {sorted(unknown)[0]}")
    try:
        tick, lot = Decimal(row["tick"]), Decimal(row["lot"])
        name: ProductName = "spot" if product == "spot" else "perp"
        fee = Decimal("0.001") if product == "spot" else Decimal("0.0004")
        return MarketSpec(
            venue=venue, product=name, symbol=row["symbol"], base=row["base"], quote=row["quote"],
            settle=row.get("settle", row["quote"] if product == "perp" else None),
            tick_size=tick, lot_size=lot,
            price_decimals=row.get("price_decimals", 8 if product == "spot" else _decimals(tick)),
            qty_decimals=row.get("qty_decimals", 8 if product == "spot" else _decimals(lot)),
            min_qty=Decimal(row.get("min_qty", row["lot"])), max_qty=Decimal(row["max_qty"]),
            min_notional=Decimal(row.get("min_notional", "5")), initial_price=Decimal(row["price"]),
            max_num_orders=row.get("max_num_orders", 200),
            maker_fee=Decimal(row.get("maker_fee", fee if product == "spot" else "0.0002")),
            taker_fee=Decimal(row.get("taker_fee", fee)), multiplier=row.get("multiplier", 1),
            activity=float(row.get("activity", 1.0)), funding_interval_h=row.get("funding_interval_h", 8),
            max_leverage=row.get("max_leverage", 75),
            typical_notional=Decimal(row.get("typical_notional", "5000")),
            contract_size=Decimal(row.get("contract_size", "1")),
            fee_in_quote=bool(row.get("fee_in_quote", False)),
        )  # fmt: skip
    except KeyError as error:
        raise SimConfigError(f"{where}.{product}.market: {error.args[0]} is missing in {row}") from None
    except (InvalidOperation, TypeError, ValueError) as error:
        raise SimConfigError(f"{where}.{product}.market {row.get('symbol')}: {error}") from None


def _decimals(step: Decimal) -> int:
    exponent = step.normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)


def _account(where: str, number: int, row: dict[str, Any]) -> Account:
    unknown = set(row) - _ACCOUNT_KEYS
    if unknown:
        raise SimConfigError(f"{where}.account: unknown key {sorted(unknown)[0]}")
    try:
        account = Account(
            name=row["name"], api_key=row["api_key"], secret=row["secret"],
            key_type=row.get("key_type", "hmac"), passphrase=row.get("passphrase", ""),
            uid=354_937_868 + number,
        )  # fmt: skip
        for product in ("spot", "perp"):
            for asset, amount in row.get(product, {}).items():
                account.balance(product, asset).free = Decimal(amount)
        account.leverage.update(row.get("leverage", {}))
    except KeyError as error:
        raise SimConfigError(f"{where}.account: {error.args[0]} is missing") from None
    except (InvalidOperation, TypeError) as error:
        raise SimConfigError(f"{where}.account {row.get('name')}: {error}") from None
    return account
