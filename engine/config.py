"""``engine.toml`` as frozen Structs: every section, its unit, its bound, and errors that name the key.

Loading never touches the network. ``load`` reads a TOML file, decodes it strictly (an unknown key, a
wrong type or an impossible value is one clear line) and ``credentials_for`` reads keys from systemd
credentials, the environment or ``.env``.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from engine.model.errors import ConfigError

Environment = Literal["sim", "testnet", "live"]
VENUES = ("binance", "bitmart", "bybit", "kucoin", "okx")
"""Venues this build can talk to; wiring has the adapters."""

_FEE = re.compile(r"^-?0(\.[0-9]{1,8})?$")
_INSTANCE = re.compile(r"^[a-z0-9]{1,4}$")
_SPOT = re.compile(r"^[^/:\s]+/[^/:\s]+$")
_PERP = re.compile(r"^[^/:\s]+/[^/:\s]+:[^/:\s-]+$")


class EngineSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[engine]``: identity and places."""

    instance: str = "te1"
    """1-4 lower-case letters or digits; begins every client order id, so keep it unique per key."""
    data_dir: str = "data"
    """Recordings and state (boot epoch); created with mode 0700."""
    control_socket: str = "run/engine.sock"
    """Local control socket, mode 0600; commands use a running daemon through it. Empty: none."""
    ready_grace_ms: int = 10_000
    """A venue product that is not up this long after the start holds READY back no longer."""


class LoopSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[loop]``: how the event loop waits."""

    busy_poll: Literal["off", "adaptive", "always"] = "off"
    """``adaptive`` spins while frames come and blocks after ``busy_poll_ms`` of silence."""
    busy_poll_ms: int = 2
    cpu: int = -1
    """Core to pin the process to; -1 leaves it to the scheduler."""
    gc_freeze: bool = True
    """Move start-up objects out of the collector's sight once everything is LIVE."""


class TradingSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[trading]``: consent and limits for orders."""

    live_orders: bool = False
    """Orders reach a real exchange only if this is true *and* that venue's environment is "live"."""
    request_timeout_ms: int = 3_000
    """After this an unanswered order request is IN_DOUBT (late answers still count)."""
    transport: Literal["rest", "ws"] = "rest"
    """Default order-entry transport."""
    open_orders_max: int = 200
    """Per instrument; a place beyond it is refused locally."""
    stranded_after_ms: int = 60_000
    """An account of which its venue told nothing for this long is shown as stranded, with the ages of all."""


class MarketDataSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[market_data]``: bounds of the book machinery."""

    topics: tuple[str, ...] = ("depth", "trades", "top_of_book", "funding")
    buffer_frames_max: int = 5_000
    """Deltas kept per instrument while its snapshot is on the way."""
    snapshot_concurrency: int = 4
    """Snapshots asked for at the same time, per venue product."""
    snapshot_timeout_ms: int = 5_000
    stale_after_ms: int = 5_000
    """A LIVE book without any message on its connection for this long is STALE."""
    audit_interval_ms: int = 10_000
    """One book of a venue product is compared with a REST answer every so often; 0 = never."""
    silence_floor_ms: int = 5_000
    """A topic's learnt silence budget is never shorter. A silent topic is audited, not believed dead."""
    silence_ceiling_ms: int = 60_000
    """Nor longer, until an audit says that it is merely quiet."""
    listing_interval_ms: int = 300_000
    """Each venue's instruments are read again every so often: statuses, ticks, lots, limits; 0 = never."""
    clock_interval_ms: int = 30_000
    """Each venue's clock is measured this often by its public time request, and whenever in doubt."""
    clock_drift_ppm: int = 200
    """How fast a venue's clock and ours may part: the measured interval widens by this with its age."""
    frame_stages: bool = False
    """Stamp six stages of every depth frame (``status`` shows them); a fifth more CPU on small frames."""


class RecorderSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[recorder]``: market data to Parquet."""

    enabled: bool = False
    directory: str = "data/parquet"
    flush_interval_ms: int = 10_000
    batch_rows: int = 100_000
    """Rows of one column set; three sets rotate."""
    snapshot_interval_ms: int = 5_000
    """Top-N snapshots; 0 = none."""
    snapshot_depth: int = 20
    writer: Literal["process", "thread"] = "process"


class LogSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[log]``: structured logs on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"
    """``auto``: console on a terminal, JSON lines otherwise."""


class SimSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[sim]``: the simulated exchange behind every venue with ``environment = "sim"``."""

    endpoints: str = ""
    """JSON file written by a simulated exchange that runs already; empty: start an embedded one."""
    config: str = "config/sim.toml"
    seed: int = 7
    rate: int = 400
    """Depth diffs per second per venue product, in total over its instruments."""
    tls: bool = False


class InstrumentsSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[venues.X.instruments]``: universal symbols to serve, per product."""

    spot: tuple[str, ...] = ()
    perp: tuple[str, ...] = ()


class TakerFeesSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[venues.X.taker_fees]``: what the account's fee level costs a taker, as part of the quote amount."""

    spot: str = ""
    """``"0.001"`` is 0.1 %; empty: unknown, and questions that need it are refused."""
    perp: str = ""


class VenueSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[venues.X]``: one exchange."""

    enabled: bool = True
    environment: Environment = "sim"
    products: tuple[Literal["spot", "perp"], ...] = ("spot", "perp")
    instruments: InstrumentsSection = InstrumentsSection()
    taker_fees: TakerFeesSection = TakerFeesSection()
    depth_speed: str = ""
    """Venue's own word for the depth cadence (Binance: "100ms"); empty: the fastest documented."""
    trade_stream: str = ""
    """Venue's own word for the public trades of perpetuals (Binance: "trade", "aggTrade"); empty: "trade"."""
    region: str = ""
    """Which of the venue's sites a key belongs to, where it has several (OKX: "global", "eea", "us")."""
    streams: str = ""
    """Which public interface serves market data, where the venue has two (KuCoin: "unified", "classic");
    empty: the newer."""
    account: str = ""
    """What kind of account the key belongs to, where orders depend on it (KuCoin: "classic", "unified");
    empty: "classic"."""
    margin_mode: str = ""
    """As the account has it set for its contracts, where orders must repeat it (KuCoin: "isolated", "cross");
    empty: "isolated"."""
    leverage: int = 0
    """Of orders that open a position, where orders must say it (KuCoin); 0: 1."""
    key_version: int = 0
    """As the venue lists it for the key, where it has several (KuCoin: 2 or 3); 0: the newest."""
    twin_connections: bool = False
    """Two market-data connections for every one: the first copy of an update wins, either may die."""
    credentials: str = ""
    """Name prefix of the key variables; empty: the venue's name in capitals."""


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    engine: EngineSection = EngineSection()
    loop: LoopSection = LoopSection()
    trading: TradingSection = TradingSection()
    market_data: MarketDataSection = MarketDataSection()
    recorder: RecorderSection = RecorderSection()
    log: LogSection = LogSection()
    sim: SimSection = SimSection()
    venues: dict[str, VenueSection] = {}

    def orders_allowed(self, venue: str) -> bool:
        """Tell whether orders may leave for ``venue``: always simulated, a real one by double consent."""
        section = self.venues[venue]
        if section.environment == "live":
            return self.trading.live_orders
        return True


_BOUNDS: dict[tuple[str, str], tuple[int, int]] = {
    ("engine", "ready_grace_ms"): (0, 600_000),
    ("loop", "busy_poll_ms"): (1, 10_000),
    ("loop", "cpu"): (-1, 4_095),
    ("trading", "request_timeout_ms"): (50, 60_000),
    ("trading", "open_orders_max"): (1, 10_000),
    ("trading", "stranded_after_ms"): (1_000, 86_400_000),
    ("market_data", "buffer_frames_max"): (10, 1_000_000),
    ("market_data", "snapshot_concurrency"): (1, 64),
    ("market_data", "snapshot_timeout_ms"): (100, 60_000),
    ("market_data", "stale_after_ms"): (100, 3_600_000),
    ("market_data", "audit_interval_ms"): (0, 3_600_000),
    ("market_data", "silence_floor_ms"): (200, 3_600_000),
    ("market_data", "silence_ceiling_ms"): (200, 3_600_000),
    ("market_data", "listing_interval_ms"): (0, 86_400_000),
    ("market_data", "clock_interval_ms"): (1_000, 3_600_000),
    ("market_data", "clock_drift_ppm"): (1, 100_000),
    ("recorder", "flush_interval_ms"): (100, 3_600_000),
    ("recorder", "batch_rows"): (1_000, 10_000_000),
    ("recorder", "snapshot_interval_ms"): (0, 3_600_000),
    ("recorder", "snapshot_depth"): (1, 5_000),
    ("sim", "seed"): (0, 2**63 - 1),
    ("sim", "rate"): (1, 200_000),
}

TOPICS = ("depth", "trades", "top_of_book", "funding")


def load(path: Path) -> Config:
    """Read and check one configuration file.

    Raises:
        ConfigError: the file is missing, is not TOML, or holds something unusable.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); give another file with --config FILE"
        ) from None
    try:
        data = tomllib.loads(text.decode())
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    return decode(data, str(path))


def decode(data: Mapping[str, Any], source: str = "configuration") -> Config:
    """Turn plain TOML data into a checked :class:`Config`; raises ConfigError."""
    for where, key, known in _unknown_keys(data, Config, ""):
        raise ConfigError(f"{source}: unknown key {where}{key}; {_nearest(key, known)}")
    try:
        venues = data.get("venues", {})
        for venue, section in venues.items() if isinstance(venues, Mapping) else ():
            try:
                msgspec.convert(section, VenueSection)
            except msgspec.ValidationError as error:
                key = f"venues.{venue}"
                raise ConfigError(f"{source}: {_readable(str(error), VenueSection, key)}") from None
        config = msgspec.convert(data, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{source}: {_readable(str(error), Config, '')}") from None
    problem = _problem(config)
    if problem:
        raise ConfigError(f"{source}: {problem}")
    return config


def _unknown_keys(
    data: Mapping[str, Any], struct: type[msgspec.Struct], where: str
) -> Iterable[tuple[str, str, tuple[str, ...]]]:
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(struct)}
    for key, value in data.items():
        if key not in fields:
            yield where, key, tuple(fields)
            continue
        if not isinstance(value, Mapping):
            continue
        inner = fields[key]
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            yield from _unknown_keys(value, inner, f"{where}{key}.")
        elif key == "venues":
            for venue, section in value.items():
                if venue not in VENUES:
                    yield f"{where}{key}.", venue, VENUES
                elif isinstance(section, Mapping):
                    yield from _unknown_keys(section, VenueSection, f"{where}{key}.{venue}.")


def _nearest(word: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return f'did you mean "{close[0]}"?' if close else f"known here: {', '.join(names)}"


def _readable(text: str, struct: type[msgspec.Struct], prefix: str) -> str:
    """Turn msgspec's message into ``key: what is wrong; what would be right``."""
    message, _, where = text.partition(" - at ")
    path = re.sub(r"\[(\.\.\.|[0-9]+)\]", "[]", where.strip("`").removeprefix("$").removeprefix("."))
    key = ".".join(part for part in (prefix, path) if part)
    wrong = re.fullmatch(r"Invalid enum value '(.*)'", message)
    if wrong:
        choices = _choices(struct, path.replace("[]", "").split("."))
        return f'{key}: "{wrong[1]}" is not one of {", ".join(choices)}; {_nearest(wrong[1], choices)}'
    return f"{key}: {message}" if key else message


def _choices(struct: type[msgspec.Struct], path: list[str]) -> tuple[str, ...]:
    kind: Any = struct
    for name in path:
        kind = next(field.type for field in msgspec.structs.fields(kind) if field.encode_name == name)
    arguments = get_args(kind)
    if arguments and not isinstance(arguments[0], str):  # tuple[Literal[...], ...]
        arguments = get_args(arguments[0])
    return tuple(str(value) for value in arguments)


def _problem(config: Config) -> str | None:
    for (section, key), (low, high) in _BOUNDS.items():
        value = getattr(getattr(config, section), key)
        if not low <= value <= high:
            return f"{section}.{key} = {value} must lie between {low} and {high}"
    if not _INSTANCE.match(config.engine.instance):
        return f'engine.instance = "{config.engine.instance}" must be 1-4 of a-z and 0-9'
    for topic in config.market_data.topics:
        if topic not in TOPICS:
            return f'market_data.topics: "{topic}" is not a topic; {_nearest(topic, TOPICS)}'
    if config.market_data.silence_floor_ms > config.market_data.silence_ceiling_ms:
        return "market_data.silence_floor_ms must not be above market_data.silence_ceiling_ms"
    if "depth" not in config.market_data.topics:
        return 'market_data.topics must contain "depth": books are what everything else stands on'
    if not any(venue.enabled for venue in config.venues.values()):
        return f"no venue is enabled; add [venues.{VENUES[0]}] with enabled = true"
    for name, venue in config.venues.items():
        problem = _venue_problem(name, venue)
        if problem:
            return problem
    return None


def _venue_problem(name: str, venue: VenueSection) -> str | None:
    if not venue.products:
        return f'venues.{name}.products is empty; use ["spot"], ["perp"] or both'
    for product, pattern, example in (("spot", _SPOT, "BTC/USDT"), ("perp", _PERP, "BTC/USDT:USDT")):
        symbols: tuple[str, ...] = getattr(venue.instruments, product)
        fee: str = getattr(venue.taker_fees, product)
        if fee and not _FEE.match(fee):
            return f'venues.{name}.taker_fees.{product} = "{fee}" is not a part such as "0.001" (0.1 %)'
        if product in venue.products and not symbols and venue.enabled:
            return f"venues.{name}.instruments.{product} is empty; list at least one, e.g. {example}"
        for symbol in symbols:
            if not pattern.match(symbol):
                return f'venues.{name}.instruments.{product}: "{symbol}" is not of the form {example}'
        if len(set(symbols)) != len(symbols):
            twice = next(symbol for symbol in symbols if symbols.count(symbol) > 1)
            return f'venues.{name}.instruments.{product}: "{twice}" is listed twice'
    return None


# ------------------------------------------------------------------------------------------------ keys

KEY_NAMES: dict[str, tuple[str, ...]] = {
    "binance": ("API_KEY", "API_SECRET"),
    "kucoin": ("API_KEY", "API_SECRET", "API_PASSPHRASE"),
    "bybit": ("API_KEY", "API_SECRET"),
    "okx": ("API_KEY", "API_SECRET", "API_PASSPHRASE"),
    "bitmart": ("API_KEY", "API_SECRET", "API_MEMO"),
}
"""Suffixes of the key variables of each venue, after ``<PREFIX>_``."""


def key_values(prefix: str, venue: str, environ: Mapping[str, str], dotenv: Path) -> tuple[str, ...] | None:
    """Return the key texts of one venue, or ``None`` when it has none.

    Looked up in this order: systemd credentials (``$CREDENTIALS_DIRECTORY/<NAME>``), the environment,
    the ``.env`` file. A partly given set is an error, an absent one is public-data-only operation.

    Raises:
        ConfigError: some but not all names are set, or the ``.env`` file is readable by others.
    """
    names = [f"{prefix}_{suffix}" for suffix in KEY_NAMES[venue]]
    values: dict[str, str] = {}
    directory = environ.get("CREDENTIALS_DIRECTORY")
    file_values = read_dotenv(dotenv)
    for name in names:
        text = ""
        if directory and (Path(directory) / name).is_file():
            text = _secret_text(Path(directory) / name).strip()
        text = text or environ.get(name, "") or file_values.get(name, "")
        if text:
            values[name] = text
    if not values:
        return None
    missing = [name for name in names if name not in values]
    if missing:
        raise ConfigError(
            f"{venue}: {', '.join(missing)} not set although {next(iter(values))} is; see env.example"
        )
    return tuple(values[name] for name in names)


def read_dotenv(path: Path) -> dict[str, str]:
    """Return the ``NAME=value`` lines of a ``.env`` file; empty when there is none.

    Raises:
        ConfigError: the file holds secrets and others may read it, it cannot be read, or a line is malformed.
    """
    try:
        stat = path.stat()
    except OSError:
        return {}
    if stat.st_mode & 0o077:
        raise ConfigError(f"{path}: others can read this file of secrets; run: chmod 600 {path}")
    values: dict[str, str] = {}
    for number, line in enumerate(_secret_text(path).splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        name, equals, value = stripped.removeprefix("export ").partition("=")
        if not equals or not re.fullmatch(r"[A-Z][A-Z0-9_]*", name.strip()):
            raise ConfigError(f"{path}: line {number} is not NAME=value")
        value = value.strip()
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        values[name.strip()] = value.replace("\\n", "\n")
    return values


def _secret_text(path: Path) -> str:
    """Return a file's text; an error names the file and never shows what stands in it."""
    try:
        return path.read_text()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text; write NAME=value lines (see env.example)") from None


def default_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where the configuration is looked for: ``$ENGINE_CONFIG`` or ``engine.toml``."""
    return Path(environ.get("ENGINE_CONFIG", "engine.toml"))
