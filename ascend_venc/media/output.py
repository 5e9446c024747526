# SPDX-License-Identifier: Apache-2.0
"""Output files: what a name asks for, and replacing a file only by a complete one."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from typing import TYPE_CHECKING, BinaryIO

from .muxer import FORMATS
from .reader import suffix_of

if TYPE_CHECKING:
    from types import TracebackType

ANNEXB_CODECS = {".h264": "h264", ".264": "h264", ".h265": "h265", ".265": "h265", ".hevc": "h265"}
SUFFIXES = (*ANNEXB_CODECS, *FORMATS)


def codec_of(path: str | os.PathLike[str]) -> str | None:
    """Return the codec that the suffix of a bare bitstream names; None for a container, which holds either."""
    return ANNEXB_CODECS.get(suffix_of(path))


def container_of(path: str | os.PathLike[str]) -> str | None:
    """Return the `Muxer` format that the suffix names, or None."""
    return FORMATS.get(suffix_of(path))


class ReplacingFile:
    """A binary file that takes its place only when it is complete.

    It is written under another name in the same folder. Leaving the `with` statement normally renames it, so that
    whoever opens the path sees the old file or the whole new one; leaving it by an exception removes it. What exists
    and is no regular file (a pipe, a device) is written to directly; a symbolic link stays, its target is replaced.

    Parameters
    ----------
    path : str or path
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    FileExistsError
        The file is there and `overwrite` is false.
    IsADirectoryError, OSError
        It cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        self._target = os.path.realpath(path)
        self._temporary: str | None = None
        mode = None
        with contextlib.suppress(FileNotFoundError):
            mode = os.stat(self._target).st_mode
        if mode is not None and stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        if mode is not None and not stat.S_ISREG(mode):
            self.file: BinaryIO = open(self._target, "wb")  # noqa: SIM115 - closed by __exit__
            return
        if mode is not None and not overwrite:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(path))
        temporary = os.path.join(os.path.dirname(self._target), f".ascend-venc-{secrets.token_hex(6)}.part")
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        self._temporary = temporary
        self._overwrite = overwrite
        self.file = os.fdopen(descriptor, "w+b")
        if mode is not None:
            with contextlib.suppress(OSError):  # somebody else's file in a folder of ours
                os.fchmod(descriptor, stat.S_IMODE(mode))

    def __enter__(self) -> ReplacingFile:
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, traceback: TracebackType | None) -> None:
        try:
            self.file.close()
            if kind is None and self._temporary is not None:
                if self._overwrite:
                    os.replace(self._temporary, self._target)
                else:  # link() refuses where a file has appeared in the meantime
                    self._place_without_overwriting()
                self._temporary = None
        finally:
            if self._temporary is not None:
                with contextlib.suppress(OSError):
                    os.unlink(self._temporary)
                self._temporary = None

    def _place_without_overwriting(self) -> None:
        assert self._temporary is not None
        try:
            os.link(self._temporary, self._target)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            if os.path.exists(self._target):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), self._target) from None
            os.replace(self._temporary, self._target)
            return
        os.unlink(self._temporary)
