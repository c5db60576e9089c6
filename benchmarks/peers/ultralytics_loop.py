"""Ultralytics predict(stream=True) + plot() + JPEG: clip, model, frames [alone]; prints fps.

One thread for the network, as everywhere here. ``alone``: one thread for decoding and OpenCV too.
"""

from __future__ import annotations

import sys

import cv2
import onnxruntime
import torch
from clock import fps_of
from plain import SIDE_PX, jpeg
from ultralytics import YOLO


def one_thread() -> None:
    """Ultralytics gives onnxruntime all cores, and has no setting for it."""
    made = onnxruntime.InferenceSession

    def session(model: object, sess_options: onnxruntime.SessionOptions | None = None, **more: object) -> object:
        sess_options = sess_options or onnxruntime.SessionOptions()
        sess_options.intra_op_num_threads = 1
        return made(model, sess_options, **more)

    onnxruntime.InferenceSession = session
    torch.set_num_threads(1)


def one_thread_for_the_rest() -> None:
    cv2.setNumThreads(1)
    made = cv2.VideoCapture
    cv2.VideoCapture = lambda clip: made(clip, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])


def results(clip: str, model: str):
    for result in YOLO(model, task="detect").predict(clip, stream=True, imgsz=SIDE_PX, verbose=False, device="cpu"):
        jpeg(result.plot())
        yield


if __name__ == "__main__":
    one_thread()
    if "alone" in sys.argv[4:]:
        one_thread_for_the_rest()
    print(fps_of(results(sys.argv[1], sys.argv[2]), int(sys.argv[3])))
