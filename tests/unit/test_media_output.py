# SPDX-License-Identifier: Apache-2.0
"""ReplacingFile: the path holds the old file or the whole new one, and nothing else is left in the folder."""

import os
import stat
import threading

import pytest

from ascend_venc.media.output import ReplacingFile, codec_of, container_of


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "out.mp4"
    with ReplacingFile(path) as output:
        output.file.write(b"new")
        assert not path.exists()
        assert len(names(tmp_path)) == 1
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["out.mp4"]


@pytest.mark.parametrize("raised", [ValueError, KeyboardInterrupt, SystemExit])
def test_file_is_removed_when_an_exception_leaves_it(tmp_path, raised):
    path = tmp_path / "out.mp4"
    path.write_bytes(b"old")

    def write():
        with ReplacingFile(path, overwrite=True) as output:
            output.file.write(b"new")
            raise raised

    with pytest.raises(raised):
        write()
    assert names(tmp_path) == ["out.mp4"]
    assert path.read_bytes() == b"old"


def test_file_that_exists_is_replaced_only_if_told_and_keeps_its_mode(tmp_path):
    path = tmp_path / "out.mp4"
    path.write_bytes(b"old")
    path.chmod(0o640)
    with pytest.raises(FileExistsError):
        ReplacingFile(path)
    with ReplacingFile(path, overwrite=True) as output:
        output.file.write(b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_new_file_has_the_mode_that_open_would_give_it(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    with ReplacingFile(tmp_path / "out") as output:
        output.file.write(b"x")
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_file_that_appeared_in_the_meantime_is_not_replaced(tmp_path):
    path = tmp_path / "out.mp4"

    def write():
        with ReplacingFile(path) as output:
            output.file.write(b"new")
            path.write_bytes(b"somebody else's")

    with pytest.raises(FileExistsError):
        write()
    assert path.read_bytes() == b"somebody else's"
    assert names(tmp_path) == ["out.mp4"]


def test_symbolic_link_stays_and_its_target_is_replaced(tmp_path):
    (tmp_path / "real").mkdir()
    target = tmp_path / "real" / "out.mp4"
    target.write_bytes(b"old")
    (tmp_path / "link.mp4").symlink_to(target)
    with ReplacingFile(tmp_path / "link.mp4", overwrite=True) as output:
        output.file.write(b"new")
    assert (tmp_path / "link.mp4").is_symlink()
    assert target.read_bytes() == b"new"
    assert names(tmp_path / "real") == ["out.mp4"]


def test_pipe_is_written_to_and_not_replaced(tmp_path):
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


def test_directory_and_missing_folder_are_refused(tmp_path):
    with pytest.raises(IsADirectoryError):
        ReplacingFile(tmp_path)
    with pytest.raises(FileNotFoundError):
        ReplacingFile(tmp_path / "none" / "out.mp4")


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
