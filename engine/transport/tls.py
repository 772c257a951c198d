"""TLS contexts: verification is always on; a test exchange brings its own authority."""

from __future__ import annotations

import ssl

from engine.model.errors import ConfigError


def client_context(ca_file: str | None = None) -> ssl.SSLContext:
    """Return a verifying client context, TLS 1.2 or newer.

    Args:
        ca_file: trust this authority instead of the system's.

    Raises:
        ConfigError: the file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"certificate authority {ca_file}: {error}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
