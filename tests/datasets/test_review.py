"""What a person says of labels: order, revisions, what is on disk when, and the page's server over real sockets."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from urllib.parse import quote

import cv2
import numpy as np
import pytest

from edgevision.cli.distill_review import review as review_command
from edgevision.datasets.annotations import Box, PictureLabels
from edgevision.datasets.data_folder import DataFolder
from edgevision.datasets.review import Review, StaleRevision
from edgevision.datasets.review_queue import Thresholds, picture_order
from edgevision.errors import EdgeVisionError, SourceBroken, UsageError
from edgevision.web.review_page import ReviewPage
from tests.support.review import (
    CLASSES,
    DOUBTFUL,
    FAINT,
    HEIGHT,
    LESS,
    SURE,
    TOKEN,
    WIDTH,
    box,
    data_folder,
    labels,
    on_disk,
    start,
)

AUTH = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def folder(tmp_path):
    return data_folder(tmp_path / "data")


@pytest.fixture
def review(folder):
    with DataFolder(folder) as data:
        yield Review(data)


def word(state, **changes):
    return {k: state[k] for k in ("status", "boxes", "faint", "rejected")} | changes


def say(review, file, **changes):
    state = review.state(file)
    return review.put(file, state["revision"], word(state, **changes))


def test_doubtful_pictures_come_first_then_scores_nearest_the_threshold(review):
    files = [file for file, _ in review.queue()["pictures"]]
    assert files == ["yard/d.png", "c.png", "b.png", "a.png", "f.png", "e.png"]
    assert review.counts() == {"new": 1, "labelled": 2, "failed": 0, "review": 2, "done": 1}
    assert review.left() == 5


def test_nearness_is_to_the_threshold_of_the_boxs_own_class():
    thresholds = Thresholds.of_settings({"trust": {"sure": 0.45}, "class_trust": {"hard hat": {"sure": 0.8}}})
    far, near = (
        labels("far.png", "labelled", box(0, SURE.corners, 0.6)),
        labels("near.png", "labelled", box(1, SURE.corners, 0.82)),
    )
    own = labels("own.png", "labelled", Box(0, SURE.corners, 0.45, 1.0, "person"))
    assert [p.file for p in picture_order([own, far, near], CLASSES, thresholds)] == ["near.png", "far.png", "own.png"]


@pytest.mark.parametrize("settings", [{}, {"trust": None}, {"trust": {"sure": "high"}, "class_trust": []}])
def test_settings_of_another_make_mean_the_usual_threshold(settings):
    assert Thresholds.of_settings(settings) == Thresholds(0.45, {})


def test_a_word_is_on_disk_when_it_is_answered(review, folder):
    state = review.state("c.png")
    sure, doubtful, less = state["boxes"]
    accepted = [*doubtful[:6], 1.0, "person"]
    review.put("c.png", state["revision"], word(state, boxes=[sure, accepted], rejected=[less]))
    # Not closed, not folded: what a kill now would leave.
    found = on_disk(folder)["c.png"]
    assert [b.by for b in found.boxes] == ["teacher@1", "person"]
    assert found.rejected == (LESS,)
    assert (found.status, found.faint, found.doubts) == (
        "review",
        (FAINT,),
        ("1 doubtful person", "1 doubtful hard hat"),
    )


def test_done_confirms_what_was_sure_and_leaves_doubts_undecided(review, folder):
    say(review, "c.png", status="done")
    found = on_disk(folder)["c.png"]
    assert [(b.weight, b.by) for b in found.boxes] == [(1.0, "person"), (0.0, "person"), (0.0, "person")]
    # What a teacher suspected under its threshold is background once a person has looked.
    assert found.rows(least_score=0.05)[:, 5].tolist() == [1.0, 0.0, 0.0]
    assert review.reviewed_now == 1
    assert review.counts()["done"] == 2


def test_rejected_boxes_teach_nothing_and_survive_the_fold(review, folder):
    state = review.state("c.png")
    say(review, "c.png", boxes=state["boxes"][:1], rejected=state["boxes"][1:])
    review._data.fold()
    values = json.loads((folder / "labels.json").read_text())
    image = next(i for i in values["images"] if i["file_name"] == "c.png")
    assert [a["bbox"] for a in values["annotations"] if a["image_id"] == image["id"]] == [[20, 30, 70, 170]]
    assert on_disk(folder)["c.png"].rejected == (DOUBTFUL, LESS)
    assert on_disk(folder)["c.png"].rows(least_score=0.05)[:, 0].tolist() == [0.0, 1.0]  # the sure and the faint one


def test_reopened_counts_no_more_as_reviewed(review):
    state = say(review, "a.png", status="done")
    review.put("a.png", state["revision"], word(state, status="labelled"))
    assert review.reviewed_now == 0
    assert review.left() == 5


def test_an_old_revision_overwrites_nothing(review, folder):
    old = review.state("c.png")
    say(review, "c.png", boxes=old["boxes"][:1])
    with pytest.raises(StaleRevision, match=r"c\.png was changed elsewhere"):
        review.put("c.png", old["revision"], word(old, boxes=[]))
    assert len(on_disk(folder)["c.png"].boxes) == 1


def test_a_revision_outlives_the_process_and_sees_what_others_wrote(folder):
    with DataFolder(folder) as data:
        before = Review(data).state("c.png")["revision"]
    with DataFolder(folder) as data:
        assert Review(data).state("c.png")["revision"] == before
        data.put(labels("c.png", "review", SURE))
    with DataFolder(folder) as data:
        assert Review(data).state("c.png")["revision"] != before


def test_a_picture_without_labels_gets_its_size_and_its_boxes(review, folder):
    state = review.state("f.png")
    assert (state["status"], state["width_px"], state["height_px"]) == ("new", WIDTH, HEIGHT)
    say(review, "f.png", status="done", boxes=[[1, 10.126, -20, 9999, 50, 1, 1, "person"]])
    found = on_disk(folder)["f.png"]
    assert found.boxes == (Box(1, (10.13, 0.0, 320.0, 50.0), 1.0, 1.0, "person"),)
    assert (found.width_px, found.status) == (WIDTH, "done")
    assert review.counts()["new"] == 0


def test_labelling_later_keeps_what_a_person_drew_first(tmp_path):
    from edgevision.detectors.load import TeacherSpec
    from edgevision.training.labelling.auto_label import label_folder
    from edgevision.training.labelling.settings import settings_from
    from tests.support.models import blob_frame_pixels, blob_model

    data = tmp_path / "data"
    (data / "images").mkdir(parents=True)
    cv2.imwrite(str(data / "images" / "a.png"), blob_frame_pixels(64, 64, [(8, 8, 16, 16)]))
    with DataFolder(data, ("blob",)) as folder:
        say(Review(folder), "a.png", boxes=[[0, 30, 30, 60, 60, 1, 1, "person"]])
    teachers = (TeacherSpec(str(blob_model(tmp_path / "blobs")), threads=1),)
    label_folder(data, data, teachers, settings_from(teachers, "blob: a blob"))
    found = on_disk(data)["a.png"]
    assert found.status == "labelled"
    assert {(b.by == "person", b.corners) for b in found.boxes} == {(True, (30, 30, 60, 60)), (False, (8, 8, 16, 16))}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"status": "finished"}, "status: expected one of"),
        ({"status": "failed"}, "status: expected one of"),
        ({"boxes": None}, "boxes: expected a list"),
        ({"boxes": [[0, 1, 2]]}, "boxes: expected .class, x1"),
        ({"boxes": [[0, 1, 2, 30, 40, 1, 1, 7]]}, "boxes: expected .class, x1"),
        ({"boxes": [["0", 1, 2, 30, 40, 1, 1, "person"]]}, "boxes: expected .class, x1"),
        ({"boxes": [[0, 1, float("nan"), 30, 40, 1, 1, "person"]]}, "boxes: expected .class, x1"),
        ({"boxes": [[2, 1, 2, 30, 40, 1, 1, "person"]]}, "expected a class from 0 to 1, got 2"),
        ({"boxes": [[-1, 1, 2, 30, 40, 1, 1, "person"]]}, "expected a class from 0 to 1, got -1"),
        ({"rejected": [[0, 1, 2, 30, 40, 1.5, 1, "person"]]}, "rejected: expected a score"),
        ({"faint": [[0, 1, 2, 30, 40, 1, 1, "person"]] * 2001}, "faint: expected a list of at most"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_changes_nothing(review, folder, changes, told):
    before = on_disk(folder)["c.png"]
    with pytest.raises(UsageError, match=told):
        say(review, "c.png", **changes)
    assert on_disk(folder)["c.png"] == before


def test_a_box_without_extent_is_left_out(review, folder):
    say(review, "c.png", boxes=[[0, 50, 50, 50.5, 90, 1, 1, "person"]])
    assert on_disk(folder)["c.png"].boxes == ()


def test_a_full_disk_is_said_and_the_picture_stays(review, folder):
    before = review.state("c.png")

    class Full:
        def write(self, text):
            raise OSError(28, "No space left on device")

    journal, review._data._journal = review._data._journal, Full()
    with pytest.raises(EdgeVisionError, match="cannot be written to: No space left on device"):
        say(review, "c.png", boxes=[])
    review._data._journal = journal
    assert review.state("c.png") == before


def test_no_picture_of_another_place(folder):
    with DataFolder(folder) as data:
        for name in ("../labels.json", str(folder / "labels.json")):
            data.put(PictureLabels(name, 5, 5, "labelled"))
            with pytest.raises(UsageError, match="outside"):
                Review(data).picture(name)
        with pytest.raises(UsageError, match="no image"):
            Review(data).picture("../labels.journal.jsonl")


def test_pictures_are_shown_as_opencv_sees_them(review, folder):
    data, kind = review.picture("a.png")
    assert (data, kind) == ((folder / "images" / "a.png").read_bytes(), "image/png")
    lying = np.zeros((20, 40, 3), np.uint8)
    lying[:, 20:] = 255
    jpeg = cv2.imencode(".jpg", lying)[1].tobytes()
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    (folder / "images" / "turned.jpg").write_bytes(
        jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:]
    )
    cv2.imwrite(str(folder / "images" / "scan.tiff"), lying)
    again = Review(review._data)
    data, kind = again.picture("turned.jpg")
    upright = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    assert (kind, upright.shape[:2]) == ("image/jpeg", (40, 20))
    assert upright[35, 10, 0] > 200 > 60 > upright[5, 10, 0]
    assert (again.state("turned.jpg")["width_px"], again.state("turned.jpg")["height_px"]) == (20, 40)
    assert again.picture("scan.tiff")[1] == "image/jpeg"


def test_a_broken_picture_is_said_and_cannot_be_labelled(folder):
    (folder / "images" / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    with DataFolder(folder) as data:
        review = Review(data)
        assert "broken.jpg" in review.state("broken.jpg")["error"]
        with pytest.raises(SourceBroken):
            say(review, "broken.jpg", status="done")


def test_an_empty_folder_is_one_sentence(tmp_path):
    with DataFolder(tmp_path, CLASSES) as data, pytest.raises(UsageError, match="expected images in images/"):
        Review(data)


# ---- the server


@pytest.fixture
def page(review):
    with ReviewPage(review, token=TOKEN, port=0) as page:
        yield page


def ask(page, method, path, body=None, headers=AUTH):
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=10)
    try:
        kept = {"Content-Type": "application/json", **headers} if body is not None else headers
        connection.request(method, path, body if body is None or isinstance(body, bytes) else json.dumps(body), kept)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def test_the_server_gives_queue_labels_and_pictures_and_takes_a_word(page, folder):
    queue = json.loads(ask(page, "GET", "/queue")[2])
    assert queue["classes"] == list(CLASSES)
    assert queue["pictures"][0] == ["yard/d.png", "review"]
    state = json.loads(ask(page, "GET", f"/labels?file={quote('yard/d.png')}")[2])
    assert ask(page, "GET", "/picture?file=yard/d.png")[1]["Content-Type"] == "image/png"
    told = {"file": state["file"], "revision": state["revision"], **word(state, status="done")}
    status, _, body = ask(page, "POST", "/labels", told)
    answer = json.loads(body)
    assert status == 200
    assert answer["counts"]["done"] == 2
    assert on_disk(folder)["yard/d.png"].status == "done"
    status, _, body = ask(page, "POST", "/labels", told)
    assert status == 409
    assert json.loads(body)["state"]["revision"] == answer["state"]["revision"]


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("GET", "/queue", None, {}, 403),
        ("GET", "/picture?file=a.png", None, {"Authorization": "Bearer wrong-token"}, 403),
        ("GET", "/queue", None, {**AUTH, "Host": "evil.example"}, 403),
        ("POST", "/labels", {}, {"Cookie": "", **AUTH, "Origin": "http://evil.example"}, 403),
        ("GET", "/picture?file=../labels.json", None, AUTH, 400),
        ("GET", "/picture", None, AUTH, 400),
        ("GET", "/labels?file=none.png", None, AUTH, 400),
        ("POST", "/labels", b"[", AUTH, 400),
        ("POST", "/labels", {"file": 3}, AUTH, 400),
        ("POST", "/labels", b"x" * 1_100_000, AUTH, 413),
        ("GET", "/other", None, AUTH, 404),
    ],
)  # fmt: skip
def test_what_the_server_refuses(page, method, path, body, headers, status):
    answer = ask(page, method, path, body, headers)
    assert answer[0] == status
    assert b"Traceback" not in answer[2]


def test_a_word_that_is_no_json_type_is_refused(page):
    assert ask(page, "POST", "/labels", {}, {**AUTH, "Content-Type": "text/plain"})[0] == 415


def test_the_page_forbids_foreign_content(page):
    _, headers, body = ask(page, "GET", "/")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert not re.search(rb"(src|href)=\"(https?:)?//", body)
    for path in re.findall(r'(?:src|href)="(/[^"]+)"', body.decode()):
        assert ask(page, "GET", path)[0] == 200


# ---- the command


class At:
    def __init__(self, port: int) -> None:
        self.port = port


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_killed_and_started_again_nothing_is_lost(folder):
    process, port = start(folder)
    try:
        state = json.loads(ask(At(port), "GET", "/labels?file=c.png")[2])
        told = {"file": "c.png", "revision": state["revision"], **word(state, status="done", boxes=[])}
        assert ask(At(port), "POST", "/labels", told)[0] == 200
        second = subprocess.run(
            [sys.executable, "-m", "edgevision", "distill", "review", str(folder)],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert second.returncode == 2
        assert "another edgevision command is writing to it" in second.stderr
        assert "Traceback" not in second.stderr
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=30)
    process, port = start(folder)
    try:
        again = json.loads(ask(At(port), "GET", "/labels?file=c.png")[2])
        assert (again["status"], again["boxes"]) == ("done", [])
        state = json.loads(ask(At(port), "GET", "/labels?file=a.png")[2])
        told = {"file": "a.png", "revision": state["revision"], **word(state, status="done")}
        assert ask(At(port), "POST", "/labels", told)[0] == 200
    finally:
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=30)[1]
    assert process.returncode == 0
    assert "1 reviewed now, 3 in all, 3 left" in said
    assert not (folder / "labels.journal.jsonl").exists()


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda p: p / "none", "expected a data folder, found nothing"),
        (lambda p: p, "found no labels.json"),
    ],
)
def test_the_commands_errors_are_one_sentence(tmp_path, make, told):
    with pytest.raises(UsageError, match=told) as caught:
        review_command(make(tmp_path))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "images").exists()
