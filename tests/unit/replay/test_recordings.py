"""Recorded traffic: four layouts told by content, exact times, errors that name the line."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import pytest

from engine.replay import recordings
from engine.replay.recordings import (
    Record,
    RecordFormat,
    RecordingError,
    RecordKind,
    format_of,
    read_recording,
    read_recordings,
)

FRAME = '{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate"}}'
SNAPSHOT = '{"lastUpdateId":160,"bids":[],"asks":[]}'
HFTBACKTEST = f"1723161253937085768 {FRAME}\n1723161253937085769 {SNAPSHOT}\n"
WS = (
    "wss://stream.binance.com:9443/stream?streams=btcusdt@depth@100ms <-> 1633998510.5\n"
    f"1633998513.377805: {FRAME}\n"
    "\n"
    "wss://stream.binance.com:9443/stream?streams=btcusdt@depth@100ms <-> 1633998520\n"
    f'1633998521: {{"result":null,"id":1}}\n'
)
HTTP = (
    f"https://api.binance.com/api/v3/depth?symbol=BTCUSDT&limit=1000 -> 1633998514.25: {SNAPSHOT}\n"
    'https://api.binance.com/api/v3/exchangeInfo -> 1633998511.1: {"symbols":[]}\n'
    'https://api.binance.com/api/v3/depth?symbol=X -> 1633998512: {"code":-1121}\n'
    'configuration: {"trades":[]}\n'
)


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_hftbacktest_with_its_inline_snapshot(tmp_path: Path) -> None:
    path = write(tmp_path, "any.name", HFTBACKTEST)
    assert format_of(path) is RecordFormat.HFTBACKTEST
    assert list(read_recording(path)) == [
        Record(1723161253937085768, RecordKind.FRAME, "btcusdt@depth@100ms", FRAME.encode(), 1),
        Record(1723161253937085769, RecordKind.SNAPSHOT, "BTCUSDT", SNAPSHOT.encode(), 2),
    ]


def test_gzip_is_told_by_content(tmp_path: Path) -> None:
    path = tmp_path / "no_suffix"
    path.write_bytes(gzip.compress(HFTBACKTEST.encode()))
    assert [record.line for record in read_recording(path)] == [1, 2]


def test_a_snapshot_among_several_symbols_has_no_name(tmp_path: Path) -> None:
    other = HFTBACKTEST.replace("btcusdt", "ethusdt").splitlines()[0]
    path = write(tmp_path, "two.rec", f"{other}\n{HFTBACKTEST}")
    assert list(read_recording(path))[-1].name == ""


def test_cryptofeed_frames_keep_exact_times_and_skip_connect_lines(tmp_path: Path) -> None:
    path = write(tmp_path, "x.ws.txt", WS)
    assert format_of(path) is RecordFormat.CRYPTOFEED_WS
    assert [(record.recv_utc_ns, record.name, record.line) for record in read_recording(path)] == [
        (1633998513377805000, "btcusdt@depth@100ms", 2),
        (1633998521000000000, "", 5),
    ]


def test_cryptofeed_answers_are_told_apart(tmp_path: Path) -> None:
    path = write(tmp_path, "x.http.txt", HTTP)
    assert format_of(path) is RecordFormat.CRYPTOFEED_HTTP
    assert [(record.kind, record.name) for record in read_recording(path)] == [
        (RecordKind.SNAPSHOT, "BTCUSDT"),
        (RecordKind.INSTRUMENTS, ""),
        (RecordKind.HTTP, "X"),
    ]


def test_json_lines_have_no_times(tmp_path: Path) -> None:
    path = write(tmp_path, "x.jsonl", f"{FRAME}\n\n[1]\n")
    assert format_of(path) is RecordFormat.JSONL
    assert [(record.recv_utc_ns, record.line) for record in read_recording(path)] == [(0, 1), (0, 3)]


def test_files_are_merged_by_receive_time(tmp_path: Path) -> None:
    paths = [write(tmp_path, "x.ws.txt", WS), write(tmp_path, "x.http.txt", HTTP.splitlines()[0])]
    kinds = [record.kind for record in read_recordings(paths)]
    assert kinds == [RecordKind.FRAME, RecordKind.SNAPSHOT, RecordKind.FRAME]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 0, "empty"),
        ("\n\n", 0, "empty"),
        ("hello\n", 1, "unknown format"),
        ("\nhello\n", 2, "unknown format"),
        (HFTBACKTEST + "garbage\n", 3, "<UTC ns> <message>"),
        (HFTBACKTEST + "17231612539 {}\n", 3, "<UTC ns> <message>"),
        (WS + "1633998521 {}\n", 6, "<unix s>: <message>"),
        (HTTP + "ftp://x -> 1633998511: {}\n", 5, "<url> -> <unix s>: <body>"),
        (f"{FRAME}\nplain\n", 2, "not a JSON message"),
    ],
)
def test_errors_name_file_and_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    path = write(tmp_path, "bad.rec", text)
    with pytest.raises(RecordingError) as caught:
        list(read_recording(path))
    assert (caught.value.path, caught.value.line) == (path, line)
    assert str(caught.value).startswith(f"{path}:{line}: " if line else f"{path}: ")
    assert words in str(caught.value)


def test_records_before_the_bad_line_are_kept(tmp_path: Path) -> None:
    reader = read_recording(write(tmp_path, "bad.rec", HFTBACKTEST + "garbage\n"))
    assert [next(reader).line, next(reader).line] == [1, 2]
    with pytest.raises(RecordingError):
        next(reader)


def test_files_that_cannot_be_opened_or_unpacked(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="cannot be read"):
        list(read_recording(tmp_path / "absent"))
    with pytest.raises(RecordingError, match="cannot be read"):
        format_of(tmp_path)
    with pytest.raises(RecordingError, match=r"absent: cannot be read: No such file or directory$"):
        format_of(tmp_path / "absent")
    whole = gzip.compress(HFTBACKTEST.encode() * 500)
    for name, damaged in (("cut", whole[:-20]), ("flipped", whole[:40] + b"\x00\x00" + whole[42:])):
        path = tmp_path / name
        path.write_bytes(damaged)
        with pytest.raises(RecordingError, match="cannot be read"):
            list(read_recording(path))


def test_endless_lines_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordings, "LINE_BYTES_MAX", 100)
    path = write(tmp_path, "long.jsonl", f'{{}}\n{{"x":"{"y" * 200}"}}\n')
    with pytest.raises(RecordingError, match="longer than 100 bytes") as caught:
        list(read_recording(path))
    assert caught.value.line == 2


@pytest.mark.parametrize(
    ("name", "kinds", "snapshots"),
    [
        ("spot_btcusdt_20240808.rec.gz", {"frame": 13753, "snapshot": 1}, [("BTCUSDT", 8)]),
        ("usdm_btcusdt_20240808.rec.gz", {"frame": 15738, "snapshot": 1}, [("BTCUSDT", 55)]),
        ("spot_btcusdt_20240808.head.rec", {"frame": 299, "snapshot": 1}, [("BTCUSDT", 8)]),
        ("cryptofeed_spot_2021.ws.txt", {"frame": 265}, []),
        ("cryptofeed_usdm_2021.ws.txt", {"frame": 1535}, []),
        (
            "cryptofeed_spot_2021.http.txt",
            {"snapshot": 4},
            [("NKNUSDT", 1), ("BLZETH", 2), ("LRCBTC", 3), ("RUNEEUR", 4)],
        ),
        ("cryptofeed_usdm_2021.exchangeinfo.txt.gz", {"instruments": 1}, []),
        ("ws_frames_2026.jsonl", {"frame": 14}, []),
    ],
)
def test_real_recordings(
    shared_fixtures: Path, name: str, kinds: dict[str, int], snapshots: list[tuple[str, int]]
) -> None:
    records = list(read_recording(shared_fixtures / "binance" / name))
    assert Counter(record.kind.value for record in records) == kinds
    found = [(each.name, each.line) for each in records if each.kind is RecordKind.SNAPSHOT]
    assert found == snapshots
    times = [record.recv_utc_ns for record in records]
    assert times == sorted(times)
