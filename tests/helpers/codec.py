# SPDX-License-Identifier: Apache-2.0
"""Drive csrc/sim/codec.c and encode.c alone, through ctypes: the codec of the simulated device without the device.

Its functions are hidden in the simulator, so the file is compiled by itself, once per test run.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

SOURCES = Path(__file__).resolve().parents[2] / "csrc" / "sim"
COMPILER = shutil.which(os.environ.get("CC", "cc"))

H265_MAIN, H264_BASELINE, H264_MAIN, H264_HIGH = range(4)
NV12, NV21 = 1, 2
VBR, CBR, BY_QP = 1, 2, 3


class CodecError(RuntimeError):
    """What the codec gave as its reason."""


class Config(ctypes.Structure):
    """sim_codec_config."""

    _fields_ = (
        ("en_type", ctypes.c_int32),
        ("pic_format", ctypes.c_int32),
        ("width", ctypes.c_uint32),
        ("height", ctypes.c_uint32),
        ("rc_mode", ctypes.c_uint32),
        ("src_rate", ctypes.c_uint32),
        ("bit_rate", ctypes.c_uint32),
    )


def codec_name(en_type: int) -> str:
    """The stream's codec as the other helpers call it."""
    return "h265" if en_type == H265_MAIN else "h264"


def wheel_libavcodec() -> str | None:
    """Path of the libavcodec in PyAV's wheel, or None when PyAV was not installed from one."""
    spec = importlib.util.find_spec("av")
    if spec is None or spec.origin is None:
        return None
    found = sorted((Path(spec.origin).parents[1] / "av.libs").glob("libavcodec-*.so*"))
    return str(found[0]) if found else None


def compile_codec(target: Path, *flags: str) -> Path:
    """Compile the codec into a shared library that exports its functions."""
    command = [COMPILER, "-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-pthread"]
    files = [str(SOURCES / name) for name in ("codec.c", "encode.c")]
    subprocess.run([*command, *flags, "-o", str(target), *files, "-ldl"], check=True)
    return target


def bind(path: Path) -> ctypes.CDLL:
    """Load a compiled codec and declare its functions."""
    library = ctypes.CDLL(str(path))
    text, size, pointer = ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p
    library.sim_codec_load.argtypes = [text, text, size]
    library.sim_codec_version.restype = library.sim_codec_path.restype = text
    library.sim_codec_open.argtypes = [ctypes.POINTER(Config), ctypes.POINTER(pointer), text, size]
    library.sim_codec_encode.argtypes = [
        *[pointer, pointer, size, pointer, size, ctypes.c_int],
        *[ctypes.POINTER(pointer), ctypes.POINTER(size), text, size],
    ]
    library.sim_codec_set_qp.argtypes = [pointer, ctypes.c_int]
    library.sim_codec_set_format.argtypes = [pointer, ctypes.c_int32]
    library.sim_codec_set_qp.restype = library.sim_codec_set_format.restype = None
    library.sim_codec_close.argtypes = [pointer]
    library.sim_codec_close.restype = None
    return library


@functools.cache
def load_codec() -> ctypes.CDLL:
    """The codec, compiled and with a libavcodec: the wheel's if there is one, else what it finds itself."""
    folder = tempfile.mkdtemp(prefix="codec-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    library = bind(compile_codec(Path(folder) / "codec.so"))
    why = ctypes.create_string_buffer(2048)
    wheel = wheel_libavcodec()
    if library.sim_codec_load(wheel.encode() if wheel else None, why, len(why)) != 0:
        raise CodecError(why.value.decode())
    return library


class Codec:
    """One encoder. `encode` takes an NV12 (or NV21) frame and returns one access unit."""

    def __init__(
        self,
        en_type: int,
        width: int,
        height: int,
        *,
        rc_mode: int = CBR,
        src_rate: int = 25,
        bit_rate: int = 1000,
        pic_format: int = NV12,
    ):
        self._library = load_codec()
        self._handle = ctypes.c_void_p()
        self._why = ctypes.create_string_buffer(1024)
        self._size = (width, height)
        config = Config(en_type, pic_format, width, height, rc_mode, src_rate, bit_rate)
        if self._library.sim_codec_open(config, self._handle, self._why, len(self._why)) != 0:
            raise CodecError(self._why.value.decode())

    def set_qp(self, qp: int) -> None:
        self._library.sim_codec_set_qp(self._handle, qp)

    def set_format(self, pic_format: int) -> None:
        self._library.sim_codec_set_format(self._handle, pic_format)

    def encode(self, frame: np.ndarray, idr: bool) -> bytes:
        width, height = self._size
        if frame.dtype != np.uint8 or frame.shape != (height * 3 // 2, width) or not frame.flags.c_contiguous:
            raise ValueError(f"not a contiguous frame of {width}x{height}")
        return self.encode_planes(frame.ctypes.data, width, frame.ctypes.data + width * height, width, idr)

    def encode_planes(self, y: int, y_stride: int, uv: int, uv_stride: int, idr: bool) -> bytes:
        """Encode from addresses; the caller keeps the memory."""
        data, size = ctypes.c_void_p(), ctypes.c_size_t()
        code = self._library.sim_codec_encode(
            self._handle, y, y_stride, uv, uv_stride, idr, data, size, self._why, len(self._why)
        )
        if code != 0:
            raise CodecError(self._why.value.decode())
        return ctypes.string_at(data, size.value)

    def close(self) -> None:
        self._library.sim_codec_close(self._handle)
        self._handle = ctypes.c_void_p()

    def __enter__(self) -> Codec:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def encode_all(frames: Iterable[np.ndarray], en_type: int, gop: int = 25, **options: int) -> list[bytes]:
    """Encode a sequence with an IDR every `gop` pictures."""
    codec: Codec | None = None
    units = []
    try:
        for number, frame in enumerate(frames):
            if codec is None:
                codec = Codec(en_type, frame.shape[1], frame.shape[0] * 2 // 3, **options)
            units.append(codec.encode(frame, number % gop == 0))
    finally:
        if codec is not None:
            codec.close()
    return units
