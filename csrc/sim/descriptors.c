// SPDX-License-Identifier: Apache-2.0
/*
 * Picture, stream and channel descriptors, frame configs: their setters and getters, with the codes of
 * ascendcl-abi.md 3.2 to 3.4 (documented, except that a stale or foreign handle counts as NULL: guessed).
 */
#include "sim.h"

#include <stdatomic.h>
#include <string.h>

static atomic_int media_ready;

bool sim_media_ready(void) {
    if (atomic_load_explicit(&media_ready, memory_order_relaxed))
        return true;
    if (!sim_current_context())
        return false;
    atomic_store_explicit(&media_ready, 1, memory_order_relaxed);
    return true;
}

void sim_descriptors_after_fork(void) {
    atomic_store(&media_ready, 0);
}

static int not_ready(const char *call) {
    return sim_fail(ACL_ERROR_INTERNAL_ERROR,
                    "%s: the media library is not set up: no thread with a device or context "
                    "has called it yet",
                    call);
}

static int bad_handle(const char *call) {
    return sim_fail(ACL_ERROR_INVALID_PARAM, "%s: the handle is NULL or not alive", call);
}

/* Descriptors own a small device allocation each, so making one takes a context on this thread. */
static void *create_with_context(const char *call, int kind, size_t size) {
    if (!sim_current_context()) {
        sim_fail(ACL_ERROR_RT_CONTEXT_NULL, "%s: this thread has no current context", call);
        return NULL;
    }
    return sim_media_ready() ? sim_object_create(kind, size, false) : NULL;
}

static int destroy(const char *call, void *handle, int kind) {
    if (!sim_media_ready())
        return not_ready(call);
    if (!handle)
        return ACL_SUCCESS;
    if (!sim_object_is(handle, kind))
        return bad_handle(call);
    sim_object_destroy(handle);
    return ACL_SUCCESS;
}

#define SETTER(prefix, type, kind, name, field, value_type)                                                            \
    aclError prefix##Set##name(type *desc, value_type value) {                                                         \
        if (!sim_object_is(desc, kind))                                                                                \
            return bad_handle(#prefix "Set" #name);                                                                    \
        desc->field = value;                                                                                           \
        return ACL_SUCCESS;                                                                                            \
    }

#define GETTER(prefix, type, kind, name, field, value_type, none)                                                      \
    value_type prefix##Get##name(const type *desc) {                                                                   \
        return sim_object_is(desc, kind) ? desc->field : (none);                                                       \
    }

#define FIELD(prefix, type, kind, name, field, value_type)                                                             \
    SETTER(prefix, type, kind, name, field, value_type)                                                                \
    GETTER(prefix, type, kind, name, field, value_type, 0)

/* ---- pictures -------------------------------------------------------------------------------- */

acldvppPicDesc *acldvppCreatePicDesc(void) {
    return create_with_context("acldvppCreatePicDesc", ACLSIM_PIC_DESC, sizeof(acldvppPicDesc));
}

aclError acldvppDestroyPicDesc(acldvppPicDesc *picDesc) {
    return destroy("acldvppDestroyPicDesc", picDesc, ACLSIM_PIC_DESC);
}

aclError acldvppSetPicDescData(acldvppPicDesc *picDesc, void *dataDev) {
    if (!sim_object_is(picDesc, ACLSIM_PIC_DESC) || !dataDev)
        return bad_handle("acldvppSetPicDescData");
    picDesc->data = dataDev;
    return ACL_SUCCESS;
}

GETTER(acldvpp, acldvppPicDesc, ACLSIM_PIC_DESC, PicDescData, data, void *, NULL)
FIELD(acldvpp, acldvppPicDesc, ACLSIM_PIC_DESC, PicDescSize, size, uint32_t)
FIELD(acldvpp, acldvppPicDesc, ACLSIM_PIC_DESC, PicDescFormat, format, acldvppPixelFormat)
FIELD(acldvpp, acldvppPicDesc, ACLSIM_PIC_DESC, PicDescWidth, width, uint32_t)
FIELD(acldvpp, acldvppPicDesc, ACLSIM_PIC_DESC, PicDescHeight, height, uint32_t)
FIELD(acldvpp, acldvppPicDesc, ACLSIM_PIC_DESC, PicDescWidthStride, width_stride, uint32_t)
FIELD(acldvpp, acldvppPicDesc, ACLSIM_PIC_DESC, PicDescHeightStride, height_stride, uint32_t)
FIELD(acldvpp, acldvppPicDesc, ACLSIM_PIC_DESC, PicDescRetCode, ret_code, uint32_t)

enum { MAX_BATCH = 128 };

struct acldvppBatchPicDesc {
    uint32_t size;
    acldvppPicDesc *pictures[MAX_BATCH];
};

/* guessed: the limit. Pictures of a batch belong to it. */
acldvppBatchPicDesc *acldvppCreateBatchPicDesc(uint32_t batchSize) {
    if (batchSize == 0 || batchSize > MAX_BATCH) {
        sim_fail(ACL_ERROR_INVALID_PARAM, "acldvppCreateBatchPicDesc: size is %u, allowed is 1 to %d", batchSize,
                 MAX_BATCH);
        return NULL;
    }
    acldvppBatchPicDesc *batch = create_with_context("acldvppCreateBatchPicDesc", ACLSIM_BATCH_PIC_DESC, sizeof *batch);
    for (uint32_t i = 0; batch && i < batchSize; i++, batch->size++) {
        batch->pictures[i] = sim_object_create(ACLSIM_PIC_DESC, sizeof(acldvppPicDesc), true);
        if (!batch->pictures[i]) {
            acldvppDestroyBatchPicDesc(batch);
            return NULL;
        }
    }
    return batch;
}

acldvppPicDesc *acldvppGetPicDesc(acldvppBatchPicDesc *batchPicDesc, uint32_t index) {
    if (!sim_object_is(batchPicDesc, ACLSIM_BATCH_PIC_DESC) || index >= batchPicDesc->size)
        return NULL;
    return batchPicDesc->pictures[index];
}

aclError acldvppDestroyBatchPicDesc(acldvppBatchPicDesc *batchPicDesc) {
    if (sim_object_is(batchPicDesc, ACLSIM_BATCH_PIC_DESC))
        for (uint32_t i = 0; i < batchPicDesc->size; i++)
            sim_object_destroy(batchPicDesc->pictures[i]);
    return destroy("acldvppDestroyBatchPicDesc", batchPicDesc, ACLSIM_BATCH_PIC_DESC);
}

/* ---- streams --------------------------------------------------------------------------------- */

acldvppStreamDesc *acldvppCreateStreamDesc(void) {
    return create_with_context("acldvppCreateStreamDesc", ACLSIM_STREAM_DESC, sizeof(acldvppStreamDesc));
}

aclError acldvppDestroyStreamDesc(acldvppStreamDesc *streamDesc) {
    return destroy("acldvppDestroyStreamDesc", streamDesc, ACLSIM_STREAM_DESC);
}

aclError acldvppSetStreamDescData(acldvppStreamDesc *streamDesc, void *dataDev) {
    if (!sim_object_is(streamDesc, ACLSIM_STREAM_DESC) || !dataDev)
        return bad_handle("acldvppSetStreamDescData");
    streamDesc->data = dataDev;
    return ACL_SUCCESS;
}

aclError acldvppSetStreamDescEos(acldvppStreamDesc *streamDesc, uint8_t eos) {
    if (!sim_object_is(streamDesc, ACLSIM_STREAM_DESC))
        return bad_handle("acldvppSetStreamDescEos");
    streamDesc->eos = eos != 0;
    return ACL_SUCCESS;
}

GETTER(acldvpp, acldvppStreamDesc, ACLSIM_STREAM_DESC, StreamDescData, data, void *, NULL)
GETTER(acldvpp, acldvppStreamDesc, ACLSIM_STREAM_DESC, StreamDescEos, eos, uint8_t, 0)
FIELD(acldvpp, acldvppStreamDesc, ACLSIM_STREAM_DESC, StreamDescSize, size, uint32_t)
FIELD(acldvpp, acldvppStreamDesc, ACLSIM_STREAM_DESC, StreamDescFormat, format, acldvppStreamFormat)
FIELD(acldvpp, acldvppStreamDesc, ACLSIM_STREAM_DESC, StreamDescTimestamp, timestamp, uint64_t)
FIELD(acldvpp, acldvppStreamDesc, ACLSIM_STREAM_DESC, StreamDescRetCode, ret_code, uint32_t)

/* ---- frame configs: host memory only ------------------------------------------------------------ */

aclvencFrameConfig *aclvencCreateFrameConfig(void) {
    if (!sim_media_ready()) {
        not_ready("aclvencCreateFrameConfig");
        return NULL;
    }
    return sim_object_create(ACLSIM_FRAME_CONFIG, sizeof(aclvencFrameConfig), false);
}

aclError aclvencDestroyFrameConfig(aclvencFrameConfig *config) {
    return destroy("aclvencDestroyFrameConfig", config, ACLSIM_FRAME_CONFIG);
}

aclError aclvencSetFrameConfigForceIFrame(aclvencFrameConfig *config, uint8_t forceIFrame) {
    if (!sim_object_is(config, ACLSIM_FRAME_CONFIG))
        return bad_handle("aclvencSetFrameConfigForceIFrame");
    config->force_i_frame = forceIFrame != 0;
    return ACL_SUCCESS;
}

aclError aclvencSetFrameConfigEos(aclvencFrameConfig *config, uint8_t eos) {
    if (!sim_object_is(config, ACLSIM_FRAME_CONFIG))
        return bad_handle("aclvencSetFrameConfigEos");
    config->eos = eos != 0;
    return ACL_SUCCESS;
}

GETTER(aclvenc, aclvencFrameConfig, ACLSIM_FRAME_CONFIG, FrameConfigForceIFrame, force_i_frame, uint8_t, 0)
GETTER(aclvenc, aclvencFrameConfig, ACLSIM_FRAME_CONFIG, FrameConfigEos, eos, uint8_t, 0)

/* ---- channel descriptors ------------------------------------------------------------------------ */

aclvencChannelDesc *aclvencCreateChannelDesc(void) {
    return create_with_context("aclvencCreateChannelDesc", ACLSIM_CHANNEL_DESC, sizeof(aclvencChannelDesc));
}

/* documented: the channel is to be destroyed first. guessed: a channel that is left lives on, unreachable. */
aclError aclvencDestroyChannelDesc(aclvencChannelDesc *channelDesc) {
    return destroy("aclvencDestroyChannelDesc", channelDesc, ACLSIM_CHANNEL_DESC);
}

#define CHANNEL(name, field, value_type, none)                                                                         \
    GETTER(aclvenc, aclvencChannelDesc, ACLSIM_CHANNEL_DESC, ChannelDesc##name, field, value_type, none)
#define PLAIN(name, field, value_type)                                                                                 \
    FIELD(aclvenc, aclvencChannelDesc, ACLSIM_CHANNEL_DESC, ChannelDesc##name, field, value_type)

PLAIN(ThreadId, thread_id, uint64_t)
PLAIN(EnType, en_type, acldvppStreamFormat)
PLAIN(PicWidth, pic_width, uint32_t)
PLAIN(PicHeight, pic_height, uint32_t)
PLAIN(KeyFrameInterval, key_frame_interval, uint32_t)
CHANNEL(ChannelId, channel_id, uint32_t, 0)
CHANNEL(Callback, callback, aclvencCallback, NULL)
CHANNEL(PicFormat, pic_format, acldvppPixelFormat, PIXEL_FORMAT_YUV_SEMIPLANAR_420) /* documented: NV12 for NULL */
CHANNEL(BufAddr, buf_addr, void *, NULL)
CHANNEL(BufSize, buf_size, uint32_t, 0)
CHANNEL(RcMode, rc_mode, uint32_t, 0)
CHANNEL(SrcRate, src_rate, uint32_t, 0)
CHANNEL(MaxBitRate, max_bit_rate, uint32_t, 0)

aclError aclvencSetChannelDescCallback(aclvencChannelDesc *channelDesc, aclvencCallback callback) {
    if (!sim_object_is(channelDesc, ACLSIM_CHANNEL_DESC) || !callback)
        return bad_handle("aclvencSetChannelDescCallback");
    channelDesc->callback = callback;
    return ACL_SUCCESS;
}

/* What the setters that go through the processor check first. */
static int check_channel_desc(const char *call, const aclvencChannelDesc *desc) {
    if (!sim_media_ready())
        return not_ready(call);
    return sim_object_is(desc, ACLSIM_CHANNEL_DESC) ? ACL_SUCCESS : bad_handle(call);
}

aclError aclvencSetChannelDescPicFormat(aclvencChannelDesc *channelDesc, acldvppPixelFormat picFormat) {
    int rc = check_channel_desc("aclvencSetChannelDescPicFormat", channelDesc);
    if (rc != ACL_SUCCESS)
        return rc;
    if (picFormat != PIXEL_FORMAT_YUV_SEMIPLANAR_420 && picFormat != PIXEL_FORMAT_YVU_SEMIPLANAR_420)
        return sim_fail(ACL_ERROR_INVALID_PARAM, "picture format is %d, allowed are 1 (NV12) and 2 (NV21)", picFormat);
    channelDesc->pic_format = picFormat;
    return ACL_SUCCESS;
}

aclError aclvencSetChannelDescRcMode(aclvencChannelDesc *channelDesc, uint32_t rcMode) {
    int rc = check_channel_desc("aclvencSetChannelDescRcMode", channelDesc);
    if (rc != ACL_SUCCESS)
        return rc;
    if (!sim_chip()->v100 && rcMode > 2)
        return sim_fail(ACL_ERROR_INVALID_PARAM, "rate control mode is %u, allowed are 0, 1 (VBR) and 2 (CBR)", rcMode);
    channelDesc->rc_mode = rcMode;
    return ACL_SUCCESS;
}

aclError aclvencSetChannelDescSrcRate(aclvencChannelDesc *channelDesc, uint32_t srcRate) {
    int rc = check_channel_desc("aclvencSetChannelDescSrcRate", channelDesc);
    if (rc == ACL_SUCCESS)
        channelDesc->src_rate = srcRate;
    return rc;
}

aclError aclvencSetChannelDescMaxBitRate(aclvencChannelDesc *channelDesc, uint32_t maxBitRate) {
    int rc = check_channel_desc("aclvencSetChannelDescMaxBitRate", channelDesc);
    if (rc == ACL_SUCCESS)
        channelDesc->max_bit_rate = maxBitRate;
    return rc;
}

static int output_buffer_is_fixed(void) {
    return sim_fail(ACL_ERROR_FEATURE_UNSUPPORTED, "the output buffer of %s is fixed", sim_chip()->soc_name);
}

aclError aclvencSetChannelDescBufSize(aclvencChannelDesc *channelDesc, uint32_t bufSize) {
    if (!sim_media_ready())
        return not_ready("aclvencSetChannelDescBufSize");
    if (sim_chip()->min_output_size == 0)
        return output_buffer_is_fixed();
    if (!sim_object_is(channelDesc, ACLSIM_CHANNEL_DESC))
        return bad_handle("aclvencSetChannelDescBufSize");
    if (bufSize < sim_chip()->min_output_size)
        return sim_fail(ACL_ERROR_INVALID_PARAM, "output buffer of %u bytes, at least %u are needed", bufSize,
                        sim_chip()->min_output_size);
    channelDesc->buf_size = bufSize;
    return ACL_SUCCESS;
}

aclError aclvencSetChannelDescBufAddr(aclvencChannelDesc *channelDesc, void *bufAddr) {
    if (!sim_media_ready())
        return not_ready("aclvencSetChannelDescBufAddr");
    if (sim_chip()->min_output_size == 0)
        return output_buffer_is_fixed();
    if (!sim_object_is(channelDesc, ACLSIM_CHANNEL_DESC) || !bufAddr)
        return bad_handle("aclvencSetChannelDescBufAddr");
    if (channelDesc->buf_addr)
        return sim_fail(ACL_ERROR_INVALID_PARAM, "the output buffer's address is set already");
    channelDesc->buf_addr = bufAddr;
    return ACL_SUCCESS;
}

static int set_ip_proportion(aclvencChannelDesc *desc, uint32_t value) {
    int rc = check_channel_desc("aclvencSetChannelDescParam", desc);
    if (rc != ACL_SUCCESS)
        return rc;
    if (!sim_chip()->ip_proportion)
        return sim_fail(ACL_ERROR_FEATURE_UNSUPPORTED, "%s has no I/P proportion", sim_chip()->soc_name);
    desc->ip_proportion = value;
    return ACL_SUCCESS;
}

/* Bytes of a parameter's value, 0 for an unknown type. */
static size_t length_of(aclvencChannelDescParamType type) {
    switch (type) {
    case ACL_VENC_THREAD_ID_UINT64:
    case ACL_VENC_CALLBACK_PTR:
    case ACL_VENC_BUF_ADDR_PTR:
        return 8;
    default:
        return type >= ACL_VENC_THREAD_ID_UINT64 && type <= ACL_VENC_MAX_IP_PROP_UINT32 ? 4 : 0;
    }
}

/* documented: too long is refused, too short is filled up with zeros, and the descriptor is checked last. */
aclError aclvencSetChannelDescParam(aclvencChannelDesc *channelDesc, aclvencChannelDescParamType paramType,
                                    size_t length, const void *param) {
    size_t wanted = length_of(paramType);
    if (!param || wanted == 0 || length > wanted)
        return sim_fail(ACL_ERROR_INVALID_PARAM,
                        "aclvencSetChannelDescParam: NULL, type %d unknown, or length %zu over %zu", paramType, length,
                        wanted);
    uint64_t wide = 0;
    uint32_t value = 0;
    void *pointer = NULL;
    aclvencCallback callback = NULL;
    memcpy(&wide, param, length);
    memcpy(&value, &wide, sizeof value);
    memcpy(&pointer, &wide, sizeof pointer);
    memcpy(&callback, &wide, sizeof callback);
    switch (paramType) {
    case ACL_VENC_THREAD_ID_UINT64:
        return aclvencSetChannelDescThreadId(channelDesc, wide);
    case ACL_VENC_CALLBACK_PTR:
        return aclvencSetChannelDescCallback(channelDesc, callback);
    case ACL_VENC_PIXEL_FORMAT_UINT32:
        return aclvencSetChannelDescPicFormat(channelDesc, (acldvppPixelFormat)value);
    case ACL_VENC_ENCODE_TYPE_UINT32:
        return aclvencSetChannelDescEnType(channelDesc, (acldvppStreamFormat)value);
    case ACL_VENC_PIC_WIDTH_UINT32:
        return aclvencSetChannelDescPicWidth(channelDesc, value);
    case ACL_VENC_PIC_HEIGHT_UINT32:
        return aclvencSetChannelDescPicHeight(channelDesc, value);
    case ACL_VENC_KEY_FRAME_INTERVAL_UINT32:
        return aclvencSetChannelDescKeyFrameInterval(channelDesc, value);
    case ACL_VENC_BUF_ADDR_PTR:
        return aclvencSetChannelDescBufAddr(channelDesc, pointer);
    case ACL_VENC_BUF_SIZE_UINT32:
        return aclvencSetChannelDescBufSize(channelDesc, value);
    case ACL_VENC_RC_MODE_UINT32:
        return aclvencSetChannelDescRcMode(channelDesc, value);
    case ACL_VENC_SRC_RATE_UINT32:
        return aclvencSetChannelDescSrcRate(channelDesc, value);
    case ACL_VENC_MAX_BITRATE_UINT32:
        return aclvencSetChannelDescMaxBitRate(channelDesc, value);
    default:
        return set_ip_proportion(channelDesc, value);
    }
}

aclError aclvencGetChannelDescParam(const aclvencChannelDesc *channelDesc, aclvencChannelDescParamType paramType,
                                    size_t length, size_t *paramRetSize, void *param) {
    size_t wanted = length_of(paramType);
    if (!sim_object_is(channelDesc, ACLSIM_CHANNEL_DESC) || !paramRetSize || !param || wanted == 0 || length < wanted)
        return sim_fail(ACL_ERROR_INVALID_PARAM,
                        "aclvencGetChannelDescParam: NULL, type %d unknown, or length %zu below %zu", paramType, length,
                        wanted);
    const aclvencChannelDesc *d = channelDesc;
    bool is_buffer = paramType == ACL_VENC_BUF_ADDR_PTR || paramType == ACL_VENC_BUF_SIZE_UINT32;
    if (is_buffer && sim_chip()->min_output_size == 0)
        return output_buffer_is_fixed();
    if (paramType == ACL_VENC_MAX_IP_PROP_UINT32 && !sim_chip()->ip_proportion)
        return sim_fail(ACL_ERROR_FEATURE_UNSUPPORTED, "%s has no I/P proportion", sim_chip()->soc_name);
    const void *const values[] = {
        &d->thread_id,  &d->callback,           &d->pic_format,    &d->en_type,  &d->pic_width,
        &d->pic_height, &d->key_frame_interval, &d->buf_addr,      &d->buf_size, &d->rc_mode,
        &d->src_rate,   &d->max_bit_rate,       &d->ip_proportion,
    };
    memcpy(param, values[paramType], wanted);
    *paramRetSize = wanted;
    return ACL_SUCCESS;
}
