# SPDX-License-Identifier: Apache-2.0
"""C and C++ programs on the simulated device, and our header against the vendor's own."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ascend_venc._lowlevel import core
from helpers import simulator, vendor_headers

needs_cxx = pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler: g++ is not on PATH")

pytestmark = pytest.mark.sim_only

ROOT = simulator.ROOT
PROGRAM = Path(__file__).resolve().parent / "native" / "official_flow.c"
HEADER = simulator.HEADER.read_text()


def compile_with(compiler, *args):
    done = subprocess.run([compiler, *map(str, args)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.fixture(scope="module")
def libdir(tmp_path_factory):
    """A folder in which a linker finds -lascendcl and -lacl_dvpp, and the loader what was linked."""
    folder = tmp_path_factory.mktemp("lib")
    for name in ("libascendcl.so", "libacl_dvpp.so", "libascendvenc_sim.so"):
        (folder / name).symlink_to(simulator.path())
    return folder


@pytest.fixture(scope="module")
def headers(tmp_path_factory):
    found, why = vendor_headers.find(tmp_path_factory.mktemp("vendor"))
    if found is None:
        pytest.skip(why)
    return found


def environment(libdir, **extra):
    env = dict(os.environ, LD_LIBRARY_PATH=str(libdir), ASCEND_VENC_SIM_STRICT="1", **extra)
    env.setdefault("ASCEND_VENC_SIM_AVCODEC", core.find_codec() or "")
    return env


def run(program, libdir, *args, **extra):
    return subprocess.run(
        [str(program), *map(str, args)],
        env=environment(libdir, **extra),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture(scope="module")
def flow(libdir, tmp_path_factory):
    """The official flow, compiled as C with our header and linked as for hardware."""
    program = tmp_path_factory.mktemp("c") / "flow"
    include = f"-I{simulator.HEADER.parent}"
    libraries = [f"-L{libdir}", "-lascendcl", "-lacl_dvpp", "-pthread"]
    compile_with("gcc", "-std=gnu11", "-Wall", "-Werror", include, PROGRAM, "-o", program, *libraries)
    return program


@pytest.mark.parametrize("en_type", [0, 1, 2, 3])
def test_official_flow_in_c_runs_and_is_right_in_strict_mode(flow, libdir, en_type):
    done = run(flow, libdir, en_type, 16)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("16 frames, ")


@needs_cxx
def test_official_flow_as_cpp_with_our_header(libdir, tmp_path):
    program = tmp_path / "flow"
    include = f"-I{simulator.HEADER.parent}"
    libraries = [f"-L{libdir}", "-lascendcl", "-lacl_dvpp", "-pthread"]
    compile_with("g++", "-x", "c++", "-std=c++14", "-Wall", include, PROGRAM, "-o", program, *libraries)
    done = run(program, libdir, 2, 16)
    assert (done.returncode, done.stderr) == (0, "")


def test_process_that_leaves_everything_open_ends_quietly(flow, libdir):
    for _ in range(5):
        done = run(flow, libdir, 2, 16, "exit")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_report_thread_can_be_cancelled_inside_process_report(flow, libdir):
    done = run(flow, libdir, 2, 16, "cancel", ASCEND_VENC_SIM_OPTIONS="null_codec=500")
    assert (done.returncode, done.stderr) == (0, "")


def test_child_of_fork_begins_anew(flow, libdir):
    done = run(flow, libdir, 2, 16, "fork")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("16 frames, ")


@pytest.mark.parametrize("sanitizer", ["thread", "address,undefined"])
def test_official_flow_is_clean_under_sanitizers(tmp_path, sanitizer):
    flags = ["-std=gnu11", "-O1", "-g", f"-fsanitize={sanitizer}", "-pthread", f"-I{simulator.HEADER.parent}"]
    probe = tmp_path / "probe.c"
    probe.write_text("int main(void) { return 0; }\n")
    try:
        compile_with("gcc", *flags, probe, "-o", tmp_path / "probe")
        subprocess.run([str(tmp_path / "probe")], check=True, capture_output=True, timeout=30)
    except (AssertionError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no runtime for -fsanitize={sanitizer}: {error}")
    sources = sorted((ROOT / "csrc" / "sim").glob("*.c"))
    flags += ["-fno-sanitize-recover=undefined"] if "undefined" in sanitizer else []
    compile_with("gcc", *flags, "-Wno-format-truncation", *sources, PROGRAM, "-o", tmp_path / "flow", "-ldl", "-lm")
    for arguments, options in (((2, 16), ""), ((0, 40), "null_codec=500"), ((0, 40, "cancel"), "null_codec=500")):
        done = run(tmp_path / "flow", tmp_path, *arguments, ASCEND_VENC_SIM_OPTIONS=options)
        assert done.returncode == 0, done.stderr[-4000:]
        assert "Sanitizer" not in done.stderr


# ---- the vendor's headers ----


@needs_cxx
def test_official_flow_with_the_vendor_s_headers_compiles_links_and_runs(headers, libdir, tmp_path):
    program = tmp_path / "flow"
    libraries = [f"-L{libdir}", "-lascendcl", "-lacl_dvpp", "-pthread"]
    compile_with("g++", "-x", "c++", "-w", "-DVENDOR_HEADERS", f"-I{headers}", PROGRAM, "-o", program, *libraries)
    done = run(program, libdir, 0, 16)
    assert (done.returncode, done.stderr) == (0, "")


ENUMS = {
    "aclrtRunMode",
    "aclrtMemcpyKind",
    "aclrtMemMallocPolicy",
    "aclrtMemAttr",
    "aclrtCallbackBlockType",
    "aclrtEventStatus",
    "aclrtEventRecordedStatus",
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
    provoked = (ROOT / "tests" / "unit" / "test_simulator_strict.py").read_text()
    assert [kind for kind in sorted(reported) if f'"{kind}"' not in provoked and f"[{kind}]" not in provoked] == []
