"""What an image file's header says, read before any pixel is decoded: format, size, frames, which way is up.

A PNG of 110 KB may claim 30 000 × 30 000 px, for which a decoder takes 5 GB at once.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edgevision.capture.tiff import Tiff, orientation_of, read_tiff

MOST_PIXELS = 100_000_000
"""Largest image or frame that is decoded, in pixels: 300 MB of 8-bit BGR."""


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """Facts of one image file; a size of 0 where the header does not reach that far."""

    format: str
    """As people call it: ``JPEG``."""
    width_px: int = 0
    height_px: int = 0
    frames: int = 1
    """Over 1 in an animation or a file of several pages."""
    orientation: int = 1
    """EXIF's number for which way is up, where the decoder does not look itself."""
    unread: str = ""
    """Why this kind cannot be decoded here and what to do, or empty."""

    @property
    def too_large(self) -> str | None:
        """Why its pixels are not decoded, in words that follow the file's name, or None."""
        return too_large(self.width_px, self.height_px)


def too_large(width_px: int, height_px: int) -> str | None:
    """Why a picture of that size is not decoded, in words that follow its name, or None where it is."""
    if width_px * height_px <= MOST_PIXELS:
        return None
    return f"has {width_px}×{height_px} px, expected at most {MOST_PIXELS // 1_000_000} million pixels: scale it down"


def image_header(data: bytes) -> ImageHeader | None:
    """The header of an image, or None where the bytes are of no kind that is known. Never raises for any bytes."""
    for fits, read in _KINDS:
        if fits(data):
            try:
                return read(data)
            except (struct.error, ValueError, IndexError):
                return ImageHeader(_NAME_OF[read])
    return None


def _png(data: bytes) -> ImageHeader:
    width, height = struct.unpack_from(">II", data, 16)
    control = data[:1024].find(b"acTL")
    frames = struct.unpack_from(">I", data, control + 4)[0] if control > 0 else 1
    return ImageHeader("PNG", width, height, max(1, frames))


def _jpeg(data: bytes) -> ImageHeader:
    for marker, at, _ in jpeg_segments(data):
        if marker in JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 1)
            return ImageHeader("JPEG", width, height)
        if marker == 0xDA:
            break
    return ImageHeader("JPEG")


JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Start of frame, baseline to arithmetic (ITU-T T.81, table B.1)."""
_NEXT_MARKER = re.compile(rb"\xff+[\x01-\xcf\xd8-\xfe]")
"""In a scan FF 00 is a byte of data, and FF D0 to D7 part the data for restarts."""


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, first byte, end) of each segment's content, and of each scan's data, as marker 0, until the end mark.

    Ends early, without the end mark 0xD9, where the file does.
    """
    at = 2
    while at + 2 <= len(data):
        if data[at] != 0xFF:
            found = _NEXT_MARKER.search(data, at)
            if found is None:
                return
            at = found.start()
        while at < len(data) and data[at] == 0xFF:
            at += 1
        if at >= len(data):
            return
        marker = data[at]
        at += 1
        if marker == 0xD9:
            yield marker, at, at
            return
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:
            continue
        if at + 2 > len(data):
            return
        end = at + max(2, int.from_bytes(data[at : at + 2], "big"))
        if end > len(data):
            return
        yield marker, at + 2, end
        at = end
        if marker == 0xDA:
            found = _NEXT_MARKER.search(data, at)
            end = len(data) if found is None else found.start()
            yield 0, at, end
            at = end


def _webp(data: bytes) -> ImageHeader:
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return ImageHeader("WebP", width & 0x3FFF, height & 0x3FFF)
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return ImageHeader("WebP", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    width, height = int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    frames, orientation = 0, 1
    for name, at, size in webp_chunks(data):
        frames += name == b"ANMF"
        exif = data[at : at + size]
        # The decoder turns the image by EXIF that starts as the format says, not by EXIF with JPEG's own start.
        if name == b"EXIF" and exif.startswith(b"Exif\0\0"):
            orientation = orientation_of(exif[6:])
    return ImageHeader("WebP", width, height, max(1, frames), orientation)


def webp_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(name, first byte, size) of each chunk; the last may reach beyond the file."""
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        yield data[at : at + 4], at + 8, size
        at += 8 + size + size % 2


def _bmp(data: bytes) -> ImageHeader:
    if struct.unpack_from("<I", data, 14)[0] == 12:
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return ImageHeader("BMP", abs(width), abs(height))


def _gif(data: bytes) -> ImageHeader:
    width, height = struct.unpack_from("<HH", data, 6)
    return ImageHeader("GIF", width, height, max(1, sum(kind == 0x2C for kind, _ in gif_blocks(data))))


def gif_blocks(data: bytes) -> Iterator[tuple[int, int]]:
    """(kind, first byte) of each block: 0x2C an image, 0x21 an extension, 0x3B the end, anything else no block.

    Stops after the end, after what is no block, and where a block reaches beyond the file (GIF89a, §17-27).
    """
    at = 13 + (6 << (data[10] & 7) if data[10] & 0x80 else 0)
    while at < len(data):
        kind = data[at]
        if kind == 0 and data[at : at + 4].lstrip(b"\0")[:1] in (b";", b"!", b","):
            at += 1  # some writers end a block twice
            continue
        start, at = at, at + 2
        if kind == 0x2C:
            if start + 10 > len(data):
                return
            at = start + 11 + (6 << (data[start + 9] & 7) if data[start + 9] & 0x80 else 0)
        if kind in (0x2C, 0x21):
            while at < len(data) and data[at]:
                at += 1 + data[at]
            at += 1
            if at > len(data):
                return
        yield kind, start
        if kind not in (0x2C, 0x21):
            return


def _pnm(data: bytes) -> ImageHeader:
    words = pnm_words(data)
    return ImageHeader("PNM", words[0], words[1])


def pnm_words(data: bytes) -> tuple[int, ...]:
    """Width, height, for colours and greys the largest value, and where the pixels start."""
    wanted, at, found = (2 if data[1:2] in b"14" else 3), 2, []
    word = re.compile(rb"(?:\s|#[^\n\r]*[\n\r])*(\d{1,9})")
    for _ in range(wanted):
        number = word.match(data, at)
        if number is None:
            raise ValueError("a header without its numbers")
        found.append(int(number[1]))
        at = number.end()
    return *found, at + 1


def _tiff(data: bytes) -> ImageHeader:
    tiff = read_tiff(data)
    return ImageHeader("TIFF", tiff.width_px, tiff.height_px, tiff.pages, unread=_why_no_tiff(tiff))


_UNREAD_TIFF = {
    34712: "JPEG 2000",
    34925: "LZMA",
    34887: "LERC",
    50000: "Zstandard",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
}


def _why_no_tiff(tiff: Tiff) -> str:
    if tiff.compression in _UNREAD_TIFF:
        return (
            f"is a TIFF packed by {_UNREAD_TIFF[tiff.compression]}, which is not read here: save it with LZW or as PNG"
        )
    deepest = max(tiff.bits, default=1)
    if deepest > 16:
        kind = {3: "floating point", 2: "signed"}.get(tiff.sample_format, "whole")
        return (
            f"is a TIFF of {deepest}-bit {kind} numbers, of which nothing says what is black and what is white: save "
            "it with 8 or 16 bits a channel"
        )
    return ""


_HEIF = {"heic": "HEIC", "heix": "HEIC", "hevc": "HEIC", "hevx": "HEIC", "heim": "HEIC", "heis": "HEIC"}
_HEIF_BRANDS = {**_HEIF, "avif": "AVIF", "avis": "AVIF", "mif1": "HEIF", "msf1": "HEIF"}
_NO_HEIC = "which needs an HEVC image decoder that is not here: convert it to JPEG or PNG"


def heif_brand(data: bytes) -> str | None:
    """``AVIF``, ``HEIC`` or ``HEIF`` where the bytes start as one of these (ISO/IEC 23008-12), else None."""
    if data[4:8] != b"ftyp":
        return None
    end = min(int.from_bytes(data[:4], "big"), 256)
    brands = [data[8:12], *(data[at : at + 4] for at in range(16, end, 4))]
    kinds = [_HEIF_BRANDS[word] for b in brands if (word := b.decode("latin-1")) in _HEIF_BRANDS]
    if brands[0].decode("latin-1") not in _HEIF_BRANDS:
        return None
    # "mif1" says only how it is put together; another brand in the list says what decodes it.
    return next((kind for kind in kinds if kind != "HEIF"), kinds[0])


def _heif(data: bytes) -> ImageHeader:
    kind = heif_brand(data) or "HEIF"
    sizes = [
        struct.unpack_from(">II", data, found.end() + 4)
        for found in re.finditer(rb"\0\0\0\x14ispe", data[: 1 << 20])
        if found.end() + 12 <= len(data)
    ]
    width, height = max(sizes, key=lambda size: size[0] * size[1], default=(0, 0))
    frames = 1
    if data[8:12] in (b"avis", b"msf1", b"hevc", b"hevx"):
        counted = data.find(b"stsz")
        if counted > 0 and counted + 16 <= len(data):
            frames = max(1, struct.unpack_from(">I", data, counted + 12)[0])
    return ImageHeader(kind, width, height, frames, unread="" if kind == "AVIF" else f"is a {kind} image, {_NO_HEIC}")


def _jp2(data: bytes) -> ImageHeader:
    at = data.find(b"ihdr", 0, 1024)
    if at >= 0:
        height, width = struct.unpack_from(">II", data, at + 4)
        return ImageHeader("JPEG 2000", width, height)
    x1, y1, x0, y0 = struct.unpack_from(">IIII", data, 8)
    return ImageHeader("JPEG 2000", x1 - x0, y1 - y0)


def _jxl(data: bytes) -> ImageHeader:
    return ImageHeader("JPEG XL", unread="is a JPEG XL image, which is not read here: convert it to JPEG or PNG")


Fits = Callable[[bytes], bool]
Read = Callable[[bytes], ImageHeader]
_KINDS: tuple[tuple[Fits, Read], ...] = (
    (lambda d: d.startswith(b"\xff\xd8"), _jpeg),
    (lambda d: d.startswith(b"\x89PNG\r\n\x1a\n"), _png),
    (lambda d: d.startswith((b"\0\0\0\x0cJXL \r\n", b"\xff\x0a")), _jxl),
    (lambda d: d[:4] == b"RIFF" and d[8:12] == b"WEBP", _webp),
    (lambda d: d.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")), _tiff),
    (lambda d: heif_brand(d) is not None, _heif),
    (lambda d: d.startswith((b"GIF87a", b"GIF89a")), _gif),
    (lambda d: d.startswith(b"BM"), _bmp),
    (lambda d: re.match(rb"P[1-6][\s#]", d) is not None, _pnm),
    (lambda d: d.startswith((b"\0\0\0\x0cjP  \r\n", b"\xff\x4f\xff\x51")), _jp2),
)
_NAME_OF: dict[Read, str] = {
    _jpeg: "JPEG",
    _png: "PNG",
    _jxl: "JPEG XL",
    _webp: "WebP",
    _tiff: "TIFF",
    _heif: "HEIF",
    _gif: "GIF",
    _bmp: "BMP",
    _pnm: "PNM",
    _jp2: "JPEG 2000",
}
