# SPDX-License-Identifier: Apache-2.0
# The functions of the video encoder that do more than call AscendCL.
#
# A channel is known here from venc_create_channel_desc to venc_destroy_channel_desc. Calls that would wait for themselves,
# or for a thread that has ended, return 100000 with the reason (acl.get_recent_err_msg) instead of waiting for ever.


cdef inline Channel channel_of(uint64_t handle):
    """The Channel of a live description; None for any other handle."""
    cdef handle_entry *entry = find_live(&channel_descs, handle)
    return None if entry == NULL else <Channel><void *>entry.value


# ---- description ---------------------------------------------------------------------------------------------------------

cdef object media_venc_create_channel_desc(facade_call call, const acl_api *acl):
    cdef Channel channel = Channel.__new__(Channel)
    cdef aclvencChannelDesc *desc
    channel.waiters = []
    reserve(&channel_descs)
    avenc_interface_expect(AVENC_DVPP_V1)
    with nogil:  # allocates on the device
        desc = acl.aclvencCreateChannelDesc()
    if desc == NULL:
        return no_handle(call)
    channel.desc = <uint64_t>desc
    try:
        channels[channel.desc] = channel
    except MemoryError:
        acl.aclvencDestroyChannelDesc(desc)
        raise
    insert(&channel_descs, desc, <int64_t><void *>channel)
    return channel.desc


cdef object media_venc_destroy_channel_desc(PyObject *self, PyObject **args, Py_ssize_t given):
    cdef facade_call call = facade_call(b"acl.media.venc_destroy_channel_desc", args, given)
    cdef uint64_t handle = 0
    cdef Channel channel
    cdef const acl_api *acl = api()
    if given != 1 or not as_uint64(args[0], &handle):
        refuse(b"acl.media.venc_destroy_channel_desc args parse failed!")
    while (channel := channel_of(handle)) is not None:
        if channel.pending or channel.users or channel.destroying:
            return failed(call, ACL_ERROR_INVALID_PARAM,
                          "the channel still exists and has frames to deliver: call venc_destroy_channel first", False)
        if not channel.created:
            break
        # AscendCL would leave the channel behind, without a handle to end it by.
        if strict.report != NULL:
            strict.report(b"channel-open", b"aclvencDestroyChannelDesc",
                          b"call aclvencDestroyChannel before aclvencDestroyChannelDesc",
                          b"the channel descriptor still has an open channel, which AscendCL leaves behind for good")
        code = builtin_media_venc_destroy_channel(self, args, given)  # without the GIL: look again
        if code != 0:
            return code
    # From the look above to the end the GIL is kept: no other thread creates a channel on it meanwhile.
    code = destroy_handle(call, &channel_descs, <destructor>acl.aclvencDestroyChannelDesc, False, handle)
    if code == 0 and handle in channels:
        forget_deliveries(channels.pop(handle))
    return code


cdef object callback_of(uint64_t handle):
    cdef Channel channel = channel_of(handle)
    if channel is None or channel.callback is None:
        raise RuntimeError("did not set callback, failed")
    return channel.callback


# What a channel leads to is let go of behind an assignment (_before): Cython's own would end it with the channel leading
# to it still, for another thread or a weak reference's callback to find.

cdef object media_venc_set_channel_desc_callback(facade_call call, const acl_api *acl, uint64_t handle):
    cdef aclError code
    cdef Channel channel = channel_of(handle)
    if channel is None and handle != 0:
        return stale(call, &channel_descs, handle)
    code = acl.aclvencSetChannelDescCallback(<aclvencChannelDesc *>handle, venc_trampoline)
    if code == ACL_SUCCESS:
        _before, channel.callback = channel.callback, <object>call.args[1]
    return status(call, code)


cdef object media_venc_get_channel_desc_callback(PyObject *self, PyObject **args, Py_ssize_t given):
    cdef uint64_t handle = 0
    if given != 1 or not as_uint64(args[0], &handle):
        refuse(b"acl.media.venc_get_channel_desc_callback args parse failed!")
    return callback_of(handle)


cdef size_t length_of(int32_t param_type) noexcept:
    """Bytes of a parameter, as pyACL passes them: unknown types too are a uint32."""
    return 8 if param_type in (ACL_VENC_THREAD_ID_UINT64, ACL_VENC_CALLBACK_PTR, ACL_VENC_BUF_ADDR_PTR) else 4


cdef object media_venc_set_channel_desc_param(PyObject *self, PyObject **args, Py_ssize_t given):
    cdef facade_call call = facade_call(b"acl.media.venc_set_channel_desc_param", args, given)
    cdef uint64_t handle = 0, value = <uint64_t><void *>venc_trampoline
    cdef uint32_t narrow = 0
    cdef int32_t param_type = 0
    cdef aclError code
    cdef Channel channel
    cdef bint is_parsed = given == 3 and as_uint64(args[0], &handle) and as_int32(args[1], &param_type)
    cdef size_t length = length_of(param_type)
    if is_parsed and param_type == ACL_VENC_CALLBACK_PTR:
        if not callable(<object>args[2]):
            raise TypeError("parameter must be callable")
    elif not is_parsed or not (as_uint64(args[2], &value) if length == 8 else as_uint32(args[2], &narrow)):
        refuse(b"acl.media.venc_set_channel_desc_param args parse failed!")
    cdef const acl_api *acl = api()
    if acl.aclvencSetChannelDescParam == NULL:
        return unsupported(call)
    channel = channel_of(handle)
    if channel is None and handle != 0:
        return stale(call, &channel_descs, handle)
    code = acl.aclvencSetChannelDescParam(<aclvencChannelDesc *>handle, param_type, length, &value if length == 8 else <void *>&narrow)
    if code == ACL_SUCCESS and param_type == ACL_VENC_CALLBACK_PTR:
        _before, channel.callback = channel.callback, <object>args[2]
    return 0 if code == ACL_SUCCESS else explained(call, code)


cdef object media_venc_get_channel_desc_param(PyObject *self, PyObject **args, Py_ssize_t given):
    cdef facade_call call = facade_call(b"acl.media.venc_get_channel_desc_param", args, given)
    cdef uint64_t handle = 0, value = 0
    cdef int32_t param_type = 0
    cdef size_t length, written = 0
    cdef aclError code
    if given != 2 or not as_uint64(args[0], &handle) or not as_int32(args[1], &param_type):
        refuse(b"acl.media.venc_get_channel_desc_param args parse failed!")
    if param_type == ACL_VENC_CALLBACK_PTR:
        return callback_of(handle), 0
    cdef const acl_api *acl = api()
    if acl.aclvencGetChannelDescParam == NULL:
        return 0, unsupported(call)
    if handle != 0 and not is_live(&channel_descs, handle):
        return 0, stale(call, &channel_descs, handle)
    length = length_of(param_type)
    code = acl.aclvencGetChannelDescParam(<aclvencChannelDesc *>handle, param_type, length, &written, &value)
    if code != ACL_SUCCESS:
        return 0, failed(call, code)
    return (value if length == 8 else <uint32_t>value), 0


# ---- channel -------------------------------------------------------------------------------------------------------------

cdef object why_refused(const acl_api *acl, uint64_t handle):
    """Compare a channel's attributes with what the chip takes: the device itself tells the reason to its log only."""
    from ... import diagnosis

    cdef uint32_t ip_prop = 0
    cdef size_t written = 0
    media = namespaces["acl.media"]
    chip = chip_name()
    if acl.aclvencGetChannelDescParam != NULL and diagnosis.has_ip_prop(chip):
        acl.aclvencGetChannelDescParam(
            <aclvencChannelDesc *>handle, ACL_VENC_MAX_IP_PROP_UINT32, sizeof(ip_prop), &written, &ip_prop)
    words = ("entype", "pic_format", "pic_width", "pic_height", "key_frame_interval", "rc_mode", "src_rate", "max_bit_rate",
             "buf_addr", "buf_size")
    return diagnosis.of_channel(
        chip, max_ip_prop=ip_prop, **{word: media[f"venc_get_channel_desc_{word}"](handle) for word in words})


cdef object media_venc_create_channel(facade_call call, const acl_api *acl, uint64_t handle):
    cdef aclError code
    cdef Channel channel = channel_of(handle)
    if channel is None:
        return stale(call, &channel_descs, handle) if handle != 0 else status(call, acl.aclvencCreateChannel(NULL))
    if avenc_interface_use(AVENC_DVPP_V1) != AVENC_OK:
        return failed(call, ACL_ERROR_FEATURE_UNSUPPORTED,
                      "this process uses DVPP V2 (acl.himpi, or an Encoder with interface=\"v2\"), and acl.media is V1: they "
                      "must not be mixed; use acl.himpi here, or another process; an Encoder takes interface=\"v1\"", False)
    if channel.created or channel.users:
        return failed(call, ACL_ERROR_INVALID_PARAM, "the description has a channel already", False)
    channel.users += 1
    with nogil:
        code = acl.aclvencCreateChannel(<aclvencChannelDesc *>handle)
    leave(channel)
    if code != ACL_SUCCESS:
        return failed(call, code, why_refused(acl, handle))
    channel.created = True
    channel.left_out = False
    channel.accepted = 0
    channel.thread_id = acl.aclvencGetChannelDescThreadId(<aclvencChannelDesc *>handle)
    _before, channel.thread = channel.thread, thread_of(channel.thread_id)
    return 0


cdef object media_venc_destroy_channel(facade_call call, const acl_api *acl, uint64_t handle):
    cdef aclError code
    cdef Channel channel = channel_of(handle)
    if channel is None:
        return stale(call, &channel_descs, handle) if handle != 0 else status(call, acl.aclvencDestroyChannel(NULL))
    if not channel.created or channel.destroying:
        return failed(call, ACL_ERROR_INVALID_PARAM, "the description has no channel", False)
    channel.destroying = True
    try:
        reason = wait_for_callbacks(channel)
        while channel.users and not reason:  # threads inside a send; each ends when the device took its frame
            wait_once(channel)
        if reason:
            return failed(call, ACL_ERROR_INVALID_PARAM, reason, False)
        with nogil:
            code = acl.aclvencDestroyChannel(<aclvencChannelDesc *>handle)
    finally:
        channel.destroying = False
    # After any code but that of a refused argument the runtime has freed parts of the channel: it is gone.
    if code != ACL_ERROR_INVALID_PARAM:
        channel.created = False
        callback, thread = channel.callback, channel.thread
        channel.callback = channel.thread = None
        callback = thread = None
        forget_deliveries(channel)
    return status(call, code)


cdef object send_end_of_stream(facade_call call, const acl_api *acl, Channel channel, uint64_t config):
    """The end of the stream has no picture, and no callback: nothing is kept for it. `config` is pinned by the caller."""
    cdef uint64_t earlier
    cdef aclError code
    reason = wait_for_callbacks(channel)
    if not reason and (not channel.created or channel.destroying or not is_live(&frame_configs, config)):
        reason = "destroyed by another thread during the wait"
    if reason:
        return failed(call, ACL_ERROR_INVALID_PARAM, reason, False)
    earlier = last_returned  # a frame whose send is under way may come behind the end
    channel.users += 1
    with nogil:
        code = acl.aclvencSendFrame(
            <aclvencChannelDesc *>channel.desc, NULL, NULL, <aclvencFrameConfig *>config, NULL)
    leave(channel)
    if code == ACL_SUCCESS:
        forget_deliveries(channel, earlier)  # callbacks that the runtime has left out
    return status(call, code)


cdef object media_venc_send_frame(
        facade_call call, const acl_api *acl, uint64_t handle, uint64_t picture, uint64_t reserve, uint64_t config):
    cdef uint64_t number
    cdef aclError code
    cdef Channel channel = channel_of(handle)
    if channel is None and handle != 0:
        return stale(call, &channel_descs, handle)
    if channel is None or channel.callback is None:
        raise RuntimeError("did not set callback, failed")
    if not channel.created or channel.destroying:
        return failed(call, ACL_ERROR_INVALID_PARAM, "the channel does not exist: venc_create_channel first", False)
    if config == 0:
        return failed(call, ACL_ERROR_INVALID_PARAM, "config is 0")
    reserve_delivery()
    if not pin(&frame_configs, config):
        return stale(call, &frame_configs, config)
    if acl.aclvencGetFrameConfigEos(<aclvencFrameConfig *>config) != 0:
        try:
            return send_end_of_stream(call, acl, channel, config)
        finally:
            unpin(&frame_configs, config)
    if not pin(&pic_descs, picture):
        unpin(&frame_configs, config)
        if picture != 0:
            return stale(call, &pic_descs, picture)
        return failed(call, ACL_ERROR_INVALID_PARAM, "the picture description is 0, without end of stream")
    number = expect(channel.callback, <object>call.args[4], channel)
    keep_picture(number, call.args[1], picture)
    channel.users += 1
    with nogil:  # `reserve` is never used, as AscendCL has it
        code = acl.aclvencSendFrame(
            <aclvencChannelDesc *>handle, <acldvppPicDesc *>picture, NULL, <aclvencFrameConfig *>config, <void *>number)
    leave(channel)
    unpin(&frame_configs, config)
    unpin(&pic_descs, picture)
    if code == ACL_SUCCESS:
        has_returned(number)
    else:
        forget(number)
        channel.accepted -= 1
    return status(call, code)
