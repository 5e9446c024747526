// SPDX-License-Identifier: Apache-2.0
/* Frames going into a V2 channel. */
#include "mpi.h"

#include <stdlib.h>
#include <string.h>

static sim_mpi_frame *new_frame_locked(sim_mpi_channel *ch) {
    sim_mpi_frame *frame = sim_frame_pop(&ch->spare);
    if (frame == NULL)
        return calloc(1, sizeof *frame);
    memset(frame, 0, sizeof *frame);
    return frame;
}

/* Guessed: the code, and that a channel which has received all that it was started for is like one that is stopped. */
static hi_s32 check_started_locked(const char *function, const sim_mpi_channel *ch) {
    if (ch->started && ch->room_to_receive != 0)
        return HI_SUCCESS;
    return sim_fail_at(function, HI_ERR_VENC_NOT_PERM, "channel %d %s", ch->id,
                       ch->started ? "has received the frames that hi_mpi_venc_start_chn allowed" : "is not started");
}

static hi_s32 accept_locked(const char *function, sim_mpi_channel *ch, const hi_video_frame_info *info, hi_s32 ms) {
    uint64_t last = sim_now_ns(), deadline = ms > 0 ? last + (uint64_t)ms * 1000000u : 0;
    hi_s32 late = SIM_VENC_MODULE | (hi_s32)atomic_load(&sim_option.v2_send_timeout), rc;
    sim_mpi_picture picture;
    /* Checked anew after each wait: it may have been stopped, or been given another size. */
    while ((rc = check_started_locked(function, ch)) == HI_SUCCESS && ch->waiting.count >= ch->input_slots) {
        if (ms == 0) /* documented: back-pressure, not an error of the frame */
            return sim_fail_at(function, HI_ERR_VENC_NO_BUF, "%u frames wait in channel %d", ch->waiting.count, ch->id);
        rc = sim_mpi_wait_locked(function, ch, deadline, late, &last);
        if (rc != HI_SUCCESS)
            return rc;
    }
    if (rc == HI_SUCCESS && ch->closing)
        rc = sim_fail_at(function, HI_ERR_VENC_UNEXIST, "channel %d has been destroyed meanwhile", ch->id);
    if (rc == HI_SUCCESS)
        rc = sim_mpi_picture_take(function, ch, info, &picture);
    if (rc != HI_SUCCESS)
        return rc;
    sim_mpi_frame *frame = new_frame_locked(ch);
    if (frame == NULL) {
        sim_mpi_picture_release(&picture, 0, false);
        return sim_fail_at(function, HI_ERR_VENC_NO_MEM, "out of memory");
    }
    frame->picture = picture;
    frame->pts = info->v_frame.pts;
    frame->input_addr = (hi_u64)(uintptr_t)info->v_frame.virt_addr[0];
    frame->fault = sim_frame_fault(&frame->fault_value);
    sim_frame_push(&ch->waiting, frame);
    ch->sent++;
    if (ch->room_to_receive > 0)
        ch->room_to_receive--;
    sim_mpi_kick_locked(ch);
    return HI_SUCCESS;
}

hi_s32 sim_mpi_send(const char *function, hi_venc_chn chn, const hi_video_frame_info *frame, hi_s32 milli_sec) {
    sim_mpi_channel *ch;
    if (frame == NULL)
        return sim_fail_at(function, HI_ERR_VENC_NULL_PTR, "frame must not be NULL");
    if (milli_sec < -1) /* documented */
        return sim_fail_at(function, HI_ERR_VENC_ILLEGAL_PARAM, "milli_sec %d err, should be -1 or more", milli_sec);
    hi_s32 rc = sim_mpi_enter_alive(function, chn, &ch);
    if (rc != HI_SUCCESS)
        return rc;
    pthread_mutex_lock(&ch->lock);
    rc = accept_locked(function, ch, frame, milli_sec);
    pthread_mutex_unlock(&ch->lock);
    if (rc == HI_SUCCESS)
        sim_take_send_time();
    sim_mpi_leave(ch);
    return rc;
}

hi_s32 hi_mpi_venc_send_frame(hi_venc_chn chn, const hi_video_frame_info *frame, hi_s32 milli_sec) {
    SIM_CALL(hi_mpi_venc_send_frame, sim_mpi_send(__func__, chn, frame, milli_sec));
}

/* Guessed: the map of quantisers changes nothing here. */
hi_s32 hi_mpi_venc_send_frame_ex(hi_venc_chn chn, const hi_user_frame_info *frame, hi_s32 milli_sec) {
    SIM_ENTER(hi_mpi_venc_send_frame_ex);
    return sim_mpi_send(__func__, chn, frame != NULL ? &frame->user_frame : NULL, milli_sec);
}

static hi_s32 request_idr(const char *function, hi_venc_chn chn, hi_bool instant) {
    sim_mpi_channel *ch;
    if (instant != HI_FALSE && instant != HI_TRUE)
        return sim_fail_at(function, HI_ERR_VENC_ILLEGAL_PARAM, "instant %d err, should be 0 or 1", instant);
    hi_s32 rc = sim_mpi_enter_alive(function, chn, &ch);
    if (rc != HI_SUCCESS)
        return rc;
    pthread_mutex_lock(&ch->lock);
    ch->idr_wanted = true; /* documented: the next frame, or as rate control likes; here always the next */
    pthread_mutex_unlock(&ch->lock);
    sim_mpi_leave(ch);
    return HI_SUCCESS;
}

hi_s32 hi_mpi_venc_request_idr(hi_venc_chn chn, hi_bool instant) {
    SIM_ENTER(hi_mpi_venc_request_idr);
    return request_idr(__func__, chn, instant);
}
