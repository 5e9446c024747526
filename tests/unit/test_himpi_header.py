# SPDX-License-Identifier: Apache-2.0
"""csrc/include/himpi.h: it compiles as C and C++, and says what the vendor's own headers say."""

import ctypes
import re
import shutil
import subprocess

import pytest

from helpers import himpi, vendor_headers

needs_cxx = pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler: g++ is not on PATH")
needs_c = pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler: gcc is not on PATH")


@pytest.fixture(autouse=True)
def no_live_objects_left():
    """In place of the suite's fixture: a header has no live objects, and needs no build."""


@pytest.fixture(scope="module")
def headers(tmp_path_factory):
    found, why = vendor_headers.find(tmp_path_factory.mktemp("vendor"), vendor_headers.V2)
    if found is None:
        pytest.skip(why)
    return found


def compiles(compiler, source, *flags):
    command = [compiler, "-fsyntax-only", *map(str, flags), str(source)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def planted(tmp_path, lines, change):
    """A file with the lines, changed."""
    text = "\n".join(lines) + "\n"
    changed = change(text)
    assert changed != text
    path = tmp_path / "planted.cpp"
    path.write_text(changed)
    return path


def test_list_has_the_functions_of_video_encoding():
    names = [name for _, _, name, _ in himpi.FUNCTIONS]
    assert len(names) == len(set(names)) == 56
    required = {name for presence, _, name, _ in himpi.FUNCTIONS if presence == "REQUIRED"}
    assert len(required) == 25
    assert not [name for name in required if "jpeg" in name or "vui" in name or name.endswith("chn_attr")]


@needs_c
@needs_cxx
@pytest.mark.parametrize("compiler", [["gcc", "-std=c11"], ["gcc", "-std=gnu11"], ["g++", "-x", "c++", "-std=c++11"]])
def test_header_compiles_with_its_own_assertions(tmp_path, compiler):
    source = tmp_path / "one.c"
    source.write_text('#include "himpi.h"\n')
    flags = [*compiler[1:], "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{himpi.HEADER.parent}"]
    done = compiles(compiler[0], source, *flags)
    assert done.returncode == 0, done.stderr[-4000:]


# What programs for the vendor's header write besides calls, structures and codes.
WORDS = """
#include "himpi.h"
#include <assert.h>
static_assert(HI_VB_INVALID_POOLID == -1 && HI_NULL == 0, "");
static_assert(sizeof(hi_s64) == 8 && sizeof(hi_s16) == 2 && sizeof(hi_s8) == 1 && sizeof(hi_char) == 1, "");
static_assert(HI_DATA_BIT_WIDTH_10 == 1 && HI_DATA_BIT_WIDTH_16 == 4, "");
static_assert(HI_PIXEL_FORMAT_YUYV_PACKED_422 == 7 && HI_PIXEL_FORMAT_VYUY_PACKED_422 == 10, "");
static hi_void *memory = HI_NULL;
hi_void describe(hi_venc_chn_attr *attr, hi_video_frame_info *frame, hi_s64 *pts, hi_float *rate);
hi_void describe(hi_venc_chn_attr *attr, hi_video_frame_info *frame, hi_s64 *pts, hi_float *rate) {
    attr->rc_attr.rc_mode = HI_VENC_RC_MODE_MJPEG_CBR;
    attr->rc_attr.mjpeg_cbr.bit_rate = 3;
    frame->pool_id = (hi_vb_pool)HI_VB_INVALID_POOLID;
    *pts = -1, *rate = memory == HI_NULL;
}
"""


@needs_c
@needs_cxx
@pytest.mark.parametrize("compiler", [["gcc", "-std=gnu11"], ["g++", "-x", "c++", "-std=c++11"]])
def test_words_of_programs_that_encode_are_there(tmp_path, compiler):
    source = tmp_path / "words.c"
    source.write_text(WORDS)
    flags = [*compiler[1:], "-Wall", "-Werror", "-Wno-missing-field-initializers", f"-I{himpi.HEADER.parent}"]
    done = compiles(compiler[0], source, *flags, "-DHI_NO_PROTOTYPES")
    assert done.returncode == 0, done.stderr[-4000:]


@needs_c
@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("hi_u8 *addr;\n    hi_u32 len;", "hi_u32 len;\n    hi_u8 *addr;", "hi_venc_pack.addr"),
        ("max_qp, min_qp, max_i_qp, min_i_qp;", "max_qp, min_qp, max_i_qp;", "hi_venc_h264_vbr_param"),
        ("hi_u8 timing_info_present", "hi_u32 timing_info_present", "hi_venc_vui_h264_time_info"),
    ],
)
def test_assertions_find_a_changed_member(tmp_path, before, after, says):
    text = himpi.HEADER.read_text()
    changed = text.replace(before, after)
    assert changed != text
    (tmp_path / "himpi.h").write_text(changed)
    shutil.copy(himpi.LAYOUT, tmp_path)
    source = tmp_path / "one.c"
    source.write_text('#include "himpi.h"\n')
    done = compiles("gcc", source, "-std=c11")
    assert done.returncode != 0 and says in done.stderr


def test_every_member_is_in_the_lists_and_where_ctypes_sees_it():
    """The helper's structures, which tests use, are those of the header; no member is left unchecked."""
    for which in ("HIMPI_LAYOUT", "HIMPI_DOCUMENTED_LAYOUT"):
        sizes, offsets = himpi.sizes_and_offsets(which)
        for name, size in sizes.items():
            assert ctypes.sizeof(himpi.structure(name)) == size, name
        for (name, member), at in offsets.items():
            assert getattr(himpi.structure(name), member).offset == at, (name, member)
    sizes, offsets = himpi.sizes_and_offsets()
    assert len(sizes) == 60
    assert len(offsets) > 380
    for name in sizes:
        fields = []
        for field, kind in himpi.structure(name)._fields_:
            fields += [inner for inner, _ in kind._fields_] if field.startswith("_union") else [field]
        assert {member for struct, member in offsets if struct == name} == set(fields), name


NOT_IN_PUBLIC_HEADERS = (
    "chn_attr|get_chn_param|get_scene_mode|h26[45]_vui|roi_attr|intra_refresh|ref_param|frame_ex|qpmap_|slice_split|cu_pred|"
    "streamcopy"
)

# Documented codes that no public header has a macro for: ours.
NAMELESS = {"HI_ERR_ID_INVALID_DEV_ID", "HI_ERR_ID_SIZE_NOT_ENOUGH", "HI_ERR_ID_TIMEOUT"}


@needs_cxx
def test_functions_structures_and_constants_are_the_vendor_s(headers, tmp_path):
    """Each of our declarations is compared by the compiler with the authentic one, where there is one."""
    text = "".join(path.read_text() for path in sorted((headers / "acl" / "dvpp").glob("hi_dvpp*.h")))
    known = set(re.findall(r"\w+", re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.S)))
    lines = [
        '#include "acl/dvpp/hi_dvpp.h"',
        "#include <cstddef>",
        "#include <type_traits>",
        "#define SAME(name, ...) static_assert(std::is_same<decltype(name), __VA_ARGS__>::value, #name)",
    ]
    counts = {"functions": 0, "sizes": 0, "offsets": 0, "enums": 0, "constants": 0}
    missing = []
    for presence, result, name, parameters in himpi.FUNCTIONS:
        if name not in known:
            missing.append((presence, name))
            continue
        types = [re.sub(r"\w+$", "", one.strip()).strip() for one in parameters.split(",")]
        lines.append(f"SAME({name}, {result}({'' if parameters == 'void' else ', '.join(types)}));")
        counts["functions"] += 1
    sizes, offsets = himpi.sizes_and_offsets()
    for name, size in sizes.items():
        lines.append(f'static_assert(sizeof({name}) == {size}, "{name}");')
        counts["sizes"] += 1
    for (name, member), at in offsets.items():
        lines.append(f'static_assert(offsetof({name}, {member}) == {at}, "{name}.{member}");')
        counts["offsets"] += 1
    for name in himpi.ENUMS:
        lines.append(f'static_assert(sizeof({name}) == 4, "{name}");')
        counts["enums"] += 1
    for name, value in himpi.CONSTANTS.items():
        if name in known:
            lines.append(f'static_assert(static_cast<unsigned>({name}) == {value}u, "{name}");')
            counts["constants"] += 1
    source = tmp_path / "compare.cpp"
    source.write_text("\n".join(lines) + "\n")
    flags = ["-std=c++14", "-w", f"-I{headers}"]
    done = compiles("g++", source, *flags)
    assert done.returncode == 0, done.stderr[-4000:]
    assert {name for name in himpi.CONSTANTS if name not in known} == NAMELESS
    assert len(himpi.CONSTANTS) > 125
    assert [row for row in missing if row[0] == "REQUIRED" or not re.search(NOT_IN_PUBLIC_HEADERS, row[1])] == []
    assert counts["functions"] == 33
    assert counts["sizes"] == len(sizes) and counts["offsets"] == len(offsets)
    assert counts["constants"] == len(himpi.CONSTANTS) - len(NAMELESS)
    for change in (
        lambda text: text.replace("offsetof(hi_venc_pack, pts) == 24", "offsetof(hi_venc_pack, pts) == 20"),
        lambda text: text.replace("sizeof(hi_venc_stream) == 456", "sizeof(hi_venc_stream) == 448"),
        lambda text: text.replace("(HI_VENC_MOD_H265) == 3u", "(HI_VENC_MOD_H265) == 4u"),
        lambda text: text.replace("SAME(hi_mpi_venc_get_fd, hi_s32(", "SAME(hi_mpi_venc_get_fd, hi_u32("),
    ):
        assert compiles("g++", planted(tmp_path, lines, change), *flags).returncode != 0, "the comparison can fail"
