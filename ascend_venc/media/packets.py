# SPDX-License-Identifier: Apache-2.0
"""The packets of a container that PyAV has opened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ANOTHER_STREAM = "a further stream begins within it, and is not read"


def packets_of(container: Any, streams: Any, notes: list[str] | None = None) -> Iterator[Any]:
    """Yield the packets of one stream or of several, an empty one of each at the end.

    PyAV knows the streams of the beginning. Where the file has more at its end it looks for those too, behind the empty
    packets of ours, and fails: that is the end, with a line in `notes`. (Whether it looks is chance.)
    """
    try:
        yield from container.demux(streams)
    except IndexError:
        if notes is not None and ANOTHER_STREAM not in notes:
            notes.append(ANOTHER_STREAM)
