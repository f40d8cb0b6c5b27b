# SPDX-License-Identifier: GPL-3.0-or-later
"""Chunks: one frame, bounded before it is unpacked, and nothing but what the name says."""

import os

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from slipway.format import (
    MAX_CELL,
    MAX_FRAME,
    FormatError,
    FrameError,
    FrameTooLong,
    check_frame,
    decode_frame,
    digest_of,
    make_frame,
)

CONTENT = b"content of a cell " * 9000
DIGEST = digest_of(CONTENT)
FRAME = make_frame(CONTENT)


@given(st.binary(max_size=5000), st.integers(1, 5))
def test_frames_come_back(content: bytes, repeat: int) -> None:
    whole = content * repeat
    assert decode_frame(digest_of(whole), make_frame(whole)) == whole


@pytest.mark.parametrize("content", [b"", bytes(MAX_CELL), os.urandom(MAX_CELL)])
def test_extreme_cells_fit(content: bytes) -> None:
    frame = make_frame(content)
    assert len(frame) <= MAX_FRAME
    assert check_frame(digest_of(content), frame) == len(content)


@pytest.mark.parametrize("level", [1, 19])
@pytest.mark.parametrize("checksum", [False, True])
def test_other_writers_frames(level: int, checksum: bool) -> None:
    frame = zstandard.ZstdCompressor(level=level, write_checksum=checksum).compress(CONTENT)
    assert check_frame(DIGEST, frame) == len(CONTENT)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"plain text",
        FRAME[:-1],
        FRAME + b"x",
        FRAME + FRAME,
        make_frame(b"another content"),
        zstandard.ZstdCompressor(write_content_size=False).compress(CONTENT),
        b"\x50\x2a\x4d\x18\x04\0\0\0skip" + FRAME,
        FRAME[:4] + bytes([FRAME[4] | 0x10]) + FRAME[5:],
    ],
    ids=["empty", "text", "cut", "tail", "two", "other", "no size", "skippable", "unused bit"],
)
def test_refused_frames(frame: bytes) -> None:
    with pytest.raises(FrameError):
        check_frame(DIGEST, frame)


def test_bomb_is_refused_by_its_header() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(256 << 20))
    assert len(bomb) < 64 << 10
    with pytest.raises(FrameTooLong):
        check_frame(DIGEST, bomb)
    with pytest.raises(FrameTooLong):
        check_frame(DIGEST, FRAME + bytes(MAX_FRAME))


def test_bomb_that_lies_about_its_size() -> None:
    """The header says 4 MiB, the blocks hold 256 MiB: no more than the header says is unpacked."""
    honest = make_frame(bytes(MAX_CELL))
    liar = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(256 << 20))
    header = honest[: zstandard.frame_header_size(honest)]
    forged = header + liar[zstandard.frame_header_size(liar) :]
    with pytest.raises(FrameError):
        check_frame(digest_of(bytes(MAX_CELL)), forged)


@settings(max_examples=200)
@given(st.data())
def test_every_flipped_bit_is_found(data: st.DataObject) -> None:
    frame = bytearray(FRAME)
    at = data.draw(st.integers(0, len(frame) - 1))
    frame[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        assert decode_frame(DIGEST, bytes(frame)) == CONTENT
    except FormatError:
        return


@given(st.binary(max_size=300))
def test_noise_is_refused_in_one_way(noise: bytes) -> None:
    for frame in (noise, FRAME[:6] + noise):
        with pytest.raises(FormatError):
            check_frame(DIGEST, frame)
