// SPDX-License-Identifier: Apache-2.0
/* From an accepted frame to one that can be got. See mpi.h for the lists. */
#include "mpi.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NS_PER_US = 1000, CANNED_MIN = 1024, PLACE_STEP = 64 };

static bool timing_is_set(void) {
    return atomic_load_explicit(&sim_option.encode_time_us, memory_order_relaxed) != 0 ||
           atomic_load_explicit(&sim_option.callback_delay_us, memory_order_relaxed) != 0;
}

static bool may_run(const sim_mpi_channel *ch) {
    return !ch->stop && !atomic_load_explicit(&sim_option.stall, memory_order_relaxed) &&
           sim_device_lost(ch->device) == 0;
}

/* ---- the stream buffer: a ring, whose oldest access unit is released first ------------------------------------ */

static const sim_mpi_frame *oldest_stored(const sim_mpi_channel *ch) {
    const sim_frame_list *const lists[] = {&ch->held, &ch->ready};
    for (int i = 0; i < 2; i++)
        for (const sim_mpi_frame *frame = lists[i]->head; frame != NULL; frame = frame->next)
            if (frame->held != 0)
                return frame;
    return NULL;
}

/* A place for `size` bytes. False: others have to be released first. */
static bool find_place_locked(const sim_mpi_channel *ch, size_t size, size_t *place) {
    const sim_mpi_frame *oldest = oldest_stored(ch);
    size_t end = ch->output->size, from = (ch->write_at + PLACE_STEP - 1) / PLACE_STEP * PLACE_STEP;
    *place = 0;
    if (size == 0 || oldest == NULL)
        return size <= end;
    if (ch->write_at <= oldest->place) /* it has begun anew at the front */
        end = oldest->place;
    else if (from > end || size > end - from)
        return size <= oldest->place;
    *place = from;
    return from <= end && size <= end - from;
}

/* ---- one frame -------------------------------------------------------------------------------------------------- */

/* Settings count from the next frame that is begun on. The option v2_change_delay puts them off: nobody knows. */
static void apply_settings_locked(sim_mpi_channel *ch) {
    if (!ch->changed || ch->frames_to_apply != 0)
        return;
    ch->changed = false;
    ch->in_effect = ch->settings;
    sim_rate_settings settings = sim_mpi_rate_settings(&ch->in_effect);
    sim_rate_set(&ch->rate, &settings);
}

/* Documented: the size may change; a stream of another size begins with parameter sets. */
static bool next_is_idr_locked(const sim_mpi_channel *ch, const sim_mpi_frame *frame) {
    return !ch->any_idr || ch->idr_wanted || ch->since_idr >= ch->rate.settings.gop ||
           ch->last_width != frame->picture.width || ch->last_height != frame->picture.height;
}

static void begin_frame_locked(sim_mpi_channel *ch, sim_mpi_frame *frame, bool idr) {
    frame->idr = idr;
    frame->changes = ch->changes;
    ch->last_width = frame->picture.width;
    ch->last_height = frame->picture.height;
    if (ch->frames_to_apply != 0)
        ch->frames_to_apply--;
    if (idr) {
        ch->since_idr = 0; /* guessed: one that was asked for restarts the count too */
        ch->idr_wanted = false;
        ch->any_idr = true;
    }
    ch->since_idr++;
}

/* Documented: a pack of len 0. Not known: whether a frame in several packs may have bytes in the others. */
static void fail_frame(const sim_mpi_channel *ch, sim_mpi_frame *frame) {
    if (atomic_load(&sim_option.v2_failed_part) == 0 || ch->one_pack || frame->part_count < 2) {
        frame->failed = true;
        return;
    }
    sim_mpi_part *last = &frame->parts[frame->part_count - 1];
    frame->size -= last->size;
    last->size = 0;
}

/* What a fault makes of an encoded frame. */
static void apply_fault(const sim_mpi_channel *ch, sim_mpi_frame *frame) {
    switch (frame->fault) {
    case ACLSIM_FRAME_RET_CODE:
    case ACLSIM_FRAME_EMPTY:
        fail_frame(ch, frame);
        break;
    case ACLSIM_FRAME_NO_OUTPUT:
        frame->no_address = true;
        break;
    case ACLSIM_FRAME_HUGE:
        if (frame->part_count != 0 && frame->fault_value > frame->size) {
            frame->parts[frame->part_count - 1].size += frame->fault_value - frame->size;
            frame->size = frame->fault_value;
        }
        break;
    default:
        break;
    }
}

static void describe_locked(sim_mpi_channel *ch, sim_mpi_frame *frame, const uint8_t *data, size_t size) {
    frame->failed = frame->failed || size == 0;
    frame->size = (uint32_t)size;
    if (!frame->failed)
        sim_mpi_split(frame, data, size, ch->h265);
    apply_fault(ch, frame);
    /* documented: a buffer that is too small makes frames fail */
    if (sim_mpi_stored_size(ch, frame) > ch->output->size)
        frame->failed = true;
    frame->held = sim_mpi_stored_size(ch, frame);
}

void sim_mpi_announce_locked(sim_mpi_channel *ch, bool more) {
    if (ch->pollable.number <= 0)
        return;
    sim_pollable_set(&ch->pollable, ch->ready.count != 0, more);
}

static void deliver_locked(sim_mpi_channel *ch, sim_mpi_frame *frame, size_t place) {
    frame->place = place;
    if (frame->held != 0)
        ch->write_at = place + frame->held;
    sim_frame_push(&ch->ready, frame);
}

/* The head of `waiting` is encoded and has its place. */
static void finish_frame_locked(sim_mpi_channel *ch, size_t place) {
    sim_mpi_frame *frame = sim_frame_pop(&ch->waiting);
    frame->seq = (uint32_t)ch->encoded++;
    frame->first_pack = (uint32_t)ch->packs;
    ch->packs += sim_mpi_pack_count(ch, frame);
    ch->encoding = false;
    if (frame->fault == ACLSIM_FRAME_DROP) {
        sim_mpi_picture_release(&frame->picture, frame->seq, false);
        sim_frame_push(&ch->spare, frame);
    } else {
        deliver_locked(ch, frame, place);
    }
    ch->progress_ns = sim_now_ns();
    sim_mpi_announce_locked(ch, true);
    pthread_cond_broadcast(&ch->progress);
}

/* The fault that gives a frame twice: the second has a place of its own, or is left out. */
static void repeat_locked(sim_mpi_channel *ch, const sim_mpi_frame *frame) {
    size_t place;
    sim_mpi_frame *again = ch->spare.head != NULL ? sim_frame_pop(&ch->spare) : calloc(1, sizeof *again);
    if (again == NULL)
        return;
    if (!find_place_locked(ch, frame->held, &place)) {
        sim_frame_push(&ch->spare, again);
        return;
    }
    *again = *frame;
    again->picture = (sim_mpi_picture){0};
    deliver_locked(ch, again, place);
    memcpy(ch->output->data + place, ch->output->data + frame->place, frame->held);
    sim_mpi_announce_locked(ch, true);
}

/* ---- the null codec ------------------------------------------------------------------------------------------------ */

/* H.264's profiles in the order of acldvppStreamFormat. */
static acldvppStreamFormat stream_format(const sim_mpi_channel *ch) {
    return ch->h265 ? H265_MAIN_LEVEL : H264_BASELINE_LEVEL + (acldvppStreamFormat)ch->in_effect.attr.venc_attr.profile;
}

/* An access unit for pictures of that size. NULL: out of memory. */
static const sim_canned *canned_unit(sim_mpi_channel *ch, const sim_mpi_picture *picture, bool idr) {
    sim_canned *canned = &ch->canned[idr];
    size_t wanted = ch->null_size;
    if (ch->null_rate && (size_t)(ch->rate.bits_per_frame / 8) > wanted)
        wanted = (size_t)(ch->rate.bits_per_frame / 8);
    if (canned->data != NULL && canned->wanted == wanted && canned->width == picture->width &&
        canned->height == picture->height)
        return canned;
    size_t capacity = (wanted < CANNED_MIN ? CANNED_MIN : wanted) + SIM_MARK_SIZE, size = wanted;
    uint8_t *data = realloc(canned->data, capacity);
    if (data == NULL)
        return NULL;
    acldvppStreamFormat format = stream_format(ch);
    if (ch->marked) { /* it takes nothing of the headers */
        size = SIM_MARK_SIZE + sim_null_access_unit(data, capacity, 0, format, picture->width, picture->height, idr);
        size = size < wanted ? wanted : size;
    }
    size = sim_null_access_unit(data, capacity, size, format, picture->width, picture->height, idr);
    *canned = (sim_canned){data, size, wanted, picture->width, picture->height};
    return canned;
}

/* Finish frames with the null codec, as many as possible. Only without timing. */
static void run_inline_locked(sim_mpi_channel *ch) {
    while (ch->waiting.head != NULL && !ch->encoding && may_run(ch)) {
        sim_mpi_frame *frame = ch->waiting.head;
        if (frame->fault == ACLSIM_FRAME_DELAY)
            break;
        apply_settings_locked(ch);
        bool idr = next_is_idr_locked(ch, frame);
        const sim_canned *canned = canned_unit(ch, &frame->picture, idr);
        size_t place, size = canned != NULL ? canned->size : 0;
        describe_locked(ch, frame, canned != NULL ? canned->data : NULL, size);
        if (!find_place_locked(ch, frame->held, &place))
            break;
        begin_frame_locked(ch, frame, idr);
        frame->place = place;
        if (canned != NULL && frame->fault != ACLSIM_FRAME_DROP)
            sim_mpi_store(ch, frame, canned->data, size);
        bool twice = frame->fault == ACLSIM_FRAME_TWICE;
        finish_frame_locked(ch, place);
        if (twice)
            repeat_locked(ch, frame);
    }
}

/* ---- the real codec ---------------------------------------------------------------------------------------------- */

hi_s32 sim_mpi_open_codec(const char *function, sim_mpi_channel *ch) {
    const hi_venc_attr *attr = &ch->in_effect.attr.venc_attr;
    const sim_codec_config config = {
        .en_type = stream_format(ch),
        .pic_format = HI_PIXEL_FORMAT_YUV_SEMIPLANAR_420,
        .width = ch->codec_width != 0 ? ch->codec_width : attr->pic_width,
        .height = ch->codec_height != 0 ? ch->codec_height : attr->pic_height,
        .rc_mode = 3,
        .src_rate = sim_mpi_rate_settings(&ch->in_effect).fps,
        .bit_rate = 1,
    };
    char why[1500] = "";
    ch->codec_width = config.width;
    ch->codec_height = config.height;
    char path[PATH_MAX];
    if (sim_codec_load(sim_codec_choice(path), why, sizeof why) != 0 ||
        sim_codec_open(&config, &ch->codec, why, sizeof why) != 0)
        return sim_fail_at(function, HI_ERR_VENC_SYS_ERROR, "the encoder cannot be opened: %s", why);
    return HI_SUCCESS;
}

/* Documented: of regions that overlap, that of the higher index counts. */
static void set_regions(sim_mpi_channel *ch, int qp) {
    sim_codec_region regions[SIM_CODEC_REGIONS];
    unsigned count = 0;
    for (int i = SIM_CODEC_REGIONS - 1; i >= 0; i--) {
        const hi_venc_roi_attr *roi = &ch->in_effect.roi[i];
        if (roi->enable == HI_TRUE)
            regions[count++] = (sim_codec_region){(uint32_t)roi->rect.x, (uint32_t)roi->rect.y, roi->rect.width,
                                                  roi->rect.height, roi->is_abs_qp ? roi->qp : qp + roi->qp};
    }
    sim_codec_set_regions(ch->codec, regions, count);
}

/* Without the lock: what it uses is the encoding thread's own. */
static void encode_picture(sim_mpi_channel *ch, sim_mpi_frame *frame, const uint8_t **data, size_t *size) {
    const sim_mpi_picture *picture = &frame->picture;
    char why[512] = "";
    if (ch->codec == NULL || ch->codec_width != picture->width || ch->codec_height != picture->height) {
        sim_codec_close(ch->codec);
        ch->codec = NULL;
        ch->codec_width = picture->width;
        ch->codec_height = picture->height;
        if (sim_mpi_open_codec("hi_mpi_venc_send_frame", ch) != HI_SUCCESS)
            return;
    }
    frame->qp = sim_rate_qp(&ch->rate, frame->idr, (uint64_t)picture->width * picture->height);
    sim_codec_set_qp(ch->codec, frame->qp);
    sim_codec_set_format(ch->codec, picture->format);
    set_regions(ch, frame->qp);
    if (sim_codec_encode(ch->codec, picture->y, picture->stride, picture->uv, picture->stride, frame->idr, data, size,
                         why, sizeof why) != 0) {
        *size = 0;
        sim_log("a frame of channel %d is not encoded: %s", ch->id, why);
        return;
    }
    sim_rate_encoded(&ch->rate, frame->idr, frame->qp, *size);
}

/* ---- the worker ------------------------------------------------------------------------------------------------------ */

/* Sleep with the lock until a time, or until the worker is to stop. */
static void sleep_until_locked(sim_mpi_channel *ch, uint64_t until) {
    while (!ch->stop && sim_now_ns() < until)
        sim_cond_wait_until(&ch->todo, &ch->lock, until);
}

static void encode_one_locked(sim_mpi_channel *ch) {
    sim_mpi_frame *frame = ch->waiting.head;
    uint64_t now = sim_now_ns();
    uint64_t start = now > ch->device_free_ns ? now : ch->device_free_ns;
    uint64_t due = start + atomic_load(&sim_option.encode_time_us) * NS_PER_US;
    const uint8_t *data = NULL;
    size_t size = 0, place = 0;
    ch->encoding = true;
    apply_settings_locked(ch);
    begin_frame_locked(ch, frame, next_is_idr_locked(ch, frame));
    if (ch->null_size != 0) {
        const sim_canned *canned = canned_unit(ch, &frame->picture, frame->idr);
        data = canned != NULL ? canned->data : NULL;
        size = canned != NULL ? canned->size : 0;
    } else {
        pthread_mutex_unlock(&ch->lock);
        encode_picture(ch, frame, &data, &size);
        pthread_mutex_lock(&ch->lock);
    }
    describe_locked(ch, frame, data, size);
    sleep_until_locked(ch, due);
    ch->device_free_ns = due > sim_now_ns() ? due : sim_now_ns();
    uint64_t delay =
        atomic_load(&sim_option.callback_delay_us) + (frame->fault == ACLSIM_FRAME_DELAY ? frame->fault_value : 0);
    if (delay != 0)
        sleep_until_locked(ch, sim_now_ns() + delay * NS_PER_US);
    /* documented: a full buffer stops encoding until packets are released */
    while (!ch->stop && !find_place_locked(ch, frame->held, &place))
        sim_cond_wait_until(&ch->todo, &ch->lock, UINT64_MAX / 2);
    if (!ch->stop) {
        frame->place = place;
        pthread_mutex_unlock(&ch->lock);
        sim_mpi_store(ch, frame, data, size);
        pthread_mutex_lock(&ch->lock);
        bool twice = frame->fault == ACLSIM_FRAME_TWICE;
        finish_frame_locked(ch, place);
        if (twice)
            repeat_locked(ch, frame);
    }
    ch->encoding = false;
}

static void *work(void *arg) {
    sim_mpi_channel *ch = arg;
    pthread_mutex_lock(&ch->lock);
    while (!ch->stop) {
        if (ch->waiting.head != NULL && !ch->encoding && may_run(ch))
            encode_one_locked(ch);
        else
            sim_cond_wait_until(&ch->todo, &ch->lock, UINT64_MAX / 2);
    }
    pthread_mutex_unlock(&ch->lock);
    return NULL;
}

int sim_mpi_start_worker(sim_mpi_channel *ch) {
    char name[16];
    snprintf(name, sizeof name, "aclsim-mpi%d", ch->id % 1000);
    int rc = sim_start_worker(&ch->worker, work, ch, name);
    ch->has_worker = rc == 0;
    return rc;
}

void sim_mpi_kick_locked(sim_mpi_channel *ch) {
    if (ch->waiting.head == NULL || ch->stop)
        return;
    bool at_once = ch->null_size != 0 && !timing_is_set();
    if (at_once)
        run_inline_locked(ch);
    if (ch->waiting.head == NULL)
        return;
    bool wants_worker = !at_once || ch->waiting.head->fault == ACLSIM_FRAME_DELAY;
    if (!ch->has_worker && wants_worker && may_run(ch) && sim_mpi_start_worker(ch) != 0)
        sim_log("no thread for channel %d: it stands still", ch->id);
    if (ch->has_worker)
        pthread_cond_signal(&ch->todo);
}

void sim_mpi_stop_worker(sim_mpi_channel *ch) {
    pthread_mutex_lock(&ch->lock);
    ch->stop = true;
    pthread_cond_broadcast(&ch->todo);
    bool has_worker = ch->has_worker;
    pthread_mutex_unlock(&ch->lock);
    if (!has_worker)
        return;
    pthread_join(ch->worker, NULL);
    sim_live_add(SIM_THREAD, -1);
}

static void kick_locked(sim_mpi_channel *ch) {
    pthread_cond_broadcast(&ch->progress);
    sim_mpi_kick_locked(ch);
}

void sim_mpi_kick_all(void) {
    sim_mpi_each(kick_locked);
}

/* ---- waiting ------------------------------------------------------------------------------------------------------- */

hi_s32 sim_mpi_wait_locked(const char *function, sim_mpi_channel *ch, uint64_t deadline, hi_s32 late, uint64_t *last) {
    if (ch->closing)
        return sim_fail_at(function, HI_ERR_VENC_UNEXIST, "channel %d has been destroyed meanwhile", ch->id);
    hi_s32 rc = sim_mpi_lost(function, SIM_VENC_MODULE, ch->device);
    if (rc != HI_SUCCESS)
        return rc;
    uint64_t now = sim_now_ns(), limit = atomic_load(&sim_option.wait_limit_ms) * 1000000u;
    if (deadline != 0 && now >= deadline)
        return sim_fail_at(function, late,
                           "the time is over: %u frame(s) wait in channel %d, %u can be got, %u are not released",
                           ch->waiting.count, ch->id, ch->ready.count, ch->held.count);
    if (ch->progress_ns > *last)
        *last = ch->progress_ns;
    bool busy = ch->encoding && atomic_load(&sim_option.stall) == 0;
    if (ch->waiting.count == 0 || (busy && find_place_locked(ch, ch->waiting.head->held, &(size_t){0})))
        *last = now;
    if (deadline == 0 && limit != 0 && now - *last >= limit) /* guessed: hardware would wait on */
        return sim_fail_at(function, SIM_VENC_MODULE | HI_ERR_ID_TIMEOUT,
                           "no progress in %llu ms: %u frame(s) wait in channel %d, %u can be got, %u are not released",
                           (unsigned long long)(limit / 1000000u), ch->waiting.count, ch->id, ch->ready.count,
                           ch->held.count);
    uint64_t until = now + SIM_SLICE_NS;
    sim_cond_wait_until(&ch->progress, &ch->lock, deadline != 0 && deadline < until ? deadline : until);
    return HI_SUCCESS;
}
