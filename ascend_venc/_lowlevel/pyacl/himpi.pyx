# SPDX-License-Identifier: Apache-2.0
# acl.himpi, DVPP V2: its codes, and the functions that do more than one call.
from posix.time cimport CLOCK_MONOTONIC, clock_gettime

# ---- codes -------------------------------------------------------------------------------------------------------------

cdef enum:  # of every module
    ILLEGAL_PARAM_ID = 3
    NULL_PTR_ID = 6
    NOT_SUPPORT_ID = 8


cdef const himpi_api *mpi_api() except? NULL:
    """The table; NULL if the process's AscendCL has no DVPP V2, which is looked for once. Raises if there is no AscendCL."""
    cdef avenc_library *library
    cdef const himpi_api *mpi
    cdef avenc_wait wait
    api()
    library = default_library()
    mpi = avenc_library_himpi(library)
    if mpi == NULL and avenc_library_info_get(library).mpi_state == AVENC_MPI_UNTRIED:
        begin_wait(&wait, None, None)
        find_mpi(library, &wait)
        mpi = avenc_library_himpi(library)
    return mpi


cdef object mpi_status(const char *call, hi_s32 code, PyObject **args, Py_ssize_t given, object reason=None):
    """DVPP's code as pyACL gives it: unsigned. The hints of our table are for Encoder's users, and left out."""
    cdef Py_ssize_t i
    if code == 0:
        return 0
    if code & 63 in (ILLEGAL_PARAM_ID, NULL_PTR_ID, NOT_SUPPORT_ID):
        for i in range(given):
            if is_dict(args[i]):
                from ... import diagnosis

                lost = diagnosis.of_lost_values(<object>args[i])
                reason = f"{lost}; {reason}" if lost and reason else lost or reason
    return failed(call, <uint32_t>code, args, given, reason, False)


cdef object attributes_status(
        const char *call, hi_s32 code, const hi_venc_chn_attr *attr, PyObject **args, Py_ssize_t given):
    """The code of a call that takes a channel's attributes; with what is outside the chip's ranges, if that is why."""
    cdef const char *soc = NULL
    if code not in (HI_ERR_VENC_ILLEGAL_PARAM, HI_ERR_VENC_NOT_SUPPORT):
        return mpi_status(call, code, args, given)
    from ... import diagnosis

    if loaded_api.aclrtGetSocName != NULL:
        soc = loaded_api.aclrtGetSocName()
    reason = diagnosis.of_v2_channel("" if soc == NULL else soc.decode("ascii", "replace"),
                                     write_dict(&himpi_hi_venc_chn_attr, <const char *>attr, HIMPI_NO_CHOICE))
    return mpi_status(call, code, args, given, reason)


cdef object lacking(const char *call, PyObject **args, Py_ssize_t given):
    """The code of a call that the loaded AscendCL does not have."""
    cdef const avenc_library_info *info = avenc_library_info_get(default_library())
    reason = (<bytes>info.mpi_problem).decode("utf-8", "replace") if info.mpi_problem[0] != 0 else \
        f"{(<bytes>info.mpi_path).decode('utf-8', 'replace')} has no such function"
    code = HI_ERR_VENC_NOT_SUPPORT if (<bytes>call).startswith(b"acl.himpi.venc_") else HI_ERR_SYS_NOT_SUPPORT
    return mpi_status(call, code, args, given, reason)


# ---- functions that do more than one call ------------------------------------------------------------------------------

cdef object mixed(const char *call, PyObject **args, Py_ssize_t given):
    return mpi_status(call, HI_ERR_SYS_NOT_SUPPORT, args, given,
                      "this process uses DVPP V1 (acl.media, or an Encoder with interface=\"v1\"), and acl.himpi is V2: they "
                      "must not be mixed; use acl.media here, or another process; an Encoder takes interface=\"v2\"")


cdef object himpi_sys_init(PyObject *self, PyObject **args, Py_ssize_t given):
    cdef const char *call = b"acl.himpi.sys_init"
    cdef hi_s32 code
    cdef const himpi_api *mpi = mpi_api()
    if mpi == NULL:
        return lacking(call, args, given)
    if avenc_interface_in_use() == AVENC_DVPP_V1:
        return mixed(call, args, given)
    with nogil:
        code = mpi.hi_mpi_sys_init()
    if code == 0 and avenc_interface_use(AVENC_DVPP_V2) != AVENC_OK:  # another thread has begun with V1 meanwhile
        with nogil:
            mpi.hi_mpi_sys_exit()
        return mixed(call, args, given)
    return mpi_status(call, code, args, given)


cdef object himpi_sys_exit(PyObject *self, PyObject **args, Py_ssize_t given):
    cdef hi_s32 code
    cdef const himpi_api *mpi = mpi_api()
    if mpi == NULL:
        return lacking(b"acl.himpi.sys_exit", args, given)
    if not avenc_interface_begin_exit():  # it would end the channels of an Encoder too
        return 0
    with nogil:
        code = mpi.hi_mpi_sys_exit()
        avenc_interface_end_exit()
    return mpi_status(b"acl.himpi.sys_exit", code, args, given)


cdef object himpi_dvpp_malloc(PyObject *self, PyObject **args, Py_ssize_t given):
    cdef const char *call = b"acl.himpi.dvpp_malloc"
    cdef int32_t device = 0
    cdef uint64_t size = 0
    cdef void *memory = NULL
    cdef hi_s32 code
    if given != 2 or not as_int32(args[0], &device) or not as_uint64(args[1], &size):
        refuse(b"acl.himpi.dvpp_malloc args parse failed!")
    cdef const himpi_api *mpi = mpi_api()
    if mpi == NULL:
        return 0, lacking(call, args, given)
    reserve(&device_memory)
    with nogil:
        code = mpi.hi_mpi_dvpp_malloc(<uint32_t>device, &memory, size)
    try:
        result = <uint64_t>memory, mpi_status(call, code, args, given)
    except MemoryError:
        if code == 0:  # the program could not free what it does not know
            mpi.hi_mpi_dvpp_free(memory)
        raise
    if code == 0:
        insert(&device_memory, memory, 0)
    return result


cdef object himpi_sys_create_epoll(PyObject *self, PyObject **args, Py_ssize_t given):
    cdef const char *call = b"acl.himpi.sys_create_epoll"
    cdef int32_t size = 0, epoll = 0
    cdef hi_s32 code
    if given != 1 or not as_int32(args[0], &size):
        refuse(b"acl.himpi.sys_create_epoll args parse failed!")
    cdef const himpi_api *mpi = mpi_api()
    if mpi == NULL:
        return 0, lacking(call, args, given)
    with nogil:
        code = mpi.hi_mpi_sys_create_epoll(size, &epoll)
    try:
        return epoll, mpi_status(call, code, args, given)
    except MemoryError:
        if code == 0:
            mpi.hi_mpi_sys_close_epoll(epoll)
        raise


# A call of V2's that waits up to a time. Nothing wakes a thread out of it, so on the main thread, where Python's signal
# handlers run, it waits in slices; the others wait in one.
cdef struct timed_wait:
    int32_t slice_ms  # of the next call
    int32_t left_ms   # behind that; -1: no end
    bint sliced
    double began


cdef double monotonic_s() noexcept:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return now.tv_sec + now.tv_nsec * 1e-9


cdef void begin_timed(timed_wait *waiting, int32_t milli_sec) noexcept:
    waiting.sliced = (milli_sec == -1 or milli_sec > SLICE_MS) and PyThread_get_thread_ident() == main_thread
    waiting.slice_ms = SLICE_MS if waiting.sliced else milli_sec
    waiting.left_ms = milli_sec - SLICE_MS if waiting.sliced and milli_sec > 0 else milli_sec
    waiting.began = monotonic_s()


cdef bint goes_on(timed_wait *waiting, hi_s32 code) except -1:
    """Whether to call again, after what a call returned; handlers of signals have run then.

    Which code says that the time is over is not documented: it is whatever comes when it is, and no internal error.
    """
    if not waiting.sliced or code == 0 or code == HI_ERR_VENC_SYS_ERROR or waiting.left_ms == 0 or \
            monotonic_s() - waiting.began < waiting.slice_ms * 0.0009:
        return False
    PyErr_CheckSignals()
    if waiting.left_ms > 0:
        waiting.slice_ms = min(SLICE_MS, waiting.left_ms)
        waiting.left_ms -= waiting.slice_ms
    waiting.began = monotonic_s()
    return True


cdef object himpi_dvpp_free(PyObject *self, PyObject **args, Py_ssize_t given):
    cdef const char *call = b"acl.himpi.dvpp_free"
    cdef uint64_t key = 0
    cdef hi_s32 code
    cdef handle_entry *entry
    if given != 1 or not as_uint64(args[0], &key):
        refuse(b"acl.himpi.dvpp_free args parse failed!")
    cdef const himpi_api *mpi = mpi_api()
    if mpi == NULL:
        return lacking(call, args, given)
    entry = find_live(&device_memory, key)
    if entry == NULL and key != 0:
        return mpi_status(call, HI_ERR_SYS_ILLEGAL_PARAM, args, given,
                          f"{key:#x} is not live device memory: it was freed, or never allocated in this process")
    code = mpi.hi_mpi_dvpp_free(<void *>key)
    if code == 0 and entry != NULL:
        erase(&device_memory, entry)
    return mpi_status(call, code, args, given)


cdef hi_s32 wait_in_slices(
        const himpi_api *mpi, int32_t epoll, hi_dvpp_epoll_event *events, int32_t most, int32_t timeout,
        int32_t *count) except? 0x7FFFFFFF:
    """Wait on the main thread, where Python's signal handlers run: wake for them every SLICE_MS."""
    cdef hi_s32 code
    cdef int32_t slice_ms
    while True:
        slice_ms = SLICE_MS if timeout < 0 or timeout > SLICE_MS else timeout
        with nogil:
            code = mpi.hi_mpi_sys_wait_epoll(epoll, events, most, slice_ms, count)
        if timeout > 0:
            timeout -= slice_ms
        if code != 0 or count[0] != 0 or timeout == 0:
            return code
        PyErr_CheckSignals()


cdef object himpi_sys_wait_epoll(PyObject *self, PyObject **args, Py_ssize_t given):
    cdef const char *call = b"acl.himpi.sys_wait_epoll"
    cdef int32_t epoll = 0, most = 0, timeout = 0, count = 0
    cdef hi_s32 code
    cdef hi_dvpp_epoll_event *events
    if given != 3 or not as_int32(args[0], &epoll) or not as_int32(args[1], &most) or not as_int32(args[2], &timeout):
        refuse(b"acl.himpi.sys_wait_epoll args parse failed!")
    if not 0 <= most <= 4096:
        raise TypeError(f"invalid num of maxEvents: {most}; allowed are 0 to 4096")
    cdef const himpi_api *mpi = mpi_api()
    events = <hi_dvpp_epoll_event *>calloc(most + 1, sizeof(hi_dvpp_epoll_event))
    if events == NULL:
        raise MemoryError()
    try:
        if mpi == NULL:
            ret = lacking(call, args, given)
        else:
            if timeout == 0:  # returns at once
                code = mpi.hi_mpi_sys_wait_epoll(epoll, events, most, 0, &count)
            elif (timeout == -1 or timeout > SLICE_MS) and PyThread_get_thread_ident() == main_thread:
                code = wait_in_slices(mpi, epoll, events, most, timeout, &count)
            else:
                with nogil:
                    code = mpi.hi_mpi_sys_wait_epoll(epoll, events, most, timeout, &count)
            ret = mpi_status(call, code, args, given)
        found = [write_dict(&himpi_hi_dvpp_epoll_event, <char *>&events[i], HIMPI_NO_CHOICE) for i in range(most)]
    finally:
        free(events)
    return found, count, ret


cdef enum:
    MOST_PACKS = 1 << 20  # 144 MiB: what asks for more is no number of packs


cdef int begin_stream(PyObject *given, hi_venc_stream *stream) except -1:
    """Read a stream's dict, and make room for as many packs as it says."""
    read_dict(<object>given, &himpi_hi_venc_stream, <char *>stream)
    if stream.pack_cnt <= MOST_PACKS:
        stream.pack = <hi_venc_pack *>calloc(<size_t>stream.pack_cnt + 1, sizeof(hi_venc_pack))
    if stream.pack == NULL:
        raise TypeError(f"hi_venc_stream malloc failed! pack_cnt is {stream.pack_cnt}: give what venc_query_status says")
    return 0


cdef object himpi_venc_get_stream(PyObject *self, PyObject **args, Py_ssize_t given):
    cdef const char *call = b"acl.himpi.venc_get_stream"
    cdef int32_t chn = 0, milli_sec = 0
    cdef uint32_t room, i
    cdef hi_s32 code
    cdef hi_venc_stream stream
    cdef timed_wait waiting
    if given != 3 or not as_int32(args[0], &chn) or not as_int32(args[2], &milli_sec):
        refuse(b"acl.himpi.venc_get_stream args parse failed!")
    cdef const himpi_api *mpi = mpi_api()
    begin_stream(args[1], &stream)
    try:
        stream.seq = 0
        room = stream.pack_cnt
        if mpi == NULL:
            return <object>args[1], lacking(call, args, given)
        begin_timed(&waiting, milli_sec)
        if waiting.slice_ms == 0:  # returns at once
            code = mpi.hi_mpi_venc_get_stream(chn, &stream, 0)
        else:
            while True:
                with nogil:
                    code = mpi.hi_mpi_venc_get_stream(chn, &stream, waiting.slice_ms)
                if not goes_on(&waiting, code):
                    break
                stream.pack_cnt = room
        if code != 0:
            return <object>args[1], mpi_status(call, code, args, given)
        try:
            packs = [write_dict(&himpi_hi_venc_pack, <char *>&stream.pack[i], HIMPI_NO_CHOICE)
                     for i in range(min(room, stream.pack_cnt))]
            return {"pack_cnt": stream.pack_cnt, "seq": stream.seq, "pack": packs}, 0
        except MemoryError:
            # The program gets nothing to release it by, and the channel's memory would never be free again.
            mpi.hi_mpi_venc_release_stream(chn, &stream)
            raise
    finally:
        free(stream.pack)


cdef object himpi_venc_release_stream(PyObject *self, PyObject **args, Py_ssize_t given):
    cdef const char *call = b"acl.himpi.venc_release_stream"
    cdef int32_t chn = 0
    cdef uint32_t i
    cdef hi_s32 code
    cdef hi_venc_stream stream
    if given != 2 or not as_int32(args[0], &chn):
        refuse(b"acl.himpi.venc_release_stream args parse failed!")
    cdef const himpi_api *mpi = mpi_api()
    begin_stream(args[1], &stream)
    try:
        packs = (<dict>args[1]).get("pack")
        if packs is not None:
            if not isinstance(packs, list):
                raise TypeError(f"pack is a {type(packs).__name__}; it must be the list that venc_get_stream gave")
            if len(packs) < stream.pack_cnt:
                raise IndexError(f"list index out of range: pack has {len(packs)} of {stream.pack_cnt} (pack_cnt)")
            for i in range(stream.pack_cnt):
                read_members(<PyObject *>(<list>packs)[i], &himpi_hi_venc_pack, <char *>&stream.pack[i])
        if mpi == NULL:
            return lacking(call, args, given)
        code = mpi.hi_mpi_venc_release_stream(chn, &stream)
    finally:
        free(stream.pack)
    return mpi_status(call, code, args, given)


cdef object himpi_venc_get_mod_param(PyObject *self, PyObject **args, Py_ssize_t given):
    cdef const char *call = b"acl.himpi.venc_get_mod_param"
    cdef hi_venc_mod_param param
    cdef hi_s32 code
    if given != 1:
        refuse(b"acl.himpi.venc_get_mod_param args parse failed!")
    read_dict(<object>args[0], &himpi_hi_venc_mod_param, <char *>&param)
    cdef const himpi_api *mpi = mpi_api()
    if mpi == NULL:
        ret = lacking(call, args, given)
    else:
        with nogil:
            code = mpi.hi_mpi_venc_get_mod_param(&param)
        ret = mpi_status(call, code, args, given)
    return write_dict(&himpi_hi_venc_mod_param, <char *>&param, HIMPI_NO_CHOICE), ret


cdef object himpi_venc_get_rc_param(PyObject *self, PyObject **args, Py_ssize_t given):
    cdef const char *call = b"acl.himpi.venc_get_rc_param"
    cdef int32_t chn = 0, mode = 0
    cdef hi_s32 code
    cdef hi_venc_rc_param param
    if given != 2 or not as_int32(args[0], &chn) or not as_int32(args[1], &mode):
        refuse(b"acl.himpi.venc_get_rc_param args parse failed!")
    memset(&param, 0, sizeof(param))
    cdef const himpi_api *mpi = mpi_api()
    if mpi == NULL:
        ret = lacking(call, args, given)
    else:
        with nogil:
            code = mpi.hi_mpi_venc_get_rc_param(chn, &param)
        ret = mpi_status(call, code, args, given)
    return write_dict(&himpi_hi_venc_rc_param, <char *>&param, mode), ret
