# SPDX-License-Identifier: Apache-2.0
"""A message gives the true cause, and a hint that mends it; nothing of another call's."""

import contextlib
import gc
import json
import sys
import textwrap
import types
import warnings

import numpy as np
import pytest

import ascend_venc as venc
from helpers import interface, processes, simulator, waiting

pytestmark = pytest.mark.sim_only

W, H = 160, 128
FULL = interface.code(207005, "HI_ERR_VENC_NO_MEM")


def refusal(pixel_format, frame):
    with venc.Encoder(W, H, pixel_format=pixel_format, backend="sim") as enc:
        with pytest.raises((venc.InvalidArgumentError, TypeError)) as caught:
            enc.encode(frame)
        assert enc.flush() == []
    return str(caught.value)


def zeros(*shape):
    return np.zeros(shape, np.uint8)


@pytest.mark.parametrize(
    ("pixel_format", "frame", "fix"),
    [
        ("rgb24", zeros(H, W, 4), 'make the encoder with pixel_format="rgba" or "bgra"'),
        ("rgb24", zeros(H, W), 'make the encoder with pixel_format="gray8"'),
        ("rgba", zeros(H, W, 3), 'make the encoder with pixel_format="rgb24" or "bgr24"'),
        ("gray8", zeros(H, W, 3), 'make the encoder with pixel_format="rgb24" or "bgr24"'),
        ("gray8", zeros(H, W, 1), "give frame[:, :, 0]"),
        ("rgb24", zeros(H, W, 2), 'make the encoder with pixel_format="yuyv422" or "uyvy422"'),
        ("rgb24", zeros(H * 3 // 2, W), 'make the encoder with pixel_format="nv12" or "nv21" or "i420" or "yv12"'),
        ("nv12", zeros(H, W, 3), 'make the encoder with pixel_format="rgb24" or "bgr24"'),
        ("nv12", zeros(H, W, 4), 'make the encoder with pixel_format="rgba" or "bgra"'),
        ("nv12", zeros(H, W), 'make the encoder with pixel_format="gray8"'),
        ("rgb24", zeros(3, H, W), "(CHW): give numpy.ascontiguousarray(frame.transpose(1, 2, 0))"),
        (
            "nv12",
            zeros(3, H, W),
            '(CHW): give numpy.ascontiguousarray(frame.transpose(1, 2, 0)), with pixel_format="rgb24" or "bgr24"',
        ),
        ("rgb24", zeros(1, H, W, 3), "it is a batch of one: give frame[0]"),
        (
            "rgb24",
            zeros(1, 3, H, W),
            "give frame[0]: its channels come first (CHW): give numpy.ascontiguousarray(frame.transpose(1, 2, 0))",
        ),
        ("gray8", zeros(1, H, W), "give frame[0]"),
    ],
)
def test_wrong_shape_names_what_mends_it_and_not_ascontiguousarray(pixel_format, frame, fix):
    text = refusal(pixel_format, frame)
    assert text.endswith(fix)
    assert f"frame has shape {frame.shape}" in text
    assert ("ascontiguousarray" in text) == ("CHW" in text)


@pytest.mark.parametrize("pixel_format", ["rgb24", "nv12", "i420"])
def test_wrong_size_has_no_hint_that_does_not_help(pixel_format):
    text = refusal(pixel_format, zeros(64, 64, 3))
    assert "(64, 64, 3)" in text and f"{W} x {H}" in text
    assert "pixel_format=" not in text and "ascontiguousarray" not in text


@pytest.mark.parametrize(
    ("pixel_format", "frame"),
    [
        ("nv12", zeros(H * 3 // 2, W * 2)[:, ::2]),
        ("nv12", zeros(H * 3 // 2 * W * 2)[::2]),
        ("gray8", zeros(H, W * 2)[:, ::2]),
        ("rgb24", zeros(H, W, 3)[:, :, ::-1]),
        ("rgb24", zeros(3, H, W).transpose(1, 2, 0)),
    ],
)
def test_wrong_strides_alone_name_ascontiguousarray_and_it_mends_them(pixel_format, frame):
    assert refusal(pixel_format, frame).endswith("use numpy.ascontiguousarray(frame)")
    with venc.Encoder(W, H, pixel_format=pixel_format, backend="sim") as enc:
        assert len(enc.encode(np.ascontiguousarray(frame)) + enc.flush()) == 1


def test_chw_frame_is_mended_as_the_message_says():
    frame = zeros(3, H, W)
    text = refusal("rgb24", frame)
    mended = eval(text.partition("give ")[2], {"numpy": np, "frame": frame})
    with venc.Encoder(W, H, pixel_format="rgb24", backend="sim") as enc:
        assert len(enc.encode(mended) + enc.flush()) == 1


def test_video_frame_of_pyav_and_pil_image_are_told_how_to_become_arrays(monkeypatch):
    av = pytest.importorskip("av", reason="PyAV is not installed")
    text = refusal("nv12", av.VideoFrame(W, H, "nv12"))
    assert text.endswith('give frame.to_ndarray(format="nv12"), with pixel_format="nv12"')
    with venc.Encoder(W, H, pixel_format="nv12", backend="sim") as enc:
        assert len(enc.encode(av.VideoFrame(W, H, "nv12").to_ndarray(format="nv12")) + enc.flush()) == 1

    text = refusal("rgb24", av.VideoFrame(W, H, "rgb24"))
    assert text.endswith('give frame.to_ndarray(format="rgb24"), with pixel_format="rgb24"')

    module = types.ModuleType("PIL.Image")  # Pillow itself is no dependency of the tests
    image = type("Image", (), {"__module__": "PIL.Image"})
    picture = type("JpegImageFile", (image,), {"__module__": "PIL.JpegImagePlugin"})()
    monkeypatch.setitem(sys.modules, "PIL.Image", module)
    for name in ("nv12", "rgb24"):
        text = refusal(name, picture)
        assert text.endswith('give numpy.asarray(image), with pixel_format="rgb24" for mode "RGB"')


# ---- what the runtime says ----


def test_guess_at_507018_is_given_only_where_the_runtime_tells_no_reason():
    guess = venc.errors.lookup(507018).hint
    told = venc.errors.from_status(507018, "aclvencCreateChannel", "open /dev/davinci0 failed, errno 13")
    assert str(told).endswith("open /dev/davinci0 failed, errno 13")
    assert told.hint == ""
    silent = venc.errors.from_status(507018, "aclvencCreateChannel", "")
    assert str(silent).endswith(guess) and silent.hint == guess and guess.startswith("Often")


def test_texts_of_other_calls_are_not_glued_on():
    detail = "aclrtGetCurrentContext: this thread has no current context\naclvencCreateChannel: no more\nmore words"
    error = venc.errors.from_status(207005, "aclvencCreateChannel", detail)
    assert error.detail == "no more\nmore words"
    assert "current context" not in str(error)
    left_over = venc.errors.from_status(507018, "aclvencCreateChannel", "aclrtGetCurrentContext: no current context")
    assert left_over.detail == "" and left_over.hint
    assert venc.errors.from_status(107002, "aclrtGetCurrentContext", "aclrtGetCurrentContext: none").detail == "none"


def run(code, **environment):
    done = processes.run("import warnings; warnings.simplefilter('error')\n" + textwrap.dedent(code), env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_engine_s_own_look_for_a_context_leaves_no_text_of_it():
    """A thread without a context: the failure that follows the look is told alone, by the runtime itself."""
    found = run(
        """
        import ctypes
        import ascend_venc as venc
        from ascend_venc._lowlevel import core
        with venc.Encoder(128, 128, backend="sim") as enc:
            enc.encode(bytes(128 * 192))  # on this thread
            enc.flush()
        last = ctypes.CDLL(core.simulated_device_path()).aclGetRecentErrMsg
        last.restype = ctypes.c_char_p
        print(last())
        """
    )
    assert found == "None\n"


def test_codec_that_is_missing_is_the_only_cause_named():
    found = run(
        """
        import ascend_venc as venc
        try:
            venc.Encoder(128, 128, backend="sim")
        except venc.AclError as error:
            print(error)
        """,
        ASCEND_VENC_SIM_AVCODEC="/nope/libavcodec.so",
    )
    assert "/nope/libavcodec.so" in found and str(interface.code(507018, "HI_ERR_VENC_SYS_ERROR")) in found
    for wrong in ("current context", "Often a value", "aclrtGetCurrentContext"):
        assert wrong not in found


def test_full_device_is_device_full_error_with_its_number_and_harms_nobody():
    """By the simulated device's own count, after which it refuses: V1 has 16 channels on the 310."""
    chip = interface.of("Ascend310", "Ascend310P3")
    found = run(
        f"""
        import json
        import ascend_venc as venc
        chip = "sim:{chip}"
        encoders = []
        try:
            while len(encoders) < 200:
                encoders.append(venc.Encoder(128, 128, codec="h264", backend=chip, device=1))
        except venc.DeviceFullError as error:
            print(json.dumps([len(encoders), str(error), error.code, isinstance(error, (venc.AclError, RuntimeError))]))
        packets = [enc.encode(bytes(128 * 192)) + enc.flush() for enc in encoders]
        print(sum(map(len, packets)))
        encoders.pop().close()
        venc.Encoder(128, 128, codec="h264", backend=chip, device=1).close()
        for enc in encoders:
            enc.close()
        """,
        ASCEND_VENC_SIM_DEVICES="2",
        ASCEND_VENC_SIM_OPTIONS=interface.of("null_codec=500", "null_codec=500,channel_limit=16"),
    ).splitlines()
    count, text, code, is_both = json.loads(found[0])
    assert (count, code, is_both) == (16, FULL, True)
    assert text.startswith(f"device 1 ({chip}) is full, 16 open by this process: {interface.CREATE} returned {FULL}")
    assert "current context" not in text
    assert found[1] == "16"


@pytest.mark.parametrize(
    ("limit", "code"),
    [
        ({"channel_limit": 1}, FULL),
        pytest.param({"stream_limit": 4}, 207008, marks=pytest.mark.v1_only("a channel of V2 has no streams")),
    ],
)
def test_want_of_a_channel_or_of_its_streams_is_device_full_error(limit, code):
    with simulator.shared().options(**limit), venc.Encoder(128, 128, backend="sim"):
        with pytest.raises(venc.DeviceFullError) as caught:
            venc.Encoder(128, 128, backend="sim")
        assert caught.value.code == code


def test_an_encoder_that_nobody_closed_is_not_counted_as_open_while_a_view_of_its_memory_lives():
    opened = []

    def one_more():
        with contextlib.suppress(venc.DeviceFullError):  # until the device has ended the channel before
            opened.append(venc.Encoder(128, 128, backend="sim"))
        return opened

    with simulator.shared().options(channel_limit=1):
        with pytest.warns(ResourceWarning):
            view = venc.Encoder(128, 128, backend="sim").acquire().array
            gc.collect()
        waiting.eventually(one_more)
        with opened[0], pytest.raises(venc.DeviceFullError, match=r"is full, 1 open by this process"):
            venc.Encoder(128, 128, backend="sim")
    del view


def test_hints_for_a_simulated_device_never_name_npu_smi():
    assert [row for row in venc.errors.TABLE if "npu-smi" in row.hint] == []


# ---- the unit of the bit rate ----


@pytest.mark.parametrize(
    ("bitrate", "warned"), [(4000, True), ("4k", True), (4e3, True), (11519, True), (11520, False), ("4000k", False)]
)
def test_bit_rate_below_two_thousandths_of_a_bit_per_pixel_warns_of_the_unit(bitrate, warned):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with venc.Encoder(640, 360, fps=25, bitrate=bitrate, backend="sim"):
            pass
    assert [warning.category for warning in seen] == [venc.BitRateWarning] * warned
    if warned:
        value = venc.config.parse_bitrate(bitrate)
        assert f"bitrate is {value} bit/s" in str(seen[0].message) and f'give "{value}k"' in str(seen[0].message)
        assert seen[0].filename == __file__


def test_reconfigure_warns_of_the_unit_too_and_a_default_never_does():
    with venc.Encoder(640, 360, fps=25, backend="sim") as enc:
        with pytest.warns(venc.BitRateWarning, match="4000 bit/s"):
            enc.reconfigure(bitrate=4000)
        enc.reconfigure(gop=10)  # keeps it, and says nothing again
    with venc.Encoder(128, 128, fps=1, backend="sim"):
        pass


# ---- packets that nobody took ----


def test_closing_with_packets_left_is_shown_by_default_once_with_their_number():
    code = """
        import ascend_venc as venc
        enc = venc.Encoder(128, 128, codec="h264", backend="sim")
        for _ in range(5):
            enc.submit(bytes(128 * 192))
        enc.close()
        enc.close()
    """
    done = processes.run(textwrap.dedent(code))
    assert done.returncode == 0
    assert done.stderr.count("DroppedPacketsWarning: 5 packet(s) were dropped: take them with flush()") == 1
    assert "<string>:6" in done.stderr
