// SPDX-License-Identifier: Apache-2.0
/* Initialisation, devices and contexts. */
#include "sim.h"

#include <stdio.h>
#include <string.h>

typedef struct device {
    unsigned references; /* aclrtSetDevice minus aclrtResetDevice */
    void *primary;       /* handle of the context that aclrtSetDevice makes, NULL without */
} device;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* references, primary, init_count */
static device devices[SIM_MAX_DEVICES];
static uint64_t init_count;

/* ---- state ------------------------------------------------------------------------------------------ */

static bool is_initialised(void) {
    pthread_mutex_lock(&lock);
    bool result = init_count != 0;
    pthread_mutex_unlock(&lock);
    return result;
}

void sim_runtime_reset(void) {
    pthread_mutex_lock(&lock);
    for (int id = 0; id < SIM_MAX_DEVICES; id++) {
        devices[id].references = 0;
        devices[id].primary = NULL;
    }
    init_count = 0;
    pthread_mutex_unlock(&lock);
    sim_device_reset();
    sim_self.context = NULL;
    sim_self.pending[0] = '\0';
    sim_self.last_error = ACL_SUCCESS;
    sim_error_of_process(false);
}

void sim_runtime_after_fork(void) {
    pthread_mutex_init(&lock, NULL);
}

int aclsim_lose_device(int32_t id, int32_t code) {
    if (id < 0 || (uint32_t)id >= sim_device_count())
        return -1;
    sim_device_lose(id, code);
    sim_reporter_wake_all();
    sim_stream_kick_all();
    sim_channel_kick_all();
    sim_mpi_kick_all();
    sim_mpi_wake_pollers();
    return 0;
}

static aclError check_chip(const char *function) {
    if (sim_profile_get() == NULL)
        return sim_fail_at(function, ACL_ERROR_RT_SOC_VERSION,
                           "ASCEND_VENC_SIM_SOC names no chip of the simulated device: it knows %s, %s, %s and %s",
                           sim_profile_name(0), sim_profile_name(1), sim_profile_name(2), sim_profile_name(3));
    return ACL_SUCCESS;
}

/* The device's id is good: 0, else a code with its text. */
static aclError check_device(const char *function, int32_t id) {
    aclError rc = check_chip(function);
    if (rc != ACL_SUCCESS)
        return rc;
    if (id < 0 || (uint32_t)id >= sim_device_count()) /* documented */
        return sim_fail_at(function, ACL_ERROR_RT_INVALID_DEVICEID,
                           "device %d does not exist: there %s %u (ASCEND_VENC_SIM_DEVICES: a number from 0 to %d)", id,
                           sim_device_count() == 1 ? "is" : "are", sim_device_count(), SIM_MAX_DEVICES);
    return ACL_SUCCESS;
}

/* ---- initialisation ------------------------------------------------------------------------------------ */

/*
 * Documented: the file must exist and hold JSON. All that it can choose here is err_msg_mode: "1" gives one error text
 * for the process.
 */
static aclError check_config(const char *function, const char *path, bool *one_text) {
    if (path == NULL || path[0] == '\0')
        return ACL_SUCCESS;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return sim_fail_at(function, ACL_ERROR_INVALID_FILE, "the configuration file %s cannot be opened", path);
    int first = ' ', depth = 0, c;
    bool in_text = false, good = true, is_mode = false;
    char word[sizeof "err_msg_mode" + 1]; /* the last text, cut off */
    size_t length = 0;
    while ((c = getc(file)) != EOF) {
        if (first <= ' ')
            first = c;
        if (in_text) {
            if (c == '\\') {
                getc(file);
            } else if (c != '"') {
                if (length < sizeof word - 1)
                    word[length++] = (char)c;
                continue;
            } else {
                in_text = false;
                word[length] = '\0';
                *one_text = *one_text || (is_mode && strcmp(word, "1") == 0);
                is_mode = !is_mode && depth == 1 && strcmp(word, "err_msg_mode") == 0;
            }
        } else if (c == '"') {
            in_text = true;
            length = 0;
        } else if (c == '{' || c == '[') {
            good = good && ++depth <= 10; /* documented */
        } else if (c == '}' || c == ']') {
            good = good && --depth >= 0;
        }
    }
    fclose(file);
    if (first != '{' || depth != 0 || in_text || !good)
        return sim_fail_at(function, ACL_ERROR_PARSE_FILE, "the configuration file %s is not JSON of at most 10 levels",
                           path);
    return ACL_SUCCESS;
}

aclError aclInit(const char *configPath) {
    SIM_ENTER(aclInit);
    bool one_text = false;
    aclError rc = check_chip(__func__);
    if (rc == ACL_SUCCESS)
        rc = check_config(__func__, configPath, &one_text);
    if (rc != ACL_SUCCESS)
        return rc;
    pthread_mutex_lock(&lock);
    uint64_t before = init_count++; /* documented for newer runtimes: a repetition counts as a reference */
    pthread_mutex_unlock(&lock);
    if (before != 0) /* documented */
        return FAIL(ACL_ERROR_REPEAT_INITIALIZE, "aclInit has been called before in this process");
    if (one_text)
        sim_error_of_process(true);
    return ACL_SUCCESS;
}

static aclError finalize(const char *function, bool all, uint64_t *left) {
    pthread_mutex_lock(&lock);
    bool was = init_count != 0;
    if (was)
        init_count = all ? 0 : init_count - 1;
    uint64_t now = init_count;
    pthread_mutex_unlock(&lock);
    if (left != NULL)
        *left = now;
    if (!was) /* documented */
        return sim_fail_at(function, ACL_ERROR_REPEAT_FINALIZE, "aclInit has not been called, or aclFinalize has been");
    if (now == 0)
        sim_error_of_process(false);
    if (now == 0 && sim_is_strict())
        sim_report_leaks(function);
    return ACL_SUCCESS;
}

aclError aclFinalize(void) {
    SIM_CALL(aclFinalize, finalize(__func__, true, NULL)); /* documented: ends all references */
}

aclError aclFinalizeReference(uint64_t *refCount) {
    SIM_CALL(aclFinalizeReference, finalize(__func__, false, refCount)); /* guessed: refCount may be NULL */
}

aclError aclrtGetVersion(int32_t *majorVersion, int32_t *minorVersion, int32_t *patchVersion) {
    SIM_ENTER(aclrtGetVersion);
    if (majorVersion == NULL || minorVersion == NULL || patchVersion == NULL)
        return FAIL(ACL_ERROR_INVALID_PARAM, "the three pointers must not be NULL");
    *majorVersion = 1; /* the oldest interface that has all that is exported here */
    *minorVersion = 16;
    *patchVersion = 0;
    return ACL_SUCCESS;
}

const char *aclrtGetSocName(void) {
    SIM_ENTER_VALUE(aclrtGetSocName, NULL);
    const sim_profile *profile = sim_profile_get();
    return profile != NULL ? profile->name : NULL;
}

/* ---- devices ------------------------------------------------------------------------------------------- */

/* A context of a device. NULL: out of memory. */
static sim_context *create_context(int32_t id, bool primary, const char *function, void *caller) {
    sim_context *context = sim_handle_new(SIM_CONTEXT, function, caller, primary);
    if (context == NULL)
        return NULL;
    context->device = id;
    context->primary = primary;
    sim_device_add_contexts(id, 1);
    return context;
}

/* Documented: what belongs to a context is to be destroyed before it. */
static void report_context_in_use(const void *handle, const sim_context *context, const char *function) {
    if (!sim_is_strict())
        return;
    unsigned open = sim_channel_in_context(handle), made = sim_stream_in_context(handle);
    if (open != 0 || made != 0)
        sim_report_at("context-in-use", function,
                      "destroy channels and streams before their context, and reset the device behind that",
                      "the context ends while %u channel%s and %u stream%s of it are alive; it was %s", open,
                      open == 1 ? "" : "s", made, made == 1 ? "" : "s",
                      sim_origin_format(&context->object.origin).text);
}

static bool end_context(void *handle, const char *function) {
    sim_context *context = sim_handle_get(SIM_CONTEXT, handle);
    if (context == NULL)
        return false;
    int32_t id = context->device;
    void *stream = atomic_load(&context->default_stream);
    report_context_in_use(handle, context, function);
    if (!sim_handle_end(SIM_CONTEXT, handle, function))
        return false;
    if (stream != NULL)
        sim_stream_end_default(function, stream);
    sim_device_add_contexts(id, -1);
    if (sim_self.context == handle)
        sim_self.context = NULL;
    return true;
}

static void report_uninitialised(const char *function) {
    if (sim_is_strict())
        sim_report_at("not-initialised", function, "call aclInit first, and look at its code",
                      "aclInit has not been called, it has failed, or aclFinalize has been called since");
}

aclError aclrtSetDevice(int32_t deviceId) {
    SIM_ENTER(aclrtSetDevice);
    aclError rc = check_device(__func__, deviceId);
    if (rc != ACL_SUCCESS)
        return rc;
    int lost = sim_device_lost(deviceId);
    if (lost != 0)
        return FAIL(lost, "device %d is lost", deviceId);
    if (!is_initialised()) /* guessed: nothing checks it */
        report_uninitialised(__func__);
    pthread_mutex_lock(&lock);
    device *d = &devices[deviceId];
    if (d->primary == NULL) {
        sim_context *context = create_context(deviceId, true, __func__, __builtin_return_address(0));
        d->primary = context != NULL ? sim_handle_of(SIM_CONTEXT, context) : NULL;
    }
    void *primary = d->primary;
    if (primary != NULL)
        d->references++;
    pthread_mutex_unlock(&lock);
    if (primary == NULL)
        return FAIL(ACL_ERROR_BAD_ALLOC, "out of memory");
    sim_self.context = primary;
    return ACL_SUCCESS;
}

typedef struct context_search {
    int32_t device;
    void *found;
} context_search;

static void find_context_of(void *object, void *arg) {
    context_search *search = arg;
    sim_context *context = object;
    if (context->device == search->device)
        search->found = sim_handle_of(SIM_CONTEXT, context);
}

static aclError reset_device(const char *function, int32_t id, bool force) {
    aclError rc = check_device(function, id);
    if (rc != ACL_SUCCESS)
        return rc;
    pthread_mutex_lock(&lock);
    device *d = &devices[id];
    bool was_set = d->references != 0;
    if (was_set)
        d->references = force ? 0 : d->references - 1;
    void *primary = d->references == 0 ? d->primary : NULL;
    if (primary != NULL)
        d->primary = NULL;
    pthread_mutex_unlock(&lock);
    /* Documented since 8.0, which has the call (guessed code). aclrtResetDevice is older: guessed to do nothing then. */
    if (!was_set && force)
        return sim_fail_at(function, ACL_ERROR_RT_CONTEXT_RELEASE_ERROR, "aclrtSetDevice has not set device %d", id);
    if (primary !=
        NULL) { /* documented: its tasks are waited for, and its streams released, those of the program too */
        rc = sim_stream_end_all(function, primary);
        end_context(primary, function);
    }
    while (force) { /* guessed: explicit contexts end too, with their streams */
        context_search search = {id, NULL};
        sim_handle_each(SIM_CONTEXT, find_context_of, &search);
        if (search.found == NULL)
            break;
        end_context(search.found, function);
        aclError ended = sim_stream_end_all(function, search.found);
        rc = rc == ACL_SUCCESS ? ended : rc;
    }
    return rc;
}

aclError aclrtResetDevice(int32_t deviceId) {
    SIM_CALL(aclrtResetDevice, reset_device(__func__, deviceId, false));
}

aclError aclrtResetDeviceForce(int32_t deviceId) {
    SIM_CALL(aclrtResetDeviceForce, reset_device(__func__, deviceId, true));
}

aclError aclrtGetDevice(int32_t *deviceId) {
    SIM_ENTER(aclrtGetDevice);
    if (deviceId == NULL)
        return FAIL(ACL_ERROR_INVALID_PARAM, "deviceId must not be NULL");
    sim_context *context = sim_current();
    if (context == NULL)
        return FAIL(ACL_ERROR_RT_CONTEXT_NULL, "this thread has no current context");
    *deviceId = context->device;
    return ACL_SUCCESS;
}

aclError aclrtGetDeviceCount(uint32_t *count) {
    SIM_ENTER(aclrtGetDeviceCount);
    if (count == NULL)
        return FAIL(ACL_ERROR_INVALID_PARAM, "count must not be NULL");
    aclError rc = check_chip(__func__);
    if (rc != ACL_SUCCESS)
        return rc;
    *count = sim_device_count();
    return ACL_SUCCESS;
}

/* Guessed: a device that is lost is the abnormal one. */
aclError aclrtQueryDeviceStatus(int32_t deviceId, aclrtDeviceStatus *deviceStatus) {
    SIM_ENTER(aclrtQueryDeviceStatus);
    if (deviceStatus == NULL)
        return FAIL(ACL_ERROR_INVALID_PARAM, "deviceStatus must not be NULL");
    aclError rc = check_device(__func__, deviceId);
    if (rc == ACL_SUCCESS)
        *deviceStatus = sim_device_lost(deviceId) == 0 ? ACL_RT_DEVICE_STATUS_NORMAL : ACL_RT_DEVICE_STATUS_ABNORMAL;
    return rc;
}

aclError aclrtGetRunMode(aclrtRunMode *runMode) {
    SIM_ENTER(aclrtGetRunMode);
    if (runMode == NULL)
        return FAIL(ACL_ERROR_INVALID_PARAM, "runMode must not be NULL");
    *runMode = sim_host_mode() ? ACL_HOST : ACL_DEVICE; /* documented: needs no context */
    return ACL_SUCCESS;
}

static aclError wait_device(const char *function, uint64_t deadline) {
    sim_context *context = sim_current();
    if (context == NULL)
        return sim_fail_at(function, ACL_ERROR_RT_CONTEXT_NULL, "this thread has no current context");
    int lost = sim_device_lost(context->device);
    if (lost != 0)
        return sim_fail_at(function, lost, "device %d is lost", context->device);
    aclError rc = sim_channel_wait_device(function, context->device, deadline);
    return rc == ACL_SUCCESS ? sim_stream_wait_device(function, context->device, deadline) : rc;
}

aclError aclrtSynchronizeDevice(void) {
    SIM_ENTER(aclrtSynchronizeDevice);
    return wait_device(__func__, UINT64_MAX);
}

/* Documented: 507046 when the time is over. */
aclError aclrtSynchronizeDeviceWithTimeout(int32_t timeout) {
    SIM_ENTER(aclrtSynchronizeDeviceWithTimeout);
    if (timeout == 0 || timeout < -1)
        return FAIL(ACL_ERROR_INVALID_PARAM, "timeout is %d, allowed are -1 and positive numbers of ms", timeout);
    return wait_device(__func__, timeout < 0 ? UINT64_MAX : sim_now_ns() + (uint64_t)timeout * 1000000u);
}

/* ---- contexts ------------------------------------------------------------------------------------------- */

aclError aclrtCreateContext(aclrtContext *context, int32_t deviceId) {
    SIM_ENTER(aclrtCreateContext);
    if (context == NULL)
        return FAIL(ACL_ERROR_INVALID_PARAM, "context must not be NULL");
    aclError rc = check_device(__func__, deviceId);
    if (rc != ACL_SUCCESS)
        return rc;
    int lost = sim_device_lost(deviceId);
    if (lost != 0)
        return FAIL(lost, "device %d is lost", deviceId);
    if (!is_initialised()) /* guessed: nothing checks it */
        report_uninitialised(__func__);
    sim_context *created = create_context(deviceId, false, __func__, __builtin_return_address(0));
    if (created == NULL)
        return FAIL(ACL_ERROR_BAD_ALLOC, "out of memory");
    *context = sim_handle_of(SIM_CONTEXT, created);
    sim_self.context = *context; /* documented: current at once */
    return ACL_SUCCESS;
}

static aclError destroy_context(const char *function, aclrtContext context) {
    if (context == NULL)
        return sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "context must not be NULL");
    sim_context *found = sim_handle_get(SIM_CONTEXT, context);
    if (found != NULL && found->primary) /* documented: only explicit ones; guessed code */
        return sim_fail_at(function, ACL_ERROR_RT_PARAM_INVALID,
                           "this context is aclrtSetDevice's own: aclrtResetDevice ends it");
    if (found == NULL || !end_context(context, function)) {
        if (sim_is_strict())
            sim_report_stale(SIM_CONTEXT, context, function);
        return sim_fail_at(function, ACL_ERROR_RT_CONTEXT_NULL, "%p is no live context", context); /* guessed code */
    }
    return ACL_SUCCESS;
}

aclError aclrtDestroyContext(aclrtContext context) {
    SIM_CALL(aclrtDestroyContext, destroy_context(__func__, context));
}

aclError aclrtSetCurrentContext(aclrtContext context) {
    SIM_ENTER(aclrtSetCurrentContext);
    if (context == NULL) /* documented, and met in real programs */
        return FAIL(ACL_ERROR_INVALID_PARAM, "context must not be NULL");
    if (sim_handle_get(SIM_CONTEXT, context) == NULL) {
        STALE(SIM_CONTEXT, context);
        return FAIL(ACL_ERROR_RT_CONTEXT_NULL, "%p is no live context", context); /* guessed code */
    }
    sim_self.context = context;
    return ACL_SUCCESS;
}

aclError aclrtGetCurrentContext(aclrtContext *context) {
    SIM_ENTER(aclrtGetCurrentContext);
    if (context == NULL)
        return FAIL(ACL_ERROR_INVALID_PARAM, "context must not be NULL");
    if (sim_current() == NULL)
        return FAIL(ACL_ERROR_RT_CONTEXT_NULL, "this thread has no current context");
    *context = sim_self.context;
    return ACL_SUCCESS;
}
