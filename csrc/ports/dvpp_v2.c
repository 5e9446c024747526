// SPDX-License-Identifier: Apache-2.0
/*
 * DVPP V2, a device: one native thread opens it, and gets the streams of all its channels. It waits in the vendor's epoll
 * while a frame may be in the device, and on a condition of its own when none has been for a while: nothing wakes a thread
 * out of that epoll, so a device without frames ends soon, and costs nothing while it is idle.
 *
 * hi_mpi_sys_exit is never called: it ends the use of all others in the process too.
 */
#include "base/status.h"
#include "base/thread.h"
#include "ports/dvpp_v2_shared.h"
#include "ports/family.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    WAIT_MS = 100,           /* in the epoll: how late the thread may see that it is to stop */
    IDLE_MS = 50,            /* there without frames: a wake-up more for each frame of a camera would cost more */
    MOST_EVENTS = 64,        /* of one wait */
    MOST_AT_ONCE = 16,       /* streams of one channel before another one's turn */
    LOST_AFTER_FAILURES = 3, /* consecutive ones, before the device counts as lost */
    LEAST_PACKS = 16,        /* of a frame; one, or one for each NAL unit */
    MOST_QP = 51,            /* of a picture (documented) */
    IN_DEVICE = 6,           /* frames that a channel takes before it encodes the first (documented) */
};

/* What the thread works with. */
typedef struct getter {
    avenc_device *device;
    avi_v2_device *v2;
    hi_venc_pack *packs;
    hi_u32 room; /* of packs */
    int failures;
    bool quiet; /* the last wait had no event */
} getter;

/* ---- an access unit ------------------------------------------------------------------------------ */

typedef struct unit {
    const hi_venc_pack *packs;
    hi_u32 count;
} unit;

/* Bytes of all packs; 0 where one has none: then the frame failed (documented, although the call succeeded). */
static size_t size_of(const unit *unit) {
    size_t size = 0;
    for (hi_u32 i = 0; i < unit->count; i++) {
        const hi_venc_pack *pack = &unit->packs[i];
        if (!pack->addr || pack->len <= pack->offset)
            return 0;
        size += pack->len - pack->offset;
    }
    return size;
}

static int fetch(avenc_device *device, void *to, size_t room, const void *from, size_t size) {
    const unit *unit = from;
    (void)size;
    uint8_t *at = to;
    for (hi_u32 i = 0; i < unit->count; i++) {
        const uint8_t *data = unit->packs[i].addr + unit->packs[i].offset;
        size_t part = unit->packs[i].len - unit->packs[i].offset;
        if (device->info.run_mode == ACL_DEVICE) { /* host memory is device memory there */
            memcpy(at, data, part);
        } else {
            int rc = avi_runtime_fetch(device, at, room, data, part);
            if (rc != AVENC_OK)
                return rc;
        }
        at += part;
        room -= part;
    }
    return AVENC_OK;
}

/* Of the last slice that the packs name: a frame in one pack names its parts, one in several is a NAL unit in each. */
static int32_t kind_of(const unit *unit, bool h265) {
    hi_s32 idr = h265 ? HI_VENC_H265_NALU_IDR_SLICE : HI_VENC_H264_NALU_IDR_SLICE;
    int32_t kind = AVENC_KIND_UNKNOWN;
    for (hi_u32 i = 0; i < unit->count; i++) {
        const hi_venc_pack *pack = &unit->packs[i];
        hi_u32 parts = pack->data_num < HI_VENC_MAX_PACK_INFO_NUM ? pack->data_num : HI_VENC_MAX_PACK_INFO_NUM;
        for (hi_u32 part = 0; part < (parts ? parts : 1); part++) {
            hi_s32 type = parts ? pack->pack_info[part].pack_type.h264_type : pack->data_type.h264_type;
            if (type == idr)
                kind = AVENC_KIND_IDR;
            else if (type == HI_VENC_H264_NALU_I_SLICE) /* these two have the same numbers in H.265 */
                kind = AVENC_KIND_I;
            else if (type == HI_VENC_H264_NALU_P_SLICE)
                kind = AVENC_KIND_P; /* 0 would be a B slice, which the encoder does not make: it was not filled in */
        }
    }
    return kind;
}

/* Which statistics a device fills in is not documented: one that names no bytes of the picture has told nothing. */
static avi_told told_of(const hi_venc_stream *stream, const unit *unit, bool h265) {
    hi_u32 bytes = h265 ? stream->h265_info.pic_bytes : stream->h264_info.pic_bytes;
    hi_u32 qp = h265 ? stream->h265_info.mean_qp : stream->h264_info.mean_qp;
    return (avi_told){
        .kind = kind_of(unit, h265),
        .mean_qp = bytes && qp <= MOST_QP ? (int32_t)qp : -1,
        .picture_bits = (uint64_t)bytes * 8,
    };
}

/* ---- getting streams -------------------------------------------------------------------------------- */

/* Where what is ready cannot be got, the epoll does not wait either: or this would be a busy loop. */
static void take_a_pause(void) {
    const struct timespec pause = {.tv_nsec = 2 * 1000 * 1000};
    nanosleep(&pause, NULL);
}

static void failed(getter *getter, hi_s32 code, const char *call) {
    if (++getter->failures == LOST_AFTER_FAILURES) { /* an internal error of a channel is the device's now */
        code = code == HI_ERR_VENC_SYS_ERROR ? HI_ERR_SYS_ERR : code;
        avi_device_lost(getter->device, avi_v2_fail(getter->device, code, call));
    }
    take_a_pause();
}

static void worked(getter *getter) {
    getter->failures = 0;
    if (atomic_load_explicit(&getter->device->lost, memory_order_relaxed))
        avi_device_lost(getter->device, 0);
}

static bool make_room(getter *getter, hi_u32 count) {
    if (count <= getter->room)
        return true;
    hi_venc_pack *packs = realloc(getter->packs, count * sizeof *packs);
    if (packs) {
        getter->packs = packs;
        getter->room = count;
    }
    return packs != NULL;
}

/* The next frame of a channel: got, copied, released. False: there is none, or it could not be got. */
static bool get_one(getter *getter, avi_v2_channel *channel) {
    const himpi_api *mpi = getter->v2->mpi;
    hi_venc_chn_status status;
    hi_venc_stream stream;
    hi_s32 rc = mpi->hi_mpi_venc_query_status(channel->id, &status);
    if (rc != HI_SUCCESS) {
        failed(getter, rc, "hi_mpi_venc_query_status");
        return false;
    }
    if (status.cur_packs == 0)
        return false;
    if (!make_room(getter, status.cur_packs)) { /* later, perhaps */
        take_a_pause();
        return false;
    }
    memset(&stream, 0, sizeof stream);
    stream.pack = getter->packs;
    stream.pack_cnt = status.cur_packs;
    rc = mpi->hi_mpi_venc_get_stream(channel->id, &stream, 0);
    if (rc != HI_SUCCESS) {
        if (rc != HI_ERR_VENC_BUF_EMPTY)
            failed(getter, rc, "hi_mpi_venc_get_stream");
        return false;
    }
    worked(getter);
    unit whole = {stream.pack, stream.pack_cnt};
    avi_told told = told_of(&stream, &whole, channel->h265);
    avi_output output = {.size = size_of(&whole), .told = &told, .fetch = fetch};
    output.data = output.size ? &whole : NULL;
    uint64_t number = avi_v2_take_number(getter->v2, channel, stream.pack[0].pts);
    if (number)
        avi_report(getter->device, number, &output);
    rc = mpi->hi_mpi_venc_release_stream(channel->id, &stream); /* once, in the order got */
    if (rc != HI_SUCCESS)
        failed(getter, rc, "hi_mpi_venc_release_stream");
    return rc == HI_SUCCESS;
}

static void get_streams(getter *getter, const hi_dvpp_epoll_event *events, hi_s32 count) {
    for (hi_s32 i = 0; i < count; i++) {
        avi_v2_channel *channel = avi_v2_enter(getter->v2, (hi_venc_chn)(uintptr_t)events[i].data);
        if (!channel)
            continue;
        for (int n = 0; n < MOST_AT_ONCE && get_one(getter, channel); n++)
            continue;
        avi_v2_leave(getter->v2, channel);
    }
    avi_report_batch(getter->device);
}

/*
 * Sleep until there may be something to get. False: the device ends. *wait_ms: how long, in the epoll. A lost device is
 * looked at, since it may come back.
 */
static bool wait_for_frames(getter *getter, hi_s32 *wait_ms) {
    avi_v2_device *v2 = getter->v2;
    avi_lock(&v2->lock);
    while (!v2->stop && v2->inside == 0 && getter->quiet && !atomic_load(&getter->device->lost))
        pthread_cond_wait(&v2->changed, &v2->lock);
    bool goes_on = !v2->stop;
    *wait_ms = v2->inside ? WAIT_MS : IDLE_MS;
    avi_unlock(&v2->lock);
    return goes_on;
}

static void serve(getter *getter) {
    hi_dvpp_epoll_event events[MOST_EVENTS];
    hi_s32 wait_ms;
    getter->quiet = true;
    while (wait_for_frames(getter, &wait_ms)) {
        hi_s32 count = 0;
        hi_s32 rc = getter->v2->mpi->hi_mpi_sys_wait_epoll(getter->v2->epoll, events, MOST_EVENTS, wait_ms, &count);
        getter->quiet = count == 0;
        if (rc != HI_SUCCESS) {
            failed(getter, rc, "hi_mpi_sys_wait_epoll");
            continue;
        }
        if (count == 0)
            worked(getter);
        get_streams(getter, events, count);
    }
}

/* ---- the device ----------------------------------------------------------------------------------------- */

/* Documented: the 310 has none, and the encoder of V1. Others are asked. */
static bool has_v1_only(const char *soc) {
    const char family[] = "Ascend310";
    size_t length = sizeof family - 1;
    return strncmp(soc, family, length) == 0 && soc[length] != 'P' && soc[length] != 'B';
}

/* A frame in one pack is one copy. Only while the device has no channel (observed); then packs are put together. */
static void ask_for_one_pack(avenc_device *device) {
    const hi_venc_mod_type types[] = {HI_VENC_MOD_H264, HI_VENC_MOD_H265};
    const himpi_api *mpi = avi_v2_of(device)->mpi;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        hi_venc_mod_param param;
        memset(&param, 0, sizeof param);
        param.mod_type = types[i];
        if (mpi->hi_mpi_venc_get_mod_param(&param) != HI_SUCCESS)
            continue;
        param.mod_type = types[i];
        param.h264_mod_param.one_stream_buf = 1; /* H.265's is the same structure */
        (void)mpi->hi_mpi_venc_set_mod_param(&param);
    }
}

static int open_mpi(avenc_device *device, avi_v2_device *v2) {
    if (has_v1_only(device->info.soc_name))
        return avi_fail(AVENC_E_INVALID, "hi_mpi_sys_init",
                        "interface is \"v2\"; %s has no DVPP V2: choose interface=\"v1\"", device->info.soc_name);
    hi_s32 rc = v2->mpi->hi_mpi_sys_init(); /* repeating it succeeds (documented) */
    if (rc != HI_SUCCESS)
        return avi_v2_fail(device, rc, "hi_mpi_sys_init");
    ask_for_one_pack(device);
    hi_s32 epoll = -1; /* what a call that fails leaves there is nobody's */
    TRY_MPI(device, hi_mpi_sys_create_epoll, AVI_V2_MOST_IDS, &epoll);
    v2->epoll = epoll;
    return AVENC_OK;
}

static void free_device(avi_v2_device *v2) {
    pthread_cond_destroy(&v2->changed);
    pthread_mutex_destroy(&v2->lock);
    free(v2);
}

static void *stream_thread(void *arg) {
    avenc_device *device = arg;
    avi_v2_device *v2 = avi_v2_of(device);
    getter getter = {.device = device, .v2 = v2};
    avi_thread_begins("avenc-report");
    int rc = avi_runtime_open(device);
    if (rc == AVENC_OK)
        rc = open_mpi(device, v2);
    if (rc == AVENC_OK && !make_room(&getter, LEAST_PACKS))
        rc = avi_fail(AVENC_E_NOMEM, NULL, "out of memory");
    avi_family_settle(AVENC_DVPP_V2, rc == AVENC_OK);
    bool wanted = avi_device_opened(device, rc);
    if (rc == AVENC_OK && wanted)
        serve(&getter);
    if (v2->epoll >= 0)
        v2->mpi->hi_mpi_sys_close_epoll(v2->epoll);
    avi_runtime_close(device);
    free(getter.packs);
    free_device(v2);
    avi_thread_ends();
    avi_device_ended(device);
    return NULL;
}

static int open_device(avenc_device *device) {
    avi_v2_device *v2 = calloc(1, sizeof *v2);
    if (!v2)
        return avi_fail(AVENC_E_NOMEM, NULL, "out of memory");
    int rc = avi_family_claim(AVENC_DVPP_V2, "avenc_device_open");
    if (rc != AVENC_OK) {
        free(v2);
        return rc;
    }
    pthread_mutex_init(&v2->lock, NULL);
    avi_cond_init(&v2->changed);
    v2->mpi = avenc_library_himpi(device->library);
    v2->epoll = -1;
    device->port_data = v2;
    device->hint = avi_runtime_hint(device);
    rc = avi_thread_start(stream_thread, device);
    if (rc != AVENC_OK) {
        avi_family_settle(AVENC_DVPP_V2, false);
        free_device(v2);
    }
    return rc;
}

static void close_device(avenc_device *device) {
    avi_v2_device *v2 = avi_v2_of(device);
    avi_lock(&v2->lock);
    v2->stop = true;
    pthread_cond_broadcast(&v2->changed);
    avi_unlock(&v2->lock); /* the thread may have ended the device by now */
}

/* ---- memory ------------------------------------------------------------------------------------------------ */

static int alloc(avenc_device *device, size_t size, void **memory) {
    TRY_MPI(device, hi_mpi_dvpp_malloc, (hi_u32)device->info.device_id, memory, size);
    return AVENC_OK;
}

static void free_memory(avenc_device *device, void *memory) {
    avi_v2_of(device)->mpi->hi_mpi_dvpp_free(memory);
}

const avi_port avi_dvpp_v2 = {
    .name = "DVPP V2",
    .send_call = "hi_mpi_venc_send_frame",
    .report_call = "hi_mpi_sys_wait_epoll",
    .change_call = "hi_mpi_venc_set_chn_attr, or a call that goes with it,",
    .most_in_device = IN_DEVICE,
    .open = open_device,
    .close = close_device,
    .bind = avi_runtime_bind,
    .unbind = avi_runtime_unbind,
    .alloc = alloc,
    .free = free_memory,
    .alloc_host = avi_runtime_alloc_host,
    .free_host = avi_runtime_free_host,
    .upload = avi_runtime_upload,
    .copy = avi_runtime_copy,
    .wait_stream = avi_runtime_wait_stream,
    .create = avi_v2_create,
    .destroy = avi_v2_destroy,
    .changes = avi_v2_changes,
    .change = avi_v2_change,
    .create_picture = avi_v2_create_picture,
    .place_picture = avi_v2_place_picture,
    .free_picture = avi_v2_free_picture,
    .send = avi_v2_send,
};
