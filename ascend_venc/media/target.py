# SPDX-License-Identifier: Apache-2.0
"""Where a writer's packets go: one file, made when the first packet is there, so that nothing is left of what fails."""

from __future__ import annotations

import contextlib
import errno
import os
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO

from ..config import parse_codec
from ..errors import InvalidArgumentError, MediaError
from .annexb import AnnexBWriter
from .container import import_av
from .formats import (
    FLV_CODEC,
    FORMATS,
    ISO_FORMATS,
    LIVE_FORMATS,
    SUFFIXES,
    asks_for_fragments,
    bare_codec,
    can_be_read,
    can_seek,
    check_mapping,
    check_options,
    codec_of,
    container_of,
    live_format,
    parse_format,
)
from .live import LiveOutput
from .muxer import Muxer
from .reader import is_same_file, suffix_of
from .segments import SegmentWriter, Split, check_pattern, is_segment, name_of_segment
from .sound import WithSound, sound_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..literals import Codec, CodecName, FormatName
DEFAULT_CODEC: Codec = "h264"  # which every player and browser shows


class Target:
    """A file that a `VideoWriter` writes, and how: looked at early, made when the first packet is there.

    Parameters
    ----------
    file : str, path or binary file
    format : str, optional
        Of a container, or "h264", "h265" for a bare bitstream. Default: by the suffix.
    fragmented, faststart, options, metadata
        As `Muxer` has them. `faststart` None: where it is possible.
    copy_audio_from, audio_start
        As `VideoWriter` has them.
    split : Split, optional
        For a film in several files: `file` is a pattern then, such as "door-%03d.mp4".

    Attributes
    ----------
    named : str or None
        The codec that the name settles.
    files : list of str
        Paths of files that were made so far.

    Raises
    ------
    InvalidArgumentError
        The suffix or format is not known, or a setting does not go with it.
    MediaError
        PyAV is not installed, or the format needs a file that can seek.
    OSError
        The file cannot be made: its folder is not there, it is a folder itself, or may not be written.
    """

    def __init__(
        self,
        file: str | os.PathLike[str] | BinaryIO,
        *,
        format: FormatName | None = None,
        fragmented: bool = False,
        faststart: bool | None = None,
        options: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
        copy_audio_from: str | os.PathLike[str] | None = None,
        audio_start: Fraction | None = None,
        split: Split | None = None,
    ) -> None:
        self.file = file
        self._owned = isinstance(file, (str, os.PathLike))
        self._path = os.fspath(file) if isinstance(file, (str, os.PathLike)) else ""
        if not self._owned and not hasattr(file, "write"):
            raise TypeError(f"file must be a path or a binary file, got {type(file).__name__}")
        if format is not None and not isinstance(format, str):
            raise TypeError(f"format must be a str, got {type(format).__name__}")
        check_mapping("metadata", metadata, '{"title": "A film"}')
        check_mapping("options", options, '{"movflags": "frag_every_frame+empty_moov"}')
        self.codec: Any = ""  # not settled yet
        self.named = self._named_codec(format)
        self._asked_format = format
        self._split = split
        self._fragmented = fragmented or asks_for_fragments(options)
        if split is not None:
            if not self._owned:
                raise InvalidArgumentError("split_seconds and split_bytes are for paths, not file objects")
            check_pattern(self._path)
        if self.is_bare:
            if copy_audio_from is not None:
                raise InvalidArgumentError("copy_audio_from is given, and a bare bitstream holds no sound")
            if fragmented or faststart or options or metadata:
                raise InvalidArgumentError(
                    "fragmented, faststart, options and metadata are for containers, not bare bitstreams"
                )
            self.format: Any = self.named or ""
        else:
            self.format = parse_format(format, file)
            check_options(import_av(), self.format, options)
            if faststart is None:
                faststart = self.format in ISO_FORMATS and not (self._fragmented or "movflags" in (options or {}))
                faststart = faststart and (self._owned or (can_be_read(file) and can_seek(file)))
        self._muxing: dict[str, Any] = {
            "fragmented": fragmented,
            "faststart": bool(faststart),
            "options": options,
            "metadata": metadata,
        }
        self.files: list[str] = []
        if self._owned:
            self._first_path = self._path if split is None else name_of_segment(self._path, 0)
            self._check_path(self._first_path)
        if copy_audio_from is not None:
            self.check_is_not(copy_audio_from)
        self.sound = None if copy_audio_from is None else sound_for(copy_audio_from, self.format, audio_start)

    def settle(self, codec: str) -> None:
        """Say what the file is to hold. Raises where it cannot."""
        codec = parse_codec(codec)
        if self.named not in (None, codec):
            where = f"format is {self._asked_format!r}" if self._asked_format else f"the suffix of {self._path} stands"
            raise InvalidArgumentError(f"codec is {codec!r}, and {where} for {self.named}: leave one of them out")
        self.codec = codec
        if not self.is_bare:
            self._check_muxer(self._muxing["fragmented"], self._muxing["faststart"])

    def check_is_not(self, path: str | os.PathLike[str]) -> None:
        """Raise InvalidArgumentError where this is a file that is read: writing would empty it."""
        if self._owned and is_same_file(path, self._first_path):
            raise InvalidArgumentError(f"{os.fspath(path)} is read, and would be written over: name another")

    def is_same_as(self, other: Target) -> bool:
        """Say whether both would write one file, by whatever names."""
        if not (self._owned and other._owned):
            return self.file is other.file
        if is_same_file(self._first_path, other._first_path):
            return True
        ours, theirs = (os.path.realpath(target._path) for target in (self, other))
        return ours == theirs or any(
            target._split is not None and is_segment(path, name)
            for target, path, name in ((self, ours, theirs), (other, theirs, ours))
        )

    @property
    def name(self) -> str:
        return self._path or f"{type(self.file).__name__} ({self.format})"

    def _named_codec(self, format: str | None) -> Codec | None:
        """Return the codec that the name settles; also whether it is that of a bare bitstream (`is_bare`)."""
        if format is None:
            if not self._owned:
                raise InvalidArgumentError(
                    f"format is missing: a file object does not tell it; allowed are "
                    f"{', '.join(sorted({*FORMATS.values(), 'h264', 'h265'}))}"
                )
            if "://" in self._path:
                raise InvalidArgumentError(
                    f"{self._path}: its scheme is not known; {', '.join(LIVE_FORMATS)} are, and others by a file object"
                )
            named = codec_of(self._path)
            if named is None and container_of(self._path) is None:
                suffix = suffix_of(self._path)
                raise InvalidArgumentError(
                    f"{self._path}: {f'the suffix {suffix} is not known' if suffix else 'there is no suffix'}; "
                    f"known are {' '.join(SUFFIXES)}, or give format"
                )
        else:
            named = bare_codec(format)
        self.is_bare = named is not None
        if named is None and (container_of(self._path) if format is None else format.lower()) == "flv":
            return FLV_CODEC
        return named

    def _check_muxer(self, fragmented: bool, faststart: bool) -> None:
        """Raise what `Muxer` would, before there is a file."""
        if self._owned:
            for name, value in (("fragmented", fragmented), ("faststart", faststart)):
                if value and self.format not in ISO_FORMATS:
                    raise InvalidArgumentError(f"{name} is for mp4 and mov; format is {self.format!r}")
            if fragmented and faststart:
                raise InvalidArgumentError("fragmented and faststart are given: fragments have no index to move")
        else:
            with contextlib.closing(Muxer(self.file, codec=self.codec, fps=25, format=self.format, **self._muxing)):
                pass  # it writes nothing before its first packet

    def _check_path(self, path: str) -> None:
        folder = os.path.dirname(os.path.abspath(path))
        code = 0
        if os.path.isdir(path):
            code = errno.EISDIR
        elif os.path.exists(path):
            code = 0 if os.access(path, os.W_OK) else errno.EACCES
        elif not os.path.isdir(folder):
            code = errno.ENOTDIR if os.path.exists(folder) else errno.ENOENT
        elif not os.access(folder, os.W_OK | os.X_OK):
            code = errno.EACCES
        if code:
            raise OSError(code, os.strerror(code), path)

    def open(self, encoder: Any, time_base: Fraction | None, size: tuple[int, int] | None) -> Any:
        """Make the file, and return what has `write(packet, pts=, duration=)` and `close`.

        `size`: what is shown of the encoder's pictures, None for all.
        """
        base = time_base or encoder.time_base

        def make(number: int, start: Fraction) -> Any:
            file: Any = self.file if self._split is None else name_of_segment(self._path, number)
            if self.is_bare:
                output: Any = AnnexBWriter(file, codec=self.codec, size=size)
            else:
                output = Muxer(file, encoder=encoder, format=self.format, time_base=base, size=size, **self._muxing)
            if self._owned:
                self.files.append(os.fspath(file))
            return output if self.sound is None else WithSound(output, self.sound, base, start)

        if self._split is None:
            return make(0, Fraction(0))
        return SegmentWriter(self._split, base, make, self._remove_segment, self.sound)

    def _remove_segment(self, number: int, empty: bool) -> None:
        self._remove_if_useless(name_of_segment(self._path, number), empty, False)

    def remove_if_useless(self, empty: bool, ended: bool) -> None:
        """Remove a file that nobody can play: one without a packet, or an mp4 or mov whose index was not written."""
        if self._owned and self._split is None:
            self._remove_if_useless(self._path, empty, ended)

    def _remove_if_useless(self, path: str, empty: bool, ended: bool) -> None:
        indexed = self.format in ISO_FORMATS and not self._fragmented
        if os.path.isfile(path) and (empty or (indexed and not ended)):
            with contextlib.suppress(OSError):
                os.unlink(path)
            if path in self.files:
                self.files.remove(path)

    def end_with_the_pictures(self) -> None:
        """Let the sound end there."""
        if self.sound is not None:
            self.sound.cut = True

    def close(self) -> None:
        """Close what was opened early, where nothing was written. Idempotent."""
        if self.sound is not None:
            self.sound.close()


def output_for(file: Any, *, format: Any, options: Mapping[str, str] | None, **of_files: Any) -> Any:
    """Return the `LiveOutput` of a network's address, else the `Target` of a file."""
    if live_format(file) is None:
        return Target(file, format=format, options=options, **of_files)
    for name, value in of_files.items():
        if value:
            shown = "split_seconds or split_bytes" if name == "split" else name
            raise InvalidArgumentError(f"{shown} is given, and is for files only: give each file its own by Target")
    return LiveOutput(file, format=format, options=options)


def check_different(targets: Sequence[Any]) -> None:
    """Raise InvalidArgumentError where two of them are one: its packets would be written over each other."""
    for index, target in enumerate(targets):
        for other in targets[:index]:
            same = target is other
            if not same and isinstance(target, Target) and isinstance(other, Target):
                same = target.is_same_as(other)
            if same:
                names = target.name if target.name == other.name else f"{other.name} and {target.name}"
                raise InvalidArgumentError(f"file has {names} twice, which is one file: leave one of them out")


def common_codec(targets: Sequence[Any], codec: CodecName | None) -> Codec:
    """Return the codec that is asked for, or that the names of the files settle, or the default."""
    if codec is not None:
        return parse_codec(codec)
    named: list[Codec] = sorted({target.named for target in targets if target.named is not None})
    if len(named) > 1:
        raise InvalidArgumentError(f"the files are for {' and '.join(named)}: one encoder makes one of them")
    return named[0] if named else DEFAULT_CODEC


def check_can_crop() -> None:
    """Raise MediaError where parameter sets cannot be made to cut pictures."""
    try:
        import_av()
    except MediaError as error:
        raise MediaError(f"pictures this small are enlarged, and cut by the parameter sets again: {error}") from None
