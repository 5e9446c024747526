# SPDX-License-Identifier: Apache-2.0
import pickle

import pytest

from ascend_venc import errors


def test_from_status_names_call_number_name_detail_and_hint():
    error = errors.from_status(507018, "aclvencCreateChannel", "gop 0 err")
    text = str(error)
    for part in ("aclvencCreateChannel", "507018", "ACL_ERROR_RT_AICPU_EXCEPTION", "gop 0 err", error.hint):
        assert part in text
    assert (error.code, error.name, error.call, error.detail) == (
        507018,
        "ACL_ERROR_RT_AICPU_EXCEPTION",
        "aclvencCreateChannel",
        "gop 0 err",
    )


@pytest.mark.parametrize(
    ("code", "builtin"),
    [
        (100000, ValueError),
        (507012, TimeoutError),
        (207001, MemoryError),
        (207006, PermissionError),
        (200001, NotImplementedError),
        (-6, OSError),
        (-7, OSError),
        (-1, ValueError),
        (-4, ValueError),
    ],
)
def test_from_status_inherits_the_natural_builtin(code, builtin):
    error = errors.from_status(code, "x", "y")
    assert isinstance(error, builtin)
    assert isinstance(error, errors.VencError)


@pytest.mark.parametrize(("code", "meaning"), [(123456, "caller"), (299998, "resources"), (599999, "internal")])
def test_from_status_unlisted_code_raises_with_its_range(code, meaning):
    error = errors.from_status(code, "aclFoo")
    assert type(error) is errors.AclError
    assert error.code == code
    assert meaning in str(error)


@pytest.mark.parametrize("code", [0xA008800D, 0xA008800D - (1 << 32)])
def test_codes_of_v2_are_the_vendors_unsigned_numbers(code):
    error = errors.from_status(code, "hi_mpi_venc_send_frame", "hi_mpi_venc_send_frame: 6 frames wait")
    assert (type(error), error.code, error.name) == (errors.EncoderFullError, 0xA008800D, "HI_ERR_VENC_NO_BUF")
    assert error.detail == "6 frames wait"
    assert errors.frame_error(code, 0, 0, 0).code == 0xA008800D
    assert "0xa00880aa" in errors.lookup(0xA00880AA - (1 << 32)).name


def test_explain_names_every_listed_code():
    for row in errors.TABLE:
        assert errors.explain(row.code).startswith(f"{row.code} {row.name}")


def test_table_exceptions_are_ours_and_hints_are_sentences():
    for row in errors.TABLE:
        assert issubclass(row.exception, errors.VencError)
        assert row.hint == "" or row.hint.endswith(".")


def test_media_library_missing_and_stub_are_told_apart_from_broken():
    kinds = {errors.lookup(code).exception for code in (-6, -7, -8, -9)}
    assert len(kinds) == 4


def test_frame_error_carries_index_pts_and_the_device_code():
    error = errors.frame_error(-14, 7, 1234, 99)
    assert (error.frame_index, error.pts, error.ret_code) == (7, 1234, 99)
    assert "frame 7" in str(error) and "99" in str(error)


def test_errors_pickle_with_their_message():
    error = errors.from_status(-6, "dlopen", "tried nothing")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
