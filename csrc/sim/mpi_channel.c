// SPDX-License-Identifier: Apache-2.0
/* V2 channels: creating, starting and stopping, descriptors, destroying. */
#include "mpi.h"

#include <stdlib.h>
#include <string.h>

/* ---- creating -------------------------------------------------------------------------------------------- */

static void free_frames(sim_frame_list *list) {
    for (sim_mpi_frame *frame; (frame = sim_frame_pop(list)) != NULL; free(frame))
        sim_mpi_picture_release(&frame->picture, frame->seq, false);
}

/* A channel that is not listed and has no worker. */
static void free_channel(sim_mpi_channel *ch) {
    free_frames(&ch->waiting);
    free_frames(&ch->ready);
    free_frames(&ch->held);
    free_frames(&ch->spare);
    if (ch->output != NULL)
        sim_memory_destroy(ch->output);
    if (ch->work != NULL)
        sim_memory_destroy(ch->work);
    sim_codec_close(ch->codec);
    free(ch->canned[0].data);
    free(ch->canned[1].data);
    pthread_cond_destroy(&ch->progress);
    pthread_cond_destroy(&ch->todo);
    pthread_mutex_destroy(&ch->lock);
    free(ch);
}

static sim_mpi_channel *new_channel(int32_t device, hi_venc_chn id, const hi_venc_chn_attr *attr) {
    enum { STREAMS = 200, TICKS = 60, UNSPECIFIED = 5 };
    sim_mpi_channel *ch = calloc(1, sizeof *ch);
    if (ch == NULL)
        return NULL;
    pthread_mutex_init(&ch->lock, NULL);
    sim_cond_init(&ch->progress);
    sim_cond_init(&ch->todo);
    ch->users = 1; /* the call that creates it */
    ch->device = device;
    ch->id = id;
    ch->h265 = attr->venc_attr.type == HI_PT_H265;
    ch->by_frame = attr->venc_attr.is_by_frame == HI_TRUE;
    ch->one_pack = sim_mpi_one_stream_buf(device, attr->venc_attr.type);
    ch->pack_offset = (uint32_t)atomic_load(&sim_option.v2_pack_offset);
    ch->input_slots = atomic_load(&sim_option.v2_input_slots);
    ch->null_size = (size_t)atomic_load(&sim_option.null_codec);
    ch->null_rate = atomic_load(&sim_option.v2_null_rate) != 0;
    ch->marked = ch->null_size != 0 && atomic_load(&sim_option.watermark) != 0;
    ch->pollable.number = ch->pollable.event_fd = -1;
    ch->settings.attr = *attr;
    sim_mpi_default_rc_param(attr, &ch->settings.rc_param);
    for (hi_u32 i = 0; i < sizeof ch->settings.roi / sizeof ch->settings.roi[0]; i++)
        ch->settings.roi[i].idx = i;
    ch->in_effect = ch->settings;
    ch->changed = true; /* they are rate control's from the first frame on */
    ch->param = (hi_venc_chn_param){.max_stream_cnt = STREAMS, /* guessed */ .poll_wake_up_frame_cnt = 1};
    /* documented defaults */
    bool full_range = !ch->h265 && !sim_host_mode();
    ch->h264_vui.vui_time_info.num_units_in_tick = ch->h265_vui.vui_time_info.num_units_in_tick = 1;
    ch->h264_vui.vui_time_info.time_scale = ch->h265_vui.vui_time_info.time_scale = TICKS;
    ch->h264_vui.vui_video_signal.video_format = ch->h265_vui.vui_video_signal.video_format = UNSPECIFIED;
    ch->h264_vui.vui_video_signal.video_full_range_flag = full_range;
    return ch;
}

/* The stream buffer, and (documented: for max_pic_*; guessed: how much) what stands for reference pictures. */
static hi_s32 open_memory(const char *function, void *caller, sim_mpi_channel *ch) {
    enum { PICTURES = 3 };
    const hi_venc_attr *attr = &ch->settings.attr.venc_attr;
    size_t work = (size_t)attr->max_pic_width * attr->max_pic_height * 3 / 2 * PICTURES;
    ch->output = sim_memory_create(SIM_DEVICE_MEMORY, attr->buf_size, ch->device, true, function, caller);
    ch->work = sim_memory_create(SIM_DEVICE_MEMORY, work, ch->device, true, function, caller);
    if (ch->output != NULL && ch->work != NULL)
        return HI_SUCCESS;
    return sim_fail_at(function, HI_ERR_VENC_NO_MEM, "no memory for a stream buffer of %u bytes and %zu beside it",
                       attr->buf_size, work);
}

static hi_s32 create(const char *function, void *caller, hi_venc_chn id, const hi_venc_chn_attr *attr) {
    int32_t device;
    if (attr == NULL)
        return sim_fail_at(function, HI_ERR_VENC_NULL_PTR, "attr must not be NULL");
    hi_s32 rc = sim_mpi_ready_device(function, SIM_VENC_MODULE, &device);
    if (rc == HI_SUCCESS)
        rc = sim_mpi_lost(function, SIM_VENC_MODULE, device);
    if (rc == HI_SUCCESS)
        rc = sim_mpi_check_id(function, id);
    if (rc == HI_SUCCESS)
        rc = sim_mpi_check_attr(function, attr, NULL);
    if (rc != HI_SUCCESS)
        return rc;
    sim_mpi_channel *ch = new_channel(device, id, attr);
    if (ch == NULL)
        return sim_fail_at(function, HI_ERR_VENC_NO_MEM, "out of memory");
    sim_origin_set(&ch->origin, function, caller);
    rc = open_memory(function, caller, ch);
    if (rc == HI_SUCCESS && ch->null_size == 0)
        rc = sim_mpi_open_codec(function, ch);
    int error = rc == HI_SUCCESS && ch->codec != NULL ? sim_mpi_start_worker(ch) : 0;
    if (error != 0)
        rc = sim_fail_at(function, HI_ERR_VENC_NO_MEM, "no thread for the channel: %s", strerror(error));
    if (rc == HI_SUCCESS)
        rc = sim_mpi_list_add(function, ch);
    if (rc == HI_SUCCESS) {
        sim_mpi_leave(ch);
        return rc;
    }
    sim_mpi_stop_worker(ch);
    free_channel(ch);
    return rc;
}

hi_s32 hi_mpi_venc_create_chn(hi_venc_chn chn, const hi_venc_chn_attr *attr) {
    SIM_ENTER(hi_mpi_venc_create_chn);
    return create(__func__, __builtin_return_address(0), chn, attr);
}

/* ---- starting and stopping -------------------------------------------------------------------------------- */

hi_s32 hi_mpi_venc_start_chn(hi_venc_chn chn, const hi_venc_start_param *recv_param) {
    SIM_ENTER(hi_mpi_venc_start_chn);
    sim_mpi_channel *ch;
    if (recv_param == NULL)
        return FAIL(HI_ERR_VENC_NULL_PTR, "recv_param must not be NULL");
    if (recv_param->recv_pic_num < -1 || recv_param->recv_pic_num == 0) /* documented */
        return FAIL(HI_ERR_VENC_ILLEGAL_PARAM, "recv_pic_num %d err, should be -1 or above 0",
                    recv_param->recv_pic_num);
    hi_s32 rc = sim_mpi_enter_alive(__func__, chn, &ch);
    if (rc != HI_SUCCESS)
        return rc;
    pthread_mutex_lock(&ch->lock);
    ch->started = ch->ever_started = true; /* documented and observed: a started one may be started again */
    ch->room_to_receive = recv_param->recv_pic_num;
    pthread_mutex_unlock(&ch->lock);
    sim_mpi_leave(ch);
    return HI_SUCCESS;
}

/* What waits is not encoded any more, but for the frame that is being encoded. */
static void drop_waiting_locked(sim_mpi_channel *ch) {
    sim_frame_list kept = {0};
    if (ch->encoding)
        sim_frame_push(&kept, sim_frame_pop(&ch->waiting));
    for (sim_mpi_frame *frame; (frame = sim_frame_pop(&ch->waiting)) != NULL;) {
        sim_mpi_picture_release(&frame->picture, 0, false);
        sim_frame_push(&ch->spare, frame);
    }
    ch->waiting = kept;
}

static hi_s32 stop(const char *function, hi_venc_chn chn) {
    sim_mpi_channel *ch;
    hi_s32 rc = sim_mpi_enter(function, chn, &ch);
    if (rc != HI_SUCCESS)
        return rc;
    pthread_mutex_lock(&ch->lock);
    ch->started = false; /* documented: may be repeated, and what was encoded can still be got */
    /* Not known: whether what waits is still encoded. */
    if (atomic_load(&sim_option.v2_stop_drops) != 0)
        drop_waiting_locked(ch);
    pthread_cond_broadcast(&ch->progress);
    pthread_mutex_unlock(&ch->lock);
    rc = sim_mpi_lost(function, SIM_VENC_MODULE, ch->device);
    sim_mpi_leave(ch);
    return rc;
}

hi_s32 hi_mpi_venc_stop_chn(hi_venc_chn chn) {
    SIM_CALL(hi_mpi_venc_stop_chn, stop(__func__, chn));
}

/* ---- descriptors -------------------------------------------------------------------------------------------- */

static hi_s32 get_fd(const char *function, hi_venc_chn chn) {
    sim_mpi_channel *ch;
    hi_s32 rc = sim_mpi_enter_alive(function, chn, &ch);
    if (rc != HI_SUCCESS)
        return rc;
    pthread_mutex_lock(&ch->lock);
    hi_s32 fd = sim_pollable_open(&ch->pollable); /* guessed: the same again for a second call */
    sim_mpi_announce_locked(ch, false);
    pthread_mutex_unlock(&ch->lock);
    sim_mpi_leave(ch);
    return fd > 0 ? fd : sim_fail_at(function, HI_FAILURE, "no descriptor is left");
}

/* documented: negative on failure, so a positive code that a fault chose becomes HI_FAILURE */
hi_s32 hi_mpi_venc_get_fd(hi_venc_chn chn) {
    SIM_ENTER_VALUE(hi_mpi_venc_get_fd, fault_ < 0 ? fault_ : HI_FAILURE);
    return get_fd(__func__, chn);
}

static void report_registrations(const char *function, const sim_mpi_channel *ch, unsigned left) {
    if (left != 0 && sim_is_strict()) /* documented order: first out of the epoll */
        sim_report_at("still-in-epoll", function, "call hi_mpi_sys_ctl_epoll with HI_DVPP_EPOLL_CTL_DEL before",
                      "the descriptor of channel %d is in %u epoll%s; it was %s", ch->id, left, left == 1 ? "" : "s",
                      sim_origin_format(&ch->origin).text);
}

static hi_s32 close_fd(const char *function, hi_venc_chn chn) {
    sim_mpi_channel *ch;
    hi_s32 rc = sim_mpi_enter_any(function, chn, &ch);
    /* Documented: reserved, and only behind hi_mpi_venc_destroy_chn, with which the descriptor has gone here. */
    if (rc != HI_SUCCESS || ch == NULL)
        return rc;
    pthread_mutex_lock(&ch->lock);
    if (ch->pollable.number <= 0)
        rc = sim_fail_at(function, HI_ERR_VENC_UNEXIST, "channel %d has no open descriptor", ch->id);
    report_registrations(function, ch, sim_pollable_close(&ch->pollable));
    pthread_mutex_unlock(&ch->lock);
    sim_mpi_leave(ch);
    return rc;
}

hi_s32 hi_mpi_venc_close_fd(hi_venc_chn chn) {
    SIM_CALL(hi_mpi_venc_close_fd, close_fd(__func__, chn));
}

/* ---- destroying ----------------------------------------------------------------------------------------------- */

void sim_mpi_end(const char *function, sim_mpi_channel *ch) {
    pthread_mutex_lock(&ch->lock);
    ch->closing = true;
    pthread_cond_broadcast(&ch->progress);
    pthread_mutex_unlock(&ch->lock);
    sim_mpi_wait_alone(ch);
    sim_mpi_stop_worker(ch);
    pthread_mutex_lock(&ch->lock);
    unsigned left = sim_pollable_close(&ch->pollable);
    pthread_mutex_unlock(&ch->lock);
    report_registrations(function, ch, left);
    sim_mpi_list_remove(ch);
    free_channel(ch);
}

static hi_s32 destroy(const char *function, hi_venc_chn chn) {
    sim_mpi_channel *ch;
    hi_s32 rc = sim_mpi_enter(function, chn, &ch);
    if (rc != HI_SUCCESS)
        return rc;
    int32_t device = ch->device;
    pthread_mutex_lock(&ch->lock);
    if (ch->started) /* documented: stop first; guessed code */
        rc =
            sim_fail_at(function, HI_ERR_VENC_NOT_PERM, "channel %d is started: call hi_mpi_venc_stop_chn before", chn);
    pthread_mutex_unlock(&ch->lock);
    if (rc == HI_SUCCESS && !sim_mpi_list_claim(ch))
        rc = sim_fail_at(function, HI_ERR_VENC_UNEXIST, "another thread destroys channel %d", chn);
    if (rc != HI_SUCCESS) {
        sim_mpi_leave(ch);
        return rc;
    }
    sim_mpi_end(function, ch);
    return sim_mpi_lost(function, SIM_VENC_MODULE, device); /* guessed, as V1: it is free all the same */
}

hi_s32 hi_mpi_venc_destroy_chn(hi_venc_chn chn) {
    SIM_CALL(hi_mpi_venc_destroy_chn, destroy(__func__, chn));
}

void sim_mpi_reset(void) {
    for (sim_mpi_channel *ch; (ch = sim_mpi_list_claim_any(-1)) != NULL;)
        sim_mpi_end("aclsim_reset", ch);
    sim_mpi_close_epolls();
    for (int32_t device = 0; device < SIM_MAX_DEVICES; device++)
        sim_mpi_set_ready(device, false);
    sim_mpi_module_reset();
}
