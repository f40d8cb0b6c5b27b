# SPDX-License-Identifier: GPL-3.0-or-later
"""The image format: names, extents, frames and manifests. It knows no files and no devices."""

from slipway.format.codec import FORMAT_VERSION, MAX_MANIFEST, parse, serialize
from slipway.format.errors import FormatError, FrameError, FrameTooLong
from slipway.format.extents import Extents
from slipway.format.frames import (
    MAX_CELL,
    MAX_FRAME,
    MIN_CELL,
    check_frame,
    decode_frame,
    digest_of,
    frame_content_size,
    make_frame,
)
from slipway.format.manifest import (
    BootEntry,
    Cell,
    Disk,
    Identity,
    Machine,
    Manifest,
    Segment,
    Table,
    TablePartition,
)
from slipway.format.names import (
    ImageRef,
    ahead_warning,
    check_digest,
    check_mac,
    check_name,
    check_version,
    clip,
    is_ahead,
    is_name,
    make_version,
    parse_image_ref,
    version_key,
)
from slipway.format.proofs import digest_and_key, make_proof

__all__ = [
    "FORMAT_VERSION",
    "MAX_CELL",
    "MAX_FRAME",
    "MAX_MANIFEST",
    "MIN_CELL",
    "BootEntry",
    "Cell",
    "Disk",
    "Extents",
    "FormatError",
    "FrameError",
    "FrameTooLong",
    "Identity",
    "ImageRef",
    "Machine",
    "Manifest",
    "Segment",
    "Table",
    "TablePartition",
    "ahead_warning",
    "check_digest",
    "check_frame",
    "check_mac",
    "check_name",
    "check_version",
    "clip",
    "decode_frame",
    "digest_and_key",
    "digest_of",
    "frame_content_size",
    "is_ahead",
    "is_name",
    "make_frame",
    "make_proof",
    "make_version",
    "parse",
    "parse_image_ref",
    "serialize",
    "version_key",
]
