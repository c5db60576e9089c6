"""Opening an address of the network with FFmpeg: its options by scheme, and its errors in our words."""

from __future__ import annotations

import errno
from types import MappingProxyType

import cv2  # noqa: F401 - before av, whose libxcb hangs Qt's windows
import av
from av.container import InputContainer
from av.error import FFmpegError, InvalidDataError

from edgevision.capture.http_jpeg import sends_jpegs
from edgevision.capture.redact import hide_credentials, quote_credentials, quoting_hint
from edgevision.errors import SourceBroken, SourceNotFound

_ENDLESS = ("rtsp", "rtsps", "rtmp", "rtmps", "srt", "udp", "rtp", "tcp")
"""Schemes that send what happens now, and no file."""
_SNIFF_S = 1.0

# A stream over RTSP describes itself: probing it would take a second, and the packets read for it would be old.
_RTSP = MappingProxyType({"rtsp_transport": "tcp", "probesize": "32", "analyzeduration": "0", "fpsprobesize": "0"})
# One second to look into what HTTP sends; and no play list that leads to a file of this machine.
_HTTP = MappingProxyType(
    {"analyzeduration": "1000000", "protocol_whitelist": "http,https,httpproxy,tls,tcp,crypto,data"}
)
# What is pushed describes itself as it comes, a key frame perhaps every 2 s.
_PUSHED = MappingProxyType(
    {"analyzeduration": "2000000", "protocol_whitelist": "rtmp,rtmps,srt,udp,rtp,http,https,tls,tcp,crypto,data"}
)


def open_stream(address: str, timeouts_s: tuple[float, float], demuxer: str | None = None) -> InputContainer:
    """Connect, within ``timeouts_s`` for opening and for each read; ``demuxer`` where FFmpeg is not to choose.

    Raises `SourceNotFound` where nothing answers, the password is wrong or the scheme is unknown to this FFmpeg;
    `SourceBroken` for what is no video.
    """
    shown, scheme = hide_credentials(address), scheme_of(address)
    options = {"rtsp": _RTSP, "rtsps": _RTSP, "http": _HTTP, "https": _HTTP}.get(scheme, _PUSHED)
    try:
        return av.open(
            quote_credentials(address),
            mode="r",
            format=demuxer,
            options=dict(options),
            timeout=timeouts_s,
            metadata_errors="replace",
        )
    except InvalidDataError as exc:
        raise SourceBroken(f"expected a video stream, found something else at {shown}") from without_address(exc)
    except av.error.ProtocolNotFoundError as exc:
        raise SourceNotFound(
            f"this build of FFmpeg (in the package av) cannot open {scheme}:// addresses: let a program that can pass "
            f"{shown} on, as `ffmpeg -i ADDRESS -c copy -f mpegts udp://127.0.0.1:5000`, and give udp://127.0.0.1:5000 "
            "as --source"
        ) from without_address(exc)
    except (FFmpegError, ValueError) as exc:
        raise _not_opened(address, exc, timeouts_s[0]) from exc


def is_loose_mjpeg(address: str, error: BaseException) -> bool:
    """Whether what ended a stream before its first picture is Motion JPEG that FFmpeg's own demuxer cannot part.

    One more connection, so only after an error that fits: no video recognised, or nothing whole within the time.
    """
    fits = (SourceBroken, InvalidDataError, av.error.ExitError)
    if not isinstance(error, fits) and not isinstance(error.__cause__, fits):
        return False
    return scheme_of(address) in ("http", "https") and sends_jpegs(quote_credentials(address), _SNIFF_S)


def _not_opened(address: str, error: Exception, timeout_s: float) -> SourceNotFound:
    reason = reason_of(without_address(error), timeout_s) if isinstance(error, FFmpegError) else str(error)
    return SourceNotFound(
        f"expected a video stream at {hide_credentials(address)}, could not open it ({reason}): check address and "
        f"password{quoting_hint(address)}"
    )


def scheme_of(address: str) -> str:
    return address.partition("://")[0].lower()


def is_live(container: InputContainer, address: str) -> bool:
    """Whether pictures happen now and without end, rather than come from a file of known length."""
    demuxer = container.format.name.split(",")[0]
    if scheme_of(address) in _ENDLESS or demuxer == "mpjpeg":
        return True
    if container.duration is not None or demuxer.endswith("_pipe") or demuxer == "image2":
        return False
    # A play list has a length, though not the one that counts.
    return demuxer == "hls" or container.size <= 0


def without_address(error: FFmpegError) -> FFmpegError:
    """The same error, fit to be shown as the cause of ours: FFmpeg puts the whole address in, password and all."""
    error.args = (error.errno, error.strerror)
    return error


def reason_of(error: FFmpegError, timeout_s: float) -> str:
    if isinstance(error, av.error.ExitError):
        return f"nothing came for {timeout_s:.0f} s"
    return "the connection broke" if error.errno == errno.EIO else str(error.strerror)
