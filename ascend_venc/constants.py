# SPDX-License-Identifier: Apache-2.0
"""Enums with the field's own names. Values are AscendCL's (csrc/include/ascendcl.h); a test compares them."""

from __future__ import annotations

import enum


class StreamFormat(enum.IntEnum):
    """Codec and profile of a bitstream (acldvppStreamFormat)."""

    H265_MAIN = 0
    H264_BASELINE = 1
    H264_MAIN = 2
    H264_HIGH = 3


class PixelFormat(enum.IntEnum):
    """Pixel layouts that the encoder takes (acldvppPixelFormat)."""

    NV12 = 1
    NV21 = 2


class RunMode(enum.IntEnum):
    """Where this program runs (aclrtRunMode)."""

    DEVICE = 0
    HOST = 1
