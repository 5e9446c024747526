# SPDX-License-Identifier: Apache-2.0
"""The one list of functions: header, table, Cython declarations, built libraries and error codes agree."""

import ast
import inspect
import re
import runpy
import subprocess
from pathlib import Path

import pytest

from ascend_venc import constants, errors
from ascend_venc._lowlevel import core
from helpers import himpi, pyacl

ROOT = Path(__file__).resolve().parents[2]
HEADER = (ROOT / "csrc" / "include" / "ascendcl.h").read_text()
LIB = Path(core.simulated_device_path()).parent

LIST = re.findall(r"^    X\((RUNTIME|MEDIA), (REQUIRED|OPTIONAL), ([\w *]+?), (\w+), \((.*?)\)\)", HEADER, flags=re.M)


def dynamic_symbols(library, kind):
    """Names of a library's dynamic symbols: kind "U" undefined, "T" exported code."""
    text = subprocess.run(["nm", "-D", str(library)], capture_output=True, text=True, check=True).stdout
    return {line.split()[-1].partition("@")[0] for line in text.splitlines() if line.split()[-2] == kind}


def test_function_list_holds_the_38_encoder_functions():
    assert len([name for *_, name, _ in LIST if name.startswith("aclvenc")]) == 38
    assert len({name for *_, name, _ in LIST}) == len(LIST)


def test_engine_table_is_the_list():
    assert core.functions() == [(name, library, presence == "REQUIRED") for library, presence, _, name, _ in LIST]


GENERATOR = runpy.run_path(str(ROOT / "scripts" / "generate_pyacl.py"))


def test_cython_table_has_a_field_for_each_function():
    """The compiler compares the types: a field of another type than the header's does not build."""
    fields = re.findall(r"\(\*(\w+)\)\(", GENERATOR["sources"]()["acl_api.pxi"])
    assert fields == [name for *_, name, _ in LIST]
    fields = re.findall(r"\(\*(\w+)\)\(", GENERATOR["sources"]()["himpi_api.pxi"])
    assert fields == [name for _, _, name, _ in himpi.FUNCTIONS]


def test_every_row_of_the_facades_table_is_a_builtin_with_that_signature_and_a_stub():
    from ascend_venc import acl

    rows = GENERATOR["functions"]()
    assert len(rows) == len({row.full for row in rows}) > 110
    stubs = GENERATOR["stubs"]()
    for row in rows:
        function = pyacl.function(acl, row.full)
        assert inspect.isbuiltin(function)
        assert list(inspect.signature(function).parameters) == (row.arguments or ["args"])
        assert function.__doc__ == row.doc
        name = "functions" if row.namespace == "acl" else row.namespace.rpartition(".")[2]
        assert row.stub in stubs[f"{name}.pyi"]
    for name, text in stubs.items():
        ast.parse(text)
        assert (ROOT / "ascend_venc" / "_lowlevel" / "pyacl" / name).read_text() == text, "the build wrote it"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("set_context() | aclrtSetCurrentContext | keeps", "has 0 arguments, aclrtSetCurrentContext takes 1"),
        ("set_context(context) | aclrtSetContext | keeps", "aclrtSetContext"),
        ("venc_stop_chn() | hi_mpi_venc_stop_chn | waits", "has 0 arguments, hi_mpi_venc_stop_chn takes 1"),
        ("set_context(context | aclrtSetCurrentContext | keeps", "'(' was never closed|unexpected EOF|invalid syntax"),
    ],
)
def test_row_that_does_not_fit_its_c_function_stops_the_build(row, reason):
    functions, enums = GENERATOR["every_function"]()
    with pytest.raises((ValueError, KeyError, SyntaxError), match=reason.replace("(", r"\(")):
        GENERATOR["Function"]("acl.rt", row, "Does it.", functions, enums)


def test_engine_library_has_no_undefined_acl_symbol():
    undefined = dynamic_symbols(LIB / "libavenc.so", "U")
    assert "dlopen" in undefined, "nm reads the library"
    assert [name for name in undefined if name.startswith("acl")] == []


@pytest.mark.sim_only
def test_l10_simulated_device_exports_the_list_and_its_control_functions_only():
    exported = dynamic_symbols(core.simulated_device_path(), "T")
    control = {name for name in exported if name.startswith("aclsim_")}
    mpi = {name for _, _, name, _ in himpi.FUNCTIONS}
    assert exported - control == {name for *_, name, _ in LIST} | mpi | {"aclAppLog"}, "and what only programs call"
    header = (ROOT / "csrc" / "sim" / "aclsim.h").read_text()
    assert control == set(re.findall(r"\b(aclsim_\w+)\s*\(", header))


def test_shared_libraries_need_nothing_of_the_vendor_or_a_codec():
    for library in (LIB / "libavenc.so", Path(core.simulated_device_path())):
        text = subprocess.run(["readelf", "-d", str(library)], capture_output=True, text=True, check=True).stdout
        needed = set(re.findall(r"NEEDED.*\[(.+?)\]", text))
        assert needed <= {
            "libc.so.6",
            "libm.so.6",
            "libdl.so.2",
            "libpthread.so.0",
            "librt.so.1",
            "ld-linux-x86-64.so.2",
            "ld-linux-aarch64.so.1",
        }, library


def test_libraries_are_looked_for_beside_the_package_and_nowhere_else():
    """Also by an interpreter whose own linker flags have a run path, as pyenv's have."""
    found = {}
    for library in sorted(Path(core.__file__).parents[1].rglob("*.so")):
        text = subprocess.run(["readelf", "-d", str(library)], capture_output=True, text=True, check=True).stdout
        found[library.name] = re.findall(r"\((?:RUNPATH|RPATH)\).*\[(.*?)\]", text)
    assert len(found) > 15, "twelve modules, the engine, the simulated device, and what programs link"
    assert {path for paths in found.values() for path in paths} == {"$ORIGIN/../_lib", "$ORIGIN/../../_lib"}


def test_error_table_holds_every_code_of_the_headers():
    codes = {name: int(value) for name, value in re.findall(r"X\((ACL_ERROR_\w+), (\d+)\)", HEADER)}
    assert len(codes) > 150
    engine = (ROOT / "csrc" / "include" / "avenc.h").read_text()
    codes.update({name: int(value) for name, value in re.findall(r"X\((AVENC_E_\w+), (-\d+),", engine)})
    codes["ACL_SUCCESS"] = codes.pop("ACL_ERROR_NONE")
    himpi = (ROOT / "csrc" / "include" / "himpi.h").read_text()
    codes_of_v2 = {name: int(value, 16) for name, value in re.findall(r"X\((HI_ERR_\w+), (0xA\w+)\)", himpi)}
    assert len(codes_of_v2) > 20
    codes.update(codes_of_v2)
    # Ids without a macro of their own: as the encoder's.
    ids = {name: 0xA0088000 | int(value) for name, value in re.findall(r"(HI_ERR_ID_\w+) = (\d+)", himpi)}
    assert len(ids) == 3
    codes.update(ids)
    assert {row.name: row.code for row in errors.TABLE} == codes


@pytest.mark.parametrize(
    ("member", "name"),
    [
        (constants.StreamFormat.H265_MAIN, "H265_MAIN_LEVEL"),
        (constants.StreamFormat.H264_BASELINE, "H264_BASELINE_LEVEL"),
        (constants.StreamFormat.H264_MAIN, "H264_MAIN_LEVEL"),
        (constants.StreamFormat.H264_HIGH, "H264_HIGH_LEVEL"),
        (constants.PixelFormat.NV12, "PIXEL_FORMAT_YUV_SEMIPLANAR_420"),
        (constants.PixelFormat.NV21, "PIXEL_FORMAT_YVU_SEMIPLANAR_420"),
        (constants.RunMode.DEVICE, "ACL_DEVICE"),
        (constants.RunMode.HOST, "ACL_HOST"),
    ],
)
def test_constants_have_the_values_of_the_header(member, name):
    assert re.search(rf"^\s+{name} = {int(member)},$", HEADER, flags=re.M)
