// SPDX-License-Identifier: Apache-2.0
/* Failures per thread, live-object counters, fork generation, clock and thread start. */
#define _GNU_SOURCE
#include "engine.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static _Thread_local avenc_failure failure;

const avenc_failure *avenc_last_failure(void) {
    return &failure;
}

static void set_call(int code, const char *call) {
    failure.code = code;
    snprintf(failure.call, sizeof failure.call, "%s", call ? call : "");
}

int avi_fail(int code, const char *call, const char *format, ...) {
    va_list args;
    set_call(code, call);
    va_start(args, format);
    vsnprintf(failure.detail, sizeof failure.detail, format, args);
    va_end(args);
    return code;
}

int avi_fail_acl(const acl_api *api, int code, const char *call) {
    const char *text = api->aclGetRecentErrMsg ? api->aclGetRecentErrMsg() : NULL;
    set_call(code, call);
    snprintf(failure.detail, sizeof failure.detail, "%s", text ? text : "");
    return code;
}

/* ---- live objects ---------------------------------------------------------------------------- */

static atomic_llong live[AVENC_LIVE_COUNT];

static const char *const live_names[AVENC_LIVE_COUNT] = {
#define NAME(name, index) [AVENC_LIVE_##name] = #name,
    AVENC_LIVE_KINDS(NAME)
#undef NAME
};

void avi_live_add(int kind, int delta) {
    /* Relaxed: a count, never used to order other memory. */
    atomic_fetch_add_explicit(&live[kind], delta, memory_order_relaxed);
}

int64_t avenc_live(int kind) {
    if (kind < 0 || kind >= AVENC_LIVE_COUNT)
        return -1;
    return atomic_load_explicit(&live[kind], memory_order_relaxed);
}

const char *avenc_live_name(int kind) {
    return kind < 0 || kind >= AVENC_LIVE_COUNT ? NULL : live_names[kind];
}

/* ---- fork ------------------------------------------------------------------------------------ */

static atomic_uint generation;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

/* Runs in the child, perhaps without Python's lock and with other threads' mutexes held for ever. */
static void count_fork(void) {
    atomic_fetch_add_explicit(&generation, 1, memory_order_relaxed);
    avi_loader_after_fork();
    avi_device_after_fork();
    avi_assistant_after_fork();
    for (int kind = 0; kind < AVENC_LIVE_COUNT; kind++)
        atomic_store_explicit(&live[kind], 0, memory_order_relaxed);
}

static void register_fork_handler(void) {
    pthread_atfork(NULL, NULL, count_fork);
}

uint32_t avi_generation(void) {
    pthread_once(&fork_once, register_fork_handler);
    return atomic_load_explicit(&generation, memory_order_relaxed);
}

int avi_fail_forked(const char *call) {
    return avi_fail(AVENC_E_FORKED, call,
                    "the object was created before fork(); a device cannot be shared by two "
                    "processes: open a new one in the child, or start the child with spawn");
}

/* ---- clock, waiting, threads ------------------------------------------------------------------- */

uint64_t avi_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void avi_cond_init(pthread_cond_t *cond) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attributes);
    pthread_condattr_destroy(&attributes);
}

void avi_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t deadline_ns) {
    struct timespec until = {.tv_sec = (time_t)(deadline_ns / 1000000000u),
                             .tv_nsec = (long)(deadline_ns % 1000000000u)};
    pthread_cond_timedwait(cond, mutex, &until);
}

int avi_thread_start(pthread_t *thread, const char *name, void *(*body)(void *), void *arg) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(thread, NULL, body, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0)
        return avi_fail(AVENC_E_THREAD, "pthread_create", "%s", strerror(rc));
    pthread_setname_np(*thread, name);
    return AVENC_OK;
}
