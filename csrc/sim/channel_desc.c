// SPDX-License-Identifier: Apache-2.0
/*
 * Channel descriptors: attributes, by name and by parameter type.
 *
 * Documented: the host checks little when an attribute is set; ranges are the device's business when
 * the channel is created. Some setters go through the processor of the chip's generation, which comes
 * up with the first current context; the others only store.
 */
#include "descriptors.h"

#include <string.h>

static bool processor_is_up(const char *function) {
    if (sim_dvpp_ready())
        return true;
    sim_fail_at(function, ACL_ERROR_INTERNAL_ERROR,
                "the media library is not up: no thread with a current context has called it yet");
    return false;
}

static sim_channel_desc *find(const char *function, const aclvencChannelDesc *handle) {
    sim_channel_desc *desc = sim_handle_get(SIM_CHANNEL_DESC, handle);
    if (desc != NULL)
        return desc;
    if (sim_is_strict())
        sim_report_stale(SIM_CHANNEL_DESC, handle, function);
    sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "%p is no live channel descriptor", (const void *)handle);
    return NULL;
}

aclvencChannelDesc *aclvencCreateChannelDesc(void) {
    SIM_ENTER_VALUE(aclvencCreateChannelDesc, NULL);
    if (!processor_is_up(__func__))
        return NULL;
    sim_context *context = sim_current();
    if (context == NULL) { /* documented: it owns device memory */
        FAIL(ACL_ERROR_RT_CONTEXT_NULL, "this thread has no current context");
        return NULL;
    }
    if (sim_device_lost(context->device) != 0) {
        FAIL(sim_device_lost(context->device), "device %d is lost", context->device);
        return NULL;
    }
    sim_memory *output = NULL;
    if (sim_profile_get()->v100) { /* documented: the 310 generation allocates the channel's output buffer here */
        output = sim_memory_create(SIM_DEVICE_MEMORY, sim_profile_get()->buffer_size, context->device, true, __func__,
                                   __builtin_return_address(0));
        if (output == NULL) {
            FAIL(ACL_ERROR_RT_MEMORY_ALLOCATION, "no memory for the output buffer");
            return NULL;
        }
    }
    sim_channel_desc *desc = HANDLE_NEW(SIM_CHANNEL_DESC);
    if (desc == NULL) {
        if (output != NULL)
            sim_memory_destroy(output);
        return NULL;
    }
    desc->output = output;
    return sim_handle_of(SIM_CHANNEL_DESC, desc);
}

static aclError destroy_desc(const char *function, aclvencChannelDesc *channelDesc) {
    if (!processor_is_up(function))
        return ACL_ERROR_INTERNAL_ERROR;
    if (channelDesc == NULL) /* documented */
        return ACL_SUCCESS;
    sim_channel_desc *desc = find(function, channelDesc);
    if (desc == NULL)
        return ACL_ERROR_INVALID_PARAM;
    if (sim_channel_orphan(desc) && sim_is_strict())
        sim_report_at("channel-open", function, "call aclvencDestroyChannel before aclvencDestroyChannelDesc",
                      "channel descriptor %p still has an open channel, which is lost now; it was %s",
                      (void *)channelDesc, sim_origin_format(&desc->object.origin).text);
    sim_memory *output = desc->output;
    if (!sim_handle_end(SIM_CHANNEL_DESC, channelDesc, function))
        return sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "%p is no live channel descriptor", (void *)channelDesc);
    if (output != NULL)
        sim_memory_destroy(output);
    return ACL_SUCCESS;
}

aclError aclvencDestroyChannelDesc(aclvencChannelDesc *channelDesc) {
    SIM_CALL(aclvencDestroyChannelDesc, destroy_desc(__func__, channelDesc));
}

/* ---- setters --------------------------------------------------------------------------------------------- */

/* Documented: these four only store. */
#define PLAIN_SETTER(Name, type, parameter, field)                                                                     \
    aclError aclvencSetChannelDesc##Name(aclvencChannelDesc *channelDesc, type parameter) {                            \
        SIM_ENTER(aclvencSetChannelDesc##Name);                                                                        \
        return set_##field(__func__, channelDesc, parameter);                                                          \
    }

#define STORE(type, field)                                                                                             \
    static aclError set_##field(const char *function, aclvencChannelDesc *handle, type value) {                        \
        sim_channel_desc *desc = find(function, handle);                                                               \
        if (desc == NULL)                                                                                              \
            return ACL_ERROR_INVALID_PARAM;                                                                            \
        desc->field = value;                                                                                           \
        return ACL_SUCCESS;                                                                                            \
    }

STORE(uint64_t, thread_id)
STORE(acldvppStreamFormat, en_type)
STORE(uint32_t, pic_width)
STORE(uint32_t, pic_height)
STORE(uint32_t, key_frame_interval)

static aclError set_callback(const char *function, aclvencChannelDesc *handle, aclvencCallback value) {
    sim_channel_desc *desc = find(function, handle);
    if (desc == NULL)
        return ACL_ERROR_INVALID_PARAM;
    if (value == NULL) /* documented */
        return sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "callback must not be NULL");
    desc->callback = value;
    return ACL_SUCCESS;
}

static aclError set_pic_format(const char *function, aclvencChannelDesc *handle, acldvppPixelFormat value) {
    if (!processor_is_up(function))
        return ACL_ERROR_INTERNAL_ERROR;
    sim_channel_desc *desc = find(function, handle);
    if (desc == NULL)
        return ACL_ERROR_INVALID_PARAM;
    if (value != PIXEL_FORMAT_YUV_SEMIPLANAR_420 && value != PIXEL_FORMAT_YVU_SEMIPLANAR_420) /* documented */
        return sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "picFormat is %d, allowed are 1 (NV12) and 2 (NV21)",
                           value);
    desc->pic_format = value;
    return ACL_SUCCESS;
}

static aclError set_rc_mode(const char *function, aclvencChannelDesc *handle, uint32_t value) {
    if (!processor_is_up(function))
        return ACL_ERROR_INTERNAL_ERROR;
    sim_channel_desc *desc = find(function, handle);
    if (desc == NULL)
        return ACL_ERROR_INVALID_PARAM;
    if (value > 2 && sim_profile_get()->checks_rc_mode) /* documented */
        return sim_fail_at(function, ACL_ERROR_INVALID_PARAM,
                           "rcMode is %u, allowed are 0 (default), 1 (VBR) and 2 (CBR)", value);
    desc->rc_mode = value;
    return ACL_SUCCESS;
}

#define STORE_BY_PROCESSOR(field)                                                                                      \
    static aclError set_##field(const char *function, aclvencChannelDesc *handle, uint32_t value) {                    \
        if (!processor_is_up(function))                                                                                \
            return ACL_ERROR_INTERNAL_ERROR;                                                                           \
        sim_channel_desc *desc = find(function, handle);                                                               \
        if (desc == NULL)                                                                                              \
            return ACL_ERROR_INVALID_PARAM;                                                                            \
        desc->field = value;                                                                                           \
        return ACL_SUCCESS;                                                                                            \
    }

STORE_BY_PROCESSOR(src_rate)
STORE_BY_PROCESSOR(max_bit_rate)

static aclError unsupported(const char *function, const char *what) {
    return sim_fail_at(function, ACL_ERROR_FEATURE_UNSUPPORTED, "%s cannot be %s on %s", what,
                       strstr(function, "Get") != NULL ? "read" : "set", sim_profile_get()->name);
}

static aclError set_ip_prop(const char *function, aclvencChannelDesc *handle, uint32_t value) {
    if (!processor_is_up(function))
        return ACL_ERROR_INTERNAL_ERROR;
    sim_channel_desc *desc = find(function, handle);
    if (desc == NULL)
        return ACL_ERROR_INVALID_PARAM;
    if (!sim_profile_get()->ip_prop_settable) /* documented */
        return unsupported(function, "the I/P proportion");
    desc->ip_prop = value;
    return ACL_SUCCESS;
}

static aclError set_buf_addr(const char *function, aclvencChannelDesc *handle, void *value) {
    if (!processor_is_up(function))
        return ACL_ERROR_INTERNAL_ERROR;
    if (sim_profile_get()->buffer_min == 0) /* documented: before anything else */
        return unsupported(function, "the output buffer");
    sim_channel_desc *desc = find(function, handle);
    if (desc == NULL)
        return ACL_ERROR_INVALID_PARAM;
    if (value == NULL || desc->buf_addr != NULL) /* documented */
        return sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "bufAddr is %s", value == NULL ? "NULL" : "set already");
    desc->buf_addr = value;
    return ACL_SUCCESS;
}

static aclError set_buf_size(const char *function, aclvencChannelDesc *handle, uint32_t value) {
    if (!processor_is_up(function))
        return ACL_ERROR_INTERNAL_ERROR;
    const sim_profile *profile = sim_profile_get();
    if (profile->buffer_min == 0)
        return unsupported(function, "the output buffer");
    sim_channel_desc *desc = find(function, handle);
    if (desc == NULL)
        return ACL_ERROR_INVALID_PARAM;
    if (value < profile->buffer_min) /* documented */
        return sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "bufSize is %u, the least is %u", value,
                           profile->buffer_min);
    desc->buf_size = value;
    return ACL_SUCCESS;
}

PLAIN_SETTER(ThreadId, uint64_t, threadId, thread_id)
PLAIN_SETTER(Callback, aclvencCallback, callback, callback)
PLAIN_SETTER(EnType, acldvppStreamFormat, enType, en_type)
PLAIN_SETTER(PicFormat, acldvppPixelFormat, picFormat, pic_format)
PLAIN_SETTER(PicWidth, uint32_t, picWidth, pic_width)
PLAIN_SETTER(PicHeight, uint32_t, picHeight, pic_height)
PLAIN_SETTER(KeyFrameInterval, uint32_t, keyFrameInterval, key_frame_interval)
PLAIN_SETTER(BufAddr, void *, bufAddr, buf_addr)
PLAIN_SETTER(BufSize, uint32_t, bufSize, buf_size)
PLAIN_SETTER(RcMode, uint32_t, rcMode, rc_mode)
PLAIN_SETTER(SrcRate, uint32_t, srcRate, src_rate)
PLAIN_SETTER(MaxBitRate, uint32_t, maxBitRate, max_bit_rate)

/* ---- getters --------------------------------------------------------------------------------------------- */

/* Documented: without a descriptor 0, NULL, H265_MAIN_LEVEL - but NV12 for the picture's format. */
#define GETTER(Name, type, field, missing)                                                                             \
    type aclvencGetChannelDesc##Name(const aclvencChannelDesc *channelDesc) {                                          \
        SIM_ENTER_VALUE(aclvencGetChannelDesc##Name, (type)0);                                                         \
        const sim_channel_desc *desc = sim_handle_get(SIM_CHANNEL_DESC, channelDesc);                                  \
        if (desc == NULL) {                                                                                            \
            STALE(SIM_CHANNEL_DESC, channelDesc);                                                                      \
            return missing;                                                                                            \
        }                                                                                                              \
        return desc->field;                                                                                            \
    }

GETTER(ChannelId, uint32_t, channel_id, 0)
GETTER(ThreadId, uint64_t, thread_id, 0)
GETTER(Callback, aclvencCallback, callback, NULL)
GETTER(EnType, acldvppStreamFormat, en_type, H265_MAIN_LEVEL)
GETTER(PicFormat, acldvppPixelFormat, pic_format, PIXEL_FORMAT_YUV_SEMIPLANAR_420)
GETTER(PicWidth, uint32_t, pic_width, 0)
GETTER(PicHeight, uint32_t, pic_height, 0)
GETTER(KeyFrameInterval, uint32_t, key_frame_interval, 0)
GETTER(BufAddr, void *, buf_addr, NULL) /* documented: only what the program has set */
GETTER(BufSize, uint32_t, buf_size, 0)
GETTER(RcMode, uint32_t, rc_mode, 0)
GETTER(SrcRate, uint32_t, src_rate, 0)
GETTER(MaxBitRate, uint32_t, max_bit_rate, 0)

/* ---- by parameter type -------------------------------------------------------------------------------------- */

static size_t value_size(aclvencChannelDescParamType type) {
    switch (type) {
    case ACL_VENC_THREAD_ID_UINT64:
    case ACL_VENC_CALLBACK_PTR:
    case ACL_VENC_BUF_ADDR_PTR:
        return 8;
    default:
        return type > ACL_VENC_CALLBACK_PTR && type <= ACL_VENC_MAX_IP_PROP_UINT32 ? 4 : 0;
    }
}

aclError aclvencSetChannelDescParam(aclvencChannelDesc *channelDesc, aclvencChannelDescParamType paramType,
                                    size_t length, const void *param) {
    SIM_ENTER(aclvencSetChannelDescParam);
    size_t size = value_size(paramType);
    /* Documented order: parameter, type, length, then what the individual setter checks. */
    if (param == NULL)
        return FAIL(ACL_ERROR_INVALID_PARAM, "param must not be NULL");
    if (size == 0)
        return FAIL(ACL_ERROR_INVALID_PARAM, "type is %d, allowed are 0 to %d", paramType, ACL_VENC_MAX_IP_PROP_UINT32);
    if (length > size)
        return FAIL(ACL_ERROR_INVALID_PARAM, "length is %zu, and type %d has %zu bytes", length, paramType, size);
    union {
        uint64_t u64;
        uint32_t u32;
        int32_t i32;
        void *pointer;
        aclvencCallback callback;
    } value = {.u64 = 0};
    memcpy(&value, param, length); /* documented: a shorter length fills up with zeros */
    switch (paramType) {
    case ACL_VENC_THREAD_ID_UINT64:
        return set_thread_id(__func__, channelDesc, value.u64);
    case ACL_VENC_CALLBACK_PTR:
        return set_callback(__func__, channelDesc, value.callback);
    case ACL_VENC_PIXEL_FORMAT_UINT32:
        return set_pic_format(__func__, channelDesc, value.i32);
    case ACL_VENC_ENCODE_TYPE_UINT32:
        return set_en_type(__func__, channelDesc, value.i32);
    case ACL_VENC_PIC_WIDTH_UINT32:
        return set_pic_width(__func__, channelDesc, value.u32);
    case ACL_VENC_PIC_HEIGHT_UINT32:
        return set_pic_height(__func__, channelDesc, value.u32);
    case ACL_VENC_KEY_FRAME_INTERVAL_UINT32:
        return set_key_frame_interval(__func__, channelDesc, value.u32);
    case ACL_VENC_BUF_ADDR_PTR:
        return set_buf_addr(__func__, channelDesc, value.pointer);
    case ACL_VENC_BUF_SIZE_UINT32:
        return set_buf_size(__func__, channelDesc, value.u32);
    case ACL_VENC_RC_MODE_UINT32:
        return set_rc_mode(__func__, channelDesc, value.u32);
    case ACL_VENC_SRC_RATE_UINT32:
        return set_src_rate(__func__, channelDesc, value.u32);
    case ACL_VENC_MAX_BITRATE_UINT32:
        return set_max_bit_rate(__func__, channelDesc, value.u32);
    default:
        return set_ip_prop(__func__, channelDesc, value.u32);
    }
}

aclError aclvencGetChannelDescParam(const aclvencChannelDesc *channelDesc, aclvencChannelDescParamType paramType,
                                    size_t length, size_t *paramRetSize, void *param) {
    SIM_ENTER(aclvencGetChannelDescParam);
    size_t size = value_size(paramType);
    if (paramRetSize == NULL || param == NULL)
        return FAIL(ACL_ERROR_INVALID_PARAM, "paramRetSize and param must not be NULL");
    const sim_channel_desc *desc = find(__func__, channelDesc);
    if (desc == NULL)
        return ACL_ERROR_INVALID_PARAM;
    if (size == 0)
        return FAIL(ACL_ERROR_INVALID_PARAM, "type is %d, allowed are 0 to %d", paramType, ACL_VENC_MAX_IP_PROP_UINT32);
    if (length < size)
        return FAIL(ACL_ERROR_INVALID_PARAM, "length is %zu, and type %d has %zu bytes", length, paramType, size);
    if (!processor_is_up(__func__))
        return ACL_ERROR_INTERNAL_ERROR;
    const sim_profile *profile = sim_profile_get();
    const void *from;
    switch (paramType) {
    case ACL_VENC_THREAD_ID_UINT64:
        from = &desc->thread_id;
        break;
    case ACL_VENC_CALLBACK_PTR:
        from = &desc->callback;
        break;
    case ACL_VENC_PIXEL_FORMAT_UINT32:
        from = &desc->pic_format;
        break;
    case ACL_VENC_ENCODE_TYPE_UINT32:
        from = &desc->en_type;
        break;
    case ACL_VENC_PIC_WIDTH_UINT32:
        from = &desc->pic_width;
        break;
    case ACL_VENC_PIC_HEIGHT_UINT32:
        from = &desc->pic_height;
        break;
    case ACL_VENC_KEY_FRAME_INTERVAL_UINT32:
        from = &desc->key_frame_interval;
        break;
    case ACL_VENC_BUF_ADDR_PTR:
    case ACL_VENC_BUF_SIZE_UINT32:
        if (profile->buffer_min == 0) /* documented */
            return unsupported(__func__, "the output buffer");
        from = paramType == ACL_VENC_BUF_ADDR_PTR ? (const void *)&desc->buf_addr : (const void *)&desc->buf_size;
        break;
    case ACL_VENC_RC_MODE_UINT32:
        from = &desc->rc_mode;
        break;
    case ACL_VENC_SRC_RATE_UINT32:
        from = &desc->src_rate;
        break;
    case ACL_VENC_MAX_BITRATE_UINT32:
        from = &desc->max_bit_rate;
        break;
    default:
        if (!profile->ip_prop_settable) /* documented */
            return unsupported(__func__, "the I/P proportion");
        from = &desc->ip_prop;
    }
    memcpy(param, from, size);
    *paramRetSize = size;
    return ACL_SUCCESS;
}
