"""Configuration: what is refused, and that each refusal names the key and the way out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine import config as configuration
from engine.model.errors import ConfigError
from engine.supervisor.wiring import credentials_for

ROOT = Path(__file__).resolve().parents[2]
VENUE: dict[str, Any] = {"instruments": {"spot": ["BTC/USDT"], "perp": ["BTC/USDT:USDT"]}}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"lop": {}}, 'unknown key lop; did you mean "loop"?'),
        ({"loop": {"bussy_poll": "off"}}, 'unknown key loop.bussy_poll; did you mean "busy_poll"?'),
        ({"venues": {"binanse": {}}}, 'unknown key venues.binanse; did you mean "binance"?'),
        ({"venues": {"binance": {"instrments": {}}}}, 'did you mean "instruments"?'),
        ({"loop": {"busy_poll": "adaptiv"}}, 'loop.busy_poll: "adaptiv" is not one of off, adaptive, always'),
        ({"loop": {"cpu": "one"}}, "loop.cpu: Expected `int`, got `str`"),
        ({"loop": {"cpu": True}}, "loop.cpu: Expected `int`, got `bool`"),
        ({"loop": {"busy_poll_ms": 0}}, "loop.busy_poll_ms = 0 must lie between 1 and 10000"),
        ({"engine": {"instance": "Too Long!"}}, "engine.instance"),
        ({"venues": {"binance": {**VENUE, "environment": "prod"}}}, "environment: \"prod\" is not one of"),
        ({"venues": {"binance": {**VENUE, "products": ["spott"]}}}, 'venues.binance.products[]: "spott"'),
        ({"venues": {"binance": {**VENUE, "products": []}}}, "venues.binance.products is empty"),
        ({"venues": {"binance": {"instruments": {"spot": ["BTCUSDT"]}}}}, '"BTCUSDT" is not of the form'),
        ({"venues": {"binance": {"instruments": {"spot": ["A/B", "A/B"]}}}}, '"A/B" is listed twice'),
        ({"venues": {"binance": {"products": ["perp"]}}}, "venues.binance.instruments.perp is empty"),
        ({"market_data": {"topics": ["depth", "trade"]}}, '"trade" is not a topic; did you mean "trades"?'),
        ({"market_data": {"topics": ["trades"]}}, 'must contain "depth"'),
        ({}, "no venue is enabled"),
        ({"venues": {"binance": {**VENUE, "enabled": False}}}, "no venue is enabled"),
    ],
)  # fmt: skip
def test_refusals(data: dict[str, Any], expected: str) -> None:
    if "venues" not in data and data:
        data = {**data, "venues": {"binance": VENUE}}
    with pytest.raises(ConfigError) as caught:
        configuration.decode(data, "x.toml")
    text = str(caught.value)
    assert expected in text
    assert text.startswith("x.toml: ")
    assert "\n" not in text


@pytest.mark.parametrize(
    "name", ["engine.toml", "config/engine-sim.toml", "config/engine-testnet.toml", "config/engine-live.toml"]
)
def test_shipped_files_load(name: str) -> None:
    config = configuration.load(ROOT / name)
    assert len(config.venues["binance"].instruments.spot) >= 10
    assert len(config.venues["binance"].instruments.perp) >= 10


def test_what_is_written_in_engine_toml_are_the_defaults() -> None:
    shipped = configuration.load(ROOT / "engine.toml")
    plain = configuration.decode({"venues": {"binance": VENUE}})
    for section in ("engine", "loop", "trading", "market_data", "recorder", "log", "sim"):
        assert getattr(shipped, section) == getattr(plain, section), section


def test_live_orders_need_both_consents() -> None:
    def allowed(environment: str, live_orders: bool) -> bool:
        data = {
            "venues": {"binance": {**VENUE, "environment": environment}},
            "trading": {"live_orders": live_orders},
        }
        return configuration.decode(data).orders_allowed("binance")

    assert not allowed("live", False)
    assert allowed("live", True)
    assert allowed("sim", False)
    assert allowed("testnet", False)


def test_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        configuration.load(tmp_path / "none.toml")
    bad = tmp_path / "bad.toml"
    bad.write_text("[loop\n")
    with pytest.raises(ConfigError, match="not valid TOML"):
        configuration.load(bad)
    bad.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        configuration.load(bad)


def test_keys_come_from_credentials_environment_or_dotenv_in_this_order(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("# keys\nBINANCE_API_KEY='file-key'\nexport BINANCE_API_SECRET=file-secret\n")
    dotenv.chmod(0o600)
    values = configuration.key_values("BINANCE", "binance", {}, dotenv)
    assert values == ("file-key", "file-secret")
    environ = {"BINANCE_API_KEY": "env-key"}
    assert configuration.key_values("BINANCE", "binance", environ, dotenv) == ("env-key", "file-secret")
    credentials = tmp_path / "creds"
    credentials.mkdir()
    (credentials / "BINANCE_API_KEY").write_text("cred-key\n")
    environ["CREDENTIALS_DIRECTORY"] = str(credentials)
    assert configuration.key_values("BINANCE", "binance", environ, dotenv) == ("cred-key", "file-secret")


def test_half_a_set_of_keys_and_open_files_are_refused(tmp_path: Path) -> None:
    assert configuration.key_values("BINANCE", "binance", {}, tmp_path / ".env") is None
    with pytest.raises(ConfigError, match="BINANCE_API_SECRET not set although BINANCE_API_KEY is"):
        configuration.key_values("BINANCE", "binance", {"BINANCE_API_KEY": "x"}, tmp_path / ".env")
    dotenv = tmp_path / ".env"
    dotenv.write_text("BINANCE_API_KEY=x\n")
    dotenv.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        configuration.read_dotenv(dotenv)
    dotenv.chmod(0o600)
    dotenv.write_text("what is this\n")
    with pytest.raises(ConfigError, match="line 1 is not NAME=value"):
        configuration.read_dotenv(dotenv)


def test_secrets_do_not_show(tmp_path: Path) -> None:
    data = {"venues": {"binance": {**VENUE, "environment": "live"}}}
    config = configuration.decode(data)
    environ = {"BINANCE_API_KEY": "canary-key", "BINANCE_API_SECRET": "canary-secret"}
    credentials = credentials_for("binance", config, environ, tmp_path / ".env")
    assert credentials is not None
    assert credentials.secret.reveal() == "canary-secret"
    for shown in (repr(credentials), str(credentials), f"{credentials.secret}", repr(vars)):
        assert "canary" not in shown


def test_simulated_venues_never_see_real_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    config = configuration.decode({"venues": {"binance": VENUE}})
    environ = {"BINANCE_API_KEY": "real-key", "BINANCE_API_SECRET": "real-secret"}
    credentials = credentials_for("binance", config, environ, tmp_path / ".env")
    assert credentials is not None
    assert credentials.key.reveal().startswith("simAlice")


@pytest.mark.parametrize(
    "content", [b"OKX_API_KEY=CANARY\xff\n", b"OKX_API_KEY\n", b"=CANARY\n", b"CANARY OKX\n"]
)
def test_a_dotenv_that_makes_no_sense_is_told_without_what_is_in_it(tmp_path: Path, content: bytes) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_bytes(content)
    dotenv.chmod(0o600)
    with pytest.raises(ConfigError) as caught:
        configuration.key_values("OKX", "okx", {}, dotenv)
    assert str(dotenv) in str(caught.value)
    assert "CANARY" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_credential_or_dotenv_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    folder = tmp_path / ".env"
    folder.mkdir(mode=0o700)
    with pytest.raises(ConfigError, match="cannot be read"):
        configuration.key_values("OKX", "okx", {}, folder)
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "OKX_API_KEY").write_bytes(b"\xff\xfe")
    environ = {"CREDENTIALS_DIRECTORY": str(credentials)}
    with pytest.raises(ConfigError, match="OKX_API_KEY: is not UTF-8"):
        configuration.key_values("OKX", "okx", environ, tmp_path / "none")
