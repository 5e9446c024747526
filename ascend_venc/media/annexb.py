# SPDX-License-Identifier: Apache-2.0
"""The bare bitstream (Annex B): access units one after another."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, BinaryIO

from ..config import parse_codec
from ..errors import InvalidArgumentError
from ..single_owner import SingleOwner
from .container import speaking_of
from .parameter_sets import ParameterSets, description

if TYPE_CHECKING:
    from types import TracebackType

    from ..literals import CodecName
    from .reader import ColorTags


class AnnexBWriter(SingleOwner):
    """Write packets as a `.h264` or `.h265` file. Such a file holds no times.

    Parameters
    ----------
    file : str, path or binary file
        A file object is not closed by `close`.
    codec : str, optional
        "h264" or "h265"; needed for `color`.
    color : ColorTags, optional
        How the samples are to be understood, written into the parameter sets. Needs PyAV, unless it says nothing.
    size : (int, int), optional
        Width and height that are shown of the pictures, even: what is right of it and below is cut off by the
        parameter sets. Needs `codec` and PyAV.

    Raises
    ------
    MediaError
        PyAV is needed and not installed, or the stream does not begin with parameter sets.
    """

    def __init__(
        self,
        file: str | os.PathLike[str] | BinaryIO,
        *,
        codec: CodecName | None = None,
        color: ColorTags | None = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        self._codec = None if codec is None else parse_codec(codec)
        self._told = {} if color is None else description(color)
        self._size = size
        self._changed = bool(self._told) or size is not None
        if self._changed and self._codec is None:
            raise InvalidArgumentError(
                "codec is missing: the parameter sets that tell color and size are written by it"
            )
        self._parameter_sets: ParameterSets | None = None
        self._owned = isinstance(file, (str, os.PathLike))
        self._file: BinaryIO = open(file, "wb") if isinstance(file, (str, os.PathLike)) else file  # noqa: SIM115

    def write(self, packet: Any, *, pts: int | None = None, duration: int | None = None) -> None:
        """Append a packet (any buffer; with `color` one that has `is_keyframe`).

        `pts` and `duration` are accepted as `Muxer.write` has them, and dropped.
        """
        if self._changed and packet.is_keyframe:
            with speaking_of("the parameter sets of the stream cannot be changed"):
                if self._parameter_sets is None and self._codec is not None:
                    self._parameter_sets = ParameterSets(self._codec, packet, self._told, self._size)
                if self._parameter_sets is not None:
                    packet = self._parameter_sets.put_into(packet)
        self._file.write(packet)
        if hasattr(self._file, "flush"):  # what was written can be played, also if nothing more comes
            self._file.flush()

    def write_all(self, packets: Any) -> None:
        """Append packets, e.g. what `Encoder.encode` returned."""
        for packet in packets:
            self.write(packet)

    def close(self) -> None:
        """Finish. Idempotent."""
        if self._owned:
            self._file.close()

    def __enter__(self) -> AnnexBWriter:
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()
