// SPDX-License-Identifier: Apache-2.0
/* The open channels: which there are, whose they are, who uses them. */
#include "channel.h"

enum { SLICE_NS = 50 * 1000 * 1000 };

static pthread_mutex_t channels_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t channels_changed;
static sim_channel *channels;

__attribute__((constructor)) static void init(void) {
    sim_cond_init(&channels_changed);
}

/* ---- finding --------------------------------------------------------------------------------------------- */

sim_channel *sim_channel_enter(sim_channel_desc *desc) {
    pthread_mutex_lock(&channels_lock);
    sim_channel *ch = desc->channel;
    if (ch != NULL)
        ch->users++;
    pthread_mutex_unlock(&channels_lock);
    return ch;
}

void sim_channel_leave(sim_channel *ch) {
    pthread_mutex_lock(&channels_lock);
    if (--ch->users <= 1)
        pthread_cond_broadcast(&channels_changed);
    pthread_mutex_unlock(&channels_lock);
}

void sim_channel_kick_all(void) {
    pthread_mutex_lock(&channels_lock);
    for (sim_channel *ch = channels; ch != NULL; ch = ch->next) {
        pthread_mutex_lock(&ch->lock);
        pthread_cond_broadcast(&ch->progress);
        sim_channel_kick_locked(ch);
        pthread_mutex_unlock(&ch->lock);
    }
    pthread_mutex_unlock(&channels_lock);
}

sim_channel *sim_channel_enter_busy(int32_t device) {
    sim_channel *busy = NULL;
    pthread_mutex_lock(&channels_lock);
    for (sim_channel *ch = channels; ch != NULL && busy == NULL; ch = ch->next) {
        pthread_mutex_lock(&ch->lock);
        if (ch->device == device && ch->delivered < ch->sent && !ch->stop)
            busy = ch;
        pthread_mutex_unlock(&ch->lock);
    }
    if (busy != NULL)
        busy->users++;
    pthread_mutex_unlock(&channels_lock);
    return busy;
}

/* ---- list and descriptors ----------------------------------------------------------------------- */

bool sim_channel_list(sim_channel *ch, uint64_t limit) {
    pthread_mutex_lock(&channels_lock);
    ch->id = 0; /* guessed: the lowest that is free on the device */
    for (bool taken = true; taken && ch->id < limit; ch->id += taken) {
        taken = false;
        for (const sim_channel *other = channels; other != NULL; other = other->next)
            taken = taken || (other->device == ch->device && other->id == ch->id);
    }
    bool fits = ch->id < limit;
    if (fits) {
        ch->next = channels;
        channels = ch;
    }
    pthread_mutex_unlock(&channels_lock);
    return fits;
}

static void unlist_locked(sim_channel *ch) {
    sim_channel **link = &channels;
    while (*link != ch)
        link = &(*link)->next;
    *link = ch->next;
}

void sim_channel_unlist(sim_channel *ch) {
    pthread_mutex_lock(&channels_lock);
    unlist_locked(ch);
    pthread_mutex_unlock(&channels_lock);
}

sim_claim sim_channel_claim_desc(sim_channel_desc *desc) {
    sim_claim claim = SIM_DESC_IN_USE;
    pthread_mutex_lock(&channels_lock);
    if (desc->channel == NULL && !desc->creating) {
        claim = desc->freed_output ? SIM_DESC_HAS_FREED_OUTPUT : SIM_DESC_FREE;
        desc->creating = true;
    }
    pthread_mutex_unlock(&channels_lock);
    return claim;
}

void sim_channel_bind_desc(sim_channel_desc *desc, sim_channel *ch, bool freed_output) {
    pthread_mutex_lock(&channels_lock);
    desc->creating = false;
    if (freed_output)
        desc->freed_output = true;
    if (ch != NULL) {
        desc->used = true;
        ch->owner = desc;
        desc->channel = ch;
        desc->channel_id = ch->id;
        sim_live_add(SIM_CHANNEL, 1);
    }
    pthread_mutex_unlock(&channels_lock);
}

bool sim_channel_detach(sim_channel *ch, sim_channel_desc *desc) {
    pthread_mutex_lock(&channels_lock);
    bool owned = ch->owner == desc && desc->channel == ch;
    if (owned) {
        desc->channel = NULL;
        if (sim_channel_frees_output(ch))
            desc->freed_output = true;
        ch->owner = NULL;
        unlist_locked(ch);
    }
    pthread_mutex_unlock(&channels_lock);
    return owned;
}

sim_channel *sim_channel_detach_any(void) {
    pthread_mutex_lock(&channels_lock);
    sim_channel *ch = channels;
    if (ch != NULL) {
        unlist_locked(ch);
        if (ch->owner != NULL)
            ch->owner->channel = NULL;
        ch->owner = NULL;
        ch->users++;
    }
    pthread_mutex_unlock(&channels_lock);
    return ch;
}

void sim_channel_wait_alone(sim_channel *ch) {
    pthread_mutex_lock(&channels_lock);
    while (ch->users > 1) {
        pthread_mutex_lock(&ch->lock);
        pthread_cond_broadcast(&ch->progress);
        pthread_mutex_unlock(&ch->lock);
        sim_cond_wait_until(&channels_changed, &channels_lock, sim_now_ns() + SLICE_NS);
    }
    pthread_mutex_unlock(&channels_lock);
}

bool sim_channel_orphan(sim_channel_desc *desc) {
    pthread_mutex_lock(&channels_lock);
    sim_channel *ch = desc->channel;
    if (ch != NULL) {
        desc->channel = NULL;
        ch->owner = NULL;
        if (ch->borrowed_output) { /* the lost channel goes on writing there: the buffer is its own now */
            ch->borrowed_output = false;
            sim_memory_release(desc->output);
            desc->output = NULL;
        }
    }
    pthread_mutex_unlock(&channels_lock);
    return ch != NULL;
}

unsigned sim_channel_open_count(sim_origin *first) {
    unsigned count = 0;
    pthread_mutex_lock(&channels_lock);
    for (const sim_channel *ch = channels; ch != NULL; ch = ch->next) {
        if (count == 0 || ch->origin.number < first->number)
            *first = ch->origin;
        count++;
    }
    pthread_mutex_unlock(&channels_lock);
    return count;
}

unsigned sim_channel_in_context(const void *context) {
    unsigned count = 0;
    pthread_mutex_lock(&channels_lock);
    for (const sim_channel *ch = channels; ch != NULL; ch = ch->next)
        count += ch->context == context;
    pthread_mutex_unlock(&channels_lock);
    return count;
}

void sim_venc_after_fork(void) {
    pthread_mutex_init(&channels_lock, NULL);
    sim_cond_init(&channels_changed);
    channels = NULL;
}
