# SPDX-License-Identifier: Apache-2.0
"""How a picture is to be turned: display matrices, the orientation in a photo's Exif, and rows from the bottom up."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple


class Turn(NamedTuple):
    """Swap rows and columns, then mirror left-right, then mirror top-bottom."""

    transposed: bool = False
    across: bool = False
    down: bool = False

    def apply(self, picture: Any, width: int, height: int) -> Any:
        """Return an NV12 array, turned; `width` and `height` are those before."""
        import numpy as np

        def turned(plane: Any) -> Any:
            if self.transposed:
                plane = plane.swapaxes(0, 1)
            if self.across:
                plane = plane[:, ::-1]
            return plane[::-1] if self.down else plane

        luma = turned(picture[:height])
        chroma = turned(picture[height:].reshape(height // 2, width // 2, 2))
        result = np.empty((luma.shape[0] * 3 // 2, luma.shape[1]), np.uint8)
        result[: luma.shape[0]] = luma
        result[luma.shape[0] :] = chroma.reshape(chroma.shape[0], -1)
        return result


UPRIGHT = Turn()
DEGREE = 57  # its tangent's inverse: an angle that is nearer to a quarter turn is one
_BY_EXIF = {
    2: Turn(False, True, False),
    3: Turn(False, True, True),
    4: Turn(False, False, True),
    5: Turn(True, False, False),
    6: Turn(True, True, False),
    7: Turn(True, True, True),
    8: Turn(True, False, True),
}
_BY_DEGREES = {0: UPRIGHT, 90: _BY_EXIF[8], 180: _BY_EXIF[3], 270: _BY_EXIF[6]}  # counter-clockwise


def turn_of(frame: Any, data: bytes) -> Turn | None:
    """Return how a decoded frame of PyAV is to be turned; None by an angle that is no quarter turn.

    `data` is what it was decoded from.
    """
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except (ValueError, KeyError):
        # Side data that this PyAV has no name for, such as Exif, hides all the others.
        degrees = getattr(frame, "rotation", 0) % 360
        return _BY_EXIF.get(exif_orientation(data)) or _BY_DEGREES.get(degrees)
    if matrix is None:
        return UPRIGHT
    # 16.16 fixed point, native order: x' = a x + c y, y' = b x + d y.
    a, b, _, c, d = struct.unpack_from("=5i", bytes(matrix))
    if max(abs(a), abs(d)) * DEGREE <= min(abs(b), abs(c)):
        return Turn(True, c < 0, b < 0) if b and c else UPRIGHT
    if max(abs(b), abs(c)) * DEGREE <= min(abs(a), abs(d)):
        return Turn(False, a < 0, d < 0)
    return None


def tells_another_turn(frame: Any, turn: Turn) -> bool:
    """Say whether a frame tells that it is turned, and otherwise than that. It need not repeat what one before told."""
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except (ValueError, KeyError):
        return False
    return matrix is not None and turn_of(frame, b"") not in (turn, None)


# A format that holds the same samples.
_REARRANGED = {
    **{"rgb24": "bgr24", "bgr24": "rgb24", "rgba": "bgra", "bgra": "rgba", "argb": "rgba", "abgr": "rgba"},
    **{"gray": "gray16le", "yuv420p": "nv12", "yuvj420p": "nv12", "nv12": "yuv420p", "nv21": "yuv420p"},
}


def with_rows_downwards(frame: Any) -> Any:
    """Return a frame of PyAV, or a copy where its rows are stored from the bottom up: PyAV reads beyond those.

    Of formats that frames are read in as they are. The tag of a copy's range is not the frame's.
    """
    if all(plane.line_size > 0 for plane in frame.planes):
        return frame
    name, tag = frame.format.name, frame.color_range
    full = name == "gray" or name.startswith("yuvj")
    extent = "JPEG" if full else "MPEG"
    options = {} if frame.format.is_rgb else {"src_color_range": extent, "dst_color_range": extent}
    frame.color_range = 2 if full else 1  # which some versions follow
    copy = frame.reformat(format=_REARRANGED[name], **options)
    frame.color_range = tag
    copy.color_range = 2 if full else 1
    return copy.reformat(format=name, **options)


def exif_orientation(data: bytes) -> int:
    """Return the orientation, 1 to 8, in the Exif of a JPEG, PNG or WebP picture; 0 if it has none."""
    for marker in (b"Exif\0\0", b"eXIf", b"EXIF"):
        begin = data.find(marker)
        while begin >= 0:
            begin += len(marker)
            for start in (begin, begin + 4):  # WebP has a length between
                order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[start : start + 4])
                if order:
                    return _orientation_in_tiff(data[start : start + 65536], order)
            begin = data.find(marker, begin)
    return 0


def _orientation_in_tiff(data: bytes, order: str) -> int:
    try:
        (directory,) = struct.unpack_from(order + "I", data, 4)
        (count,) = struct.unpack_from(order + "H", data, directory)
        for index in range(min(count, 256)):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", data, directory + 2 + 12 * index)
            if tag == 0x0112 and kind == 3:
                return value if 1 <= value <= 8 else 0
    except struct.error:
        pass
    return 0
