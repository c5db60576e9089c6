"""The steps that a loop without a framework writes by hand: letterbox, session, boxes of a raw Ultralytics head.

As the tutorials have them (cv2.dnn.blobFromImage, cv2.dnn.NMSBoxes), so that the peers are what people run.
"""

from __future__ import annotations

import cv2
import numpy as np
import onnxruntime

SIDE_PX = 320
MIN_SCORE, IOU = 0.25, 0.7


def load(model: str, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def detect(session: onnxruntime.InferenceSession, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes (N, 4) xyxy px, scores (N,), class ids (N,) of a BGR frame."""
    height, width = frame.shape[:2]
    scale = SIDE_PX / max(height, width)
    small = cv2.resize(frame, (round(width * scale), round(height * scale)))
    top, left = (SIDE_PX - small.shape[0]) // 2, (SIDE_PX - small.shape[1]) // 2
    canvas = np.full((SIDE_PX, SIDE_PX, 3), 114, np.uint8)
    canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
    blob = cv2.dnn.blobFromImage(canvas, 1 / 255, swapRB=True)
    raw = session.run(None, {session.get_inputs()[0].name: blob})[0][0].T
    scores = raw[:, 4:].max(1)
    sure = scores > MIN_SCORE
    raw, scores = raw[sure], scores[sure]
    corner = raw[:, :2] - raw[:, 2:4] / 2
    kept = np.asarray(cv2.dnn.NMSBoxes(np.hstack([corner, raw[:, 2:4]]), scores, MIN_SCORE, IOU), int).reshape(-1)
    boxes = np.hstack([corner, corner + raw[:, 2:4]])[kept]
    boxes = (boxes - [left, top, left, top]) / scale
    return boxes, scores[kept], raw[kept, 4:].argmax(1)


def jpeg(picture: np.ndarray) -> None:
    cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 80])
