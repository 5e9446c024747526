# SPDX-License-Identifier: Apache-2.0
"""A frame to each of several encoders: `EncoderGroup.submit_many`."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Mapping
from typing import Any

from ._lowlevel.channel import submit_to_each
from .arguments import as_many, items_of
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
    pairs = [_pair(item) for item in items_of("frames", frames.items() if isinstance(frames, Mapping) else frames)]
    encoders, count = [encoder for encoder, _ in pairs], len(pairs)
    if len(set(encoders)) != count:
        raise InvalidArgumentError("frames has two for one encoder: use its own submit_many, or a call for each")
    stamps, keys = as_many("pts", pts, count, None), as_many("key_frames", key_frames, count, False)
    notes, since = as_many("tokens", tokens, count, None), time.monotonic()
    # No closure: CPython 3.11 lets go of no argument of a call that has no memory for one.
    bounds = list(map(Encoder._wait_for, encoders, itertools.repeat(timeout)))
    results: list[Any] = [_NOT_SENT] * count
    try:
        channels = [encoder._open_channel() for encoder in encoders]
        submit_to_each(channels, [frame for _, frame in pairs], stamps, [bool(key) for key in keys], notes, results)
        for number, (encoder, frame) in enumerate(pairs):
            if results[number] is _NOT_SENT:
                bound = bounds[number]
                left = None if bound is None else max(bound - (time.monotonic() - since), 0.0)
                results[number] = _submit(encoder, frame, stamps[number], keys[number], notes[number], left)
        if not any(isinstance(result, Exception) for result in results):
            return results
    except BaseException as error:
        _tell_results(error, encoders, results)
        raise
    try:
        raise _first_failure(encoders, results)
    finally:
        results.clear()  # what is raised leads here, and is in it


def _pair(item: Any) -> tuple[Encoder, Any]:
    if not isinstance(item, tuple) or len(item) != 2 or not isinstance(item[0], Encoder):
        raise TypeError(f"frames must hold pairs (Encoder, frame), got {type(item).__name__}")
    return item


def _submit(encoder: Encoder, frame: Any, pts: Any, key_frame: Any, token: Any, timeout: float | None) -> Any:
    """The frame's number, None if it was dropped, or the exception."""
    try:
        return encoder.submit(frame, pts=pts, key_frame=key_frame, token=token, timeout=timeout)
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
