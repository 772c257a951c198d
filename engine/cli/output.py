"""Tables for people and JSON for machines; nothing here knows where the data came from."""

from __future__ import annotations

import sys
from typing import Any

import msgspec
from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table

State = {
    "LIVE": "green", "SYNCING": "yellow", "JOINING": "yellow", "CROSSED": "yellow", "STALE": "red",
    "HALTED": "magenta",
}  # fmt: skip


def print_json(value: Any) -> None:
    """Print one JSON document and a line end."""
    sys.stdout.buffer.write(msgspec.json.encode(value, enc_hook=str) + b"\n")
    sys.stdout.flush()


def console() -> Console:
    """Return the console for tables on standard output."""
    wide = None if sys.stdout.isatty() else 200  # a pipe has no width: do not cut cells
    return Console(highlight=False, width=wide)


def state_text(state: str) -> str:
    """Return a book state with its colour."""
    return f"[{State.get(state, 'white')}]{state}[/]"


def table(*columns: str, right: tuple[str, ...] = (), title: str | None = None) -> Table:
    """Return an empty table; columns named in ``right`` are right-aligned."""
    result = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        result.add_column(column, justify="right" if column in right else "left", no_wrap=True)
    return result


def age_text(age_ms: float | None) -> str:
    """Return an age in the largest fitting unit, ``-`` for none."""
    if age_ms is None:
        return "-"
    if age_ms < 1_000:
        return f"{age_ms:.0f} ms"
    if age_ms < 120_000:
        return f"{age_ms / 1_000:.1f} s"
    return f"{age_ms / 60_000:.0f} min"


def quotes_table(rows: list[dict[str, Any]]) -> Table:
    """Return the table of ``quotes`` and of the live view."""
    right = ("bid", "bid qty", "ask", "ask qty", "spread", "age", "msgs/s", "p50 us", "p99 us")
    result = table("venue", "pair", "state", *right, right=right)
    for row in rows:
        live = row["state"] == "LIVE"
        cells = [str(row[key]) if live and row[key] is not None else "-" for key in
                 ("bid", "bid_qty", "ask", "ask_qty", "spread")]  # fmt: skip
        result.add_row(
            row["venue"],
            row["pair"],
            state_text(row["state"]) + (f" [dim]{row['reason']}[/]" if not live and row["reason"] else ""),
            *cells,
            age_text(row["age_ms"]),
            f"{row['messages_per_s']:.0f}" if row.get("messages_per_s") is not None else "-",
            _micro(row.get("wire_to_book_p50_ns")),
            _micro(row.get("wire_to_book_p99_ns")),
        )
    return result


def venues_table(rows: list[dict[str, Any]]) -> Table:
    """Return one line a venue product, for the live view of many instruments."""
    right = ("live", "msgs/s", "gaps", "resyncs", "reconnects", "p50 us", "p99 us")
    result = table("venue", "product", "state", *right, right=right)
    for row in rows:
        latency = row["wire_to_book_ns"]
        colour = "green" if row["live"] == row["books"] and row["state"] == "up" else "red"
        result.add_row(
            row["venue"],
            row["product"],
            f"[{colour}]{row['state']}[/]",
            f"{row['live']}/{row['books']}",
            f"{row['messages_per_s']:.0f}",
            *(str(row[key]) for key in ("gaps", "resyncs", "reconnects")),
            _micro(latency["p50"]),
            _micro(latency["p99"]),
        )
    return result


def best_table(rows: list[dict[str, Any]]) -> Table:
    """Return the table of the consolidated best, one row a symbol."""
    nets = any(row["bid_net"] or row["ask_net"] for row in rows)
    right = ("bid qty", "bid", "ask", "ask qty", *(("net bid", "net ask") if nets else ()))
    result = table("best of", "bid at", *right, "ask at", "left out", right=right)
    for row in rows:
        left_out = ", ".join(f"{each['venue']} {each['state']}" for each in row["excluded"])
        result.add_row(
            row["pair"],
            ", ".join(row["bid_venues"]) or "-",
            row["bid_qty"] or "-",
            row["bid"] or "-",
            row["ask"] or "-",
            row["ask_qty"] or "-",
            *((_cut(row["bid_net"]), _cut(row["ask_net"])) if nets else ()),
            ", ".join(row["ask_venues"]) or "-",
            f"[yellow]{left_out}[/]",
        )
    return result


def _cut(number: str | None, digits: int = 10) -> str:
    """Return a decimal text rounded to so many significant digits, for people."""
    return "-" if number is None else f"{float(number):.{digits}g}"


def print_impact(answer: dict[str, Any]) -> None:
    """Print what an order would do to the books."""
    out = console()
    wanted = answer["wanted_base"] and f"{answer['wanted_base']} base"
    out.print(
        f"{answer['side']} {wanted or answer['wanted_quote'] + ' quote'} of {answer['pair']}", style="bold"
    )
    rows = table("", "", right=("",))
    for label, key in (
        ("fills", "base_qty"), ("for", "quote_amount"), ("fees", "fee"), ("average", "average_price"),
        ("worst", "worst_price"), ("mid before", "mid"), ("impact bps", "impact_bps"),
        ("impact %", "impact_pct"), ("unfilled", "unfilled"),
    ):  # fmt: skip
        note = " (fees included)" if key == "average_price" and answer["is_fee_included"] else ""
        rows.add_row(label + note, _cut(answer[key]))
    out.print(rows)
    if answer["children"]:
        right = ("base qty", "quote", "fee", "limit price")
        children = table("venue", *right, right=right)
        for child in answer["children"]:
            children.add_row(
                child["venue"], child["base_qty"], _cut(child["quote_amount"]), _cut(child["fee"]),
                child["worst_price"],
            )  # fmt: skip
        out.print(children)
    for each in answer["excluded"]:
        out.print(f"left out: {each['venue']} {state_text(each['state'])} {each['reason']}")
    if answer["is_beyond_horizon"]:
        out.print("[yellow]deeper than a book surely knows: there may be more liquidity than was counted[/]")
    if answer["outcome"] != "filled":
        out.print("[red]insufficient depth[/]: the books hold no more")


def _micro(value: int | None) -> str:
    return "-" if value is None else f"{value / 1_000:.1f}"


def book_table(book: dict[str, Any]) -> Group:
    """Return the ladder of one book, best levels first, below a line that says whose it is."""
    result = table("bid qty", "bid", "ask", "ask qty", right=("bid qty", "bid"))
    heading = (
        f"[bold]{book['venue']} {book['pair']}[/]  {state_text(book['state'])}  "
        f"sequence {book['sequence']}  age {age_text(book['age_ms'])}"
    )
    bids, asks = book["bids"], book["asks"]
    for row in range(max(len(bids), len(asks))):
        bid = bids[row] if row < len(bids) else ["", ""]
        ask = asks[row] if row < len(asks) else ["", ""]
        result.add_row(bid[1], f"[green]{bid[0]}[/]", f"[red]{ask[0]}[/]", ask[1])
    return Group(heading, result)


def order_table(orders: list[dict[str, Any]]) -> Table:
    """Return a table of orders."""
    result = table(
        "venue",
        "pair",
        "id",
        "side",
        "qty",
        "filled",
        "price",
        "average",
        "state",
        "why",
        right=("qty", "filled", "price", "average"),
    )
    for order in orders:
        result.add_row(
            order["venue"],
            order["pair"],
            order["client_order_id"],
            order["side"],
            order["qty"],
            order["cum_qty"],
            order["price"] or "market",
            order["average_price"] or "",
            order["state"],
            order["reason"] or "",
        )
    return result


def print_status(status: dict[str, Any]) -> None:
    """Print the engine's health."""
    out = console()
    word = "[green]ready[/]" if status["ready"] else "[yellow]starting[/]"
    out.print(
        f"engine {status['version']} ({status['instance']}, pid {status['pid']}) {word}, up "
        f"{age_text(status['uptime_s'] * 1000)}, kernel {status['kernel']}, stalls {status['stalls']}"
    )
    if status["sim_trouble"]:
        out.print(f"[red]{status['sim_trouble']}[/]")
    right = ("live", "messages", "reconnects", "gaps", "resyncs", "rejected", "p50 us", "p99 us")
    rows = table("venue", "product", "state", *right, "feed ms", "fullest budget", right=(*right, "feed ms"))
    for venue in status["venues"]:
        latency = venue["wire_to_book_ns"]
        rows.add_row(
            venue["venue"],
            venue["product"],
            venue["state"],
            f"{venue['live']}/{venue['books']}",
            *[str(venue[key]) for key in ("messages", "reconnects", "gaps", "resyncs", "rejected")],
            f"{latency['p50'] / 1000:.1f}",
            f"{latency['p99'] / 1000:.1f}",
            feed_text(venue["feed_latency_ns"]),
            fullest_budget(venue["budget"]),
        )
    out.print(rows)
    print_stages(out, status["venues"])
    for venue in status["venues"]:
        if venue["error"]:
            out.print(f"  [red]{venue['venue']} {venue['product']}[/]: {escape(venue['error'])}")
        for each in venue["not_live"]:
            out.print(f"  {venue['venue']} {each['pair']}: {state_text(each['state'])} {each['reason']}")
    if status["recorder"] is not None:
        print_recorder(out, status["recorder"])
    for desk in status["trading"]:
        if desk["stranded"] is not None:
            print_stranded(out, desk)
    if status.get("orders"):
        out.print(order_table(status["orders"]))


def print_stages(out: Console, venues: list[dict[str, Any]]) -> None:
    """Print where frames spend their time, p50 / p99 of each stage, where that is stamped."""
    stamped = [venue for venue in venues if venue["frame_stages_ns"]]
    if not stamped:
        return
    names = list(stamped[0]["frame_stages_ns"])
    titles = [name.replace("_", " ").replace(" to ", "\nto ") for name in names]
    rows = table("frames, us\n(p50 / p99)", "product", *titles, right=tuple(titles))
    for venue in stamped:
        stages = venue["frame_stages_ns"]
        cells = [f"{stages[name]['p50'] / 1000:.2f} / {stages[name]['p99'] / 1000:.1f}" for name in names]
        rows.add_row(venue["venue"], venue["product"], *cells)
    out.print(rows)


def print_recorder(out: Console, stats: dict[str, Any]) -> None:
    """Print what the recorder has done, and what it could not do."""
    missing = stats["rows_dropped"] + stats["rows_lost"]
    out.print(
        f"recorder: {stats['rows_written']} rows in {stats['files']} files"
        + (f", [red]{stats['rows_dropped']} dropped, {stats['rows_lost']} lost[/]" if missing else "")
        + (f"; [red]cannot write: {escape(stats['error'])}[/]" if stats["error"] else "")
    )


def feed_text(view: dict[str, int] | None) -> str:
    """Return median feed latency in milliseconds, and how far two clocks may be off it; "" = not measured."""
    return "" if view is None else f"{view['p50'] / 1e6:.1f} ±{view['error_ns'] / 1e6:.1f}"


def fullest_budget(budget: dict[str, str]) -> str:
    """Return the request window of which the largest part is used; ``--json`` has all of them."""

    def share(used: str) -> float:
        count, _, limit = used.partition("/")
        return int(count) / max(1, int(limit))

    name = max(budget, key=lambda each: share(budget[each]), default="")
    return f"{name} {budget[name]}" if name and share(budget[name]) else "-"


def print_stranded(out: Console, desk: dict[str, Any]) -> None:
    """Print what a venue that cannot be reached was last known to hold, each line with its age."""
    stranded = desk["stranded"]
    name = f"{desk['venue']} {desk['product']}"
    out.print(
        f"[red]STRANDED[/] {name}: nothing heard for {age_text(stranded['silent_s'] * 1000)} "
        f"({escape(str(stranded['reason']))}); last known:"
    )

    def old(row: dict[str, Any]) -> str:
        return "age unknown" if row["age_s"] is None else f"{age_text(row['age_s'] * 1000)} old"

    for pair, row in stranded["positions"].items():
        out.print(f"  position {pair}: {row['qty']} at {row['entry_price']}, {old(row)}")
    for row in stranded["orders"]:
        words = f"{row['side']} {row['leaves_qty']} left, {row['state']}"
        out.print(f"  order {row['client_order_id']} {row['pair']}: {words}, {old(row)}")
    for asset, row in stranded["balances"].items():
        out.print(f"  balance {asset}: {row['free']} free, {row['locked']} locked, {old(row)}")


def matrix_table(title: str, rows: list[dict[str, Any]]) -> Table:
    """Return the capabilities of one product: a column for each venue, a line for each of its words."""
    result = table(title, *(str(row["venue"]) for row in rows))
    for column in result.columns:
        column.overflow, column.no_wrap = "fold", False
    for key in rows[0] if rows else ():
        if key not in ("venue", "product"):
            result.add_row(key.replace("_", " "), *(_cell(row[key]) for row in rows))
    result.add_row()
    return result


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "-"
    if isinstance(value, dict):
        return "; ".join(f"{name}: {why}" for name, why in value.items()) or "-"
    if isinstance(value, list | tuple):
        return ", ".join(str(each) for each in value) or "-"
    return str(value) or "-"
