# SPDX-License-Identifier: Apache-2.0
"""The bare bitstream (Annex B): access units one after another."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from types import TracebackType


class AnnexBWriter:
    """Write packets as a `.h264` or `.h265` file. Such a file holds no times.

    Parameters
    ----------
    file : str, path or binary file
        A file object is not closed by `close`.
    """

    def __init__(self, file: str | os.PathLike[str] | BinaryIO) -> None:
        self._owned = isinstance(file, (str, os.PathLike))
        self._file: BinaryIO = open(file, "wb") if isinstance(file, (str, os.PathLike)) else file  # noqa: SIM115

    def write(self, packet: Any, *, pts: int | None = None, duration: int | None = None) -> None:
        """Append a packet (any buffer). `pts` and `duration` are accepted as `Muxer.write` has them, and dropped."""
        self._file.write(packet)

    def close(self) -> None:
        """Finish. Idempotent."""
        if self._owned:
            self._file.close()

    def __enter__(self) -> AnnexBWriter:
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()
