"""Keep the memory of one frame for the next: on Linux, the C library gives each back to the kernel and asks again."""

from __future__ import annotations

import ctypes
import platform
import sys
from pathlib import Path

import psutil

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_LARGEST_MMAP_THRESHOLD = 32 << 20
"""glibc takes no more (mallopt(3), DEFAULT_MMAP_THRESHOLD_MAX)."""
_KEPT = 256 << 20
_ARENAS = 2
"""Each keeps what was freed in it to itself, so what is kept is that many times as much; more gained no time here."""


def keep_freed_memory() -> bool:
    """Have malloc keep up to 256 MiB of freed memory; True where the C library could be asked (glibc).

    A 720p frame is 2.7 MB. Fetching its pages from the kernel anew cost 1.2 ms a frame where converting it cost 0.3.
    For the whole process, so it is for programs to call and not for libraries.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_ARENA_MAX, _ARENAS)
    trimmed = libc.mallopt(_M_TRIM_THRESHOLD, _KEPT)
    mapped = libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
    return bool(trimmed and mapped)


def give_back_freed_memory() -> bool:
    """Give what was freed back to the kernel; True where the C library did (glibc). Takes a millisecond or two.

    Each thread that loads a model may do so in an arena of its own, which keeps what a model took after it has gone:
    25 MiB over 300 loads of one that takes 7.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    return bool(ctypes.CDLL(None).malloc_trim(0))


def peak_rss_mib() -> float:
    """The most memory this process has held at once, MiB.

    On Linux from the kernel's mark for this program: ``ru_maxrss`` starts at what the parent held when it forked.
    """
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset) / 2**20
    if sys.platform == "linux":
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**10
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
