# SPDX-License-Identifier: Apache-2.0
"""The bare bitstream (Annex B): access units one after another."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, BinaryIO

from ..config import parse_codec
from ..errors import InvalidArgumentError
from .container import speaking_of
from .parameter_sets import ParameterSets, description

if TYPE_CHECKING:
    from types import TracebackType

    from .reader import ColorTags


class AnnexBWriter:
    """Write packets as a `.h264` or `.h265` file. Such a file holds no times.

    Parameters
    ----------
    file : str, path or binary file
        A file object is not closed by `close`.
    codec : str, optional
        "h264" or "h265"; needed for `color`.
    color : ColorTags, optional
        How the samples are to be understood, written into the parameter sets. Needs PyAV, unless it says nothing.

    Raises
    ------
    MediaError
        PyAV is needed and not installed, or the stream does not begin with parameter sets.
    """

    def __init__(
        self,
        file: str | os.PathLike[str] | BinaryIO,
        *,
        codec: str | None = None,
        color: ColorTags | None = None,
    ) -> None:
        self._codec = None if codec is None else parse_codec(codec)
        self._told = {} if color is None else description(color)
        if self._told and self._codec is None:
            raise InvalidArgumentError("codec is missing: the parameter sets that tell color are written by it")
        self._parameter_sets: ParameterSets | None = None
        self._owned = isinstance(file, (str, os.PathLike))
        self._file: BinaryIO = open(file, "wb") if isinstance(file, (str, os.PathLike)) else file  # noqa: SIM115

    def write(self, packet: Any, *, pts: int | None = None, duration: int | None = None) -> None:
        """Append a packet (any buffer; with `color` one that has `is_keyframe`).

        `pts` and `duration` are accepted as `Muxer.write` has them, and dropped.
        """
        if self._told and packet.is_keyframe:
            with speaking_of("the colours cannot be written into the stream"):
                if self._parameter_sets is None and self._codec is not None:
                    self._parameter_sets = ParameterSets(self._codec, packet, self._told)
                if self._parameter_sets is not None:
                    packet = self._parameter_sets.put_into(packet)
        self._file.write(packet)

    def close(self) -> None:
        """Finish. Idempotent."""
        if self._owned:
            self._file.close()

    def __enter__(self) -> AnnexBWriter:
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()
