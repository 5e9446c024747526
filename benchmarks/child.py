# SPDX-License-Identifier: Apache-2.0
"""Measurements in processes of their own: one module of this folder, one JSON object on its standard output."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def run(module, *arguments, env=(), timeout=300):
    """Run `python -m module arguments` and return the JSON that it prints last."""
    path = [str(FOLDER), str(FOLDER.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path), **dict(env)},
        cwd=FOLDER,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{module} {' '.join(map(str, arguments))}: exit {done.returncode}\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


@contextlib.contextmanager
def preloaded(library):
    """The environment in which a library is loaded before all others. LD_PRELOAD takes no path with a space in it."""
    with tempfile.TemporaryDirectory() as folder:
        link = os.path.join(folder, os.path.basename(library))
        os.symlink(library, link)
        yield {"LD_PRELOAD": link}
