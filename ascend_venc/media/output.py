# SPDX-License-Identifier: Apache-2.0
"""Output files: replacing one only by a complete one."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
import tempfile
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType


class ReplacingFile:
    """A binary file that takes its place only when it is complete.

    It is written under another name in the same folder. Leaving the `with` statement normally renames it, so that
    whoever opens the path sees the old file or the whole new one; leaving it by an exception removes it. A file that
    cannot be renamed onto (a mount point, one in a folder that takes no new files) gets the content in place at the
    end. What exists and is no regular file (a pipe, a device) is written to directly; a symbolic link stays, its target
    is replaced. Errors name the path that was given.

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

    Attributes
    ----------
    file : binary file
        To write to; it can seek, unless what is there cannot.
    """

    def __init__(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        self._name = os.fspath(path)
        self._target = os.path.realpath(path)
        self._temporary: str | None = None
        self._in_place = False
        mode = None
        with contextlib.suppress(FileNotFoundError):
            mode = os.stat(self._target).st_mode
        if mode is not None and stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        if mode is not None and not stat.S_ISREG(mode):
            with self._naming():
                self.file: BinaryIO = open(self._target, "wb")  # noqa: SIM115 - closed by __exit__
            return
        if mode is not None and not overwrite:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(path))
        if mode is not None and _is_mount_point(self._target) and not os.access(self._target, os.W_OK):
            raise OSError(errno.EROFS, "it is mounted there, and cannot be written to", os.fspath(path))
        self._overwrite = overwrite
        temporary = os.path.join(os.path.dirname(self._target), f".ascend-venc-{secrets.token_hex(6)}.part")
        with self._naming():
            try:
                descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            except OSError:
                if mode is None or not os.access(self._target, os.W_OK):
                    raise
                self.file = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115 - closed by __exit__
                self._in_place = True
                return
        self._temporary = temporary
        self.file = os.fdopen(descriptor, "w+b")
        if mode is not None:
            with contextlib.suppress(OSError):  # somebody else's file in a folder of ours
                os.fchmod(descriptor, stat.S_IMODE(mode))

    def leave_out_the_rest(self) -> None:
        """Go on with what was written; what is left in memory, for which there was no room, is given up."""
        descriptor = os.dup(self.file.fileno())
        with contextlib.suppress(OSError):
            self.file.close()
        self.file = os.fdopen(descriptor, "r+b")

    def __enter__(self) -> ReplacingFile:
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, traceback: TracebackType | None) -> None:
        try:
            with self._naming():
                if kind is None and self._in_place:
                    self._copy_into_place(self.file)
                self.file.close()
                if kind is None and self._temporary is not None:
                    if self._overwrite:
                        self._replace()
                    else:  # link() refuses where a file has appeared in the meantime
                        self._place_without_overwriting()
        finally:
            if self._temporary is not None:
                with contextlib.suppress(OSError):
                    os.unlink(self._temporary)
                self._temporary = None

    @contextlib.contextmanager
    def _naming(self) -> Iterator[None]:
        """Let errors speak of the path that the user knows."""
        try:
            yield
        except OSError as error:
            raise type(error)(error.errno, error.strerror or str(error), self._name) from None

    def _replace(self) -> None:
        temporary = self._temporary
        assert temporary is not None
        try:
            os.replace(temporary, self._target)
            self._temporary = None
        except OSError:  # a mount point, or somebody else's file in a folder with the sticky bit
            with open(temporary, "rb") as content:
                self._copy_into_place(content)

    def _copy_into_place(self, content: IO[bytes]) -> None:
        content.seek(0)
        with open(self._target, "r+b") as target:
            shutil.copyfileobj(content, target, 1 << 20)
            target.truncate()

    def _place_without_overwriting(self) -> None:
        assert self._temporary is not None
        try:
            os.link(self._temporary, self._target)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            if os.path.exists(self._target):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
            os.replace(self._temporary, self._target)
            self._temporary = None


class FailsOnce:
    """A file that FFmpeg writes to by PyAV, which prints the traceback of all failures within one call but the last.

    What is called behind a failure does nothing, until `again`.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self._failed = False
        if hasattr(file, "seek"):  # PyAV looks for it
            self.seek = self._seek

    def again(self) -> None:
        """Try again: another call begins."""
        self._failed = False

    def write(self, data: Any) -> Any:
        return len(data) if self._failed else self._try(self._file.write, data)

    def _seek(self, offset: int, whence: int = 0) -> Any:
        return 0 if self._failed else self._try(self._file.seek, offset, whence)

    def _try(self, function: Any, *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except BaseException:
            self._failed = True
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _is_mount_point(path: str) -> bool:
    """Say whether something is mounted on a file: os.path.ismount knows folders only."""
    try:
        with open("/proc/self/mountinfo", "rb") as table:
            places = [line.split()[4] for line in table if line.count(b" ") > 4]
    except OSError:
        return False
    return any(re.sub(rb"\\([0-7]{3})", lambda code: bytes([int(code[1], 8)]), p) == os.fsencode(path) for p in places)
