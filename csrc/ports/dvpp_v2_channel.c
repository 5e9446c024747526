// SPDX-License-Identifier: Apache-2.0
/* Channels of DVPP V2, and frames going in. Nothing here waits but for a thread that gets this channel's streams. */
#include "base/status.h"
#include "base/thread.h"
#include "ports/dvpp_v2_shared.h"

#include <stdlib.h>
#include <string.h>

/* ---- frames that may be in the device ------------------------------------------------------------ */

static avi_v2_sent *at(avi_v2_channel *channel, unsigned place) {
    return &channel->sent[(channel->first + place) % channel->room];
}

static void forget_locked(avi_v2_device *v2, avi_v2_channel *channel, unsigned count) {
    channel->first = (channel->first + count) % channel->room;
    channel->pending -= count;
    v2->inside -= count;
}

/* Before it is sent: its packs may come before the call returns. */
static void note_sent(avi_v2_device *v2, avi_v2_channel *channel, hi_u64 pts, uint64_t number) {
    avi_lock(&v2->lock);
    if (channel->pending == channel->room) /* more than there are slots: the oldest is long given up */
        forget_locked(v2, channel, 1);
    *at(channel, channel->pending++) = (avi_v2_sent){pts, number};
    if (v2->inside++ == 0)
        pthread_cond_broadcast(&v2->changed);
    avi_unlock(&v2->lock);
}

/* The device does not have it. It is the last one, if it has not come all the same. */
static void note_refused(avi_v2_device *v2, avi_v2_channel *channel, uint64_t number) {
    avi_lock(&v2->lock);
    if (channel->pending && at(channel, channel->pending - 1)->number == number) {
        channel->pending--;
        v2->inside--;
    }
    avi_unlock(&v2->lock);
}

uint64_t avi_v2_take_number(avi_v2_device *v2, avi_v2_channel *channel, hi_u64 pts) {
    uint64_t number = 0;
    avi_lock(&v2->lock);
    unsigned place = 0;
    while (place < channel->pending && at(channel, place)->pts != pts)
        place++;
    if (place < channel->pending) {
        number = at(channel, place)->number;
        forget_locked(v2, channel, place + 1);
    }
    avi_unlock(&v2->lock);
    return number;
}

avi_v2_channel *avi_v2_enter(avi_v2_device *v2, hi_venc_chn id) {
    avi_lock(&v2->lock);
    avi_v2_channel *channel = id >= 0 && id < AVI_V2_MOST_IDS ? v2->channels[id] : NULL;
    if (channel)
        channel->served = true;
    avi_unlock(&v2->lock);
    return channel;
}

void avi_v2_leave(avi_v2_device *v2, avi_v2_channel *channel) {
    avi_lock(&v2->lock);
    channel->served = false;
    pthread_cond_broadcast(&v2->changed);
    avi_unlock(&v2->lock);
}

/* ---- attributes ----------------------------------------------------------------------------------- */

enum {
    LEAST_BUFFER = 256 * 1024, /* of streams; the vendor advises a picture's size, which is little for a small one */
    BUFFER_STEP = 64,
    IP_QP_DELTA = 2,
};

static hi_venc_chn_attr attributes(const avenc_channel_config *config) {
    hi_venc_chn_attr attr;
    memset(&attr, 0, sizeof attr); /* stray bytes are refused (documented) */
    bool h265 = config->en_type == H265_MAIN_LEVEL;
    size_t buffer = (size_t)config->width * config->height * 3 / 2;
    buffer = buffer < LEAST_BUFFER ? LEAST_BUFFER : (buffer + BUFFER_STEP - 1) / BUFFER_STEP * BUFFER_STEP;
    attr.venc_attr.type = h265 ? HI_PT_H265 : HI_PT_H264;
    attr.venc_attr.max_pic_width = attr.venc_attr.pic_width = config->width;
    attr.venc_attr.max_pic_height = attr.venc_attr.pic_height = config->height;
    attr.venc_attr.buf_size = (hi_u32)buffer;
    attr.venc_attr.profile = h265 ? 0 : (hi_u32)(config->en_type - H264_BASELINE_LEVEL);
    attr.venc_attr.is_by_frame = HI_TRUE;
    avi_v2_fill_rate(&attr.rc_attr, config, h265);
    attr.gop_attr.gop_mode = HI_VENC_GOP_MODE_NORMAL_P;
    attr.gop_attr.normal_p.ip_qp_delta = IP_QP_DELTA;
    return attr;
}

/* ---- life ------------------------------------------------------------------------------------------- */

static void give_id_back(avi_v2_device *v2, hi_venc_chn id) {
    avi_lock(&v2->lock);
    v2->taken[id] = false;
    avi_unlock(&v2->lock);
}

/* The least id from `id` on that no channel of ours has, which is taken then; AVI_V2_MOST_IDS: none. */
static hi_venc_chn take_id(avi_v2_device *v2, hi_venc_chn id) {
    avi_lock(&v2->lock);
    while (id < AVI_V2_MOST_IDS && v2->taken[id])
        id++;
    if (id < AVI_V2_MOST_IDS)
        v2->taken[id] = true;
    avi_unlock(&v2->lock);
    return id;
}

/* The parameters as the device begins in this mode, before limits of ours. */
static int learn_base(avenc_device *device, avi_v2_channel *channel, hi_venc_rc_mode mode) {
    hi_venc_rc_param base;
    memset(&base, 0, sizeof base);
    TRY_MPI(device, hi_mpi_venc_get_rc_param, channel->id, &base);
    if (channel->base_mode) /* what all modes have is kept */
        memcpy(&base, &channel->base, offsetof(hi_venc_rc_param, h264_cbr_param));
    channel->base = base;
    channel->base_mode = mode;
    return AVENC_OK;
}

static int write_limits(avenc_device *device, avi_v2_channel *channel, const avenc_channel_config *config,
                        hi_venc_rc_mode mode) {
    int rc = channel->base_mode == mode ? AVENC_OK : learn_base(device, channel, mode);
    if (rc != AVENC_OK)
        return rc;
    hi_venc_rc_param param = channel->base;
    avi_v2_limit(&param, mode, config);
    TRY_MPI(device, hi_mpi_venc_set_rc_param, channel->id, &param);
    return AVENC_OK;
}

/* The program chooses the id. Others, of this process or another one, have some too. */
static int create_at_free_id(avenc_device *device, const hi_venc_chn_attr *attr, avi_v2_channel *channel) {
    avi_v2_device *v2 = avi_v2_of(device);
    hi_venc_chn id = 0;
    while ((id = take_id(v2, id)) < AVI_V2_MOST_IDS) {
        hi_s32 rc = v2->mpi->hi_mpi_venc_create_chn(id, attr);
        if (rc == HI_SUCCESS) {
            channel->id = id;
            channel->created = true;
            return AVENC_OK;
        }
        give_id_back(v2, id);
        if (rc != HI_ERR_VENC_EXIST)
            return avi_v2_fail(device, rc, "hi_mpi_venc_create_chn");
        id++;
    }
    return avi_fail(HI_ERR_VENC_INVALID_CHN_ID, "hi_mpi_venc_create_chn", "each of the device's %d channels is taken",
                    AVI_V2_MOST_IDS);
}

static int create_parts(avenc_device *device, const avenc_channel_config *config, avi_v2_channel *channel) {
    avi_v2_device *v2 = avi_v2_of(device);
    channel->attr = attributes(config);
    channel->config = *config;
    int rc = avi_v2_check_quality(device, config);
    if (rc == AVENC_OK)
        rc = create_at_free_id(device, &channel->attr, channel);
    if (rc == AVENC_OK && config->limits_given)
        rc = write_limits(device, channel, config, channel->attr.rc_attr.rc_mode);
    if (rc == AVENC_OK)
        rc = avi_v2_begin_quality(device, channel, config);
    if (rc != AVENC_OK)
        return rc;
    avi_lock(&v2->lock);
    v2->channels[channel->id] = channel;
    avi_unlock(&v2->lock);
    hi_venc_start_param start = {.recv_pic_num = -1}; /* without bound */
    TRY_MPI(device, hi_mpi_venc_start_chn, channel->id, &start);
    channel->started = true;
    channel->fd = v2->mpi->hi_mpi_venc_get_fd(channel->id);
    if (channel->fd < 0)
        return avi_v2_fail(device, channel->fd, "hi_mpi_venc_get_fd");
    channel->has_fd = true;
    hi_dvpp_epoll_event event = {.events = HI_DVPP_EPOLL_IN, .data = (void *)(uintptr_t)channel->id};
    TRY_MPI(device, hi_mpi_sys_ctl_epoll, v2->epoll, HI_DVPP_EPOLL_CTL_ADD, channel->fd, &event);
    channel->registered = true;
    return AVENC_OK;
}

static int end_parts(avenc_device *device, const avi_v2_channel *channel) {
    const himpi_api *mpi = avi_v2_of(device)->mpi;
    const char *call = NULL;
    hi_s32 rc = HI_SUCCESS, next;
    avenc_failure failure;
#define END(condition, name, ...)                                                                                      \
    if ((condition) && (next = mpi->name(__VA_ARGS__)) != HI_SUCCESS && rc == HI_SUCCESS) {                            \
        rc = avi_v2_fail(device, next, #name);                                                                         \
        call = #name;                                                                                                  \
        failure = *avenc_last_failure();                                                                               \
    }
    /* Destroying wants it, and it may be repeated (documented): once more where it failed. */
    END(channel->started && mpi->hi_mpi_venc_stop_chn(channel->id) != HI_SUCCESS, hi_mpi_venc_stop_chn, channel->id)
    END(channel->registered, hi_mpi_sys_ctl_epoll, avi_v2_of(device)->epoll, HI_DVPP_EPOLL_CTL_DEL, channel->fd, NULL)
    END(channel->has_fd, hi_mpi_venc_close_fd, channel->id)
    END(channel->created, hi_mpi_venc_destroy_chn, channel->id)
#undef END
    return call ? avi_fail_again(&failure) : AVENC_OK;
}

/* Each ending call once, whatever it returns. An id that the vendor keeps is passed over when it is tried again. */
int avi_v2_destroy(avenc_device *device, void *opaque) {
    avi_v2_device *v2 = avi_v2_of(device);
    avi_v2_channel *channel = opaque;
    avi_lock(&v2->lock);
    if (channel->created)
        v2->channels[channel->id] = NULL;
    while (channel->served)
        pthread_cond_wait(&v2->changed, &v2->lock);
    forget_locked(v2, channel, channel->pending);
    avi_unlock(&v2->lock);
    int rc = end_parts(device, channel);
    if (channel->created)
        give_id_back(v2, channel->id);
    free(channel->sent);
    free(channel);
    return rc;
}

static hi_u64 frame_time(const avenc_channel_config *config) {
    enum { MICROSECONDS = 1000 * 1000 };
    return config->src_rate ? MICROSECONDS / config->src_rate : MICROSECONDS;
}

int avi_v2_create(avenc_device *device, const avenc_channel_config *config, void **out) {
    enum { SPARE = 64 };
    avi_v2_channel *channel = calloc(1, sizeof *channel);
    if (!channel)
        return avi_fail(AVENC_E_NOMEM, NULL, "out of memory");
    channel->h265 = config->en_type == H265_MAIN_LEVEL;
    channel->room = config->depth + config->queue + SPARE;
    channel->frame_us = frame_time(config);
    channel->sent = calloc(channel->room, sizeof *channel->sent);
    int rc = channel->sent ? create_parts(device, config, channel) : avi_fail(AVENC_E_NOMEM, NULL, "out of memory");
    if (rc == AVENC_OK) {
        *out = channel;
        return AVENC_OK;
    }
    avenc_failure kept = *avenc_last_failure();
    avi_v2_destroy(device, channel);
    return avi_fail_again(&kept);
}

/* ---- changing ------------------------------------------------------------------------------------------ */

bool avi_v2_changes(const avenc_device *device) {
    return avi_v2_of(device)->mpi->hi_mpi_venc_set_chn_attr != NULL; /* not in the oldest releases */
}

/* Then rate control, which would begin anew, is left alone. */
static bool only_regions_differ(const avi_v2_channel *channel, const hi_venc_chn_attr *attr,
                                const avenc_channel_config *config) {
    const avenc_channel_config *was = &channel->config;
    bool same = memcmp(attr, &channel->attr, sizeof *attr) == 0 && config->limits_given == was->limits_given;
    for (int i = 0; i < AVENC_LIMITS; i++)
        same = same && (!(config->limits_given >> i & 1) || config->limits[i] == was->limits[i]);
    return same && (config->region_count != was->region_count ||
                    memcmp(config->regions, was->regions, config->region_count * sizeof config->regions[0]) != 0);
}

/*
 * Attributes, and then the parameters of rate control that were kept, which go back to their defaults with them
 * (documented). Those of another mode are another structure: what all modes have is kept, the rest is as the device begins.
 * attr NULL: these stay. Regions, of which `regions` were set, last.
 */
static int write_settings(avenc_device *device, avi_v2_channel *channel, const hi_venc_chn_attr *attr, uint32_t regions,
                          const avenc_channel_config *config) {
    int rc = AVENC_OK;
    if (attr) {
        TRY_MPI(device, hi_mpi_venc_set_chn_attr, channel->id, attr);
        rc = write_limits(device, channel, config, attr->rc_attr.rc_mode);
    }
    return rc == AVENC_OK ? avi_v2_set_regions(device, channel, regions, config) : rc;
}

/* Whether a device would take it with frames in it is not known: the engine sees to it that there are none. */
int avi_v2_change(avenc_device *device, void *opaque, const avenc_channel_config *config, bool *whole) {
    avi_v2_channel *channel = opaque;
    const hi_venc_chn_attr attr = attributes(config);
    const bool rate = !only_regions_differ(channel, &attr, config);
    *whole = true;
    int rc = avi_v2_check_quality(device, config);
    if (rc == AVENC_OK && rate && !channel->base_mode)
        rc = learn_base(device, channel, channel->attr.rc_attr.rc_mode);
    if (rc != AVENC_OK)
        return rc;
    const hi_venc_rc_param base = channel->base;
    const hi_venc_rc_mode base_mode = channel->base_mode;
    const avenc_channel_config before = channel->config;
    rc = write_settings(device, channel, rate ? &attr : NULL, before.region_count, config);
    if (rc == AVENC_OK) {
        channel->attr = attr;
        channel->config = *config;
        channel->frame_us = frame_time(config);
        return AVENC_OK;
    }
    const avenc_failure failure = *avenc_last_failure();
    channel->base = base;
    channel->base_mode = base_mode;
    *whole = write_settings(device, channel, rate ? &channel->attr : NULL, config->region_count, &before) == AVENC_OK;
    return avi_fail_again(&failure);
}

/* ---- pictures ------------------------------------------------------------------------------------------ */

int avi_v2_create_picture(avenc_device *device, const avenc_channel_config *config, void **out) {
    enum { NO_POOL = -1 }; /* on a 310P frames behind the first were refused where it was 0, and taken with this */
    (void)device;
    hi_video_frame_info *picture = calloc(1, sizeof *picture);
    if (!picture)
        return avi_fail(AVENC_E_NOMEM, NULL, "out of memory");
    picture->pool_id = (hi_u32)NO_POOL;
    picture->mod_id = HI_ID_VENC;
    picture->v_frame.width = config->width;
    picture->v_frame.height = config->height;
    picture->v_frame.field = HI_VIDEO_FIELD_FRAME;
    picture->v_frame.pixel_format = config->pic_format; /* the same numbers as V1's */
    *out = picture;
    return AVENC_OK;
}

int avi_v2_place_picture(avenc_device *device, void *opaque, const avi_placement *placement) {
    (void)device;
    hi_video_frame *frame = &((hi_video_frame_info *)opaque)->v_frame;
    frame->virt_addr[0] = placement->data;
    frame->virt_addr[1] = (uint8_t *)placement->data + (size_t)placement->stride * placement->height_stride;
    frame->width_stride[0] = frame->width_stride[1] = placement->stride;
    frame->height_stride[0] = frame->height_stride[1] = placement->height_stride;
    return AVENC_OK;
}

void avi_v2_free_picture(avenc_device *device, void *picture) {
    (void)device;
    free(picture);
}

/* ---- sending ---------------------------------------------------------------------------------------------- */

/* Codes of checks, which come before a frame is taken (documented for NO_BUF, guessed for the others). */
static bool is_refusal(hi_s32 code) {
    switch (code) {
    case HI_ERR_VENC_INVALID_CHN_ID:
    case HI_ERR_VENC_ILLEGAL_PARAM:
    case HI_ERR_VENC_UNEXIST:
    case HI_ERR_VENC_NULL_PTR:
    case HI_ERR_VENC_NOT_CFG:
    case HI_ERR_VENC_NOT_SUPPORT:
    case HI_ERR_VENC_NOT_PERM:
    case HI_ERR_VENC_NO_BUF:
    case HI_ERR_VENC_SYS_NOT_READY:
    case HI_ERR_VENC_BAD_ADDR:
        return true;
    default:
        return false;
    }
}

/*
 * An IDR can be asked for of the frame that is encoded next, and no other. So this one is to be the next: whoever sends
 * it is told to come again while others wait in front.
 */
static int ask_for_idr(avenc_device *device, const avi_v2_channel *channel) {
    hi_venc_chn_status status;
    TRY_MPI(device, hi_mpi_venc_query_status, channel->id, &status);
    if (status.left_enc_pics)
        return avi_fail(AVENC_E_AGAIN, "hi_mpi_venc_query_status", "%u frames are to be encoded before an IDR",
                        status.left_enc_pics);
    TRY_MPI(device, hi_mpi_venc_request_idr, channel->id, HI_TRUE);
    return AVENC_OK;
}

int avi_v2_send(avenc_device *device, void *opaque, void *picture, bool idr, uint64_t number, bool *gone) {
    avi_v2_device *v2 = avi_v2_of(device);
    avi_v2_channel *channel = opaque;
    hi_video_frame_info *frame = picture;
    *gone = true;
    int rc = idr && channel->count ? ask_for_idr(device, channel) : AVENC_OK; /* the first is one by itself */
    if (rc != AVENC_OK)
        return rc;
    frame->v_frame.pts = channel->last_us + channel->frame_us;
    frame->v_frame.time_ref = (channel->count + 1) * 2; /* even (observed) */
    note_sent(v2, channel, frame->v_frame.pts, number);
    hi_s32 code = v2->mpi->hi_mpi_venc_send_frame(channel->id, frame, 0); /* does not wait */
    *gone = is_refusal(code);
    if (*gone)
        note_refused(v2, channel, number);
    else
        channel->count++, channel->last_us = frame->v_frame.pts;
    if (code == HI_ERR_VENC_NO_BUF)
        return avi_fail(AVENC_E_AGAIN, "hi_mpi_venc_send_frame", "as many frames wait in the device as it holds");
    return code == HI_SUCCESS ? AVENC_OK : avi_v2_fail(device, code, "hi_mpi_venc_send_frame");
}
