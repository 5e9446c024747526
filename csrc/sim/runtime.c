// SPDX-License-Identifier: Apache-2.0
/* Initialisation, devices, contexts. */
#include "sim.h"

#include <stdlib.h>

enum { MAX_DEVICES = 64 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t init_references; /* 0: not initialised */
static struct {
    sim_context *context; /* the primary one, NULL if not set */
    unsigned references;  /* of aclrtSetDevice */
} primary[MAX_DEVICES];
static unsigned contexts;

static _Thread_local sim_context *current;

sim_context *sim_current_context(void) {
    return sim_object_is(current, ACLSIM_CONTEXT) ? current : NULL;
}

bool sim_any_context(void) {
    pthread_mutex_lock(&lock);
    bool any = contexts > 0;
    pthread_mutex_unlock(&lock);
    return any;
}

void sim_runtime_after_fork(void) {
    pthread_mutex_init(&lock, NULL);
    init_references = 0;
    contexts = 0;
    for (int i = 0; i < MAX_DEVICES; i++) {
        primary[i].context = NULL;
        primary[i].references = 0;
    }
    current = NULL;
}

/* ---- init ------------------------------------------------------------------------------------ */

/* documented: a repeated call returns 100002 and, since 8.5, counts a reference. guessed: the file is not read. */
aclError aclInit(const char *configPath) {
    (void)configPath;
    sim_prepare();
    pthread_mutex_lock(&lock);
    int rc = init_references++ == 0 ? ACL_SUCCESS : ACL_ERROR_REPEAT_INITIALIZE;
    pthread_mutex_unlock(&lock);
    return rc == ACL_SUCCESS ? rc : sim_fail(rc, "aclInit: initialised before in this process");
}

/* documented: any aclFinalize zeroes the count. */
aclError aclFinalize(void) {
    pthread_mutex_lock(&lock);
    int rc = init_references ? ACL_SUCCESS : ACL_ERROR_REPEAT_FINALIZE;
    init_references = 0;
    pthread_mutex_unlock(&lock);
    return rc == ACL_SUCCESS ? rc : sim_fail(rc, "aclFinalize: not initialised, or finalized before");
}

aclError aclFinalizeReference(uint64_t *refCount) {
    pthread_mutex_lock(&lock);
    int rc = init_references ? ACL_SUCCESS : ACL_ERROR_REPEAT_FINALIZE;
    if (rc == ACL_SUCCESS)
        init_references--;
    if (refCount)
        *refCount = init_references;
    pthread_mutex_unlock(&lock);
    return rc == ACL_SUCCESS ? rc : sim_fail(rc, "aclFinalizeReference: not initialised, or finalized before");
}

aclError aclrtGetVersion(int32_t *majorVersion, int32_t *minorVersion, int32_t *patchVersion) {
    if (!majorVersion || !minorVersion || !patchVersion)
        return sim_fail(ACL_ERROR_INVALID_PARAM, "aclrtGetVersion: NULL");
    *majorVersion = 1;
    *minorVersion = 16;
    *patchVersion = 0;
    return ACL_SUCCESS;
}

const char *aclrtGetSocName(void) {
    return sim_chip()->soc_name;
}

/* ---- devices --------------------------------------------------------------------------------- */

static int check_device(const char *call, int32_t device) {
    if (device < 0 || (uint32_t)device >= sim_device_count())
        return sim_fail(ACL_ERROR_RT_INVALID_DEVICEID, "%s: device %d, this machine has %u", call, device,
                        sim_device_count());
    return ACL_SUCCESS;
}

static sim_context *create_context_locked(int32_t device, bool is_primary) {
    sim_context *context = sim_object_create(ACLSIM_CONTEXT, sizeof *context, is_primary);
    if (context) {
        context->device = device;
        context->primary = is_primary;
        contexts++;
    }
    return context;
}

/* documented: makes a default context current for the calling thread. observed: later runtimes count references. */
aclError aclrtSetDevice(int32_t deviceId) {
    int rc = check_device("aclrtSetDevice", deviceId);
    if (rc != ACL_SUCCESS)
        return rc;
    sim_prepare();
    pthread_mutex_lock(&lock);
    if (!primary[deviceId].context)
        primary[deviceId].context = create_context_locked(deviceId, true);
    sim_context *context = primary[deviceId].context;
    if (context) {
        primary[deviceId].references++;
        current = context;
    }
    pthread_mutex_unlock(&lock);
    return context ? ACL_SUCCESS : sim_fail(ACL_ERROR_RT_MEMORY_ALLOCATION, "aclrtSetDevice: out of memory");
}

static int reset_device(const char *call, int32_t device, bool force) {
    int rc = check_device(call, device);
    if (rc != ACL_SUCCESS)
        return rc;
    pthread_mutex_lock(&lock);
    sim_context *gone = NULL;
    if (primary[device].references && (force || --primary[device].references == 0)) {
        gone = primary[device].context;
        primary[device].context = NULL;
        primary[device].references = 0;
        contexts--;
    }
    pthread_mutex_unlock(&lock);
    if (gone)
        sim_object_destroy(gone);
    return ACL_SUCCESS;
}

aclError aclrtResetDevice(int32_t deviceId) {
    return reset_device("aclrtResetDevice", deviceId, false);
}

aclError aclrtResetDeviceForce(int32_t deviceId) {
    return reset_device("aclrtResetDeviceForce", deviceId, true);
}

aclError aclrtGetDevice(int32_t *deviceId) {
    sim_context *context = sim_current_context();
    if (!deviceId)
        return sim_fail(ACL_ERROR_INVALID_PARAM, "aclrtGetDevice: NULL");
    if (!context)
        return sim_fail(ACL_ERROR_RT_CONTEXT_NULL, "aclrtGetDevice: this thread has no current context");
    *deviceId = context->device;
    return ACL_SUCCESS;
}

/* guessed: needs no aclInit, like aclrtGetRunMode. */
aclError aclrtGetDeviceCount(uint32_t *count) {
    if (!count)
        return sim_fail(ACL_ERROR_INVALID_PARAM, "aclrtGetDeviceCount: NULL");
    *count = sim_device_count();
    return ACL_SUCCESS;
}

/* documented: works without a context. */
aclError aclrtGetRunMode(aclrtRunMode *runMode) {
    if (!runMode)
        return sim_fail(ACL_ERROR_INVALID_PARAM, "aclrtGetRunMode: NULL");
    *runMode = sim_chip()->run_mode;
    return ACL_SUCCESS;
}

/* ---- contexts -------------------------------------------------------------------------------- */

/* documented: becomes current for the calling thread. */
aclError aclrtCreateContext(aclrtContext *context, int32_t deviceId) {
    if (!context)
        return sim_fail(ACL_ERROR_INVALID_PARAM, "aclrtCreateContext: NULL");
    int rc = check_device("aclrtCreateContext", deviceId);
    if (rc != ACL_SUCCESS)
        return rc;
    sim_prepare();
    pthread_mutex_lock(&lock);
    sim_context *made = create_context_locked(deviceId, false);
    pthread_mutex_unlock(&lock);
    if (!made)
        return sim_fail(ACL_ERROR_RT_MEMORY_ALLOCATION, "aclrtCreateContext: out of memory");
    current = made;
    *context = made;
    return ACL_SUCCESS;
}

static int check_context(const char *call, aclrtContext context) {
    if (!context)
        return sim_fail(ACL_ERROR_INVALID_PARAM, "%s: NULL", call);
    if (!sim_object_is(context, ACLSIM_CONTEXT))
        return sim_fail(ACL_ERROR_RT_CONTEXT_NULL, "%s: context %p is not alive", call, context); /* guessed */
    return ACL_SUCCESS;
}

/* documented: only explicit contexts. */
aclError aclrtDestroyContext(aclrtContext context) {
    int rc = check_context("aclrtDestroyContext", context);
    if (rc != ACL_SUCCESS)
        return rc;
    if (((sim_context *)context)->primary)
        return sim_fail(ACL_ERROR_INVALID_PARAM, "aclrtDestroyContext: a default context ends with aclrtResetDevice");
    sim_object_destroy(context);
    pthread_mutex_lock(&lock);
    contexts--;
    pthread_mutex_unlock(&lock);
    return ACL_SUCCESS;
}

aclError aclrtSetCurrentContext(aclrtContext context) {
    int rc = check_context("aclrtSetCurrentContext", context);
    if (rc == ACL_SUCCESS)
        current = context;
    return rc;
}

aclError aclrtGetCurrentContext(aclrtContext *context) {
    if (!context)
        return sim_fail(ACL_ERROR_INVALID_PARAM, "aclrtGetCurrentContext: NULL");
    sim_context *found = sim_current_context();
    if (!found)
        return sim_fail(ACL_ERROR_RT_CONTEXT_NULL, "aclrtGetCurrentContext: this thread has none");
    *context = found;
    return ACL_SUCCESS;
}
