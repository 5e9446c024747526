# SPDX-License-Identifier: Apache-2.0
"""The one list of functions: header, table, Cython declarations, built libraries and error codes agree."""

import re
import subprocess
from pathlib import Path

import pytest

from ascend_venc import constants, errors
from ascend_venc._lowlevel import core

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


def normalise(text):
    return re.sub(r"\s+", " ", text).replace("* ", "*").replace("( ", "(").strip()


def test_cython_table_has_the_same_fields_and_types():
    text = (ROOT / "ascend_venc" / "_lowlevel" / "cavenc.pxd").read_text()
    block = text[text.index("ctypedef struct acl_api:") :]
    fields = re.findall(r"^        ([\w *]+?)\s?\(\*(\w+)\)\((.*?)\) noexcept nogil$", block, flags=re.M)
    expected = [
        (normalise(ret), name, normalise(params.replace("void", "") if params == "void" else params))
        for _, _, ret, name, params in LIST
    ]
    assert [(normalise(ret), name, normalise(params)) for ret, name, params in fields] == expected


def test_engine_library_has_no_undefined_acl_symbol():
    undefined = dynamic_symbols(LIB / "libavenc.so", "U")
    assert "dlopen" in undefined, "nm reads the library"
    assert [name for name in undefined if name.startswith("acl")] == []


@pytest.mark.sim_only
def test_l10_simulated_device_exports_the_list_and_its_control_functions_only():
    exported = dynamic_symbols(core.simulated_device_path(), "T")
    control = {name for name in exported if name.startswith("aclsim_")}
    assert exported - control == {name for *_, name, _ in LIST} | {"aclAppLog"}, "and what only programs call"
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


def test_error_table_holds_every_code_of_the_headers():
    codes = {name: int(value) for name, value in re.findall(r"X\((ACL_ERROR_\w+), (\d+)\)", HEADER)}
    assert len(codes) > 150
    engine = (ROOT / "csrc" / "include" / "avenc.h").read_text()
    codes.update({name: int(value) for name, value in re.findall(r"X\((AVENC_E_\w+), (-\d+),", engine)})
    codes["ACL_SUCCESS"] = codes.pop("ACL_ERROR_NONE")
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
