"""`distill import` into a folder that holds images already, and out of zip archives."""

from __future__ import annotations

import stat
import zipfile

import pytest
from typer.testing import CliRunner

from edgevision.cli import app
from edgevision.datasets.archive import unpacked
from edgevision.datasets.convert import export_data, import_data
from edgevision.datasets.dataset import read_data
from edgevision.datasets.reading_report import ReadingReport
from edgevision.errors import UsageError
from tests.support.datasets import boxes_of, coco, image, text, yolo

ONE, OTHER = "0 0.5 0.5 0.2 0.4\n", "0 0.25 0.5 0.1 0.2\n"
YAML = "names: [person, dog]\n"


def clip(root, rows, seed, yaml=YAML, name="frame_000000"):
    """What two clips' frames are called: the same."""
    image(root / f"images/{name}.png", seed=seed)
    text(root / f"labels/{name}.txt", rows)
    text(root / "data.yaml", yaml)
    return root


def test_like_named_images_of_two_sets_keep_their_own_labels(tmp_path):
    for name, rows, seed in (("A", ONE, 1), ("B", OTHER, 2)):
        summary = import_data(clip(tmp_path / name, rows, seed), tmp_path / "ours")
    data = read_data(tmp_path / "ours")
    assert len(data.usable) == 2
    for picture in data.usable:
        theirs = tmp_path / ("A" if picture.path.name == "frame_000000.png" else "B") / "images/frame_000000.png"
        assert picture.path.read_bytes() == theirs.read_bytes()
        assert picture.labels.boxes[0].corners[0] == pytest.approx(80 if "A" in str(theirs.parts) else 40)
    assert summary.report.counts["renamed"] == 1
    # Once more is the same again.
    import_data(tmp_path / "B", tmp_path / "ours")
    assert len(read_data(tmp_path / "ours").pictures) == 2


def test_the_same_image_again_takes_the_new_labels_and_says_so(tmp_path):
    import_data(clip(tmp_path / "A", ONE, 1), tmp_path / "ours")
    summary = import_data(clip(tmp_path / "again", OTHER, 1), tmp_path / "ours")
    assert boxes_of(read_data(tmp_path / "ours")) == {"frame_000000": [("person", (40, 40, 60, 60))]}
    assert summary.report.counts == {"replaced": 1}


def test_labels_that_cannot_be_used_do_not_replace_sound_ones(tmp_path):
    import_data(clip(tmp_path / "A", ONE, 1), tmp_path / "ours")
    clip(tmp_path / "bad", "0 9 9 9 9\n", 1)
    clip(tmp_path / "bad", OTHER, 2, name="other")
    import_data(tmp_path / "bad", tmp_path / "ours")
    assert boxes_of(read_data(tmp_path / "ours"))["frame_000000"] == [("person", (80, 30, 120, 70))]


def test_classes_in_another_order_are_matched_by_name(tmp_path):
    import_data(clip(tmp_path / "A", ONE, 1, name="a"), tmp_path / "ours")
    import_data(clip(tmp_path / "B", ONE, 2, "names: [Dog, cat, PERSON]\n", "b"), tmp_path / "ours")
    import_data(clip(tmp_path / "C", "2 0.5 0.5 0.2 0.4\n", 3, "names: [Dog, cat, PERSON]\n", "c"), tmp_path / "ours")
    data = read_data(tmp_path / "ours")
    assert data.classes == ("person", "dog", "cat")
    assert {stem: boxes[0][0] for stem, boxes in boxes_of(data).items()} == {"a": "person", "b": "dog", "c": "person"}


def test_names_that_differ_in_case_only_do_not_meet(tmp_path):
    for name, seed in (("a", 1), ("A", 2)):
        import_data(clip(tmp_path / f"set{seed}", ONE, seed, name=name), tmp_path / "ours")
    files = {p.labels.file.casefold() for p in read_data(tmp_path / "ours").pictures}
    assert len(files) >= 1


def test_what_is_written_keeps_images_apart_that_differ_in_their_suffix(tmp_path):
    yolo(tmp_path / "theirs", ONE)
    image(tmp_path / "theirs/images/a.png", seed=5)
    coco(tmp_path / "two", images=[{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "a.png"}])
    image(tmp_path / "two/images/a.png", seed=5)
    for layout in ("yolo", "coco"):
        export_data(tmp_path / "two", tmp_path / layout, layout)
        assert sorted(map(len, boxes_of(read_data(tmp_path / layout)).values())) == [0, 1]


def test_names_go_through_yaml_unharmed(tmp_path):
    names = ["yes", "a: b # c", "it's", '"q"', "", "日本", "null", "1.0"]
    coco(tmp_path / "theirs", [], categories=[{"id": k, "name": n} for k, n in enumerate(names, 1)])
    export_data(tmp_path / "theirs", tmp_path / "out", "yolo")
    assert read_data(tmp_path / "out").classes == tuple(names)


# The command


def run(*words):
    return CliRunner().invoke(app, ["distill", *map(str, words)])


def test_the_command_says_what_was_left_out(tmp_path):
    yolo(tmp_path / "theirs", "1 0.5 0.5 0.2 0.4\n0 0.5 0.5 0 0.1\n")
    for stem, rows in (("bad", "0 80 40 80 40\n1 0.5 0.5 0.2 0.4\n"), ("empty", "")):
        image(tmp_path / f"theirs/images/{stem}.jpg")
        text(tmp_path / f"theirs/labels/{stem}.txt", rows)
    image(tmp_path / "theirs/images/new.jpg")
    result = run("import", tmp_path / "theirs", "--out", tmp_path / "ours")
    assert result.exit_code == 0
    said = " ".join(result.stderr.split())
    for words in (
        "images 4",
        "with labels 1",
        "that show none of the classes 1",
        "without labels 1",
        "that cannot be used 1",
        "labels 1",
        "labels of no width or height: 1; left out",
        "theirs/labels/a.txt:2: a label of 0 × 10 px is left out",
        "theirs/labels/bad.txt:1: expected shares of the image, 0 to 1, got 80 40 80 40",
        "sound labels of images that are not used for another label: 1; left out",
        "2 done, 1 failed, 1 new",
    ):
        assert words in said, words


@pytest.mark.parametrize("rows", ["0 80 40 80 40\n", None])
def test_where_all_fails_the_exit_code_says_so(tmp_path, rows):
    yolo(tmp_path / "theirs", rows or "")
    if rows is None:
        (tmp_path / "theirs/labels/a.txt").unlink()
    result = run("import", tmp_path / "theirs", "--out", tmp_path / "ours")
    assert result.exit_code != 0
    assert "expected labelled images, found 1" in str(result.exception)
    assert not (tmp_path / "ours").exists()


# Zip archives


def zipped(path, root, extra=()):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(root.rglob("*")):
            archive.write(file, file.relative_to(root))
        for name, content in extra:
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("top", ["", "dataset/", "dataset/v1/"])
def test_a_zip_is_read_also_with_a_folder_at_its_top(tmp_path, top):
    yolo(tmp_path / "theirs" / top, ONE)
    path = zipped(tmp_path / "theirs.zip", tmp_path / "theirs", [("README.txt", "x")])
    import_data(path, tmp_path / "ours")
    assert boxes_of(read_data(tmp_path / "ours")) == {"a": [("person", (80, 30, 120, 70))]}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ours", "theirs", "theirs.zip"]


def test_other_commands_say_to_import_a_zip(tmp_path):
    path = zipped(tmp_path / "theirs.zip", yolo(tmp_path / "theirs", ONE))
    with pytest.raises(UsageError, match="a zip is read by `edgevision distill import"):
        read_data(path)


def test_nothing_of_a_zip_leads_out(tmp_path):
    link = zipfile.ZipInfo("images/link.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    names = ["../escaped.jpg", "/tmp/escaped.jpg", "C:\\escaped.jpg", "images/../../escaped.jpg", "..\\escaped.jpg"]
    extra = [(n, "x") for n in names] + [(link, "/etc/passwd")]
    path = zipped(tmp_path / "theirs.zip", yolo(tmp_path / "theirs", ONE), extra)
    report = ReadingReport()
    with unpacked(path, report, tmp_path) as folder:
        inside = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert inside == {"data.yaml", "images/a.jpg", "labels/a.txt"}
    assert report.counts["name"] == 6
    assert not list(tmp_path.rglob("escaped*"))


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"PK\x03\x04 no zip", "expected a zip archive"), (b"", "expected a zip archive")],
)
def test_a_damaged_zip_is_refused_in_a_sentence(tmp_path, content, said):
    with pytest.raises(UsageError, match=said):
        import_data(text(tmp_path / "theirs.zip", content), tmp_path / "ours")


def test_a_zip_that_grows_without_end_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.txt", bytes(100 << 20))
    with pytest.raises(UsageError, match="a damaged or hostile archive"):
        import_data(tmp_path / "bomb.zip", tmp_path / "ours")


def test_a_zip_that_lies_about_a_size_is_refused(tmp_path):
    path = tmp_path / "lies.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", b"x" * 5000)
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        at = data.index(signature) + offset
        data[at : at + 4] = (100).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(UsageError, match=r"zip archive|hostile"):
        import_data(path, tmp_path / "ours")


def test_names_of_a_chinese_windows_zip(tmp_path):
    """Written in its code page, with no flag that says so."""
    path = tmp_path / "theirs.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images/NAME.jpg", b"x")
    path.write_bytes(path.read_bytes().replace(b"NAME", "照片".encode("gbk")))
    with unpacked(path, ReadingReport(), tmp_path) as folder:
        assert [p.name for p in (folder / "images").iterdir()] == ["照片.jpg"]
