"""Video files and images: every frame, upright, in order; and the truth about those that are damaged."""

from __future__ import annotations

import itertools
import re
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import av
import numpy as np
import pytest

from edgevision.capture import KINDS, open_source
from edgevision.capture.images import ImageSource
from edgevision.capture.video import VideoSource
from edgevision.errors import SourceBroken, SourceNotFound, UsageError
from edgevision.interfaces import Source
from edgevision.types import Frame
from tests.support.places import SHARED
from tests.support.video import cut, film, number_of, overwrite, picture

INTRA = {"crf": "12", "preset": "ultrafast"}


def read_all(source: Source) -> tuple[list[Frame], str | None]:
    """Every frame, and the message of the `SourceBroken` at the end where there was one."""
    frames: list[Frame] = []
    with source:
        try:
            frames.extend(frame for frame in iter(source.read, None) if frame is not None)
        except SourceBroken as exc:
            assert source.read() is None, "after the error, the end"
            return frames, str(exc)
    return frames, None


def numbers(frames: list[Frame]) -> list[int]:
    return [number_of(frame.pixels) for frame in frames]


# --- the table -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        ("0", "camera"),
        (0, "camera"),
        ("12", "camera"),
        ("/dev/video0", "camera"),
        ("/dev/v4l/by-id/usb-cam-index0", "camera"),
        ("csi://0", "Pi camera"),
        ("scene://", "built-in scene"),
        ("scene://?people=5&size=1280x720&fps=30&seed=1", "built-in scene"),
        ("rtsp://camera/path", "stream"),
        ("RTSPS://camera/path", "stream"),
        ("http://camera/video?size=640x480", "stream"),
        ("https://camera/[1]/*.mjpg", "stream"),  # no glob
        ("{folder}", "images"),
        ("{folder}/a.JPG", "images"),
        ("{folder}/*.png", "images"),
        ("{folder}/a[1].mp4", "video"),  # a file of that very name, no glob
        ("{folder}/a", "video"),
        ("{folder}/none.mp4", None),
        ("udp://239.0.0.1:1234", "stream"),
        ("-1", None),
        ("", None),
    ],
)
def test_which_kind_an_address_is(spec: str | int, kind: str | None, tmp_path: Path) -> None:
    for name in ("a.JPG", "a[1].mp4", "a"):
        (tmp_path / name).touch()
    text = str(spec).format(folder=tmp_path)
    assert next((known.name for known in KINDS if known.fits(text)), None) == kind


def test_every_kind_has_an_opener() -> None:
    from edgevision.capture import _import

    for kind in KINDS:
        assert callable(_import(kind.place)), kind


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("/no/such/clip.mp4", "nothing at '/no/such/clip.mp4'"),
        ("gopher://me:secret@host/x", r"unknown kind of address, gopher://me:\*\*\*@host/x"),
        ("/no/such/*.jpg", "expected images .* at /no/such/"),
        ("{folder}", "expected images .* in the folder"),
    ],
)
def test_missing(spec: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match=said) as caught:
        open_source(spec.format(folder=tmp_path))
    assert re.search("(?i)expected .* found", str(caught.value))
    assert "secret" not in str(caught.value)


def test_what_cannot_be_asked(tmp_path: Path) -> None:
    clip = film(tmp_path / "clip.mp4", 3)
    with pytest.raises(UsageError, match="height and width can be asked of a camera or the scene"):
        open_source(clip, width_px=640, height_px=480)
    with pytest.raises(UsageError, match="fps above 0, got -5"):
        open_source(clip, fps=-5)
    with pytest.raises(UsageError, match="width and a height together"):
        open_source("scene://", width_px=640)


def test_size_and_rate_of_the_scene() -> None:
    with open_source("scene://?people=1", width_px=320, height_px=240, fps=15) as scene:
        assert (scene.info.width_px, scene.info.height_px, scene.info.fps) == (320, 240, 15)


# --- whole files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("clip.mp4", {}),
        ("clip.mp4", {"options": {"bf": "3"}, "key_every": 25}),
        ("clip.mov", {"codec": "mpeg4"}),
        ("clip.mkv", {}),
        ("clip.webm", {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8", "b": "1M"}}),
        (
            "alt-ref.webm",
            {"codec": "libvpx", "options": {"auto-alt-ref": "1", "lag-in-frames": "16", "cpu-used": "5", "b": "1M"}},
        ),
        ("clip.ts", {}),
        ("clip.mpg", {"codec": "mpeg2video", "options": {"b": "2M"}}),
        ("clip.flv", {"options": {"bf": "0"}}),
        ("clip.avi", {"codec": "mpeg4"}),
        ("jpeg.avi", {"codec": "mjpeg", "pixel_format": "yuvj420p"}),
        ("clip.h264", {}),
        ("odd.mkv", {"codec": "ffv1", "pixel_format": "bgr0", "size_wh": (161, 121)}),
        ("grey.mkv", {"codec": "ffv1", "pixel_format": "gray"}),
        ("ten-bit.mp4", {"pixel_format": "yuv420p10le"}),
        ("a:b.mp4", {}),  # to FFmpeg, a protocol
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_frame_of_a_whole_file(name: str, how: dict[str, Any], tmp_path: Path) -> None:
    plain = tmp_path / f"film{Path(name).suffix}"
    film(plain, 40, **how)
    source = open_source(plain.rename(tmp_path / name))
    assert isinstance(source, VideoSource)
    info = source.info
    frames, broken = read_all(source)
    assert broken is None
    assert numbers(frames) == list(range(40))
    assert [frame.index for frame in frames] == list(range(40))
    assert {frame.size_wh for frame in frames} == {how.get("size_wh", (160, 120))} == {(info.width_px, info.height_px)}
    assert info.frame_count in (None, 40)
    assert (info.live, info.fps, info.name) == (False, 25.0, str(tmp_path / name))


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuvj420p", "yuv444p"])
def test_colours_are_right(pixel_format: str, tmp_path: Path) -> None:
    frames, _ = read_all(open_source(film(tmp_path / "c.mp4", 2, pixel_format=pixel_format, options={"crf": "1"})))
    difference = frames[0].pixels.astype(int) - picture(0)
    assert np.abs(difference).mean() < 4
    # The other range or the other matrix would make 8 and more.
    assert np.abs(difference.mean(axis=(0, 1))).max() < 4, "no cast, no wrong range"


@pytest.mark.parametrize(
    ("degrees", "turn"),
    [(90, cv2.ROTATE_90_COUNTERCLOCKWISE), (180, cv2.ROTATE_180), (270, cv2.ROTATE_90_CLOCKWISE)],
)
def test_a_phone_held_upright(degrees: int, turn: int, tmp_path: Path) -> None:
    lying, _ = read_all(open_source(film(tmp_path / "lying.mp4", 3)))
    source = open_source(film(tmp_path / "turned.mp4", 3, rotation=degrees))
    size_wh = (source.info.width_px, source.info.height_px)
    turned, _ = read_all(source)
    assert size_wh == turned[0].size_wh == ((160, 120) if degrees == 180 else (120, 160))
    for a, b in zip(lying, turned, strict=True):
        # Two clips: FFmpeg's colour conversion rounds by where its buffers happen to lie.
        assert np.abs(cv2.rotate(a.pixels, turn).astype(int) - b.pixels).mean() < 2


def test_a_size_that_changes_on_the_way(tmp_path: Path) -> None:
    small, large = film(tmp_path / "s.h264", 10), film(tmp_path / "l.h264", 10, size_wh=(320, 240))
    both = tmp_path / "both.h264"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    frames, broken = read_all(open_source(both))
    assert broken is None
    assert [frame.size_wh for frame in frames] == [(160, 120)] * 10 + [(320, 240)] * 10
    assert numbers(frames) == [*range(10), *range(10)]


def write_clip(path: Path, at_frames: list[int], sound_s: float = 0.0) -> Path:
    """A clip whose pictures stand at the given 25ths of a second, beside sound of a length of its own."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 25)
        sound: Any = container.add_stream("aac", rate=8000) if sound_s else None
        for number, at in enumerate(at_frames):
            shot = av.VideoFrame.from_ndarray(picture(number), format="bgr24")
            shot.pts, shot.time_base = at, Fraction(1, 25)
            container.mux(stream.encode(shot))
        container.mux(stream.encode())
        for k in range(int(sound_s * 8000 / 1024)):
            quiet: Any = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            quiet.sample_rate, quiet.pts = 8000, k * 1024
            container.mux(sound.encode(quiet))
        if sound is not None:
            container.mux(sound.encode())
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize(
    ("at_frames", "sound_s"),
    [
        ([*range(20)], 6.0),  # the header's duration is that of the sound
        ([*range(20), *range(120, 140)], 0.0),  # a screen recording where nothing happened for 4 s
        ([*range(20), 120], 0.0),
    ],
)
def test_no_false_alarm(suffix: str, at_frames: list[int], sound_s: float, tmp_path: Path) -> None:
    frames, broken = read_all(open_source(write_clip(tmp_path / f"clip{suffix}", at_frames, sound_s)))
    assert broken is None
    assert numbers(frames) == list(range(len(at_frames)))


def test_a_clip_that_was_trimmed_without_encoding(tmp_path: Path) -> None:
    """Its edit list hides what comes before: more packets than pictures, and nothing wrong with it."""
    whole = film(tmp_path / "whole.mp4", 50, key_every=50, options={"bf": "0"})
    trimmed = tmp_path / "trimmed.mp4"
    with av.open(str(whole)) as reader, av.open(str(trimmed), "w") as writer:
        stream = reader.streams.video[0]
        copy = writer.add_stream_from_template(stream)
        assert stream.time_base is not None
        tick = int(Fraction(1, 25) / stream.time_base)
        for packet in reader.demux(stream):
            if packet.dts is not None:
                assert packet.pts is not None
                packet.pts, packet.dts = packet.pts - 20 * tick, packet.dts - 20 * tick
                packet.stream = copy
                writer.mux(packet)
    source = open_source(trimmed)
    assert source.info.frame_count in (None, 30)
    frames, broken = read_all(source)
    assert broken is None
    assert numbers(frames) == list(range(20, 50))
    assert [frame.index for frame in frames] == list(range(30))


@pytest.mark.skipif(not SHARED.exists(), reason="needs the clips of ../shared/videos")
@pytest.mark.parametrize(
    ("name", "count", "fps"),
    [
        ("intel_asl_walk.mkv", 89, 30.0),
        ("intel_bottle-detection.mp4", 1189, 179 / 6),
        ("intel_car-detection.mp4", 377, 12.5),
        ("intel_one-by-one-person-detection.mp4", 1394, 10.0),
    ],
)
def test_real_clips(name: str, count: int, fps: float, tmp_path: Path) -> None:
    path = SHARED / "videos" / name
    source = open_source(path)
    assert source.info.frame_count in (None, count)
    assert source.info.fps == pytest.approx(fps)
    read = 0
    with source:
        for frame in iter(source.read, None):
            assert frame is not None
            assert frame.index == read
            read += 1
    assert read == count
    with pytest.raises(SourceBroken, match="is cut off"):
        list(iter(open_source(cut(path, 0.3, tmp_path / name)).read, None))


# --- pacing ----------------------------------------------------------------------------------------------------------


class Clock:
    """Time that passes when it is told to, or waited for."""

    def __init__(self) -> None:
        self.now_ns = 1_000_000_000
        self.waited_s: list[float] = []

    def __call__(self) -> int:
        return self.now_ns

    def wait(self, seconds: float) -> None:
        self.waited_s.append(round(seconds, 6))
        self.now_ns += round(seconds * 1e9)


@pytest.mark.parametrize("kind", ["video", "images"])
def test_paced(kind: str, tmp_path: Path) -> None:
    clock = Clock()
    source: Source
    if kind == "video":
        source = VideoSource(film(tmp_path / "clip.mp4", 9), fps=10, clock=clock, wait=clock.wait)
    else:
        for number in range(9):
            cv2.imwrite(str(tmp_path / f"{number}.png"), picture(number))
        source = ImageSource(tmp_path, fps=10, clock=clock, wait=clock.wait)
    stamps = []
    for number in range(9):
        frame = source.read()
        assert frame is not None
        assert number_of(frame.pixels) == number, "pacing drops nothing"
        stamps.append((frame.captured_ns - 1_000_000_000) // 1_000_000)
        # The user of the frames takes 40 ms each, and once half a second.
        clock.now_ns += 500_000_000 if number == 4 else 40_000_000
    # On the beat, though its user takes time; after the long one no hurry to catch up, but a beat from there.
    assert stamps == [0, 100, 200, 300, 400, 900, 1000, 1100, 1200]
    assert clock.waited_s == [0.06, 0.06, 0.06, 0.06, 0.06, 0.06, 0.06]


def test_unpaced_never_waits(tmp_path: Path) -> None:
    clock = Clock()
    source = VideoSource(film(tmp_path / "clip.mp4", 5), clock=clock, wait=clock.wait)
    assert len(read_all(source)[0]) == 5
    assert clock.waited_s == []


# --- damaged files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [0.5, 0.95])
@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("clip.mp4", {"faststart": True, "options": {"bf": "0"}}),
        ("reordered.mp4", {"faststart": True, "options": {"bf": "3"}}),
        ("clip.mkv", {"options": {"bf": "0"}}),
        ("clip.ts", {"options": {"bf": "0"}}),
        ("clip.avi", {"codec": "mpeg4"}),
        ("jpeg.avi", {"codec": "mjpeg", "pixel_format": "yuvj420p"}),
        ("clip.webm", {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8", "b": "1M"}}),
        ("clip.flv", {"options": {"bf": "0"}}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_cut_off(name: str, how: dict[str, Any], keep: float, tmp_path: Path) -> None:
    whole = film(tmp_path / f"whole{Path(name).suffix}", 100, **how)
    source = open_source(cut(whole, keep, tmp_path / name))
    frames, broken = read_all(source)
    assert broken is not None, "cut off, and passed for complete"
    assert 0.3 * keep * 100 < len(frames) <= 100
    assert numbers(frames) == [frame.index for frame in frames]
    if name != "reordered.mp4":  # there, a later picture can be in the file without an earlier one
        assert numbers(frames) == list(range(len(frames))), "all that was there, and nothing else"
    assert str(tmp_path / name) in broken
    where = re.search(r"after (\d+) frames \(([\d.]+) s\)|at frame (\d+) \(([\d.]+) s\)", broken)
    assert where is not None, broken
    frame_number, second = (float(value) for value in where.groups() if value is not None)
    assert abs(frame_number - len(frames)) <= 4
    assert second == pytest.approx(frame_number / 25, abs=0.2)


def test_cut_at_the_end_of_a_part(tmp_path: Path) -> None:
    """Where no packet is torn, only the header's promise tells."""
    whole = film(tmp_path / "whole.flv", 100, options={"bf": "0"}, key_every=10)
    data = whole.read_bytes()
    at, ends = 13, []  # FLV: 9 bytes of header and 4 of length, then tags of 11 + n + 4 bytes
    while at < len(data):
        at += 11 + int.from_bytes(data[at + 1 : at + 4], "big") + 4
        ends.append(at)
    short = tmp_path / "short.flv"
    short.write_bytes(data[: ends[len(ends) // 2]])
    frames, broken = read_all(open_source(short))
    assert broken is not None
    assert "is cut off" in broken
    assert "its header promises 4." in broken
    assert numbers(frames) == list(range(len(frames)))


def test_cut_before_its_index(tmp_path: Path) -> None:
    whole = film(tmp_path / "whole.mp4", 50)
    data = whole.read_bytes()
    moov = data.rindex(b"moov") - 4
    for end, said in ((moov // 2, "its mdat part should end at byte"), (moov, r"without its index \(moov\)")):
        (tmp_path / "cut.mp4").write_bytes(data[:end])
        with pytest.raises(SourceBroken, match=f"cut.mp4 is cut off: .*{said}"):
            open_source(tmp_path / "cut.mp4")


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("clip.mp4", {"key_every": 1, "options": INTRA}),
        ("clip.mkv", {"key_every": 1, "options": INTRA}),
        ("clip.avi", {"codec": "mpeg4", "key_every": 1, "options": {"b": "2M"}}),
        ("clip.ts", {"key_every": 1, "options": INTRA}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_damage_in_the_middle(name: str, how: dict[str, Any], tmp_path: Path) -> None:
    whole = film(tmp_path / f"whole{Path(name).suffix}", 60, **how)
    size = whole.stat().st_size
    frames, broken = read_all(open_source(overwrite(whole, size // 2, 400, tmp_path / name)))
    assert broken is not None, "damaged, and passed for complete"
    # All before and after, each under its own number.
    assert 55 <= len(frames) < 60
    assert [frame.index for frame in frames] == numbers(frames)
    assert (frames[0].index, frames[-1].index) == (0, 59)
    gone = sorted(set(range(60)) - {frame.index for frame in frames})
    where = re.search(r"damaged at frame (\d+) \(([\d.]+) s\)", broken)
    assert where is not None, broken
    assert int(where[1]) == gone[0]
    assert float(where[2]) == pytest.approx(gone[0] / 25, abs=0.05)


def test_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("shopping list\n" * 40)
    (tmp_path / "text.txt").write_text("shopping list\n" * 40)
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(1).integers(0, 256, 9000, dtype=np.uint8).tobytes())
    with av.open(str(tmp_path / "sound.m4a"), "w") as container:
        sound: Any = container.add_stream("aac", rate=8000)
        quiet: Any = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        quiet.sample_rate = 8000
        container.mux(sound.encode(quiet))
        container.mux(sound.encode())
    for name, said in {
        "empty.mp4": r"is empty \(0 bytes\)",
        "text.mp4": "is no video that can be read",
        "text.txt": "is no video that can be read|expected a video, found text",
        "noise.mp4": "is no video that can be read",
        "sound.m4a": "expected a video, found audio",
    }.items():
        with pytest.raises(SourceBroken, match=said) as caught:
            open_source(tmp_path / name)
        assert name in str(caught.value)


# --- images ----------------------------------------------------------------------------------------------------------


def save_image(path: Path, number: int, size_wh: tuple[int, int] = (160, 120)) -> Path:
    cv2.imwrite(str(path), picture(number, size_wh))
    return path


def test_a_folder_in_natural_order(tmp_path: Path) -> None:
    names = ["img1.png", "img2.jpg", "IMG3.PNG", "img10.bmp", "img11.webp", "img100.tiff"]
    for number, name in enumerate(names):
        save_image(tmp_path / name, number, (160 + number, 120))
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "folder.jpg").mkdir()
    source = open_source(tmp_path)
    assert source.info.frame_count == 6
    assert source.info.name == str(tmp_path)
    frames, broken = read_all(source)
    assert broken is None
    assert numbers(frames) == [0, 1, 2, 3, 4, 5]
    assert [Path(frame.source.name).name for frame in frames] == names
    assert [frame.source.width_px for frame in frames] == [frame.size_wh[0] for frame in frames] == [*range(160, 166)]


def test_one_image_and_a_glob(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    save_image(tmp_path / "a.png", 1)
    save_image(tmp_path / "b.jpg", 2)
    save_image(tmp_path / "sub" / "c.png", 3)
    assert numbers(read_all(open_source(tmp_path / "b.jpg"))[0]) == [2]
    assert numbers(read_all(open_source(f"{tmp_path}/*.png"))[0]) == [1]
    assert numbers(read_all(open_source(f"{tmp_path}/**/*.png"))[0]) == [1, 3]


def test_images_of_every_kind_are_bgr(tmp_path: Path) -> None:
    shot = picture(7)
    cv2.imwrite(str(tmp_path / "alpha.png"), np.dstack([shot, np.full((120, 160), 99, np.uint8)]))
    cv2.imwrite(str(tmp_path / "deep.png"), shot.astype(np.uint16) * 257)
    cv2.imwrite(str(tmp_path / "grey.png"), cv2.cvtColor(shot, cv2.COLOR_BGR2GRAY))
    frames, broken = read_all(open_source(tmp_path))
    assert broken is None
    assert [frame.pixels.shape for frame in frames] == [(120, 160, 3)] * 3
    assert np.array_equal(frames[0].pixels, shot)
    assert np.array_equal(frames[1].pixels, shot)


def test_a_photograph_is_turned_upright(tmp_path: Path) -> None:
    jpeg = cv2.imencode(".jpg", picture(9))[1].tobytes()
    # EXIF with one entry: orientation 6, "turn clockwise by 90 degrees to see it upright".
    tiff = b"II*\0" + struct.pack("<IH", 8, 1) + struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0) + b"\0\0\0\0"
    segment = b"Exif\0\0" + tiff
    (tmp_path / "phone.jpg").write_bytes(
        jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]
    )
    frames, _ = read_all(open_source(tmp_path / "phone.jpg"))
    assert frames[0].size_wh == (120, 160)
    assert number_of(np.rot90(frames[0].pixels)) == 9


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.6, 0.95])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_damaged_image_among_others(suffix: str, keep: float, tmp_path: Path) -> None:
    for number in range(4):
        save_image(tmp_path / f"{number}{suffix}", number)
    bad = tmp_path / f"1{suffix}"
    cut(bad, keep, bad)
    frames, broken = read_all(open_source(tmp_path))
    assert broken is not None, "a part of an image passed for the whole"
    assert str(bad) in broken
    assert "the other 3 were read" in broken
    assert numbers(frames) == [frame.index for frame in frames] == [0, 2, 3]


def test_a_folder_of_which_nothing_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("no image")
    with pytest.raises(SourceBroken, match=r"a\.jpg is no image, or is damaged"):
        open_source(tmp_path)


def test_a_jpeg_with_something_behind_it_is_whole(tmp_path: Path) -> None:
    """Phones append a second picture, cameras a note."""
    path = save_image(tmp_path / "a.jpg", 3)
    path.write_bytes(path.read_bytes() + b"MakerNote" * 10)
    frames, broken = read_all(open_source(path))
    assert (numbers(frames), broken) == ([3], None)


def test_images_are_read_as_they_are_asked_for(tmp_path: Path) -> None:
    for number in range(5):
        save_image(tmp_path / f"{number}.png", number)
    with open_source(tmp_path) as source:
        for name in ("3.png", "4.png"):
            save_image(tmp_path / name, 9)
        assert [number_of(f.pixels) for f in itertools.islice(iter(source.read, None), 5) if f] == [0, 1, 2, 9, 9]
