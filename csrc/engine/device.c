// SPDX-License-Identifier: Apache-2.0
#include "engine/device.h"
#include "base/status.h"
#include "base/taskq.h"
#include "base/thread.h"

#include <stdlib.h>

enum { OPENING, OPEN, FAILED, ENDING };

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t unregistered;
static avenc_device *registry; /* every device that is not gone */

/* ---- life -------------------------------------------------------------------------------------- */

void avi_device_let_go(avenc_device *device) {
    if (atomic_fetch_sub(&device->holders, 1) != 1)
        return;
    avi_waitset_drop(device->progress);
    pthread_mutex_destroy(&device->lock);
    free(device->channels);
    free(device);
}

/* It has ended, and nobody needs it open. */
static void dispose(avenc_device *device) {
    avi_device_let_go(device);
    avi_live_add(AVENC_LIVE_DEVICE, -1);
    avi_taskq_release();
}

/* One that newcomers share. One that is lost has only those that it lost left to end. */
static avenc_device *find_locked(const avi_port *port, const avenc_library *library, int32_t device_id) {
    avenc_device *device = registry;
    while (device && (device->port != port || device->library != library || device->info.device_id != device_id ||
                      device->state > OPEN || atomic_load(&device->lost)))
        device = device->next;
    return device;
}

static avenc_device *create_device(const avi_port *port, avenc_library *library, const acl_api *api,
                                   int32_t device_id) {
    avenc_device *device = calloc(1, sizeof *device);
    if (!device || !(device->progress = avi_waitset_create())) {
        free(device);
        avi_fail(AVENC_E_NOMEM, NULL, "out of memory");
        return NULL;
    }
    device->port = port;
    device->library = library;
    device->api = api;
    device->info.device_id = device_id;
    device->hint = "";
    device->generation = avi_generation();
    device->references = 1;
    atomic_store(&device->holders, 1);
    pthread_mutex_init(&device->lock, NULL);
    avi_live_add(AVENC_LIVE_DEVICE, 1);
    return device;
}

static void unregister_locked(avenc_device *device) {
    avenc_device **link = &registry;
    while (*link != device)
        link = &(*link)->next;
    *link = device->next;
    pthread_cond_broadcast(&unregistered);
}

int avi_device_open(const avi_port *port, avenc_library *library, const acl_api *api, int32_t device_id,
                    avenc_device **out) {
    int rc = avi_taskq_retain();
    if (rc != AVENC_OK)
        return rc;
    avi_lock(&registry_lock);
    avenc_device *device = find_locked(port, library, device_id);
    bool made = !device && (device = create_device(port, library, api, device_id));
    if (!device) {
        rc = AVENC_E_NOMEM;
    } else if (!made) {
        device->references++;
    } else {
        device->next = registry;
        registry = device;
        if ((rc = port->open(device)) != AVENC_OK) /* starts a thread, and nothing else */
            unregister_locked(device);
    }
    avi_unlock(&registry_lock);
    if (rc == AVENC_OK)
        *out = device;
    else if (made)
        dispose(device);
    if (!made)
        avi_taskq_release(); /* a device has one */
    return rc;
}

bool avi_device_opened(avenc_device *device, int code) {
    avi_lock(&registry_lock);
    device->failure = *avenc_last_failure();
    device->failure.code = code;
    bool wanted = device->references > 0;
    device->state = code != AVENC_OK ? FAILED : wanted ? OPEN : ENDING;
    avi_unlock(&registry_lock);
    avi_waitset_signal(device->progress, 0, AVI_URGENTLY);
    return wanted;
}

void avi_device_ended(avenc_device *device) {
    avi_lock(&registry_lock);
    device->ended = true;
    bool gone = device->references == 0; /* else those who wait for it have the failure still to read */
    if (gone)
        unregister_locked(device);
    avi_unlock(&registry_lock);
    if (gone)
        dispose(device);
}

int avenc_device_wait_open(avenc_device *device, const avenc_wait *wait) {
    if (!device)
        return avi_fail(AVENC_E_INVALID, __func__, "device must not be NULL");
    if (device->generation != avi_generation())
        return avi_fail_forked(__func__);
    avi_waiter waiter = avi_waiter_begin(wait, __func__);
    for (;;) {
        uint32_t seen = avi_waitset_signals(device->progress);
        uint64_t until;
        avi_lock(&registry_lock);
        int state = device->state;
        avenc_failure failure = device->failure;
        avi_unlock(&registry_lock);
        if (state == OPEN)
            return AVENC_OK;
        if (state != OPENING)
            return avi_fail_again(&failure);
        int rc = avi_waiter_look(&waiter, AVI_FOR_EVER, &until);
        if (rc != AVENC_OK)
            return rc == AVENC_E_LOOK
                       ? rc
                       : avi_fail(AVENC_E_TIMEOUT, __func__,
                                  "device %d is not open %s: a call of the vendor's library has not returned",
                                  device->info.device_id, avi_waiter_bound(&waiter).text);
        avi_waiter_sleep(&waiter, device->progress, seen, until);
    }
}

void avi_device_retain(avenc_device *device) {
    atomic_fetch_add(&device->holders, 1);
    avi_lock(&registry_lock);
    device->references++;
    avi_unlock(&registry_lock);
}

void avenc_device_release(avenc_device *device) {
    if (!device || device->generation != avi_generation())
        return;
    avi_lock(&registry_lock);
    bool last = --device->references == 0, close = last && device->state == OPEN, gone = last && device->ended;
    if (close)
        device->state = ENDING;
    if (gone)
        unregister_locked(device);
    avi_unlock(&registry_lock);
    if (close)
        device->port->close(device);
    if (gone)
        dispose(device);
}

const avenc_device_info *avenc_device_info_get(const avenc_device *device) {
    return &device->info;
}

/* ---- channels ---------------------------------------------------------------------------------- */

enum { MOST_CHANNELS = 1 << 16 };

uint32_t avi_device_enlist(avenc_device *device, avenc_channel *channel) {
    avi_lock(&device->lock);
    uint32_t index = 1; /* so that no number is 0 */
    while (index < device->capacity && device->channels[index])
        index++;
    if (index >= device->capacity && index < MOST_CHANNELS) {
        uint32_t capacity = device->capacity ? device->capacity * 2 : 16;
        avenc_channel **channels = realloc(device->channels, capacity * sizeof *channels);
        if (channels) {
            for (uint32_t i = device->capacity; i < capacity; i++)
                channels[i] = NULL;
            device->channels = channels;
            device->capacity = capacity;
        }
    }
    if (index < device->capacity && index < MOST_CHANNELS)
        device->channels[index] = channel;
    else
        index = 0;
    avi_unlock(&device->lock);
    return index;
}

void avi_device_delist(avenc_device *device, uint32_t index) {
    avi_lock(&device->lock);
    device->channels[index] = NULL;
    avi_unlock(&device->lock);
}

/* ---- the library's end -------------------------------------------------------------------------- */

bool avi_library_wait_unused(const avenc_library *library, uint64_t deadline_ns) {
    bool left, in_use;
    avi_lock(&registry_lock);
    for (;;) {
        left = in_use = false;
        for (const avenc_device *device = registry; device; device = device->next) {
            left = left || device->library == library;
            in_use = in_use || (device->library == library && device->references > 0);
        }
        if (!left || in_use || avi_now_ns() >= deadline_ns)
            break;
        avi_cond_wait_until(&unregistered, &registry_lock, deadline_ns);
    }
    avi_unlock(&registry_lock);
    return !left;
}

/* In the child the parent's devices are dead, and a thread that held the lock does not exist. */
static void after_fork(void) {
    pthread_mutex_init(&registry_lock, NULL);
    avi_cond_init(&unregistered);
    registry = NULL;
}

__attribute__((constructor)) static void set_up(void) {
    avi_cond_init(&unregistered);
    avi_on_fork(after_fork);
}
