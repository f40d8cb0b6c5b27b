# SPDX-License-Identifier: GPL-3.0-or-later
"""How this process gets its memory."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGE = 32 << 20
_libc = ctypes.CDLL(None)


def keep_buffers() -> None:
    """Have malloc keep freed cells instead of giving each back to the kernel.

    By default every buffer of a cell's size is mapped anew, and the kernel clears its pages every
    time: that costs as much as hashing them.
    """
    if hasattr(_libc, "mallopt"):
        _libc.mallopt(_M_MMAP_THRESHOLD, _LARGE)
        _libc.mallopt(_M_TRIM_THRESHOLD, 4 * _LARGE)


def give_back() -> None:
    """Return what malloc keeps: the manifest of a large disk needs the room."""
    if hasattr(_libc, "malloc_trim"):
        _libc.malloc_trim(0)
