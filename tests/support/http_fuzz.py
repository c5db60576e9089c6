"""Malformed, hostile and odd HTTP requests to a page, and the status that each is answered with."""

from __future__ import annotations

import contextlib
import gzip
import random
import socket
from collections.abc import Iterator

PATHS = [
    "/",
    "/page.js",
    "/status",
    "/events",
    "/stream.mjpg",
    "/snapshot.jpg",
    "/control",
    "/api/status",
    "/api/models",
    "/api/swap",
    "/api/progress",
    "/api/revert",
    "/api/history",
    "/nothing",
    "/../etc/passwd",
    "/%00",
    "/%ff%fe",
    "//x",
    "/a/../../b",
    "/api/",
    "/?token=",
    "/status?a=%zz",
]
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "BREW", "get", "GËT"]
TARGETS = ("*", "http://[", "http://x:99999999/", "http://127.0.0.1/status", "?", "", "/" + "a" * 9000, "/\x7f", "/é")
HEADERS = (
    "Content-Type: application/json; charset=nonsense",
    "Content-Type: application/json; charset=utf-16",
    "Content-Type: application/json; charset=\x00",
    "Content-Type: ;;;===",
    "Content-Type: application/json; charset*=utf-8''x",
    "Content-Type: multipart/form-data",
    "Content-Type: multipart/form-data; boundary=" + "x" * 300,
    "Content-Encoding: gzip",
    "Content-Encoding: deflate",
    "Content-Encoding: br",
    "Content-Encoding: zstd, gzip",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: nonsense",
    "Content-Length: -1",
    "Content-Length: 99999999999999999999999",
    "Content-Length: abc",
    "Expect: 100-continue",
    "Expect: nonsense",
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x",
    "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AA",
    "Cookie: a=\x01; edgevision_8080=" + "%" * 500,
    'Cookie: ;;;=;=a;"',
    "Authorization: Basic !!!",
    "Authorization:",
    "Range: bytes=9999999-1",
    'If-None-Match: "',
    "If-Modified-Since: never",
    "Accept-Encoding: " + "gzip;q=" * 50,
    "Origin: http://[",
    "Host: [",
    "X: \xff\xfe",
    "X-Long: " + "y" * 9000,
    " folded: yes",
    "no colon",
)
BODIES = (
    b"",
    b"{}",
    b"[" * 8000,
    b'{"a":' * 3000,
    b'{"model": "\\ud800"}',
    b'{"model": "\\u0000"}',
    b'{"model": "' + b"x" * 5000 + b'"}',
    b'{"model": 1e999}',
    b'{"number": ' + b"9" * 6000 + b"}",
    b'{"number": -1}',
    b'{"number": NaN}',
    b'{"model": "nothing", "gates": {"watch_frames": "x"}}',
    b'{"model": "nothing", "gates": [1]}',
    b'{"action": ["pause"]}',
    b'{"action": {"a": 1}}',
    b"\xff\xfe\x00",
    b"\xef\xbb\xbf{}",
    b"null",
    gzip.compress(b"[" * 8_000_000),
    b"\x1f\x8b\x08false",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"zz\r\nhello\r\n",
    b"ffffffffffffffff\r\n",
)


def requests(count: int, token: str, seed: int = 13) -> Iterator[bytes]:
    """Every header and body at least once, then mixtures. Most carry the token, so that they come past the guard."""
    rng = random.Random(seed)
    for number in range(count):
        header = HEADERS[number] if number < len(HEADERS) else rng.choice(HEADERS)
        body = BODIES[number % len(BODIES)]
        post = number < 2 * len(HEADERS) or rng.random() < 0.6
        method = "POST" if post else rng.choice(METHODS)
        target = rng.choice([p for p in PATHS if p.startswith(("/api", "/control"))]) if post else rng.choice(PATHS)
        if rng.random() < 0.05:
            target = rng.choice(TARGETS)
        lines = [f"{method} {target} HTTP/1.{rng.choice('01112')}"]
        if rng.random() < 0.97:
            lines.append("Host: localhost")
        if rng.random() < 0.9:
            lines.append(f"Authorization: Bearer {token}")
        if "Content-Type" not in header and rng.random() < 0.9:
            lines.append("Content-Type: application/json")
        lines += [header, *(rng.choice(HEADERS) for _ in range(rng.choice((0, 0, 1, 2))))]
        length = len(body) + rng.choice((0, 0, 0, 0, -1, 7))
        if not any("Content-Length" in line or "Transfer-Encoding" in line for line in lines):
            lines.append(f"Content-Length: {max(0, length)}")
        yield ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace") + body


def status_of(port: int, request: bytes, timeout_s: float = 0.5) -> int | None:
    """The status of the first answer; None where the server closed without a word, or waits for the rest."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as client:
        answer = b""
        with contextlib.suppress(OSError):  # also a time-out: the request was not whole
            client.sendall(request)
            while b"\r\n" not in answer and (data := client.recv(4096)):
                answer += data
    head = answer.split(b"\r\n", 1)[0].split(b" ")
    if len(head) > 1 and head[1] == b"100":  # go on: the answer proper comes after
        return 100
    return int(head[1]) if len(head) > 1 and head[1].isdigit() else None
