# SPDX-License-Identifier: Apache-2.0
"""Damaged films, y4m and DLPack capsules, settings in any combination: each is taken, or refused as documented.

    python tests/helpers/fuzz.py TARGET ROUNDS SEED

`scripts/fuzz.sh` runs it for long, the suite for a moment. What a round does follows from its seed, so that one that
fails can be repeated: its seed is in the message, or, where the process ends, is the last one on standard error.
"""

import contextlib
import ctypes
import faulthandler
import io
import random
import resource
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import ascend_venc as venc  # noqa: E402
from ascend_venc.media import MediaError, Y4MReader, open_video  # noqa: E402
from helpers import dlpack  # noqa: E402

CORPUS = ROOT / "tests" / "data" / "fuzz"
MOST_FRAMES = 50
MEMORY = 6 << 30  # bytes: a film that claims more is refused, and does not take the machine along
SECONDS = 120  # that a round may take before the process ends with all stacks


def damaged(rng, data):
    """A few bytes changed, taken out, doubled or cut off."""
    data = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        if len(data) < 2:
            break
        at = rng.randrange(min(len(data), 200)) if rng.random() < 0.4 else rng.randrange(len(data))
        what = rng.randrange(6)
        if what == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif what == 1:
            data[at] = rng.choice(b"\x00\x01\x7f\x80\xff 0:\n")
        elif what == 2:
            data[at : at + 4] = rng.choice([b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff"])
        elif what == 3:
            del data[at : at + rng.randint(1, 64)]
        elif what == 4:
            data[at:at] = data[at : at + rng.randint(1, 64)]
        else:
            del data[at:]
    return bytes(data)


class Films:
    """Files that `open_video` reads."""

    taken = 0  # rounds whose input was taken to its end; so of the others

    def __enter__(self):
        self.files = sorted((CORPUS / "container").iterdir())
        self._folder = tempfile.TemporaryDirectory()
        return self

    def __exit__(self, *exc):
        self._folder.cleanup()

    def round(self, rng):
        whole = rng.choice(self.files)
        path = Path(self._folder.name) / f"film{whole.suffix}"
        path.write_bytes(damaged(rng, whole.read_bytes()))
        with contextlib.suppress(MediaError), open_video(path, tolerant=rng.random() < 0.3) as source:
            for number, frame in enumerate(source):
                assert memoryview(frame.data).nbytes > 0
                if number == MOST_FRAMES:
                    break
            self.taken += 1


class Y4m:
    taken = 0

    def __enter__(self):
        self.files = [path.read_bytes() for path in sorted((CORPUS / "y4m").iterdir())]
        return self

    def __exit__(self, *exc):
        pass

    def round(self, rng):
        with contextlib.suppress(MediaError), Y4MReader(io.BytesIO(damaged(rng, rng.choice(self.files)))) as source:
            for number, frame in enumerate(source):
                assert memoryview(frame.data).nbytes == source.width * source.height * 3 // 2
                if number == MOST_FRAMES:
                    break
            self.taken += 1


class Capsules:
    """Tensors whose every field may be wrong, but for the memory that right ones name: there is some on all sides."""

    WIDTH, HEIGHT, AROUND = 128, 128, 1 << 20
    taken = 0

    def __enter__(self):
        self.memory = (ctypes.c_uint8 * (4 * self.AROUND))()
        self.address = ctypes.addressof(self.memory) + 2 * self.AROUND
        self.encoder = venc.Encoder(self.WIDTH, self.HEIGHT, codec="h264", backend="sim", depth=4)
        return self

    def __exit__(self, *exc):
        self.encoder.flush()
        self.encoder.close()

    def round(self, rng):
        rows, width = self.HEIGHT * 3 // 2, self.WIDTH
        wrong = set(rng.sample(range(10), rng.choice([0, 1, 1, 2, 3])))  # what is not as it ought to be

        def of(number, right, *others):
            return rng.choice(others) if number in wrong else right

        shape = of(0, (rows, width), (rows, width, 1), (rows * width,), (width, rows), (), (1,) * 9, (0, 0))
        if 1 in wrong:
            shape = tuple(rng.choice([n, -n, 0, n + 1, 1 << 31, (1 << 62) + 7, -(1 << 63)]) for n in shape)
        strides = rng.choice([None, (width, 1), (160, 1), (4096, 1)])
        strides = of(2, strides, (width, 2), (1, rows), (-width, 1), (0, 1), (1 << 62, 1))
        if strides is not None:
            strides = (*strides, 1, 1, 1, 1, 1, 1, 1)[: len(shape)] or None
        tensor = dlpack.Tensor(
            self.address,
            shape,
            strides,
            device=of(3, (dlpack.CPU, 0), (dlpack.CUDA, 0), (dlpack.ASCEND, 7), (0, -1), (2**31 - 1, 5)),
            versioned=rng.random() < 0.5,
            bits=of(4, 8, 0, 1, 16, 64, 255),
            offset=rng.choice([0, 16, self.AROUND]),
            major=of(5, 1, 0, 2, 2**32 - 1),
        )
        described = tensor._managed.tensor
        described.dtype.code = of(6, 1, 0, 2, 255)
        described.dtype.lanes = of(7, 1, 0, 4, 65535)
        described.ndim = of(8, described.ndim, -1, 0, 1, 3, 2**31 - 1)
        if 9 in wrong:
            described.data, described.shape = rng.choice(
                [(None, described.shape), (described.data, ctypes.POINTER(ctypes.c_int64)())]
            )
        taken = []
        with contextlib.suppress(TypeError, BufferError, venc.VencError):
            taken = self.encoder.encode(tensor)
        taken += self.encoder.flush()
        assert len(taken) <= 1
        self.taken += len(taken)
        assert len(tensor.deleted) <= tensor.given <= 2, "each capsule is given back once"


ODD = (
    None,
    True,
    -1,
    0,
    1,
    7,
    1 << 70,
    -0.5,
    0.0,
    float("nan"),
    float("inf"),
    "",
    "?",
    "é",
    b"x",
    (),
    [1],
    {},
    object,
)
VALUES = {
    "codec": ("h264", "HEVC", "av1"),
    "fps": (25, 29.97, "30000/1001", "1e999999999", 0.001, 240),
    "bitrate": ("2M", 100_000, "4e6", 10**12, "1.5.5M"),
    "gop": (1, 30, 65536, 65537),
    "depth": (1, 4, 256, 257),
    "queue": (0, 4, 256, 257),
    "max_queued": (0, 1, 10**6),
    "profile": ("main", "high", "baseline", "main10"),
    "rc": ("cbr", "vbr", "avbr", "fixqp", venc.RateControl("cbr", max_qp=40)),
    "pixel_format": ("nv12", "nv21", "rgb24", "i420", "gray", "yuyv422", "p010"),
    "color": ("bt709", "bt601", "srgb"),
    "on_full": ("block", "drop_oldest", "drop_newest", "error"),
    "delivery": ("immediate", "coalesced"),
    "max_latency": (0.001, 1, 2),
    "timeout": (0, 1, 30, 1e300),
    "sample_aspect_ratio": ((4, 3), "16:11", (0, 0), 1.5),
    "vui": (True, False),
    "aud": (True, False),
    "scene": (0, 1, 99),
    "roi": ([], [venc.RegionOfInterest(0, 0, 64, 64, qp=20)]),
    "intra_refresh": (venc.IntraRefresh(rows=2), 5),
    "name": ("camera", "x" * 10000),
}


class Settings:
    """Any values for a few parameters of `Encoder` at once."""

    taken = 0

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass

    def round(self, rng):
        options = {}
        for name in rng.sample(sorted(VALUES), rng.randint(1, 5)):
            options[name] = rng.choice(VALUES[name] if rng.random() < 0.7 else ODD)
        size = [rng.choice([128, 640, 4096, 130, 0, -1, 1 << 40, 128.0, "128", None]) for _ in "wh"]
        if rng.random() < 0.7:
            size = [128, 128]
        with contextlib.suppress(TypeError, venc.VencError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            venc.Encoder(*size, backend="sim", **options).close()
            self.taken += 1


TARGETS = {"films": Films, "y4m": Y4m, "capsules": Capsules, "settings": Settings}


def run(name, rounds, seed, told=None):
    """Rounds of a target; how many took what they were given. Raises for the first that lets out something else."""
    with TARGETS[name]() as target:
        for number in range(seed, seed + rounds):
            if told is not None:
                told(number)
            try:
                target.round(random.Random(number))
            except BaseException as error:
                raise AssertionError(f"{name}, seed {number}: {type(error).__name__}: {error}") from error
        return target.taken


def main():
    name, rounds, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))

    def told(number):
        sys.stderr.write(f"\r{number} ")
        faulthandler.dump_traceback_later(SECONDS, exit=True)

    try:
        taken = run(name, rounds, seed, told)
    except AssertionError:
        traceback.print_exc()
        sys.exit(1)
    print(f"{name}: {rounds} rounds from seed {seed}, {taken} taken, {rounds - taken} refused")


if __name__ == "__main__":
    main()
