"""Every venue's list of latest prints: asked for within its limits, read in order, its ids the stream's."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from engine.model.errors import ProtocolViolation
from engine.model.instrument import Instrument, Product
from engine.model.market import Trade
from engine.model.trades import TradeIds, TradeList, WithTradeList
from engine.supervisor import wiring
from engine.venues.base import Topic

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
MARKETS = sorted(wiring.capabilities(), key=str)
each_market = pytest.mark.parametrize(
    ("venue", "product"), MARKETS, ids=[f"{venue}-{product.value}" for venue, product in MARKETS]
)


class Bench:
    """The adapter of one product with its sample listing, and its sample list of prints."""

    def __init__(self, venue: str, product: Product) -> None:
        self.adapter = wiring.replay_adapter(venue, product)
        assert isinstance(self.adapter, WithTradeList)
        self.reader = self.adapter.trade_list
        word = "exchange_info" if venue == "binance" else "instruments"
        listing = self.adapter.decode_instruments(self.sample(venue, f"http_{word}_{product.value}"))
        self.instrument: Instrument = next(
            each for each in listing if each.universal in ("BTC/USDT", "BTC/USDT:USDT")
        )
        self.adapter.market_plans([self.instrument], frozenset(Topic))
        self.body = self.sample(venue, f"http_trades_{product.value}")

    @staticmethod
    def sample(venue: str, name: str) -> bytes:
        return (GOLDEN / venue / f"{name}.json").read_bytes()

    def decode(self, body: bytes | None = None) -> TradeList:
        return self.reader.decode(self.instrument, body or self.body, 5, 6)


def text(bench: Bench, trade: Trade) -> tuple[int, str, str, str, int]:
    instrument = bench.instrument
    price, qty = instrument.price(trade.price).normalize(), instrument.qty(trade.qty).normalize()
    return trade.trade_id, f"{price:f}", f"{qty:f}", trade.aggressor.word, trade.venue_utc_ns


MS = 1_000_000
SAYS = {
    ("binance", Product.SPOT): [
        (388508, "76745.18", "0.0012", "sell", 1794000000100 * MS),
        (388509, "76745.19", "0.00065", "buy", 1794000000100 * MS),
    ],
    ("binance", Product.PERP): [
        (7180001, "76915", "0.01", "sell", 1794000000100 * MS),
        (7180003, "76915.1", "1.2", "buy", 1794000000205 * MS),
    ],
    ("okx", Product.SPOT): [
        (242720720, "76744.3", "0.5", "buy", 1794000000974 * MS),
        (242720721, "76744.2", "0.00001", "sell", 1794000000974 * MS),
    ],
    ("okx", Product.PERP): [  # contracts of 0.01 coins
        (2005639579, "76916.8", "0.0003", "sell", 1794000001145 * MS),
        (2005639580, "76916.9", "0.1203", "buy", 1794000001145 * MS),
    ],
    ("bybit", Product.SPOT): [
        (2290000000061666327, "76747", "0.000213", "sell", 1794000000758 * MS),
        (2290000000061666328, "76747.1", "0.00012", "buy", 1794000000758 * MS),
    ],
    ("bybit", Product.PERP): [  # the block trade met no book
        (
            (0x20F43950D8DD5B31 ^ 0x9112A178EB6023AF) & (2**63 - 1),
            "76916.8", "0.001", "buy", 1794000000758 * MS,
        ),
    ],
    ("kucoin", Product.SPOT): [
        (10976028003549185, "76744.5", "0.01", "sell", 1794000000117000000),
        (10976028003549186, "76744.6", "0.000025", "buy", 1794000000117000123),
    ],
    ("kucoin", Product.PERP): [  # lots of 0.001 coins
        (1697895100309, "76917", "0.001", "buy", 1794000000100000000),
        (1697895100310, "76916.9", "0.036", "sell", 1794000000152000000),
    ],
    ("bitmart", Product.SPOT): [
        (0, "76745.31", "0.00001", "sell", 1794000000200 * MS),
        (0, "76745.32", "0.11623", "buy", 1794000000300 * MS),
    ],
    ("bitmart", Product.PERP): [  # coins, where the stream has contracts
        (0, "76917", "0.001", "sell", 1794000000 * 1000 * MS),
        (0, "76917.1", "1.506", "buy", 1794000001 * 1000 * MS),
    ],
}  # fmt: skip


@each_market
def test_lists_are_read_oldest_first(venue: str, product: Product) -> None:
    bench = Bench(venue, product)
    answer = bench.decode()
    assert [text(bench, each) for each in answer.trades] == SAYS[venue, product]
    assert not answer.is_capped
    for each in answer.trades:
        assert each.is_backfilled
        assert each.universal == bench.instrument.universal
        assert (each.recv_mono_ns, each.recv_utc_ns, each.count) == (5, 6, 1)


@each_market
def test_a_full_list_may_have_left_something_out(venue: str, product: Product) -> None:
    bench = Bench(venue, product)
    value = msgspec.json.decode(bench.body)
    rows = value if venue == "binance" else value["data"] if venue != "bybit" else value["result"]["list"]
    limit = {"binance": 1000, "okx": 500, "kucoin": 100}.get(venue) or {
        ("bybit", Product.SPOT): 60, ("bybit", Product.PERP): 1000, ("bitmart", Product.SPOT): 50,
        ("bitmart", Product.PERP): 100,
    }[venue, product]  # fmt: skip
    rows[:] = [rows[-1]] * limit
    assert bench.decode(msgspec.json.encode(value)).is_capped
    del rows[1:]
    assert not bench.decode(msgspec.json.encode(value)).is_capped
    rows.clear()
    assert bench.decode(msgspec.json.encode(value)).trades == []


@each_market
def test_what_is_no_list_is_refused(venue: str, product: Product) -> None:
    bench = Bench(venue, product)
    bodies = [b"", b"{", b"null", b"<html>", b'{"code":"1","msg":"x","data":[]}', b'{"retCode":10006}']
    for body in bodies:
        with pytest.raises(ProtocolViolation, match="latest trades"):
            bench.decode(body or b" ")


@each_market
def test_the_request_names_the_instrument_and_has_a_budget(venue: str, product: Product) -> None:
    bench = Bench(venue, product)
    request = bench.reader.request(bench.instrument)
    assert request.method == "GET"
    assert f"={bench.instrument.symbol}" in request.target
    assert request.label == f"{venue}.{product.value}.trades"
    rules = bench.adapter.rest_budgets
    endpoint = [rule for rule in rules if rule.name == request.label]
    assert request.weight > 0
    assert endpoint or any(rule.kind == "weight" for rule in rules)


def test_aggregates_have_a_list_of_their_own() -> None:
    from engine.venues.binance.recent_trades import BinanceTrades

    bench = Bench("binance", Product.PERP)
    reader = BinanceTrades(Product.PERP, is_aggregate=True)
    assert "/aggTrades?" in reader.request(bench.instrument).target
    body = Bench.sample("binance", "http_agg_trades_perp")
    (trade,) = reader.decode(bench.instrument, body, 5, 6).trades
    assert text(bench, trade) == (3466782974, "76915.1", "0.03", "buy", 1794000000100 * MS)


def test_the_stream_tells_several_trades_as_one() -> None:
    bench = Bench("okx", Product.PERP)
    frame = (
        b'{"arg":{"channel":"trades","instId":"BTC-USDT-SWAP"},"data":[{"instId":"BTC-USDT-SWAP",'
        b'"tradeId":"2005639579","px":"91467.1","sz":"0.03","side":"sell","ts":"1765201257145","count":"3"}]}'
    )
    (trade,) = bench.adapter.decode_market(frame, 5, 6)
    assert isinstance(trade, Trade)
    assert (trade.trade_id, trade.count, trade.is_backfilled) == (2005639579, 3, False)
    with pytest.raises(ProtocolViolation):
        bench.adapter.decode_market(frame.replace(b'"3"', b'"x"'), 5, 6)


def test_which_lists_prove_what_is_missing() -> None:
    ids: dict[TradeIds, set[str]] = {}
    for venue, product in MARKETS:
        ids.setdefault(Bench(venue, product).reader.ids, set()).add(venue)
    assert ids == {
        TradeIds.CONSECUTIVE: {"binance", "okx"},
        TradeIds.UNIQUE: {"bybit", "kucoin"},
        TradeIds.NONE: {"bitmart"},
    }
