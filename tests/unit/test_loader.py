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
from helpers import fake_cann, processes

PROGRAM = """
import json, sys, warnings
from ascend_venc import device_search, errors
from ascend_venc._lowlevel import core
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    try:
        library = core.open_library(*sys.argv[1:])
        out = {"simulated": library.simulated, "runtime": library.runtime_path, "media": library.media_path,
               "found_by": library.found_by, "devices": library.device_count, "mpi": library.mpi_path,
               "mpi_problem": library.mpi_problem}
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


def run_in_a_process(program, *args, cwd=None, **env):
    """Run a Python program with these variables; return what it printed. Nothing may come on standard error."""
    clean = {key: value for key, value in os.environ.items() if key not in CLEARED}
    clean.update({key: str(value) for key, value in env.items()})
    clean["PYTHONPATH"] = os.path.dirname(os.path.dirname(os.path.dirname(core.simulated_device_path())))
    done = subprocess.run(
        # CPython 3.12 and newer warn of every fork beside threads, which is what some of these do.
        [sys.executable, "-W", "ignore:This process:DeprecationWarning", "-c", program, *map(str, args)],
        env=clean,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,  # 500 forks are some seconds of one core
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def open_in_a_process(*args, program=PROGRAM, **options):
    return json.loads(run_in_a_process(program, *args, **options))


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


# ---- which files are trusted -----------------------------------------------------------------------------------


def by_name(element, cwd):
    return {"cwd": cwd, "LD_LIBRARY_PATH": element}


def by_path(path):
    return {"ASCEND_VENC_LIBRARY": path}


def in_the_current_folder(root, lib):
    return by_name("/nowhere:", lib), "empty element"


def in_the_current_folder_by_its_name(root, lib):
    return by_name(".", lib), "current folder"


def in_a_relative_folder(root, lib):
    return by_name("lib64", root), 'relative element "lib64"'


def beside_an_element_that_is_relative(root, lib):
    return by_name(f"{lib}:elsewhere", root), 'relative element "elsewhere"'


def in_a_folder_of_everybody(root, lib):
    lib.chmod(0o777)
    return by_name(lib, root), f"{lib} is writable by everybody"


def below_a_folder_of_everybody(root, lib):
    root.chmod(0o777)
    return by_name(lib, root), f"{root} is writable by everybody"


def named_below_a_folder_of_everybody(root, lib):
    root.chmod(0o777)
    return by_path(lib / "libascendcl.so"), f"{root} is writable by everybody"


def named_in_a_folder_below_a_folder_of_everybody(root, lib):
    root.chmod(0o777)
    return by_path(lib), f"{root} is writable by everybody"


def a_file_of_everybody(root, lib):
    (lib / "libascendcl.so").chmod(0o666)
    return by_name(lib, root), "libascendcl.so is writable by everybody"


def beside_an_element_of_everybody(root, lib):
    (root / "open").mkdir()
    (root / "open").chmod(0o777)
    return by_name(f"{lib}:{root}/open", root), f"{root}/open is writable by everybody"


def beside_an_element_that_everybody_may_make(root, lib):
    (root / "open").mkdir()
    (root / "open").chmod(0o1777)
    return by_name(f"{lib}:{root}/open/new", root), f"{root}/open/new does not exist, and everybody may make it"


def link_into_a_folder_of_everybody(root, lib):
    (root / "safe").mkdir()
    for name in ("libascendcl.so", "libacl_dvpp.so"):
        (root / "safe" / name).symlink_to(lib / name)
    lib.chmod(0o777)
    return by_name(root / "safe", root), f"{lib} is writable by everybody"


def named_link_to_a_link_into_a_folder_of_everybody(root, lib):
    (root / "safe").mkdir()
    (root / "safe" / "one").symlink_to("../lib64")
    (root / "safe" / "libascendcl.so").symlink_to("./one/libascendcl.so")
    lib.chmod(0o777)
    return by_path(root / "safe" / "libascendcl.so"), f"{lib} is writable by everybody"


def a_file_of_another_user(root, lib):
    os.chown(lib / "libascendcl.so", 12345, -1)
    return by_path(lib / "libascendcl.so"), "libascendcl.so belongs to user 12345"


def a_folder_of_another_user(root, lib):
    os.chown(lib, 12345, -1)
    return by_name(lib, root), f"{lib} belongs to user 12345"


def a_link_of_another_user(root, lib):
    (root / "safe").symlink_to(lib)
    os.chown(root / "safe", 12345, -1, follow_symlinks=False)
    return by_path(root / "safe" / "libascendcl.so"), f"{root}/safe belongs to user 12345"


UNSAFE = [
    in_the_current_folder,
    in_the_current_folder_by_its_name,
    in_a_relative_folder,
    beside_an_element_that_is_relative,
    in_a_folder_of_everybody,
    below_a_folder_of_everybody,
    named_below_a_folder_of_everybody,
    named_in_a_folder_below_a_folder_of_everybody,
    a_file_of_everybody,
    beside_an_element_of_everybody,
    beside_an_element_that_everybody_may_make,
    link_into_a_folder_of_everybody,
    named_link_to_a_link_into_a_folder_of_everybody,
    a_file_of_another_user,
    a_folder_of_another_user,
    a_link_of_another_user,
]


@pytest.mark.parametrize("place", UNSAFE, ids=lambda place: place.__name__)
def test_library_that_others_decide_about_is_never_run_when_refused_and_warned_about_else(tmp_path, place):
    if "another_user" in place.__name__ and os.geteuid() != 0:
        pytest.skip("only root can give files to another user")
    mark = tmp_path / "it_ran"
    lib = fake_cann.install(tmp_path, code=fake_cann.leaving_a_mark(mark))
    environment, reason = place(tmp_path, lib)

    found = open_in_a_process("ascend", ASCEND_VENC_STRICT_PATHS="1", **environment)
    assert found["raised"] == "AclLibraryBrokenError"
    assert "refused" in found["message"] and reason in found["message"]
    assert not mark.exists()

    found = open_in_a_process("ascend", **environment)
    assert os.path.isabs(found["runtime"]) and os.path.samefile(found["runtime"], lib / "libascendcl.so")
    assert [kind for kind, _ in found["warnings"]] == ["LibraryPathWarning"]
    assert reason in found["warnings"][0][1]
    assert mark.exists(), "the library that is refused above is one that would have run"

    mark.unlink()
    raising = PROGRAM.replace('simplefilter("always")', 'simplefilter("error")')
    raising = raising.replace("except errors.VencError as", "except (errors.VencError, errors.LibraryPathWarning) as")
    found = open_in_a_process("ascend", program=raising, **environment)
    assert found["raised"] == "LibraryPathWarning" and reason in found["message"]
    assert not mark.exists(), "the warning came after the library had run"


@pytest.mark.parametrize("named", [False, True])
def test_library_that_only_we_decide_about_passes_the_strict_search(tmp_path, named):
    root = tmp_path / "sticky" / "ours"
    root.mkdir(parents=True)
    root.parent.chmod(0o1777)  # as /tmp is
    lib = fake_cann.install(root)
    (tmp_path / "link").symlink_to(lib)
    environment = by_path(tmp_path / "link") if named else by_name(tmp_path / "link", tmp_path)
    found = open_in_a_process("ascend", ASCEND_VENC_STRICT_PATHS="1", **environment)
    assert (found.get("runtime"), found["warnings"]) == (str(lib / "libascendcl.so"), []), found


def test_strict_search_checks_the_media_library_too(tmp_path):
    lib = fake_cann.install(tmp_path)
    (lib / "libacl_dvpp.so").chmod(0o666)
    found = open_in_a_process(ASCEND_TOOLKIT_HOME=tmp_path, ASCEND_VENC_STRICT_PATHS="1")
    assert found["raised"] == "AclLibraryBrokenError"
    assert "libacl_dvpp.so: refused" in found["message"]


def test_simulated_device_of_this_installation_is_as_trusted_as_the_engine(tmp_path):
    """Whatever LD_LIBRARY_PATH says: a strict search loads it, and there is nothing to warn about."""
    found = open_in_a_process("sim", cwd=tmp_path, LD_LIBRARY_PATH=".", ASCEND_VENC_STRICT_PATHS="1")
    assert found.get("simulated") and found["warnings"] == [], found


def test_environment_changed_by_the_program_is_not_where_the_loader_looks(tmp_path):
    """The dynamic loader reads LD_LIBRARY_PATH when the process begins, so the search does."""
    lib = fake_cann.install(tmp_path)
    program = f"import os\nos.environ['LD_LIBRARY_PATH'] = {str(lib)!r}\n" + PROGRAM
    found = open_in_a_process("ascend", program=program)
    assert found["raised"] == "AclLibraryNotFoundError"


def test_soname_search_passes_over_files_of_other_processors(tmp_path):
    lib = fake_cann.install(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    header = bytearray((lib / "libascendcl.so").read_bytes())
    header[18:20] = (0xFFFF).to_bytes(2, "little")  # e_machine
    (other / "libascendcl.so").write_bytes(header)
    assert open_in_a_process(LD_LIBRARY_PATH=f"{other}:{lib}")["runtime"] == str(lib / "libascendcl.so")


@pytest.mark.parametrize("strict", ["", "1"])
def test_strict_paths_hold_for_the_libraries_that_convert_colours(tmp_path, strict):
    """An unsafe libyuv is not run in a strict process; in another it is."""
    mark = tmp_path / "it_ran"
    functions = [f"{order}To{kind}420" for order in ("RAW", "RGB24", "ABGR", "ARGB") for kind in ("I", "J")]
    fake_cann.compile_library(tmp_path / "libyuv.so.0", functions, code=fake_cann.leaving_a_mark(mark))
    program = """
from ascend_venc import errors
from ascend_venc._lowlevel import core
from ascend_venc._lowlevel.convert import Converter
core.find_libyuv = lambda: None
try:
    print(Converter("rgb24", 128, 128, matrix="bt601", library="libyuv").by)
except errors.AclNotSupportedError as error:
    print(error)
"""
    said = run_in_a_process(program, cwd=tmp_path, LD_LIBRARY_PATH=".", ASCEND_VENC_STRICT_PATHS=strict)
    if strict:
        assert "libyuv.so.0: refused" in said and "current folder" in said
    else:
        assert said == "libyuv\n"
    assert mark.exists() is not bool(strict)


# ---- what others see meanwhile, and after a fork ---------------------------------------------------------------


def test_failure_while_opening_again_leaves_the_number_of_devices(tmp_path):
    lib = fake_cann.install(
        tmp_path,
        code="int fails, devices = 2;",
        bodies={"aclrtGetDeviceCount": "if (fails) return 507899; *(uint32_t *)first = devices; return 0;"},
    )
    program = f"""
import ctypes
from ascend_venc import errors
from ascend_venc._lowlevel import core
path = {str(lib / "libascendcl.so")!r}
library = core.open_library(path)
switches = ctypes.CDLL(path)
ctypes.c_int.in_dll(switches, "fails").value = 1
try:
    core.open_library(path)
except errors.AclLibraryBrokenError:
    print("broken", library.device_count)
ctypes.c_int.in_dll(switches, "fails").value = 0
for devices in (0, 3):
    ctypes.c_int.in_dll(switches, "devices").value = devices
    core.open_library(path)
    print(library.device_count)
"""
    assert run_in_a_process(program).split() == ["broken", "2", "0", "3"]


FORKS = """
import ctypes, os, sys, threading, time
from ascend_venc import errors
from ascend_venc._lowlevel import core

def waits_for(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.0005)

def child_says(body):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if body() else 2
        finally:
            os._exit(code)
    deadline = time.monotonic() + 20
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(child, 9)
            os.waitpid(child, 0)
            return "the child hangs"
        time.sleep(0.0005)
"""


def test_fork_while_another_thread_opens_a_library_gives_a_child_that_opens_it_500_of_500(tmp_path):
    """The other thread is inside the library's first call, with the loader's lock, at every one of the forks."""
    lib = fake_cann.install(
        tmp_path,
        code="volatile int closed, inside;",
        bodies={
            "aclrtGetDeviceCount": "inside += closed; while (closed) usleep(50); *(uint32_t *)first = 1; return 0;",
        },
    )
    program = f"""{FORKS}
path = {str(lib / "libascendcl.so")!r}
core.open_library(path)
gate = ctypes.CDLL(path)
closed, inside = (ctypes.c_int.in_dll(gate, name) for name in ("closed", "inside"))

def in_child():
    assert inside.value == 1
    closed.value = 0
    return core.open_library(path).device_count == 1 and core.open_library("sim").simulated

said = []
for _ in range(500):
    inside.value, closed.value = 0, 1
    opener = threading.Thread(target=core.open_library, args=(path,))
    opener.start()
    waits_for(lambda: inside.value)
    said.append(child_says(in_child))
    closed.value = 0
    opener.join()
print(sum(one == 0 for one in said), [one for one in said if one != 0][:5])
"""
    assert run_in_a_process(program) == "500 []\n"


def test_fork_waits_for_a_library_that_is_being_loaded(tmp_path):
    """Its constructor ends some time after the fork has begun: the child finds the library whole."""
    fake_cann.compile_library(
        tmp_path / "libgate.so",
        [],
        code="""
#include <pthread.h>
volatile int forking, inside;
static void before(void) { forking = 1; }
void watch_forks(void) { pthread_atfork(before, 0, 0); }
""",
    )
    lib = fake_cann.install(
        tmp_path,
        code="""
#include <dlfcn.h>
int built;
__attribute__((constructor)) static void build(void) {
    volatile int *forking = dlsym(RTLD_DEFAULT, "forking"), *inside = dlsym(RTLD_DEFAULT, "inside");
    for (*inside = 1; !*forking;)
        usleep(50);
    usleep(20000);
    built = 1;
}
""",
    )
    program = f"""{FORKS}
gate = ctypes.CDLL({str(tmp_path / "libgate.so")!r}, ctypes.RTLD_GLOBAL)
gate.watch_forks()
inside = ctypes.c_int.in_dll(gate, "inside")  # now: while a library is loaded, dlsym waits
path = {str(lib / "libascendcl.so")!r}
opener = threading.Thread(target=core.open_library, args=(path,))
opener.start()
waits_for(lambda: inside.value)
print(child_says(
    lambda: core.open_library(path).device_count == ctypes.c_int.in_dll(ctypes.CDLL(path), "built").value == 1
))
opener.join()
"""
    assert run_in_a_process(program) == "0\n"


def test_library_whose_loading_a_fork_cut_in_two_is_refused_in_the_child(tmp_path):
    """Its constructor ends only after the fork: the child says so, opens others, and nobody hangs."""
    code = """
__attribute__((constructor)) static void build(void) {{
    for (close(open("{inside}", O_CREAT | O_WRONLY, 0600)); access("{forked}", F_OK) != 0;)
        usleep(1000);
}}
"""
    inside, forked = tmp_path / "inside", tmp_path / "forked"
    lib = fake_cann.install(tmp_path, code=code.format(inside=inside, forked=forked))
    program = f"""{FORKS}
path, inside, forked = {str(lib / "libascendcl.so")!r}, {str(inside)!r}, {str(forked)!r}
opener = threading.Thread(target=core.open_library, args=(path,))
opener.start()
waits_for(lambda: os.path.exists(inside))

def half():
    try:
        core.open_library(path)
    except errors.AclLibraryBrokenError as error:
        return "another thread was loading it" in str(error) and core.open_library("sim").simulated

print(child_says(half))
open(forked, "w").close()
opener.join()
print(child_says(lambda: core.open_library(path).device_count == 1))
"""
    assert run_in_a_process(program).split() == ["0", "0"]


def test_child_does_not_finalize_what_its_parent_initialised(tmp_path):
    lib = fake_cann.install(
        tmp_path,
        code="static int ready;",
        bodies={
            "aclInit": "ready = 1; return 0;",
            "aclrtGetDeviceCount": "if (!ready) return 100001; *(uint32_t *)first = 1; return 0;",
            "aclFinalize": 'dprintf(1, "finalized by %d\\n", (int)getpid()); return 0;',
        },
    )
    program = f"""
import os, sys
from ascend_venc._lowlevel import core
core.open_library({str(lib / "libascendcl.so")!r})
child = os.fork()
if child:
    os.waitpid(child, 0)
    print("parent", os.getpid(), flush=True)
core.finalize_libraries(5)
core.finalize_libraries(5)
"""
    parent, finalized = run_in_a_process(program).splitlines()
    assert finalized == f"finalized by {parent.split()[1]}"


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


# ---- DVPP V2 ----

OPEN_V2 = PROGRAM.replace("open_library(*sys.argv[1:])", "open_library(*sys.argv[1:])\n        library.open_mpi()")


def test_v2_is_found_beside_the_runtime_and_needs_no_optional_function(tmp_path):
    mpi = fake_cann.install_mpi(fake_cann.install(tmp_path))
    found = open_in_a_process(program=OPEN_V2, ASCEND_TOOLKIT_HOME=tmp_path)
    assert (found["mpi"], found["mpi_problem"]) == (str(mpi), "")


def test_simulated_device_is_its_own_library_of_v2():
    found = open_in_a_process("sim", program=OPEN_V2)
    assert found["mpi"] == found["runtime"]


def test_v2_is_not_opened_with_the_others(tmp_path):
    mark = tmp_path / "mark"
    fake_cann.install_mpi(fake_cann.install(tmp_path), code=fake_cann.leaving_a_mark(mark))
    found = open_in_a_process(ASCEND_TOOLKIT_HOME=tmp_path)
    assert (found["devices"], found["mpi"], mark.exists()) == (1, "", False)
    assert "has not been looked for" in found["mpi_problem"]
    open_in_a_process(program=OPEN_V2, ASCEND_TOOLKIT_HOME=tmp_path)
    assert mark.exists()


def test_installation_without_v2_works_and_says_where_it_was_looked_for(tmp_path):
    lib = fake_cann.install(tmp_path)
    found = open_in_a_process(program=OPEN_V2, ASCEND_TOOLKIT_HOME=tmp_path)
    assert (found["devices"], found["mpi"], found["warnings"]) == (1, "", [])
    assert found["mpi_problem"].startswith("libacl_dvpp_mpi.so is not there. Tried:")
    assert f"{lib}/libacl_dvpp_mpi.so" in found["mpi_problem"]


def test_broken_library_of_v2_does_no_harm_to_v1(tmp_path):
    lib = fake_cann.install(tmp_path)
    (lib / "libacl_dvpp_mpi.so").write_text("no library")
    found = open_in_a_process(program=OPEN_V2, ASCEND_TOOLKIT_HOME=tmp_path)
    assert (found["devices"], found["mpi"]) == (1, "")
    assert found["mpi_problem"].startswith("libacl_dvpp_mpi.so is not usable. Tried:")


def test_library_of_v2_that_lacks_a_required_function_is_not_used(tmp_path):
    fake_cann.install_mpi(fake_cann.install(tmp_path), without=("hi_mpi_venc_get_fd", "hi_mpi_sys_init"))
    found = open_in_a_process(program=OPEN_V2, ASCEND_TOOLKIT_HOME=tmp_path)
    assert (found["devices"], found["mpi"]) == (1, "")
    assert found["mpi_problem"].endswith("has: hi_mpi_sys_init, hi_mpi_venc_get_fd")


def test_library_of_v2_that_comes_later_is_found_by_the_next_call(tmp_path):
    lib, ready = fake_cann.install(tmp_path / "a"), fake_cann.install(tmp_path / "b")
    mpi = fake_cann.install_mpi(ready)
    program = f"""
import os
from ascend_venc._lowlevel import core
library = core.open_library({str(lib)!r})
print(library.open_mpi(), "not there" in library.mpi_problem, library.has("hi_mpi_sys_init"))
os.rename({str(mpi)!r}, {str(lib / mpi.name)!r})
print(library.open_mpi(), library.mpi_path == {str(lib / mpi.name)!r}, library.mpi_problem == "")
os.unlink({str(lib / mpi.name)!r})
print(library.open_mpi(), core.open_library({str(lib)!r}).mpi_path == library.mpi_path)
print(library.has("hi_mpi_sys_init"), library.has("hi_mpi_venc_set_roi_attr"))  # which is optional
"""
    assert run_in_a_process(program) == "False True False\nTrue True True\nTrue True\nTrue False\n"


def test_library_of_v2_that_others_may_replace_is_warned_about_before_it_runs(tmp_path):
    lib = fake_cann.install(tmp_path)
    mark = tmp_path / "mark"
    mpi = fake_cann.install_mpi(lib, code=fake_cann.leaving_a_mark(mark))
    mpi.chmod(0o777)
    program = OPEN_V2.replace('simplefilter("always")', 'simplefilter("error", errors.LibraryPathWarning)').replace(
        "except errors.VencError", "except Exception"
    )
    found = open_in_a_process(program=program, ASCEND_TOOLKIT_HOME=tmp_path)
    assert (found["raised"], mark.exists()) == ("LibraryPathWarning", False)
    found = open_in_a_process(program=OPEN_V2, ASCEND_TOOLKIT_HOME=tmp_path)
    assert (found["mpi"], mark.exists()) == (str(mpi), True)
    assert [str(mpi) in text for _, text in found["warnings"]] == [True]
    mark.unlink()
    found = open_in_a_process(program=OPEN_V2, ASCEND_TOOLKIT_HOME=tmp_path, ASCEND_VENC_STRICT_PATHS="1")
    assert (found["devices"], found["mpi"], mark.exists()) == (1, "", False)
    assert "refused" in found["mpi_problem"]


@pytest.mark.parametrize("name", ["two\nlines", "a\x0btab"])
def test_folder_whose_name_has_line_ends_is_warned_about_and_used(name, tmp_path):
    lib = fake_cann.install(tmp_path / name)
    mpi = fake_cann.install_mpi(lib)
    for file in (lib / "libascendcl.so", mpi):
        file.chmod(0o777)
    found = open_in_a_process("ascend", program=OPEN_V2, ASCEND_TOOLKIT_HOME=tmp_path / name)
    assert (found["runtime"], found["mpi"]) == (str(lib / "libascendcl.so"), str(mpi))
    assert {kind for kind, _ in found["warnings"]} == {"LibraryPathWarning"}


WAITS = """
__attribute__((constructor)) static void wait(void) {{
    for (dprintf(1, "inside\\n"); access("{gate}", F_OK) != 0;)
        usleep(1000);
}}
"""


def test_library_of_v2_whose_constructor_does_not_return_is_bounded_by_the_time_out(tmp_path):
    lib, gate = fake_cann.install(tmp_path), tmp_path / "gate"
    fake_cann.install_mpi(lib, code=WAITS.format(gate=gate))
    program = f"""
from ascend_venc import errors
from ascend_venc._lowlevel import core
library = core.open_library({str(lib)!r})
try:
    library.open_mpi(3)  # enough for a thread that starts late
except errors.AclTimeoutError as error:
    print(error)
open({str(gate)!r}, "w").close()
print(library.open_mpi(30))
"""
    inside, text, opened = run_in_a_process(program).splitlines()
    assert inside == "inside" and opened == "True"
    assert "DVPP V2 is not open within 3 s: loading libacl_dvpp_mpi.so has not returned" in text


def test_ctrl_c_interrupts_the_opening_of_v2(tmp_path):
    lib, gate = fake_cann.install(tmp_path), tmp_path / "gate"
    fake_cann.install_mpi(lib, code=WAITS.format(gate=gate))
    program = f"""
from ascend_venc._lowlevel import core
library = core.open_library({str(lib)!r})
try:
    library.open_mpi()
except KeyboardInterrupt:
    open({str(gate)!r}, "w").close()
    print("interrupted", library.open_mpi(30))
"""
    process, output, errors_, _ = processes.interrupt_when(program, "inside")
    assert (process.returncode, output.split()) == (0, ["interrupted", "True"]), errors_


def test_two_threads_that_open_v2_have_the_same_one(tmp_path):
    lib, gate = fake_cann.install(tmp_path), tmp_path / "gate"
    fake_cann.install_mpi(lib, code=WAITS.format(gate=gate))
    program = f"""
import threading
from ascend_venc._lowlevel import core
library = core.open_library({str(lib)!r})
opened = []
threads = [threading.Thread(target=lambda: opened.append(library.open_mpi(30))) for _ in range(4)]
for thread in threads:
    thread.start()
open({str(gate)!r}, "w").close()
for thread in threads:
    thread.join()
print(opened)
"""
    assert run_in_a_process(program) == "inside\n[True, True, True, True]\n"


def test_fork_waits_for_v2_that_is_being_opened(tmp_path):
    """Its constructor ends once the fork has begun: the child finds the library whole, and uses it."""
    fake_cann.compile_library(
        tmp_path / "libgate.so",
        [],
        code="""
#include <pthread.h>
volatile int forking, inside;
static void before(void) { forking = 1; }
void watch_forks(void) { pthread_atfork(before, 0, 0); }
""",
    )
    lib = fake_cann.install(tmp_path)
    fake_cann.install_mpi(
        lib,
        code="""
#include <dlfcn.h>
int built;
__attribute__((constructor)) static void build(void) {
    volatile int *forking = dlsym(RTLD_DEFAULT, "forking"), *inside = dlsym(RTLD_DEFAULT, "inside");
    for (*inside = 1; !*forking;)
        usleep(50);
    usleep(20000);
    built = 1;
}
""",
    )
    program = f"""{FORKS}
library = core.open_library({str(lib)!r})
gate = ctypes.CDLL({str(tmp_path / "libgate.so")!r}, ctypes.RTLD_GLOBAL)
gate.watch_forks()
inside = ctypes.c_int.in_dll(gate, "inside")  # now: while a library is loaded, dlsym waits
opener = threading.Thread(target=library.open_mpi)
opener.start()
waits_for(lambda: inside.value)
print(child_says(
    lambda: library.open_mpi(10) and ctypes.c_int.in_dll(ctypes.CDLL(library.mpi_path), "built").value == 1
))
opener.join()
print(library.open_mpi())
"""
    assert run_in_a_process(program) == "0\nTrue\n"


def test_v2_is_refused_where_the_library_is_missing(tmp_path):
    fake_cann.install(tmp_path)
    program = """
import ascend_venc as venc
try:
    venc.Encoder(128, 128, interface="v2")
except venc.InvalidArgumentError as error:
    print(error)
"""
    text = run_in_a_process(program, ASCEND_TOOLKIT_HOME=tmp_path)
    assert 'choose interface="v1"' in text and "libacl_dvpp_mpi.so is not there" in text
