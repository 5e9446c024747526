# SPDX-License-Identifier: Apache-2.0
"""Which library is loaded, in which order, and how each broken installation is told apart.

Every case runs in a process of its own: a library that was loaded stays loaded.
"""

import glob
import json
import os
import subprocess
import sys

import pytest

from ascend_venc import device_search, errors
from ascend_venc._lowlevel import core
from helpers import fake_cann

PROGRAM = """
import json, sys, warnings
from ascend_venc import device_search, errors
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
    "ASCEND_RT_VISIBLE_DEVICES",
    "ASCEND_VISIBLE_DEVICES",
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


# ---- what auto makes of an environment that speaks of a device ----


def has_cann():
    return any(os.path.exists(folder) for folder in ("/usr/local/Ascend", *device_search.INSTALL_RECORDS))


without_cann = pytest.mark.skipif(has_cann(), reason="this machine has a CANN, so no environment here is without one")


@without_cann
@pytest.mark.parametrize("variable", ["ASCEND_VENC_LIBRARY", "ASCEND_TOOLKIT_HOME", "ASCEND_HOME_PATH"])
@pytest.mark.parametrize("value", ["/nope/libascendcl.so", "{empty}", "relative/path"])
def test_auto_with_a_variable_that_is_wrong_raises_naming_it(tmp_path, variable, value):
    value = value.format(empty=tmp_path)
    found = open_in_a_process(HOME=tmp_path, **{variable: value})
    assert found["raised"] == "AclLibraryNotFoundError"
    assert f"${variable}" in found["message"] and value in found["message"]
    assert 'backend="sim"' in found["message"]
    assert open_in_a_process("sim", HOME=tmp_path, **{variable: value})["simulated"]


@without_cann
@pytest.mark.parametrize(
    "place",
    [
        "Ascend/ascend-toolkit/latest",
        "Ascend/nnrt/latest",
        "Ascend/cann",
        "Ascend/cann-8.5.0",
        "Ascend/ascend-toolkit/8.0.RC1",
        "Ascend/ascend-toolkit/latest/aarch64-linux",
        "Ascend/latest",
    ],
)
def test_auto_with_a_cann_on_disk_whose_environment_is_not_set_raises_with_the_command(tmp_path, place):
    fake_cann.install(tmp_path / place)
    (tmp_path / place / "set_env.sh").touch()
    found = open_in_a_process(HOME=tmp_path)
    assert found["raised"] == "AclLibraryNotFoundError"
    assert f"source {tmp_path / place}/set_env.sh" in found["message"]
    assert open_in_a_process("sim", HOME=tmp_path)["simulated"]


@without_cann
def test_driver_and_link_time_stubs_are_no_cann(tmp_path):
    for place in ("Ascend/driver", "Ascend/ascend-toolkit/latest/devlib"):
        (tmp_path / place / "lib64").mkdir(parents=True)
        (tmp_path / place / "lib64" / "libascendcl.so").touch()
    assert open_in_a_process(HOME=tmp_path)["simulated"]


@without_cann
def test_auto_whose_variable_leads_to_the_simulated_device_uses_it(tmp_path):
    assert open_in_a_process(HOME=tmp_path, ASCEND_VENC_LIBRARY=core.link_folder())["simulated"]


def test_auto_with_a_library_that_reports_no_device_says_so_first_and_why(tmp_path):
    lib = fake_cann.install(tmp_path / "cann", devices=0)
    found = open_in_a_process(HOME=tmp_path, ASCEND_HOME_PATH=tmp_path / "cann")
    ((kind, text),) = found["warnings"]
    assert kind == "SimulatedDeviceWarning"
    assert text.partition("CPU: ")[2].startswith(f"{lib}/libascendcl.so works but reports no device: ")
    if not glob.glob("/dev/davinci*"):
        assert "/dev/davinci*" in text and "container" in text
    found = open_in_a_process(HOME=tmp_path, ASCEND_HOME_PATH=tmp_path / "cann", ASCEND_RT_VISIBLE_DEVICES="7")
    assert "ASCEND_RT_VISIBLE_DEVICES is '7'" in found["warnings"][0][1]


def test_devices_that_may_not_be_opened_are_named(monkeypatch):
    monkeypatch.setattr(glob, "glob", lambda pattern: ["/dev/davinci0"])
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert "may not read and write /dev/davinci0" in device_search.reason("x works but reports no device")


@without_cann
def test_auto_without_cann_says_what_was_tried_and_read(tmp_path):
    found = open_in_a_process(HOME=tmp_path)
    ((_, text),) = found["warnings"]
    for word in ("libascendcl.so", "libacl_rt.so", "ASCEND_VENC_LIBRARY", "ASCEND_HOME_PATH", str(tmp_path / "Ascend")):
        assert word in text


def test_record_of_an_installer_is_read(tmp_path, monkeypatch):
    (tmp_path / "record").write_text(
        "Toolkit_Install_Path_Param=/opt/a\nInstall_Path=/opt/b\nInstall_Path=relative\nx\n"
    )
    monkeypatch.setattr(device_search, "INSTALL_RECORDS", (str(tmp_path / "record"), "/nope"))
    assert device_search.installation_folders()[2:] == ["/opt/a", "/opt/b"]
