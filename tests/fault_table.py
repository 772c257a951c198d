"""The fault table: what can go wrong on the data side, and the tests that make it happen.

A test says what it injects with ``@pytest.mark.fault("P01")``; ``make faults`` prints the table. A row
without a test says why. Order entry has rows of its own kind and is tested elsewhere; of rows that concern
both, the data side is meant here.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]


class Row(NamedTuple):
    """One fault: what it is, and why no test injects it, "" where one must."""

    what: str
    reason: str = ""


_PACKETS = "below TCP: a proxy on loopback cannot lose packets; what remains of it is a delayed link (N13)"
_ORDERS = "of order entry or the private stream; the data side writes nothing that could wait or be doubted"

TABLE: dict[str, Row] = {
    # the network
    "N01": Row("a connection is reset in the middle of a stream"),
    "N02": Row("the peer ends the TCP stream and sends no close frame"),
    "N03": Row("the peer is gone without a packet that says so"),
    "N04": Row("written bytes go nowhere while the socket looks well", _ORDERS),
    "N05": Row("nobody listens at the address"),
    "N06": Row("connecting hangs: no answer to the first packet"),
    "N07": Row("accepted, and then no word of TLS or of the upgrade"),
    "N08": Row("bytes come one at a time, slowly"),
    "N09": Row("the link stands still for seconds, then delivers everything at once"),
    "N10": Row("the peer stops reading what we write", _ORDERS),
    "N11": Row("packets are lost at random", _PACKETS),
    "N12": Row("the link is slower than the feed"),
    "N13": Row("the round trip grows thirtyfold from one moment to the next"),
    "N14": Row("what two connections tell comes in another order than it happened", _ORDERS),
    "N15": Row("names cannot be resolved, or only to nothing"),
    "N16": Row("the first of several addresses is dead"),
    "N17": Row("the venue moves to other addresses"),
    "N18": Row("the certificate is for another name, of an unknown authority, or expired"),
    "N19": Row("TLS hangs or offers too old a version"),
    "N20": Row("bytes of a TLS record are changed on the way"),
    "N21": Row("an HTTP proxy refuses or dies", "connections go out directly: there is no proxy support"),
    "N22": Row("everything is lost at once, and comes back at once"),
    "N23": Row("the upgrade is refused by a limit or a ban"),
    # WebSocket
    "W01": Row("a frame is cut anywhere by the segments that carry it"),
    "W02": Row("hundreds of frames come in one segment"),
    "W03": Row("a message comes in fragments, with a ping between them"),
    "W04": Row("a continuation of nothing, or a new message inside a fragmented one"),
    "W05": Row("reserved opcodes or bits"),
    "W06": Row("the server masks its frames"),
    "W07": Row("a control frame that is too long or fragmented"),
    "W08": Row("text that is not UTF-8"),
    "W09": Row("a frame that claims to be larger than anything allowed"),
    "W10": Row("compression that nobody agreed on; a small frame that inflates without end"),
    "W11": Row("every close code there is"),
    "W12": Row("data after the close frame, or a second one"),
    "W13": Row("an upgrade that is answered by something else"),
    "W14": Row("a flood of pings; pongs that do not come"),
    "W15": Row("a subscription is not acknowledged, refused, or accepted in part"),
    "W16": Row("data before its acknowledgement, and data that nobody subscribed"),
    "W17": Row("the venue announces that it will close, or the connection grows too old"),
    "W18": Row("a login or a key of the private stream ends silently", _ORDERS),
    "W19": Row("a thousand subscriptions have to be made anew"),
    # HTTP
    "H01": Row("a kept connection is closed just as a request leaves on it"),
    "H02": Row("the body is shorter than it was announced"),
    "H03": Row("chunks that are none"),
    "H04": Row("headers without an end"),
    "H05": Row("a body in a coding that nobody asked for, a bomb perhaps"),
    "H06": Row("a page for people where an answer should be"),
    "H07": Row("status 200 with an error inside"),
    "H08": Row("too many requests: a wait or a ban is told"),
    "H09": Row("the venue's own failures, 500 to 504"),
    "H10": Row("no answer before the deadline"),
    "H11": Row("the answer comes after the deadline"),
    "H12": Row("an answer that belongs to another request"),
    "H13": Row("a stamp is refused: the clocks disagree"),
    "H14": Row("a request is redirected elsewhere"),
    # market data
    "P01": Row("one delta is missing"),
    "P02": Row("a delta comes twice"),
    "P03": Row("two deltas change places"),
    "P04": Row("messages of a connection that was replaced"),
    "P05": Row("a snapshot from before the first delta that was kept"),
    "P06": Row("a snapshot that is ahead of every delta"),
    "P07": Row("snapshots are slow, fail, or may not be asked for"),
    "P08": Row("a snapshot that nobody asked for, or with ids that start anew"),
    "P09": Row("ids go back, and the chain says that nothing is missing (OKX)"),
    "P10": Row("a frame that only says that the venue lives"),
    "P11": Row("a checksum that is always zero"),
    "P12": Row("a delta that does not name its predecessor (USD-M)"),
    "P13": Row("best bid at or above best ask"),
    "P14": Row("a level is deleted that is not there"),
    "P15": Row("the price walks out of what the snapshot covered"),
    "P16": Row("text that programming languages take for numbers, and markets do not"),
    "P17": Row("more decimals than the instrument has"),
    "P18": Row("ids larger than a float or an integer of 63 bits can hold"),
    "P19": Row("a symbol is unknown, gone, or means something else now"),
    "P20": Row("keys that are unknown, missing, null, repeated or of another type"),
    "P21": Row("cut messages, trailing bytes, endless nesting"),
    "P22": Row("one message with a hundred thousand levels"),
    "P23": Row("fifty times the usual rate"),
    "P24": Row("one topic falls silent, its connection does not"),
    "P25": Row("every topic falls silent, and pings are answered"),
    "P26": Row("event times jump, or change their unit"),
    "P27": Row("trading is halted"),
    "P28": Row("the list of instruments changes"),
    "P29": Row("funding moves in time, or has no value"),
    "P30": Row("two connections of the same data disagree"),
    "P31": Row("a trade print far off the market"),
    "P32": Row("another channel's message under the same key"),
    # process and time
    "S01": Row("our own wall clock is set"),
    "S02": Row("two clocks part slowly"),
    "S03": Row("the process, or the venue, is frozen for a while"),
    "S04": Row("the event loop is held up by a callback"),
    "S12": Row("a handler of messages raises"),
    "S13": Row("a background task dies"),
    "S16": Row("a venue is down when the engine starts"),
}


def registered() -> dict[str, list[str]]:
    """Return code to tests (``file::name``), read from the sources: nothing has to be collected for it."""
    found: dict[str, list[str]] = {}
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        name = str(file.relative_to(ROOT))
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for decorator in node.decorator_list:
                    for code in _codes(decorator):
                        found.setdefault(code, []).append(f"{name}::{node.name}")
    return found


def _codes(decorator: ast.expr) -> list[str]:
    """Return the codes of every ``pytest.mark.fault(...)`` in a decorator, those of parameters included."""
    return [
        str(argument.value)
        for node in ast.walk(decorator)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.fault"
        for argument in node.args
        if isinstance(argument, ast.Constant)
    ]


def main() -> None:
    """Print the table."""
    tests = registered()
    for code, row in TABLE.items():
        print(f"{code}  {row.what}")
        for test in tests.get(code, []):
            print(f"       {test}")
        if row.reason:
            print(f"       no test: {row.reason}")
    injected = sum(code in tests for code in TABLE)
    print(f"{len(TABLE)} rows: {injected} injected, {len(TABLE) - injected} not, each with its reason")


if __name__ == "__main__":
    main()
