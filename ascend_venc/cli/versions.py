# SPDX-License-Identifier: Apache-2.0
"""`ascend-venc --version`: this package, and the native code that it works with."""

from __future__ import annotations

import argparse
import platform
import sys
from typing import Any

from .._version import __version__


class VersionAction(argparse.Action):
    """Print the versions, and end with exit code 0. Opens no library of the vendor's."""

    def __init__(self, option_strings: Any, dest: str, **rest: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, help="print the versions of all that is used")

    def __call__(self, parser: argparse.ArgumentParser, *rest: Any) -> None:
        print("\n".join(versions()))
        sys.stdout.flush()
        parser.exit()


def versions() -> list[str]:
    """A line for each part; the first is this package's."""
    import numpy

    from ..doctor.host import examine_host

    host = examine_host()
    bits = f"{platform.python_implementation()} {host.python}, {host.python_bits} bits, {host.machine}, {host.libc}"
    canns = [f"CANN {cann.version or 'of unknown version'}: {cann.folder}" for cann in host.canns] or [
        "CANN: none found"
    ]
    driver = f"driver {host.driver_version or 'of unknown version'}" if host.driver_folder else "driver: none found"
    return [f"ascend-venc {__version__}", bits, f"NumPy {numpy.__version__}", *_ffmpeg(), *canns, driver]


def _ffmpeg() -> list[str]:
    from ..media.container import import_av

    try:
        av = import_av()
    except Exception as error:  # a broken installation may raise anything
        return [f"PyAV: {' '.join(str(error).split())}"]
    libraries = [f"{name} {'.'.join(map(str, version))}" for name, version in sorted(av.library_versions.items())]
    return [f"PyAV {av.__version__}: {', '.join(libraries)}"]
