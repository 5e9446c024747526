# SPDX-License-Identifier: Apache-2.0
"""C and C++ programs on the simulated device, and our header against the vendor's own."""

import ctypes
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ascend_venc import cli
from ascend_venc.cli import sim
from helpers import himpi, processes, simulator, vendor_headers

needs_cxx = pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler: g++ is not on PATH")

pytestmark = pytest.mark.sim_only

ROOT = simulator.ROOT
PROGRAM = Path(__file__).resolve().parent / "native" / "official_flow.c"
HEADER = simulator.HEADER.read_text()


def compile_with(compiler, *args):
    done = subprocess.run([compiler, *map(str, args)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.fixture(scope="module")
def libdir():
    return Path(sim.libdir())


@pytest.fixture(scope="module")
def headers(tmp_path_factory):
    found, why = vendor_headers.find(tmp_path_factory.mktemp("vendor"))
    if found is None:
        pytest.skip(why)
    return found


def environment(**extra):
    """What a shell has after `eval "$(ascend-venc sim --env)"`, in strict mode."""
    script = "\n".join([*sim.environment(), "env -0"])
    done = subprocess.run(["sh", "-c", script], capture_output=True, check=True, timeout=20)
    env = dict(entry.split("=", 1) for entry in os.fsdecode(done.stdout).split("\0") if entry)
    return {**env, "ASCEND_VENC_SIM_STRICT": "1", **extra}


def run(program, *args, **extra):
    return subprocess.run(
        [str(program), *map(str, args)],
        env=environment(**extra),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def link_flags(libdir, *names):
    return [f"-L{libdir}", *(f"-l{name}" for name in names or ("ascendcl", "acl_dvpp")), "-pthread"]


@pytest.fixture(scope="module", params=["ascendcl", "acl_rt"], ids=["", "CANN 9"])
def flow(request, libdir, tmp_path_factory):
    """The official flow, compiled as C with our header and linked as for hardware."""
    program = tmp_path_factory.mktemp("c") / "flow"
    flags = ["-std=gnu11", "-Wall", "-Werror", f"-I{simulator.HEADER.parent}"]
    compile_with("gcc", *flags, PROGRAM, "-o", program, *link_flags(libdir, request.param, "acl_dvpp"))
    return program


@pytest.mark.parametrize("en_type", [0, 1, 2, 3])
def test_official_flow_in_c_runs_and_is_right_in_strict_mode(flow, en_type):
    done = run(flow, en_type, 16)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("16 frames, ")


@needs_cxx
def test_official_flow_as_cpp_with_our_header(libdir, tmp_path):
    program = tmp_path / "flow"
    include = f"-I{simulator.HEADER.parent}"
    compile_with("g++", "-x", "c++", "-std=c++14", "-Wall", include, PROGRAM, "-o", program, *link_flags(libdir))
    done = run(program, 2, 16)
    assert (done.returncode, done.stderr) == (0, "")


def test_process_that_leaves_everything_open_ends_quietly(flow):
    for _ in range(5):
        done = run(flow, 2, 16, "exit")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_report_thread_can_be_cancelled_inside_process_report(flow):
    done = run(flow, 2, 16, "cancel", ASCEND_VENC_SIM_OPTIONS="null_codec=500")
    assert (done.returncode, done.stderr) == (0, "")


def test_child_of_fork_begins_anew(flow):
    done = run(flow, 2, 16, "fork")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("16 frames, ")


@pytest.mark.parametrize("variant", ["thread", "address"])
def test_official_flow_is_clean_under_sanitizers(builds, variant):
    flow = builds.linked(variant, PROGRAM)
    for arguments, options in (((2, 16), ""), ((0, 40), "null_codec=500"), ((0, 40, "cancel"), "null_codec=500")):
        done = run(flow, *arguments, ASCEND_VENC_SIM_OPTIONS=options)
        assert done.returncode == 0, done.stderr[-4000:]
        assert "Sanitizer" not in done.stderr


# ---- what programs are linked with ----

TOUCH = """
extern int aclInit(const char *);
extern int aclrtSetDevice(int);
extern int aclrtResetDevice(int);
extern int aclFinalize(void);
extern void *acldvppCreatePicDesc(void);
extern int acldvppDestroyPicDesc(void *);
"""


def needed(path):
    text = subprocess.run(["readelf", "-d", str(path)], capture_output=True, text=True, check=True).stdout
    return re.findall(r"NEEDED.*\[(.+?)\]", text)


def test_program_asks_for_the_vendor_s_files_and_gets_one_device(flow, libdir):
    assert needed(flow)[:2] in (["libascendcl.so", "libacl_dvpp.so"], ["libacl_rt.so", "libacl_dvpp.so"])
    assert sorted(path.name for path in libdir.glob("*.so")) == sorted(sim.LIBRARIES)


@pytest.mark.parametrize(
    "order", [("ascendcl", "acl_dvpp"), ("acl_dvpp", "acl_rt"), ("acl_rt", "acl_dvpp", "ascendcl")]
)
def test_files_share_one_device_in_any_order(libdir, tmp_path, order):
    source = tmp_path / "touch.c"
    source.write_text(
        f"""{TOUCH}
int main(void) {{
    if (acldvppCreatePicDesc() != 0) return 1; /* no context yet */
    if (aclInit(0) || aclrtSetDevice(0)) return 2;
    void *picture = acldvppCreatePicDesc(); /* sees the context that the other file's function has made */
    return picture == 0 || acldvppDestroyPicDesc(picture) || aclrtResetDevice(0) || aclFinalize();
}}
"""
    )
    program = tmp_path / "touch"
    compile_with("gcc", source, "-o", program, *link_flags(libdir, *order))
    assert needed(program)[:2] == [f"lib{name}.so" for name in order[:2]]
    done = run(program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_program_without_the_media_library_does_not_link(libdir, tmp_path):
    source = tmp_path / "touch.c"
    source.write_text(f"{TOUCH}int main(void) {{ return acldvppCreatePicDesc() != 0; }}\n")
    command = ["gcc", str(source), "-o", str(tmp_path / "touch"), *link_flags(libdir, "ascendcl")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "acldvppCreatePicDesc" in done.stderr


def test_device_is_up_before_the_constructors_of_a_plugin_that_links_one_file(libdir, tmp_path):
    """The plugin is linked with an rpath instead of LD_LIBRARY_PATH, the program with an -rpath-link."""
    plugin = tmp_path / "plugin.c"
    plugin.write_text(
        f"""{TOUCH}
int state = 9;
__attribute__((constructor)) static void load(void) {{ state = acldvppDestroyPicDesc(0); }}
"""
    )
    main = tmp_path / "main.c"
    main.write_text(
        f"{TOUCH}extern int state;\nint main(void) {{ return state != 500000 || aclInit(0) || aclFinalize(); }}\n"
    )
    library, program = tmp_path / "libplugin.so", tmp_path / "main"
    flags = ["-Wl,-z,defs", f"-Wl,-rpath,{libdir}", f"-L{libdir}", "-lacl_dvpp"]
    compile_with("gcc", "-shared", "-fPIC", plugin, "-o", library, *flags)
    flags = [f"-Wl,-rpath,{libdir}:{tmp_path}", f"-Wl,-rpath-link,{libdir}"]
    compile_with("gcc", main, "-o", program, *flags, f"-L{tmp_path}", "-lplugin", *link_flags(libdir, "ascendcl"))
    done = run(program, LD_LIBRARY_PATH="")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


PLUGIN = """
#include "ascendcl.h"
#include <stdint.h>
static void callback(acldvppPicDesc *input, acldvppStreamDesc *output, void *data) {}
int begin(void) {
    enum { SIZE = 640 * 360 * 3 / 2 };
    void *memory;
    aclInit(NULL);
    aclrtSetDevice(0);
    acldvppMalloc(&memory, SIZE);
    aclvencChannelDesc *desc = aclvencCreateChannelDesc();
    aclvencSetChannelDescThreadId(desc, 1);
    aclvencSetChannelDescCallback(desc, callback);
    aclvencSetChannelDescEnType(desc, 1);
    aclvencSetChannelDescPicFormat(desc, 1);
    aclvencSetChannelDescPicWidth(desc, 640);
    aclvencSetChannelDescPicHeight(desc, 360);
    aclvencSetChannelDescKeyFrameInterval(desc, 25);
    if (aclvencCreateChannel(desc) != 0)
        return 1;
    acldvppPicDesc *picture = acldvppCreatePicDesc();
    acldvppSetPicDescData(picture, memory);
    acldvppSetPicDescSize(picture, SIZE);
    aclvencFrameConfig *config = aclvencCreateFrameConfig();
    for (int i = 0; i < 8; i++)
        if (aclvencSendFrame(desc, picture, NULL, config, NULL) != 0)
            return 2;
    return 0;
}
"""
HOST = """
#include <dlfcn.h>
#include <signal.h>
#include <unistd.h>
static void handler(int number) { _exit(7); }
int main(int argc, char **argv) {
    signal(SIGSEGV, handler);
    void *plugin = dlopen(argv[1], RTLD_NOW);
    int code = ((int (*)(void))dlsym(plugin, "begin"))();
    if (code != 0 || dlclose(plugin) != 0)
        return 3;
    usleep(100000);
    raise(SIGSEGV);
    return 4;
}
"""


def test_plugin_that_is_unloaded_leaves_the_device_where_it_is(libdir, tmp_path):
    """Its threads go on encoding, and strict mode's handler hands a crash of the program's own on."""
    (tmp_path / "plugin.c").write_text(PLUGIN)
    (tmp_path / "host.c").write_text(HOST)
    library, program = tmp_path / "plugin.so", tmp_path / "host"
    flags = [f"-I{simulator.HEADER.parent}", "-shared", "-fPIC"]
    compile_with("gcc", *flags, tmp_path / "plugin.c", "-o", library, *link_flags(libdir))
    compile_with("gcc", tmp_path / "host.c", "-o", program, "-ldl")
    done = run(program, library)
    assert (done.returncode, done.stdout, done.stderr) == (7, "", "")


def test_python_and_a_library_in_c_use_the_same_device(libdir):
    runtime = ctypes.CDLL(str(libdir / "libascendcl.so"))
    media = ctypes.CDLL(str(libdir / "libacl_dvpp.so"))
    device = simulator.shared()
    mpi = ctypes.CDLL(str(libdir / "libacl_dvpp_mpi.so"))
    functions = [(runtime, "aclInit"), (media, "aclvencSendFrame"), (media, "acldvppMalloc"), (mpi, "hi_mpi_sys_init")]
    for library, name in functions:
        addresses = {ctypes.cast(getattr(found, name), ctypes.c_void_p).value for found in (library, device.lib)}
        assert len(addresses) == 1, name


ELSEWHERE = {
    (part, kind): set(re.findall(r"X\((\w+)\)", names))
    for part, kind, names in re.findall(
        r"#define ELSEWHERE_(\w+)_(CODES|VALUES|REALS)\(X\) \\\n((?:.*\\\n)*.*\n)",
        (ROOT / "csrc" / "sim" / "link" / "elsewhere.h").read_text(),
    )
}


def elsewhere(part):
    return set().union(*(names for (of, _), names in ELSEWHERE.items() if of == part))


def test_link_libraries_offer_the_list_each_its_part(libdir):
    others = {"libascendcl.so": "MODEL", "libacl_dvpp.so": "MEDIA", "libacl_dvpp_mpi.so": "MPI"}
    for library, part in zip(sim.LIBRARIES, ("RUNTIME", "RUNTIME", "MEDIA", "MPI", "COMPILER")):
        command = ["nm", "-D", "--defined-only", "--format=posix", str(libdir / library)]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        functions = {line.split()[0] for line in text.splitlines() if line.split()[1] == "T"} - {"_init", "_fini"}
        only_programs_call = {"aclAppLog"} if part == "RUNTIME" else set()
        listed = {name for group, _, _, name, _ in simulator.FUNCTIONS if group == part}
        if part == "MPI":
            listed = {name for _, _, name, _ in himpi.FUNCTIONS}
        other = elsewhere("COMPILER" if part == "COMPILER" else others.get(library))
        assert not listed & other
        assert functions == listed | only_programs_call | other


def test_program_with_calls_of_other_engines_links_and_is_told_so_once_for_each(libdir, tmp_path):
    """Scaling, a model, an operator and V2's decoder beside the encoder; what has no code gives NULL or 0."""
    source = tmp_path / "others.c"
    source.write_text(
        """
#include <stdio.h>
extern int aclInit(const char *), aclrtSetDevice(int), acldvppVpcResizeAsync(), aclmdlExecute(), aclopCompile();
extern int hi_mpi_vdec_create_chn();
extern void *acldvppCreateChannelDesc(void), *aclmdlCreateDesc(void);
extern double acldvppGetBorderConfigValue();
int main(void) {
    if (aclInit(0) || aclrtSetDevice(0)) return 1;
    for (int i = 0; i < 3; i++)
        printf("%d %d %d %#x %d %d %g\\n", acldvppVpcResizeAsync(0, 0, 0, 0, 0), aclmdlExecute(1, 0, 0), aclopCompile(),
               hi_mpi_vdec_create_chn(0, 0), acldvppCreateChannelDesc() == 0, aclmdlCreateDesc() == 0,
               acldvppGetBorderConfigValue(0, 0));
    return 0;
}
"""
    )
    program = tmp_path / "others"
    libraries = ("ascendcl", "acl_dvpp", "acl_dvpp_mpi", "acl_op_compiler")
    compile_with("gcc", "-std=gnu11", "-w", source, "-o", program, *link_flags(libdir, *libraries))
    done = run(program)
    assert done.returncode == 0
    assert done.stdout.splitlines() == ["200001 200001 200001 0xa0028008 1 1 0"] * 3
    said = sorted(line.split(": ") for line in done.stderr.splitlines())
    assert {words for _, words in said} == {"the simulated device has the video encoder only"}
    assert [name for name, _ in said] == [
        "acldvppCreateChannelDesc",
        "acldvppGetBorderConfigValue",
        "acldvppVpcResizeAsync",
        "aclmdlCreateDesc",
        "aclmdlExecute",
        "aclopCompile",
        "hi_mpi_vdec_create_chn",
    ]


def test_what_programs_log_is_seen_with_the_log_only(libdir, tmp_path):
    source = tmp_path / "log.c"
    source.write_text(
        """
extern void aclAppLog(int level, const char *func, const char *file, unsigned line, const char *fmt, ...);
int main(void) {
    for (int level = 0; level < 5; level++)
        aclAppLog(level, "work", "camera.c", 12, "frame %d of %s", level, "a clip");
    return 0;
}
"""
    )
    program = tmp_path / "log"
    compile_with("gcc", source, "-o", program, *link_flags(libdir))
    assert run(program).stderr == ""
    lines = run(program, ASCEND_VENC_SIM_LOG="1").stderr.splitlines()
    assert lines[3] == "ascend simulated device: [ERROR] camera.c:12 work: frame 3 of a clip"
    assert [line.split()[3] for line in lines] == ["[DEBUG]", "[INFO]", "[WARNING]", "[ERROR]", "[?]"]


def test_ascend_is_not_found_where_the_search_ends_at_the_simulated_device():
    program = (
        "import sys, warnings, ascend_venc as venc\n"
        "warnings.simplefilter('ignore')\n"
        "with venc.Encoder(128, 128, backend=sys.argv[1]) as enc:\n"
        "    print(enc.simulated, enc.backend)\n"
    )
    env = environment()
    done = processes.run(program, "auto", env=env)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True sim:Ascend310P3\n", "")
    done = processes.run(program, "ascend", env=env)
    assert done.returncode == 1
    assert "AclLibraryNotFoundError" in done.stderr and "is the simulated device's" in done.stderr


# ---- ascend-venc sim ----


def test_sim_libdir_and_env_are_what_a_shell_takes(capsys, libdir, tmp_path):
    assert cli.main(["sim", "--libdir"]) == 0
    assert capsys.readouterr().out == f"{libdir}\n"
    assert cli.main(["sim", "--env"]) == 0
    text = capsys.readouterr().out
    for before, after in (("", str(libdir)), ("/a b:/c", f"{libdir}:/a b:/c")):
        done = subprocess.run(
            ["sh", "-euc", 'eval "$TEXT"; printf "%s|" "$LD_LIBRARY_PATH" "$ASCEND_VENC_SIM_AVCODEC"'],
            env={"TEXT": text, "PATH": os.environ["PATH"], **({"LD_LIBRARY_PATH": before} if before else {})},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split("|")[0] == after
        assert "avcodec" in done.stdout.split("|")[1]


def test_sim_env_quotes_paths(monkeypatch, tmp_path):
    folder = tmp_path / 'it\'s a $HOME `dir` "here"'
    folder.mkdir()
    for name in sim.LIBRARIES:
        (folder / name).touch()
    codec = "/opt/two  spaces/libavcodec.so"
    monkeypatch.setattr("ascend_venc._lowlevel.core.link_folder", lambda: str(folder))
    monkeypatch.setenv("ASCEND_VENC_SIM_AVCODEC", codec)
    env = environment()
    assert env["LD_LIBRARY_PATH"].split(":")[0] == str(folder)
    assert env["ASCEND_VENC_SIM_AVCODEC"] == codec


def test_sim_of_a_build_without_the_files_says_which_one_is_missing(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("ascend_venc._lowlevel.core.link_folder", lambda: str(tmp_path))
    for option in ("--libdir", "--env"):
        assert cli.main(["sim", option]) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err == f"ascend-venc: {tmp_path}/libascendcl.so: No such file or directory\n"


def test_sim_lists_the_chips_and_the_environment(capsys):
    assert cli.main(["sim"]) == 0
    chips, _, variables = capsys.readouterr().out.partition("\n\n")
    rows = {line.split()[0]: line for line in chips.splitlines()[1:]}
    assert list(rows) == list(simulator.shared().names("soc"))
    assert "(default)" in next(iter(rows.values()))
    assert "128-4096" in rows["Ascend310P3"] and "10-30000" in rows["Ascend310"]
    assert rows["Ascend310B4"].split()[1] == "device"
    assert rows["Ascend910"].endswith("no video encoder")
    read = set()
    for path in (ROOT / "csrc" / "sim").glob("*.c"):
        read |= set(re.findall(r'(?:getenv|env_is_on)\("(ASCEND_\w+)"\)', path.read_text()))
    assert read == {line.split()[0] for line in variables.splitlines()}


def test_sim_takes_one_question_at_a_time(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["sim", "--libdir", "--env"])
    assert stopped.value.code == 2
    assert "not allowed with" in capsys.readouterr().err


# ---- the vendor's headers ----


@needs_cxx
def test_official_flow_with_the_vendor_s_headers_compiles_links_and_runs(headers, libdir, tmp_path):
    program = tmp_path / "flow"
    compile_with(
        "g++", "-x", "c++", "-w", "-DVENDOR_HEADERS", f"-I{headers}", PROGRAM, "-o", program, *link_flags(libdir)
    )
    done = run(program, 0, 16)
    assert (done.returncode, done.stderr) == (0, "")


ENUMS = {
    "aclrtRunMode",
    "aclrtMemcpyKind",
    "aclrtMemMallocPolicy",
    "aclrtMemAttr",
    "aclrtCallbackBlockType",
    "aclrtEventStatus",
    "aclrtEventRecordedStatus",
    "aclrtEventWaitStatus",
    "aclrtStreamStatus",
    "aclrtDeviceStatus",
    "aclrtLastErrLevel",
    "acldvppStreamFormat",
    "aclvencChannelDescParamType",
    "acldvppPixelFormat",
}


def our_enum_values():
    """{constant: value} of every enum of our header."""
    body = re.sub(r"/\*.*?\*/", "", HEADER, flags=re.S)
    return {
        name: int(value, 0)
        for block in re.findall(r"enum \{(.*?)\}", body, flags=re.S)
        for name, value in re.findall(r"(\w+) = (0x[0-9a-f]+|\d+)", block)
    }


def words(headers):
    """Every identifier in the vendor's headers that we compare with, comments left out."""
    text = ""
    for name in ("acl_base.h", "acl_rt.h", "acl.h", "ops/acl_dvpp.h", "error_codes/rt_error_codes.h"):
        text += (headers / "acl" / name).read_text()
    text = re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.S)
    return set(re.findall(r"\w+", text))


def functions_of(headers, *files):
    """{name: type of its result} of what the vendor's headers declare."""
    text = "".join((headers / "acl" / name).read_text() for name in files)
    text = re.sub(r"//[^\n]*|/\*.*?\*/|^\s*#.*?$", "", text, flags=re.S | re.M)
    found = re.findall(r"(?:^|[;{}])\s*((?:\w+[\s*]+)+?)((?:acldvpp|aclvdec|aclmdl|aclop|hi_mpi_)\w+)\s*\(", text)
    return {name: re.sub(r"\b(?:ACL_FUNC_VISIBILITY|ACL_DEPRECATED\w*|const)\b|\s", "", kind) for kind, name in found}


def test_functions_of_other_engines_are_all_there_with_their_kind_of_result(headers):
    declared = functions_of(headers, "ops/acl_dvpp.h", "acl_mdl.h", "acl_op.h", "acl_op_compiler.h")
    ours = {name for _, _, _, name, _ in simulator.FUNCTIONS}
    of_kind = {
        kind: set().union(*(names for (_, of), names in ELSEWHERE.items() if of == kind)) for _, kind in ELSEWHERE
    }
    assert len(declared) > 200
    for name, result in declared.items():
        if name not in ours:
            kind = {"aclError": "CODES", "double": "REALS"}.get(result, "VALUES")
            assert name in of_kind[kind], (name, result)


@needs_cxx
def test_prototypes_enums_and_codes_are_the_vendor_s(headers, tmp_path):
    """Each of our declarations is compared by the compiler with the authentic one, where that version has it."""
    known = words(headers)
    lines = [
        "#define ENABLE_DVPP_INTERFACE",
        '#include "acl/acl.h"',
        '#include "acl/ops/acl_dvpp.h"',
        "#include <type_traits>",
        "template <class T, bool = std::is_enum<T>::value> struct plain { using type = T; };",
        "template <class T> struct plain<T, true> { using type = int32_t; };",
        "template <class F> struct erased;",
        "template <class R, class... A> struct erased<R(A...)> {",
        "    using type = typename plain<R>::type(typename plain<A>::type...);",
        "};",
        "#define SAME(name, ...) \\",
        "    static_assert(std::is_same<erased<decltype(name)>::type, erased<__VA_ARGS__>::type>::value, #name)",
    ]
    counts = {"prototypes": 0, "enums": 0, "constants": 0, "codes": 0}
    for name in sorted(ENUMS & known):
        lines.append(
            f'static_assert(sizeof(enum {name}) == 4, "{name}");'
            if name.startswith("acldvpp")
            else f'static_assert(sizeof({name}) == 4, "{name}");'
        )
        counts["enums"] += 1
    missing = []
    for _, presence, result, name, parameters in simulator.FUNCTIONS:
        if name not in known:
            missing.append((presence, name))
            continue
        types = [re.sub(r"\w+$", "", text.strip()).strip() for text in parameters.split(",")]
        types = ["" if parameters == "void" else ", ".join(types)]
        lines.append(f"SAME({name}, {result}({types[0]}));")
        counts["prototypes"] += 1
    for name, value in our_enum_values().items():
        if name in known:
            lines.append(f'static_assert(static_cast<int>({name}) == {value}, "{name}");')
            counts["constants"] += 1
    for name, value in re.findall(r"X\((ACL_ERROR_\w+), (\d+)\)", HEADER):
        if name in known:
            lines.append(f'static_assert(static_cast<int>({name}) == {value}, "{name}");')
            counts["codes"] += 1
    source = tmp_path / "compare.cpp"
    source.write_text("\n".join(lines) + "\n")
    compile_with("g++", "-std=c++14", "-w", "-fsyntax-only", f"-I{headers}", source)
    assert {presence for presence, _ in missing} <= {"OPTIONAL"}, missing
    assert counts["prototypes"] >= 115
    assert counts["enums"] >= 9
    assert counts["constants"] >= 115
    assert counts["codes"] >= 150

    wrong = source.read_text().replace("ACL_ERROR_INVALID_PARAM) == 100000", "ACL_ERROR_INVALID_PARAM) == 100001")
    assert wrong != source.read_text()
    source.write_text(wrong)
    done = subprocess.run(
        ["g++", "-std=c++14", "-w", "-fsyntax-only", f"-I{headers}", str(source)], capture_output=True, check=False
    )
    assert done.returncode != 0, "the comparison can fail"


# ---- the document ----


def test_environment_and_files_are_all_documented():
    document = (ROOT / "docs" / "simulated-device.md").read_text()
    sources = sorted((ROOT / "csrc" / "sim").glob("*.c"))
    text = "".join(path.read_text() for path in sources)
    read = set(re.findall(r'(?:getenv|env_is_on)\("(ASCEND_VENC_\w+)"\)', text))
    assert len(read) == 7
    assert set(re.findall(r"^\| `(ASCEND_VENC_\w+)", document, flags=re.M)) == read
    assert set(re.findall(r"^ \*   (ASCEND_VENC_\w+)", (ROOT / "csrc/sim/aclsim.h").read_text(), flags=re.M)) == read
    assert [path.name for path in sources if f"`{path.name}`" not in document] == []


def test_strict_mode_s_reports_are_all_documented_and_provoked():
    reported = set()
    for path in (ROOT / "csrc" / "sim").glob("*.c"):
        reported |= set(re.findall(r'(?:sim_report_at|STRICT)\((?:[^";]{0,40}\? )?"([a-z-]+)"', path.read_text()))
    assert len(reported) > 15
    documented = set(re.findall(r"`([a-z-]+)`", (ROOT / "docs" / "simulated-device.md").read_text()))
    assert reported <= documented
    files = [
        ROOT / "tests" / "unit" / "test_simulator_strict.py",
        *(ROOT / "tests" / "conformance").glob("test_v2_*.py"),
    ]
    provoked = "".join(path.read_text() for path in files)
    assert [kind for kind in sorted(reported) if f'"{kind}"' not in provoked and f"[{kind}]" not in provoked] == []
