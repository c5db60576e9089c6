"""One question with a picture to an OpenAI-compatible chat endpoint: bounded in time, tries and size.

The key goes into one header of one request. Whatever a server says is shown without it, since some repeat it.
"""

from __future__ import annotations

import asyncio
import math
import statistics
import threading
import time
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import aiohttp

from edgevision.detectors.foundation.api_settings import ApiSettings
from edgevision.errors import ModelFailed
from edgevision.regular_file import parse_json

MOST_WAIT_S = 20.0
MOST_BYTES = 4 << 20
LATENCIES_KEPT = 1000
_PIECE = 4
_CLOSE_S = 2.0
_RETRIED = {408, 409, 425, 429, 500, 502, 503, 504, 529}
_ADVICE = {
    401: "check the key in ${env}",
    403: "the key in ${env} may not use this model",
    404: "check --api-url and --api-model",
    429: "the provider's limit is reached; ask less often",
}

Sleep = Callable[[float], Awaitable[None]]


@dataclass(slots=True)
class Usage:
    """What was asked of the endpoint so far. A frame is one question, however many tries it took."""

    settings: ApiSettings
    frames: int = 0
    """Frames that were answered."""
    errors: int = 0
    """Frames that were given up."""
    tries: int = 0
    retries: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    frames_without_usage: int = 0
    """Answered frames for which the server told no tokens: they are missing from tokens and cost."""
    latencies_ms: deque[float] = field(default_factory=lambda: deque(maxlen=LATENCIES_KEPT))
    """Of the last answered frames, retries and waiting included."""

    @property
    def cost(self) -> float | None:
        """Of all frames so far, in the currency of the prices; None where no price was given."""
        price_in, price_out = self.settings.price_in, self.settings.price_out
        if price_in is None and price_out is None:
            return None
        return (self.tokens_in * (price_in or 0.0) + self.tokens_out * (price_out or 0.0)) / 1e6

    @property
    def cost_per_frame(self) -> float | None:
        """Over the frames whose tokens are known; None without prices, nan before the first."""
        cost, counted = self.cost, self.frames - self.frames_without_usage
        if cost is None:
            return None
        return cost / counted if counted else math.nan

    @property
    def words(self) -> str:
        """In one sentence; empty before the first try."""
        if not self.tries:
            return ""
        parts = [f"{self.frames} frames answered in {self.tries} tries", f"{self.errors} given up"]
        parts.append(f"{self.tokens_in} tokens in, {self.tokens_out} out")
        if self.latencies_ms:
            parts.append(f"median {statistics.median(self.latencies_ms):.0f} ms")
        if self.cost is not None:
            parts.append(f"cost {self.cost:.4g} ({self.cost_per_frame:.3g} a frame)")
        return ", ".join(parts)


class ChatClient:
    """Keeps one connection open to the endpoint. `ask` from one thread at a time; `close` ends it."""

    def __init__(
        self, settings: ApiSettings, *, sleep: Sleep = asyncio.sleep, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings, self._sleep, self._clock = settings, sleep, clock
        self.usage = Usage(settings)
        self._connection = _Connection(settings.timeout_s)
        # Also when it is forgotten: a session left open complains on the way out.
        self._end = weakref.finalize(self, self._connection.close)

    def ask(self, text: str, picture_url: str) -> str:
        """The answer's text. Raises `ModelFailed` when the tries are used up, or at once where none can help."""
        began = self._clock()
        try:
            answer: str = self._connection.run(self._tried(text, picture_url))
        except BaseException:
            self.usage.errors += 1
            raise
        self.usage.frames += 1
        self.usage.latencies_ms.append((self._clock() - began) * 1e3)
        return answer

    def close(self) -> None:
        """End the connection and its thread. Twice is once."""
        self._end()

    async def _tried(self, text: str, picture_url: str) -> str:
        settings = self._settings
        wait_s = settings.backoff_s
        for attempt in range(settings.retries + 1):
            self.usage.tries += 1
            try:
                return await self._once(text, picture_url)
            except _Failed as exc:
                if not exc.passing or attempt == settings.retries:
                    count = f" after {attempt + 1} tries" if attempt else ""
                    raise ModelFailed(f"{settings.host}: {exc}{count}") from None
                asked_s = exc.wait_s if exc.wait_s is not None else wait_s
            self.usage.retries += 1
            await self._sleep(min(asked_s, MOST_WAIT_S))
            wait_s *= 2
        raise AssertionError("unreachable")

    async def _once(self, text: str, picture_url: str) -> str:
        settings = self._settings
        key = settings.key()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            # A redirect would carry key and frame to wherever it points.
            async with self._connection.session().post(
                settings.url.rstrip("/") + "/chat/completions",
                json=self._body(text, picture_url),
                headers=headers,
                allow_redirects=False,
            ) as response:
                body = await _bounded(response)
                if response.status != 200:
                    raise self._refusal(response, body, key)
        except TimeoutError:
            raise _Failed(f"no answer within {settings.timeout_s:g} s", passing=True) from None
        except aiohttp.ClientError as exc:
            raise _Failed(f"no connection ({type(exc).__name__})", passing=True) from None
        return self._text_of(body)

    def _body(self, text: str, picture_url: str) -> dict[str, object]:
        content = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": picture_url}}]
        settings = self._settings
        return {
            "model": settings.model,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": settings.max_tokens,
            "temperature": 0,
            "stream": False,
            **settings.extra,
        }

    def _refusal(self, response: aiohttp.ClientResponse, body: bytes, key: str | None) -> _Failed:
        status = response.status
        words = _message(body)[:2000]
        words = " ".join((_without(key, words) if key else words).split())[:200]
        advice = _ADVICE.get(status, "").replace("{env}", self._settings.key_env)
        parts = [f"HTTP {status}"] + [p for p in (words, advice) if p]
        return _Failed(": ".join(parts), passing=status in _RETRIED, wait_s=_retry_after(response))

    def _text_of(self, body: bytes) -> str:
        try:
            value = parse_json(body)
            message = value["choices"][0]["message"]
            content = message.get("content")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise _Failed("expected a chat completion as JSON, got something else", passing=True) from None
        self._count(value.get("usage"))
        if isinstance(content, list):
            texts = [part.get("text") for part in content if isinstance(part, dict)]
            content = "".join(text for text in texts if isinstance(text, str))
        # A refusal or a cut-off answer has no content: it is an answer, and cannot be read.
        return content if isinstance(content, str) else ""

    def _count(self, told: Any) -> None:
        tokens = told if isinstance(told, dict) else {}
        count_in, count_out = tokens.get("prompt_tokens"), tokens.get("completion_tokens")
        if _is_count(count_in) and _is_count(count_out):
            self.usage.tokens_in += count_in
            self.usage.tokens_out += count_out
        else:
            self.usage.frames_without_usage += 1


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 40


class _Connection:
    """A session on a loop and thread of its own: whoever asks may have a loop running, or none."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._session: aiohttp.ClientSession | None = None

    def session(self) -> aiohttp.ClientSession:
        """Only inside `run`."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._timeout_s))
        return self._session

    def run(self, work: Coroutine[Any, Any, Any], wait_s: float | None = None) -> Any:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="edgevision-api", daemon=True)
            self._thread.start()
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(wait_s)
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        if self._loop is None or self._thread is None:
            return
        if self._session is not None:
            try:
                self.run(self._session.close(), wait_s=_CLOSE_S)
            except TimeoutError:
                pass
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CLOSE_S)
        if not self._thread.is_alive():
            self._loop.close()
        self._loop = self._thread = self._session = None


class _Failed(Exception):
    """One try failed; ``passing`` if another may do better, ``wait_s`` if the server said when."""

    def __init__(self, reason: str, *, passing: bool, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.passing, self.wait_s = passing, wait_s


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    parts: list[bytes] = []
    length = 0
    async for part in response.content.iter_chunked(1 << 16):
        length += len(part)
        if length > MOST_BYTES:
            raise _Failed(f"expected an answer of at most {MOST_BYTES >> 20} MiB, got more", passing=False)
        parts.append(part)
    return b"".join(parts)


def _message(body: bytes) -> str:
    """What the server says is wrong, in its own words where it has the customary form."""
    try:
        error = parse_json(body)["error"]
        words = error["message"] if isinstance(error, dict) else error
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
    return words if isinstance(words, str) else ""


def _without(key: str, words: str) -> str:
    """The words without any four characters of the key in a row: providers quote its beginning and end."""
    kept: list[str] = []
    at = 0
    while at < len(words):
        length = _PIECE
        while at + length <= len(words) and words[at : at + length] in key:
            length += 1
        if length > _PIECE:
            kept.append("…")
            at += length - 1
        else:
            kept.append(words[at])
            at += 1
    return "".join(kept)


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    try:
        seconds = float(response.headers.get("Retry-After", ""))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
