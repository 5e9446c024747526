# SPDX-License-Identifier: Apache-2.0
"""`ascend_venc.opencv`: programs written for cv2.VideoWriter."""

import numpy as np
import pytest

import ascend_venc as venc
from ascend_venc.opencv import VIDEOWRITER_PROP_FRAMEBYTES, VIDEOWRITER_PROP_IS_COLOR, VideoWriter, VideoWriter_fourcc
from helpers import clips, pictures

av = pytest.importorskip("av", reason="PyAV is not installed")

BGR = np.ascontiguousarray(pictures.rgb()[:, :, ::-1])
SIZE = (160, 144)


@pytest.mark.parametrize(
    "arguments",
    [
        (VideoWriter_fourcc(*"avc1"), 25.0, SIZE),
        (VideoWriter.fourcc(*"H264"), 25, SIZE, True),
        (0, VideoWriter_fourcc(*"X264"), 25.0, SIZE, True),
        (0, VideoWriter_fourcc(*"avc1"), 25.0, SIZE, []),
        ("avc1", 25, SIZE, [VIDEOWRITER_PROP_IS_COLOR, 1, 6, 1]),
        ("avc1", 25, list(SIZE)),
        (0, 25, SIZE),
        (-1, 25, np.array(SIZE)),
        (1900, "avc1", "25", SIZE),
        (1900, VideoWriter_fourcc(*"avc1"), "25/1", SIZE, True),
    ],
)
def test_program_for_cv2_writes_the_film(tmp_path, backend, arguments):
    out = VideoWriter(str(tmp_path / "film.mp4"), *arguments, bitrate="20M", backend=backend)
    assert out.isOpened() and out.getBackendName() == "ASCEND_VENC"
    for _ in range(4):
        out.write(BGR)
    out.release()
    assert not out.isOpened()
    shown, times = pictures.decoded(tmp_path / "film.mp4")
    assert times == pytest.approx([0, 0.04, 0.08, 0.12])
    assert pictures.psnr(pictures.rgb(), shown[0]) >= 40


@pytest.mark.parametrize("preferred", [(), (1900,)])
@pytest.mark.parametrize("named", range(5))
def test_arguments_by_name_behind_others_are_those_of_cv2(tmp_path, backend, named, preferred):
    arguments = {"fourcc": VideoWriter_fourcc(*"hvc1"), "fps": 30, "frameSize": SIZE, "isColor": False}
    names = list(arguments)[4 - named :]
    given = [value for name, value in arguments.items() if name not in names]
    with VideoWriter(
        tmp_path / "film.mkv", *preferred, *given, **{name: arguments[name] for name in names}, backend=backend
    ) as out:
        out.write(BGR[:, :, 0])
    told, times, _ = clips.read_video(tmp_path / "film.mkv")[:3]
    assert told["codec"] == "hevc" and len(times) == 1


def test_argument_that_is_given_twice_is_refused(tmp_path):
    with pytest.raises(TypeError, match="each once"):
        VideoWriter(tmp_path / "film.mkv", 1900, 0, 30, SIZE, True, isColor=True)


def test_open_begins_another_file_and_finishes_the_one_before(tmp_path, backend):
    out = VideoWriter()
    assert not out.isOpened()
    with pytest.raises(venc.MediaError, match="not open"):
        out.write(BGR)
    assert out.open(tmp_path / "a.mkv", fourcc="hvc1", fps=30, frameSize=SIZE, backend=backend)
    out.write(BGR)
    assert out.open(tmp_path / "b.h264", 0, 30, (160, 144), False, backend=backend)
    out.write(BGR[:, :, 0])
    assert out.open(tmp_path / "c.h264", 0, 30, SIZE, params=[1, 90, VIDEOWRITER_PROP_IS_COLOR, 0], backend=backend)
    out.write(BGR[:, :, 0])
    assert out.set(1, 90) is False
    out.release()
    out.release()
    assert clips.read_video(tmp_path / "a.mkv")[0]["codec"] == "hevc"
    assert len(clips.read_video(tmp_path / "b.h264")[2]) == 1


def test_get_tells_the_bytes_of_the_last_packet(tmp_path, backend):
    with VideoWriter(tmp_path / "film.h264", 0, 25, SIZE, backend=backend) as out:
        assert out.get(VIDEOWRITER_PROP_FRAMEBYTES) == 0
        out.write(BGR)
        inner = out._inner
        inner.close()
        assert out.get(VIDEOWRITER_PROP_FRAMEBYTES) == (tmp_path / "film.h264").stat().st_size
        assert out.get(1) == 0.0
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    assert cv2.VIDEOWRITER_PROP_FRAMEBYTES == VIDEOWRITER_PROP_FRAMEBYTES
    assert cv2.VideoWriter_fourcc(*"avc1") == VideoWriter_fourcc(*"avc1")
    ours = {name for name in dir(VideoWriter) if not name.startswith("_")}
    assert ours == {name for name in dir(cv2.VideoWriter) if not name.startswith("_")}


def test_what_cv2_is_silent_about_is_said(tmp_path, backend):
    for arguments, error, text in (
        ((tmp_path / "a.mp4", VideoWriter_fourcc(*"mp4v"), 25, SIZE), venc.InvalidArgumentError, "'mp4v'.*'avc1'"),
        ((tmp_path / "a.avi", 0, 25, SIZE), venc.InvalidArgumentError, "suffix .avi is not known"),
        ((tmp_path / "none" / "a.mp4", 0, 25, SIZE), FileNotFoundError, "none"),
        ((tmp_path / "a.mp4", 0, 25), TypeError, "needs frameSize"),
        ((tmp_path / "a.mp4", 0, 0, 25, SIZE, True, 1), TypeError, "VideoWriter takes"),
        ((tmp_path / "a.mp4", None, 25, SIZE), TypeError, "needs fourcc"),
        ((tmp_path / "a.mp4", 1.5, 25, SIZE), TypeError, "fourcc must be"),
    ):
        with pytest.raises(error, match=text):
            VideoWriter(*arguments)
    with pytest.raises(TypeError, match="4 single characters"):
        VideoWriter_fourcc("avc1", "", "", "")
    out = VideoWriter(tmp_path / "a.mp4", 0, 25, (144, 144), backend=backend)
    with out, pytest.raises(venc.InvalidArgumentError, match="160 x 144 bgr24; size says 144 x 144"):
        out.write(BGR)
    assert list(tmp_path.iterdir()) == []
