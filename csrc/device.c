// SPDX-License-Identifier: Apache-2.0
/*
 * One device: an explicit context and one native report thread for all of its channels.
 *
 * Why one thread for all: the vendor allows one thread to serve many streams of a device, and the
 * number of threads stays flat in the number of channels. Why a stream of its own, subscribed to the
 * thread: aclrtProcessReport cannot be interrupted, but it returns as soon as it has run a callback;
 * so launching an empty callback on that stream wakes the thread when it is to stop. It also keeps
 * the thread subscribed while no channel exists, where aclrtProcessReport would return 107012 at once.
 *
 * Invariant: the report thread runs as long as any channel of the device exists. Destroying a channel
 * waits for its callbacks, so if the thread were gone first, that would hang for ever.
 */
#define _GNU_SOURCE
#include "engine.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    REPORT_TIMEOUT_MS = 1000, /* an idle thread looks around this often; it is woken, not polled */
    LOST_AFTER_FAILURES = 3,  /* consecutive failures of aclrtProcessReport before the device counts as lost */
    JOIN_TIMEOUT_S = 5,
};

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static avenc_device *registry;

/* ---- context --------------------------------------------------------------------------------- */

/* A context of ours that stayed current on this thread because it had none before. */
static _Thread_local aclrtContext left_behind;

int avi_device_bind(avenc_device *device, avi_binding *binding) {
    aclrtContext current = NULL;
    binding->restore = NULL;
    if (device->api->aclrtGetCurrentContext(&current) != ACL_SUCCESS)
        current = NULL;
    if (current == device->context)
        return AVENC_OK;
    int rc = device->api->aclrtSetCurrentContext(device->context);
    if (rc != ACL_SUCCESS)
        return avi_fail_acl(device->api, rc, "aclrtSetCurrentContext");
    if (current && current != left_behind)
        binding->restore = current;
    else
        left_behind = device->context;
    return AVENC_OK;
}

void avi_device_unbind(avenc_device *device, avi_binding *binding) {
    if (binding->restore)
        device->api->aclrtSetCurrentContext(binding->restore);
}

/* ---- report thread --------------------------------------------------------------------------- */

static void nothing(void *unused) {
    (void)unused;
}

static void declare_lost(avenc_device *device, int code) {
    atomic_store(&device->lost, code);
    pthread_mutex_lock(&device->lock);
    for (avenc_channel *channel = device->channels; channel; channel = channel->device_next)
        avi_channel_broadcast(channel);
    pthread_mutex_unlock(&device->lock);
}

static void process_reports(avenc_device *device) {
    const struct timespec pause = {.tv_nsec = 2 * 1000 * 1000};
    int failures = 0;
    while (!atomic_load(&device->stop)) {
        int rc = device->api->aclrtProcessReport(REPORT_TIMEOUT_MS);
        if (device->wake)
            avi_wake_channels(device);
        switch (rc) {
        case ACL_SUCCESS:
        case ACL_ERROR_RT_REPORT_TIMEOUT:
        case ACL_ERROR_WAIT_CALLBACK_TIMEOUT: /* the same in runtimes before 2022 */
            failures = 0;
            if (atomic_load_explicit(&device->lost, memory_order_relaxed))
                atomic_store(&device->lost, 0);
            break;
        default:
            if (++failures == LOST_AFTER_FAILURES)
                declare_lost(device, rc);
            nanosleep(&pause, NULL);
        }
    }
}

static void *report_thread(void *arg) {
    avenc_device *device = arg;
    int rc = device->api->aclrtSetCurrentContext(device->context);
    pthread_mutex_lock(&device->lock);
    device->bound = true;
    device->bind_code = rc;
    pthread_cond_broadcast(&device->changed);
    while (!device->run)
        pthread_cond_wait(&device->changed, &device->lock);
    pthread_mutex_unlock(&device->lock);
    process_reports(device);
    avi_live_add(AVENC_LIVE_THREAD, -1);
    return NULL;
}

static void let_thread_run(avenc_device *device) {
    pthread_mutex_lock(&device->lock);
    device->run = true;
    pthread_cond_broadcast(&device->changed);
    pthread_mutex_unlock(&device->lock);
}

/* False: the thread is stuck inside the runtime; what it uses has to be leaked. */
static bool stop_report_thread(avenc_device *device) {
    atomic_store(&device->stop, true);
    let_thread_run(device);
    avi_binding binding; /* a launch needs a current context */
    if (device->stream && avi_device_bind(device, &binding) == AVENC_OK) {
        device->api->aclrtLaunchCallback(nothing, NULL, ACL_CALLBACK_NO_BLOCK, device->stream);
        avi_device_unbind(device, &binding);
    }
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += JOIN_TIMEOUT_S;
    return pthread_timedjoin_np(device->report_thread, NULL, &until) == 0;
}

/* ---- opening and closing ----------------------------------------------------------------------- */

static int open_context(avenc_device *device) {
    const acl_api *api = device->api;
    int rc = api->aclInit(NULL);
    if (rc == ACL_SUCCESS)
        *avi_library_finalize_owed(device->library) = 1;
    else if (rc != ACL_ERROR_REPEAT_INITIALIZE)
        return avi_fail_acl(api, rc, "aclInit");
    if ((rc = api->aclrtGetRunMode(&device->info.run_mode)) != ACL_SUCCESS)
        return avi_fail_acl(api, rc, "aclrtGetRunMode");
    const char *soc = api->aclrtGetSocName ? api->aclrtGetSocName() : NULL;
    strncpy(device->info.soc_name, soc ? soc : "", sizeof device->info.soc_name - 1);
    aclrtContext context = NULL;
    if ((rc = api->aclrtCreateContext(&context, device->info.device_id)) != ACL_SUCCESS)
        return avi_fail_acl(api, rc, "aclrtCreateContext");
    device->context = context;
    return AVENC_OK;
}

static int start_report_thread(avenc_device *device) {
    const acl_api *api = device->api;
    int rc = avi_thread_start(&device->report_thread, "avenc-report", report_thread, device);
    if (rc != AVENC_OK)
        return rc;
    avi_live_add(AVENC_LIVE_THREAD, 1);
    pthread_mutex_lock(&device->lock);
    while (!device->bound)
        pthread_cond_wait(&device->changed, &device->lock);
    rc = device->bind_code;
    pthread_mutex_unlock(&device->lock);
    const char *call = "aclrtSetCurrentContext";
    aclrtStream stream = NULL;
    if (rc == ACL_SUCCESS) {
        call = "aclrtCreateStream";
        rc = api->aclrtCreateStream(&stream);
    }
    if (rc == ACL_SUCCESS) {
        call = "aclrtSubscribeReport";
        rc = api->aclrtSubscribeReport((uint64_t)device->report_thread, stream);
    }
    if (rc == ACL_SUCCESS) {
        device->stream = stream;
        let_thread_run(device);
        return AVENC_OK;
    }
    avi_fail_acl(api, rc, call);
    avenc_failure kept = *avenc_last_failure();
    if (stream)
        AVI_RELEASE(api, aclrtDestroyStream, stream);
    stop_report_thread(device);
    return avi_fail(rc, call, "%s", kept.detail);
}

static void free_device(avenc_device *device) {
    avi_worker_dispose(&device->writer);
    avi_worker_dispose(&device->sender);
    pthread_cond_destroy(&device->changed);
    pthread_mutex_destroy(&device->lock);
    free(device);
    avi_live_add(AVENC_LIVE_DEVICE, -1);
}

static int create_device(avenc_library *library, int32_t device_id, avenc_device **out) {
    avenc_device *device = calloc(1, sizeof *device);
    if (!device)
        return avi_fail(AVENC_E_NOMEM, NULL, "out of memory");
    avi_live_add(AVENC_LIVE_DEVICE, 1);
    device->library = library;
    device->api = avenc_library_api(library);
    device->generation = avi_generation();
    device->references = 1;
    device->info.device_id = device_id;
    pthread_mutex_init(&device->lock, NULL);
    avi_cond_init(&device->changed);
    avi_worker_init(&device->sender, device, AVI_SENDER);
    avi_worker_init(&device->writer, device, AVI_WRITER);

    aclrtContext before = NULL;
    if (device->api->aclrtGetCurrentContext(&before) != ACL_SUCCESS)
        before = NULL;
    int rc = open_context(device);
    if (rc == AVENC_OK)
        rc = start_report_thread(device);
    if (rc != AVENC_OK) {
        avenc_failure kept = *avenc_last_failure();
        if (device->context)
            AVI_RELEASE(device->api, aclrtDestroyContext, device->context);
        free_device(device);
        avi_fail(rc, kept.call, "%s", kept.detail);
    } else {
        device->next = registry;
        registry = device;
        *out = device;
    }
    if (before && before != left_behind) /* creating a context made it current */
        avenc_library_api(library)->aclrtSetCurrentContext(before);
    else if (rc == AVENC_OK)
        left_behind = device->context;
    return rc;
}

int avenc_device_open(avenc_library *library, int32_t device_id, avenc_device **out) {
    if (!library || !out)
        return avi_fail(AVENC_E_INVALID, __func__, "library and device must not be NULL");
    const avenc_library_info *info = avenc_library_info_get(library);
    if (info->device_count == 0)
        return avi_fail(AVENC_E_NO_DEVICE, "aclrtGetDeviceCount",
                        "%s works, but reports no device: npu-smi info lists them", info->runtime_path);
    if (device_id < 0 || (uint32_t)device_id >= info->device_count)
        return avi_fail(AVENC_E_INVALID, __func__, "device is %d, allowed is 0 to %u (%u device%s)", device_id,
                        info->device_count - 1, info->device_count, info->device_count == 1 ? "" : "s");
    int rc = AVENC_OK;
    pthread_mutex_lock(&registry_lock);
    avenc_device *device = registry;
    while (device && (device->library != library || device->info.device_id != device_id ||
                      device->generation != avi_generation()))
        device = device->next;
    if (device) {
        device->references++;
        *out = device;
    } else {
        rc = create_device(library, device_id, out);
    }
    pthread_mutex_unlock(&registry_lock);
    return rc;
}

/* In the child: the parent's devices are dead, and a thread that held the lock does not exist. */
void avi_device_after_fork(void) {
    pthread_mutex_init(&registry_lock, NULL);
    registry = NULL;
    left_behind = NULL;
}

static void unregister(avenc_device *device) {
    avenc_device **link = &registry;
    while (*link != device)
        link = &(*link)->next;
    *link = device->next;
}

static void destroy_device(avenc_device *device) {
    const acl_api *api = device->api;
    avi_worker_stop(&device->sender);
    avi_worker_stop(&device->writer);
    if (!stop_report_thread(device))
        return; /* it still uses the device and the context: leaked on purpose, and counted as live */
    avi_binding binding;
    if (avi_device_bind(device, &binding) == AVENC_OK) {
        while (device->abandoned) {
            avenc_channel *channel = device->abandoned;
            device->abandoned = channel->device_next;
            avi_channel_dispose(channel);
        }
        AVI_RELEASE(api, aclrtUnSubscribeReport, (uint64_t)device->report_thread, device->stream);
        AVI_RELEASE(api, aclrtDestroyStream, device->stream);
        avi_device_unbind(device, &binding);
    }
    AVI_RELEASE(api, aclrtDestroyContext, device->context);
    free_device(device);
}

void avenc_device_close(avenc_device *device) {
    if (!device || device->generation != avi_generation())
        return;
    pthread_mutex_lock(&registry_lock);
    if (--device->references == 0) {
        unregister(device);
        destroy_device(device);
    }
    pthread_mutex_unlock(&registry_lock);
}

const avenc_device_info *avenc_device_info_get(const avenc_device *device) {
    return &device->info;
}

void avi_device_attach(avenc_device *device, avenc_channel *channel) {
    pthread_mutex_lock(&device->lock);
    channel->device_next = device->channels;
    device->channels = channel;
    pthread_mutex_unlock(&device->lock);
}

void avi_device_detach(avenc_device *device, avenc_channel *channel) {
    pthread_mutex_lock(&device->lock);
    avenc_channel **link = &device->channels;
    while (*link && *link != channel)
        link = &(*link)->device_next;
    if (*link)
        *link = channel->device_next;
    pthread_mutex_unlock(&device->lock);
}

void avi_device_keep_abandoned(avenc_device *device, avenc_channel *channel) {
    pthread_mutex_lock(&device->lock);
    channel->device_next = device->abandoned;
    device->abandoned = channel;
    pthread_mutex_unlock(&device->lock);
}

int avenc_library_finalize(avenc_library *library) {
    if (!library)
        return avi_fail(AVENC_E_INVALID, __func__, "library must not be NULL");
    const acl_api *api = avenc_library_api(library);
    int rc = AVENC_OK;
    pthread_mutex_lock(&registry_lock);
    bool in_use = false;
    for (avenc_device *device = registry; device; device = device->next)
        in_use = in_use || device->library == library;
    int *owed = avi_library_finalize_owed(library);
    if (*owed && !in_use) {
        rc = api->aclFinalize();
        *owed = 0;
        if (rc != ACL_SUCCESS && rc != ACL_ERROR_REPEAT_FINALIZE)
            avi_fail_acl(api, rc, "aclFinalize");
        else
            rc = AVENC_OK;
    }
    pthread_mutex_unlock(&registry_lock);
    return rc;
}
