"""Images as others write them: odd kinds read or named, damage found, sizes looked at before pixels."""

from __future__ import annotations

import io
import logging
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edgevision.capture import open_source
from edgevision.capture.image_header import MOST_PIXELS, image_header
from edgevision.capture.images import decode_image
from edgevision.errors import SourceBroken, UsageError
from tests.support.video import number_of, picture

Image = pytest.importorskip("PIL.Image", reason="Pillow writes the kinds that OpenCV cannot")


def written(kind: str, number: int = 5, mode: str = "RGB", **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture(number)[..., ::-1]).convert(mode).save(out, kind, **options)
    return out.getvalue()


def animation(kind: str, count: int) -> bytes:
    first, *others = [Image.fromarray(picture(n)[..., ::-1]) for n in range(count)]
    return written_all(kind, first, others, duration=40)


def written_all(kind: str, first: Any, others: list[Any], **options: Any) -> bytes:
    out = io.BytesIO()
    first.save(out, kind, save_all=True, append_images=others, **options)
    return out.getvalue()


def png(width: int, height: int, depth: int, colour: int, raw: bytes, *extra: tuple[bytes, bytes]) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    middle = b"".join(chunk(name, body) for name, body in extra)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + middle + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    )


def webp_with_exif(prefix: bytes) -> bytes:
    exif = Image.Exif()
    exif[0x112] = 6
    data = written("WEBP", exif=exif.tobytes().removeprefix(b"Exif\0\0"), lossless=True)
    at = data.index(b"EXIF")
    body = prefix + data[at + 8 : at + 8 + struct.unpack_from("<I", data, at + 4)[0]]
    data = data[:at] + b"EXIF" + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
    return data[:4] + struct.pack("<I", len(data) - 8) + data[8:]


@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0"])
def test_a_webp_is_turned_upright_however_its_exif_starts(prefix: bytes) -> None:
    turned = decode_image(webp_with_exif(prefix), "a.webp")
    assert turned.shape == (160, 120, 3)
    assert np.abs(turned.astype(int) - cv2.rotate(picture(5), cv2.ROTATE_90_CLOCKWISE)).max() <= 3


@pytest.mark.parametrize("transparent", [None, 0, 40_000])
def test_a_grey_png_of_16_bits_with_transparency(transparent: int | None) -> None:
    grey = (picture(5)[..., 0].astype(np.uint16) << 8) | 0x7F
    raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in grey)
    extra = () if transparent is None else ((b"tRNS", struct.pack(">H", transparent)),)
    pixels = decode_image(png(160, 120, 16, 0, raw, *extra), "a.png")
    assert np.array_equal(pixels, np.repeat(picture(5)[..., :1], 3, 2))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LA"])
@pytest.mark.parametrize("packing", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_a_tiff_of_a_common_kind_is_read(mode: str, packing: str) -> None:
    assert decode_image(written("TIFF", mode=mode, compression=packing), "a.tif").shape == (120, 160, 3)


@pytest.mark.parametrize(
    ("mode", "packing", "said"),
    [
        ("F", "raw", "a TIFF of 32-bit floating point numbers"),
        ("I", "tiff_lzw", "a TIFF of 32-bit signed numbers"),
        ("RGB", "zstd", "packed by Zstandard, which is not read here"),
        ("L", "lzma", "packed by LZMA, which is not read here"),
    ],
)
def test_an_odd_tiff_is_named_and_not_called_damaged(mode: str, packing: str, said: str) -> None:
    out = io.BytesIO()
    Image.fromarray(picture(5)[..., 0]).convert(mode).save(out, "TIFF", compression=packing)
    with pytest.raises(SourceBroken, match=said) as caught:
        decode_image(out.getvalue(), "a.tif")
    assert "damaged" not in str(caught.value)


def test_avif_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.avif").write_bytes(written("AVIF", quality=95))
    with open_source(tmp_path / "a.avif") as source:
        frame = source.read()
        assert frame is not None
        assert number_of(frame.pixels) == 5
        assert source.read() is None


def heic() -> bytes:
    return struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"heic", 0, b"mif1", b"heic") + struct.pack(">I4s", 8, b"mdat")


def test_in_a_mixed_folder_nothing_is_left_out_unsaid(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), picture(1))
    (tmp_path / "2.avif").write_bytes(written("AVIF", 2, quality=95))
    (tmp_path / "3.heic").write_bytes(heic())
    (tmp_path / "4.gif").write_bytes(animation("GIF", 3))
    (tmp_path / "5.nef").write_bytes(b"II*\0")
    for name in ("a.txt", "b.txt", "c.mp4", ".hidden"):
        (tmp_path / name).touch()
    with caplog.at_level(logging.WARNING), open_source(tmp_path) as source:
        frames = [source.read(), source.read()]
        assert [number_of(frame.pixels) for frame in frames if frame] == [1, 2]
        with pytest.raises(SourceBroken, match=r"3\.heic is a HEIC image, which needs .* \(and 2 more images\)"):
            source.read()
    assert "left out 3 files that are called no image (2 .txt, 1 .mp4)" in caplog.text


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.heic", heic(), "is a HEIC image, which needs an HEVC image decoder"),
        ("a.jxl", b"\xff\x0a" + bytes(40), "is a JPEG XL image"),
        ("a.nef", b"MM\0*", "a camera's raw image"),
        ("a.webp", animation("WEBP", 60), "is an animation of 60 images"),
        ("a.png", animation("PNG", 4), "is an animation of 4 images"),
        ("a.avif", animation("AVIF", 4), "is an animation of 4 images"),
        ("a.tif", written_all("TIFF", Image.new("L", (9, 9)), [Image.new("L", (9, 9))] * 2), "a TIFF of 3 pages"),
    ],
)
def test_what_is_not_read_is_named(name: str, data: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SourceBroken, match=said) as caught:
        open_source(tmp_path / name)
    assert "cut off" not in str(caught.value)


# --- damage ----------------------------------------------------------------------------------------------------------


def zeroed(data: bytes, at: float, count: int) -> bytes:
    start = int(len(data) * at)
    return data[:start] + bytes(count) + data[start + count :]


JPEGS: dict[str, dict[str, Any]] = {
    "plain": {"quality": 90},
    "optimised": {"quality": 60, "optimize": True},
    "444": {"quality": 75, "subsampling": 0},
    "restarts": {"quality": 75, "restart_marker_rows": 1},
    "grey": {"quality": 75, "optimize": True, "mode": "L"},
}


@pytest.mark.parametrize("how", JPEGS)
@pytest.mark.parametrize("at", [0.4, 0.7, 0.9])
def test_zeros_in_a_jpeg(how: str, at: float) -> None:
    data = written("JPEG", **JPEGS[how])
    assert decode_image(data, "a.jpg").shape == (120, 160, 3)
    with pytest.raises(SourceBroken, match=r"damaged at byte \d+: a run of zeros"):
        decode_image(zeroed(data, at, 100), "a.jpg")


@pytest.mark.parametrize("grey", [0, 128, 255])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("optimize", [False, True])
def test_zeros_of_an_empty_page_are_no_damage(grey: int, progressive: bool, optimize: bool) -> None:
    page = np.full((600, 480, 3), grey, np.uint8)
    cv2.putText(page, "a line of text", (20, 50), 0, 1, (99, 0, 0), 2)
    out = io.BytesIO()
    Image.fromarray(page).save(out, "JPEG", progressive=progressive, optimize=optimize)
    assert decode_image(out.getvalue(), "a.jpg").shape == page.shape


@pytest.mark.parametrize("packing", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"])
@pytest.mark.parametrize("at", [0.2, 0.4, 0.6])
def test_zeros_in_a_tiff(packing: str, at: float) -> None:
    data = written("TIFF", compression=packing)
    decode_image(data, "a.tif")
    with pytest.raises(SourceBroken, match="is a TIFF that is damaged in part"):
        decode_image(zeroed(data, at, 150), "a.tif")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "PPM", "TIFF", "AVIF", "GIF"])
@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9, 0.99])
def test_a_cut_image_is_never_given(kind: str, keep: float) -> None:
    data = written(kind)
    assert decode_image(data, "a").shape == (120, 160, 3)
    with pytest.raises(SourceBroken):
        decode_image(data[: int(len(data) * keep)], "a")


def test_a_gif_without_its_end_is_named() -> None:
    data = written("GIF")
    assert data.endswith(b";")
    with pytest.raises(SourceBroken, match="without its end mark"):
        decode_image(data[:-1], "a.gif")


# --- size ------------------------------------------------------------------------------------------------------------

SIDE = 30_000


def heads() -> list[tuple[str, bytes]]:
    """The beginning of an image of 900 million pixels in each format."""
    jpeg = written("JPEG")
    frame = jpeg.index(b"\xff\xc0")
    jpeg = jpeg[: frame + 5] + struct.pack(">HH", SIDE, SIDE) + jpeg[frame + 9 :]
    tiff = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 2)
    tiff += b"".join(struct.pack("<HHIHH", tag, 3, 1, SIDE, 0) for tag in (256, 257)) + bytes(4)
    ispe = struct.pack(">I4sIII", 20, b"ispe", 0, SIDE, SIDE)
    return [
        ("png", png(SIDE, SIDE, 8, 2, b"")),
        ("jpeg", jpeg),
        ("tiff", tiff),
        ("bmp", b"BM" + bytes(12) + struct.pack("<IiiHHI", 40, SIDE, -SIDE, 1, 24, 0) + bytes(20)),
        ("gif", b"GIF89a" + struct.pack("<HH", SIDE, SIDE) + bytes(3)),
        ("ppm", b"P6\n# made by hand\n%d %d 255\n" % (SIDE, SIDE)),
        ("webp", b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(4) + (SIDE - 1).to_bytes(3, "little") * 2),
        ("avif", struct.pack(">I4s4sI", 16, b"ftyp", b"avif", 0) + ispe),
        ("jp2", b"\0\0\0\x0cjP  \r\n\x87\x0a" + bytes(8) + b"ihdr" + struct.pack(">II", SIDE, SIDE)),
    ]


@pytest.mark.parametrize(("kind", "data"), heads(), ids=lambda v: v if isinstance(v, str) else "")
def test_an_image_of_900_megapixels_is_refused_by_its_header(
    kind: str, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("its pixels were decoded"))
    with pytest.raises(SourceBroken, match="has 30000×30000 px, expected at most 100 million"):
        decode_image(data, f"a.{kind}")


def test_the_largest_image_is_read() -> None:
    assert image_header(png(10_000, 10_000, 1, 0, b"")).too_large is None  # type: ignore[union-attr]
    assert MOST_PIXELS == 10_000**2


def test_no_bytes_make_the_header_reader_fail() -> None:
    rng = np.random.default_rng(0)
    whole = [data for _, data in heads()] + [written(kind) for kind in ("WEBP", "TIFF", "AVIF", "GIF", "BMP")]
    for data in whole:
        for _ in range(60):
            broken: NDArray[np.uint8] = np.frombuffer(data[: rng.integers(4, len(data) + 1)], np.uint8).copy()
            broken[rng.integers(0, len(broken), 4)] = rng.integers(0, 256, 4)
            image_header(broken.tobytes())


def film_of(size_wh: tuple[int, int], from_frame: int, path: Path) -> Path:
    """An AVI of ten JPEG images that claim another size from one of them on; its own header says 64×64."""
    writer = cv2.VideoWriter(str(path), cv2.CAP_OPENCV_MJPEG, cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 64))
    for _ in range(10):
        writer.write(np.zeros((64, 64, 3), np.uint8))
    writer.release()
    data = bytearray(path.read_bytes())
    for found in list(re.finditer(rb"\xff\xc0\0\x11\x08", bytes(data)))[from_frame:]:
        data[found.end() : found.end() + 4] = struct.pack(">HH", size_wh[1], size_wh[0])
    path.write_bytes(data)
    return path


def peak_mib() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) >> 10 for line in lines if line.startswith("VmHWM"))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
@pytest.mark.parametrize("from_frame", [0, 4])
def test_a_film_whose_frames_grow_to_108_megapixels_takes_no_memory(from_frame: int, tmp_path: Path) -> None:
    path = film_of((12_000, 9_000), from_frame, tmp_path / "a.avi")
    before = peak_mib()
    with pytest.raises(SourceBroken), open_source(path) as source:
        for _ in iter(source.read, None):
            pass
    assert peak_mib() - before < 200


@pytest.mark.parametrize(("kind", "data"), heads()[:5], ids=lambda v: v if isinstance(v, str) else "")
def test_a_large_image_called_a_video_is_refused_too(kind: str, data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.mkv").write_bytes(data)
    with pytest.raises(SourceBroken, match="has 30000×30000 px"):
        open_source(tmp_path / "a.mkv")


@pytest.mark.parametrize("address", ["scene://?size=30000x30000", "scene://?size=1x99999999999999999999"])
def test_a_large_scene_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="size"):
        open_source(address)
