# SPDX-License-Identifier: Apache-2.0
# Many channels at once, a part of channel.pyx: one frame to each of them in a call that gives the GIL up once, and one wait
# for the packets of all. After each packet of a stream at a rate the caches are cold: what runs then is in one place here,
# since a Python function more costs microseconds.
#
# Invariant: as there, no Python code runs while anything native is held. What cannot be sent at once, and as it is, is left
# to who called.

from .wait cimport begin_wait_until
from .waitset cimport MOST_KEYS

cdef struct sending:
    avenc_channel *channel  # NULL: not to be sent here
    host_frame held
    avenc_submission submission
    int64_t expected
    uint64_t number
    bint sent


cdef bint is_plain(Channel channel, object frame, object stamp):
    """Sending it needs no conversion, no queue and no code of the program's but `__buffer__`."""
    return channel._converter is None and channel.stream.on_full != DROP_OLDEST and not channel.stream.key_frame_owed \
        and type(frame) is not Frame and (PyObject_CheckBuffer(frame) or type(frame) is tuple) \
        and (stamp is None or (type(stamp) is int and -2**63 <= stamp < 2**63))


cdef int begin(sending *one, Channel channel, object frame, object stamp, bint key_frame, object token, list tags,
               Py_ssize_t i) except -1:
    cdef Stream stream = channel.stream
    stream.forget_dropped()
    stream.note_submitter()
    begin_submission(&one.submission, stamp is None, 0 if stamp is None else stamp, key_frame, None)
    try:
        hold_host_frame(frame, channel.width, channel.height, &one.held)
    except (TypeError, errors.VencError):
        return 0  # the encoder's own submit finds that again
    one.submission.picture = one.held.picture
    if token is not None:
        tags[i] = stream.add_entry(token)
        one.submission.tag = tags[i]
    one.expected = stream.next_index
    one.channel = channel._h
    return 0


cdef int send(sending *each, Py_ssize_t count, Py_ssize_t *at, const avenc_wait *turn) noexcept nogil:
    """Send from frame at[0] on, and move it. Comes back for what is no matter of room, and for signals to be looked for."""
    cdef int status
    while at[0] < count:
        one = &each[at[0]]
        at[0] += 1
        if one.channel == NULL:
            continue
        status = avenc_channel_submit(one.channel, &one.submission, NULL, &one.number)
        one.sent = status == AVENC_OK
        if status not in (AVENC_OK, AVENC_E_FULL, AVENC_E_AGAIN, AVENC_E_REPLACED):
            return status
        if turn.look_ns != AVENC_FOR_EVER and avenc_wait_for(0).since_ns - turn.since_ns >= turn.look_ns:
            break
    return AVENC_OK


def submit_to_each(list channels not None, list frames not None, pts: list[Any] | None, key_frames: list[bool] | None,
                   tokens: list[Any] | None, list results not None) -> int:
    """Send frame i to channel i, which no other of the frames goes to, without waiting for room; return how many were sent.

    results[i] becomes its number, or the exception with which it was refused. It stays what it was where the frame is to be
    submitted by itself: there is no room at this moment, or it is no plain memory of the channel's own kind and size. So it
    is when an exception is raised. The vendor's calls are made on this thread, one after the other, without the GIL.
    """
    cdef Py_ssize_t count = len(channels), at = 0, sent = 0, i
    cdef int status
    cdef avenc_wait turn
    cdef list tags = [None] * count
    cdef list expected = [None] * count  # made before they are sent, which needs no memory any more then
    cdef sending *each = <sending *>PyMem_Malloc(max(count, 1) * sizeof(sending))
    if each == NULL:
        raise MemoryError()
    for i in range(count):
        each[i].held.view_count = 0
        each[i].channel = NULL
        each[i].sent = False
    try:
        for i in range(count):
            stamp = item(pts, i)
            if is_plain(channels[i], frames[i], stamp):
                begin(&each[i], channels[i], frames[i], stamp, key_frames is not None and key_frames[i], item(tokens, i), tags, i)
                expected[i] = each[i].expected
        while at < count:
            begin_wait(&turn, 0, None)
            with nogil:
                status = send(each, count, &at, &turn)
            if status != AVENC_OK:
                try:
                    (<Channel>channels[at - 1])._refuse(status, False)
                except errors.VencError as error:
                    results[at - 1] = error
            PyErr_CheckSignals()
    finally:
        try:
            for i in range(count):
                release_host_frame(&each[i].held)
                if each[i].sent:
                    (<Channel>channels[i]).stream.next_index = <int64_t>each[i].number + 1
                elif tags[i] is not None:
                    (<Channel>channels[i]).stream.drop_entry(tags[i])
            for i in range(count):
                if each[i].sent:  # another number than expected: another thread submits to it, too
                    sent += 1
                    results[i] = expected[i] if each[i].expected == <int64_t>each[i].number else each[i].number
        finally:
            PyMem_Free(each)
    return sent


def receive_from_each(group: Any, WaitSet waitset not None, by_key: dict[int, Any], Py_ssize_t limit,
                      double deadline, double max_latency, list found not None) -> bool:
    """Wait for progress of any encoder, and append the pairs (encoder, packet) that are ready to `found`, at most `limit`.

    `by_key` has the encoders by their key in the wait set; `deadline` is in seconds of `time.monotonic()`, or infinite. False: no
    key was listed by then. An encoder at its end is told to `group._forget`, and what another one raises stands in
    `group._failures`: the others go on. Keys that are to be looked at again are listed again, whatever is raised.
    """
    cdef uint32_t keys[MOST_KEYS]
    cdef uint32_t count, at = 0
    cdef int64_t again = -1
    cdef Py_ssize_t wanted
    cdef avenc_wait wait
    cdef dict encoders = by_key
    cdef object encoder
    cdef list packets
    begin_wait_until(&wait, deadline)
    count = waitset.take_keys(&wait, max_latency, keys)
    try:
        while at < count and len(found) < limit:
            encoder = encoders.get(keys[at])
            if encoder is not None:
                wanted = limit - len(found)
                try:
                    packets = (<Channel?>encoder._channel).try_receive(wanted)
                    add_pairs(found, encoder, packets)
                    if len(packets) == wanted:
                        again = keys[at]
                except (errors.EncoderDrained, errors.EncoderClosedError):
                    group._forget(encoder)
                except errors.VencError as error:
                    group._failures.append(error)  # before Python looks for signals: nobody else has it any more
                    again = keys[at]
                    at += 1
                    group._tell_encoder(encoder, error)
                    break
            at += 1
    finally:
        while at < count:
            avenc_waitset_signal(waitset._h, keys[at])
            at += 1
        if again >= 0:  # behind the others, whose turn it is
            avenc_waitset_signal(waitset._h, <uint32_t>again)
    return count > 0


cdef int add_pairs(list found, object encoder, list packets) except -1:
    cdef Py_ssize_t added = 0
    try:  # one by one: CPython 3.11 keeps a list for ever for which `extend` has no memory
        for packet in packets:
            found.append((encoder, packet))
            added += 1
    except BaseException:
        del packets[:added]
        (<Channel?>encoder._channel).put_back(packets)
        raise
    return 0
