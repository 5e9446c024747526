// SPDX-License-Identifier: Apache-2.0
#include "base/status.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static _Thread_local avenc_failure last;

/* Of `last`, whose text is still to be made. */
static _Thread_local struct {
    const char *call, *format; /* NULL: it is made */
    uint32_t numbers[5];
} unwritten;

static void set_call(int code, const char *call) {
    unwritten.format = NULL;
    last.code = code;
    size_t length = call ? strnlen(call, sizeof last.call - 1) : 0;
    memcpy(last.call, call ? call : "", length);
    last.call[length] = '\0';
}

int avi_fail(int code, const char *call, const char *format, ...) {
    va_list args;
    set_call(code, call);
    va_start(args, format);
    vsnprintf(last.detail, sizeof last.detail, format, args);
    va_end(args);
    return code;
}

int avi_fail_numbers(int code, const char *call, const char *format, uint32_t a, uint32_t b, uint32_t c, uint32_t d,
                     uint32_t e) {
    last.code = code;
    unwritten.call = call;
    unwritten.format = format;
    memcpy(unwritten.numbers, (const uint32_t[]){a, b, c, d, e}, sizeof unwritten.numbers);
    return code;
}

const avenc_failure *avenc_last_failure(void) {
    const char *format = unwritten.format;
    const uint32_t *n = unwritten.numbers;
    if (format) {
        set_call(last.code, unwritten.call);
        snprintf(last.detail, sizeof last.detail, format, n[0], n[1], n[2], n[3], n[4]);
    }
    return &last;
}

int avi_fail_acl(const acl_api *api, int code, const char *call) {
    const char *text = api->aclGetRecentErrMsg ? api->aclGetRecentErrMsg() : NULL;
    set_call(code, call);
    snprintf(last.detail, sizeof last.detail, "%s", text ? text : "");
    return code;
}

int avi_fail_again(const avenc_failure *failure) {
    if (failure != &last)
        last = *failure;
    unwritten.format = NULL;
    return failure->code;
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

enum { MAX_MODULES = 16 };

static atomic_uint generation;
static void (*children[MAX_MODULES])(void);
static unsigned child_count;

/* Runs in the child, perhaps without Python's lock and with other threads' mutexes held for ever. */
static void in_child(void) {
    atomic_fetch_add_explicit(&generation, 1, memory_order_relaxed);
    for (unsigned i = 0; i < child_count; i++)
        children[i]();
    for (int kind = 0; kind < AVENC_LIVE_COUNT; kind++)
        atomic_store_explicit(&live[kind], 0, memory_order_relaxed);
}

/* Constructors of one library run one after another, on one thread. */
void avi_on_fork(void (*child)(void)) {
    if (child_count == 0)
        pthread_atfork(NULL, NULL, in_child);
    if (child_count < MAX_MODULES)
        children[child_count++] = child;
}

uint32_t avi_generation(void) {
    return atomic_load_explicit(&generation, memory_order_relaxed);
}

int avi_fail_forked(const char *call) {
    return avi_fail(AVENC_E_FORKED, call,
                    "the object was created before fork(); a device cannot be shared by two "
                    "processes: open a new one in the child, or start the child with spawn");
}
