# SPDX-License-Identifier: Apache-2.0
"""Raw frames in, Annex B out, the choice of a reader, and the file that appears only when it is whole."""

import errno
import io
import os
import stat
import threading
from fractions import Fraction

import pytest

from ascend_venc.errors import InvalidArgumentError
from ascend_venc.media import AnnexBWriter, MediaError, RawReader, open_video
from ascend_venc.media.formats import codec_of, container_of
from ascend_venc.media.output import ReplacingFile
from helpers import clips

SIZE = 32 * 16 * 3 // 2


def raw(folder, data):
    path = folder / "in.raw"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("layout", ["nv12", "nv21"])
def test_raw_semiplanar_frames_are_given_as_they_are(tmp_path, layout):
    pictures = [clips.nv12(32, 16, index, swap=layout == "nv21") for index in range(3)]
    with RawReader(raw(tmp_path, b"".join(pictures)), 32, 16, layout) as source:
        assert (source.pixel_format, source.frame_count) == (layout, 3)
        assert [bytes(frame.data) for frame in source] == pictures


def test_raw_i420_frames_become_nv12(tmp_path):
    data = b"".join(plane.tobytes() for index in range(2) for plane in clips.i420(32, 16, index))
    with RawReader(raw(tmp_path, data), 32, 16, "i420") as source:
        assert source.pixel_format == "nv12"
        assert [bytes(frame.data) for frame in source] == [clips.nv12(32, 16, index) for index in range(2)]


def test_raw_truncated_last_frame_is_named(tmp_path):
    with RawReader(raw(tmp_path, bytes(SIZE * 2 + 7)), 32, 16) as source:
        frames = iter(source)
        assert [next(frames).pts, next(frames).pts] == [0, 1]
        with pytest.raises(MediaError, match="frame 2 is cut off: 7 of 768 bytes"):
            next(frames)


@pytest.mark.parametrize("size", [(0, 16), (-2, 16), (32, 99999)])
def test_raw_impossible_size_is_refused(tmp_path, size):
    with pytest.raises(InvalidArgumentError, match="size"):
        RawReader(raw(tmp_path, b""), *size)


@pytest.mark.parametrize("size", [(31, 16), (32, 15)])
def test_raw_odd_size_is_refused(tmp_path, size):
    with RawReader(raw(tmp_path, bytes(5000)), *size) as source, pytest.raises(MediaError, match="even"):
        next(iter(source))


@pytest.mark.parametrize("name", ["a.nv12", "a.yuv", "a.y4m", "a.mp4"])
def test_open_video_chooses_the_reader_by_the_suffix(tmp_path, name):
    path = tmp_path / name
    size = None
    if name.endswith("mp4"):
        clips.write_video(path, range(3), Fraction(1, 25))
    elif name.endswith("y4m"):
        path.write_bytes(clips.y4m(frames=3))
    else:
        path.write_bytes(bytes(128 * 128 * 3 // 2 * 3))
        size = (128, 128)
        with pytest.raises(InvalidArgumentError, match="size"):
            open_video(path)
    with open_video(path, size=size) as source:
        assert len(list(source)) == 3
    if size is None:
        with pytest.raises(InvalidArgumentError, match="size"):
            open_video(path, size=(128, 128))


def test_annexb_writer_concatenates_packets(tmp_path):
    file = io.BytesIO()
    for target in (file, tmp_path / "a.h264"):
        with AnnexBWriter(target) as writer:
            writer.write(b"\0\0\0\1a", pts=0, duration=1)
            writer.write(memoryview(b"\0\0\0\1b"))
    assert file.getvalue() == (tmp_path / "a.h264").read_bytes() == b"\0\0\0\1a\0\0\0\1b"


def test_replacing_file_appears_when_the_block_ends(tmp_path):
    target = tmp_path / "a.mp4"
    with ReplacingFile(target) as output:
        output.file.write(b"whole")
        output.file.flush()
        assert not target.exists() and len(os.listdir(tmp_path)) == 1
    assert target.read_bytes() == b"whole"
    assert os.listdir(tmp_path) == ["a.mp4"]


def test_replacing_file_has_the_permissions_of_any_new_file_or_the_old_ones(tmp_path):
    (tmp_path / "plain").touch()
    with ReplacingFile(tmp_path / "a.mp4"):
        pass
    assert stat.S_IMODE((tmp_path / "a.mp4").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)
    (tmp_path / "a.mp4").chmod(0o600)
    with ReplacingFile(tmp_path / "a.mp4", overwrite=True):
        pass
    assert stat.S_IMODE((tmp_path / "a.mp4").stat().st_mode) == 0o600


@pytest.mark.parametrize("reason", [ValueError, KeyboardInterrupt, SystemExit])
def test_replacing_file_is_removed_on_an_exception(tmp_path, reason):
    (tmp_path / "a.mp4").write_bytes(b"old")
    with pytest.raises(reason), ReplacingFile(tmp_path / "a.mp4", overwrite=True):
        raise reason
    assert os.listdir(tmp_path) == ["a.mp4"]
    assert (tmp_path / "a.mp4").read_bytes() == b"old"


def test_replacing_file_does_not_replace_unasked(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        ReplacingFile(tmp_path / "a.mp4")
    with pytest.raises(FileExistsError), ReplacingFile(tmp_path / "b.mp4"):
        (tmp_path / "b.mp4").write_bytes(b"came in between")
    assert (tmp_path / "b.mp4").read_bytes() == b"came in between"
    assert sorted(os.listdir(tmp_path)) == ["a.mp4", "b.mp4"]


def test_replacing_file_follows_a_symbolic_link(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "real.mp4").write_bytes(b"old")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "there" / "real.mp4")
    with ReplacingFile(tmp_path / "link.mp4", overwrite=True) as output:
        output.file.write(b"new")
    assert (tmp_path / "link.mp4").is_symlink()
    assert (tmp_path / "there" / "real.mp4").read_bytes() == b"new"
    assert os.listdir(tmp_path / "there") == ["real.mp4"]


def test_replacing_file_writes_into_what_is_no_file(tmp_path):
    with ReplacingFile("/dev/null") as output:
        output.file.write(b"gone")
    assert not os.path.isfile("/dev/null")
    with pytest.raises(IsADirectoryError):
        ReplacingFile(tmp_path, overwrite=True)
    with pytest.raises(FileNotFoundError):
        ReplacingFile(tmp_path / "nowhere" / "a.mp4")
    assert os.listdir(tmp_path) == []


def test_replacing_file_writes_into_a_pipe(tmp_path):
    path = tmp_path / "pipe.h264"
    os.mkfifo(path)
    received = []
    reader = threading.Thread(target=lambda: received.append(path.read_bytes()))
    reader.start()
    with ReplacingFile(path) as output:
        output.file.write(b"data")
    reader.join(10)
    assert received == [b"data"]
    assert stat.S_ISFIFO(path.stat().st_mode)


def refuse_to_rename(monkeypatch, number):
    """As a mount point, or somebody else's file in a folder with the sticky bit."""

    def fail(source, target):
        raise OSError(number, os.strerror(number), source, None, target)

    monkeypatch.setattr(os, "replace", fail)


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EPERM])
def test_replacing_file_that_cannot_be_renamed_onto_is_written_in_place(tmp_path, monkeypatch, number):
    target = tmp_path / "a.mp4"
    target.write_bytes(b"old and longer")
    inode = target.stat().st_ino
    refuse_to_rename(monkeypatch, number)
    with ReplacingFile(target, overwrite=True) as output:
        output.file.write(b"new")
        assert target.read_bytes() == b"old and longer"
    assert (target.read_bytes(), target.stat().st_ino) == (b"new", inode)
    assert os.listdir(tmp_path) == ["a.mp4"]
    with pytest.raises(KeyError), ReplacingFile(target, overwrite=True):
        raise KeyError
    assert target.read_bytes() == b"new"


def test_replacing_file_in_a_folder_that_takes_no_new_files_is_written_in_place(tmp_path, monkeypatch):
    target = tmp_path / "a.mp4"
    target.write_bytes(b"old and longer")
    real_open = os.open

    def fail(path, flags, *mode, **options):
        if flags & os.O_EXCL and os.path.dirname(path) == str(tmp_path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return real_open(path, flags, *mode, **options)

    monkeypatch.setattr(os, "open", fail)
    with ReplacingFile(target, overwrite=True) as output:
        output.file.write(b"new")
        assert target.read_bytes() == b"old and longer"
    assert target.read_bytes() == b"new"
    with pytest.raises(PermissionError) as caught:
        ReplacingFile(tmp_path / "b.mp4")
    assert caught.value.filename == str(tmp_path / "b.mp4")


def test_replacing_file_on_a_mount_point_that_cannot_be_written_is_refused_before_the_work(tmp_path, monkeypatch):
    target = tmp_path / "with space.mp4"
    target.write_bytes(b"old")
    table = f"1 2 0:1 / {str(target).replace(' ', chr(92) + '040')} ro - ext4 /dev/x ro\n".encode()
    real_open = open

    def opened(path, *args, **options):
        return io.BytesIO(table) if path == "/proc/self/mountinfo" else real_open(path, *args, **options)

    monkeypatch.setattr("builtins.open", opened)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(OSError, match="mounted") as caught:
        ReplacingFile(target, overwrite=True)
    assert caught.value.filename == str(target)


def test_errors_of_a_replacing_file_name_the_path_that_was_given(tmp_path, monkeypatch):
    (tmp_path / "there").mkdir()
    link = tmp_path / "link.mp4"
    link.symlink_to(tmp_path / "there" / "real.mp4")
    with pytest.raises(FileExistsError) as caught, ReplacingFile(link):
        (tmp_path / "there" / "real.mp4").write_bytes(b"came in between")
    assert caught.value.filename == str(link) and caught.value.filename2 is None
    refuse_to_rename(monkeypatch, errno.EBUSY)
    with pytest.raises(IsADirectoryError) as caught, ReplacingFile(link, overwrite=True):
        (tmp_path / "there" / "real.mp4").unlink()
        (tmp_path / "there" / "real.mp4").mkdir()
    assert caught.value.filename == str(link)
    assert os.listdir(tmp_path / "there") == ["real.mp4"]


@pytest.mark.parametrize(
    ("name", "codec", "container"),
    [
        ("a.h264", "h264", None),
        ("a.264", "h264", None),
        ("a.H265", "h265", None),
        ("a.265", "h265", None),
        ("a.hevc", "h265", None),
        ("a.mp4", None, "mp4"),
        ("a.MKV", None, "matroska"),
        ("a.ts", None, "mpegts"),
        ("a.mov", None, "mov"),
        ("a.txt", None, None),
        ("h264", None, None),
    ],
)
def test_suffix_tells_codec_or_container(name, codec, container):
    assert (codec_of(name), container_of(name)) == (codec, container)
