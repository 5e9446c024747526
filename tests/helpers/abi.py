# SPDX-License-Identifier: Apache-2.0
"""What tests of AscendCL's C functions run on: a simulated device of their own, or with --acl=real this host's."""

import contextlib
import ctypes
import os
import re

import pytest

from ascend_venc._lowlevel import core
from helpers import simulator

_real = False
_library = None


def use_real_library():
    """From now on `device` gives the AscendCL of this host."""
    global _real  # noqa: PLW0603
    _real = True


class RealDevice(simulator.AscendCL):
    """The AscendCL of this host. It reports no misuse, and aclFinalize belongs to the process."""

    finalizes = False

    def __init__(self):
        library = core.open_library(os.environ.get("ASCEND_VENC_BACKEND", "ascend"))
        super().__init__(library.runtime_path, library.media_path)
        self.soc = (self.aclrtGetSocName() or b"").decode()
        self.board = self._number(self.aclrtGetRunMode) == 0
        self.devices = self._number(self.aclrtGetDeviceCount)

    @staticmethod
    def _number(function):
        number = ctypes.c_int32(-1)
        assert function(ctypes.byref(number)) == 0
        return number.value

    def reports(self):
        return []

    take_reports = reports


def family(soc):
    """Ascend310P of Ascend310P3."""
    return re.match(r"[A-Za-z]+\d+[A-Z]*", soc).group()


def assert_misuses(library, *kinds):
    """A simulated device has reported exactly these misuses since the last question. Hardware reports none."""
    if not isinstance(library, RealDevice):
        assert [text.split("]")[0][1:] for text in library.take_reports()] == list(kinds)


@contextlib.contextmanager
def initialised(library):
    """aclInit before and aclFinalize behind the block; on hardware both belong to the process."""
    assert library.aclInit(None) in (0, 100002)
    yield
    if getattr(library, "finalizes", True):
        assert library.aclFinalize() == 0


def stalled(library):
    """Frames sent inside the block stay in flight. Hardware cannot be asked to, and may be done with them earlier."""
    if isinstance(library, RealDevice):
        return contextlib.nullcontext()
    return library.options(stall=1)


@contextlib.contextmanager
def device(soc=None, devices=1, strict=True, **options):
    """AscendCL on an untouched simulated device, or the real one if it is of this chip; else the test is skipped.

    `options` of the simulated device are for tests marked sim_only, but for null_codec: real devices encode.
    """
    global _library  # noqa: PLW0603
    if not _real:
        with simulator.isolated(soc=soc, devices=devices, strict=strict, **options) as sim:
            yield sim
        return
    assert set(options) <= {"null_codec"}, "mark the test sim_only"
    if _library is None:
        _library = RealDevice()
    if soc is not None and family(_library.soc) != family(soc):
        pytest.skip(f"says what {soc} does; this host has {_library.soc}")
    if devices > _library.devices:
        pytest.skip(f"needs {devices} devices; this host has {_library.devices}")
    code = _library.aclInit(None)
    assert code in (0, 100002), code
    _library.error_text()
    yield _library
