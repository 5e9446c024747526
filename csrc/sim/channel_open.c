// SPDX-License-Identifier: Apache-2.0
/* Creating a channel: what the library and the device check, and the parts it is made of. */
#include "channel.h"

#include <stdlib.h>
#include <string.h>

enum { CANNED_MIN = 1024 };

static aclError out_of_range(const char *function, const char *name, uint32_t value, sim_range range, bool zero) {
    return sim_fail_at(function, ACL_ERROR_RT_AICPU_EXCEPTION, "%s %u err, should be %sin [%u, %u] on %s", name, value,
                       zero ? "0 or " : "", range.min, range.max, sim_profile_get()->name);
}

static bool is_in(uint32_t value, sim_range range) {
    return value >= range.min && value <= range.max;
}

/* What the device checks: observed 507018 for the GOP and the bit rate, guessed to be the same for the others. */
static aclError check_ranges(const char *function, const sim_channel_desc *desc) {
    const sim_profile *profile = sim_profile_get();
    const aclError code = ACL_ERROR_RT_AICPU_EXCEPTION;
    if (desc->en_type < H265_MAIN_LEVEL || desc->en_type > H264_HIGH_LEVEL)
        return sim_fail_at(function, code, "enType %d err, should be in [0, 3]", desc->en_type);
    if (desc->pic_format != PIXEL_FORMAT_YUV_SEMIPLANAR_420 && desc->pic_format != PIXEL_FORMAT_YVU_SEMIPLANAR_420)
        return sim_fail_at(function, code, "picFormat %d err, should be 1 (NV12) or 2 (NV21)", desc->pic_format);
    if (!is_in(desc->pic_width, profile->width))
        return out_of_range(function, "width", desc->pic_width, profile->width, false);
    if (!is_in(desc->pic_height, profile->height))
        return out_of_range(function, "height", desc->pic_height, profile->height, false);
    if (desc->pic_width % 2 != 0 || desc->pic_height % 2 != 0)
        return sim_fail_at(function, code, "size %u x %u err, width and height should be even", desc->pic_width,
                           desc->pic_height);
    uint64_t area = (uint64_t)desc->pic_width * desc->pic_height;
    if (desc->en_type != H265_MAIN_LEVEL && profile->h264_area != 0 && area > profile->h264_area)
        return sim_fail_at(function, code, "size %u x %u err, should be at most %llu pixels for H.264 on %s",
                           desc->pic_width, desc->pic_height, (unsigned long long)profile->h264_area, profile->name);
    if (!is_in(desc->key_frame_interval, profile->gop))
        return out_of_range(function, "gop", desc->key_frame_interval, profile->gop, false);
    if (desc->rc_mode > 2)
        return sim_fail_at(function, code, "rcMode %u err, should be 0, 1 (VBR) or 2 (CBR)", desc->rc_mode);
    if (!is_in(desc->src_rate, profile->src_rate) && desc->src_rate != 0)
        return out_of_range(function, "srcRate", desc->src_rate, profile->src_rate, true);
    if (!is_in(desc->max_bit_rate, profile->bit_rate) && desc->max_bit_rate != 0)
        return out_of_range(function, "maxBitRate (kbit/s)", desc->max_bit_rate, profile->bit_rate, true);
    if (profile->ip_prop_settable && !is_in(desc->ip_prop, profile->ip_prop) && desc->ip_prop != 0)
        return out_of_range(function, "ipProp", desc->ip_prop, profile->ip_prop, true);
    return ACL_SUCCESS;
}

static pthread_mutex_t choice_lock = PTHREAD_MUTEX_INITIALIZER;
static char codec_path[PATH_MAX]; /* "": none was named */

int aclsim_set_codec(const char *path) {
    size_t length = path != NULL ? strlen(path) : 0;
    if (length >= sizeof codec_path)
        return -1;
    pthread_mutex_lock(&choice_lock);
    memcpy(codec_path, path != NULL ? path : "", length + 1);
    pthread_mutex_unlock(&choice_lock);
    return 0;
}

/* The environment's choice counts more than the loader's find: codec.c reads it when nothing is handed over. */
const char *sim_codec_choice(char buffer[PATH_MAX]) {
    const char *chosen = secure_getenv("ASCEND_VENC_SIM_AVCODEC");
    pthread_mutex_lock(&choice_lock);
    memcpy(buffer, codec_path, PATH_MAX);
    pthread_mutex_unlock(&choice_lock);
    return (chosen != NULL && chosen[0] != '\0') || buffer[0] == '\0' ? NULL : buffer;
}

void sim_codec_choice_after_fork(void) {
    pthread_mutex_init(&choice_lock, NULL);
}

static aclError open_codec(sim_channel *ch, const sim_channel_desc *desc, const char *function) {
    const sim_profile *profile = sim_profile_get();
    size_t null_size = (size_t)atomic_load(&sim_option.null_codec);
    if (null_size != 0) {
        ch->marked = atomic_load(&sim_option.watermark) != 0;
        size_t capacity = (null_size < CANNED_MIN ? CANNED_MIN : null_size) + SIM_MARK_SIZE;
        for (int idr = 0; idr < 2; idr++) {
            ch->canned[idr] = malloc(capacity);
            if (ch->canned[idr] == NULL)
                return sim_fail_at(function, ACL_ERROR_BAD_ALLOC, "out of memory");
            size_t size = null_size;
            if (ch->marked) { /* it takes nothing of the headers */
                size = SIM_MARK_SIZE +
                       sim_null_access_unit(ch->canned[idr], capacity, 0, ch->en_type, ch->width, ch->height, idr != 0);
                size = size < null_size ? null_size : size;
            }
            ch->canned_size[idr] =
                sim_null_access_unit(ch->canned[idr], capacity, size, ch->en_type, ch->width, ch->height, idr != 0);
        }
        return ACL_SUCCESS;
    }
    /* Documented: 0 stands for the chip's default. */
    const sim_codec_config config = {
        .en_type = desc->en_type,
        .pic_format = desc->pic_format,
        .width = desc->pic_width,
        .height = desc->pic_height,
        .rc_mode = desc->rc_mode != 0 ? desc->rc_mode : profile->default_rc_mode,
        .src_rate = desc->src_rate != 0 ? desc->src_rate : profile->default_src_rate,
        .bit_rate = desc->max_bit_rate != 0 ? desc->max_bit_rate : profile->default_bit_rate,
    };
    char why[1500] = "";
    char path[PATH_MAX];
    if (sim_codec_load(sim_codec_choice(path), why, sizeof why) != 0 ||
        sim_codec_open(&config, &ch->codec, why, sizeof why) != 0)
        return sim_fail_at(function, ACL_ERROR_RT_AICPU_EXCEPTION, "the encoder cannot be opened: %s", why);
    return ACL_SUCCESS;
}

/* Documented: either both or none of address and size; else the library's own buffer. */
static aclError open_output(sim_channel *ch, const sim_channel_desc *desc, const char *function, void *caller) {
    if ((desc->buf_addr != NULL) != (desc->buf_size != 0))
        return sim_fail_at(function, ACL_ERROR_RT_FAILURE, "only one of bufAddr and bufSize is set");
    if (desc->buf_addr == NULL) {
        ch->borrowed_output = desc->output != NULL;
        if (ch->borrowed_output) {
            atomic_fetch_add(&desc->output->references, 1);
            ch->output = desc->output;
        } else {
            ch->output = sim_memory_create(SIM_DEVICE_MEMORY, sim_profile_get()->buffer_size, ch->device, true,
                                           function, caller);
        }
        if (ch->output == NULL)
            return sim_fail_at(function, ACL_ERROR_RT_MEMORY_ALLOCATION, "no memory for the output buffer");
        ch->own_output = true;
        ch->out_data = ch->output->data;
        ch->out_address = ch->output->address;
        ch->out_size = ch->output->size;
        return ACL_SUCCESS;
    }
    ch->output = sim_memory_at(desc->buf_addr);
    ch->out_address = (uintptr_t)desc->buf_addr;
    ch->out_size = desc->buf_size;
    ch->out_data = desc->buf_addr;
    if (ch->output != NULL) {
        atomic_fetch_add(&ch->output->lent, 1);
        size_t rest = sim_memory_rest(ch->output, desc->buf_addr);
        ch->out_data = ch->output->data + (ch->out_address - ch->output->address);
        if (rest < ch->out_size && sim_is_strict())
            sim_report_at("out-of-bounds", function, "bufSize is the size of the allocation at bufAddr",
                          "bufSize is %zu, but the allocation at %p ends after %zu bytes", ch->out_size, desc->buf_addr,
                          rest);
        if (rest < ch->out_size)
            ch->out_size = rest;
    }
    if (sim_is_strict() && (ch->output == NULL || ch->output->kind != SIM_DEVICE_MEMORY))
        sim_report_at("foreign-memory", function, "allocate bufAddr with acldvppMalloc",
                      "bufAddr %p is not device memory", desc->buf_addr);
    if (ch->output == NULL && !sim_foreign_is_writable(desc->buf_addr, desc->buf_size)) /* guessed code */
        return sim_fail_at(function, ACL_ERROR_RT_PARAM_INVALID, "nothing is mapped at bufAddr %p", desc->buf_addr);
    return ACL_SUCCESS;
}

static aclError open_parts(sim_channel *ch, const sim_channel_desc *desc, const char *function, void *caller) {
    const sim_profile *profile = sim_profile_get();
    aclError rc = open_output(ch, desc, function, caller);
    if (rc == ACL_SUCCESS)
        rc = check_ranges(function, desc);
    if (rc == ACL_SUCCESS)
        rc = open_codec(ch, desc, function);
    if (rc != ACL_SUCCESS)
        return rc;
    ch->input_slots = atomic_load(&sim_option.input_slots);
    ch->output_slots = atomic_load(&sim_option.output_slots);
    ch->ring_size = (size_t)(ch->input_slots + ch->output_slots);
    ch->ring = calloc(ch->ring_size, sizeof *ch->ring);
    if (ch->ring == NULL)
        return sim_fail_at(function, ACL_ERROR_BAD_ALLOC, "out of memory");
    if (!profile->v100) { /* documented: one output descriptor for all frames of a channel */
        ch->out_desc = sim_handle_new(SIM_STREAM_DESC, function, caller, true);
        if (ch->out_desc == NULL)
            return sim_fail_at(function, ACL_ERROR_BAD_ALLOC, "out of memory");
        ch->out_desc->output = true;
        ch->out_handle = sim_handle_of(SIM_STREAM_DESC, ch->out_desc);
    }
    return ACL_SUCCESS;
}

static aclError create_channel(sim_channel_desc *desc, int32_t device, const char *function, void *caller,
                               sim_channel **out, bool *freed_output) {
    sim_channel *ch = calloc(1, sizeof *ch);
    if (ch == NULL)
        return sim_fail_at(function, ACL_ERROR_BAD_ALLOC, "out of memory");
    ch->device = device;
    ch->context = sim_self.context;
    ch->width = desc->pic_width;
    ch->height = desc->pic_height;
    ch->gop = desc->key_frame_interval;
    ch->en_type = desc->en_type;
    ch->pic_format = desc->pic_format;
    ch->report.run = sim_channel_run_report;
    sim_origin_set(&ch->origin, function, caller);
    pthread_mutex_init(&ch->lock, NULL);
    sim_cond_init(&ch->progress);
    sim_cond_init(&ch->work);
    /* Documented order: the streams, the subscription, the output buffer, then the device's own checks. */
    aclError rc = ACL_SUCCESS;
    bool streams = sim_stream_reserve(device, 2);
    if (!streams)
        rc = sim_fail_at(function, ACL_ERROR_RT_NO_STREAM_RESOURCE, "the device has no two more streams");
    if (rc == ACL_SUCCESS && (rc = sim_reporter_acquire(desc->thread_id, device, &ch->reporter)) != ACL_SUCCESS)
        sim_fail_at(function, rc, "thread %#llx serves another device, or there are too many threads",
                    (unsigned long long)desc->thread_id);
    if (rc == ACL_SUCCESS)
        rc = open_parts(ch, desc, function, caller);
    uint64_t limit = atomic_load(&sim_option.channel_limit);
    bool listed = rc == ACL_SUCCESS && sim_channel_list(ch, limit != 0 ? limit : sim_profile_get()->max_channels);
    if (rc == ACL_SUCCESS && !listed) /* guessed code */
        rc = sim_fail_at(function, ACL_ERROR_RT_RESOURCE_ALLOC_FAIL, "the device has no more channels");
    int error = rc == ACL_SUCCESS && ch->codec != NULL ? sim_channel_start_worker(ch) : 0;
    if (error != 0)
        rc = sim_fail_at(function, ACL_ERROR_RT_RESOURCE_ALLOC_FAIL, "no thread for the channel: %s", strerror(error));
    if (rc == ACL_SUCCESS) {
        *out = ch;
        return rc;
    }
    *freed_output = sim_channel_frees_output(ch);
    if (listed)
        sim_channel_unlist(ch);
    if (ch->reporter != NULL)
        sim_reporter_release(ch->reporter);
    if (streams)
        sim_stream_unreserve(device, 2);
    sim_channel_free(ch);
    return rc;
}

aclError sim_channel_find_desc(const char *function, const aclvencChannelDesc *handle, sim_channel_desc **out) {
    if (!sim_dvpp_ready())
        return sim_fail_at(function, ACL_ERROR_INTERNAL_ERROR,
                           "the media library is not up: no thread with a current context has called it yet");
    *out = sim_handle_get(SIM_CHANNEL_DESC, handle);
    if (*out == NULL) {
        if (sim_is_strict())
            sim_report_stale(SIM_CHANNEL_DESC, handle, function);
        return sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "%p is no live channel descriptor", (const void *)handle);
    }
    return ACL_SUCCESS;
}

aclError aclvencCreateChannel(aclvencChannelDesc *channelDesc) {
    SIM_ENTER(aclvencCreateChannel);
    sim_channel_desc *desc;
    sim_interface_used(SIM_V1, __func__);
    aclError rc = sim_channel_find_desc(__func__, channelDesc, &desc);
    if (rc != ACL_SUCCESS)
        return rc;
    if (!sim_profile_get()->has_venc) /* guessed code */
        return FAIL(ACL_ERROR_API_NOT_SUPPORT, "%s has no video encoder", sim_profile_get()->name);
    sim_context *context = sim_current();
    if (context == NULL) /* documented: its streams need one */
        return FAIL(ACL_ERROR_RT_CONTEXT_NULL, "this thread has no current context");
    int lost = sim_device_lost(context->device);
    if (lost != 0)
        return FAIL(lost, "device %d is lost", context->device);
    sim_claim claim = sim_channel_claim_desc(desc);
    if (claim ==
        SIM_DESC_IN_USE) { /* guessed: refused. Documented is that nothing guards against it: the first is lost */
        STRICT("descriptor-reuse", "one channel descriptor for each channel",
               "channel descriptor %p has an open channel; it was %s", (void *)channelDesc,
               sim_origin_format(&desc->object.origin).text);
        return FAIL(ACL_ERROR_INVALID_PARAM, "the descriptor has an open channel: use one for each channel");
    }
    /* Documented: succeeds. The library takes the address for a buffer of its own, and frees it once more at the end. */
    if (claim == SIM_DESC_HAS_FREED_OUTPUT)
        STRICT(
            "descriptor-reuse", "one channel descriptor for each call of aclvencCreateChannel",
            "channel descriptor %p holds the address of an output buffer that was freed when its channel %s: hardware "
            "writes there, and frees it a second time; it was %s",
            (void *)channelDesc, desc->used ? "ended" : "was refused", sim_origin_format(&desc->object.origin).text);
    sim_channel *ch = NULL;
    bool freed_output = false;
    rc = create_channel(desc, context->device, __func__, __builtin_return_address(0), &ch, &freed_output);
    sim_channel_bind_desc(desc, ch, freed_output);
    return rc;
}
