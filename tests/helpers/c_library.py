# SPDX-License-Identifier: Apache-2.0
"""Shared libraries of C source that tests write: what was compiled once in this process is copied."""

import atexit
import functools
import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path


@functools.lru_cache(None)
def _folder():
    folder = Path(tempfile.mkdtemp(prefix="ascend-venc-c-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def build(target, source, *options):
    """Compile C source into `target`, with gcc's options."""
    name = hashlib.sha256("\0".join([source, *options]).encode()).hexdigest()
    built = _folder() / f"{name}.so"
    if not built.exists():
        (_folder() / f"{name}.c").write_text(source)
        command = ["gcc", "-shared", "-fPIC", "-o", str(built), str(_folder() / f"{name}.c"), *options]
        subprocess.run(command, check=True)
    Path(target).unlink(missing_ok=True)  # not written into, as it may be loaded
    shutil.copy(built, target)
    return target
