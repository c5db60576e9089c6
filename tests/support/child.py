"""What a child does in the tests of `edgevision.child_process`: as asked, and in ways that a child should not."""

from __future__ import annotations

import os
import sys
import time

from edgevision.child_process import answer_requests
from edgevision.errors import MissingExtra, ModelNotFound

print("printed while importing")  # noqa: T201


def answer(request):
    what = request["do"]
    print("printed meanwhile")  # noqa: T201
    if what == "echo":
        return request["value"]
    if what == "sleep":
        time.sleep(30)
    if what == "die":
        os.kill(os.getpid(), 9)
    if what == "refuse":
        raise ModelNotFound("no model of that name")
    if what == "extra":
        raise MissingExtra("ray", "ray", "--engine ray")
    if what == "garble":
        sys.stdout.flush()
        os.write(_REPLIES.fileno(), b"no JSON\n")
        return None
    if what == "facts":
        return {"nice": os.nice(0), "session": os.getsid(0) == os.getpid(), "key": os.environ.get("CHILD_KEY")}
    raise KeyError(what)


def main(replies):
    global _REPLIES
    _REPLIES = replies
    answer_requests(replies, answer)
