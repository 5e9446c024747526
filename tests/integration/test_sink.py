# SPDX-License-Identifier: Apache-2.0
"""Access units written to a file descriptor by the native writer."""

import errno
import fcntl
import os
import socket
import threading
import time

import pytest

import ascend_venc as venc
from ascend_venc._lowlevel import core
from helpers import decode, interface, live, simulator, video
from helpers.waiting import eventually, is_inside

COUNT = 40
RET_CODE = 0  # ACLSIM_FRAME_RET_CODE


@pytest.fixture(scope="module")
def frames():
    return video.synthetic(128, 128, COUNT)


def plain_bytes(frames, backend, **options):
    with venc.Encoder(128, 128, codec="h264", backend=backend, **options) as enc:
        return b"".join(bytes(packet) for packet in enc.encode_iter(frames))


def test_programs_that_are_started_inherit_no_descriptor_of_the_engines(backend):
    reader, writer = os.pipe()
    before = live.descriptors()
    try:
        with venc.Encoder(128, 128, codec="h264", backend=backend, sink=writer):
            made = {number: what for number, what in live.descriptors().items() if before.get(number) != what}
            assert os.readlink(f"/proc/self/fd/{writer}") in made.values(), "a duplicate of the sink"
            inherited = [number for number in made if not fcntl.fcntl(number, fcntl.F_GETFD) & fcntl.FD_CLOEXEC]
            assert inherited == []
    finally:
        os.close(reader)
        os.close(writer)


def test_file_holds_what_receive_would_have_returned(frames, backend, tmp_path):
    path = tmp_path / "out.h264"
    with path.open("wb") as file, venc.Encoder(128, 128, codec="h264", backend=backend, sink=file) as enc:
        for number, frame in enumerate(frames[: COUNT // 2]):
            assert enc.submit(frame, token=object()) == number
        assert enc.encode(frames[COUNT // 2]) == []
        assert enc.flush() == []
        assert (enc.stats.written, enc.stats.ready) == (COUNT // 2 + 1, 0)
        assert os.fstat(file.fileno()).st_size == enc.stats.bytes_out
        for frame in frames[COUNT // 2 + 1 :]:
            enc.submit(frame)
    assert path.read_bytes() == plain_bytes(frames, backend)
    assert len(decode.frames(path.read_bytes(), "h264")) == COUNT


def test_sink_gets_all_where_the_end_of_a_predecessor_failed(frames, backend, tmp_path):
    path, sim = tmp_path / "out.h264", simulator.shared()
    wide = video.synthetic(192, 128, 4)
    with path.open("wb") as file:
        enc = venc.Encoder(128, 128, codec="h264", backend=backend, sink=file, timeout=10)
        enc.submit(frames[0])
        enc.flush()
        with sim.failing_call(interface.DESTROY, after=True):
            enc.reconfigure(width=192)
            eventually(lambda: core.live()["CHANNEL"] == 1)
        with sim.options(stall=1):
            for frame in wide:
                enc.submit(frame)
            raised = []

            def close():
                with pytest.raises(venc.AclError) as caught:
                    enc.close()
                raised.append(caught.value)

            closing = threading.Thread(target=close)
            closing.start()
            eventually(lambda: raised or is_inside(closing, "_end_close"))
        closing.join()
    assert (raised[0].code, raised[0].call) == (507899, interface.DESTROY)
    assert (enc.stats.written, core.live()["CHANNEL"]) == (5, 0)
    assert os.stat(path).st_size == enc.stats.bytes_out


def test_descriptor_is_the_programs_own_which_may_close_it_at_once(frames, backend):
    reader, writer = os.pipe()
    flags = fcntl.fcntl(writer, fcntl.F_GETFL), fcntl.fcntl(writer, fcntl.F_GETFD)
    with venc.Encoder(128, 128, codec="h264", sink=writer, backend=backend) as enc:
        assert (fcntl.fcntl(writer, fcntl.F_GETFL), fcntl.fcntl(writer, fcntl.F_GETFD)) == flags
        os.close(writer)
        for frame in frames[:3]:
            enc.submit(frame)
        enc.flush()
        written = enc.stats.bytes_out
    with open(reader, "rb") as stream:
        assert len(stream.read()) == written > 0, "and the pipe ends with the encoder"


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_slow_reader_gets_everything_in_order(frames, backend, kind):
    if kind == "pipe":
        reader, writer = os.pipe()
        read, close = (lambda: os.read(reader, 700)), (lambda: os.close(reader))
    else:
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        writer = ours.detach()
        read, close = (lambda: theirs.recv(700)), theirs.close
    received = []

    def drain():
        while data := read():
            received.append(data)
            time.sleep(0.0005)

    thread = threading.Thread(target=drain)
    thread.start()
    try:
        with venc.Encoder(128, 128, codec="h264", bitrate="4M", backend=backend, sink=writer, max_queued=4) as enc:
            for frame in frames:
                enc.submit(frame)
    finally:
        os.close(writer)
        thread.join()
        close()
    assert b"".join(received) == plain_bytes(frames, backend, bitrate="4M")


def test_more_access_units_than_one_write_takes_are_written_when_the_reader_reads_on(frames, backend):
    reader, writer = os.pipe()
    received = []

    def read():
        while data := os.read(reader, 1 << 16):
            received.append(data)

    reading = threading.Thread(target=read)
    many = frames[:1] * 200
    with simulator.shared().options(null_codec=4096):
        enc = venc.Encoder(128, 128, codec="h264", backend=backend, sink=writer, max_queued=256)
        os.close(writer)
        for frame in many:
            enc.submit(frame)
        eventually(lambda: enc.stats.encoded == len(many))
        assert enc.stats.ready > 100, "a pipe holds no more than a part of them"
        reading.start()
        enc.close()
    reading.join()
    os.close(reader)
    assert len(b"".join(received)) == enc.stats.bytes_out >= 4096 * len(many)


def test_broken_pipe_is_reported_and_what_was_not_written_is_received(frames, backend):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        with venc.Encoder(128, 128, codec="h264", backend=backend, sink=writer) as enc:
            with pytest.raises(venc.SinkError, match="Broken pipe") as caught:
                for frame in frames:
                    enc.submit(frame)
                enc.flush()
            assert isinstance(caught.value, OSError)
            assert f"errno {errno.EPIPE}" in str(caught.value)
            sent = enc.stats.submitted
            assert [enc.receive(20).frame_index for _ in range(sent)] == list(range(sent))
    finally:
        os.close(writer)


def test_reader_that_reads_nothing_holds_up_neither_other_encoders_nor_close(frames, backend):
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    while True:  # full from the start
        try:
            os.write(writer, bytes(4096))
        except BlockingIOError:
            break
    os.set_blocking(writer, True)
    try:
        stuck = venc.Encoder(128, 128, codec="h264", backend=backend, sink=writer, max_queued=4, timeout=2)
        with pytest.raises(venc.AclTimeoutError, match="packets wait"):
            for frame in frames:
                stuck.submit(frame)
        with venc.Encoder(128, 128, codec="h264", backend=backend) as other:
            assert len(list(other.encode_iter(frames))) == COUNT
        begin = time.monotonic()
        with pytest.warns(venc.DroppedPacketsWarning, match="dropped"):
            stuck.close()
        assert time.monotonic() - begin < 10
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.sim_only
def test_failed_frame_is_reported_and_the_others_are_written(frames, backend, tmp_path):
    path = tmp_path / "out.h264"
    with path.open("wb") as file, venc.Encoder(128, 128, codec="h264", backend=backend, sink=file) as enc:
        with simulator.shared().failing_frame(RET_CODE, 3, 1):
            with pytest.raises(venc.FrameError) as caught:
                for frame in frames:
                    enc.submit(frame)
                while True:
                    enc.flush()
                    enc.receive(1)
            assert caught.value.frame_index == 2
        enc.flush()
        assert enc.stats.written == COUNT - 1


@pytest.mark.sim_only
def test_what_follows_a_failed_frame_is_written_before_the_encoder_closes(frames, backend, tmp_path):
    path = tmp_path / "out.h264"
    with path.open("wb") as file:
        enc = venc.Encoder(128, 128, codec="h264", backend=backend, sink=file, max_queued=4)
        with simulator.shared().failing_frame(RET_CODE, 3, 1):
            for frame in frames:
                enc.submit(frame, timeout=5)
        eventually(lambda: enc.stats.queued == 0)  # on V2 behind an IDR that the device takes when it is empty
        with pytest.warns(venc.DroppedPacketsWarning, match="1 packet"):  # nobody asked for the frame that failed
            enc.close()
    assert (enc.stats.written, enc.stats.failed) == (COUNT - 1, 1)
    assert path.stat().st_size == enc.stats.bytes_out


def test_bad_sink_is_refused(backend):
    reader, writer = os.pipe()
    os.close(reader)
    os.close(writer)
    with pytest.raises(venc.InvalidArgumentError, match=r"sink is .* no open file descriptor"):
        venc.Encoder(128, 128, backend=backend, sink=writer)
    with pytest.raises(TypeError, match="sink must be a file descriptor"):
        venc.Encoder(128, 128, backend=backend, sink="out.h264")
    with pytest.raises(venc.InvalidArgumentError, match="drop_oldest"):
        venc.Encoder(128, 128, backend=backend, sink=1, on_full="drop_oldest")
