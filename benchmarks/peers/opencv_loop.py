"""The plain loop: read, detect, draw, encode, one after the other. Arguments and output as in `ultralytics_loop`."""

from __future__ import annotations

import sys

import cv2
from clock import fps_of
from plain import detect, jpeg, load


def results(clip: str, model: str, alone: bool):
    if alone:
        cv2.setNumThreads(1)
    session = load(model, 1)
    capture = cv2.VideoCapture(clip, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1] if alone else [])
    while True:
        given, frame = capture.read()
        if not given:
            return
        for (x1, y1, x2, y2), score, class_id in zip(*detect(session, frame), strict=True):
            cv2.rectangle(frame, (int(x1), int(y1)), (int(x2), int(y2)), (0, 255, 0), 2)
            cv2.putText(frame, f"{class_id} {score:.2f}", (int(x1), int(y1) - 4), 0, 0.5, (0, 255, 0), 1)
        jpeg(frame)
        yield


if __name__ == "__main__":
    print(fps_of(results(sys.argv[1], sys.argv[2], "alone" in sys.argv[4:]), int(sys.argv[3])))
