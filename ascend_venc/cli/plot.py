# SPDX-License-Identifier: Apache-2.0
"""`ascend-venc plot`: sizes, rate and latency of an encoded film as a picture."""

from __future__ import annotations

import argparse
import os
import shutil
import sys

from ..errors import MediaError, VencError
from ..media.output import ReplacingFile
from . import UsageError
from .argument_types import checked, seconds
from .figure import KINDS, as_text, draw, page, save
from .progress import is_terminal
from .recording import read

NAME = "plot"
HELP = "Draw the frame sizes, the bit rate and the latency of an encoded film."
EPILOG = """\
examples:
  ascend-venc plot film.mp4 -o film.svg
  ascend-venc encode camera.y4m film.mp4 -b 2M --report film.json
  ascend-venc plot film.json -o film.html      # with latency, and the rate that was asked for
  ascend-venc plot film.h265 --ascii
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("input", metavar="FILE", help="a film, or what `encode --report` wrote")
    parser.add_argument("-o", "--output", metavar="OUT", help=f"by its suffix: .{' .'.join(KINDS)}")
    parser.add_argument("--ascii", action="store_true", help="draw it in the terminal")
    parser.add_argument(
        "--window", metavar="SECONDS", type=checked(seconds), help="of the bit rate (default: 1, less for short films)"
    )
    parser.add_argument("--title", metavar="TEXT", help="above the picture (default: the name of FILE)")
    parser.add_argument("-y", "--overwrite", action="store_true", help="replace OUT if it exists")


def run(args: argparse.Namespace) -> int:
    kind = "" if args.output is None else os.path.splitext(args.output)[1].lower()[1:]
    if args.output is None and not args.ascii:
        raise UsageError(f"where to? Give -o OUT, with a suffix .{' .'.join(KINDS)}, or --ascii for the terminal")
    if args.output is not None and kind not in KINDS:
        raise UsageError(f"{args.output}: its suffix has to tell what to draw; known are .{' .'.join(KINDS)}")
    try:
        film = read(args.input)
    except MediaError as error:
        raise VencError(f"{args.input}: {error}") from None
    window = args.window or film.window()
    if window > film.duration:
        raise UsageError(f"--window {window:g}: the film has {film.duration:.3g} s; give no more")
    title = os.path.basename(args.input) if args.title is None else args.title
    title = os.fsencode(title).decode("utf-8", "replace")  # a file's name may be no text
    if args.output is not None:
        figure = draw(film, "" if kind == "html" else title, window)  # a page has its title above
        try:
            with ReplacingFile(args.output, overwrite=args.overwrite) as target:
                if kind == "html":
                    target.file.write(page(film, title, figure))
                else:
                    save(figure, target.file, kind)
        except FileExistsError as error:
            raise FileExistsError(error.errno, "it exists already; -y replaces it", args.output) from None
    if args.ascii:
        width = shutil.get_terminal_size().columns if is_terminal(sys.stdout) else 80
        unicode = "utf" in (sys.stdout.encoding or "").lower()
        print("\n".join(as_text(film, width, window, unicode)))
    return 0
