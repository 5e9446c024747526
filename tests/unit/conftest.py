# SPDX-License-Identifier: Apache-2.0
"""What tests of C code share."""

import os

import pytest

from helpers import native


@pytest.fixture(scope="session")
def builds(tmp_path_factory):
    """C code built with sanitizers, once for all processes that run the suite."""
    folder = tmp_path_factory.getbasetemp()
    return native.Builds((folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "native")
