"""Drives the venue's own SDK against addresses given on the command line; run as a program of its own.

The SDK's ping timers never end, so the program leaves with ``os._exit``. It prints one JSON object: what each
call returned, and what each connection heard.

Usage: python bitmart_sdk_client.py spot|perp REST WS_PUBLIC WS_PRIVATE KEY SECRET MEMO
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from bitmart.api_contract import APIContract
from bitmart.api_spot import APISpot
from bitmart.websocket.futures_socket_client import FuturesSocketClient
from bitmart.websocket.spot_socket_client import SpotSocketClient

DEADLINE_S = 20.0
Result = dict[str, Any]


class Ear:
    """What one connection hears."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self._news = threading.Condition()

    def __call__(self, message: Any) -> None:
        with self._news:
            self.heard.append(message)
            self._news.notify_all()

    def wait(self, wanted: Callable[[Any], bool]) -> Any:
        """Return the first message that fits."""
        deadline = time.monotonic() + DEADLINE_S
        with self._news:
            while not (found := [each for each in self.heard if wanted(each)]):
                if not self._news.wait(deadline - time.monotonic()):
                    raise TimeoutError(f"not heard among {len(self.heard)} messages")
            return found[0]


def spot(rest: str, public: str, private: str, keys: tuple[str, str, str]) -> Result:
    """Place, query, list and cancel on spot; one topic on each connection."""
    key, secret, memo = keys
    api = APISpot(key, secret, memo, url=rest, timeout=(5, 10))
    book, user = Ear(), Ear()
    listener = SpotSocketClient(stream_url=public, on_message=book)
    listener.subscribe("spot/depth/increase100:BTC_USDT")
    result: Result = {"snapshot": book.wait(lambda each: "data" in each)}
    result["update"] = book.wait(lambda each: "data" in each and each["data"][0]["type"] == "update")
    account = SpotSocketClient(
        stream_url=private, on_message=user, api_key=key, api_secret_key=secret, api_memo=memo
    )
    account.login(timeout=0)
    account.subscribe(["spot/user/orders:ALL_SYMBOLS"])
    user.wait(lambda each: each.get("event") == "subscribe")
    result["details"], result["limits"] = api.get_symbol_detail()
    result["book"] = api.get_v3_depth("BTC_USDT", limit=5)[0]
    result["wallet"] = api.get_wallet()[0]
    placed = api.post_submit_order("BTC_USDT", "buy", "limit", "sdk0001", "0.01", "50000")[0]
    order_id = placed["data"]["order_id"]
    result |= {"placed": placed, "open": api.v4_query_order_by_id(order_id, "open")[0]}
    result["listed"] = api.v4_query_open_orders("BTC_USDT")[0]
    result["by_client_id"] = api.v4_query_order_by_order_client_id("sdk0001", "open")[0]
    result["cancelled"] = api.post_cancel_order_by_orderid("BTC_USDT", order_id)[0]
    result["history"] = api.v4_query_order_by_id(order_id, "history")[0]
    result["trades"] = api.v4_query_account_trade_list("BTC_USDT")[0]
    result["pushed"] = user.wait(
        lambda each: "table" in each and each["data"][0]["order_state"] == "canceled"
    )
    return result


def perp(rest: str, public: str, private: str, keys: tuple[str, str, str]) -> Result:
    """Place, query, list, amend and cancel on futures; one topic on each connection."""
    key, secret, memo = keys
    api = APIContract(key, secret, memo, url=rest, timeout=(5, 10))
    book, user = Ear(), Ear()
    listener = FuturesSocketClient(stream_url=public, on_message=book)
    listener.subscribe("futures/depthIncrease50:BTCUSDT@100ms")
    result: Result = {"snapshot": book.wait(lambda each: "data" in each and each["group"] != "System")}
    result["update"] = book.wait(
        lambda each: isinstance(each.get("data"), dict) and each["data"]["type"] == "update"
    )
    result["pong"] = book.wait(lambda each: each.get("group") == "System")
    account = FuturesSocketClient(
        stream_url=private, on_message=user, api_key=key, api_secret_key=secret, api_memo=memo
    )
    account.login(timeout=0)
    account.subscribe(["futures/order"])
    user.wait(lambda each: each.get("action") == "subscribe")
    result["details"], result["limits"] = api.get_details("BTCUSDT")
    result["book"] = api.get_depth("BTCUSDT")[0]
    result["wallet"] = api.get_assets_detail()[0]
    placed = api.post_submit_order(
        "BTCUSDT", client_order_id="sdk0001", type="limit", side=1, leverage="10", open_type="cross", mode=1,
        price="50000", size=10,
    )[0]  # fmt: skip
    order_id = str(placed["data"]["order_id"])
    result |= {"placed": placed, "open": api.get_order("BTCUSDT", order_id)[0]}
    result["listed"] = api.get_open_order("BTCUSDT")[0]
    result["cancelled"] = api.post_cancel_order("BTCUSDT", order_id=order_id)[0]
    now = int(time.time())
    result["history"] = api.get_order_history("BTCUSDT", now - 600, now + 60)[0]
    result["trades"] = api.get_trades("BTCUSDT", now - 600, now + 60)[0]
    result["pushed"] = user.wait(
        lambda each: (
            each.get("group") == "futures/order" and "data" in each and each["data"][0]["order"]["state"] == 4
        )
    )
    return result


def main() -> None:
    """Run one product's calls and print what came of them."""
    product, rest, public, private, *keys = sys.argv[1:]
    status = 1
    try:
        run = spot if product == "spot" else perp
        print(json.dumps(run(rest, public, private, (keys[0], keys[1], keys[2]))), flush=True)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
