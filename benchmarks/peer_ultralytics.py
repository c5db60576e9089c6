"""Run by loop.py in a Python that has ultralytics: clip, model, frames; prints fps of predict + plot + JPEG."""

from __future__ import annotations

import sys
import time

import cv2
import onnxruntime
import torch
from ultralytics import YOLO


def one_thread() -> None:
    """The same budget as ours: one thread for the network. Ultralytics leaves onnxruntime at all cores."""
    made = onnxruntime.InferenceSession

    def session(model: object, sess_options: onnxruntime.SessionOptions | None = None, **more: object) -> object:
        sess_options = sess_options or onnxruntime.SessionOptions()
        sess_options.intra_op_num_threads = 1
        return made(model, sess_options, **more)

    onnxruntime.InferenceSession = session
    torch.set_num_threads(1)


def main() -> None:
    clip, model, frames = sys.argv[1], sys.argv[2], int(sys.argv[3])
    one_thread()
    began, count = 0.0, 0
    for result in YOLO(model, task="detect").predict(clip, stream=True, imgsz=320, verbose=False, device="cpu"):
        cv2.imencode(".jpg", result.plot(), [cv2.IMWRITE_JPEG_QUALITY, 80])
        if count == 0:
            began = time.perf_counter()  # the model loads with the first frame
        count += 1
        if count == frames:
            break
    print((count - 1) / (time.perf_counter() - began))


if __name__ == "__main__":
    main()
