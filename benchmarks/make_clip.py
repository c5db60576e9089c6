"""Make the clip that `edgevision bench` carries: 10 s of the built-in scene as 720p H.264, and its true boxes.

    python benchmarks/make_clip.py

The clip is kept in the package, so that its SHA-256 is the same on every machine and runs can be compared.
"""

from __future__ import annotations

import json

import cv2  # noqa: F401 - before av, whose libxcb hangs Qt's windows
import av

from edgevision.bench.clips import BUNDLED
from edgevision.capture.scene import SceneSource

FRAMES = 300
SEED, PLACE = 7, "street"


def main() -> None:
    boxes = []
    BUNDLED.parent.mkdir(exist_ok=True)
    with av.open(str(BUNDLED), "w") as container, SceneSource(seed=SEED, place=PLACE, live=False) as scene:
        options = {"preset": "veryslow", "crf": "25", "threads": "1", "g": "60"}
        stream = container.add_stream("libx264", rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for k in range(FRAMES):
            pixels, truth = scene.render(k)
            boxes.append([[round(float(v), 1) for v in box] for box in truth.boxes])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
        container.mux(stream.encode())
    made = {"clip": BUNDLED.name, "scene": f"seed={SEED}&place={PLACE}", "class": "person", "boxes": boxes}
    BUNDLED.with_suffix(".json").write_text(json.dumps(made, separators=(",", ":")) + "\n")
    print(f"{BUNDLED}: {BUNDLED.stat().st_size / 1024:.0f} KiB, {sum(map(len, boxes))} boxes")


if __name__ == "__main__":
    main()
