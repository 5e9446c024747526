// SPDX-License-Identifier: Apache-2.0
/*
 * From an accepted frame to the end of its callback. See channel.h for the counters.
 */
#include "channel.h"

#include <stdio.h>
#include <string.h>

enum {
    POISONED = 64, /* bytes of an access unit that are overwritten after its callback */
    POISON = 0xdb,
    NS_PER_US = 1000,
    SLICE_NS = 50 * 1000 * 1000,
};

/* ---- the device ------------------------------------------------------------------------------------------ */

static bool timing_is_set(void) {
    return atomic_load_explicit(&sim_option.encode_time_us, memory_order_relaxed) != 0 ||
           atomic_load_explicit(&sim_option.callback_delay_us, memory_order_relaxed) != 0;
}

static bool device_may_run(const sim_channel *ch) {
    return !atomic_load_explicit(&sim_option.stall, memory_order_relaxed) && sim_device_lost(ch->device) == 0;
}

static bool output_is_full_locked(const sim_channel *ch) {
    return ch->encoded - ch->delivered >= ch->output_slots;
}

static bool next_is_idr_locked(sim_channel *ch, bool forced) {
    bool idr = !ch->any_idr || forced || ch->since_idr >= ch->gop;
    if (idr)
        ch->since_idr = 0; /* guessed: a forced one restarts the count too */
    ch->any_idr = true;
    ch->since_idr++;
    return idr;
}

/* A place in the output buffer for `size` bytes, low first. False: the callbacks must return first. */
static bool find_place_locked(const sim_channel *ch, size_t size, size_t *offset) {
    size_t candidate = 0;
    /* Frames that hold output are few; the place is free if it overlaps none of them. */
    for (uint64_t tried = 0; tried <= ch->output_slots; tried++) {
        size_t clash = 0;
        for (uint64_t k = ch->delivered; k < ch->encoded; k++) {
            const sim_frame *f = &ch->ring[k % ch->ring_size];
            if (f->held != 0 && candidate < f->offset + f->held && f->offset < candidate + size)
                clash = f->offset + f->held;
        }
        if (clash == 0) {
            *offset = candidate;
            return size <= ch->out_size - candidate;
        }
        candidate = (clash + 63) / 64 * 64;
        if (candidate > ch->out_size || size > ch->out_size - candidate)
            return false;
    }
    return false;
}

static _Atomic uint64_t host_idle_ns; /* of all channels that there have been */

uint64_t aclsim_host_idle_ns(void) {
    return host_idle_ns;
}

static void note_idle_locked(sim_channel *ch) {
    bool idle = ch->sent > ch->encoded && !ch->encoding && output_is_full_locked(ch);
    if (idle && ch->idle_since_ns == 0) {
        ch->idle_since_ns = sim_now_ns();
    } else if (!idle && ch->idle_since_ns != 0) {
        uint64_t idle_ns = sim_now_ns() - ch->idle_since_ns;
        ch->stats.host_idle_ns += idle_ns;
        host_idle_ns += idle_ns;
        ch->idle_since_ns = 0;
    }
}

static void post_locked(sim_channel *ch) {
    while (!ch->reported && ch->delivered < ch->encoded) {
        sim_frame *f = &ch->ring[ch->delivered % ch->ring_size];
        if (f->fault != ACLSIM_FRAME_DROP) {
            ch->reported = true;
            sim_reporter_post(ch->reporter, &ch->report);
            return;
        }
        sim_picture_release(f, false);
        f->held = 0;
        ch->delivered++;
        ch->progress_ns = sim_now_ns();
        pthread_cond_broadcast(&ch->progress);
    }
}

/* Frame `encoded` is finished, its data (if any) is in the output buffer. */
static void finish_frame_locked(sim_channel *ch) {
    ch->encoded++;
    ch->encoding = false;
    ch->stats.encoded++;
    ch->progress_ns = sim_now_ns();
    pthread_cond_broadcast(&ch->progress);
    post_locked(ch);
    note_idle_locked(ch);
}

/* What a fault makes of an encoded frame. *data may be replaced by NULL: fill the place with a filler. */
static void apply_fault(sim_frame *f, const uint8_t **data, size_t *size, size_t capacity) {
    switch (f->fault) {
    case ACLSIM_FRAME_RET_CODE:
        f->ret_code = f->fault_value;
        *size = 0;
        break;
    case ACLSIM_FRAME_EMPTY:
        *size = 0;
        break;
    case ACLSIM_FRAME_HUGE:
        f->size = f->fault_value;
        if (f->fault_value > *size)
            *size = f->fault_value < capacity ? f->fault_value : capacity;
        return;
    default:
        break;
    }
    if (*size == 0)
        *data = NULL;
    f->size = (uint32_t)*size;
}

/* Copy `real` bytes of an access unit into its place and fill up. */
static void store(const sim_channel *ch, const sim_frame *f, const uint8_t *data, size_t real) {
    if (f->held == 0)
        return;
    uint8_t *to = ch->out_data + f->offset;
    if (real > f->held)
        real = f->held;
    memcpy(to, data, real);
    enum { LEAST_FILLER = 8 };
    if (f->held - real >= LEAST_FILLER)
        sim_filler(to + real, f->held - real, ch->en_type);
    else
        memset(to + real, 0, f->held - real); /* trailing zero bytes are allowed */
    if (ch->marked && f->y != NULL && f->size == real && f->held == real)
        sim_mark(to + real - SIM_MARK_SIZE, f->y, f->uv, f->stride, ch->width, ch->height);
}

/* Finish frames with the null codec, as many as possible. Only without timing. */
static void run_inline_locked(sim_channel *ch) {
    while (ch->sent > ch->encoded && !ch->encoding && !output_is_full_locked(ch) && device_may_run(ch)) {
        sim_frame *f = &ch->ring[ch->encoded % ch->ring_size];
        if (f->fault == ACLSIM_FRAME_DELAY)
            break;
        bool good = f->ret_code == 0;
        f->idr = good && next_is_idr_locked(ch, f->force_idr);
        const uint8_t *data = good ? ch->canned[f->idr] : NULL;
        size_t real = good ? ch->canned_size[f->idr] : 0, size = real;
        apply_fault(f, &data, &size, ch->out_size);
        size_t offset = 0;
        if (size != 0 && !find_place_locked(ch, size, &offset)) {
            if (ch->encoded != ch->delivered)
                break;
            f->ret_code = ACLSIM_RET_NO_SPACE;
            size = f->size = 0;
        }
        f->offset = offset;
        f->held = size;
        store(ch, f, data, real);
        finish_frame_locked(ch);
    }
}

/* ---- worker ---------------------------------------------------------------------------------------------- */

/* Sleep with the lock until a time, or until the worker is to stop. */
static void sleep_until_locked(sim_channel *ch, uint64_t until) {
    while (!ch->stop && sim_now_ns() < until)
        sim_cond_wait_until(&ch->work, &ch->lock, until);
}

static void encode_one_locked(sim_channel *ch) {
    sim_frame *f = &ch->ring[ch->encoded % ch->ring_size];
    ch->encoding = true;
    note_idle_locked(ch);
    uint64_t now = sim_now_ns();
    uint64_t start = now > ch->device_free_ns ? now : ch->device_free_ns;
    uint64_t due = start + atomic_load(&sim_option.encode_time_us) * NS_PER_US;
    if (f->ret_code == 0)
        f->idr = next_is_idr_locked(ch, f->force_idr);
    const uint8_t *data = NULL;
    size_t real = 0;
    if (f->ret_code == 0 && ch->codec == NULL) {
        data = ch->canned[f->idr];
        real = ch->canned_size[f->idr];
    } else if (f->ret_code == 0) {
        char why[512] = "";
        pthread_mutex_unlock(&ch->lock);
        if (sim_codec_encode(ch->codec, f->y, f->stride, f->uv, f->stride, f->idr, &data, &real, why, sizeof why) !=
            0) {
            f->ret_code = ACLSIM_RET_CODEC;
            real = 0;
            sim_log("frame %llu is not encoded: %s", (unsigned long long)f->index, why);
        }
        pthread_mutex_lock(&ch->lock);
    }
    size_t size = real;
    apply_fault(f, &data, &size, ch->out_size);
    sleep_until_locked(ch, due);
    ch->device_free_ns = due > sim_now_ns() ? due : sim_now_ns();
    if (atomic_load(&sim_option.encode_time_us) != 0 && due < ch->device_free_ns &&
        ch->device_free_ns - due < 20000000u)
        ch->device_free_ns = due; /* a late wake-up of ours is not the chip's slowness */
    if (size > ch->out_size) {
        f->ret_code = ACLSIM_RET_NO_SPACE;
        size = f->size = 0;
    }
    size_t offset = 0;
    ch->placing = true;
    while (!ch->stop && size != 0 && !find_place_locked(ch, size, &offset))
        sim_cond_wait_until(&ch->work, &ch->lock, sim_now_ns() + SLICE_NS);
    ch->placing = false;
    if (!ch->stop) {
        f->offset = offset;
        f->held = size;
        pthread_mutex_unlock(&ch->lock);
        store(ch, f, data, real);
        pthread_mutex_lock(&ch->lock);
        uint64_t delay =
            atomic_load(&sim_option.callback_delay_us) + (f->fault == ACLSIM_FRAME_DELAY ? f->fault_value : 0);
        if (delay != 0)
            sleep_until_locked(ch, sim_now_ns() + delay * NS_PER_US);
        finish_frame_locked(ch);
    }
    ch->encoding = false;
}

static void *work(void *arg) {
    sim_channel *ch = arg;
    pthread_mutex_lock(&ch->lock);
    while (!ch->stop) {
        if (ch->sent > ch->encoded && !output_is_full_locked(ch) && device_may_run(ch)) {
            encode_one_locked(ch);
            continue;
        }
        note_idle_locked(ch);
        sim_cond_wait_until(&ch->work, &ch->lock, UINT64_MAX / 2);
    }
    pthread_mutex_unlock(&ch->lock);
    return NULL;
}

int sim_channel_start_worker(sim_channel *ch) {
    char name[16];
    snprintf(name, sizeof name, "aclsim-venc%u", ch->id % 1000);
    int rc = sim_start_worker(&ch->worker, work, ch, name);
    ch->has_worker = rc == 0;
    return rc;
}

/* There may be something to do. */
void sim_channel_kick_locked(sim_channel *ch) {
    note_idle_locked(ch);
    if (ch->sent == ch->encoded || ch->stop)
        return;
    if (ch->codec == NULL && !timing_is_set())
        run_inline_locked(ch);
    if (ch->sent == ch->encoded)
        return;
    if (!ch->has_worker && !output_is_full_locked(ch) && device_may_run(ch) && sim_channel_start_worker(ch) != 0)
        sim_log("no thread for channel %u: it stands still", ch->id);
    if (ch->has_worker)
        pthread_cond_signal(&ch->work);
}

/* ---- callbacks ------------------------------------------------------------------------------------------- */

static void call_program(void *arg) {
    sim_channel *ch = arg;
    sim_frame *f = &ch->ring[ch->delivered % ch->ring_size]; /* only this thread advances `delivered` now */
    void *output = f->fault == ACLSIM_FRAME_NO_OUTPUT ? NULL : ch->out_handle;
    f->callback(f->picture, output, f->user_data);
    if (f->fault == ACLSIM_FRAME_TWICE)
        f->callback(f->picture, output, f->user_data);
}

static void hide_output(sim_channel *ch, const sim_frame *f) {
    sim_stream_desc *desc = sim_handle_get(SIM_STREAM_DESC, ch->out_handle);
    if (desc != NULL)
        atomic_store(&desc->readable, false);
    if (ch->out_desc == NULL && ch->out_handle != NULL) {
        sim_handle_end(SIM_STREAM_DESC, ch->out_handle, "the end of the callback");
        ch->out_handle = NULL;
    }
    sim_issuer issuer;
    if (ch->own_output && sim_is_strict() &&
        sim_memory_is_unwaited(&ch->output->read, ch->out_data + f->offset, f->held, &issuer))
        sim_report_of("late-output", issuer.function, issuer.place,
                      "call aclrtSynchronizeStream inside the callback, behind the copy",
                      "the callback has returned before anything has waited for the copy of its output");
    if (ch->own_output) {
        atomic_store(&ch->output->readable, false);
        sim_memory_show(ch->output, false);
    }
    /* What is read too late shall look wrong. */
    size_t poisoned = sim_is_strict() || f->held < POISONED ? f->held : POISONED;
    memset(ch->out_data + f->offset, POISON, poisoned);
}

static void callback_done(void *arg) {
    sim_channel *ch = arg;
    sim_frame *f = &ch->ring[ch->delivered % ch->ring_size];
    hide_output(ch, f);
    pthread_mutex_lock(&ch->lock);
    f->held = 0;
    ch->delivered++;
    ch->stats.delivered++;
    ch->reported = false;
    ch->in_callback = false;
    ch->progress_ns = sim_now_ns();
    bool abandoned = ch->abandoned;
    if (!abandoned) {
        post_locked(ch);
        sim_channel_kick_locked(ch);
    }
    pthread_cond_broadcast(&ch->progress);
    pthread_mutex_unlock(&ch->lock); /* from here on the channel may be gone */
    if (abandoned)
        sim_channel_end_stopped(ch);
}

static bool show_output(sim_channel *ch, const sim_frame *f) {
    if (ch->out_desc == NULL) {
        sim_stream_desc *desc = sim_handle_new(SIM_STREAM_DESC, "aclrtProcessReport", NULL, true);
        if (desc == NULL)
            return false;
        desc->output = true;
        ch->out_handle = sim_handle_of(SIM_STREAM_DESC, desc);
    }
    sim_stream_desc *desc = sim_handle_get(SIM_STREAM_DESC, ch->out_handle);
    if (desc == NULL)
        return false;
    desc->data = (void *)(ch->out_address + f->offset);
    desc->size = f->size;
    desc->format = ch->en_type; /* guessed, as the next three */
    desc->timestamp = f->index;
    desc->eos = 0;
    desc->ret_code = f->ret_code;
    atomic_store(&desc->readable, true);
    if (ch->own_output) {
        atomic_store(&ch->output->readable, true);
        sim_memory_show(ch->output, true);
    }
    return true;
}

void sim_channel_run_report(sim_report *report) {
    sim_channel *ch = (sim_channel *)((char *)report - offsetof(sim_channel, report));
    pthread_mutex_lock(&ch->lock);
    sim_frame *f = &ch->ring[ch->delivered % ch->ring_size];
    ch->in_callback = true;
    bool stopped = ch->stop;
    pthread_mutex_unlock(&ch->lock);
    sim_picture_release(f, !stopped); /* the callback may free it */
    if (stopped) {                    /* the channel has been destroyed between here and the taking of its report */
        callback_done(ch);
        return;
    }
    bool no_context = sim_host_mode() && sim_current() == NULL;
    /* Documented: in host run mode the output descriptor is copied here first; if that is not possible, or there
     * is no callback, the program's callback is silently left out. */
    if (no_context || f->callback == NULL || !show_output(ch, f)) {
        sim_log("the callback of frame %llu is left out: %s", (unsigned long long)f->index,
                no_context ? "the report thread has no current context" : "the channel has none");
        static atomic_bool said;
        if (no_context)
            sim_say_once(&said,
                         "a callback is left out, as on hardware: the thread in aclrtProcessReport has no current "
                         "context. Call aclrtSetCurrentContext there before its first aclrtProcessReport");
        if (sim_is_strict() && no_context)
            sim_report_at("no-context", "aclrtProcessReport",
                          "call aclrtSetCurrentContext in the report thread before its first aclrtProcessReport",
                          "the callback of frame %llu is left out: this thread has no current context",
                          (unsigned long long)f->index);
        else if (sim_is_strict())
            sim_report_at("no-callback", "aclrtProcessReport",
                          "call aclvencSetChannelDescCallback before the first send",
                          "the callback of frame %llu is left out: the channel has none", (unsigned long long)f->index);
        pthread_mutex_lock(&ch->lock);
        ch->stats.skipped++;
        pthread_mutex_unlock(&ch->lock);
        callback_done(ch);
        return;
    }
    if (sim_tracing())
        sim_trace_event("callback", ", \"channel\": %u, \"frame\": %llu, \"bytes\": %u, \"idr\": %s, \"ret_code\": %u",
                        ch->id, (unsigned long long)f->index, f->size, f->idr ? "true" : "false", f->ret_code);
    sim_run_callback(call_program, ch, callback_done);
}
