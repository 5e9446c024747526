# SPDX-License-Identifier: Apache-2.0
"""The facade on a device: initialised once, with a context of its own in each test. Shared code is in tests/helpers."""

from pathlib import Path

import pytest

from helpers import abi, pyacl

HERE = Path(__file__).resolve().parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent == HERE and not item.path.name.startswith("test_v2_"):
            item.add_marker(pytest.mark.v1_only("it calls aclvenc* itself, and a process uses one interface"))


@pytest.fixture(scope="session", autouse=True)
def chosen_library(backend):
    """The library whose C functions `abi.device` gives."""
    if backend == "ascend":
        abi.use_real_library()


@pytest.fixture(scope="session")
def initialised(backend):
    """`ascend_venc.acl`, on the library that --acl chooses. The process's first call decides which one that is."""
    from ascend_venc import acl

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASCEND_VENC_BACKEND", backend)
        assert acl.init() in (0, pyacl.REPEAT_INITIALIZE)
    return acl


@pytest.fixture
def acl(initialised):
    """`ascend_venc.acl` with device 0 set on this thread. Other tests of the process may have finalised it."""
    assert initialised.init() in (0, pyacl.REPEAT_INITIALIZE)
    pyacl.ok(initialised.rt.set_device(0))
    initialised.get_recent_err_msg()
    yield initialised
    pyacl.ok(initialised.rt.reset_device(0))


@pytest.fixture
def context(acl):
    """A context, current on this thread."""
    made = pyacl.ok(acl.rt.create_context(0))
    yield made
    pyacl.ok(acl.rt.destroy_context(made))


@pytest.fixture
def handles(acl, context):
    """Makes live handles by kind; destroys what is left of them."""
    made = pyacl.Handles(acl)
    yield made
    made.clear()


@pytest.fixture
def encoding(acl, context):
    """A channel that exists, with its report thread, one picture and one frame configuration."""
    with pyacl.encoding(acl, context) as made:
        yield made
