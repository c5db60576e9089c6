"""``edgevision run``. What it does is in `run_app`, which imports what that takes."""

from __future__ import annotations

from edgevision.cli.command import takes
from edgevision.cli.run_options import RunOptions


@takes(RunOptions)
def run(options: RunOptions) -> None:
    """Detect objects in a camera, a stream or files, live; show, save or print the detections.

    Keys in window and page: q or Esc quits, space pauses, s saves a snapshot.

    Examples:

        edgevision run                                   # the first camera
        edgevision run --source rtsp://user:password@camera/stream --track
        edgevision run --source clip.mp4 --save drawn.mp4 --json found.jsonl
        edgevision run --model foundation:owlv2 --prompts "helmet: a hard hat"
    """
    import os

    if not options.verbose:
        # OpenCV warns on every retry of a lost camera, which is reported in our own words. It reads this on import.
        os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
    from edgevision.cli.run_app import run_app

    run_app(options)
