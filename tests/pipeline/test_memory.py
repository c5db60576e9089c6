"""What a process says of its memory."""

from __future__ import annotations

import subprocess
import sys

import pytest

from edgevision.pipeline.memory import peak_rss_mib

CODE = "from edgevision.pipeline.memory import peak_rss_mib; print(peak_rss_mib())"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux's ru_maxrss is inherited from the parent")
def test_peak_memory_is_not_the_parents():
    held = bytearray(600 << 20)
    held[:: 1 << 12] = b"x" * len(held[:: 1 << 12])
    assert peak_rss_mib() > 600
    child = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert float(child.stdout) < 300
