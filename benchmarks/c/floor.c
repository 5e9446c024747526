// SPDX-License-Identifier: Apache-2.0
/*
 * The floor: the calls that every way of encoding has to make, from plain C, in the process of its peers.
 *
 *   serial     the calling thread sends a batch and then processes its reports: no thread switch at all
 *   threaded   a report thread, as every program has one; the sender keeps at most `buffers` frames in flight, and is
 *              woken once, when as many have come as it waits for
 *
 * It does what the engine and its consumer do: takes the device buffer that was given back last, and keeps as many
 * access units (`outputs`) as a program that receives packets. V2 (hi_mpi_venc) is always threaded.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "device.h"

#define EXPORT __attribute__((visibility("default")))

enum { MAX_BUFFERS = 1024, OUTPUT = 1 << 20, REPORT_MS = 100, EVENTS = 64, PACKS = 16, MAX_WRITE = 64 };

typedef struct floor_config {
    uint32_t channels, width, height;
    uint32_t buffers;  /* device buffers of each channel */
    uint32_t outputs;  /* buffers for access units in rotation, of each channel */
    uint32_t pictures; /* different pictures of the host, of all channels together */
    int32_t threaded;  /* a report thread; else the caller processes its own reports */
    int32_t copies;    /* copy each picture to the device and each access unit out */
    int32_t v2;        /* hi_mpi_venc in place of aclvenc */
    int32_t file;      /* descriptor that the access units of the first channel are written to, or -1 */
} floor_config;

typedef struct floor_result {
    uint64_t frames, bytes; /* of the access units of all channels */
} floor_result;

typedef struct floor_paced {
    uint64_t lost, cpu_ns, took_ns;
    const uint64_t *latency_ns; /* from when a frame was due to its access unit in the host's memory */
    uint64_t latencies;
} floor_paced;

typedef struct slot {
    struct channel *channel;
    acldvppPicDesc *picture;
    void *memory;
    uint64_t due_ns;
} slot;

typedef struct channel {
    struct floor *owner;
    uint32_t number, free_count; /* free_count: lock */
    aclvencChannelDesc *desc;
    slot *slots, **free;          /* free: lock; the last one was given back last */
    slot **flying;                /* V2: by frame number, which its streams do not tell */
    uint64_t sent, came, written; /* frames */
    char *output;
    uint32_t *sizes; /* of the access units in `output` */
} channel;

typedef struct floor {
    floor_config config;
    aclrtContext context;
    aclvencFrameConfig *frame_config;
    hi_s32 epoll;
    channel *channels;
    size_t picture_size;
    char *pixels; /* `pictures` of them */
    pthread_t thread;
    atomic_int stop;
    pthread_mutex_t lock;
    pthread_cond_t progress;
    uint64_t sent;     /* frames, on all channels */
    floor_result done; /* lock */
    uint64_t awaited;  /* lock */
    bool timing;       /* floor_pace runs */
    uint64_t *latency_ns;
    atomic_uint_least64_t latencies;
} floor_t;

static void need(int rc) {
    if (rc != ACL_SUCCESS) {
        const char *text = aclGetRecentErrMsg();
        fprintf(stderr, "C floor: %d %s\n", rc, text ? text : "");
        abort();
    }
}

/* ---- access units ------------------------------------------------------------------------------------------ */

static void deliver(slot *s, const void *data, uint32_t size) {
    channel *ch = s->channel;
    floor_t *f = ch->owner;
    uint64_t index = ch->came % f->config.outputs;
    char *output = ch->output + index * OUTPUT;
    if (f->config.copies)
        need(aclrtMemcpy(output, OUTPUT, data, size, ACL_MEMCPY_DEVICE_TO_HOST));
    if (f->timing)
        f->latency_ns[atomic_fetch_add(&f->latencies, 1)] = now_ns() - s->due_ns;
    ch->sizes[index] = size;
    if (f->config.threaded)
        pthread_mutex_lock(&f->lock);
    ch->free[ch->free_count++] = s;
    ch->came++;
    f->done.frames++;
    f->done.bytes += size;
    if (f->config.threaded) {
        if (f->done.frames == f->awaited)
            pthread_cond_signal(&f->progress);
        pthread_mutex_unlock(&f->lock);
    }
}

static void callback(acldvppPicDesc *input, acldvppStreamDesc *stream, void *user_data) {
    slot *s = user_data;
    if (acldvppGetStreamDescRetCode(stream) != 0)
        abort();
    deliver(s, acldvppGetStreamDescData(stream), acldvppGetStreamDescSize(stream));
}

/* The next access unit of a channel, if there is one: its status is asked for first, as the vendor documents it. */
static bool get_one(channel *ch) {
    floor_t *f = ch->owner;
    hi_venc_pack packs[PACKS];
    hi_venc_chn_status status;
    hi_venc_stream stream = {.pack = packs};
    need(hi_mpi_venc_query_status((hi_venc_chn)ch->number, &status));
    if (status.cur_packs == 0)
        return false;
    stream.pack_cnt = status.cur_packs;
    if (status.cur_packs > PACKS)
        abort();
    need(hi_mpi_venc_get_stream((hi_venc_chn)ch->number, &stream, 0));
    if (stream.pack_cnt != 1 || packs[0].len <= packs[0].offset)
        abort(); /* one_stream_buf: a frame is one pack; without bytes it has failed */
    deliver(ch->flying[ch->came % f->config.buffers], packs[0].addr + packs[0].offset, packs[0].len - packs[0].offset);
    need(hi_mpi_venc_release_stream((hi_venc_chn)ch->number, &stream));
    return true;
}

/* V2: what has come on any channel. */
static void get_streams(floor_t *f) {
    hi_dvpp_epoll_event events[EVENTS];
    hi_s32 count = 0;
    need(hi_mpi_sys_wait_epoll(f->epoll, events, EVENTS, REPORT_MS, &count));
    for (hi_s32 i = 0; i < count; i++)
        while (get_one(events[i].data))
            continue;
}

static void *report(void *pointer) {
    floor_t *f = pointer;
    pthread_setname_np(pthread_self(), "floor-report");
    aclrtSetCurrentContext(f->context);
    while (!atomic_load(&f->stop))
        if (f->config.v2)
            get_streams(f);
        else if (aclrtProcessReport(REPORT_MS) == ACL_ERROR_RT_THREAD_SUBSCRIBE)
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    return NULL;
}

/* ---- frames ------------------------------------------------------------------------------------------------- */

/* Until `target` frames have come, over all channels. */
static void wait_for(floor_t *f, uint64_t target) {
    if (!f->config.threaded) {
        while (f->done.frames < target)
            aclrtProcessReport(REPORT_MS);
        return;
    }
    pthread_mutex_lock(&f->lock);
    f->awaited = target;
    while (f->done.frames < target)
        pthread_cond_wait(&f->progress, &f->lock);
    f->awaited = 0;
    pthread_mutex_unlock(&f->lock);
}

/* `count` free slots of a channel, those given back last first; false: there are fewer. */
static bool take_slots(floor_t *f, channel *ch, uint32_t count, slot **taken) {
    if (f->config.threaded)
        pthread_mutex_lock(&f->lock);
    bool enough = ch->free_count >= count;
    for (uint32_t i = 0; enough && i < count; i++)
        taken[i] = ch->free[--ch->free_count];
    if (f->config.threaded)
        pthread_mutex_unlock(&f->lock);
    return enough;
}

static void send_one(floor_t *f, channel *ch, slot *s) {
    if (f->config.copies)
        need(aclrtMemcpy(s->memory, f->picture_size,
                         f->pixels + (ch->number + ch->sent) % f->config.pictures * f->picture_size, f->picture_size,
                         ACL_MEMCPY_HOST_TO_DEVICE));
    uint64_t number = ch->sent++;
    f->sent++;
    if (!f->config.v2) {
        need(aclvencSendFrame(ch->desc, s->picture, NULL, f->frame_config, s));
        return;
    }
    hi_video_frame_info picture = {.pool_id = (hi_u32)-1, .mod_id = HI_ID_VENC};
    picture.v_frame.width = picture.v_frame.width_stride[0] = picture.v_frame.width_stride[1] = f->config.width;
    picture.v_frame.height = picture.v_frame.height_stride[0] = picture.v_frame.height_stride[1] = f->config.height;
    picture.v_frame.field = HI_VIDEO_FIELD_FRAME;
    picture.v_frame.pixel_format = HI_PIXEL_FORMAT_YUV_SEMIPLANAR_420;
    picture.v_frame.virt_addr[0] = s->memory;
    picture.v_frame.virt_addr[1] = (char *)s->memory + (size_t)f->config.width * f->config.height;
    picture.v_frame.pts = 33333 * number;
    picture.v_frame.time_ref = (hi_u32)(2 * number);
    ch->flying[number % f->config.buffers] = s;
    need(hi_mpi_venc_send_frame((hi_venc_chn)ch->number, &picture, 0));
}

/* Write to the file what has come up to frame `end`. Slots in flight and frames not written are `buffers` at most. */
static void write_out(floor_t *f, channel *ch, uint64_t end) {
    struct iovec parts[MAX_WRITE];
    while (ch->written < end) {
        int count = 0;
        ssize_t size = 0;
        for (; ch->written < end && count < MAX_WRITE; count++, ch->written++) {
            uint64_t index = ch->written % f->config.outputs;
            parts[count] = (struct iovec){ch->output + index * OUTPUT, ch->sizes[index]};
            size += ch->sizes[index];
        }
        if (writev(f->config.file, parts, count) != size)
            abort();
    }
}

/* Send `frames` on the first channel, `batch` at a time, and wait for all of them. */
EXPORT void floor_run(floor_t *f, uint64_t frames, uint32_t batch) {
    channel *ch = &f->channels[0];
    slot *taken[MAX_BUFFERS];
    uint64_t base = f->done.frames, sent = 0;
    aclrtSetCurrentContext(f->context);
    while (sent < frames) {
        uint32_t now = frames - sent < batch ? (uint32_t)(frames - sent) : batch;
        /* Serially all that was sent; else as many as make room for the batch. */
        uint64_t needed = !f->config.threaded              ? sent
                          : sent + now > f->config.buffers ? sent + now - f->config.buffers
                                                           : 0;
        wait_for(f, base + needed);
        if (f->config.file >= 0)
            write_out(f, ch, base + needed);
        if (!take_slots(f, ch, now, taken))
            abort();
        for (uint32_t i = 0; i < now; i++)
            send_one(f, ch, taken[i]);
        sent += now;
    }
    wait_for(f, base + frames);
    if (f->config.file >= 0)
        write_out(f, ch, base + frames);
}

/* Hand `frames` to each channel; where its buffers are all in flight, wait for one. The device may stand still as long as
 * there are buffers. */
EXPORT void floor_queue(floor_t *f, uint64_t frames) {
    aclrtSetCurrentContext(f->context);
    for (uint32_t c = 0; c < f->config.channels; c++)
        for (uint64_t i = 0; i < frames; i++) {
            slot *s;
            while (!take_slots(f, &f->channels[c], 1, &s))
                nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
            send_one(f, &f->channels[c], s);
        }
}

/* What came out of all channels so far. */
EXPORT void floor_total(floor_t *f, floor_result *total) {
    pthread_mutex_lock(&f->lock);
    *total = f->done;
    pthread_mutex_unlock(&f->lock);
}

/* `rate` frames a second on each channel from this thread: `together` of them at a time, the groups evenly spread. A
 * frame for which its channel has no buffer is lost. The first `warm_up` frames of each channel are not counted. */
EXPORT void floor_pace(floor_t *f, uint32_t rate, uint32_t warm_up, uint32_t frames, uint32_t together,
                       floor_paced *out) {
    uint64_t channels = f->config.channels, warm = warm_up * channels, all = (warm_up + frames) * channels;
    uint64_t start, cpu = 0, begin = 0;
    f->latency_ns = realloc(f->latency_ns, all * sizeof *f->latency_ns);
    atomic_store(&f->latencies, 0);
    f->timing = true;
    aclrtSetCurrentContext(f->context);
    start = now_ns();
    for (uint64_t i = 0; i < all; i++) {
        if (i == warm) {
            cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
            begin = now_ns();
            atomic_store(&f->latencies, 0); /* those that come of the warm-up are few */
        }
        uint64_t due = start + i / together * together * 1000000000u / (rate * channels);
        if (due > now_ns()) { /* sleeping until what is past costs as much as sleeping */
            struct timespec until = {.tv_sec = (time_t)(due / 1000000000u), .tv_nsec = (long)(due % 1000000000u)};
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        }
        channel *ch = &f->channels[i % channels];
        slot *s;
        if (take_slots(f, ch, 1, &s)) {
            s->due_ns = due;
            send_one(f, ch, s);
        } else if (i >= warm)
            out->lost++;
    }
    out->took_ns = now_ns() - begin;
    wait_for(f, f->sent);
    f->timing = false;
    out->cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    out->latency_ns = f->latency_ns;
    out->latencies = f->latencies;
}

/* ---- opening and closing ------------------------------------------------------------------------------------ */

static void *zeroed(size_t count, size_t size) {
    void *memory = calloc(count, size);
    if (memory == NULL)
        abort();
    return memory;
}

static void open_v1(floor_t *f, channel *ch) {
    const floor_config *c = &f->config;
    ch->desc = aclvencCreateChannelDesc();
    need(aclvencSetChannelDescThreadId(ch->desc, (uint64_t)(c->threaded ? f->thread : pthread_self())));
    need(aclvencSetChannelDescCallback(ch->desc, callback));
    need(aclvencSetChannelDescEnType(ch->desc, H265_MAIN_LEVEL));
    need(aclvencSetChannelDescPicFormat(ch->desc, PIXEL_FORMAT_YUV_SEMIPLANAR_420));
    need(aclvencSetChannelDescPicWidth(ch->desc, c->width));
    need(aclvencSetChannelDescPicHeight(ch->desc, c->height));
    need(aclvencSetChannelDescKeyFrameInterval(ch->desc, 65536));
    need(aclvencCreateChannel(ch->desc));
    for (uint32_t i = 0; i < c->buffers; i++) {
        slot *s = &ch->slots[i];
        s->picture = acldvppCreatePicDesc();
        need(acldvppMalloc(&s->memory, f->picture_size));
        need(acldvppSetPicDescData(s->picture, s->memory));
        need(acldvppSetPicDescSize(s->picture, (uint32_t)f->picture_size));
        need(acldvppSetPicDescFormat(s->picture, PIXEL_FORMAT_YUV_SEMIPLANAR_420));
        need(acldvppSetPicDescWidth(s->picture, c->width));
        need(acldvppSetPicDescHeight(s->picture, c->height));
        need(acldvppSetPicDescWidthStride(s->picture, c->width));
        need(acldvppSetPicDescHeightStride(s->picture, c->height));
    }
}

static void open_v2(floor_t *f, channel *ch) {
    hi_venc_chn id = (hi_venc_chn)ch->number;
    hi_venc_chn_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.venc_attr.type = HI_PT_H265;
    attr.venc_attr.max_pic_width = attr.venc_attr.pic_width = f->config.width;
    attr.venc_attr.max_pic_height = attr.venc_attr.pic_height = f->config.height;
    attr.venc_attr.buf_size = OUTPUT;
    attr.venc_attr.is_by_frame = HI_TRUE;
    attr.rc_attr.rc_mode = HI_VENC_RC_MODE_H265_CBR;
    attr.rc_attr.h265_cbr.gop = 65536;
    attr.rc_attr.h265_cbr.stats_time = 1;
    attr.rc_attr.h265_cbr.src_frame_rate = attr.rc_attr.h265_cbr.dst_frame_rate = 30;
    attr.rc_attr.h265_cbr.bit_rate = 4000;
    attr.gop_attr.gop_mode = HI_VENC_GOP_MODE_NORMAL_P;
    attr.gop_attr.normal_p.ip_qp_delta = 2;
    need(hi_mpi_venc_create_chn(id, &attr));
    need(hi_mpi_venc_start_chn(id, &(hi_venc_start_param){.recv_pic_num = -1}));
    hi_dvpp_epoll_event event = {.events = HI_DVPP_EPOLL_IN, .data = ch};
    need(hi_mpi_sys_ctl_epoll(f->epoll, HI_DVPP_EPOLL_CTL_ADD, hi_mpi_venc_get_fd(id), &event));
    for (uint32_t i = 0; i < f->config.buffers; i++)
        need(hi_mpi_dvpp_malloc(0, &ch->slots[i].memory, f->picture_size));
}

static void open_channel(floor_t *f, channel *ch) {
    const floor_config *c = &f->config;
    ch->owner = f;
    ch->number = (uint32_t)(ch - f->channels);
    ch->output = zeroed(c->outputs, OUTPUT);
    ch->sizes = zeroed(c->outputs, sizeof *ch->sizes);
    ch->slots = zeroed(c->buffers, sizeof *ch->slots);
    ch->free = zeroed(c->buffers, sizeof(slot *));
    ch->flying = zeroed(c->buffers, sizeof(slot *));
    for (; ch->free_count < c->buffers; ch->free_count++) {
        ch->slots[ch->free_count].channel = ch;
        ch->free[ch->free_count] = &ch->slots[ch->free_count];
    }
    (c->v2 ? open_v2 : open_v1)(f, ch);
}

EXPORT floor_t *floor_open(const floor_config *config) {
    if (config->channels == 0 || config->outputs == 0 || config->buffers == 0 || config->pictures == 0 ||
        config->buffers > MAX_BUFFERS || (config->file >= 0 && config->outputs < config->buffers) ||
        (config->v2 && !config->threaded) || config->width % 16 != 0)
        return NULL;
    floor_t *f = zeroed(1, sizeof *f);
    f->config = *config;
    f->picture_size = (size_t)config->width * config->height * 3 / 2;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->progress, NULL);
    int rc = aclInit(NULL);
    if (rc != ACL_ERROR_REPEAT_INITIALIZE)
        need(rc);
    need(aclrtCreateContext(&f->context, 0));
    f->pixels = zeroed(config->pictures, f->picture_size);
    f->channels = zeroed(config->channels, sizeof *f->channels);
    memset(f->pixels, 0x5a, config->pictures * f->picture_size); /* not the kernel's one page of zeros */
    if (config->v2) {
        hi_venc_mod_param param = {.mod_type = HI_VENC_MOD_H265};
        need(hi_mpi_sys_init());
        need(hi_mpi_venc_get_mod_param(&param));
        param.mod_type = HI_VENC_MOD_H265;
        param.h265_mod_param.one_stream_buf = 1;
        need(hi_mpi_venc_set_mod_param(&param));
        need(hi_mpi_sys_create_epoll((hi_s32)config->channels, &f->epoll));
    } else
        f->frame_config = aclvencCreateFrameConfig();
    if (config->threaded && pthread_create(&f->thread, NULL, report, f) != 0)
        abort();
    for (uint32_t c = 0; c < config->channels; c++)
        open_channel(f, &f->channels[c]);
    return f;
}

static void close_channel(floor_t *f, channel *ch) {
    hi_venc_chn id = (hi_venc_chn)ch->number;
    if (f->config.v2) {
        need(hi_mpi_venc_stop_chn(id));
        need(hi_mpi_sys_ctl_epoll(f->epoll, HI_DVPP_EPOLL_CTL_DEL, hi_mpi_venc_get_fd(id), NULL));
        need(hi_mpi_venc_close_fd(id));
        need(hi_mpi_venc_destroy_chn(id));
    } else {
        need(aclvencDestroyChannel(ch->desc));
        need(aclvencDestroyChannelDesc(ch->desc));
    }
    for (uint32_t i = 0; i < f->config.buffers; i++) {
        if (!f->config.v2)
            need(acldvppDestroyPicDesc(ch->slots[i].picture));
        need((f->config.v2 ? hi_mpi_dvpp_free : acldvppFree)(ch->slots[i].memory));
    }
    free(ch->output);
    free(ch->sizes);
    free(ch->slots);
    free(ch->free);
    free(ch->flying);
}

static void end_thread(floor_t *f) {
    atomic_store(&f->stop, 1);
    if (f->config.threaded)
        pthread_join(f->thread, NULL);
}

EXPORT void floor_close(floor_t *f) {
    aclrtSetCurrentContext(f->context);
    /* V2's thread may have the last stream in hand yet; V1's has to run while channels are destroyed. */
    if (f->config.v2)
        end_thread(f);
    for (uint32_t c = 0; c < f->config.channels; c++)
        close_channel(f, &f->channels[c]);
    if (!f->config.v2)
        end_thread(f);
    if (f->config.v2) {
        need(hi_mpi_sys_close_epoll(f->epoll));
        need(hi_mpi_sys_exit());
    } else
        need(aclvencDestroyFrameConfig(f->frame_config));
    need(aclrtDestroyContext(f->context));
    pthread_cond_destroy(&f->progress);
    pthread_mutex_destroy(&f->lock);
    free(f->pixels);
    free(f->latency_ns);
    free(f->channels);
    free(f);
}
