# SPDX-License-Identifier: Apache-2.0
"""Options and the fixtures that every test gets. Shared code is in tests/helpers."""

import collections
import gc
import importlib
import os
import signal

import pytest

from helpers import interface, live, simulator, statements

# Read when the simulated device is loaded, in this process and in those that tests start.
os.environ.setdefault("ASCEND_VENC_SIM_STRICT", "1")

# Read when NumPy is imported, here and a thousand times in programs: no test needs its threads.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# A job started in the background ignores SIGINT, and so would the programs whose Ctrl-C is tested.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


SECONDS = 120  # that a test may take which does not say it itself

# The files that take longest. Several processes begin with them: a file is one process's, and would hold up the end.
LONGEST = [
    "test_engine_native",
    "test_install",
    "test_v2_live",
    "test_simulator_codec",
    "test_interface_choice",
    "test_loader",
    "test_other_devices",
    "test_types",
    "test_docs_pages",
    "test_writer",
    "test_lost_device",
    "test_signals",
    "test_v2",
    "test_pairs",
    "test_fault_sweep",
    "test_hang_sweep",
    "test_doctor",
    "test_cli",
    "test_chunked",
    "test_streaming",
    "test_examples",
    "test_snippets",
    "test_guides",
    "test_convert",
]


def pytest_addoption(parser):
    parser.addoption(
        "--acl",
        choices=("sim", "real"),
        default="sim",
        help="run against the simulated device (default) or the real AscendCL of this host",
    )
    parser.addoption(
        "--interface",
        choices=("v1", "v2"),
        help="the vendor's interface that each Encoder uses which names none (default: $ASCEND_VENC_INTERFACE, or v1)",
    )
    parser.addoption(
        "--chip", help="the simulated chip where none is named (default: $ASCEND_VENC_SIM_SOC, or Ascend310P3)"
    )
    parser.addoption(
        "--examples",
        type=int,
        metavar="N",
        help="that hypothesis makes up for each of its tests, others each time (default: the same 200)",
    )
    parser.addoption(
        "--every",
        type=int,
        default=16,
        metavar="N",
        help="one of N points of the sweeps over calls of the vendor that fail and over allocations (default: 16)",
    )


def pytest_configure(config):
    """Before any test module reads it; programs that tests start inherit it."""
    chosen = config.getoption("--interface")
    if chosen:
        os.environ["ASCEND_VENC_INTERFACE"] = chosen
        importlib.reload(interface)
    if config.pluginmanager.hasplugin("hypothesispytest"):
        import hypothesis

        examples = config.getoption("--examples")
        hypothesis.settings.register_profile(
            "suite",
            max_examples=examples or 200,
            derandomize=not examples,
            deadline=None,
            suppress_health_check=[hypothesis.HealthCheck.too_slow],  # it looks at the clock
        )
        hypothesis.settings.load_profile("suite")
    if config.getoption("--chip"):
        os.environ["ASCEND_VENC_SIM_SOC"] = config.getoption("--chip")
    if hasattr(config.option, "loadscopereorder"):  # pytest-xdist's: files of many tests first, however long they take
        config.option.loadscopereorder = False


@pytest.fixture(scope="session")
def backend(request):
    """The backend that the tests open: "sim", or "ascend" with --acl=real."""
    return "ascend" if request.config.getoption("--acl") == "real" else "sim"


def longest_first(items):
    """Sort files: those that are known to be long, then by the number of their tests."""
    known = {name: place for place, name in enumerate(LONGEST)}
    count = collections.Counter(item.path for item in items)
    items.sort(key=lambda item: (known.get(item.path.stem, len(known)), -count[item.path]))


def pytest_collection_modifyitems(config, items):
    if "PYTEST_XDIST_WORKER" in os.environ:
        longest_first(items)
    for item in items:
        marker = item.get_closest_marker("v1_only")
        if marker and interface.V2:
            item.add_marker(pytest.mark.skip(reason=f"of V1: {marker.args[0]}"))
        # Not an option of the configuration: the layer rules run by a pytest that has no plugins, too.
        if config.pluginmanager.hasplugin("timeout") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SECONDS))
    if config.getoption("--acl") != "real":
        return
    reason = pytest.mark.skip(reason="asks the simulated device what hardware cannot tell; run without --acl=real")
    guess = pytest.mark.skip(reason="a guess: hardware may do otherwise, and a stale handle may be a crash")
    for item in items:
        if "sim_only" in item.keywords:
            item.add_marker(reason)
        elif statements.are_guessed(item):
            item.add_marker(guess)


@pytest.fixture(autouse=True, scope="module")
def what_is_there_is_looked_at_no_more():
    """Collecting garbage is frequent here, and would go through thousands of tests and every module each time."""
    gc.collect()
    gc.freeze()
    yield
    gc.collect()  # what finalizers complain of is this module's


@pytest.fixture(autouse=True, scope="module")
def no_live_objects_left_by_the_module(what_is_there_is_looked_at_no_more):
    """Fail the file whose fixtures leave native objects."""
    before = live.settled()
    yield
    live.assert_unchanged(before)


@pytest.fixture(autouse=True)
def no_live_objects_left():
    """Fail the test that ends with another number of live native objects than it began with."""
    before = live.settled()
    yield
    live.assert_unchanged(before)


@pytest.fixture(autouse=True)
def nothing_left_open(request):
    """Fail the test that ends with more descriptors or threads than it began with, unless marked `leaves_open`."""
    before = live.opened()
    yield
    if "leaves_open" not in request.keywords:
        live.assert_nothing_opened(before)


@pytest.fixture(autouse=True)
def no_misuse_reported(request):
    """Fail the test in which the simulated device's strict mode reported a misuse, unless it is marked `misuse`."""
    yield
    if simulator.is_loaded():
        found = simulator.shared().take_reports()
        if "misuse" not in request.keywords:
            assert found == []
