# SPDX-License-Identifier: Apache-2.0
# acl.himpi, DVPP V2: its codes, and the functions that do more than one call.

# ---- codes -------------------------------------------------------------------------------------------------------------

cdef enum:
    ILLEGAL_PARAM_ID = 3  # of every module, as the next two
    NULL_PTR_ID = 6
    NOT_SUPPORT_ID = 8
    MOST_PACKS = 1 << 20  # 144 MiB: what asks for more is no number of packs


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


cdef inline object mpi_status(facade_call call, hi_s32 code):
    return 0 if code == 0 else mpi_failed(call, code)


cdef object mpi_failed(facade_call call, hi_s32 code, object reason=None):
    """DVPP's code as pyACL gives it: unsigned. The hints of our table are for Encoder's users, and left out."""
    cdef Py_ssize_t i
    if code & 63 in (ILLEGAL_PARAM_ID, NULL_PTR_ID, NOT_SUPPORT_ID):
        for i in range(call.given):
            if is_dict(call.args[i]):
                from ... import diagnosis

                lost = diagnosis.of_lost_values(<object>call.args[i])
                reason = f"{lost}; {reason}" if lost and reason else lost or reason
    return failed(call, <uint32_t>code, reason, False)


cdef object attributes_status(facade_call call, hi_s32 code, const hi_venc_chn_attr *attr):
    """The code of a call that takes a channel's attributes; with what is outside the chip's ranges, if that is why, or
    differs from the channel's own and may not."""
    cdef hi_venc_chn_attr before
    cdef int32_t chn = 0
    cdef hi_s32 found = -1
    cdef const himpi_api *mpi
    if code not in (HI_ERR_VENC_ILLEGAL_PARAM, HI_ERR_VENC_NOT_SUPPORT, HI_ERR_VENC_NOT_PERM):
        return mpi_status(call, code)
    from ... import diagnosis

    given = write_dict(&himpi_hi_venc_chn_attr, <const char *>attr, HIMPI_NO_CHOICE)
    if code != HI_ERR_VENC_NOT_PERM:
        return mpi_failed(call, code, diagnosis.of_v2_channel(chip_name(), given))
    mpi = mpi_api()
    if mpi.hi_mpi_venc_get_chn_attr != NULL and as_int32(call.args[0], &chn):
        with nogil:
            found = mpi.hi_mpi_venc_get_chn_attr(chn, &before)
    if found != 0:
        return mpi_failed(call, code)
    return mpi_failed(call, code, diagnosis.of_v2_change(
        write_dict(&himpi_hi_venc_chn_attr, <const char *>&before, HIMPI_NO_CHOICE), given))


cdef object lacking(facade_call call):
    """The code of a call that the loaded AscendCL does not have."""
    cdef const avenc_library_info *info = avenc_library_info_get(default_library())
    reason = (<bytes>info.mpi_problem).decode("utf-8", "replace") if info.mpi_problem[0] != 0 else \
        f"{(<bytes>info.mpi_path).decode('utf-8', 'replace')} has no such function"
    code = HI_ERR_VENC_NOT_SUPPORT if (<bytes>call.name).startswith(b"acl.himpi.venc_") else HI_ERR_SYS_NOT_SUPPORT
    return mpi_failed(call, code, reason)


# ---- functions that do more than one call ------------------------------------------------------------------------------

cdef object mixed(facade_call call):
    return mpi_failed(call, HI_ERR_SYS_NOT_SUPPORT,
                      "this process uses DVPP V1 (acl.media, or an Encoder with interface=\"v1\"), and acl.himpi is V2: they "
                      "must not be mixed; use acl.media here, or another process; an Encoder takes interface=\"v2\"")


cdef object himpi_sys_init(facade_call call, const himpi_api *mpi):
    cdef hi_s32 code
    if avenc_interface_in_use() == AVENC_DVPP_V1:
        return mixed(call)
    with nogil:
        code = mpi.hi_mpi_sys_init()
    if code == 0 and avenc_interface_use(AVENC_DVPP_V2) != AVENC_OK:  # another thread has begun with V1 meanwhile
        with nogil:
            mpi.hi_mpi_sys_exit()
        return mixed(call)
    return mpi_status(call, code)


cdef object himpi_sys_exit(facade_call call, const himpi_api *mpi):
    cdef hi_s32 code
    if not avenc_interface_begin_exit():  # it would end the channels of an Encoder too
        return 0
    with nogil:
        code = mpi.hi_mpi_sys_exit()
        avenc_interface_end_exit()
    return mpi_status(call, code)


cdef object himpi_dvpp_malloc(facade_call call, const himpi_api *mpi, int32_t device, uint64_t size):
    cdef void *memory = NULL
    cdef hi_s32 code
    reserve(&device_memory)
    with nogil:
        code = mpi.hi_mpi_dvpp_malloc(<uint32_t>device, &memory, size)
    try:
        result = <uint64_t>memory, mpi_status(call, code)
    except MemoryError:
        if code == 0:  # the program could not free what it does not know
            mpi.hi_mpi_dvpp_free(memory)
        raise
    if code == 0:
        insert(&device_memory, memory, 0)
    return result


cdef object himpi_sys_create_epoll(facade_call call, const himpi_api *mpi, int32_t size):
    cdef int32_t epoll = 0
    cdef hi_s32 code
    with nogil:
        code = mpi.hi_mpi_sys_create_epoll(size, &epoll)
    try:
        return epoll, mpi_status(call, code)
    except MemoryError:
        if code == 0:
            mpi.hi_mpi_sys_close_epoll(epoll)
        raise


cdef bint goes_on(timed_wait *waiting, hi_s32 code) except -1:
    """Whether to call again, after what a call of acl.himpi returned; handlers of signals have run then.

    Which code says that the time is over is not documented: it is whatever comes when it is, and no internal error.
    """
    if not waiting.sliced or code == 0 or code == HI_ERR_VENC_SYS_ERROR or \
            clock_ns() - waiting.began < waiting.slice_ms * 900_000:
        return False
    if waiting.left_ms == 0:
        return False
    if loaded_api != NULL and loaded_api.aclGetRecentErrMsg != NULL:
        loaded_api.aclGetRecentErrMsg()  # a slice that is over is no failure: the runtime keeps the texts of all
    return next_slice(waiting)


cdef object himpi_dvpp_free(facade_call call, const himpi_api *mpi, uint64_t key):
    cdef hi_s32 code
    cdef handle_entry *entry = find_live(&device_memory, key)
    if entry == NULL and key != 0:
        return mpi_failed(call, HI_ERR_SYS_ILLEGAL_PARAM,
                          f"{key:#x} is not live device memory: it was freed, or never allocated in this process")
    code = mpi.hi_mpi_dvpp_free(<void *>key)
    if code == 0 and entry != NULL:
        erase(&device_memory, entry)
    return mpi_status(call, code)


cdef object himpi_sys_wait_epoll(PyObject *self, PyObject **args, Py_ssize_t given):
    cdef facade_call call = facade_call(b"acl.himpi.sys_wait_epoll", args, given)
    cdef int32_t epoll = 0, most = 0, timeout = 0, count = 0
    cdef hi_s32 code
    cdef hi_dvpp_epoll_event *events
    cdef timed_wait waiting
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
            ret = lacking(call)
        else:
            begin_timed(&waiting, timeout)
            if timeout == 0:  # returns at once
                code = mpi.hi_mpi_sys_wait_epoll(epoll, events, most, 0, &count)
            else:
                while True:
                    with nogil:
                        code = mpi.hi_mpi_sys_wait_epoll(epoll, events, most, waiting.slice_ms, &count)
                    if code != 0 or count != 0 or not next_slice(&waiting):
                        break
            ret = mpi_status(call, code)
        found = [write_dict(&himpi_hi_dvpp_epoll_event, <char *>&events[i], HIMPI_NO_CHOICE) for i in range(most)]
    finally:
        free(events)
    return found, count, ret


cdef int begin_stream(PyObject *given, hi_venc_stream *stream) except -1:
    """Read a stream's dict, and make room for as many packs as it says."""
    read_dict(<object>given, &himpi_hi_venc_stream, <char *>stream)
    if stream.pack_cnt <= MOST_PACKS:
        stream.pack = <hi_venc_pack *>calloc(<size_t>stream.pack_cnt + 1, sizeof(hi_venc_pack))
    if stream.pack == NULL:
        raise TypeError(f"hi_venc_stream malloc failed! pack_cnt is {stream.pack_cnt}: give what venc_query_status says")
    return 0


cdef object himpi_venc_get_stream(facade_call call, const himpi_api *mpi, int32_t chn, int32_t milli_sec):
    cdef uint32_t room, i
    cdef hi_s32 code
    cdef hi_venc_stream stream
    cdef timed_wait waiting
    begin_stream(call.args[1], &stream)
    try:
        stream.seq = 0
        room = stream.pack_cnt
        if mpi == NULL:
            return <object>call.args[1], lacking(call)
        begin_timed(&waiting, milli_sec)
        if waiting.slice_ms == 0:  # returns at once
            code = mpi.hi_mpi_venc_get_stream(chn, &stream, 0)
        else:
            while True:
                waiting.began = clock_ns()
                with nogil:
                    code = mpi.hi_mpi_venc_get_stream(chn, &stream, waiting.slice_ms)
                if not goes_on(&waiting, code):
                    break
                stream.pack_cnt = room
        if code != 0:
            return <object>call.args[1], mpi_status(call, code)
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


cdef object himpi_venc_release_stream(facade_call call, const himpi_api *mpi, int32_t chn):
    cdef uint32_t i
    cdef hi_s32 code
    cdef hi_venc_stream stream
    begin_stream(call.args[1], &stream)
    try:
        packs = (<dict>call.args[1]).get("pack")
        if packs is not None:
            if not isinstance(packs, list):
                raise TypeError(f"pack is a {type(packs).__name__}; it must be the list that venc_get_stream gave")
            if len(packs) < stream.pack_cnt:
                raise IndexError(f"list index out of range: pack has {len(packs)} of {stream.pack_cnt} (pack_cnt)")
            for i in range(stream.pack_cnt):
                read_members(<PyObject *>(<list>packs)[i], &himpi_hi_venc_pack, <char *>&stream.pack[i])
        if mpi == NULL:
            return lacking(call)
        code = mpi.hi_mpi_venc_release_stream(chn, &stream)
    finally:
        free(stream.pack)
    return mpi_status(call, code)
