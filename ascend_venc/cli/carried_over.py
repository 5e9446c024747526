# SPDX-License-Identifier: Apache-2.0
"""What an input has besides its pictures: what of it `ascend-venc encode` takes along, and what it says of the rest."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from ..media.formats import live_format
from ..media.sound import Sound, what_is_not_taken
from .encode_input import is_file

if TYPE_CHECKING:
    import argparse
    from fractions import Fraction

    from ..media import VideoReader


@dataclasses.dataclass
class CarriedOver:
    """What is taken along, and what is not.

    Attributes
    ----------
    sound : Sound or None
        What is copied.
    left_out : tuple of str
        In words, with a reason where it is not the output's kind.
    """

    sound: Sound | None = None
    left_out: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        return () if self.sound is None else self.sound.notes

    def end_with_the_pictures(self) -> None:
        if self.sound is not None:
            self.sound.cut = True

    def end_at(self, seconds: Fraction | None) -> None:
        """Let the sound end so long after the first picture, also where the pictures end before; None: at its own."""
        if self.sound is not None:
            self.sound.stop = seconds


def carry_over(args: argparse.Namespace, reader: VideoReader) -> CarriedOver:
    """Say what is taken along of an input, and open its sound."""
    format = None if live_format(args.output) else args.container
    result = CarriedOver()
    asked = "sound" in reader.left_out and not args.no_sound
    sound = _open_sound(args, reader, format, result) if asked else []
    result.left_out = what_is_not_taken(reader.left_out, format, sound)
    return result


def _open_sound(args: argparse.Namespace, reader: VideoReader, format: str | None, result: CarriedOver) -> list[str]:
    if format is None:
        return ["sound"]
    if args.loop:
        return ["sound (--loop repeats the pictures alone)"]
    if reader.live or not is_file(args):
        return ["sound (it is copied from files only)"]
    if args.fps is not None:
        return ["sound (-r changes the times of the pictures)"]
    if args.start is not None and reader.start is None:
        return ["sound (by its clock it is not known when this part of the film begins)"]
    sound = Sound(args.input, format, reader.start, args.tolerant)
    sound.begins_within = bool(args.start)
    if sound.names:
        result.sound = sound
    else:
        sound.close()
    return sound.refused
