"""Where an API stands, how long to wait for it, and what it costs."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from edgevision.errors import UsageError


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """An OpenAI-compatible chat endpoint that takes images. Raises `UsageError`. Holds no key."""

    url: str
    """Base URL, as in the provider's manual: ``https://HOST/v1``."""
    model: str
    key_env: str = "EDGEVISION_API_KEY"
    """The environment variable that holds the key; none is sent where it is not set."""
    timeout_s: float = 60.0
    """For one try, from connecting to the last byte."""
    retries: int = 2
    """Further tries after a refused connection, a timeout, 408, 429 or 5xx."""
    backoff_s: float = 0.5
    """Before the first retry; doubled each time; at most `MOST_WAIT_S`, also where the server asks for more."""
    max_tokens: int = 512
    max_side_px: int = 1024
    """A larger frame is scaled down before it is sent."""
    price_in: float | None = None
    """For a million tokens in, in whatever currency."""
    price_out: float | None = None
    extra: dict[str, object] = field(default_factory=dict)
    """Further fields of the request, as the provider wants them."""

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            parts.port  # noqa: B018  (raises where it is no number)
        except ValueError:
            raise UsageError("API address: expected http(s)://HOST/v1, got something else") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError("API address: expected http(s)://HOST/v1, got something else")
        if parts.username or parts.password or parts.query:
            # Said without the address: it may hold the key.
            raise UsageError(f"API address: expected no user, password or query in it; put the key in ${self.key_env}")
        if not self.model.strip():
            raise UsageError("API model: expected the name of a model, got none")
        if not re.fullmatch(r"[A-Za-z_]\w*", self.key_env):
            # Said without the value: a key pasted here by mistake is not repeated.
            raise UsageError("API key: expected the name of an environment variable, got something else")
        if not 0 < self.timeout_s <= 600 or not 0 <= self.retries <= 10 or not 0 <= self.backoff_s <= 60:
            raise UsageError("API limits: expected a timeout up to 600 s, up to 10 retries and up to 60 s between them")
        if not 1 <= self.max_tokens <= 65536 or not 64 <= self.max_side_px <= 8192:
            raise UsageError("API limits: expected 1-65536 tokens and pictures of 64-8192 px")
        if any(price is not None and not 0 <= price < 1e6 for price in (self.price_in, self.price_out)):
            raise UsageError("API prices: expected a price for a million tokens, 0 or more")

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    def key(self) -> str | None:
        """The key, read anew each time and kept nowhere. Raises `UsageError` where it would travel unencrypted."""
        key = os.environ.get(self.key_env, "").strip()
        if not key:
            return None
        if not key.isascii() or not key.isprintable():
            raise UsageError(f"${self.key_env}: expected a key of printable ASCII characters, got others")
        if urlsplit(self.url).scheme == "http" and not _is_loopback(self.host):
            raise UsageError(
                f"{self.host}: a key would travel there unencrypted; use https://, or unset ${self.key_env}"
            )
        return key


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
