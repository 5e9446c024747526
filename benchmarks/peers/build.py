# SPDX-License-Identifier: Apache-2.0
"""Compile the stand-in for pyACL when it is needed; it is never installed."""

import importlib.util
import subprocess
import sysconfig
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def pyacl_shape():
    """Return the module, compiled anew where its source is newer."""
    source = HERE / "pyacl_shape.c"
    target = ROOT / "build" / "benchmarks" / f"pyacl_shape{sysconfig.get_config_var('EXT_SUFFIX')}"
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["gcc", "-O2", "-shared", "-fPIC", f"-I{ROOT}/csrc/include", f"-I{sysconfig.get_paths()['include']}"]
            + [str(source), "-o", str(target), "-ldl"],
            check=True,
        )
    spec = importlib.util.spec_from_file_location("pyacl_shape", target)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
