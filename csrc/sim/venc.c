// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
/*
 * Channels: one worker thread each, which encodes in send order and posts one report at a time.
 *
 * documented: aclvencSendFrame returns when the device has taken the frame, not when it is encoded; one report
 * is outstanding per channel, the next follows only after its callback has returned, because both share the
 * channel's one output buffer; that buffer is valid during the callback only; EOS and destroying wait for all
 * callbacks. Here "taken" means queued: up to QUEUE_LENGTH frames wait in front of the encoder (guessed).
 *
 * Input memory stays the program's until its callback; it is pinned meanwhile, so that freeing it too early
 * gives a correct picture instead of a crash. Pixels that lie in memory the device does not know (a NumPy
 * array, say) are copied at once: such programs run on boards, and drop the array right after the call.
 */
#include "sim.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { QUEUE_LENGTH = 16, SCRUBBED = 64, MAX_CHANNELS = 256 };

typedef struct frame {
    struct frame *next;
    acldvppPicDesc *picture; /* the handle, for the callback */
    acldvppPicDesc fields;   /* as they were when it was sent */
    aclvencCallback callback;
    void *user_data;
    uint8_t *copy; /* of foreign pixels, else NULL */
    bool pinned;
    bool force_idr;
} frame;

typedef struct frame_report {
    sim_report report;
    sim_channel *channel;
    frame *frame;
} frame_report;

struct sim_channel {
    aclvencChannelDesc fields; /* as they were when the channel was created */
    uint32_t id;
    sim_codec *codec;
    uint32_t gop_position; /* frames since the last IDR; worker only */
    acldvppStreamDesc *output;
    uint8_t *buffer; /* device memory: the program's or ours */
    uint32_t buffer_size;
    bool own_buffer;
    pthread_t worker;

    pthread_mutex_t lock; /* everything below */
    pthread_cond_t changed;
    frame *head, *tail;
    unsigned queued;  /* not yet taken by the worker */
    unsigned pending; /* accepted, callback not yet returned */
    bool reporting;   /* the output buffer belongs to a callback */
    bool stop;
};

static pthread_mutex_t ids_lock = PTHREAD_MUTEX_INITIALIZER;
static bool ids[MAX_CHANNELS];
static unsigned channels;

bool sim_any_channel(void) {
    pthread_mutex_lock(&ids_lock);
    bool any = channels > 0;
    pthread_mutex_unlock(&ids_lock);
    return any;
}

void sim_venc_after_fork(void) {
    pthread_mutex_init(&ids_lock, NULL);
    memset(ids, 0, sizeof ids);
    channels = 0;
}

static bool take_id(uint32_t *id) {
    bool found = false;
    pthread_mutex_lock(&ids_lock);
    for (uint32_t i = 0; i < sim_chip()->max_channels && i < MAX_CHANNELS && !found; i++) {
        if (!ids[i]) {
            ids[i] = found = true;
            *id = i;
            channels++;
        }
    }
    pthread_mutex_unlock(&ids_lock);
    return found;
}

static void return_id(uint32_t id) {
    pthread_mutex_lock(&ids_lock);
    ids[id] = false;
    channels--;
    pthread_mutex_unlock(&ids_lock);
}

/* ---- the worker ------------------------------------------------------------------------------ */

static void free_frame(frame *f) {
    if (f->pinned)
        sim_memory_unpin(f->fields.data);
    free(f->copy);
    free(f);
}

/* Where the chroma begins. client-behaviour Q21 to Q23: the buffer's size counts more than the height stride. */
static void geometry(const sim_channel *channel, const acldvppPicDesc *picture, size_t *stride, size_t *rows) {
    size_t height = channel->fields.pic_height;
    *stride = picture->width_stride ? picture->width_stride : (channel->fields.pic_width + 15) & ~15u;
    size_t by_size = (size_t)picture->size * 2 / 3 / *stride;
    if (picture->height_stride >= height && picture->height_stride <= by_size)
        *rows = picture->height_stride;
    else
        *rows = by_size >= height ? by_size : height;
    /* A size that is no whole picture at this stride says nothing about the rows. */
    if (*rows != picture->height_stride && *rows * *stride * 3 / 2 != picture->size)
        *rows = height;
}

/* Bytes that the encoder reads, from the picture's address. */
static size_t picture_bytes(const sim_channel *channel, const acldvppPicDesc *picture) {
    size_t stride, rows;
    geometry(channel, picture, &stride, &rows);
    return stride * rows + stride * (channel->fields.pic_height / 2 - 1) + channel->fields.pic_width;
}

static void encode(sim_channel *channel, frame *f) {
    size_t stride, rows;
    geometry(channel, &f->fields, &stride, &rows);
    const uint8_t *pixels = f->copy ? f->copy : f->fields.data;
    const uint8_t *data = NULL;
    size_t size = 0;
    char why[512] = "";
    bool idr = f->force_idr || channel->gop_position == 0;
    acldvppStreamDesc *out = channel->output;
    *out = (acldvppStreamDesc){.format = channel->fields.en_type}; /* guessed: timestamp 0, eos 0 */
    int rc = sim_codec_encode(channel->codec, pixels, stride, pixels + stride * rows, stride, idr, &data, &size, why,
                              sizeof why);
    if (rc == 0 && size <= channel->buffer_size) {
        /* documented: forcing an I frame restarts the GOP. */
        channel->gop_position = ((idr ? 0 : channel->gop_position) + 1) % channel->fields.key_frame_interval;
        memcpy(channel->buffer, data, size);
        out->data = channel->buffer;
        out->size = (uint32_t)size;
    } else {
        channel->gop_position = 0;
        out->ret_code = 1; /* guessed: the vendor lists no values */
    }
}

static void run_frame(sim_report *report) {
    frame_report *r = (frame_report *)report;
    /*
     * documented: on a host the output descriptor is copied from the device first, on the report thread; without
     * a context that does not work, and the callback is skipped without a word. So is a NULL callback.
     */
    if (!r->frame->callback || (sim_chip()->run_mode == ACL_HOST && !sim_current_context()))
        return;
    r->frame->callback(r->frame->picture, r->channel->output, r->frame->user_data);
}

static void finish_frame(sim_report *report) {
    frame_report *r = (frame_report *)report;
    sim_channel *channel = r->channel;
    /* The release task follows the callback: what a program kept a pointer to is gone. */
    uint32_t size = channel->output->size < SCRUBBED ? channel->output->size : SCRUBBED;
    if (channel->output->data)
        memset(channel->output->data, 0xDB, size);
    free_frame(r->frame);
    free(r);
    pthread_mutex_lock(&channel->lock);
    channel->reporting = false;
    channel->pending--;
    pthread_cond_broadcast(&channel->changed);
    pthread_mutex_unlock(&channel->lock);
}

static void *work(void *arg) {
    sim_channel *channel = arg;
    pthread_mutex_lock(&channel->lock);
    for (;;) {
        while (!channel->stop && (!channel->head || channel->reporting))
            pthread_cond_wait(&channel->changed, &channel->lock);
        if (!channel->head || channel->reporting)
            break; /* stopped, and nothing left that could be done */
        frame *f = channel->head;
        channel->head = f->next;
        if (!channel->head)
            channel->tail = NULL;
        channel->queued--;
        channel->reporting = true;
        pthread_cond_broadcast(&channel->changed);
        pthread_mutex_unlock(&channel->lock);

        encode(channel, f);
        frame_report *r = malloc(sizeof *r);
        if (r) {
            *r = (frame_report){.report = {NULL, run_frame, finish_frame}, .channel = channel, .frame = f};
            if (!sim_post(channel->fields.thread_id, &r->report))
                finish_frame(&r->report);
        } else {
            free_frame(f);
        }

        pthread_mutex_lock(&channel->lock);
        if (!r) {
            channel->reporting = false;
            channel->pending--;
            pthread_cond_broadcast(&channel->changed);
        }
    }
    pthread_mutex_unlock(&channel->lock);
    return NULL;
}

/* ---- creating -------------------------------------------------------------------------------- */

static int check_range(const char *name, uint32_t value, sim_range range) {
    if (value >= range.low && value <= range.high)
        return ACL_SUCCESS;
    return sim_fail(ACL_ERROR_RT_AICPU_EXCEPTION, "%s %u err, should be in [%u, %u] on %s", name, value, range.low,
                    range.high, sim_chip()->soc_name);
}

/* observed for bit rate and GOP on 310B4: 507018. guessed: the same code for the rest. */
static int check_ranges(const aclvencChannelDesc *d) {
    const sim_profile *chip = sim_chip();
    int rc = check_range("width", d->pic_width, chip->width);
    if (rc == ACL_SUCCESS)
        rc = check_range("height", d->pic_height, chip->height);
    if (rc == ACL_SUCCESS)
        rc = check_range("gop", d->key_frame_interval, chip->gop);
    if (rc == ACL_SUCCESS && d->src_rate)
        rc = check_range("source frame rate", d->src_rate, chip->fps);
    if (rc == ACL_SUCCESS && d->max_bit_rate)
        rc = check_range("bit rate (kbit/s)", d->max_bit_rate, chip->bit_rate);
    if (rc != ACL_SUCCESS)
        return rc;
    if ((d->pic_width | d->pic_height) & 1)
        return sim_fail(ACL_ERROR_RT_AICPU_EXCEPTION, "size %u x %u err, both should be even", d->pic_width,
                        d->pic_height);
    if (d->en_type < H265_MAIN_LEVEL || d->en_type > H264_HIGH_LEVEL)
        return sim_fail(ACL_ERROR_RT_AICPU_EXCEPTION, "encode type %d err, should be in [0, 3]", d->en_type);
    if (d->pic_format != PIXEL_FORMAT_YUV_SEMIPLANAR_420 && d->pic_format != PIXEL_FORMAT_YVU_SEMIPLANAR_420)
        return sim_fail(ACL_ERROR_RT_AICPU_EXCEPTION, "picture format %d err, should be 1 (NV12) or 2 (NV21)",
                        d->pic_format);
    if (d->rc_mode > 2)
        return sim_fail(ACL_ERROR_RT_AICPU_EXCEPTION, "rate control mode %u err, should be in [0, 2]", d->rc_mode);
    if (d->ip_proportion > 100)
        return sim_fail(ACL_ERROR_RT_AICPU_EXCEPTION, "I/P proportion %u err, should be in [0, 100]", d->ip_proportion);
    if (d->en_type != H265_MAIN_LEVEL && chip->h264_area && d->pic_width * d->pic_height > chip->h264_area)
        return sim_fail(ACL_ERROR_RT_AICPU_EXCEPTION, "size %u x %u err, H.264 takes up to %u pixels on %s",
                        d->pic_width, d->pic_height, chip->h264_area, chip->soc_name);
    return ACL_SUCCESS;
}

static int open_codec(sim_channel *channel) {
    const aclvencChannelDesc *d = &channel->fields;
    const sim_profile *chip = sim_chip();
    sim_codec_config config = {
        .en_type = d->en_type,
        .pic_format = d->pic_format,
        .width = d->pic_width,
        .height = d->pic_height,
        .rc_mode = d->rc_mode ? d->rc_mode : chip->default_rc_mode,
        .src_rate = d->src_rate ? d->src_rate : SIM_DEFAULT_FPS,
        .bit_rate = d->max_bit_rate ? d->max_bit_rate : chip->default_bit_rate,
    };
    char why[3072] = "";
    if (sim_load_codec(why, sizeof why) != 0 || sim_codec_open(&config, &channel->codec, why, sizeof why) != 0)
        return sim_fail(ACL_ERROR_RT_AICPU_EXCEPTION, "%s", why);
    return ACL_SUCCESS;
}

static int open_buffer(sim_channel *channel) {
    const aclvencChannelDesc *d = &channel->fields;
    if (!d->buf_addr != !d->buf_size) /* documented */
        return sim_fail(ACL_ERROR_RT_FAILURE, "an output buffer needs both its address and its size");
    channel->own_buffer = !d->buf_addr;
    channel->buffer_size = d->buf_addr ? d->buf_size : sim_chip()->output_size;
    channel->buffer = d->buf_addr ? d->buf_addr : sim_memory_internal(channel->buffer_size);
    channel->output = sim_object_create(ACLSIM_STREAM_DESC, sizeof *channel->output, true);
    if (!channel->buffer || !channel->output)
        return sim_fail(ACL_ERROR_RT_MEMORY_ALLOCATION, "no memory for the channel's output buffer");
    return ACL_SUCCESS;
}

static int start_worker(sim_channel *channel) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&channel->worker, NULL, work, channel);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0)
        return sim_fail(ACL_ERROR_RT_RESOURCE_ALLOC_FAIL, "no thread for the channel: %s", strerror(rc));
    pthread_setname_np(channel->worker, "sim-venc");
    return ACL_SUCCESS;
}

/* Everything but the worker, which does not run (any more). */
static void free_channel(sim_channel *channel) {
    sim_codec_close(channel->codec);
    if (channel->own_buffer)
        sim_memory_internal_free(channel->buffer);
    if (channel->output)
        sim_object_destroy(channel->output);
    pthread_cond_destroy(&channel->changed);
    pthread_mutex_destroy(&channel->lock);
    free(channel);
}

aclError aclvencCreateChannel(aclvencChannelDesc *channelDesc) {
    if (!sim_object_is(channelDesc, ACLSIM_CHANNEL_DESC))
        return sim_fail(ACL_ERROR_INVALID_PARAM, "aclvencCreateChannel: the descriptor is NULL or not alive");
    if (channelDesc->channel) /* the real library leaks the first channel; refusing is a choice */
        return sim_fail(ACL_ERROR_INVALID_PARAM, "aclvencCreateChannel: the descriptor has a channel already");
    sim_context *context = sim_current_context();
    if (!context)
        return sim_fail(ACL_ERROR_RT_CONTEXT_NULL, "aclvencCreateChannel: this thread has no current context");
    if (!sim_chip()->has_venc) /* guessed */
        return sim_fail(ACL_ERROR_RT_FEATURE_NOT_SUPPORT, "%s has no video encoder", sim_chip()->soc_name);
    int rc = sim_subscribe_internal(channelDesc->thread_id, context->device);
    if (rc != ACL_SUCCESS)
        return rc;
    sim_channel *channel = calloc(1, sizeof *channel);
    if (!channel) {
        sim_unsubscribe_internal(channelDesc->thread_id);
        return sim_fail(ACL_ERROR_RT_RESOURCE_ALLOC_FAIL, "aclvencCreateChannel: out of memory");
    }
    channel->fields = *channelDesc;
    pthread_mutex_init(&channel->lock, NULL);
    pthread_cond_init(&channel->changed, NULL);
    bool has_id = take_id(&channel->id);
    if (!has_id)
        rc = sim_fail(ACL_ERROR_RT_NO_NOTIFY_RESOURCE, "all %u channels of the device are open",
                      sim_chip()->max_channels);
    if (rc == ACL_SUCCESS)
        rc = open_buffer(channel);
    if (rc == ACL_SUCCESS)
        rc = check_ranges(&channel->fields);
    if (rc == ACL_SUCCESS)
        rc = open_codec(channel);
    if (rc == ACL_SUCCESS)
        rc = start_worker(channel);
    if (rc != ACL_SUCCESS) {
        if (has_id)
            return_id(channel->id);
        free_channel(channel);
        sim_unsubscribe_internal(channelDesc->thread_id);
        return rc;
    }
    channelDesc->channel_id = channel->id;
    channelDesc->channel = channel;
    sim_live_add(ACLSIM_CHANNEL, 1);
    return ACL_SUCCESS;
}

/* ---- sending --------------------------------------------------------------------------------- */

static void wait_for_callbacks(sim_channel *channel) {
    pthread_mutex_lock(&channel->lock);
    while (channel->pending)
        pthread_cond_wait(&channel->changed, &channel->lock);
    pthread_mutex_unlock(&channel->lock);
}

static int refuse_inside_callback(const char *call) {
    return sim_fail(ACL_ERROR_FAILURE, "%s waits for callbacks: inside one it would wait for ever", call);
}

/* documented, Ascend 310 only: the buffer's size against the channel's picture, not its stride. */
static int check_size_v100(const sim_channel *channel, const acldvppPicDesc *input) {
    uint64_t least = (uint64_t)channel->fields.pic_width * channel->fields.pic_height * 3 / 2;
    if (!sim_chip()->v100 || (input->size >= least && input->size < 2 * least))
        return ACL_SUCCESS;
    return sim_fail(ACL_ERROR_INVALID_PARAM, "picture of %u bytes, should be in [%llu, %llu)", input->size,
                    (unsigned long long)least, (unsigned long long)(2 * least));
}

static int hold_pixels(sim_channel *channel, frame *f) {
    size_t bytes = picture_bytes(channel, &f->fields);
    if (!f->fields.data)
        return sim_fail(ACL_ERROR_INVALID_PARAM, "aclvencSendFrame: the picture has no data"); /* guessed */
    int known = sim_memory_pin(f->fields.data, bytes);
    if (known < 0)
        return sim_fail(ACL_ERROR_INVALID_PARAM,
                        "aclvencSendFrame: the picture needs %zu bytes, which leave its memory", bytes); /* guessed */
    f->pinned = known == 0;
    if (known == 0)
        return ACL_SUCCESS;
    f->copy = malloc(bytes);
    if (!f->copy)
        return sim_fail(ACL_ERROR_RT_MEMORY_ALLOCATION, "aclvencSendFrame: out of memory");
    memcpy(f->copy, f->fields.data, bytes);
    return ACL_SUCCESS;
}

aclError aclvencSendFrame(aclvencChannelDesc *channelDesc, acldvppPicDesc *input, void *reserve,
                          aclvencFrameConfig *config, void *userdata) {
    (void)reserve;
    if (!sim_object_is(channelDesc, ACLSIM_CHANNEL_DESC) || !channelDesc->channel)
        return sim_fail(ACL_ERROR_INVALID_PARAM,
                        "aclvencSendFrame: the descriptor is NULL, not alive, or has no channel");
    if (!sim_object_is(config, ACLSIM_FRAME_CONFIG))
        return sim_fail(ACL_ERROR_INVALID_PARAM, "aclvencSendFrame: the frame config is NULL or not alive");
    sim_channel *channel = channelDesc->channel;
    if (config->eos) {
        if (sim_inside_callback())
            return refuse_inside_callback("EOS");
        wait_for_callbacks(channel);
        return ACL_SUCCESS;
    }
    if (!sim_object_is(input, ACLSIM_PIC_DESC))
        return sim_fail(ACL_ERROR_INVALID_PARAM, "aclvencSendFrame: the picture is NULL or not alive");
    int rc = check_size_v100(channel, input);
    if (rc != ACL_SUCCESS)
        return rc;
    frame *f = calloc(1, sizeof *f);
    if (!f)
        return sim_fail(ACL_ERROR_RT_MEMORY_ALLOCATION, "aclvencSendFrame: out of memory");
    *f = (frame){.picture = input,
                 .fields = *input,
                 .callback = channelDesc->callback,
                 .user_data = userdata,
                 .force_idr = config->force_i_frame};
    rc = hold_pixels(channel, f);
    if (rc != ACL_SUCCESS) {
        free_frame(f);
        return rc;
    }
    pthread_mutex_lock(&channel->lock);
    while (channel->queued >= QUEUE_LENGTH)
        pthread_cond_wait(&channel->changed, &channel->lock);
    if (channel->tail)
        channel->tail->next = f;
    else
        channel->head = f;
    channel->tail = f;
    channel->queued++;
    channel->pending++;
    pthread_cond_broadcast(&channel->changed);
    pthread_mutex_unlock(&channel->lock);
    return ACL_SUCCESS;
}

/* guessed: a descriptor that never had a channel, or has none any more, is refused. */
aclError aclvencDestroyChannel(aclvencChannelDesc *channelDesc) {
    if (!sim_object_is(channelDesc, ACLSIM_CHANNEL_DESC) || !channelDesc->channel)
        return sim_fail(ACL_ERROR_INVALID_PARAM,
                        "aclvencDestroyChannel: the descriptor is NULL, not alive, or has no channel");
    if (sim_inside_callback())
        return refuse_inside_callback("aclvencDestroyChannel");
    sim_channel *channel = channelDesc->channel;
    wait_for_callbacks(channel);
    pthread_mutex_lock(&channel->lock);
    channel->stop = true;
    pthread_cond_broadcast(&channel->changed);
    pthread_mutex_unlock(&channel->lock);
    pthread_join(channel->worker, NULL);
    channelDesc->channel = NULL;
    sim_unsubscribe_internal(channel->fields.thread_id);
    return_id(channel->id);
    free_channel(channel);
    sim_live_add(ACLSIM_CHANNEL, -1);
    return ACL_SUCCESS;
}
