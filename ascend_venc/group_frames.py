# SPDX-License-Identifier: Apache-2.0
"""A frame to each of several encoders: `EncoderGroup.submit_many`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from ._lowlevel.channel import submit_to_each
from .arguments import as_many, check_timeout, items_of
from .encoder import Encoder
from .errors import InvalidArgumentError, VencError, tell_name

_NOT_SENT = object()
_OF_A_FRAME = (TypeError, ValueError, BufferError, RuntimeError)  # the last three a tensor's, which cannot be exported


def submit_frames(
    frames: Mapping[Encoder, Any] | Iterable[tuple[Encoder, Any]],
    pts: Iterable[int | None] | None,
    key_frames: Iterable[bool] | None,
    tokens: Iterable[Any] | None,
    timeout: float | None,
) -> list[int | None]:
    """See `EncoderGroup.submit_many`."""
    encoders: list[Encoder] = []
    pictures: list[Any] = []
    for pair in items_of("frames", frames.items() if isinstance(frames, Mapping) else frames):
        if not isinstance(pair, tuple) or len(pair) != 2 or not isinstance(pair[0], Encoder):
            raise TypeError(f"frames must hold pairs (Encoder, frame), got {type(pair).__name__}")
        encoders.append(pair[0])
        pictures.append(pair[1])
    count = len(encoders)
    if len(set(encoders)) != count:
        raise InvalidArgumentError("frames has two for one encoder: use its own submit_many, or a call for each")
    stamps = None if pts is None else as_many("pts", pts, count, None)
    keys = None if key_frames is None else as_many("key_frames", key_frames, count, False)
    notes = None if tokens is None else as_many("tokens", tokens, count, None)
    shared, since = check_timeout(timeout), time.monotonic()
    results: list[Any] = [_NOT_SENT] * count
    try:
        keys = None if keys is None else [bool(key) for key in keys]
        channels = [encoder._channel or encoder._open_channel() for encoder in encoders]
        if submit_to_each(channels, pictures, stamps, keys, notes, results) == count:
            return results
        for number, encoder in enumerate(encoders):
            if results[number] is _NOT_SENT:
                bound = encoder._wait_for(shared)
                left = None if bound is None else max(bound - (time.monotonic() - since), 0.0)
                results[number] = _submit(
                    encoder,
                    pictures[number],
                    pts=None if stamps is None else stamps[number],
                    key_frame=keys is not None and keys[number],
                    token=None if notes is None else notes[number],
                    timeout=left,
                )
        if not any(isinstance(result, Exception) for result in results):
            return results
    except BaseException as error:
        _tell_results(error, encoders, results)
        raise
    try:
        raise _first_failure(encoders, results)
    finally:
        results.clear()  # what is raised leads here, and is in it


def _submit(encoder: Encoder, frame: Any, **options: Any) -> Any:
    """The frame's number, None if it was dropped, or the exception."""
    try:
        return encoder.submit(frame, **options)
    except (*_OF_A_FRAME, VencError) as error:
        return error


def _tell_results(error: BaseException, encoders: list[Encoder], results: list[Any]) -> None:
    """Say in an exception what became of each frame."""
    failures = []
    for encoder, result in zip(encoders, results):
        if isinstance(result, Exception):
            tell_name(result, encoder.name)
            result.encoder = encoder  # type: ignore[attr-defined]
            if result is not error:
                failures.append((encoder, result))
    error.failures = failures  # type: ignore[attr-defined]
    error.numbers = [result if isinstance(result, int) else None for result in results]  # type: ignore[attr-defined]


def _first_failure(encoders: list[Encoder], results: list[Any]) -> Exception:
    first: Exception = next(result for result in results if isinstance(result, Exception))
    _tell_results(first, encoders, results)
    return first
