"""Roboflow InferencePipeline, supervision annotators, the model run by onnxruntime. As in `ultralytics_loop`."""

from __future__ import annotations

import queue
import sys
import threading

import supervision as sv
from clock import fps_of
from plain import detect, jpeg, load
from streamvision.stream.pipeline import InferencePipeline


def results(clip: str, model: str):
    session = load(model, 1)
    boxes, labels = sv.BoxAnnotator(), sv.LabelAnnotator()
    done: queue.Queue[bool] = queue.Queue()

    def on_frames(frames: list) -> list:
        found = []
        for frame in frames:
            xyxy, scores, class_ids = detect(session, frame.image)
            found.append(sv.Detections(xyxy.reshape(-1, 4), confidence=scores, class_id=class_ids))
        return found

    def on_prediction(detections: sv.Detections, frame) -> None:
        jpeg(labels.annotate(boxes.annotate(frame.image.copy(), detections), detections))
        done.put(True)

    pipeline = InferencePipeline.init_with_custom_logic(clip, on_frames, on_prediction)
    pipeline.start(use_main_thread=False)
    threading.Thread(target=lambda: (pipeline.join(), done.put(False)), daemon=True).start()
    while done.get():
        yield
    pipeline.terminate()


if __name__ == "__main__":
    print(fps_of(results(sys.argv[1], sys.argv[2]), int(sys.argv[3])))
    sys.stdout.flush()
    import os

    os._exit(0)  # its threads go on to the end of the clip otherwise
