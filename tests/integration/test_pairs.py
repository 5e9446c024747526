# SPDX-License-Identifier: Apache-2.0
"""Two public calls from two threads on one Encoder: a fixed slice of the table in tests/helpers/pairs.py."""

import json
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

import ascend_venc as venc
from helpers import pairs, processes, simulator

pytestmark = pytest.mark.sim_only


def run_table(*arguments, timeout=100):
    """Run cells of the table; its result."""
    program = Path(pairs.__file__)
    done = subprocess.run(
        [sys.executable, str(program), *arguments],
        env=processes.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    assert done.stdout, done.stderr[-4000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("chip", ["Ascend310P3", "Ascend310B4"])
def test_marked_access_unit_says_which_picture_it_was_made_of(chip):
    sim = simulator.shared()
    with sim.options(null_codec=100, watermark=1), venc.Encoder(136, 128, backend=f"sim:{chip}") as enc:
        rng = np.random.default_rng(7)
        for _ in range(3):  # the rows are padded in the device
            picture = rng.integers(0, 256, (192, 136), np.uint8)
            (packet,) = enc.encode(picture) or enc.flush()
            assert simulator.mark_of(packet) == (136, 128, zlib.adler32(picture.tobytes()), picture[0, :8].tobytes())


def test_table_has_every_pair_of_calls():
    single = {name for pair in pairs.cells() for name in pair}
    assert single == set(pairs.TABLE)
    assert len(set(pairs.cells())) == len(pairs.cells()) >= 500


def test_two_calls_from_two_threads():
    """One cell of eleven, without a sanitizer: scripts/pairs.sh runs all of them with one."""
    result = run_table("--rounds", "2", "--every", "11")
    assert result["problems"] == []
    assert result["cells"] == result["of"] >= 45
    assert result["frames"] >= 200
