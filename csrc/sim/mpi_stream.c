// SPDX-License-Identifier: Apache-2.0
/* Packets coming out of a V2 channel: what there is, getting, releasing. */
#include "mpi.h"

#include <string.h>

enum { POISON = 0xdb, POISONED = 64 /* bytes of a pack that are overwritten when it is released */ };

/* Packs that one hi_mpi_venc_get_stream gives. Documented: a frame's, or one where is_by_frame is 0. */
static unsigned packs_at_once(const sim_mpi_channel *ch, const sim_mpi_frame *frame) {
    return ch->by_frame ? sim_mpi_pack_count(ch, frame) : 1;
}

/* Documented: the frame's number, or the pack's where is_by_frame is 0. */
static uint32_t sequence_number(const sim_mpi_channel *ch, const sim_mpi_frame *frame, unsigned pack) {
    return ch->by_frame ? frame->seq : frame->first_pack + pack;
}

static uint32_t macroblocks(const sim_mpi_channel *ch) {
    const hi_venc_attr *attr = &ch->settings.attr.venc_attr;
    return (attr->pic_width + 15) / 16 * ((attr->pic_height + 15) / 16);
}

static hi_venc_ref_type reference_type(const sim_mpi_frame *frame) {
    return frame->idr ? HI_VENC_BASE_IDR_SLICE : HI_VENC_BASE_P_SLICE_REF_BY_BASE;
}

/* ---- query ----------------------------------------------------------------------------------------------- */

static void describe_status_locked(const sim_mpi_channel *ch, hi_venc_chn_status *status) {
    const sim_mpi_frame *next = ch->ready.head;
    *status = (hi_venc_chn_status){
        .left_pics = ch->waiting.count,
        .left_enc_pics = ch->waiting.count,
        .left_stream_frames = ch->ready.count,
        .left_recv_pics = ch->room_to_receive > 0 ? (hi_u32)ch->room_to_receive : 0,
        .release_pic_pts = ch->released_pts,
    };
    for (const sim_mpi_frame *frame = next; frame != NULL; frame = frame->next)
        status->left_stream_bytes += frame->failed ? 0 : frame->size;
    if (next == NULL)
        return;
    status->cur_packs = packs_at_once(ch, next); /* documented: 0 while there is nothing */
    status->stream_info = (hi_venc_stream_info){
        .ref_type = reference_type(next),
        .pic_bytes = next->failed ? 0 : next->size,
        .pic_cnt = ch->by_frame ? 1 : sim_mpi_pack_count(ch, next),
        .start_qp = (hi_u32)next->qp,
        .mean_qp = (hi_u32)next->qp,
    };
}

hi_s32 hi_mpi_venc_query_status(hi_venc_chn chn, hi_venc_chn_status *status) {
    SIM_ENTER(hi_mpi_venc_query_status);
    sim_mpi_channel *ch;
    if (status == NULL)
        return FAIL(HI_ERR_VENC_NULL_PTR, "status must not be NULL");
    hi_s32 rc = sim_mpi_enter_alive(__func__, chn, &ch);
    if (rc != HI_SUCCESS)
        return rc;
    pthread_mutex_lock(&ch->lock);
    describe_status_locked(ch, status);
    pthread_mutex_unlock(&ch->lock);
    sim_mpi_leave(ch);
    return HI_SUCCESS;
}

/* ---- get -------------------------------------------------------------------------------------------------- */

/* Which statistics hardware fills is not said: those that this codec knows. */
static void describe_stream(const sim_mpi_channel *ch, const sim_mpi_frame *frame, hi_venc_stream *stream) {
    uint32_t bytes = frame->failed ? 0 : frame->size, blocks = macroblocks(ch);
    memset((char *)stream + offsetof(hi_venc_stream, h264_info), 0,
           sizeof *stream - offsetof(hi_venc_stream, h264_info));
    stream->seq = sequence_number(ch, frame, frame->got);
    if (atomic_load(&sim_option.v2_no_statistics) != 0)
        return;
    if (ch->h265) {
        stream->h265_info.pic_bytes = bytes;
        stream->h265_info.ref_type = reference_type(frame);
        stream->h265_info.update_attr_cnt = frame->changes;
        stream->h265_info.start_qp = stream->h265_info.mean_qp = (hi_u32)frame->qp;
        return;
    }
    stream->h264_info.pic_bytes = bytes;
    stream->h264_info.inter16x16_mb_num = frame->idr ? 0 : blocks; /* guessed */
    stream->h264_info.intra16_mb_num = frame->idr ? blocks : 0;
    stream->h264_info.ref_type = reference_type(frame);
    stream->h264_info.update_attr_cnt = frame->changes;
    stream->h264_info.start_qp = stream->h264_info.mean_qp = (hi_u32)frame->qp;
}

/* Strict mode: what is in the buffer can be read while something of it is held only. */
static void show_output_locked(sim_mpi_channel *ch) {
    const sim_mpi_frame *next = ch->ready.head;
    bool readable = ch->held.head != NULL || (next != NULL && next->got != 0);
    if (atomic_load(&ch->output->readable) == readable)
        return;
    atomic_store(&ch->output->readable, readable);
    sim_memory_show(ch->output, readable);
}

static hi_s32 take_locked(const char *function, sim_mpi_channel *ch, hi_venc_stream *stream) {
    sim_mpi_frame *frame = ch->ready.head;
    unsigned count = packs_at_once(ch, frame);
    if (stream->pack_cnt < count) /* guessed code */
        return sim_fail_at(function, SIM_SIZE_NOT_ENOUGH,
                           "pack_cnt %u is less than the %u packs that hi_mpi_venc_query_status says", stream->pack_cnt,
                           count);
    for (unsigned i = 0; i < count; i++)
        sim_mpi_describe_pack(ch, frame, frame->got + i, &stream->pack[i]);
    stream->pack_cnt = count;
    describe_stream(ch, frame, stream);
    frame->got += count;
    if (frame->got == sim_mpi_pack_count(ch, frame)) {
        sim_frame_push(&ch->held, sim_frame_pop(&ch->ready));
        ch->released_pts = frame->pts;
        sim_mpi_picture_release(&frame->picture, frame->seq, true); /* documented: until now it had to stay */
    }
    show_output_locked(ch);
    sim_mpi_announce_locked(ch, false);
    return HI_SUCCESS;
}

static hi_s32 get_locked(const char *function, sim_mpi_channel *ch, hi_venc_stream *stream, hi_s32 ms) {
    uint64_t last = sim_now_ns(), deadline = ms > 0 ? last + (uint64_t)ms * 1000000u : 0;
    /* Not known: the code of a time-out. */
    hi_s32 late = SIM_VENC_MODULE | (hi_s32)atomic_load(&sim_option.v2_get_timeout);
    while (ch->closing || ch->ready.head == NULL) {
        if (ms == 0 && !ch->closing) /* documented */
            return sim_fail_at(function, HI_ERR_VENC_BUF_EMPTY, "no frame of channel %d can be got", ch->id);
        hi_s32 rc = sim_mpi_wait_locked(function, ch, deadline, late, &last);
        if (rc != HI_SUCCESS)
            return rc;
    }
    return take_locked(function, ch, stream);
}

hi_s32 hi_mpi_venc_get_stream(hi_venc_chn chn, hi_venc_stream *stream, hi_s32 milli_sec) {
    SIM_ENTER(hi_mpi_venc_get_stream);
    sim_mpi_channel *ch;
    if (stream == NULL || stream->pack == NULL)
        return FAIL(HI_ERR_VENC_NULL_PTR, "stream and its pack must not be NULL");
    if (milli_sec < -1) /* documented */
        return FAIL(HI_ERR_VENC_ILLEGAL_PARAM, "milli_sec %d err, should be -1 or more", milli_sec);
    hi_s32 rc = sim_mpi_enter_alive(__func__, chn, &ch);
    if (rc != HI_SUCCESS)
        return rc;
    pthread_mutex_lock(&ch->lock);
    rc = get_locked(__func__, ch, stream, milli_sec);
    pthread_mutex_unlock(&ch->lock);
    sim_mpi_leave(ch);
    return rc;
}

/* ---- release ------------------------------------------------------------------------------------------------- */

/* Whether a stream is what was got of a frame, from its pack `number` on. */
static bool is_of(const sim_mpi_channel *ch, const sim_mpi_frame *frame, unsigned number,
                  const hi_venc_stream *stream) {
    hi_venc_pack expected;
    if (stream->seq != sequence_number(ch, frame, number) || number >= frame->got)
        return false;
    sim_mpi_describe_pack(ch, frame, number, &expected);
    return stream->pack[0].addr == expected.addr;
}

/* Whether a stream is one that was got of a frame, and not given back. */
static bool is_held_of(const sim_mpi_channel *ch, const sim_mpi_frame *frame, const hi_venc_stream *stream) {
    for (unsigned number = frame->released; number < frame->got; number++)
        if (is_of(ch, frame, number, stream))
            return true;
    return false;
}

static hi_s32 wrong_release_locked(const char *function, const sim_mpi_channel *ch, const sim_mpi_frame *oldest,
                                   const hi_venc_stream *stream) {
    const char *what = ch->by_frame ? "frame" : "packet";
    bool held = ch->ready.head != NULL && is_held_of(ch, ch->ready.head, stream); /* of which more is to be got */
    for (const sim_mpi_frame *frame = ch->held.head; frame != NULL; frame = frame->next)
        held = held || is_held_of(ch, frame, stream);
    if (sim_is_strict() && held)
        sim_report_at("release-order", function, "release streams in the order in which you got them",
                      "%s %u of channel %d is released before %u", what, stream->seq, ch->id,
                      sequence_number(ch, oldest, oldest->released));
    else if (sim_is_strict())
        sim_report_at("not-held", function, "release each stream that you got once, as you got it",
                      "%s %u of channel %d is not held, or was changed", what, stream->seq, ch->id);
    return sim_fail_at(function, HI_ERR_VENC_ILLEGAL_PARAM, "%s %u of channel %d is not the oldest that is held", what,
                       stream->seq, ch->id);
}

/* What is read too late shall look wrong. */
static void poison(const sim_mpi_channel *ch, const sim_mpi_frame *frame) {
    size_t size = sim_is_strict() || frame->held < POISONED ? frame->held : POISONED;
    sim_issuer issuer;
    if (sim_is_strict() &&
        sim_memory_is_unwaited(&ch->output->read, ch->output->data + frame->place, frame->held, &issuer))
        sim_report_of("late-output", issuer.function, issuer.place,
                      "call aclrtSynchronizeStream between the copy and hi_mpi_venc_release_stream",
                      "the stream is released before anything has waited for the copy of it");
    memset(ch->output->data + frame->place, POISON, size);
}

static hi_s32 release_locked(const char *function, sim_mpi_channel *ch, const hi_venc_stream *stream) {
    sim_mpi_frame *oldest = ch->held.head != NULL ? ch->held.head : ch->ready.head;
    if (oldest == NULL || !is_of(ch, oldest, oldest->released, stream)) /* documented: in the order got, else 03 */
        return wrong_release_locked(function, ch, oldest, stream);
    oldest->released += packs_at_once(ch, oldest);
    if (oldest->released == sim_mpi_pack_count(ch, oldest)) {
        poison(ch, oldest);
        oldest->held = 0;
        sim_frame_push(&ch->spare, sim_frame_pop(&ch->held));
        ch->progress_ns = sim_now_ns();
    }
    show_output_locked(ch);
    if (ch->has_worker)
        pthread_cond_signal(&ch->todo); /* it may be waiting for room with a finished frame */
    sim_mpi_kick_locked(ch);
    return HI_SUCCESS;
}

static hi_s32 release_stream(const char *function, hi_venc_chn chn, const hi_venc_stream *stream) {
    sim_mpi_channel *ch;
    if (stream == NULL || stream->pack == NULL)
        return sim_fail_at(function, HI_ERR_VENC_NULL_PTR, "stream and its pack must not be NULL");
    hi_s32 rc = sim_mpi_enter(function, chn, &ch);
    if (rc != HI_SUCCESS)
        return rc;
    pthread_mutex_lock(&ch->lock);
    rc = release_locked(function, ch, stream);
    pthread_mutex_unlock(&ch->lock);
    sim_mpi_leave(ch);
    return rc;
}

hi_s32 hi_mpi_venc_release_stream(hi_venc_chn chn, hi_venc_stream *stream) {
    SIM_CALL(hi_mpi_venc_release_stream, release_stream(__func__, chn, stream));
}
