// SPDX-License-Identifier: Apache-2.0
/* The channels of V2: which there are, whose they are, who uses them; which device a call means. */
#include "mpi.h"

#include <string.h>

static pthread_mutex_t mpi_list_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t list_changed;
static sim_mpi_channel *channels;
enum { MOST_IDS = 256 };                                       /* of any chip */
static sim_mpi_channel *channel_of[SIM_MAX_DEVICES][MOST_IDS]; /* the same by device and id */
static atomic_bool system_ready[SIM_MAX_DEVICES];

__attribute__((constructor)) static void init(void) {
    sim_cond_init(&list_changed);
}

/* ---- devices ------------------------------------------------------------------------------------------- */

hi_s32 sim_mpi_device(const char *function, int module, int32_t *device) {
    sim_context *context = sim_current();
    /* Observed: every thread of the programs that work sets its device or context first. Guessed: on a board, whose own
     * processor calls, nothing else is needed. */
    if (context == NULL && sim_host_mode())
        return sim_fail_at(function, module | HI_ERR_ID_INVALID_DEV_ID,
                           "this thread has no current context: call aclrtSetDevice or aclrtSetCurrentContext on it");
    *device = context != NULL ? context->device : 0;
    return HI_SUCCESS;
}

bool sim_mpi_is_ready(int32_t device) {
    return atomic_load_explicit(&system_ready[device], memory_order_relaxed);
}

void sim_mpi_set_ready(int32_t device, bool ready) {
    atomic_store(&system_ready[device], ready);
}

hi_s32 sim_mpi_lost(const char *function, int module, int32_t device) {
    int lost = sim_device_lost(device);
    if (lost == 0)
        return HI_SUCCESS;
    /* AscendCL's codes are positive; a lost device's own answer is not known */
    hi_s32 code = lost < 0 ? lost : module | (HI_ERR_VENC_SYS_ERROR & 63);
    return sim_fail_at(function, code, "device %d is lost", device);
}

hi_s32 sim_mpi_ready_device(const char *function, int module, int32_t *device) {
    hi_s32 rc = sim_mpi_device(function, module, device);
    if (rc != HI_SUCCESS)
        return rc;
    if (!sim_mpi_is_ready(*device)) /* documented */
        return sim_fail_at(function, module | (HI_ERR_SYS_NOT_READY & 63),
                           "hi_mpi_sys_init has not been called for device %d", *device);
    return HI_SUCCESS;
}

/* ---- users ------------------------------------------------------------------------------------------------ */

hi_s32 sim_mpi_check_id(const char *function, hi_venc_chn id) {
    uint32_t most = sim_profile_get()->max_channels_v2;
    if (id >= 0 && id < MOST_IDS && (uint32_t)id < most)
        return HI_SUCCESS;
    /* documented */
    return sim_fail_at(function, HI_ERR_VENC_INVALID_CHN_ID, "channel %d err, should be in [0, %u) on %s", id, most,
                       sim_profile_get()->name);
}

hi_s32 sim_mpi_enter_any(const char *function, hi_venc_chn id, sim_mpi_channel **out) {
    int32_t device;
    hi_s32 rc = sim_mpi_ready_device(function, SIM_VENC_MODULE, &device);
    if (rc != HI_SUCCESS)
        return rc;
    rc = sim_mpi_check_id(function, id);
    if (rc != HI_SUCCESS)
        return rc;
    pthread_mutex_lock(&mpi_list_lock);
    sim_mpi_channel *ch = channel_of[device][id];
    if (ch != NULL && ch->listed)
        ch->users++;
    else
        ch = NULL;
    pthread_mutex_unlock(&mpi_list_lock);
    *out = ch;
    return HI_SUCCESS;
}

hi_s32 sim_mpi_enter(const char *function, hi_venc_chn id, sim_mpi_channel **out) {
    hi_s32 rc = sim_mpi_enter_any(function, id, out);
    if (rc == HI_SUCCESS && *out == NULL) /* documented */
        return sim_fail_at(function, HI_ERR_VENC_UNEXIST, "the device has no channel %d", id);
    return rc;
}

void sim_mpi_leave(sim_mpi_channel *ch) {
    pthread_mutex_lock(&mpi_list_lock);
    if (--ch->users <= 1)
        pthread_cond_broadcast(&list_changed);
    pthread_mutex_unlock(&mpi_list_lock);
}

hi_s32 sim_mpi_enter_alive(const char *function, hi_venc_chn id, sim_mpi_channel **out) {
    sim_mpi_channel *ch;
    hi_s32 rc = sim_mpi_enter(function, id, &ch);
    if (rc != HI_SUCCESS)
        return rc;
    rc = sim_mpi_lost(function, SIM_VENC_MODULE, ch->device);
    if (rc == HI_SUCCESS)
        *out = ch;
    else
        sim_mpi_leave(ch);
    return rc;
}

/* ---- the list --------------------------------------------------------------------------------------------- */

hi_s32 sim_mpi_list_add(const char *function, sim_mpi_channel *ch) {
    /* Not known: whether an id counts for a device, a process or a card. */
    bool shared = atomic_load(&sim_option.v2_shared_ids) != 0;
    uint64_t limit = atomic_load(&sim_option.channel_limit), count = 0;
    bool taken = false;
    pthread_mutex_lock(&mpi_list_lock);
    for (const sim_mpi_channel *other = channels; other != NULL; other = other->next) {
        taken = taken || (other->id == ch->id && (shared || other->device == ch->device));
        count += other->device == ch->device;
    }
    bool ready = sim_mpi_is_ready(ch->device); /* whoever ends the system looks for channels behind this */
    bool fits = ready && !taken && (limit == 0 || count < limit);
    if (fits) {
        ch->listed = true;
        ch->next = channels;
        channels = channel_of[ch->device][ch->id] = ch;
        sim_live_add(SIM_MPI_CHANNEL, 1);
    }
    pthread_mutex_unlock(&mpi_list_lock);
    if (!ready)
        return sim_fail_at(function, HI_ERR_VENC_SYS_NOT_READY, "hi_mpi_sys_exit has been called meanwhile");
    if (taken) /* documented */
        return sim_fail_at(function, HI_ERR_VENC_EXIST, "channel %d exists", ch->id);
    return fits ? HI_SUCCESS : sim_fail_at(function, HI_ERR_VENC_NO_MEM, "the device has no more channels");
}

static bool claim_locked(sim_mpi_channel *ch) {
    bool mine = !ch->claimed;
    ch->claimed = true;
    ch->listed = false;
    return mine;
}

bool sim_mpi_list_claim(sim_mpi_channel *ch) {
    pthread_mutex_lock(&mpi_list_lock);
    bool mine = claim_locked(ch);
    pthread_mutex_unlock(&mpi_list_lock);
    return mine;
}

sim_mpi_channel *sim_mpi_list_claim_any(int32_t device) {
    pthread_mutex_lock(&mpi_list_lock);
    sim_mpi_channel *ch = channels;
    while (ch != NULL && (ch->claimed || (device >= 0 && ch->device != device)))
        ch = ch->next;
    if (ch != NULL) {
        claim_locked(ch);
        ch->users++;
    }
    pthread_mutex_unlock(&mpi_list_lock);
    return ch;
}

void sim_mpi_wait_alone(sim_mpi_channel *ch) {
    pthread_mutex_lock(&mpi_list_lock);
    while (ch->users > 1)
        sim_cond_wait_until(&list_changed, &mpi_list_lock, sim_now_ns() + SIM_SLICE_NS);
    pthread_mutex_unlock(&mpi_list_lock);
}

void sim_mpi_list_remove(sim_mpi_channel *ch) {
    pthread_mutex_lock(&mpi_list_lock);
    sim_mpi_channel **link = &channels;
    while (*link != ch)
        link = &(*link)->next;
    *link = ch->next;
    channel_of[ch->device][ch->id] = NULL;
    pthread_mutex_unlock(&mpi_list_lock);
    sim_live_add(SIM_MPI_CHANNEL, -1);
}

bool sim_mpi_has_channels(int32_t device) {
    bool any = false;
    pthread_mutex_lock(&mpi_list_lock);
    for (const sim_mpi_channel *ch = channels; ch != NULL; ch = ch->next)
        any = any || ch->device == device;
    pthread_mutex_unlock(&mpi_list_lock);
    return any;
}

void sim_mpi_each(void (*visit)(sim_mpi_channel *ch)) {
    pthread_mutex_lock(&mpi_list_lock);
    for (sim_mpi_channel *ch = channels; ch != NULL; ch = ch->next) {
        pthread_mutex_lock(&ch->lock);
        visit(ch);
        pthread_mutex_unlock(&ch->lock);
    }
    pthread_mutex_unlock(&mpi_list_lock);
}

unsigned sim_mpi_open_count(sim_origin *first) {
    unsigned count = 0;
    pthread_mutex_lock(&mpi_list_lock);
    for (const sim_mpi_channel *ch = channels; ch != NULL; ch = ch->next)
        if (count++ == 0 || ch->origin.number < first->number)
            *first = ch->origin;
    pthread_mutex_unlock(&mpi_list_lock);
    return count;
}

void sim_mpi_after_fork(void) {
    pthread_mutex_init(&mpi_list_lock, NULL);
    sim_cond_init(&list_changed);
    channels = NULL;
    memset(channel_of, 0, sizeof channel_of);
    for (int device = 0; device < SIM_MAX_DEVICES; device++)
        sim_mpi_set_ready(device, false);
}
