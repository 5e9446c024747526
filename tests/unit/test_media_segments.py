# SPDX-License-Identifier: Apache-2.0
"""Films in several files: what is told of a file that could not be finished."""

from fractions import Fraction
from types import SimpleNamespace

import pytest

from ascend_venc.media.segments import SegmentWriter, Split


class Output:
    """A file of which each call that ends it fails."""

    def write(self, packet, *, pts, duration):
        pass

    def close(self):
        raise OSError("no space")

    def end(self, time):
        raise OSError("no space")


@pytest.mark.parametrize("sound", [False, True])
@pytest.mark.parametrize("how", ["close", "next"])
def test_file_that_cannot_be_ended_is_told_with_its_number_and_the_error(sound, how):
    told, closed = [], []
    writer = SegmentWriter(
        Split(seconds=1, size=None),
        Fraction(1, 10),
        lambda number, time: Output(),
        lambda number, empty: told.append((number, empty)),
        SimpleNamespace(close=lambda: closed.append(True)) if sound else None,
    )
    packet = SimpleNamespace(is_keyframe=True, size=100)
    writer.write(packet, pts=0, duration=1)
    with pytest.raises(OSError, match="no space"):
        writer.close() if how == "close" else writer.write(packet, pts=10, duration=1)
    assert told == [(0, False)]
    assert closed == [True] * (sound and how == "close")
