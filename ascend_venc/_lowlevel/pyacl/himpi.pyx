# SPDX-License-Identifier: Apache-2.0
# acl.himpi: DVPP V2. Structures go in and out as dicts, by the tables that the build makes of himpi.h (himpi_members.h).
#
# As in pyACL, what a dict lacks is 0, a number that is no int counts as lacking, and lists may be shorter than the array.
from libc.stdint cimport uint16_t
from libc.string cimport memset

cdef extern from "Python.h":
    PyObject *PyDict_GetItemWithError(object, object) except? NULL
    bint is_dict "PyDict_Check"(PyObject *)
    bint is_list "PyList_Check"(PyObject *)
    Py_ssize_t list_length "PyList_GET_SIZE"(PyObject *)
    PyObject *list_item "PyList_GET_ITEM"(PyObject *, Py_ssize_t)
    unsigned long ulong_or_raise "PyLong_AsUnsignedLong"(PyObject *) except? 0xFFFFFFFFFFFFFFFF
    void *address_or_raise "PyLong_AsVoidPtr"(PyObject *) except? NULL

cdef list member_names = []  # keeps what himpi_member.key refers to


cdef int make_keys() except -1:
    cdef int i, j = 0
    cdef himpi_structure *structure
    while himpi_structures[j] != NULL:
        structure = himpi_structures[j]
        for i in range(structure.count):
            name = sys.intern((<bytes>structure.members[i].name).decode())
            member_names.append(name)
            structure.members[i].key = <void *><PyObject *>name
        j += 1
    return 0


make_keys()


# ---- dicts to structures -----------------------------------------------------------------------------------------------

cdef int refuse_number(const himpi_member *member, PyObject *value, const char *function, object allowed) except -1:
    raise ValueError(f"{(<bytes>function).decode()} failed: {(<bytes>member.name).decode()} is {<object>value!r}; {allowed}")


cdef int read_number(const himpi_member *member, PyObject *value, char *target) except -1:
    """Store an int as C converts it. ValueError where pyACL has one: below zero, or beyond 64 bits."""
    cdef unsigned long wide = 0
    cdef long number = 0
    if member.kind == HIMPI_ADDRESS:
        try:
            (<void **>target)[0] = NULL if <object>value is None else address_or_raise(value)
        except (TypeError, OverflowError):
            refuse_number(member, value, b"PyLong_AsVoidPtr", "an address is an int of 64 bits")
        return 0
    if member.kind == HIMPI_S32:
        try:
            number = long_or_raise(value)
        except OverflowError:
            refuse_number(member, value, b"PyLong_AsLong", "allowed are 32 bits with a sign")
        (<int32_t *>target)[0] = <int32_t>number
        return 0
    try:
        wide = ulong_or_raise(value)
    except OverflowError:
        refuse_number(member, value, b"PyLong_AsUnsignedLong", "allowed is 0 or more")
    if member.kind == HIMPI_U64:
        (<uint64_t *>target)[0] = wide
    elif member.kind == HIMPI_U32:
        (<uint32_t *>target)[0] = <uint32_t>wide
    elif member.kind == HIMPI_U16:
        (<uint16_t *>target)[0] = <uint16_t>wide
    else:
        (<uint8_t *>target)[0] = <uint8_t>wide
    return 0


cdef int size_of(const himpi_member *member) noexcept:
    if member.kind == HIMPI_PART:
        return member.part.size
    if member.kind == HIMPI_U8:
        return 1
    if member.kind == HIMPI_U16:
        return 2
    return 4 if member.kind in (HIMPI_S32, HIMPI_U32) else 8


cdef int read_list(const himpi_member *member, PyObject *values, char *target) except -1:
    cdef Py_ssize_t i, length
    cdef PyObject *value
    if not is_list(values):
        return 0
    length = list_length(values)
    if length > member.count:
        raise ValueError(f"The length of {(<bytes>member.name).decode()} should be no greater than {member.count}")
    for i in range(length):
        value = list_item(values, i)
        if member.kind == HIMPI_PART:
            read_members(value, member.part, target + i * member.part.size)
        elif member.kind == HIMPI_ADDRESS or is_int(value):
            read_number(member, value, target + i * size_of(member))
        else:
            break  # as pyACL: the rest is lacking
    return 0


cdef int read_members(PyObject *given, const himpi_structure *structure, char *base) except -1:
    """Put into a structure what a dict has of it; the rest stays as it is."""
    cdef const himpi_member *member
    cdef PyObject *value
    cdef int i
    if given == NULL or not is_dict(given):
        raise TypeError((<bytes>structure.refusal).decode())
    for i in range(structure.count):
        member = &structure.members[i]
        if not member.is_read:
            continue
        if member.is_chosen and structure.choice >= 0 \
                and (<const int32_t *>(base + structure.choice))[0] != member.value:
            continue
        value = PyDict_GetItemWithError(<object>given, <object>member.key)
        if member.kind == HIMPI_PART and member.count == 0:
            if value != NULL or member.part.is_required:
                read_members(value, member.part, base + member.offset)
        elif value == NULL:
            continue
        elif member.count != 0:
            read_list(member, value, base + member.offset)
        elif member.kind == HIMPI_ADDRESS or is_int(value):
            read_number(member, value, base + member.offset)
    return 0


cdef int read_dict(object given, const himpi_structure *structure, char *base) except -1:
    """Make a structure of a dict: zeros, and what the dict has."""
    memset(base, 0, structure.size)
    return read_members(<PyObject *>given, structure, base)


# ---- structures to dicts -----------------------------------------------------------------------------------------------

cdef object write_member(const himpi_member *member, const char *source, int choice):
    if member.kind == HIMPI_PART:
        return write_dict(member.part, source, choice)
    if member.kind == HIMPI_S32:
        return (<const int32_t *>source)[0]
    if member.kind == HIMPI_U32:
        return (<const uint32_t *>source)[0]
    if member.kind == HIMPI_U8:
        return (<const uint8_t *>source)[0]
    if member.kind == HIMPI_U16:
        return (<const uint16_t *>source)[0]
    if member.kind == HIMPI_DOUBLE:
        return (<const double *>source)[0]
    return (<const uint64_t *>source)[0]


cdef object write_dict(const himpi_structure *structure, const char *base, int choice):
    """The dict of a structure. `choice`: which of its alternatives counts, where no member of its own says so."""
    cdef const himpi_member *member
    cdef int i, j
    cdef dict made = {}
    for i in range(structure.count):
        member = &structure.members[i]
        if member.is_chosen and not structure.gives_all and member.value != (
                (<const int32_t *>(base + structure.choice))[0] if structure.choice >= 0 else choice):
            continue
        if member.count == 0:
            value = write_member(member, base + member.offset, choice)
        else:
            value = [write_member(member, base + member.offset + j * size_of(member), choice)
                     for j in range(member.count)]
        made[<object>member.key] = value
    return made


# ---- codes -------------------------------------------------------------------------------------------------------------

cdef const himpi_api *mpi_api() except? NULL:
    """The table; NULL if the process's AscendCL has no DVPP V2. Raises if there is no AscendCL."""
    api()
    return avenc_library_himpi(default_library())


cdef object mpi_status(const char *call, hi_s32 code, PyObject **args, Py_ssize_t given, object reason=None):
    """DVPP's code as pyACL gives it: unsigned. The hints of our table are for Encoder's users, and left out."""
    return 0 if code == 0 else failed(call, <uint32_t>code, args, given, reason, False)


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
    # It would end the channels of an Encoder too. This process uses V2 only, so whatever device is open is V2's.
    if avenc_interface_in_use() == AVENC_DVPP_V2 and avenc_live(AVENC_LIVE_DEVICE) > 0:
        return 0
    with nogil:
        code = mpi.hi_mpi_sys_exit()
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
    if given != 3 or not as_int32(args[0], &chn) or not as_int32(args[2], &milli_sec):
        refuse(b"acl.himpi.venc_get_stream args parse failed!")
    cdef const himpi_api *mpi = mpi_api()
    begin_stream(args[1], &stream)
    try:
        stream.seq = 0
        room = stream.pack_cnt
        if mpi == NULL:
            return <object>args[1], lacking(call, args, given)
        if milli_sec == 0:  # returns at once
            code = mpi.hi_mpi_venc_get_stream(chn, &stream, 0)
        else:
            with nogil:
                code = mpi.hi_mpi_venc_get_stream(chn, &stream, milli_sec)
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
    if given != 1:
        refuse(b"acl.himpi.venc_get_mod_param args parse failed!")
    read_dict(<object>args[0], &himpi_hi_venc_mod_param, <char *>&param)
    cdef const himpi_api *mpi = mpi_api()
    ret = lacking(call, args, given) if mpi == NULL else \
        mpi_status(call, mpi.hi_mpi_venc_get_mod_param(&param), args, given)
    return write_dict(&himpi_hi_venc_mod_param, <char *>&param, HIMPI_NO_CHOICE), ret


cdef object himpi_venc_get_rc_param(PyObject *self, PyObject **args, Py_ssize_t given):
    cdef const char *call = b"acl.himpi.venc_get_rc_param"
    cdef int32_t chn = 0, mode = 0
    cdef hi_venc_rc_param param
    if given != 2 or not as_int32(args[0], &chn) or not as_int32(args[1], &mode):
        refuse(b"acl.himpi.venc_get_rc_param args parse failed!")
    memset(&param, 0, sizeof(param))
    cdef const himpi_api *mpi = mpi_api()
    ret = lacking(call, args, given) if mpi == NULL else \
        mpi_status(call, mpi.hi_mpi_venc_get_rc_param(chn, &param), args, given)
    return write_dict(&himpi_hi_venc_rc_param, <char *>&param, mode), ret
