# SPDX-License-Identifier: Apache-2.0
"""The C-level channel that `Encoder` drives: one native call per frame or batch, waits that Ctrl-C interrupts.

What a frame is checked against never changes in a `Channel`. Another size is another Channel, which takes its place; a frame
that comes to one that was replaced is checked anew against its successor. Settings are values, by epoch. Packets, counters and the end belong to the stream that they share.

Invariant: no Python code runs (signal handlers, `__buffer__`, DLPack, callbacks) while a native lock, a picture buffer or
the right to send is held by the call. A wait that Python's signals interrupt is a native call that came back first.

Signal handlers are asked for right before packets are taken: a handler that raises behind the call, where the interpreter
would run it next, would leave them to nobody. What comes while they are wrapped (microseconds, with the GIL) still does.
"""
import time

cimport cython
from cpython.buffer cimport PyBuffer_Release, PyObject_CheckBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.long cimport PyLong_AsLongAndOverflow
from libc.math cimport INFINITY
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from .. import errors, picture_quality
from ..arguments import check_range, check_timeout, index_of, shown
from ..pixel_formats import fix_of_type
from .cavenc cimport *
from .convert cimport Converter
from .core cimport check, count_tickets, failed_detail, failure_of
from .device cimport Device
from .device_memory cimport DeviceFrame, host_array, import_tensor
from .frames cimport Frame, hold_host_frame, host_frame, new_frame, release_host_frame
from .packet cimport Packet, wrap_packets, wrap_promised
from .stream cimport (
    BLOCK, DROP_NEWEST, DROP_OLDEST, Stream, Ticket, cancel_all, keep_refused, let_go_of_ended, refuse_closed)
from .wait cimport begin_wait, look
from .waitset cimport WaitSet

from ..sei import unit_of, units_of
from .stream import _open_streams

cdef enum:
    BATCH = 64  # packets taken by a call that sends
    MOST_ON_STACK = 1024  # packets taken without asking how many there are
    LAST_OF_OURS = -0x10000  # statuses below it are the device's codes: DVPP V2's have the highest bit
    MAX_SCRATCH = 256  # frames: the memory of a larger batch is not kept

cdef enum:  # what _submit_plain came to
    OTHER_WAY
    NO_ROOM
    ACCEPTED

cdef enum:  # what a submission came to, besides the frame's number
    DROPPED = -1
    REPLACED = -2
    NO_ROOM_NOW = -3
    NO_MEMORY_NOW = -4  # there is room, whose memory is being made: no packet's coming ends that
    CALL_AGAIN = -5  # of one native call: it is to be made again

cdef enum:  # how a frame is to go
    DIRECT
    AT_ONCE  # likewise, and without any wait: NO_ROOM_NOW where `on_full` says to wait, or NO_MEMORY_NOW
    QUEUED  # copied, and sent by a native thread
    BORROWED  # queued, and copied by that thread
    OFFERED  # QUEUED, and without any wait

ON_FULL: tuple[OnFull, ...] = ("block", "drop_newest", "drop_oldest", "error")


cdef int64_t pts_of(object pts) except? -1:
    if type(pts) is not int:
        pts = index_of("pts", pts, "an int in units of time_base, or None")
    try:
        return pts
    except OverflowError:
        raise errors.InvalidArgumentError(f"pts is {shown(pts)}; allowed is -2**63 to 2**63 - 1") from None


cdef Py_ssize_t count_of(object number, str name, Py_ssize_t highest) except -1:
    """An int from 1 to `highest`, or the exception that says so."""
    cdef int overflow = 0
    cdef long value
    if type(number) is int:
        value = PyLong_AsLongAndOverflow(number, &overflow)
        if overflow == 0 and 1 <= value <= highest:
            return value
    return check_range(number, name, 1, highest)


cdef object seconds_of(object timeout):
    """A bound of a wait in seconds, None for none, or the exception that says so."""
    if timeout is None or (type(timeout) is float and 0 <= <double>timeout < INFINITY):
        return timeout
    return check_timeout(timeout)


cdef bytes sei_of(object messages, int32_t stream_format):
    """The NAL unit of a frame's SEI messages; None of None."""
    return None if messages is None else unit_of(messages, stream_format, AVENC_MAX_SEI)


cdef inline object item(list values, Py_ssize_t i):
    return None if values is None else values[i]


cdef inline void begin_submission(avenc_submission *submission, bint number_pts, int64_t pts, bint key_frame,
                                  bytes unit) noexcept:
    """All but the picture and what comes with it. The caller keeps the unit of the frame's SEI until the frame is taken."""
    submission.number_pts = number_pts
    submission.pts = pts
    submission.converted = submission.promised = False
    submission.force_idr = key_frame
    submission.tag = 0
    submission.sei_size = 0
    if unit is not None:
        submission.sei = <const uint8_t *>PyBytes_AS_STRING(unit)
        submission.sei_size = <size_t>PyBytes_GET_SIZE(unit)


cdef Channel successor_of(Channel channel):
    """The channel that has this one's place, which the engine says was replaced."""
    if channel.successor is None:
        raise errors.from_status(AVENC_E_REPLACED, "", "the channel was replaced, and nothing is known of its successor")
    return channel.successor


cdef str who_takes(int how):
    """What takes the frames that are not copied; asyncio's encoder has no such call."""
    return "ascend_venc.Encoder.submit()" if how == OFFERED else "submit()"


ctypedef int (*waiting_call)(avenc_channel *channel, const avenc_wait *wait) noexcept nogil  # avenc_channel_wait_...


cdef int wait_room(avenc_channel *channel, const avenc_wait *wait) noexcept nogil:
    return avenc_channel_wait_room(channel, False, wait)


cdef int wait_memory(avenc_channel *channel, const avenc_wait *wait) noexcept nogil:
    return avenc_channel_wait_room(channel, True, wait)


@cython.final
cdef class Channel:
    """Channel(device, config, converter, timeout, predecessor=None, epoch=0, *, queue=0, max_queued=0, \
on_full='block', max_latency=0.0, stall=None, sink=-1, aud=False)\n--\n
    One hardware encoder channel, opened by a native thread that is waited for up to `timeout` seconds.

    Parameters
    ----------
    device : Device
    config : EncoderConfig
        Validated by the caller.
    converter : Converter or None
        What turns frames in host memory into what the device takes.
    timeout : float or None
        Seconds to wait for the device; None: without bound.
    predecessor : Channel, optional
        Whose place it is to take by `succeed`; it shares that one's stream.
    epoch : int
        Of the predecessor's settings that `config` was made from. The rest is the first channel's:
    queue : int
        Frames that may wait natively, 0 to 256.
    max_queued : int
        Packets that may wait to be received, 0: any number.
    on_full : str
        One of ON_FULL.
    max_latency : float
        Seconds for which packets may be collected before a receiver wakes.
    stall : float or None
        Seconds without progress after which a wait gives up; None: never.
    sink : int
        File descriptor that access units are written to instead of being handed out, or -1.
    aud : bool
        An access-unit delimiter in front of each access unit.

    Safe to use from several threads; frames of concurrent callers are sent in an unspecified order. Calls that wait do so
    without the GIL.
    """

    cdef object __weakref__
    cdef avenc_channel *_h  # valid as long as this object lives
    cdef readonly Stream stream
    cdef object _first_config  # EncoderConfig that it was opened with; the present one is the stream's, by epoch
    cdef bint _placed  # it has its place: frames come to it
    cdef bint _outdated  # its predecessor's settings were changed after its own had been made from them
    cdef readonly uint32_t width
    cdef readonly uint32_t height
    cdef avenc_channel_config _config
    cdef Converter _converter  # of frames to NV12, or None
    cdef readonly Channel successor  # what took this one's place, or None
    cdef void *_scratch  # of submit_many, for _scratch_size frames; NULL: in use, or none yet
    cdef Py_ssize_t _scratch_size

    def __cinit__(self, Device device not None, config: EncoderConfig, Converter converter, timeout: float | None,
                  Channel predecessor=None, uint32_t epoch=0, *, unsigned int queue=0, unsigned int max_queued=0,
                  str on_full="block", double max_latency=0.0, stall: float | None = None, int sink=-1, bint aud=False):
        cdef avenc_wait wait
        cdef int status = AVENC_E_LOOK
        if predecessor is not None and predecessor.stream.closed:
            refuse_closed()
        device._info()
        begin_wait(&wait, timeout, None)
        self._converter = converter
        self._first_config = config
        self.width = config.width
        self.height = config.height
        if predecessor is not None:
            self._config = predecessor._config
            self.stream = predecessor.stream
        else:
            self.stream = Stream(device)
            self.stream.on_full = ON_FULL.index(on_full)
            self.stream.coalesce_us = <uint32_t>(max_latency * 1e6)
            self.stream.stall = stall
            self._config.queue = queue
            self._config.max_ready = max_queued
            self._config.drop_oldest = self.stream.on_full == DROP_OLDEST
            self._config.aud = aud
        self._config.en_type = config.stream_format
        self._config.pic_format = config.device_pixel_format
        self._config.width = self.width
        self._config.height = self.height
        self._config.depth = config.depth
        self._config.scene = 0 if config.scene is None else 1 + picture_quality.SCENES[config.scene]
        if config.intra_refresh is not None:
            self._config.refresh_count = config.intra_refresh.rows or config.intra_refresh.columns
            self._config.refresh_columns = config.intra_refresh.columns is not None
            self._config.refresh_i_qp = config.intra_refresh.i_qp
        set_rate(&self._config, config)
        if self.stream.device._h == NULL:  # closed since the settings were looked at, which are objects of Python
            refuse_closed()
        check(avenc_channel_create(
            self.stream.device._h, &self._config, NULL if predecessor is None else predecessor._h, &self._h))
        self._outdated = predecessor is not None and avenc_channel_epoch(predecessor._h) != epoch
        self._fail(self._wait(avenc_channel_wait_open, &wait))
        if predecessor is None:
            avenc_channel_retain(self._h)
            self.stream._h = self._h
            self.stream.begin_epoch(config, 1 / config.fps)
            self._placed = True
            _open_streams[self.stream] = None
            if sink >= 0:
                while look(status):
                    with nogil:
                        status = avenc_channel_set_sink(self._h, sink, self.stream.coalesce_us, &wait)
                check(status)
                self.stream.sink = sink

    def __dealloc__(self):
        PyMem_Free(self._scratch)
        avenc_channel_release(self._h)

    cdef int _wait(self, waiting_call call, const avenc_wait *wait) except? -1:
        """Return the status with which the call ends; Python's signal handlers run meanwhile, and may raise."""
        cdef int status = AVENC_E_LOOK
        while look(status):
            with nogil:
                status = call(self._h, wait)
        return status

    # ---- frames in ---------------------------------------------------------------------------------------------------

    cdef int _fail(self, int status) except -1:
        """Raise for a status that is not to be had by waiting."""
        if status == AVENC_E_CLOSED:
            refuse_closed()
        return check(status)

    cdef int64_t _refuse(self, int status, bint key_frame) except -9:
        """The native call refused the frame for good: DROPPED or REPLACED, else an exception."""
        if status == AVENC_E_REPLACED:
            return REPLACED
        if status == AVENC_E_FULL and self.stream.on_full in (DROP_NEWEST, DROP_OLDEST):
            self.stream.refused += 1
            self.stream.key_frame_owed = self.stream.key_frame_owed or key_frame
            return DROPPED
        if self._is_full(status):
            raise errors.from_status(AVENC_E_TIMEOUT, "", failed_detail())
        if status == AVENC_E_DRAINED:
            raise errors.from_status(
                AVENC_E_CLOSED, "", "drain() has declared the end of the stream: no further frames are taken")
        self._fail(status)
        return DROPPED

    cdef bint _is_full(self, int status):
        """There is no room, or none yet, and `on_full` says to wait for it."""
        return status == AVENC_E_AGAIN or (status == AVENC_E_FULL and self.stream.on_full == BLOCK)

    cdef int _in_the_way(self, int status, avenc_wait *wait) except? -1:
        """After a status of a submission: AVENC_OK to call again, or why not. Nothing native is held: handlers may run here."""
        if status == AVENC_E_AGAIN:  # a picture buffer is being made: that is waited for whatever `on_full` says
            return self._wait(wait_memory, wait)
        return AVENC_OK if look(status) else status

    cdef int64_t _not_taken(self, int status, bint key_frame, avenc_wait *wait, int how) except -9:
        """What comes of a native call that did not take the frame: CALL_AGAIN, or the submission's outcome."""
        if (how == AT_ONCE or how == OFFERED) and self._is_full(status):
            return NO_MEMORY_NOW if status == AVENC_E_AGAIN else NO_ROOM_NOW
        status = self._in_the_way(status, wait)
        return CALL_AGAIN if status == AVENC_OK else self._refuse(status, key_frame)

    cdef int64_t _send(self, const avenc_device_picture *picture, Ticket ticket, avenc_submission *submission,
                       avenc_wait *wait, int how) except -9:
        """Send a picture that is as the device takes it: in host memory (NULL), or the ticket's owner's on the device."""
        cdef uint64_t index = 0
        cdef int64_t outcome = CALL_AGAIN
        cdef int status
        cdef const avenc_wait *bound = wait if self.stream.on_full == BLOCK and how != AT_ONCE else NULL
        while outcome == CALL_AGAIN:
            with nogil:
                if picture == NULL:
                    status = avenc_channel_submit(self._h, submission, bound, &index)
                else:
                    status = avenc_channel_submit_device(self._h, picture, submission, bound, &index)
            if status == AVENC_OK:
                return <int64_t>index
            if picture != NULL:
                ticket.refused = status > 0 or status < LAST_OF_OURS
            outcome = self._not_taken(status, submission.force_idr, wait, how)
        return outcome

    cdef int64_t _enqueue(self, avenc_submission *submission, avenc_wait *wait, int how) except -9:
        """The GIL is kept for a copy that is shorter than winning it back, and given up to wait for room."""
        cdef uint64_t index = 0
        cdef int64_t outcome = CALL_AGAIN
        cdef int status
        cdef bint copies = how != BORROWED
        cdef bint drops = self.stream.on_full == DROP_OLDEST
        cdef bint long_copy = copies and self.width * self.height * 3 // 2 > AVENC_SHORT_COPY_BYTES
        while outcome == CALL_AGAIN:
            if long_copy:
                with nogil:
                    status = avenc_channel_enqueue(self._h, submission, copies, drops, &index)
            else:
                status = avenc_channel_enqueue(self._h, submission, copies, drops, &index)
            if status == AVENC_OK:
                return <int64_t>index
            if status == AVENC_E_FULL and self.stream.on_full == BLOCK and how != OFFERED:
                status = self._wait(wait_room, wait)
                outcome = CALL_AGAIN if status == AVENC_OK else self._refuse(status, submission.force_idr)
            else:
                outcome = self._not_taken(status, submission.force_idr, wait, how)
        return outcome

    cdef int64_t _send_acquired(self, object frame, avenc_submission *submission, avenc_wait *wait) except -9:
        cdef Frame picture = frame
        cdef uint64_t index = 0
        cdef int status = AVENC_OK
        picture._check()
        if (<Channel>picture._channel).stream is not self.stream:
            raise errors.InvalidArgumentError("frame was acquired from another encoder: submit it there")
        if picture._channel is not self:
            raise errors.InvalidArgumentError("frame was acquired before reconfigure(): acquire() another one")
        picture._submitted = picture._submitting = True  # nobody takes a view of it, or submits it, meanwhile
        try:
            while True:
                with nogil:
                    status = avenc_frame_submit(picture._h, submission, 0, wait, &index)
                if status == AVENC_OK or not look(status):
                    break
        finally:
            picture._submitting = False
            picture._submitted = status == AVENC_OK
        if status == AVENC_E_REPLACED:
            raise errors.InvalidArgumentError("frame was acquired before reconfigure(): acquire() another one")
        if status != AVENC_OK:
            return self._refuse(status, submission.force_idr)
        picture._give_back_if_done()
        return <int64_t>index

    cdef int64_t _send_converted(self, object frame, avenc_submission *submission, avenc_wait *wait, int how) except -9:
        """Convert a frame straight into a slot, and send or queue it."""
        cdef Py_buffer views[3]
        cdef const uint8_t *planes[3]
        cdef size_t strides[3]
        cdef avenc_frame *slot = NULL
        cdef avenc_frame_memory memory
        cdef uint64_t index = 0
        cdef int64_t outcome = CALL_AGAIN
        cdef int status, i, view_count
        cdef bint drops = self.stream.on_full == DROP_OLDEST
        cdef int flags = AVENC_FRAME_QUEUE if how > AT_ONCE or drops else 0
        cdef const avenc_wait *bound = wait if self.stream.on_full == BLOCK and how != OFFERED else NULL
        view_count = self._converter.view(frame, views, planes, strides)
        submission.converted = True
        try:
            while outcome == CALL_AGAIN:
                with nogil:
                    status = avenc_channel_acquire(self._h, bound, &slot, &memory)
                    if status == AVENC_E_FULL and drops and avenc_channel_drop_oldest(self._h):
                        status = avenc_channel_acquire(self._h, NULL, &slot, &memory)
                    if status == AVENC_OK:
                        status = avenc_converter_convert(
                            self._converter._h, planes, strides, memory.y, memory.stride, memory.uv, memory.stride)
                        if status == AVENC_OK:
                            status = avenc_frame_submit(slot, submission, flags, bound, &index)
                        avenc_frame_release(slot)
                if status == AVENC_OK:
                    return <int64_t>index
                outcome = self._not_taken(status, submission.force_idr, wait, how)
            return outcome
        finally:
            for i in range(view_count):
                PyBuffer_Release(&views[i])

    cdef int64_t _attempt(self, object frame, avenc_submission *submission, object token, object future,
                          avenc_wait *wait, int how, object hand_over) except -9:
        """Submit one frame of any kind to this very channel."""
        cdef host_frame held
        cdef Ticket ticket = None
        cdef object owner = None, tag = None
        cdef int64_t index = -9
        cdef bint acquired = type(frame) is Frame
        cdef bint converted = self._converter is not None and not acquired
        cdef bint lent = False
        held.view_count = 0
        if acquired:
            if how > AT_ONCE:
                raise TypeError(f"frame is a Frame of acquire(): {who_takes(how)} takes it, without a copy")
        elif converted:
            frame = as_host_array(frame, self._converter)
        elif PyObject_CheckBuffer(frame) or type(frame) is tuple:
            hold_host_frame(frame, self.width, self.height, &held)
            if how == BORROWED:  # by memoryviews, through which the collector sees whose memory it is
                release_host_frame(&held)
                owner = plain_memory(frame)
                hold_host_frame(owner, self.width, self.height, &held)
        elif type(frame) is not DeviceFrame:
            owner = import_tensor(frame, self.width, self.height, &held)
            if type(owner) is DeviceFrame:
                frame = owner
        try:
            if type(frame) is DeviceFrame:
                if how > AT_ONCE:
                    raise errors.InvalidArgumentError(
                        f"frame is in device memory: there is nothing to copy; use {who_takes(how)}")
                owner = frame  # let go of when the device has read it
            submission.promised = future is not None
            if type(frame) is DeviceFrame or (how == BORROWED and not converted):
                self.stream.begin_to_lend()
                lent = True
            if lent or future is not None:
                ticket = Ticket.__new__(Ticket)
                ticket.token = token
                ticket.future = future
                ticket.owner = owner if lent else None
                if type(frame) is DeviceFrame:
                    avenc_channel_retain(self._h)
                    ticket.channel = self._h
                tag = self.stream.add_entry(ticket)
            elif token is not None:
                tag = self.stream.add_entry(token)
            submission.tag = 0 if tag is None else tag
            if hand_over is not None:
                hand_over(self, future)
            if converted:
                index = self._send_converted(frame, submission, wait, how)
            elif acquired:
                index = self._send_acquired(frame, submission, wait)
            elif type(frame) is DeviceFrame:
                (<DeviceFrame>frame)._check_size(self.width, self.height, self.stream.device.device_id)
                index = self._send(&(<DeviceFrame>frame)._picture, ticket, submission, wait, how)
            else:
                submission.picture = held.picture
                if how <= AT_ONCE and self.stream.on_full != DROP_OLDEST:
                    index = self._send(NULL, None, submission, wait, how)
                else:
                    index = self._enqueue(submission, wait, QUEUED if how == DIRECT else how)
            return index
        finally:
            self.stream.lending -= lent
            release_host_frame(&held)
            if index < 0 and tag is not None:
                self.stream.drop_entry(tag)
                if ticket is not None and ticket.refused:
                    keep_refused(ticket)

    cdef int64_t _submit(self, object frame, object pts, bint key_frame, object token, object future, bytes sei,
                         avenc_wait *wait, int how, object hand_over) except -9:
        """Submit one frame, with the NAL unit of its SEI or None, to the channel that has this one's place by now."""
        cdef avenc_submission submission
        cdef Channel channel = self
        cdef Stream stream = self.stream
        cdef int64_t index = -9
        cdef bint owed
        stream.forget_dropped()
        stream.note_submitter()
        begin_submission(&submission, pts is None, 0 if pts is None else pts_of(pts), key_frame, sei)
        owed = stream.key_frame_owed
        submission.force_idr = key_frame or owed
        stream.key_frame_owed = False  # this frame makes up for it, unless it is not taken
        try:
            while True:
                index = channel._attempt(frame, &submission, token, future, wait, how, hand_over)
                if index != REPLACED:
                    break
                channel = successor_of(channel)
                frame = plain_memory(frame)
        finally:
            if index < 0 and owed:
                stream.key_frame_owed = True
        if index >= 0:
            stream.next_index = index + 1
        if stream.on_full == DROP_OLDEST:
            try:
                stream.forget_dropped()  # the Future of the frame that made room has its end now
            except MemoryError:  # the frame is sent: the next call goes on
                pass
        return index

    cdef int _submit_plain(self, object frame, object pts, bint key_frame, object token, bytes unit,
                           const avenc_wait *wait, uint64_t *index) except -1:
        """The common case, in one place: a frame in one piece of host memory, as the device takes it. ACCEPTED, or nothing has
        changed: NO_ROOM, or OTHER_WAY, for a frame of another kind or a state that `_submit` deals with."""
        cdef avenc_submission submission
        cdef host_frame held
        cdef object tag = None
        cdef int status = AVENC_E_FULL
        cdef Stream stream = self.stream
        if not PyObject_CheckBuffer(frame) or type(frame) is Frame or self._converter is not None \
                or stream.on_full == DROP_OLDEST or stream.key_frame_owed:
            return OTHER_WAY
        stream.forget_dropped()
        stream.note_submitter()
        begin_submission(&submission, pts is None, 0 if pts is None else pts_of(pts), key_frame, unit)
        hold_host_frame(frame, self.width, self.height, &held)
        try:
            if token is not None:
                tag = stream.add_entry(token)
                submission.tag = tag
            submission.picture = held.picture
            with nogil:
                status = avenc_channel_submit(self._h, &submission, wait, index)
            if status == AVENC_OK:
                stream.next_index = <int64_t>index[0] + 1
            elif status not in (AVENC_E_FULL, AVENC_E_AGAIN, AVENC_E_REPLACED, AVENC_E_LOOK):
                self._refuse(status, key_frame)
            return ACCEPTED if status == AVENC_OK else NO_ROOM if status == AVENC_E_FULL else OTHER_WAY
        finally:
            release_host_frame(&held)
            if tag is not None and status != AVENC_OK:
                stream.drop_entry(tag)

    cdef object _submit_now(self, object frame, object pts, bint key_frame, object token, object sei, object timeout,
                            int how, object future, object hand_over):
        """Submit one frame, and return its number; None if it was dropped, False if it found no room at this moment."""
        cdef avenc_wait wait
        cdef bytes unit = sei_of(sei, self._config.en_type)
        cdef int64_t expected = self.stream.next_index
        cdef object number = expected  # made now: an exception for want of memory would say that the frame was not sent
        cdef uint64_t sent = 0
        if pts is not None and type(pts) is not int:
            pts = pts_of(pts)  # asked once, however often it is tried
        begin_wait(&wait, timeout, None)
        if how == DIRECT and future is None and self._submit_plain(
                frame, pts, key_frame, token, unit, &wait if self.stream.on_full == BLOCK else NULL, &sent) == ACCEPTED:
            return number if <int64_t>sent == expected else sent
        cdef int64_t index = self._submit(frame, pts, key_frame, token, future, unit, &wait, how, hand_over)
        if index <= NO_ROOM_NOW:
            return False
        return None if index < 0 else number if index == expected else index

    def submit(self, frame, pts: int | None, bint key_frame, token, timeout: float | None,
               future: Future[Packet] | None = None, sei: Iterable[Any] | None = None,
               hand_over: Callable[[Channel, Future[Packet]], None] | None = None) -> int | None:
        """Submit one frame of any kind; return its number, or None if it was dropped for lack of room.

        Waits up to `timeout` seconds (None: without bound) for room where `on_full` is "block". With a Future its packet
        goes to `take_promised`; `hand_over(channel, future)` is called before each attempt to send it, and may raise.
        """
        return self._submit_now(frame, pts, key_frame, token, sei, timeout, DIRECT, future, hand_over)

    def enqueue(self, frame, pts: int | None, bint key_frame, token, bint copy, timeout: float | None,
                sei: Iterable[Any] | None = None) -> int | None:
        """Queue a host frame for a native thread to send; return its number, or None if it was dropped.

        Keeps the GIL for a copy of up to 4 MiB: winning it back costs more wherever other threads compute. Without `copy`
        the frame's buffer must not be changed until its packet has been received, and stays exported until it has been read.
        A frame that is to be converted is so at once, without the GIL.
        """
        return self._submit_now(frame, pts, key_frame, token, sei, timeout, QUEUED if copy else BORROWED, None, None)

    def offer(self, frame, pts: int | None, bint key_frame, token, sei: Iterable[Any] | None = None) -> int | Literal[False] | None:
        """As `enqueue` with a copy, but without any wait: False where there is no room at this moment."""
        return self._submit_now(frame, pts, key_frame, token, sei, 0, OFFERED, None, None)

    @property
    def short_copy(self) -> bool:
        """Whether a frame in host memory is copied, as it is, in less time than winning the GIL back takes."""
        return self._converter is None and self.width * self.height * 3 // 2 <= AVENC_SHORT_COPY_BYTES

    def encode(self, frame, pts: int | None, bint key_frame, token, timeout: float | None,
               sei: Iterable[Any] | None = None) -> list[Packet]:
        """Submit one frame and return the packets that are ready, oldest first; never waits for the one just sent.

        Takes packets before it waits for room: it never waits for itself. For NV12 and NV21 in host memory the GIL is given
        up once. Where a signal's handler raises, the frame may have been sent, and the packets stay to be taken.
        """
        cdef avenc_packet *ready[BATCH]
        cdef size_t count = 0
        cdef avenc_wait wait
        cdef uint64_t index = 0
        cdef Stream stream = self.stream
        cdef list packets = []
        cdef bytes unit = sei_of(sei, self._config.en_type)
        if pts is not None and type(pts) is not int:
            pts = pts_of(pts)
        cdef int outcome = self._submit_plain(frame, pts, key_frame, token, unit, NULL, &index)  # no wait, and no clock
        if outcome == ACCEPTED:
            PyErr_CheckSignals()
            try:
                self._raise_failure()
                avenc_channel_take(self._h, 0, ready, BATCH, &count)
                if count == 0:
                    return packets
                packets = wrap_packets(
                    self._h, ready, count, stream.entries, stream.time_bases, &stream.dropped) or packets
            except MemoryError:  # nothing is taken; an exception would say that the frame was not sent
                return packets
            return packets if count < BATCH else self._with_the_rest(packets)
        begin_wait(&wait, timeout, stream.stall)
        return self._encode_in_turns(frame, pts, key_frame, token, unit, &wait, outcome)

    cdef list _with_the_rest(self, list packets):
        try:
            return self._all_of(packets)
        except BaseException:
            self.put_back(packets)
            raise

    cdef list _encode_in_turns(self, object frame, object pts, bint key_frame, object token, bytes unit, avenc_wait *wait,
                               int outcome):
        """encode where there is no room, or the frame is of another kind: packets are taken while it waits for room."""
        cdef int64_t index
        cdef uint64_t sent = 0
        cdef int status
        cdef list packets = []
        cdef Channel channel = self
        cdef avenc_wait at_once = avenc_wait_for(0), send_wait = wait[0]
        send_wait.stall_ns = AVENC_FOR_EVER
        cdef bint full
        cdef Py_ssize_t known
        try:
            known = len(self.stream.failures)
            self._take_into(packets)
            full = outcome == NO_ROOM and not packets and len(self.stream.failures) == known  # as a moment ago
            while (self.stream.on_full == BLOCK and self.stream.sink < 0
                   and type(frame) is not Frame):
                # Like asyncio: no wait inside, so that what comes meanwhile can be taken.
                index = NO_ROOM_NOW
                if not full:
                    if outcome == NO_ROOM:
                        outcome = self._submit_plain(frame, pts, key_frame, token, unit, NULL, &sent)
                    if outcome == OTHER_WAY:
                        index = self._submit(frame, pts, key_frame, token, None, unit, &at_once, AT_ONCE, None)
                    if index > NO_ROOM_NOW or outcome == ACCEPTED:
                        return self._all_of(packets)
                full = False
                if index == NO_MEMORY_NOW:
                    status = channel._wait(wait_memory, &send_wait)
                else:
                    with nogil:
                        status = avenc_channel_wait(channel._h, 1, wait, 0, AVENC_WAIT_IN_PLACE)
                if status == AVENC_OK:
                    self._take_into(packets)
                elif status == AVENC_E_REPLACED:  # there is room in another one
                    channel = successor_of(channel)
                elif status == AVENC_E_DRAINED or status == AVENC_E_AGAIN:
                    break  # nothing is in flight: it is not the device that there is to wait for; or the time is over
                elif status == AVENC_E_TIMEOUT and time.monotonic() * 1e9 >= <double>wait.deadline_ns:
                    break  # to be told what there is no room for
                elif not look(status):
                    self._fail(status)
            self._submit(frame, pts, key_frame, token, None, unit, &send_wait, DIRECT, None)
            return self._all_of(packets)
        except BaseException:
            self.put_back(packets)
            raise

    def take_into(self, list packets not None):
        """Take what is ready, without waiting. The failure of a frame is raised by what takes packets next."""
        self._take_into(packets)

    cdef int _take_into(self, list packets) except -1:
        cdef list taken = None
        while taken is None or len(taken) == BATCH:
            try:
                taken = self._take_native(BATCH)
            except errors.FrameError as failure:
                self.stream.failures.append(failure)
                continue
            try:  # one by one: CPython 3.11 keeps a list for ever for which `extend` has no memory
                for packet in taken:
                    packets.append(packet)
            except BaseException:
                self.put_back(taken)  # also those of `packets`, which its owner puts back: a second time does nothing
                raise
        return 0

    def all_of(self, list packets not None) -> list[Packet]:
        """Those, and what is ready besides; or the failure of an earlier frame, and those stay to be taken.

        The frame is sent: that the encoder is closed by now, or memory short, is for the next call to say.
        """
        return self._all_of(packets)

    cdef list _all_of(self, list packets):
        try:
            self._take_into(packets)
            self._raise_failure()
        except errors.EncoderClosedError:
            return packets
        except MemoryError:
            self.put_back(packets)
            packets.clear()
        return packets

    cdef int _raise_failure(self) except -1:
        """That of an earlier frame, which `take_into` met: each is raised once."""
        if self.stream.failures and not self.stream.dropped:
            raise self.stream.failures.pop(0)
        return 0

    def submit_many(self, list frames not None, pts: list[Any] | None, key_frames: list[Any] | None,
                    tokens: list[Any] | None, timeout: float | None, list sei=None) -> list[int | None]:
        """Submit host frames in one native call; return their numbers, None for those that were dropped.

        The other lists have an item for each frame, or are None where none was given.

        On an exception its attribute `accepted` says how many were sent: those before the one that caused it, or none
        where that one was found before any was sent.
        """
        cdef avenc_wait wait
        cdef Channel channel = self
        cdef list indices = []
        cdef bint one_by_one, done
        cdef list units = None
        self.stream.forget_dropped()
        self.stream.note_submitter()
        try:
            if sei is not None:
                units = units_of(sei, self._config.en_type, AVENC_MAX_SEI)
            begin_wait(&wait, timeout, None)
            while len(indices) < len(frames):
                one_by_one = channel._converter is not None or self.stream.on_full == DROP_OLDEST
                if one_by_one:
                    done = channel._submit_each(frames, pts, key_frames, tokens, units, indices, &wait)
                else:
                    done = channel._submit_batch(frames, pts, key_frames, tokens, units, indices, &wait)
                if done:
                    break
                channel = successor_of(channel)
                # As in _submit: from here on without the program's code.
                frames = frames[:len(indices)] + [plain_memory(frame) for frame in frames[len(indices):]]
                if pts is not None:
                    pts = [None if stamp is None else pts_of(stamp) for stamp in pts]
                if key_frames is not None:
                    key_frames = [bool(key_frame) for key_frame in key_frames]
        except BaseException as error:
            try:
                error.accepted = len(indices)
            except AttributeError:
                pass
            raise
        return indices

    cdef bint _submit_each(self, list frames, list pts, list key_frames, list tokens, list units, list indices,
                           avenc_wait *wait) except -1:
        cdef int64_t index, expected
        cdef Py_ssize_t i
        while len(indices) < len(frames):
            i = len(indices)
            refuse_other_than_host(frames[i])
            unit = item(units, i)
            expected = self.stream.next_index
            indices.append(expected)
            try:
                index = self._submit(frames[i], item(pts, i), key_frames is not None and key_frames[i], item(tokens, i), None,
                                     unit, wait, DIRECT, None)
            except BaseException:
                indices.pop()
                raise
            if index != expected:
                indices[i] = None if index < 0 else index
        return True

    cdef bint _submit_batch(self, list frames, list pts, list key_frames, list tokens, list units, list indices,
                            avenc_wait *wait) except -1:
        """Submit from frame len(indices) on. False: another channel has this one's place, and the rest is for that one."""
        cdef Py_ssize_t first = len(indices), count = len(frames) - first, i, scratch_size
        cdef Py_ssize_t dropped = 0
        cdef int64_t expected
        cdef size_t accepted = 0, more
        cdef int status = AVENC_OK
        cdef list owners = []
        cdef list tags = [None] * count
        cdef avenc_submission *submissions
        cdef host_frame *held
        cdef uint64_t *numbers
        cdef Stream stream = self.stream
        cdef bint owed = False
        cdef const avenc_wait *bound = wait if stream.on_full == BLOCK else NULL
        # The block of the last call, unless another thread has it: a frame costs no allocation.
        held = <host_frame *>self._scratch
        scratch_size = self._scratch_size
        self._scratch = NULL
        if held == NULL or scratch_size < count:
            PyMem_Free(held)
            scratch_size = count
            held = <host_frame *>PyMem_Malloc(count * (sizeof(host_frame) + sizeof(avenc_submission) + sizeof(uint64_t)))
            if held == NULL:
                raise MemoryError()
        submissions = <avenc_submission *>(held + count)
        numbers = <uint64_t *>(submissions + count)
        for i in range(count):
            held[i].view_count = 0
        try:
            for i in range(count):
                frame = frames[first + i]
                refuse_other_than_host(frame)
                if PyObject_CheckBuffer(frame) or type(frame) is tuple:
                    hold_host_frame(frame, self.width, self.height, &held[i])
                else:
                    owner = import_tensor(frame, self.width, self.height, &held[i])
                    if type(owner) is DeviceFrame:
                        refuse_other_than_host(owner)
                    owners.append(owner)
            for i in range(count):
                stamp = item(pts, first + i)
                begin_submission(&submissions[i], stamp is None, 0 if stamp is None else pts_of(stamp),
                                 key_frames is not None and key_frames[first + i], item(units, first + i))
                submissions[i].picture = held[i].picture
                token = item(tokens, first + i)
                if token is not None:
                    tags[i] = stream.add_entry(token)
                    submissions[i].tag = tags[i]
            expected = stream.next_index
            indices += [expected + i for i in range(count)]  # before they are sent, which needs no memory any more then
            owed = stream.key_frame_owed
            submissions[0].force_idr = submissions[0].force_idr or owed
            stream.key_frame_owed = False
            while True:
                more = 0
                with nogil:
                    status = avenc_channel_submit_many(
                        self._h, submissions + accepted, <size_t>count - accepted, bound, numbers + accepted, &more)
                accepted += more
                if status == AVENC_OK:
                    break
                status = self._in_the_way(status, wait)
                if status != AVENC_OK:
                    break
            for i in range(<Py_ssize_t>accepted):
                stream.next_index = <int64_t>numbers[i] + 1
                if <int64_t>numbers[i] != expected + i:
                    indices[first + i] = numbers[i]
            if status == AVENC_E_REPLACED:
                return False
            for i in range(<Py_ssize_t>accepted, count):
                if self._refuse(status, submissions[i].force_idr) == DROPPED:
                    indices[first + i] = None
                    dropped += 1
            return True
        finally:
            while len(indices) > first + <Py_ssize_t>accepted + dropped:
                indices.pop()
            for i in range(count):
                release_host_frame(&held[i])
            if owed and accepted == 0:
                stream.key_frame_owed = True
            for i in range(<Py_ssize_t>accepted, count):
                if tags[i] is not None:
                    stream.drop_entry(tags[i])
            if self._scratch == NULL and scratch_size <= MAX_SCRATCH:
                self._scratch = held
                self._scratch_size = scratch_size
            else:
                PyMem_Free(held)

    def acquire(self, timeout: float | None) -> Frame | None:
        """Take a picture buffer to fill: a `Frame`, or None if there is none and `on_full` says not to wait."""
        cdef avenc_wait wait
        cdef Channel channel = self
        cdef Frame frame
        cdef int64_t outcome = CALL_AGAIN
        cdef int status
        cdef const avenc_wait *bound = &wait if self.stream.on_full == BLOCK else NULL
        begin_wait(&wait, timeout, None)
        let_go_of_ended()
        while outcome != DROPPED:
            frame = new_frame(channel, channel.width, channel.height)
            with nogil:
                status = avenc_channel_acquire(channel._h, bound, &frame._h, &frame._memory)
            if status == AVENC_OK:
                return frame
            outcome = channel._not_taken(status, False, &wait, DIRECT)
            if outcome == REPLACED:
                channel = successor_of(channel)
        return None

    # ---- packets out -------------------------------------------------------------------------------------------------

    cdef list _take(self, Py_ssize_t limit):
        """Take up to `limit` (-1: all) packets that are ready. The GIL is kept: this does not wait.

        A frame that failed is raised at once; the others stay to be taken.
        """
        self._raise_failure()
        return self._take_native(limit)

    cdef list _take_native(self, Py_ssize_t limit):
        cdef avenc_packet *few[MOST_ON_STACK]
        cdef avenc_packet **ready = few
        cdef avenc_channel_stats stats
        cdef size_t count = 0
        PyErr_CheckSignals()
        self.stream.forget_dropped()
        if self.stream.dropped:
            refuse_closed()
        if limit < 0 or limit > MOST_ON_STACK:
            avenc_channel_stats_get(self._h, &stats, NULL)
            limit = <Py_ssize_t>stats.ready if limit < 0 else min(limit, <Py_ssize_t>stats.ready)
        if limit > MOST_ON_STACK:
            ready = <avenc_packet **>PyMem_Malloc(limit * sizeof(avenc_packet *))
            if ready == NULL:
                raise MemoryError()
        try:
            avenc_channel_take(self._h, 0, ready, <size_t>limit, &count)
            if count == 0:
                return []
            packets = wrap_packets(
                self._h, ready, count, self.stream.entries, self.stream.time_bases, &self.stream.dropped)
            if packets is None:
                refuse_closed()
            return packets
        finally:
            if ready != few:
                PyMem_Free(ready)

    def drain(self) -> list[Packet]:
        """Return all packets that are ready, oldest first, without waiting."""
        return self._take(-1)

    def put_back(self, list packets):
        """Packets that were returned and not used after all: they are the next to be received, in their order.

        After `close` nobody can receive them: they are dropped, and their tokens are left to whoever holds the packets.
        Where memory runs out twice for a token, that token is lost, and no packet.
        """
        cdef Packet packet
        cdef Py_ssize_t i
        for packet in packets:
            if packet._h == NULL or packet._exports or self.stream.dropped:
                continue
            if packet._h.tag:
                for _ in range(2):
                    try:
                        self.stream.entries[packet._h.tag] = packet._token
                        count_tickets(1)
                        break
                    except MemoryError:
                        pass
        i = len(packets)
        while i > 0:  # from the last one: each finds its place in front of the others. No code of the program's runs here
            i -= 1
            packet = packets[i]
            if packet._h == NULL or packet._exports or self.stream.dropped:
                continue
            avenc_channel_give_back(self._h, &packet._h, 1)
            packet._h = NULL

    def take_promised(self, list into not None) -> bool:
        """Append a packet that is for a Future: (Packet or None, exception or None, Future). False: there is none.

        Does not wait. One at a time, into a list that the caller has already: nothing that was taken is lost where memory
        runs out, or where a signal's handler raises in the caller.
        """
        cdef avenc_packet *ready = NULL
        cdef size_t count = 1
        PyErr_CheckSignals()
        self.stream.forget_dropped()
        cdef tuple taken = None
        into.append(None)
        try:
            if avenc_channel_take(self._h, 1, &ready, 1, &count) == AVENC_OK and count:
                taken = wrap_promised(self._h, ready, self.stream.entries, self.stream.time_bases)
        finally:
            if taken is None:
                into.pop()
        if taken is None:
            return False
        into[-1] = taken
        if taken[2] is not None:
            self.stream.promised -= 1
        return True

    def try_receive(self, Py_ssize_t limit) -> list[Packet]:
        """Return the packets that are ready, at most `limit`, perhaps none, without waiting. Else like receive_many."""
        cdef int status
        cdef list packets = self._take(limit)
        if packets:
            return packets
        status = avenc_channel_wait(self._h, 1, NULL, 0, AVENC_WAIT_FOR_FRAMES)
        if status == AVENC_OK:
            return self._take(limit)
        if status != AVENC_E_TIMEOUT:
            self._end_of_packets(status)
        return packets

    cdef int _end_of_packets(self, int status) except -1:
        if status == AVENC_E_DRAINED:
            raise errors.from_status(status, "", "the end of the stream: all packets have been received")
        return self._fail(status)

    def receive_many(self, max: int, timeout: float | None, at_least: int = 1) -> list[Packet]:
        """Wait up to `timeout` seconds for `at_least` packets, and return those that are ready, at most `max`.

        Fewer where no more come before some are taken (avenc_channel_wait), or after the time. EncoderDrained at the
        end of the stream, AclTimeoutError after `timeout`, or when frames are in the device and none is finished for
        `stall` seconds. What the program gave is looked at here: functions of Python cost microseconds after each sleep.
        """
        cdef avenc_wait wait
        cdef int status, flags
        cdef list packets
        cdef Stream stream = self.stream
        cdef Py_ssize_t limit = count_of(max, "max", 1 << 30)
        cdef Py_ssize_t wanted = count_of(at_least, "at_least", limit)
        timeout = seconds_of(timeout)
        if wanted == 1 or stream.failures or stream.dropped:
            packets = self._take(limit)
            if packets:
                return packets
        begin_wait(&wait, timeout, stream.stall)
        while True:
            # Where only this thread submits, no frame can come while it waits.
            flags = 0 if stream.submitted_by_this_thread_alone() else AVENC_WAIT_FOR_FRAMES
            with nogil:
                if wanted == 1:
                    status = avenc_channel_wait(self._h, 1, &wait, stream.coalesce_us, flags)
                else:
                    status = avenc_channel_wait(self._h, <uint32_t>wanted, &wait, 0, flags)
            if status == AVENC_OK:
                packets = self._take(limit)
                if packets:
                    return packets
            elif not look(status):
                self._end_of_packets(status)

    def end(self):
        """Declare the end of the stream: no further frames; receivers get the rest, then EncoderDrained."""
        self._fail(avenc_channel_end(self._h))
        if self.stream.closed:
            refuse_closed()

    def wait_idle(self, timeout: float | None):
        """Wait until no frame is in flight; AclTimeoutError after `timeout` seconds without a finished frame."""
        cdef avenc_wait wait
        begin_wait(&wait, None, timeout)
        if self.stream.closed:
            refuse_closed()
        self._fail(self._wait(avenc_channel_wait_idle, &wait))

    @property
    def idle(self) -> bool:
        """Whether no frame is in flight. Raises DeviceLostError if some are, on a lost device."""
        cdef int status = avenc_channel_wait_idle(self._h, NULL)
        if status != AVENC_E_TIMEOUT:
            self._fail(status)
        return status == AVENC_OK

    @property
    def stalled(self) -> float:
        """Seconds for which frames have been in flight without one being finished; 0.0 while none is."""
        return <double>avenc_channel_stalled_ns(self._h) * 1e-9

    def attach(self, WaitSet waitset not None, uint32_t key=0):
        """Let a wait set know of this stream's progress, under `key`, until `detach` or the end. At most four."""
        self._fail(avenc_channel_attach(self._h, waitset._h, key))

    def detach(self, WaitSet waitset not None):
        avenc_channel_detach(self._h, waitset._h)

    def stats(self) -> dict[str, Any]:
        """Return the stream's counters as a dict; see avenc_channel_stats in avenc.h for the keys.

        Besides: "refused" (frames dropped for lack of room), and the histograms "latency" and "hold". Also after the end.
        """
        cdef avenc_channel_stats stats
        cdef avenc_channel_histograms histograms
        avenc_channel_stats_get(self._h, &stats, &histograms)
        cdef dict counters = stats
        counters["refused"] = self.stream.refused
        counters["latency"] = [histograms.latency[i] for i in range(AVENC_BUCKETS)]
        counters["hold"] = [histograms.hold[i] for i in range(AVENC_BUCKETS)]
        return counters

    # ---- settings ----------------------------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """Number of the stream's settings that this channel has: 0 for the first."""
        return avenc_channel_epoch(self._h)

    @property
    def config(self) -> EncoderConfig:
        """What it encodes with: an EncoderConfig."""
        return self.settings()[1]

    def settings(self) -> tuple[int, EncoderConfig]:
        """(epoch, EncoderConfig) of one moment."""
        cdef uint32_t epoch = avenc_channel_epoch(self._h)
        return epoch, self.stream.config_of(epoch) if self._placed else self._first_config

    def change(self, uint32_t epoch, config: EncoderConfig, timeout: float | None,
               uint64_t since) -> int | Literal[False] | None:
        """Change rates, GOP and time base without another channel; return the number of the first frame that it applies to.

        `epoch` is that of the settings that `config` was made from. None: they are not the present ones any more. False:
        this takes another channel, and nothing has changed, unless the device took neither the new settings nor the old
        ones. AclTimeoutError when the device finishes no frame for `timeout` seconds, or a call of the vendor's does not
        return: nothing has changed, as with any other exception that comes before the change is made. `since`: when the
        caller began to wait for settings of this epoch, in nanoseconds of CLOCK_MONOTONIC.
        """
        cdef avenc_channel_config settings = self._config
        cdef avenc_change *change = NULL
        cdef avenc_wait wait
        cdef uint64_t first = 0
        cdef int status
        cdef Stream stream = self.stream
        settings.width, settings.height = config.width, config.height
        set_rate(&settings, config)
        begin_wait(&wait, None, timeout)
        wait.since_ns = since  # others that gave up their changes have not begun this one's time anew
        time_base = 1 / config.fps
        stream.begin_epoch(config, time_base)
        status = avenc_channel_change(self._h, epoch, &settings, &change)
        if status != AVENC_OK:
            stream.undo_epoch()
            if status == AVENC_E_UNSUPPORTED:
                return False
            if status == AVENC_E_AGAIN:
                status = self._wait(avenc_channel_wait_changes, &wait)
            elif status == AVENC_E_REPLACED:
                status = AVENC_OK
            self._fail(status)
            return None
        status = AVENC_E_LOOK
        try:
            while look(status):
                with nogil:
                    status = avenc_change_wait(change, &wait, &first)
            if status == AVENC_E_UNSUPPORTED:
                return False
            if status == AVENC_E_REPLACED:
                return None
            self._fail(status)
            return first
        finally:
            avenc_change_release(change)

    def distrust(self):
        """Nobody replaces this channel: where its settings are not known it takes no more frames. AclStateError tells why."""
        avenc_channel_distrust(self._h)

    # ---- changing and ending -----------------------------------------------------------------------------------------

    def succeed(self, Channel current not None) -> int | None:
        """Take the place of `current`; return the number of the first frame that comes here, or None if it has none any more.

        Does not block. `current` encodes what it has and ends behind; its packets come first. None, too, if its settings
        were changed after those of this channel had been made from them.
        """
        cdef uint64_t first = 0
        cdef int status
        cdef Stream stream = self.stream
        time_base = 1 / self._first_config.fps  # Python code, which may change the settings: before anything is looked at
        if stream._h != current._h or self._outdated:
            return None
        stream.begin_epoch(self._first_config, time_base)
        current.successor = self  # whoever is refused by the old one finds it
        status = avenc_channel_succeed(self._h, &first)
        if status != AVENC_OK:
            current.successor = None
            stream.undo_epoch()
            if status == AVENC_E_REPLACED:
                return None
            self._fail(status)
        self._placed = True
        avenc_channel_retain(self._h)
        avenc_channel_release(stream._h)
        stream._h = self._h
        return first

    def retire(self, uint32_t epoch, timeout: float | None) -> bool:
        """For a device that has no second channel: keep submitters waiting, finish the frames, end the hardware channel.

        AclTimeoutError when the device finishes no frame for `timeout` seconds: then nothing has changed. After success
        a successor takes its place, or the stream is closed. False: its settings have not this epoch any more, or a
        successor has its place, and nothing has changed.
        """
        cdef avenc_wait wait
        avenc_channel_pause(self._h, 1)
        try:
            self.wait_idle(timeout)
            begin_wait(&wait, None, timeout)
            self._fail(self._wait(avenc_channel_wait_changes, &wait))  # none begins while it is paused
        except BaseException:
            avenc_channel_pause(self._h, 0)
            raise
        if avenc_channel_epoch(self._h) != epoch or self.successor is not None:
            avenc_channel_pause(self._h, 0)
            return False
        begin_wait(&wait, timeout, None)
        avenc_channel_retire(self._h)
        self._fail(self._wait(avenc_channel_wait_retired, &wait))
        return self.successor is None

    @property
    def closed(self) -> bool:
        return self.stream.closed

    def close_to_frames(self):
        """Close the stream without waiting, and leave packets that are ready, with their tokens, to be taken."""
        self.stream.closed = True
        avenc_channel_close(self._h)

    def close(self, timeout: float | None):
        """Close the stream, and wait up to `timeout` seconds (None: without bound) for its end.

        Idempotent. Packets that nobody took are dropped. Interrupted by Ctrl-C it goes on natively, and can be called
        again to wait. AclTimeoutError says who is in the way; on a lost device it returns at once. Futures that
        get no packet are cancelled.
        """
        cdef avenc_wait wait
        cdef int status = AVENC_E_LOOK
        cdef Stream stream = self.stream
        cdef object stop = None
        stream.closed = stream.dropped = True
        _open_streams.pop(stream, None)
        avenc_channel_close(self._h)
        begin_wait(&wait, timeout, None)
        stream.closing.waiting += 1
        try:
            status = self._wait(avenc_channel_wait_closed, &wait)
        finally:
            if status == AVENC_E_TIMEOUT:  # perhaps only a slow reader was in the way: it is not waited for any longer
                avenc_channel_abandon_sink(self._h)
                status = avenc_channel_wait_closed(self._h, &wait)  # at once: its time is over, and its text says how long
            elif status != AVENC_E_LOOK:
                avenc_channel_abandon_sink(self._h)
            stream.closing.waiting -= 1
            self._drop_packets()
            failure = None if status in (AVENC_OK, AVENC_E_FORKED, AVENC_E_LOOK) else failure_of(status)
            stop = cancel_all([] if stream.kept and not stream.entries else stream.keep_owners())
            try:
                let_go_of_ended()
            finally:
                if stop is not None:
                    stop.__cause__ = failure
                    raise stop
        if failure is not None:
            raise failure

    cdef int _drop_packets(self) except -1:
        """Packets that nobody took give their memory back."""
        cdef avenc_packet *ready[BATCH]
        cdef size_t count = 0, i
        while (avenc_channel_take(self._h, False, ready, BATCH, &count) == AVENC_OK and count) or (
                avenc_channel_take(self._h, True, ready, BATCH, &count) == AVENC_OK and count):
            for i in range(count):
                avenc_packet_release(ready[i])
        return 0


cdef int set_rate(avenc_channel_config *settings, object config) except -1:
    """What can change while a channel lives."""
    settings.key_frame_interval = config.gop
    settings.rc_mode = config.rc_mode
    settings.i_qp, settings.p_qp = config.rate_control.qp or (0, 0)
    settings.limits_given = 0
    for index, limit in enumerate(config.rc_limits):
        if limit is not None:
            settings.limits_given |= <uint32_t>1 << <int>index
            settings.limits[<int>index] = limit
    settings.src_rate = config.src_rate
    settings.max_bit_rate = config.max_bit_rate
    settings.time_num = config.fps.denominator
    settings.time_den = config.fps.numerator
    settings.vui = config.described._asdict()  # which tells the frame rate
    settings.region_count = 0
    for region in config.roi:  # as many as there is room for, at most: the config has looked
        settings.regions[settings.region_count] = avenc_region(
            region.x, region.y, region.width, region.height, region.qp, region.relative)
        settings.region_count += 1
    return 0


cdef int refuse_other_than_host(object frame) except -1:
    if type(frame) is Frame:
        raise TypeError("submit_many takes frames in host memory: use submit() for a Frame of acquire()")
    if type(frame) is DeviceFrame:
        raise TypeError("submit_many takes frames in host memory: use submit() for a picture on the device")
    return 0


cdef object plain_memory(object frame):
    """The same picture, to be looked at without code of the program's: that may change the settings whenever it is asked,
    and the frame would be checked anew for ever."""
    if type(frame) is Frame or type(frame) is DeviceFrame:
        return frame
    if type(frame) is tuple:
        return tuple([plain_memory(plane) for plane in frame])
    if PyObject_CheckBuffer(frame):
        return memoryview(frame)
    array = host_array(frame)
    return import_tensor(frame, 0, 0, NULL) if array is None else array


cdef object as_host_array(object frame, Converter converter):
    """What the converter can look at: buffers as they are, tensors in host memory as arrays of theirs."""
    if PyObject_CheckBuffer(frame) or type(frame) is tuple:
        return frame
    if type(frame) is DeviceFrame:
        raise errors.InvalidArgumentError(
            f'frame is in device memory, and the encoder converts {converter.pixel_format} on the CPU: make the '
            'encoder with pixel_format="nv12" or "nv21"')
    if not hasattr(frame, "__dlpack__"):
        raise TypeError(
            f"frame must support the buffer protocol with uint8 items (a NumPy array, bytes, memoryview, ...), got "
            f"{type(frame).__name__}{fix_of_type(frame, converter.pixel_format)}")
    array = host_array(frame)
    if array is None:
        raise errors.InvalidArgumentError(
            f"frame is a tensor in device memory, and the encoder converts {converter.pixel_format} on the CPU: copy "
            'it to the host first, or make the encoder with pixel_format="nv12" or "nv21"')
    return array


def bucket_seconds() -> list[float]:
    """Upper bounds of the histograms' buckets, in seconds."""
    return [avenc_bucket_ns(i) * 1e-9 for i in range(AVENC_BUCKETS)]


include "group.pyx"  # submit_to_each, receive_from_each
