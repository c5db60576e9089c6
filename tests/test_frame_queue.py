"""The bounded queue between capture and inference."""

from __future__ import annotations

import threading
import weakref

import pytest

from edgevision.errors import SourceLost
from edgevision.frame_queue import BoundedQueue, Closed


def test_newest_wins_and_the_replaced_are_counted():
    dropped = []
    slot = BoundedQueue(newest_wins=True, on_drop=dropped.append)
    for k in range(5):
        assert slot.put(k)
    assert slot.take(0) == 4
    assert dropped == [0, 1, 2, 3]
    assert slot.statistics.dropped == 4


def test_a_file_slot_blocks_its_writer_and_loses_nothing():
    slot = BoundedQueue(capacity=2)
    writer = threading.Thread(target=lambda: ([slot.put(k) for k in range(100)], slot.close()))
    writer.start()
    got = []
    with pytest.raises(Closed):
        while True:
            got.append(slot.take(5))
    writer.join(5)
    assert got == list(range(100))
    assert slot.statistics.dropped == 0


def test_the_writers_error_comes_after_its_items():
    slot = BoundedQueue(capacity=2)
    slot.put(1)
    slot.close(ValueError("broken"))
    assert slot.take(0) == 1
    with pytest.raises(ValueError, match="broken"):
        slot.take(0)


def test_an_error_that_was_handed_over_is_not_kept():
    """Its traceback holds the reader; a reader that holds the queue would wait for the garbage collector."""
    slot = BoundedQueue()
    error = SourceLost("broken")
    slot.close(error)
    held = weakref.ref(error)
    with pytest.raises(SourceLost, match="broken") as caught:
        slot.take()
    assert caught.value is error
    del error, caught
    assert held() is None
    for _ in range(2):
        with pytest.raises(SourceLost, match="broken"):
            slot.take()


def test_closing_frees_a_blocked_writer():
    slot = BoundedQueue(capacity=1)
    slot.put(1)
    answers = []
    writer = threading.Thread(target=lambda: answers.append(slot.put(2)))
    writer.start()
    slot.close()
    writer.join(5)
    assert answers == [False]


def test_take_times_out():
    with pytest.raises(TimeoutError):
        BoundedQueue().take(0)
