# SPDX-License-Identifier: Apache-2.0
"""`ascend-venc concat`: chunks joined to a film."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import chunked
from ..chunked.joining import join
from . import say

if TYPE_CHECKING:
    import argparse

NAME = "concat"
HELP = "Join the chunks of a folder to a film, after making sure that they are one (docs/chunked.md)."


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", metavar="FOLDER", help="what `encode --chunks`, or a program, wrote: plan.json and chunks"
    )
    parser.add_argument("output", metavar="OUTPUT", help="a name with the suffix of a container or of a bare bitstream")
    parser.add_argument("-an", "--no-sound", action="store_true", help="leave the sound of the source out")
    parser.add_argument("-y", "--overwrite", action="store_true", help="replace OUTPUT if it exists")
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing where all is well")


def run(args: argparse.Namespace) -> int:
    plan = chunked.load_plan(args.folder)
    film = join(plan, args.folder, args.output, sound=not args.no_sound, overwrite=args.overwrite)
    if not args.quiet:
        if film.left_out:
            say(f"note: {plan.source.path}: not carried over: {', '.join(film.left_out)}")
        if film.notes:
            say(f"note: {plan.source.path}: {'; '.join(film.notes)}")
        say(f"{film.frames} frames of {len(plan.chunks)} chunks in {args.output}")
    return 0
