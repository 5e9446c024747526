// SPDX-License-Identifier: Apache-2.0
#include "ports/runtime.h"
#include "base/status.h"
#include "base/taskq.h"
#include "base/thread.h"
#include "load/library.h"

#include <stdlib.h>
#include <string.h>

static avi_runtime *of(const avenc_device *device) {
    return device->port_data;
}

const char *avi_runtime_hint(const avenc_device *device) {
    return avenc_library_info_get(device->library)->simulated ? "" : " (npu-smi info shows its health)";
}

/* ---- context ----------------------------------------------------------------------------------- */

/* Those whose context is alive: another context may get the address of one that was destroyed. */
static pthread_mutex_t alive_lock = PTHREAD_MUTEX_INITIALIZER; /* no other lock is taken within */
static avi_runtime *alive;
static uint64_t last_serial;

static void enter_alive(avi_runtime *runtime) {
    avi_lock(&alive_lock);
    runtime->serial = ++last_serial;
    runtime->next = alive;
    alive = runtime;
    avi_unlock(&alive_lock);
}

static void leave_alive(avi_runtime *runtime) {
    avi_lock(&alive_lock);
    avi_runtime **link = &alive;
    while (*link != runtime)
        link = &(*link)->next;
    *link = runtime->next;
    avi_unlock(&alive_lock);
}

static bool is_alive(uint64_t serial) {
    avi_lock(&alive_lock);
    const avi_runtime *runtime = alive;
    while (runtime && runtime->serial != serial)
        runtime = runtime->next;
    avi_unlock(&alive_lock);
    return runtime != NULL;
}

/* A context of ours that stayed current on this thread because it had none before: AscendCL cannot unset it. */
static _Thread_local struct {
    aclrtContext context;
    uint64_t serial;
} left_behind;

/* This thread's context, or NULL. That it has none is no failure: what the runtime says of it is not left for others. */
static aclrtContext current_context(const avenc_device *device) {
    aclrtContext current = NULL;
    if (device->api->aclrtGetCurrentContext(&current) == ACL_SUCCESS)
        return current;
    if (device->api->aclGetRecentErrMsg)
        (void)device->api->aclGetRecentErrMsg();
    return NULL;
}

int avi_runtime_bind(avenc_device *device, avi_binding *binding) {
    const avi_runtime *own = of(device);
    aclrtContext current = current_context(device);
    bool may_be_ours = current && current == left_behind.context;
    binding->restore = NULL;
    if (may_be_ours && left_behind.serial == own->serial)
        return AVENC_OK;
    /* Restored is what the program made current, never ours: another thread may destroy that before it could be. */
    bool ours = avi_on_task_thread() || (may_be_ours && is_alive(left_behind.serial));
    TRY(device, aclrtSetCurrentContext, own->context); /* an equal address may be a destroyed context's */
    if (current && current != own->context && !ours) {
        binding->restore = current;
    } else {
        left_behind.context = own->context;
        left_behind.serial = own->serial;
    }
    return AVENC_OK;
}

void avi_runtime_unbind(avenc_device *device, avi_binding *binding) {
    if (binding->restore)
        device->api->aclrtSetCurrentContext(binding->restore);
}

int avi_runtime_open(avenc_device *device) {
    const acl_api *api = device->api;
    int rc = api->aclInit(NULL);
    if (rc == ACL_SUCCESS)
        avi_library_owe_finalize(device->library);
    else if (rc != ACL_ERROR_REPEAT_INITIALIZE)
        return avi_fail_acl(api, rc, "aclInit");
    TRY(device, aclrtGetRunMode, &device->info.run_mode);
    const char *soc = api->aclrtGetSocName ? api->aclrtGetSocName() : NULL;
    strncpy(device->info.soc_name, soc ? soc : "", sizeof device->info.soc_name - 1);
    aclrtContext context = NULL; /* what a call that fails leaves there is nobody's */
    TRY(device, aclrtCreateContext, &context, device->info.device_id);
    of(device)->context = context;
    enter_alive(of(device));
    TRY(device, aclrtSetCurrentContext, of(device)->context);
    return AVENC_OK;
}

/* Once: a runtime may free the object and return a code. */
void avi_runtime_close(avenc_device *device) {
    if (!of(device)->context)
        return;
    leave_alive(of(device)); /* before: then its address is free */
    device->api->aclrtDestroyContext(of(device)->context);
}

/* ---- memory ------------------------------------------------------------------------------------ */

int avi_runtime_alloc_host(avenc_device *device, size_t size, void **memory) {
    TRY(device, aclrtMallocHost, memory, size);
    return AVENC_OK;
}

void avi_runtime_free_host(avenc_device *device, void *memory) {
    device->api->aclrtFreeHost(memory);
}

int avi_runtime_upload(avenc_device *device, void *to, size_t room, const void *from, size_t size) {
    TRY(device, aclrtMemcpy, to, room, from, size, ACL_MEMCPY_HOST_TO_DEVICE);
    return AVENC_OK;
}

int avi_runtime_copy(avenc_device *device, void *to, const void *from, size_t size) {
    TRY(device, aclrtMemcpy, to, size, from, size, ACL_MEMCPY_DEVICE_TO_DEVICE);
    return AVENC_OK;
}

int avi_runtime_fetch(avenc_device *device, void *to, size_t room, const void *from, size_t size) {
    TRY(device, aclrtMemcpy, to, room, from, size, ACL_MEMCPY_DEVICE_TO_HOST);
    return AVENC_OK;
}

/* A stream belongs to the context in which it was created, and each context has a default stream of its own. */
int avi_runtime_wait_stream(avenc_device *device, aclrtStream stream) {
    if (!current_context(device)) {
        if (!stream)
            return AVENC_OK; /* a thread without a context has given the device nothing to do */
        return avi_fail(AVENC_E_INVALID, "aclrtSynchronizeStream",
                        "this thread has no current context: make that of the stream current, or wait for the stream "
                        "before submitting");
    }
    TRY(device, aclrtSynchronizeStream, stream);
    return AVENC_OK;
}

/* ---- the library's end -------------------------------------------------------------------------- */

/* aclFinalize, on a thread of the queue: it may not return either. Freed by the last of the two who have it. */
typedef struct finalizing {
    avi_task task;
    avenc_library *library;
    avenc_waitset *progress;
    atomic_int rc;
    atomic_bool done;
    atomic_uint references;
} finalizing;

static void drop_finalizing(finalizing *job) {
    if (atomic_fetch_sub(&job->references, 1) != 1)
        return;
    avi_waitset_drop(job->progress);
    free(job);
    avi_taskq_release();
}

static bool finalize(void *arg) {
    finalizing *job = arg;
    avi_blocking_begins();
    int rc = avenc_library_api(job->library)->aclFinalize();
    avi_blocking_ends();
    atomic_store(&job->rc, rc == ACL_ERROR_REPEAT_FINALIZE ? AVENC_OK : rc);
    atomic_store(&job->done, true);
    avi_waitset_signal(job->progress, 0, AVI_URGENTLY);
    return false;
}

static void finalized(void *arg) {
    drop_finalizing(arg);
}

int avenc_library_finalize(avenc_library *library, const avenc_wait *wait) {
    if (!library)
        return avi_fail(AVENC_E_INVALID, __func__, "library must not be NULL");
    uint64_t deadline = wait ? wait->deadline_ns : 0;
    if (!avi_library_wait_unused(library, deadline) || avi_taskq_blocked() || !avi_library_take_owed(library))
        return AVENC_OK; /* not ours to call, or somebody is inside: the process's end is all that is left */
    finalizing *job = calloc(1, sizeof *job);
    if (!job || !(job->progress = avi_waitset_create()) || avi_taskq_retain() != AVENC_OK) {
        if (job && job->progress)
            avi_waitset_drop(job->progress);
        free(job);
        avi_library_owe_finalize(library); /* still */
        return avi_fail(AVENC_E_NOMEM, NULL, "out of memory");
    }
    job->library = library;
    atomic_store(&job->references, 2);
    avi_task_init(&job->task, finalize, finalized, job);
    avi_task_post(&job->task);
    avi_waiter waiter = {.wait = wait, .call = __func__, .look_at = AVI_FOR_EVER}; /* nobody could go on with it */
    uint64_t until;
    while (!atomic_load(&job->done) && avi_waiter_look(&waiter, AVI_FOR_EVER, &until) == AVENC_OK) {
        uint32_t seen = avi_waitset_signals(job->progress);
        if (!atomic_load(&job->done))
            avi_waiter_sleep(&waiter, job->progress, seen, until);
    }
    int rc = AVENC_OK;
    if (!atomic_load(&job->done))
        rc = avi_fail(AVENC_E_TIMEOUT, "aclFinalize", "aclFinalize has not returned");
    else if ((rc = atomic_load(&job->rc)) != AVENC_OK)
        avi_fail(rc, "aclFinalize", "%s", "");
    drop_finalizing(job);
    return rc;
}
