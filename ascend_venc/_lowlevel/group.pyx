# SPDX-License-Identifier: Apache-2.0
# One frame to each of many channels in a call that gives the GIL up once: a part of channel.pyx.
#
# Invariant: as there, no Python code runs while anything native is held. What cannot be sent at once, and as it is, is left
# to who called.

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


def submit_to_each(list channels not None, list frames not None, list pts not None, list key_frames not None,
                   list tokens not None, list results not None):
    """Send frame i to channel i, which no other of the frames goes to, without waiting for room.

    results[i] becomes its number, or the exception with which it was refused. It stays what it was where the frame is to be
    submitted by itself: there is no room at this moment, or it is no plain memory of the channel's own kind and size. So it
    is when an exception is raised. The vendor's calls are made on this thread, one after the other, without the GIL.
    """
    cdef Py_ssize_t count = len(channels), at = 0, i
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
            if is_plain(channels[i], frames[i], pts[i]):
                begin(&each[i], channels[i], frames[i], pts[i], key_frames[i], tokens[i], tags, i)
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
                    results[i] = expected[i] if each[i].expected == <int64_t>each[i].number else each[i].number
        finally:
            PyMem_Free(each)
