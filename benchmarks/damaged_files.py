"""Damaged videos and images: is any called complete, is any whole one called damaged?

    python benchmarks/damaged_files.py [--quick] [--seed N] [--only mkv]

Makes a whole file of every container below, then damaged copies: cut, ended by zeros as a recorder leaves a file after
a power cut, with zeros or noise inside, with flipped bits. A copy whose pictures are the whole file's is not damaged.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import av
import numpy as np
from numpy.typing import NDArray

from edgevision.capture.images import ImageSource
from edgevision.capture.video import VideoSource
from edgevision.errors import SourceBroken

FRAMES = 40
SIZE_WH = (160, 120)


@dataclass(frozen=True)
class Made:
    """How one whole file is made."""

    name: str
    suffix: str
    codec: str
    muxer: str = ""
    options: dict[str, str] = field(default_factory=dict)
    codec_options: dict[str, str] = field(default_factory=dict)
    pixels: str = "yuv420p"
    size_wh: tuple[int, int] = SIZE_WH
    fps: int = 25


KINDS = (
    Made("mp4", ".mp4", "libx264"),
    Made("mp4 index first", ".mp4", "libx264", options={"movflags": "faststart"}),
    Made("mp4 fragmented", ".mp4", "libx264", options={"movflags": "frag_keyframe+empty_moov"}),
    Made("mp4 hevc", ".mp4", "libx265", codec_options={"x265-params": "log-level=none"}),
    Made("mp4 av1", ".mp4", "libsvtav1", codec_options={"preset": "12"}),
    Made("mp4 mpeg4", ".mp4", "mpeg4"),
    Made("mov mjpeg", ".mov", "mjpeg", pixels="yuvj420p"),
    Made("mov prores", ".mov", "prores_ks", pixels="yuv422p10le"),
    Made("3gp", ".3gp", "h263", size_wh=(176, 144)),
    Made("mkv", ".mkv", "libx264"),
    Made("mkv of unknown length", ".mkv", "libx264", options={"live": "1"}),
    Made("webm", ".webm", "libvpx", codec_options={"deadline": "realtime"}),
    Made(
        "webm of unknown length", ".webm", "libvpx-vp9", options={"live": "1"}, codec_options={"deadline": "realtime"}
    ),
    Made("avi mjpeg", ".avi", "mjpeg", pixels="yuvj420p"),
    Made("avi mpeg4", ".avi", "mpeg4"),
    Made("flv", ".flv", "libx264"),
    Made("flv sorenson", ".flv", "flv"),
    Made("asf", ".wmv", "wmv2"),
    Made("mpeg-1 program stream", ".mpg", "mpeg1video"),
    Made("ts", ".ts", "libx264"),
    Made("ts mpeg2", ".ts", "mpeg2video"),
    Made("m2ts", ".m2ts", "libx264"),
    Made("mpeg program stream", ".mpg", "mpeg2video"),
    Made("ogg", ".ogv", "libvpx", codec_options={"deadline": "realtime"}),
    Made("gif", ".gif", "gif", pixels="rgb8"),
    Made("apng", ".apng", "apng", muxer="apng", pixels="rgb24"),
    Made("y4m", ".y4m", "wrapped_avframe", muxer="yuv4mpegpipe"),
    Made("raw mjpeg", ".mjpeg", "mjpeg", pixels="yuvj420p"),
    Made("raw h264", ".h264", "libx264"),
    Made("raw hevc", ".hevc", "libx265", codec_options={"x265-params": "log-level=none"}),
    Made("ivf", ".ivf", "libvpx", codec_options={"deadline": "realtime"}),
    Made("mxf", ".mxf", "mpeg2video"),
    Made("nut", ".nut", "mpeg4"),
    Made("dv", ".dv", "dvvideo", size_wh=(720, 576)),
    Made("jpeg", ".jpg", ""),
    Made("png", ".png", ""),
    Made("webp", ".webp", ""),
    Made("tiff", ".tif", ""),
    Made("bmp", ".bmp", ""),
    Made("avif", ".avif", ""),
)


def picture(number: int, size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W, 3) BGR with something on the move."""
    width, height = size_wh
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([(x * 2 + number * 3) % 256, (y * 2) % 256, (x + y + number * 5) % 256], 2).astype(np.uint8)
    cv2.circle(pixels, (20 + 3 * number, height // 2), 15, (255, 255, 255), -1)
    cv2.putText(pixels, str(number), (5, 30), 0, 1, (0, 0, 0), 2)
    return pixels


def make(kind: Made, path: Path) -> None:
    """Write the whole file."""
    if not kind.codec:
        options = {".tif": [cv2.IMWRITE_TIFF_COMPRESSION, 5], ".webp": [cv2.IMWRITE_WEBP_QUALITY, 80]}
        path.write_bytes(cv2.imencode(kind.suffix, picture(3, kind.size_wh), options.get(kind.suffix, []))[1].tobytes())
        return
    with av.open(str(path), "w", format=kind.muxer or None, options=kind.options) as container:
        settings = {"g": "10", "threads": "1"} | kind.codec_options
        stream: Any = container.add_stream(kind.codec, rate=kind.fps, options=settings)
        stream.width, stream.height = kind.size_wh
        stream.pix_fmt = kind.pixels
        if kind.codec in ("mpeg4", "wmv2", "msmpeg4", "flv", "mpeg2video", "h263", "libvpx", "libvpx-vp9"):
            stream.bit_rate = 400_000
        for number in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(picture(number, kind.size_wh), format="bgr24")
            for packet in stream.encode(frame.reformat(format=kind.pixels)):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


@dataclass(frozen=True)
class Seen:
    """What reading one file gave."""

    pictures: tuple[str, ...]
    """A hash of each."""
    broken: str | None
    unknown: str | None
    """Why it cannot be known whether that was all."""


def look(path: Path) -> Seen:
    """Read a file to its end as the product does."""
    pictures: list[str] = []
    try:
        images = path.suffix in (".jpg", ".png", ".webp", ".tif", ".bmp", ".avif")
        with ImageSource(path) if images else VideoSource(path) as source:
            try:
                while (frame := source.read()) is not None:
                    pictures.append(hashlib.md5(frame.pixels.tobytes()).hexdigest())
            except SourceBroken as exc:
                return Seen(tuple(pictures), str(exc), None)
            return Seen(tuple(pictures), None, getattr(source, "unproven", None))
    except SourceBroken as exc:
        return Seen(tuple(pictures), str(exc), None)


Damage = Callable[[bytes, np.random.Generator], bytes]


def _cut(low: float, high: float) -> Damage:
    return lambda data, rng: data[: int(len(data) * rng.uniform(low, high))]


def _cut_bytes(count: int) -> Damage:
    return lambda data, rng: data[: -int(rng.integers(1, count))]


def _zero_end(low: float, high: float) -> Damage:
    def damage(data: bytes, rng: np.random.Generator) -> bytes:
        keep = int(len(data) * rng.uniform(low, high))
        return data[:keep] + bytes(len(data) - keep)

    return damage


def _inside(fill: Callable[[int, np.random.Generator], bytes], least: int, most: int) -> Damage:
    def damage(data: bytes, rng: np.random.Generator) -> bytes:
        count = min(int(rng.integers(least, most)), len(data) // 4)
        at = int(rng.integers(len(data) // 5, len(data) - count - len(data) // 20))
        return data[:at] + fill(count, rng) + data[at + count :]

    return damage


def _flips(data: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for at in rng.integers(len(data) // 5, len(data) - len(data) // 20, 3):
        changed[at] ^= 1 << int(rng.integers(8))
    return bytes(changed)


DAMAGES: dict[str, Damage] = {
    "cut early": _cut(0.15, 0.6),
    "cut late": _cut(0.6, 0.95),
    "cut near the end": _cut(0.95, 0.999),
    "cut by some bytes": _cut_bytes(60),
    "cut to a block": lambda data, rng: data[: max(512, len(data) * int(rng.integers(3, 9)) // 10 // 512 * 512)],
    "ends in many zeros": _zero_end(0.3, 0.8),
    "ends in some zeros": _zero_end(0.8, 0.97),
    "zeros inside": _inside(lambda count, rng: bytes(count), 300, 3000),
    "noise inside": _inside(lambda count, rng: rng.bytes(count), 100, 1000),
    "flipped bits": _flips,
}


@dataclass(frozen=True)
class Row:
    """One damaged file."""

    kind: str
    damage: str
    verdict: str
    """"damaged", "unknown", "harmless", or what is wrong with the answer: "called complete", "altered unseen"."""
    said: str


def judge(whole: Seen, seen: Seen) -> str:
    if seen.broken is not None:
        return "damaged"
    if seen.pictures == whole.pictures:
        return "harmless"
    if seen.unknown is not None:
        return "unknown"
    # All pictures came, and some differ: no container has a checksum of pictures.
    return "altered unseen" if len(seen.pictures) == len(whole.pictures) else "called complete"


def damaged(seed: int = 0, rounds: int = 1, only: str = "") -> Iterator[Row]:
    """Each kind of file with each damage, ``rounds`` times; first the whole file, under the damage "none"."""
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory(prefix="edgevision-damaged-") as folder:
        for kind in KINDS:
            if only and only not in kind.name:
                continue
            path = Path(folder) / f"whole{kind.suffix}"
            make(kind, path)
            data, whole = path.read_bytes(), look(path)
            fault = whole.broken is not None or len(whole.pictures) != (FRAMES if kind.codec else 1)
            said = whole.broken or whole.unknown or f"{len(whole.pictures)} pictures"
            yield Row(kind.name, "none", "called damaged" if fault else "whole", said)
            for name, damage in list(DAMAGES.items()) * rounds:
                path.write_bytes(damage(data, rng))
                seen = look(path)
                yield Row(kind.name, name, judge(whole, seen), seen.broken or seen.unknown or "")


WRONG = ("called complete", "called damaged")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only what takes a few seconds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    began, rows = time.monotonic(), []
    for row in damaged(options.seed, options.rounds, options.only):
        rows.append(row)
        if options.verbose or row.verdict in WRONG or row.verdict == "altered unseen":
            sys.stdout.write(f"{row.kind:24} {row.damage:20} {row.verdict:16} {row.said[:120]}\n")
    counts = Counter(row.verdict for row in rows if row.damage != "none")
    made = len({row.kind for row in rows})
    sys.stdout.write(
        f"{sum(counts.values())} damaged files of {made} kinds in {time.monotonic() - began:.0f} s: "
        + ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
        + f"; {sum(row.verdict == 'called damaged' for row in rows)} of {made} whole ones called damaged\n"
    )
    return int(any(row.verdict in WRONG for row in rows))


if __name__ == "__main__":
    sys.exit(main())
