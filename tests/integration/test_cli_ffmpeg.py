# SPDX-License-Identifier: Apache-2.0
"""Command lines of ffmpeg's that people type: `ascend-venc encode` does the same with them, or says why not in a line.

They are from FFmpeg's own wiki (its H.264, Slideshow, Concatenate, Seeking, StreamingGuide and Capture pages) and from
questions that come again and again in forums.
"""

import json
import os
import shlex
import socket
import subprocess
import sys
from fractions import Fraction
from types import SimpleNamespace

import pytest

from ascend_venc.cli import encode, encode_input, main, quality
from ascend_venc.media import container as container_module
from helpers import clips, processes, sound

av = pytest.importorskip("av", reason="PyAV is not installed")

# A line of ffmpeg's, and what is asked of the result: facts of --json, and of the file. `film.mp4` has 50 frames at
# 25 per second, 128 x 128, with AAC.
SAME = [
    ("-i film.mp4 out.mp4", {"codec": "h264", "frames": 50, "sound": ["aac"]}),
    ("-i film.mp4 -c:v libx264 -b:v 1M -y out.mp4", {"codec": "h264", "frames": 50}),
    (
        "-y -hide_banner -loglevel error -nostdin -i film.mp4 -c:v hevc_nvenc -b:v 1000k -an -sn out.mkv",
        {"codec": "h265", "frames": 50, "sound": []},
    ),
    ("-ss 00:00:00.4 -i film.mp4 -t 0.4 -c:v h264 out.mp4", {"frames": 10, "first": 10, "duration": 0.4}),
    ("-i film.mp4 -ss 0.4 -to 0.8 -c:v h264 -c:a copy out.mp4", {"frames": 10, "first": 10, "sound": ["aac"]}),
    ("-ss 0.4 -to 0.8 -i film.mp4 out.mp4", {"frames": 10, "first": 10}),
    ("-ss 400ms -i film.mp4 -to 0.8 out.mp4", {"frames": 20, "first": 10}),
    ("-i film.mp4 -vframes 5 -c:v libx265 -tag:v hvc1 out.mp4", {"codec": "h265", "frames": 5, "tag": "hvc1"}),
    ("-i film.mp4 -frames:v 5 -g 2 -bf 0 -profile:v main out.mp4", {"key_frames": 3, "profile": "main"}),
    ("-i film.mp4 -c:v h264 -b:v 1M -maxrate 1M -bufsize 2M -r 25 -pix_fmt yuv420p out.ts", {"frames": 50}),
    ("-f rawvideo -pixel_format yuv420p -video_size 128x128 -framerate 10 -i frames.yuv out.mp4", {"fps": 10.0}),
    ("-s 128x128 -r 5 -i frames.yuv -c:v h264 out.mp4", {"fps": 5.0, "frames": 6, "first": 0}),
    ("-framerate 5 -i shot_%03d.png -c:v libx264 -pix_fmt yuv420p out.mp4", {"frames": 4, "duration": 0.8}),
    ("-f image2 -framerate 5 -i shot_%03d.png -c:v libx264 -pix_fmt yuv420p out.mp4", {"frames": 4, "duration": 0.8}),
    ("-framerate 5 -pattern_type glob -i 'shot_*.png' out.mp4", {"frames": 4, "duration": 0.8}),
    ("-i film.mp4 -movflags +faststart -metadata title='A b' out.mp4", {"faststart": True, "title": "A b"}),
    ("-i film.mp4 -movflags frag_keyframe+empty_moov -g 25 -f mp4 out.bin", {"fragments": 2}),
    ("-i film.mp4 -movflags frag_keyframe -g 25 -f mp4 out.bin", {"fragments": 1}),
    ("-i film.mp4 -movflags +faststart+use_metadata_tags out.mp4", {"faststart": True, "fragments": 0}),
    ("-loop 1 -i shot_001.png -t 1 out.mp4", {"frames": 25, "duration": 1.0}),
    ("-loop 1 -framerate 5 -i shot_001.png -frames:v 3 out.mp4", {"frames": 3, "duration": 0.6}),
    ("-i file:film.mp4 -c:v h264 -vsync auto out.mp4", {"frames": 50, "sound": ["aac"]}),
    ("-i concat:film.ts|film.ts -c:v h264 out.mp4", {"frames": 100, "duration": 4.0}),
    ("-f lavfi -i testsrc=duration=1:size=128x128:rate=10 -pix_fmt yuv420p out.mp4", {"frames": 10}),
    ("-f concat -safe 0 -i list.txt -c:v h264 out.mp4", {"frames": 100}),
    ("-stream_loop 1 -i film.mp4 -t 3 -threads 4 -f mpegts out.bin", {"frames": 75}),
    ("-i film.mp4 -c:v h264 -f null -", {"frames": 50}),
    ("-i film.mp4 -c:v hevc -f hevc out.bin", {"codec": "h265", "frames": 50}),
    (
        "-v quiet -stats -i film.mp4 -vcodec h264_ascend -acodec copy -vsync 0 out.mov",
        {"codec": "h264", "sound": ["aac"]},
    ),
    (
        "-i film.mp4 -vcodec libx265 -b:v 800k -tag:v hvc1 -c:a copy -movflags faststart out.mov",
        {"codec": "h265", "tag": "hvc1", "sound": ["aac"], "faststart": True},
    ),
    ("-loglevel warning -i film.mp4 -c:v h264_vaapi -b:v 1M out.mp4", {"codec": "h264", "profile": "high"}),
    ("-re -i film.mp4 -t 0.2 -c:v h264 -f mpegts out.bin", {"frames": 5}),
    ("-i film.mp4 -codec:v libx264 -codec:a copy -b:v 1500k -f matroska out.bin", {"sound": ["aac"]}),
    ("-i film.mp4 -fps_mode passthrough -c:v h264 -rc cbr -b:v 1M out.mp4", {"frames": 50}),
    ("-i film.mp4 -c:v h264_nvenc -rc:v vbr -b:v 1M -threads 0 -strict -2 out.mp4", {"asked_bit_rate": 1000000}),
    ("-an -i film.mp4 -dn -sn -max_muxing_queue_size 1024 -c:v h264 out.mp4", {"sound": []}),
    ("-fflags +genpts -analyzeduration 10M -probesize 10M -i film.mp4 -c:v h264 out.mp4", {"frames": 50}),
    ("-n -i film.mp4 -to 00:00:01 -b 1M -c:v h264 out.mp4", {"frames": 25, "asked_bit_rate": 1000000}),
]

# A line, and words of the one line that says why not and what to do.
REFUSED = [
    ("-i film.mp4 -c:v libx264 -preset slow -crf 22 -c:a copy out.mkv", "-preset: the hardware encoder has one speed"),
    ("-i film.mp4 -crf 23 out.mp4", "-crf: the device keeps to a bit rate"),
    ("-i film.mp4 -q:v 5 out.mp4", "-q:v: the device keeps to a bit rate"),
    ("-i film.mp4 -tune zerolatency out.mp4", "-tune: the hardware encoder has one speed"),
    (
        "-i film.mp4 -vf scale=1280:-1 out.mp4",
        "-vf: pictures are encoded as they are; let ffmpeg change them: ffmpeg -i",
    ),
    ("-i film.mp4 -filter_complex '[0:v]hflip[v]' -map '[v]' out.mp4", "-filter_complex: pictures are encoded"),
    ("-i film.mp4 -map 0:v:0 -map 0:a:0 out.mp4", "-map: the first video is encoded and all sound is copied"),
    ("-i film.mp4 -c copy out.mkv", "copy: this command encodes"),
    ("-i film.mp4 -c:v mpeg4 out.mp4", "the device encodes H.264 and H.265"),
    ("-i film.mp4 -c:v h264 -c:a aac -b:a 128k out.mp4", "-c:a: 'aac': sound is copied as it is"),
    ("-i film.mp4 -i music.mp3 -c:v h264 out.mp4", "2 INPUTs go to a folder, and out.mp4 is none"),
    ("-i film.mp4 -r 50 out.mp4", "-r 50: INPUT has 25 frames per second, and none is dropped or repeated"),
    ("-i film.mp4 -s 640x360 out.mp4", "-s 640x360: INPUT has 128x128, and nothing is scaled"),
    ("-i film.mp4 -pix_fmt yuv420p10le out.mp4", "-pix_fmt yuv420p10le: the device writes 8 bits"),
    ("-i film.mp4 -b:v 1M -maxrate 2M -bufsize 4M out.mp4", "-maxrate is not -b:v"),
    ("-i film.mp4 -bf 2 out.mp4", "-bf: '2': the device writes no B frames"),
    ("-i film.mp4 -level:v 4.1 out.mp4", "-level:v: the device writes the level"),
    ("-i film.mp4 -x264-params keyint=30 out.mp4", "-x264-params: that is of a software encoder"),
    ("-hwaccel cuda -i film.mp4 out.mp4", "-hwaccel: INPUT is decoded by PyAV"),
    ("-c:v h264_cuvid -i film.mp4 out.mp4", "before -i: PyAV chooses the decoder"),
    ("-sseof -3 -i film.mp4 out.mp4", "-sseof: give the time from the beginning"),
    ("-i film.mp4 -f hls out.m3u8", "-f hls: that is not written; known are"),
    ("-i film.mp4 -ss 1 -frames:v 1 shot.png", "shot.png: its suffix has to tell what to write"),
    ("-i film.mp4 -rtsp_transport tcp out.mp4", "-rtsp_transport: it is said of an input: put it before -i"),
    ("-i film.mp4 -pass 1 out.mp4", "-pass: the device encodes in one pass"),
    ("-i film.mp4 -foo 1 out.mp4", "unknown option -foo"),
    ("-i film.mp4 --over out.mp4", "unknown option --over; did you mean --overwrite?"),
    ("-i film.mp4", "OUTPUT is missing"),
    ("-i film.mp4 -b:v 2M -g 50 -keyint_min 50 -sc_threshold 0 out.mp4", "-keyint_min: key frames come every -g"),
    ("-ss 1 -i film.mp4 -an -avoid_negative_ts make_zero out.mp4", "-avoid_negative_ts: times begin at 0"),
    ("-i film.mp4 -c:v h264_qsv -look_ahead 1 out.mp4", "-look_ahead: that is of another device's encoder"),
    ("-i film.mp4 -vf fps=10 out.mp4", "ffmpeg -i INPUT -vf ... -f yuv4mpegpipe - | ascend-venc encode - OUTPUT"),
    ("-i film.mp4 -af volume=2 out.mp4", "-af: sound is copied as it is, never encoded: leave it out, or -an"),
    ("-i film.mp4 -force_key_frames expr:gte(t,n_forced*1) out.mp4", "-force_key_frames: key frames come every -g"),
    ("-i film.mp4 -map_metadata -1 -c:v h264 out.mp4", "-map_metadata: title and the like are copied: leave it out"),
    ("-i film.mp4 -shortest -c:v h264 out.mp4", "-shortest: OUTPUT is as long as INPUT: leave it out"),
    ("-i film.mp4 -vsync cfr -c:v h264 out.mp4", "-vsync: 'cfr': frames are neither dropped nor repeated"),
    ("-loop 1 -i film.mp4 out.mp4", "-loop: it shows one picture again and again; --loop N reads INPUT again"),
    ("-i film.mp4 -c:v libx264 -tag:v hvc1 out.mp4", "-tag:v hvc1: it is of the other codec, and -c:v says h264"),
    ("-i film.mp4 -c:v hevc -tag:v avc1 out.mp4", "-tag:v avc1: it is of the other codec, and -c:v says h265"),
    ("-err_detect ignore_err -i film.mp4 out.mp4", "-err_detect: damage of INPUT is an error: leave it out, or give"),
    ("-i film.mp4 -metadata:s:a:0 language=chi out.mp4", "-metadata:s:a:0: it is of the whole file"),
    ("-i film.mp4 -video_track_timescale 90000 out.mp4", "-video_track_timescale: it would change nothing here"),
    ("-i film.mp4 -qmin 10 -qmax 40 out.mp4", "-qmin: that is of a software encoder"),
    ("-i film.mp4 -scodec copy out.mkv", "-scodec: subtitles are not carried over"),
    ("-version", "-version: ascend-venc --version has the versions"),
    ("-i film.mp4 -aspect 16:9 out.mp4", "-aspect: pictures are encoded as they are"),
    ("-i film.mp4 -colorspace bt709 out.mp4", "-colorspace: colours are those that INPUT tells"),
    ("-i film.mp4 -c:v h264 -f segment -segment_time 10 out%03d.mp4", "VideoWriter(split_seconds=) cuts without a gap"),
    ("-i film.mp4 -c:v libvpx-vp9 -b:v 1M out.webm", "-c:v 'libvpx-vp9': the device encodes H.264 and H.265"),
    ("-i film.mp4 out.gif", "out.gif: its suffix has to tell what to write"),
    ("-i film.mp4 -vn -c:a copy out.m4a", "-vn: the first video is encoded and all sound is copied"),
    ("-i film.mp4 -bsf:v h264_mp4toannexb -c:v h264 out.ts", "-bsf:v: the stream is written as its format wants it"),
    ("-i film.mp4 -progress - -c:v h264 out.mp4", "-progress: give --progress for lines on standard error"),
    ("-itsoffset 1 -i film.mp4 out.mp4", "-itsoffset: inputs are neither joined nor mixed"),
    ("-i film.mp4 -ss 2 -to 1 out.mp4", "it would end at 1 s and begin at 2 s"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sources by the names that the lines have."""
    path = tmp_path_factory.mktemp("films")
    sound.write_film(path / "film.mp4")
    sound.write_film(path / "film.ts", codec="mp2")
    (path / "list.txt").write_text("file film.mp4\nfile film.mp4\n")
    (path / "frames.yuv").write_bytes(
        b"".join(plane.tobytes() for index in range(6) for plane in clips.i420(128, 128, index))
    )
    for index in range(4):
        codec = av.CodecContext.create("png", "w")
        codec.width = codec.height = 128
        codec.pix_fmt, codec.time_base = "rgb24", Fraction(1, 25)
        picture = clips.av_frame(picture_of(index)).reformat(format="rgb24")
        data = b"".join(map(bytes, [*codec.encode(picture), *codec.encode(None)]))
        (path / f"shot_{index:03}.png").write_bytes(data)
    return path


def picture_of(index):
    import numpy as np

    return np.frombuffer(clips.nv12(128, 128, index), np.uint8).reshape(192, 128)


@pytest.fixture
def here(folder, tmp_path, monkeypatch):
    """A folder with the sources, in which the command runs."""
    for entry in folder.iterdir():
        (tmp_path / entry.name).symlink_to(entry)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made(here):
    return sorted(entry.name for entry in here.iterdir() if not entry.is_symlink())


@pytest.mark.parametrize(("line", "wanted"), SAME, ids=[line for line, _ in SAME])
def test_line_of_ffmpeg_does_the_same(backend, here, capsys, line, wanted):
    assert main(["encode", "--backend", backend, "--json", *shlex.split(line)]) == 0, capsys.readouterr().err
    facts = json.loads(capsys.readouterr().out)
    wanted = dict(wanted)
    output = here / shlex.split(line)[-1]
    if "null" in line:
        assert made(here) == []
    else:
        assert made(here) == [output.name]
        check_file(output, facts, wanted)
    assert {name: facts[name] for name in wanted} == wanted


@pytest.mark.parametrize("said", ["-f v4l2 -framerate 30 -video_size 640x480", ""])
def test_camera_that_is_not_there_is_named(backend, here, capsys, said):
    line = f"{said} -i /dev/video99 out.mp4"
    assert main(["encode", "--backend", backend, *line.split()]) == 1
    assert capsys.readouterr().err == "ascend-venc: /dev/video99: No such file or directory\n"
    assert made(here) == []


def check_file(output, facts, wanted):
    data = output.read_bytes()
    read, times, pictures = clips.read_video(output)
    assert len(pictures) == facts["frames"]
    assert times[0] in (0, None)
    if "first" in wanted:  # the number of the source's frame that is shown first
        with av.open("film.mp4" if "film" in facts["input"] else str(output)) as source:
            frames = [frame.to_ndarray(format="gray") for frame in source.decode(video=0)]
        first = wanted.pop("first")
        assert clips.psnr(pictures[0], frames[first]) > 25
        assert first == 0 or clips.psnr(pictures[0], frames[first - 3]) < clips.psnr(pictures[0], frames[first])
    if "tag" in wanted:
        assert read["tag"] == wanted.pop("tag")
    if "fragments" in wanted:
        fragments = wanted.pop("fragments")
        assert data.count(b"moof") >= fragments
        assert fragments or b"moof" not in data
    if wanted.pop("faststart", False):
        assert data.index(b"moov") < data.index(b"mdat")
    if "title" in wanted:
        with av.open(str(output)) as container:
            assert container.metadata["title"] == wanted.pop("title")


@pytest.mark.parametrize(("line", "words"), REFUSED, ids=[line for line, _ in REFUSED])
def test_line_of_ffmpeg_is_refused_in_one_line(backend, here, capsys, line, words):
    try:
        code = main(["encode", "--backend", backend, *shlex.split(line)])
    except SystemExit as end:  # argparse's way
        code = end.code
    captured = capsys.readouterr()
    assert (code, captured.out) == (2, "")
    assert captured.err.startswith("ascend-venc: ") and captured.err.count("\n") == 1
    assert words in captured.err
    assert made(here) == []


@pytest.mark.parametrize("line", ["-i film.mp4 -f rtsp -rtsp_transport tcp {}", "film.mp4 {} -rtsp_transport tcp"])
def test_transport_of_an_rtsp_output_is_its_own(backend, here, capsys, monkeypatch, line):
    made_of = []

    class Stop(Exception):
        pass

    def live(url, **settings):
        made_of.append((url, settings["options"]))
        raise Stop

    monkeypatch.setattr(encode, "LiveOutput", live)
    with pytest.raises(Stop):
        main(["encode", "--backend", backend, *line.format("rtsp://127.0.0.1:1/a").split(), "-c:v", "h264"])
    assert made_of == [("rtsp://127.0.0.1:1/a", {"rtsp_transport": "tcp"})]


def test_software_encoder_is_taken_for_its_codec_and_a_note_says_so(backend, here, capsys):
    assert main(["encode", "--backend", backend, "-i", "film.mp4", "-c:v", "libx265", "-an", "-t", "0.2", "a.mp4"]) == 0
    assert capsys.readouterr().err == "ascend-venc: note: -c:v libx265: the device encodes, as h265\n"
    for quiet in (["-v", "error"], ["-loglevel", "repeat+level+fatal"], ["-v", "8"], ["-q"]):
        line = ["-i", "film.mp4", "-c:v", "libx264", "-an", "-frames:v", "2", "-y", "a.mp4", *quiet]
        assert main(["encode", "--backend", backend, *line]) == 0
        assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("line", "data"),
    [
        ("-f rawvideo -pix_fmt rgb24 -s 128x128 -r 30 -i - -c:v h264 -pix_fmt yuv420p -f mpegts pipe:1", "rgb24"),
        ("-f rawvideo -pix_fmt bgr24 -s 128x128 -r 30 -i - -c:v h264 -f mpegts -", "bgr24"),
        ("-f rawvideo -pix_fmt yuv420p -s 128x128 -r 30 -i pipe:0 -c:v h264 -f mpegts -", "yuv420p"),
        ("-i - -c:v h264 -f matroska -", "mkv"),
        ("-f yuv4mpegpipe -i /dev/stdin -c:v h264 -f mp4 -movflags frag_keyframe+empty_moov -", "y4m"),
    ],
)
def test_pipe_of_raw_frames_or_a_film_is_encoded_to_a_pipe(backend, tmp_path, line, data):
    if data == "mkv":
        sent = clips.write_video(tmp_path / "in.mkv", range(0, 400, 40)).read_bytes()
    elif data == "y4m":
        sent = clips.y4m(frames=10)
    else:
        pictures = [clips.av_frame(picture_of(index)).reformat(format=data) for index in range(10)]
        sent = b"".join(picture.to_ndarray().tobytes() for picture in pictures)
    done = subprocess.run(
        [sys.executable, "-m", "ascend_venc", "encode", "--backend", backend, "-b:v", "2M", *shlex.split(line)],
        input=sent,
        env=processes.environment(),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    (tmp_path / "out.bin").write_bytes(done.stdout)
    _, _, pictures = clips.read_video(tmp_path / "out.bin")
    assert len(pictures) == 10
    assert min(clips.psnr(picture, clips.i420(128, 128, n)[0]) for n, picture in enumerate(pictures)) > 25


def test_several_inputs_go_to_a_folder_and_one_that_fails_does_not_stop_the_others(backend, here, capsys):
    (here / "junk.mkv").write_bytes(b"junk" * 99)
    (here / "camera.y4m").write_bytes(clips.y4m(frames=3))
    line = ["film.mp4", "junk.mkv", "camera.y4m", "out/", "-c", "h264", "-an", "-frames:v", "4", "-v", "error"]
    assert main(["encode", "--backend", backend, *line]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and err.startswith("ascend-venc: junk.mkv: ")
    assert sorted(os.listdir("out")) == ["camera.mp4", "film.mp4"]
    assert [len(clips.read_video(f"out/{name}.mp4")[2]) for name in ("film", "camera")] == [4, 3]
    (here / "other").mkdir()
    (here / "other" / "film.mov").write_bytes(b"")
    assert main(["encode", "film.mp4", "other/film.mov", "out/", "-f", "matroska"]) == 2
    assert "two INPUTs would be written to out/film.mkv" in capsys.readouterr().err
    assert main(["encode", "--backend", backend, "camera.y4m", "out", "-n"]) == 1
    assert "out/camera.mp4: it exists already" in capsys.readouterr().err


def test_loop_is_one_film_whose_times_go_on(backend, here):
    assert (
        main(["encode", "--backend", backend, "film.mp4", "a.mp4", "--loop", "1", "-ss", "1.6", "-t", "0.8", "-q"]) == 0
    )
    _, times, pictures = clips.read_video("a.mp4")
    assert times == [Fraction(n, 25) for n in range(20)]
    source = clips.read_video("film.mp4")[2]
    wanted = [*source[40:], *source[:10]]
    assert min(clips.psnr(*pair) for pair in zip(pictures, wanted)) > 25


def test_realtime_waits_for_each_frames_time(monkeypatch):
    now = [100.0]
    slept = []

    def sleep(seconds):
        slept.append(round(seconds, 6))
        now[0] += seconds

    monkeypatch.setattr(encode_input, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    frames = [SimpleNamespace(pts=pts) for pts in (0, 1, 2, 10)]
    assert list(encode_input.paced(iter(frames), Fraction(1, 10))) == frames
    assert slept == [0.1, 0.1, 0.8]


def test_camera_is_asked_of_ffmpegs_device_with_size_and_rate(here, capsys, monkeypatch):
    """Without a camera: what PyAV is asked for."""
    asked = []

    def open(name, **options):
        asked.append((name, options["format"], options["options"]))
        raise av.error.FileNotFoundError(2, "No such device", name)

    pyav = SimpleNamespace(open=open, error=av.error, logging=av.logging, __version__=av.__version__)
    monkeypatch.setattr(container_module, "import_av", lambda: pyav)
    monkeypatch.setattr(container_module, "_is_camera", lambda name: name == "/dev/video7")
    for line in (
        "-f v4l2 -framerate 30 -video_size 640x480 -input_format mjpeg -i /dev/video7 out.mkv",
        "/dev/video7 out.mkv -s 640x480 -r 30",
    ):
        assert main(["encode", *shlex.split(line)]) == 1
        assert capsys.readouterr().err.startswith("ascend-venc: /dev/video7: ")
    size_and_rate = {"video_size": "640x480", "framerate": "30"}
    assert asked == [
        ("/dev/video7", "v4l2", {**size_and_rate, "input_format": "mjpeg"}),
        ("/dev/video7", "v4l2", size_and_rate),
    ]


def test_network_that_refuses_is_said_in_a_line(backend, here, capsys):
    with socket.socket() as bound:  # not listening: the port refuses
        bound.bind(("127.0.0.1", 0))
        url = f"rtsp://127.0.0.1:{bound.getsockname()[1]}/camera"
        line = ["-rtsp_transport", "tcp", "-timeout", "5000000", "-i", url, "-t", "10", "camera.mp4"]
        assert main(["encode", "--backend", backend, *line]) == 1
    err = capsys.readouterr().err
    assert err == f"ascend-venc: {url}: this is not a video that can be read: Connection refused\n"
    assert made(here) == []


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_quality_is_that_of_ffmpegs_measures(backend, here, capsys, codec):
    facts = {}
    for rate in ("10k", "2M"):
        line = f"-i film.mp4 -c:v {codec} -b:v {rate} --psnr --ssim --json -an -y a.mkv"
        assert main(["encode", "--backend", backend, *line.split()]) == 0
        facts[rate] = json.loads(capsys.readouterr().out)
    pairs = list(zip(clips.read_video("a.mkv")[2], clips.read_video("film.mp4")[2]))
    luma = sum(clips.psnr(*pair) for pair in pairs) / len(pairs)  # chroma counts too in what is told
    assert facts["2M"]["psnr"] == pytest.approx(luma, abs=3)
    assert 10 < facts["10k"]["psnr"] < facts["2M"]["psnr"]
    assert 0.5 < facts["10k"]["ssim"] < facts["2M"]["ssim"] < 1
    assert main(["encode", "--backend", backend, "film.mp4", "b.mkv", "--ssim", "-an", "-frames:v", "3"]) == 0
    assert capsys.readouterr().err.startswith("ascend-venc: film.mp4: SSIM 0.9")
    (here / "f.rgb").write_bytes(bytes(128 * 128 * 3))
    line = "-f rawvideo -pix_fmt rgb24 -s 128x128 -i f.rgb --psnr c.mkv"
    assert main(["encode", "--backend", backend, *line.split()]) == 2
    assert "--psnr: the frames are rgb24, and are converted first" in capsys.readouterr().err


def test_quality_is_of_all_pictures_where_only_the_collector_ends_a_graph(backend, here, capsys, monkeypatch):
    """As in PyAV 19, whose graphs and filters hold each other: FFmpeg writes the last figures when the graph ends."""
    command = ["encode", "--backend", backend, "film.mp4", "a.mkv", "--psnr", "--ssim", "--json", "-an", "-y"]
    assert main(command) == 0
    facts = json.loads(capsys.readouterr().out)
    graph = quality.Quality._graph

    def held(self, name):
        parts = list(graph(self, name))
        holder = [*parts]
        holder.append(holder)
        return (*parts[:3], holder)

    monkeypatch.setattr(quality.Quality, "_graph", held)
    assert main(command) == 0
    held_facts = json.loads(capsys.readouterr().out)
    assert [held_facts[name] for name in ("psnr", "ssim")] == [facts[name] for name in ("psnr", "ssim")]
