# SPDX-License-Identifier: GPL-3.0-or-later
"""Chunks: the content of one cell as exactly one zstd frame.

A frame from outside is measured before it is unpacked: the declared size bounds the memory, and
the walk over the block headers shows that nothing follows the frame.
"""

from __future__ import annotations

import hashlib
import threading
from collections import defaultdict

import zstandard

from slipway.format.errors import FrameError, FrameTooLong
from slipway.format.names import check_digest
from slipway.format.proofs import digest_and_key

MIN_CELL = 1 << 20
MAX_CELL = 4 << 20
# zstd's own worst case for MAX_CELL bytes is 16 KiB and a header more than the content.
MAX_FRAME = MAX_CELL + (MAX_CELL >> 7)
MAX_LEVEL = 19

_MAGIC = b"\x28\xb5\x2f\xfd"
_CHECKSUM_FLAG, _UNUSED_FLAG = 0x04, 0x10
_BLOCK_RLE, _BLOCK_RESERVED = 1, 3
_MAX_BLOCK = 128 << 10

_local = threading.local()
_packers: dict[int, list[zstandard.ZstdCompressor]] = defaultdict(list)


def digest_of(content: bytes | bytearray | memoryview) -> str:
    """The name of a chunk with this content."""
    return hashlib.sha256(content).hexdigest()


def make_frame(content: bytes | bytearray | memoryview, level: int = 3) -> bytes:
    """Pack a cell's content.

    Contexts are costly to make, and their tables fill a core's cache: the one used last goes first.
    """
    idle = _packers[level]
    try:
        packer = idle.pop()
    except IndexError:
        packer = zstandard.ZstdCompressor(level=level)
    frame: bytes = packer.compress(content)
    idle.append(packer)
    return frame


def frame_content_size(frame: bytes) -> int:
    """How long the content of `frame` says it is, after every check that needs no unpacking."""
    if len(frame) > MAX_FRAME:
        raise FrameTooLong(f"the frame has {len(frame)} bytes, at most {MAX_FRAME} are allowed")
    if frame[:4] != _MAGIC:
        raise FrameError("this is no zstd frame")
    try:
        parameters = zstandard.get_frame_parameters(frame)
        header = zstandard.frame_header_size(frame)
    except zstandard.ZstdError as error:
        raise FrameError(f"the frame's header is damaged: {error}") from error
    if frame[4] & _UNUSED_FLAG:
        raise FrameError("the frame's header has a bit set that no encoder sets")
    size: int = parameters.content_size
    if size in (zstandard.CONTENTSIZE_UNKNOWN, zstandard.CONTENTSIZE_ERROR):
        raise FrameError("the frame does not declare the size of its content")
    if size > MAX_CELL:
        raise FrameTooLong(f"the frame unpacks to {size} bytes, at most {MAX_CELL} are allowed")
    if parameters.dict_id or parameters.window_size > 2 * MAX_CELL:
        raise FrameError("the frame needs a dictionary or a larger window than a cell")
    end = _frame_end(frame, header)
    if end != len(frame):
        raise FrameError(f"{len(frame) - end} bytes follow the frame")
    return size


def _frame_end(frame: bytes, header: int) -> int:
    """Offset behind the last byte of the frame, found by its block headers."""
    position, last = header, False
    while not last:
        block = int.from_bytes(frame[position : position + 3], "little")
        last, kind, length = bool(block & 1), (block >> 1) & 3, block >> 3
        if position + 3 > len(frame) or kind == _BLOCK_RESERVED or length > _MAX_BLOCK:
            raise FrameError("the frame ends early or a block header is damaged")
        position += 3 + (1 if kind == _BLOCK_RLE else length)
    position += 4 if frame[4] & _CHECKSUM_FLAG else 0
    if position > len(frame):
        raise FrameError("the frame ends early")
    return position


def decode_frame(digest: str, frame: bytes, buffer: memoryview | None = None) -> memoryview:
    """The content of chunk `digest`, proven to be what its name says; in `buffer` if given."""
    content = _unpack(digest, frame, buffer)
    if (actual := digest_of(content)) != digest:
        raise FrameError(f"the content's digest is {actual}")
    return content


def check_frame(digest: str, frame: bytes) -> int:
    """Prove that `frame` is the chunk `digest`; return the size of its content."""
    return frame_facts(digest, frame)[0]


def frame_facts(digest: str, frame: bytes) -> tuple[int, bytes]:
    """As `check_frame`, with the content's key for proofs beside its size."""
    scratch = getattr(_local, "scratch", None)
    if scratch is None:
        scratch = _local.scratch = memoryview(bytearray(MAX_CELL))
    content = _unpack(digest, frame, scratch)
    actual, key = digest_and_key(content)
    if actual != digest:
        raise FrameError(f"the content's digest is {actual}")
    return len(content), key


def _unpack(digest: str, frame: bytes, buffer: memoryview | None) -> memoryview:
    check_digest(digest)
    size = frame_content_size(frame)
    if buffer is None:
        buffer = memoryview(bytearray(size))
    elif size > len(buffer):
        raise FrameTooLong(f"the frame unpacks to {size} bytes, there is room for {len(buffer)}")
    decompressor = getattr(_local, "decompressor", None)
    if decompressor is None:
        decompressor = _local.decompressor = zstandard.ZstdDecompressor()
    content = buffer[:size]
    try:
        with decompressor.stream_reader(frame) as reader:
            count = reader.readinto(content) if size else 0
    except zstandard.ZstdError as error:
        raise FrameError(f"the frame can't be unpacked: {error}") from error
    if count != size:
        raise FrameError(f"the frame declares {size} bytes but holds {count}")
    return content
