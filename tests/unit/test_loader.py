# SPDX-License-Identifier: Apache-2.0
"""Which library is loaded, in which order, and how each broken installation is told apart.

Every case runs in a process of its own: a library that was loaded stays loaded.
"""

import json
import os
import subprocess
import sys

import pytest

from ascend_venc import errors
from ascend_venc._lowlevel import core
from helpers import fake_cann

PROGRAM = """
import json, sys, warnings
from ascend_venc import errors
from ascend_venc._lowlevel import core
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    try:
        library = core.open_library(*sys.argv[1:])
        out = {"simulated": library.simulated, "runtime": library.runtime_path, "media": library.media_path,
               "found_by": library.found_by, "devices": library.device_count}
    except errors.VencError as error:
        out = {"raised": type(error).__name__, "message": str(error)}
out["warnings"] = [(w.category.__name__, str(w.message)) for w in caught]
print(json.dumps(out))
"""

CLEARED = (
    "ASCEND_VENC_LIBRARY",
    "ASCEND_VENC_BACKEND",
    "ASCEND_TOOLKIT_HOME",
    "ASCEND_HOME_PATH",
    "LD_LIBRARY_PATH",
    "ASCEND_VENC_STRICT_PATHS",
)


def open_in_a_process(*args, cwd=None, **env):
    clean = {key: value for key, value in os.environ.items() if key not in CLEARED}
    clean.update({key: str(value) for key, value in env.items()})
    clean["PYTHONPATH"] = os.path.dirname(os.path.dirname(os.path.dirname(core.simulated_device_path())))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, args)],
        env=clean,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_auto_without_cann_uses_the_simulated_device_and_warns_once():
    found = open_in_a_process()
    assert found["simulated"]
    assert [kind for kind, _ in found["warnings"]] == ["SimulatedDeviceWarning"]
    assert "libascendcl.so" in found["warnings"][0][1]


def test_sim_by_argument_or_environment_does_not_warn():
    for found in (open_in_a_process("sim"), open_in_a_process(ASCEND_VENC_BACKEND="sim")):
        assert found["simulated"]
        assert found["warnings"] == []


def test_argument_beats_the_environment(tmp_path):
    found = open_in_a_process("sim", ASCEND_VENC_BACKEND="ascend")
    assert found["simulated"]


def test_ascend_without_cann_names_every_path_tried(tmp_path):
    found = open_in_a_process("ascend", ASCEND_TOOLKIT_HOME=tmp_path / "toolkit", ASCEND_HOME_PATH=tmp_path / "home")
    assert found["raised"] == "AclLibraryNotFoundError"
    for part in ("toolkit/lib64/libascendcl.so", "home/lib64/libascendcl.so", "libacl_rt.so", "set_env.sh"):
        assert part in found["message"]


def test_toolkit_home_is_preferred_to_ascend_home(tmp_path):
    fake_cann.install(tmp_path / "first")
    fake_cann.install(tmp_path / "second")
    found = open_in_a_process(ASCEND_TOOLKIT_HOME=tmp_path / "first", ASCEND_HOME_PATH=tmp_path / "second")
    assert found["runtime"] == str(tmp_path / "first/lib64/libascendcl.so")
    assert found["media"] == str(tmp_path / "first/lib64/libacl_dvpp.so")
    assert found["found_by"] == "$ASCEND_TOOLKIT_HOME"
    assert not found["simulated"]


def test_environment_library_beats_the_toolkit(tmp_path):
    fake_cann.install(tmp_path / "toolkit")
    other = fake_cann.install(tmp_path / "other")
    found = open_in_a_process(ASCEND_TOOLKIT_HOME=tmp_path / "toolkit", ASCEND_VENC_LIBRARY=other / "libascendcl.so")
    assert found["runtime"] == str(other / "libascendcl.so")
    assert found["found_by"] == "$ASCEND_VENC_LIBRARY"


def test_environment_library_relative_path_is_refused(tmp_path):
    fake_cann.install(tmp_path)
    found = open_in_a_process("ascend", cwd=tmp_path, ASCEND_VENC_LIBRARY="lib64/libascendcl.so")
    assert found["raised"] == "AclLibraryNotFoundError"
    assert "absolute" in found["message"]


def test_relative_toolkit_home_is_ignored_with_a_reason(tmp_path):
    fake_cann.install(tmp_path)
    found = open_in_a_process("ascend", cwd=tmp_path, ASCEND_TOOLKIT_HOME=".")
    assert found["raised"] == "AclLibraryNotFoundError"
    assert "not an absolute path" in found["message"]


def test_soname_search_finds_the_library_on_the_library_path(tmp_path):
    lib = fake_cann.install(tmp_path)
    found = open_in_a_process(LD_LIBRARY_PATH=lib)
    assert found["runtime"] == str(lib / "libascendcl.so")
    assert found["warnings"] == []


def test_soname_search_with_an_empty_library_path_element_warns(tmp_path):
    lib = fake_cann.install(tmp_path)
    found = open_in_a_process(LD_LIBRARY_PATH=f"{lib}:")
    assert [kind for kind, _ in found["warnings"]] == ["LibraryPathWarning"]


def test_path_backend_takes_a_folder_or_a_file(tmp_path):
    lib = fake_cann.install(tmp_path)
    assert open_in_a_process(lib)["runtime"] == str(lib / "libascendcl.so")
    assert open_in_a_process(lib / "libascendcl.so")["runtime"] == str(lib / "libascendcl.so")


@pytest.mark.parametrize("backend", ["auto", "ascend"])
def test_library_that_is_no_library_is_broken_and_never_a_fall_back(tmp_path, backend):
    lib = tmp_path / "lib64"
    lib.mkdir()
    (lib / "libascendcl.so").write_text("/* a linker script */ GROUP ( libother.so )\n" * 10)
    found = open_in_a_process(backend, ASCEND_TOOLKIT_HOME=tmp_path)
    assert found["raised"] == "AclLibraryBrokenError"
    assert "invalid ELF header" in found["message"]


def test_linker_script_falls_back_to_libacl_rt(tmp_path):
    lib = fake_cann.install(tmp_path)
    (lib / "libascendcl.so").rename(lib / "libacl_rt.so")
    (lib / "libascendcl.so").write_text("/* a linker script */ GROUP ( libacl_rt.so )\n" * 10)
    found = open_in_a_process(ASCEND_TOOLKIT_HOME=tmp_path)
    assert found["runtime"] == str(lib / "libacl_rt.so")


@pytest.mark.parametrize("backend", ["auto", "ascend"])
def test_missing_media_library_is_told_apart(tmp_path, backend):
    fake_cann.install(tmp_path, media=False)
    found = open_in_a_process(backend, ASCEND_TOOLKIT_HOME=tmp_path)
    assert found["raised"] == "AclMediaLibraryMissingError"
    assert "libacl_dvpp.so" in found["message"]


@pytest.mark.parametrize("media", [True, False])
def test_devlib_stubs_are_told_apart(tmp_path, media):
    fake_cann.install(tmp_path, media=media, count_code=100039)
    found = open_in_a_process(ASCEND_TOOLKIT_HOME=tmp_path)
    assert found["raised"] == "AclStubLibraryError"
    assert "devlib" in found["message"]


def test_driver_failure_is_broken_with_the_code(tmp_path):
    fake_cann.install(tmp_path, count_code=507899)
    found = open_in_a_process(ASCEND_TOOLKIT_HOME=tmp_path)
    assert found["raised"] == "AclLibraryBrokenError"
    assert "507899" in found["message"]


def test_missing_required_function_is_named(tmp_path):
    fake_cann.install(tmp_path, without=("aclvencSendFrame",))
    found = open_in_a_process(ASCEND_TOOLKIT_HOME=tmp_path)
    assert found["raised"] == "AclLibraryBrokenError"
    assert "aclvencSendFrame" in found["message"]


def test_missing_optional_function_is_no_obstacle(tmp_path):
    fake_cann.install(tmp_path, without=("aclFinalizeReference", "aclvencSetChannelDescParam"))
    assert open_in_a_process(ASCEND_TOOLKIT_HOME=tmp_path)["devices"] == 1


def test_no_device_auto_falls_back_with_the_reason_and_ascend_does_not(tmp_path):
    fake_cann.install(tmp_path, devices=0)
    found = open_in_a_process(ASCEND_TOOLKIT_HOME=tmp_path)
    assert found["simulated"]
    assert "reports no device" in found["warnings"][0][1]
    assert open_in_a_process("ascend", ASCEND_TOOLKIT_HOME=tmp_path)["devices"] == 0


def test_world_writable_library_warns_and_is_refused_in_strict_mode(tmp_path):
    lib = fake_cann.install(tmp_path)
    (lib / "libascendcl.so").chmod(0o777)
    found = open_in_a_process(ASCEND_TOOLKIT_HOME=tmp_path)
    assert [kind for kind, _ in found["warnings"]] == ["LibraryPathWarning"]
    found = open_in_a_process(ASCEND_TOOLKIT_HOME=tmp_path, ASCEND_VENC_STRICT_PATHS="1")
    assert found["raised"] == "AclLibraryBrokenError"


@pytest.mark.parametrize("name", ["nonsense", "./libascendcl.so", "SIM", " auto"])
def test_unknown_backend_is_refused_with_the_choices(name):
    with pytest.raises(errors.InvalidArgumentError, match="sim:<chip>"):
        core.parse_backend(name)


def test_import_loads_no_device_library_and_no_numpy_or_pyav():
    program = (
        "import sys, ascend_venc, ascend_venc.acl\n"
        "maps = open('/proc/self/maps').read()\n"
        "print([n for n in ('numpy', 'av') if n in sys.modules], 'libascendvenc_sim' in maps)"
    )
    env = dict(os.environ, PYTHONPATH=os.path.dirname(os.path.dirname(os.path.dirname(core.simulated_device_path()))))
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=env, timeout=60
    )
    assert done.stdout.strip() == "[] False"
