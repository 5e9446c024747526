// SPDX-License-Identifier: Apache-2.0
/* Open channels: sending, waiting, ending. */
#include "channel.h"

enum { SLICE_NS = 50 * 1000 * 1000, CALLBACK_PATIENCE_MS = 2000 };

/* ---- waiting --------------------------------------------------------------------------------------------- */

static bool on_report_thread(const sim_channel *ch) {
    return sim_reporter_thread(ch->reporter) == (uint64_t)pthread_self();
}

/*
 * Sleep until the channel makes progress. A wait without any ends after the limit with 507046 and a
 * diagnosis (hardware: never; guessed). Encoding counts as progress, but not a wait for a place in the
 * output buffer, which callbacks have to make. A deadline, which is not UINT64_MAX, is the
 * caller's own limit and counts alone.
 */
static aclError wait_locked(sim_channel *ch, const char *function, uint64_t deadline, uint64_t *last) {
    int lost = sim_device_lost(ch->device);
    if (lost != 0)
        return sim_fail_at(function, lost, "device %d is lost", ch->device);
    uint64_t limit = atomic_load(&sim_option.wait_limit_ms) * 1000000u;
    uint64_t now = sim_now_ns();
    if (ch->progress_ns > *last)
        *last = ch->progress_ns;
    if (ch->encoding && !ch->placing)
        *last = now;
    uint64_t waiting = ch->sent - ch->delivered;
    if (now >= deadline)
        return sim_fail_at(function, ACL_ERROR_RT_STREAM_SYNC_TIMEOUT,
                           "the time is over, and %llu frame(s) of channel %u wait for their callback",
                           (unsigned long long)waiting, ch->id);
    if (deadline == UINT64_MAX && limit != 0 && now - *last >= limit) {
        unsigned long long thread = sim_reporter_thread(ch->reporter);
        const char *why = ch->in_callback                       ? "its callback has not returned"
                          : atomic_load(&sim_option.stall)      ? "the device is stalled"
                          : sim_reporter_has_pump(ch->reporter) ? "the report thread is busy with another callback"
                                                                : "nobody runs aclrtProcessReport there";
        if (sim_is_strict())
            sim_report_at("no-pump", function,
                          "keep the report thread in aclrtProcessReport until the channel is destroyed",
                          "%llu frame(s) of channel %u wait for their callback on thread %#llx, and %s",
                          (unsigned long long)waiting, ch->id, thread, why);
        return sim_fail_at(function, ACL_ERROR_RT_STREAM_SYNC_TIMEOUT,
                           "no progress in %llu ms: %llu frame(s) wait for their callback on thread %#llx, and %s",
                           (unsigned long long)(limit / 1000000u), (unsigned long long)waiting, thread, why);
    }
    sim_cond_wait_until(&ch->progress, &ch->lock, deadline - now < SLICE_NS ? deadline : now + SLICE_NS);
    return ACL_SUCCESS;
}

/* Documented: EOS and destroy wait until every callback has returned. On the report thread that can never be. A channel that
 * ends without its callbacks lets everybody out; see `stop`. */
static aclError wait_delivered_locked(sim_channel *ch, const char *function, uint64_t deadline) {
    uint64_t target = ch->sent, last = sim_now_ns();
    int lost = sim_device_lost(ch->device);
    if (lost != 0)
        return sim_fail_at(function, lost, "device %d is lost", ch->device);
    if (ch->delivered < target && on_report_thread(ch)) {
        bool inside = sim_self.callbacks != 0;
        if (sim_is_strict())
            sim_report_at(inside ? "destroy-in-callback" : "no-pump", function,
                          "call it on another thread than the channel's report thread",
                          "%llu frame(s) of channel %u wait for their callback on this very thread",
                          (unsigned long long)(target - ch->delivered), ch->id);
        return sim_fail_at(function, ACL_ERROR_RT_STREAM_SYNC_TIMEOUT,
                           "this is the channel's report thread: waiting here for its callbacks would never end");
    }
    aclError rc = ACL_SUCCESS;
    while (ch->delivered < target && !ch->stop && rc == ACL_SUCCESS)
        rc = wait_locked(ch, function, deadline, &last);
    return rc;
}

aclError sim_channel_wait_device(const char *function, int32_t device, uint64_t deadline) {
    for (;;) {
        sim_channel *busy = sim_channel_enter_busy(device);
        if (busy == NULL)
            return ACL_SUCCESS;
        pthread_mutex_lock(&busy->lock);
        aclError rc = wait_delivered_locked(busy, function, deadline);
        pthread_mutex_unlock(&busy->lock);
        sim_channel_leave(busy);
        if (rc != ACL_SUCCESS)
            return rc;
    }
}

/* ---- ending ---------------------------------------------------------------------------------------------- */

/* End worker and report. False: a callback still runs, and frees the channel on its return if `hand_over`. No call is
 * inside. */
static bool end_parts(sim_channel *ch, bool hand_over) {
    if (ch->has_worker) {
        pthread_join(ch->worker, NULL);
        sim_live_add(SIM_THREAD, -1);
    }
    uint64_t deadline = sim_now_ns() + CALLBACK_PATIENCE_MS * 1000000ull;
    pthread_mutex_lock(&ch->lock);
    while (ch->reported) {
        if (!ch->in_callback && sim_reporter_withdraw(ch->reporter, &ch->report)) {
            ch->reported = false;
            break;
        }
        if (sim_now_ns() >= deadline)
            break;
        sim_cond_wait_until(&ch->progress, &ch->lock, sim_now_ns() + 1000000u);
    }
    bool quiet = !ch->reported;
    ch->abandoned = !quiet && hand_over;
    pthread_mutex_unlock(&ch->lock);
    return quiet;
}

/* The descriptor does not name it and it is not listed any more. */
static bool end_channel(sim_channel *ch, bool hand_over) {
    pthread_mutex_lock(&ch->lock);
    ch->stop = ch->closing = true;
    pthread_cond_broadcast(&ch->work);
    pthread_cond_broadcast(&ch->progress);
    pthread_mutex_unlock(&ch->lock);
    sim_channel_wait_alone(ch);
    sim_live_add(SIM_CHANNEL, -1);
    if (!end_parts(ch, hand_over))
        return false;
    sim_channel_end_stopped(ch);
    return true;
}

static void report_no_channel(const char *function, const void *handle, const sim_channel_desc *desc) {
    if (sim_is_strict())
        sim_report_at("no-channel", function, "use a channel between aclvencCreateChannel and aclvencDestroyChannel",
                      "channel descriptor %p %s; it was %s", handle,
                      desc->used ? "has had its channel, which was destroyed" : "has no channel",
                      sim_origin_format(&desc->object.origin).text);
}

static aclError destroy_channel(aclvencChannelDesc *channelDesc, const char *function) {
    sim_channel_desc *desc;
    aclError rc = sim_channel_find_desc(function, channelDesc, &desc);
    if (rc != ACL_SUCCESS)
        return rc;
    sim_channel *ch = sim_channel_enter(desc);
    if (ch == NULL) { /* guessed: hardware may hang */
        report_no_channel(function, channelDesc, desc);
        return sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "the descriptor has no open channel");
    }
    pthread_mutex_lock(&ch->lock);
    bool mine = !ch->busy_destroying;
    if (mine) {
        ch->busy_destroying = ch->closing = true;
        pthread_cond_broadcast(&ch->progress);
        rc = wait_delivered_locked(ch, function, UINT64_MAX);
        /* Guessed: here hardware waits for itself. The channel stays as it was. */
        if (rc != ACL_SUCCESS && on_report_thread(ch) && sim_device_lost(ch->device) == 0)
            ch->busy_destroying = ch->closing = mine = false;
    } else {
        rc = sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "another thread is destroying the channel");
    }
    pthread_mutex_unlock(&ch->lock);
    if (!mine) {
        sim_channel_leave(ch);
        return rc;
    }
    /* Documented: after an early failure (a lost device, a wait that took too long) it frees all the same and returns
     * the code, without unsubscribing. Guessed: the subscription ends with its stream, as in aclrtDestroyStream. */
    if (sim_channel_detach(ch, desc))
        end_channel(ch, true);
    else
        sim_channel_leave(ch); /* the descriptor was destroyed meanwhile */
    return rc;
}

/* Documented: when a step of it fails, the channel is freed all the same and the code returned. So is an armed fault. */
static aclError destroy_and_fail(aclvencChannelDesc *channelDesc, aclError fault) {
    destroy_channel(channelDesc, "aclvencDestroyChannel");
    return fault;
}

aclError aclvencDestroyChannel(aclvencChannelDesc *channelDesc) {
    SIM_ENTER_VALUE(aclvencDestroyChannel, destroy_and_fail(channelDesc, fault_));
    return destroy_channel(channelDesc, __func__);
}

bool sim_venc_reset(void) {
    bool clean = true;
    for (sim_channel *ch; (ch = sim_channel_detach_any()) != NULL;)
        clean = end_channel(ch, false) && clean; /* what it would free then is gone: leaked */
    return clean;
}

/* ---- sending --------------------------------------------------------------------------------------------- */

static aclError send_frame(sim_channel *ch, sim_frame *f, const char *function) {
    uint64_t start = 0, last = 0;
    aclError rc = ACL_SUCCESS;
    pthread_mutex_lock(&ch->lock);
    /* Documented: returns when the device has taken the frame. */
    while (!ch->closing && rc == ACL_SUCCESS && ch->sent - ch->encoded >= ch->input_slots) {
        if (start == 0)
            start = last = sim_now_ns();
        rc = wait_locked(ch, function, UINT64_MAX, &last);
    }
    if (start != 0)
        ch->stats.send_blocked_ns += sim_now_ns() - start;
    if (rc == ACL_SUCCESS && ch->closing)
        rc = sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "the channel is being destroyed");
    if (rc == ACL_SUCCESS) {
        f->fault = sim_frame_fault(&f->fault_value);
        f->index = ch->sent;
        ch->ring[ch->sent % ch->ring_size] = *f;
        ch->sent++;
        ch->stats.sent++;
        sim_channel_kick_locked(ch);
    }
    pthread_mutex_unlock(&ch->lock);
    return rc;
}

static aclError check_sender(const sim_channel *ch, const char *function) {
    sim_context *context = sim_current();
    if (context == NULL) /* documented of every task on a stream */
        return sim_fail_at(function, ACL_ERROR_RT_CONTEXT_NULL, "this thread has no current context");
    int lost = sim_device_lost(ch->device);
    if (lost != 0)
        return sim_fail_at(function, lost, "device %d is lost", ch->device);
    if (context->device != ch->device) {
        if (sim_is_strict())
            sim_report_at("wrong-context", function,
                          "make a context of the channel's device current on the thread that sends",
                          "channel %u is on device %d, and this thread's context on device %d; it was %s", ch->id,
                          ch->device, context->device, sim_origin_format(&ch->origin).text);
        return sim_fail_at(function, ACL_ERROR_RT_STREAM_CONTEXT, "the channel belongs to another device");
    }
    return ACL_SUCCESS;
}

static aclError send_eos(sim_channel *ch, const char *function) {
    pthread_mutex_lock(&ch->lock);
    aclError rc = wait_delivered_locked(ch, function, UINT64_MAX);
    if (rc == ACL_SUCCESS && ch->stop && ch->delivered < ch->sent)
        rc = sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "the channel has been destroyed");
    pthread_mutex_unlock(&ch->lock);
    return rc;
}

static aclError send_picture(sim_channel *ch, const sim_channel_desc *desc, acldvppPicDesc *input, sim_frame *f,
                             const char *function) {
    sim_pic_desc *picture = sim_handle_get(SIM_PIC_DESC, input);
    if (picture == NULL) {
        if (sim_is_strict())
            sim_report_stale(SIM_PIC_DESC, input, function);
        return sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "%p is no live picture descriptor", (void *)input);
    }
    uint64_t least = (uint64_t)ch->width * ch->height * 3 / 2;
    if (sim_profile_get()->checks_picture_size &&
        (picture->size < least || picture->size >= 2 * least)) /* documented */
        return sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "picture size %u err, should be in [%llu, %llu)",
                           picture->size, (unsigned long long)least, (unsigned long long)(2 * least));
    aclError rc = check_sender(ch, function);
    if (rc != ACL_SUCCESS)
        return rc;
    if (atomic_fetch_add(&ch->senders, 1) != 0 && sim_is_strict()) /* documented: not thread safe */
        sim_report_at("concurrent-send", function, "send to a channel from one thread, or hold a lock of your own",
                      "another thread is sending to channel %u at the same time; it was %s", ch->id,
                      sim_origin_format(&ch->origin).text);
    f->picture = input;
    f->callback = desc->callback;
    atomic_fetch_add(&picture->in_flight, 1);
    rc = sim_picture_take(ch, picture, f, function);
    if (rc == ACL_SUCCESS)
        rc = send_frame(ch, f, function);
    atomic_fetch_sub(&ch->senders, 1);
    if (rc != ACL_SUCCESS)
        sim_picture_release(f, false);
    else
        sim_take_send_time();
    return rc;
}

static aclError send(const char *function, aclvencChannelDesc *channelDesc, acldvppPicDesc *input,
                     aclvencFrameConfig *config, void *userdata) {
    sim_channel_desc *desc;
    aclError rc = sim_channel_find_desc(function, channelDesc, &desc);
    if (rc != ACL_SUCCESS)
        return rc;
    sim_channel *ch = sim_channel_enter(desc);
    if (ch == NULL) { /* documented */
        report_no_channel(function, channelDesc, desc);
        return sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "the descriptor has no open channel");
    }
    const sim_frame_config *settings = sim_handle_get(SIM_FRAME_CONFIG, config);
    if (settings == NULL) {
        if (sim_is_strict())
            sim_report_stale(SIM_FRAME_CONFIG, config, function);
        rc = sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "%p is no live frame config", (void *)config);
    } else if (settings->eos != 0) { /* documented: the other arguments are ignored */
        rc = send_eos(ch, function);
    } else {
        sim_frame f = {.user_data = userdata, .force_idr = settings->force_i_frame != 0, .fault = SIM_FRAME_NONE};
        rc = send_picture(ch, desc, input, &f, function);
    }
    sim_channel_leave(ch);
    return rc;
}

/*
 * Documented: the frame and its callback are launched, then the send stream is synchronised; when that fails the call
 * returns its code, and the frame is encoded and reported all the same. So is a fault of aclsim_fail_call_after.
 */
aclError aclvencSendFrame(aclvencChannelDesc *channelDesc, acldvppPicDesc *input, void *reserve,
                          aclvencFrameConfig *config, void *userdata) {
    (void)reserve; /* documented: ignored */
    SIM_CALL(aclvencSendFrame, send(__func__, channelDesc, input, config, userdata));
}

/* ---- control --------------------------------------------------------------------------------------------- */

int aclsim_get_channel_stats(const void *channel_desc, aclsim_channel_stats *stats) {
    sim_channel_desc *desc = sim_handle_get(SIM_CHANNEL_DESC, channel_desc);
    sim_channel *ch = desc != NULL && stats != NULL ? sim_channel_enter(desc) : NULL;
    if (ch == NULL)
        return -1;
    pthread_mutex_lock(&ch->lock);
    *stats = ch->stats;
    if (ch->idle_since_ns != 0)
        stats->host_idle_ns += sim_now_ns() - ch->idle_since_ns;
    pthread_mutex_unlock(&ch->lock);
    sim_channel_leave(ch);
    return 0;
}
