# SPDX-License-Identifier: Apache-2.0
"""`ascend-venc encode --chunks`: one film by many sessions, and going on after an interruption."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import json
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from .. import chunked
from ..chunked.plan import PLAN_FILE
from ..errors import MediaError, VencError
from ..media.formats import codec_of, container_of
from ..media.open import RAW_FORMATS
from ..media.reader import suffix_of
from . import UsageError, say
from .encode_input import check_asked
from .interruption import Terminated, check, shielded
from .progress import Progress, clock, size

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

WORKERS = 2
_PATIENCE = 10.0  # seconds for a cluster to answer, and for what is ended to be over
_LOCK = ".lock"  # of the run that is at work in a folder

# Options that a chunk has no place for, and what they ask for when nothing was said.
_NOT_HERE: dict[str, tuple[str, Any]] = {
    "start": ("-ss", None),
    "stop": ("-t and -to", None),
    "frames": ("-frames:v", None),
    "loop": ("--loop", 0),
    "realtime": ("--realtime", False),
    "framerate": ("-framerate", None),
    "tolerant": ("--tolerant", False),
    "keep_partial": ("--keep-partial (its chunks are kept: --resume)", False),
    "psnr": ("--psnr", False),
    "ssim": ("--ssim", False),
    "qp": ("-qp", None),
    "aud": ("--aud", False),
    "asked_size": ("-s behind -i", None),
    "report": ("--report", None),
    "input_format": ("-f of INPUT", None),
    "input_options": ("options of FFmpeg's for INPUT", {}),
    "movflags": ("-movflags", None),
    "metadata": ("-metadata", {}),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("chunks (docs/chunked.md)")
    group.add_argument(
        "--chunks",
        metavar="N",
        type=_frames,
        help="encode INPUT in pieces of N frames (whole GOPs), or auto (8 to 60 seconds), and join them",
    )
    group.add_argument("--workers", metavar="N", type=_positive, help="pieces at the same time (default: 2)")
    group.add_argument("--ray", metavar="ADDRESS", help="by actors of a Ray cluster: its address, auto, or local")
    group.add_argument("--resume", action="store_true", help="go on where an earlier run of the same was ended")
    group.add_argument(
        "--work-folder", metavar="DIR", help="where the pieces are kept until they are joined (default: OUTPUT.chunks)"
    )


def _frames(text: str) -> int | str:
    return "auto" if text == "auto" else _positive(text)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


_frames.__name__, _positive.__name__ = "number of frames", "positive number"


def wanted(args: argparse.Namespace) -> bool:
    """Say whether the arguments ask for chunks. UsageError where they ask for something of it alone."""
    if args.chunks is not None:
        return True
    for name, value in (("--workers", args.workers), ("--ray", args.ray), ("--resume", args.resume or None)):
        if value is not None:
            raise UsageError(f"{name} is for chunks: give --chunks auto as well")
    return False


def run_in_chunks(args: argparse.Namespace) -> int:
    """Encode and join. What was encoded stays in the work folder whatever ends it."""
    for name, (option, nothing) in _NOT_HERE.items():
        if getattr(args, name) != nothing:
            raise UsageError(f"{option} and --chunks are given: leave one out")
    if args.input == "-" or args.output == "-":
        raise UsageError("--chunks is for files, whose places can be found: name INPUT and OUTPUT")
    if args.pixel_format not in (None, RAW_FORMATS.get(suffix_of(args.input))):
        raise UsageError(f"-pix_fmt and --chunks are given: raw INPUT is told by its suffix ({' '.join(RAW_FORMATS)})")
    if args.output_format not in (None, container_of(args.output), codec_of(args.output)):
        raise UsageError(f"-f {args.output_format} and --chunks are given: OUTPUT is told by its suffix")
    if os.path.exists(args.output) and not args.overwrite:
        raise FileExistsError(17, "it exists already; -y replaces it", args.output)
    folder = args.work_folder or f"{args.output}.chunks"
    begun = time.monotonic()
    plan = _plan(args)
    check_asked(args, plan)
    if plan.note and not args.quiet:
        say(f"note: {args.input}: {plan.note}")
    with _work_folder(folder, plan, resume=args.resume) as finished:
        results, film = _encode_and_join(args, plan, folder)
        finished()
    if film.notes and not args.quiet:
        say(f"note: {args.input}: {'; '.join(film.notes)}")
    elapsed = time.monotonic() - begun
    count = sum(sum(result.sizes) for result in results)
    seconds = float(results[-1].end * results[-1].time_base)
    if args.json:
        told = {
            "input": args.input,
            "output": args.output,
            "codec": args.codec,
            "frames": sum(result.frames for result in results),
            "chunks": len(results),
            "workers": args.workers or WORKERS,
            "duration": seconds,
            "bytes": count,
            "bit_rate": round(count * 8 / seconds) if seconds else 0,
            "elapsed": round(elapsed, 3),
            "left_out": list(film.left_out),
            "notes": list(film.notes),
        }
        print(json.dumps(told), file=sys.stdout, flush=True)
    elif not args.no_progress:
        frames = sum(result.frames for result in results)
        say(f"{frames} frames ({clock(seconds)}) in {len(results)} chunks, {size(count)}, in {elapsed:.1f} s")
    return 0


def _plan(args: argparse.Namespace) -> Any:
    given = {name: getattr(args, name) for name in ("codec", "profile", "rc", "bitrate", "gop")}
    settings = {name: value for name, value in given.items() if value is not None}
    try:
        return chunked.plan(args.input, chunk=args.chunks, size=args.size, fps=args.fps, **settings)
    except MediaError as error:
        raise VencError(f"{args.input}: {error}") from None


def _encode_and_join(args: argparse.Namespace, plan: Any, folder: str) -> tuple[list[Any], chunked.Joiner]:
    bar = Progress(plan.frames, enabled=not args.no_progress)

    def show(done: int, total: int) -> None:
        bar.update(done, float(done / plan.fps), 0)

    try:
        with contextlib.ExitStack() as stack:
            film = chunked.Joiner(plan, args.output, sound=not args.no_sound, overwrite=args.overwrite)
            if film.left_out and not args.quiet:
                say(f"note: {args.input}: not carried over: {', '.join(film.left_out)}")

            def add(result: Any) -> None:
                with shielded():  # FFmpeg, which is at work in it, would lose a signal
                    film.add(result)
                check()

            def finish(*exception: Any) -> None:
                with shielded():
                    film.__exit__(*exception)
                check()

            stack.push(finish)
            return _encode_all(args, plan, folder, progress=show, each=add), film
    except (KeyboardInterrupt, Terminated, Exception):
        bar.clear()
        if kept := _kept(folder, plan):
            say(f"{kept} of {len(plan.chunks)} chunks are kept in {folder}; --resume goes on with them")
        raise
    finally:
        bar.clear()


def _kept(folder: str, plan: Any) -> int:
    """Return how many chunks are in a folder, without reading them."""
    return sum(all(os.path.exists(os.path.join(folder, n)) for n in chunked.files_of(chunk)) for chunk in plan.chunks)


@contextlib.contextmanager
def _work_folder(folder: str, plan: Any, *, resume: bool) -> Iterator[Callable[[], None]]:
    """Make sure that a folder is for this plan, and this run alone. Yields what takes our files out of it."""
    there = os.listdir(folder) if os.path.isdir(folder) else []
    if there and not {PLAN_FILE, _LOCK} & set(there):
        raise VencError(f"{folder}: there are other files in it: --work-folder names a folder that is new or empty")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, _LOCK), "ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise VencError(f"{folder}: another run is at work in it: wait for it, or name a --work-folder") from None
        except OSError:  # a file system without locks: two runs do the work twice, and nothing worse
            pass
        if PLAN_FILE in there:
            if not resume:
                raise FileExistsError(17, "it is there from an earlier run; --resume goes on with it", folder)
            _compare(folder, chunked.load_plan(folder), plan)
        for left in _unfinished(folder):
            os.unlink(left)
        plan.save(folder)

        def finished() -> None:
            ours = [PLAN_FILE, _LOCK, *(name for chunk in plan.chunks for name in chunked.files_of(chunk))]
            for path in [*(os.path.join(folder, name) for name in ours), *_unfinished(folder)]:
                with contextlib.suppress(OSError):
                    os.unlink(path)
            with contextlib.suppress(OSError):  # there is something else in it
                os.rmdir(folder)

        try:
            yield finished
        except BaseException:
            if not _kept(folder, plan):
                finished()
            raise


def _unfinished(folder: str) -> list[str]:
    """Return what runs that were killed were writing."""
    return glob.glob(os.path.join(glob.escape(folder), ".ascend-venc-*.part"))


def _compare(folder: str, before: Any, now: Any) -> None:
    """Raise where a folder is of another plan, and say what is different."""
    if [chunk.name for chunk in before.chunks] == [chunk.name for chunk in now.chunks]:
        return
    was, settings = dict(before.settings), dict(now.settings)
    other = [f"{name} {was.get(name)}, not {value}" for name, value in settings.items() if was.get(name) != value]
    if before.source.digest != now.source.digest:
        other.insert(0, f"another INPUT ({before.source.path})")
    raise VencError(
        f"{folder}: it was begun with {', '.join(other) or 'other cuts, sizes or rates'}: say the same, or name "
        "another --work-folder"
    )


def _encode_all(args: argparse.Namespace, plan: Any, folder: str, **options: Any) -> list[Any]:
    workers = args.workers or WORKERS
    options.update(backend=args.backend, interface=args.interface, timeout=args.device_timeout)
    if args.ray is None:
        with _ended_workers():
            return chunked.encode_all(
                plan,
                folder,
                lambda: chunked.process_pool(workers),
                workers=workers,
                devices=[args.device],
                **options,
            )
    with _ray(args.ray):
        return chunked.encode_on_ray(plan, folder, actors=workers, **options)


@contextlib.contextmanager
def _ray(address: str) -> Iterator[None]:
    ray = chunked.import_ray()
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if colon and port.isdigit():  # Ray itself tries for minutes, and prints meanwhile
        try:
            socket.create_connection((host.strip("[]"), int(port)), _PATIENCE).close()
        except (OSError, OverflowError) as error:
            raise VencError(f"--ray {address}: nobody answers there ({error})") from None
    ours = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        ray.init(address=None if address == "local" else address, log_to_driver=False, logging_level="ERROR")
    except Exception as error:  # Ray's own, ConnectionError, RuntimeError, ValueError
        raise VencError(f"--ray {address}: {error}") from None
    finally:
        for number, handler in ours.items():  # Ray puts its own in their place, which end the process by SIGALRM
            signal.signal(number, handler)
    try:
        yield
    except SystemError as error:  # what becomes, in Ray's waits, of an exception that a signal's handler raises
        if isinstance(error.__cause__, Terminated):
            raise error.__cause__ from None
        raise
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _ended_workers() -> Iterator[None]:
    """End the workers with what ends the command: a chunk may take long."""
    before = set(threading.enumerate())
    try:
        yield
    except BaseException:
        for child in multiprocessing.active_children():
            child.kill()
        # Python wakes the pools' threads at its exit, by a pipe that a thread which ends just then closes (OSError).
        for thread in set(threading.enumerate()) - before:
            if thread.is_alive():  # one that is being started, by one of these, is not yet
                thread.join(_PATIENCE)
        raise
