// SPDX-License-Identifier: Apache-2.0
/* Strict mode: misuse that hardware would punish later is reported when it happens. */
#include "sim.h"

#include <execinfo.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { KEPT = 256 };

atomic_bool sim_strict;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *texts[KEPT];
static uint64_t count;
static _Atomic uint64_t objects;

/* ---- where a call comes from --------------------------------------------------------------------- */

static _Thread_local const char *place; /* in the program, told by a binding */
static char binding[512];               /* path of the shared object that tells places; lock */

/* The path of the shared object that a code address is in: all of "path(symbol+0x12) [0x34]" before the parenthesis. */
static bool path_of(void *address, char *path, size_t size) {
    char **symbol = backtrace_symbols(&address, 1);
    if (symbol == NULL)
        return false;
    snprintf(path, size, "%.*s", (int)strcspn(symbol[0], "("), symbol[0]);
    free(symbol);
    return true;
}

void aclsim_set_caller(const char *text) {
    if (place == NULL && text != NULL && sim_is_strict()) {
        char path[sizeof binding];
        if (path_of(__builtin_return_address(0), path, sizeof path)) {
            pthread_mutex_lock(&lock);
            memcpy(binding, path, sizeof binding);
            pthread_mutex_unlock(&lock);
        }
    }
    place = text;
}

/* Whether a code address is in the shared object that tells places. */
static bool is_binding(void *address) {
    char path[sizeof binding];
    if (!path_of(address, path, sizeof path))
        return false;
    pthread_mutex_lock(&lock);
    bool same = strcmp(path, binding) == 0;
    pthread_mutex_unlock(&lock);
    return same;
}

const char *sim_calling_place(void) {
    char own[sizeof binding], path[sizeof binding];
    void *frames[32];
    if (place == NULL || !path_of((void *)(uintptr_t)sim_calling_place, own, sizeof own))
        return NULL;
    int depth = backtrace(frames, 32);
    for (int i = 0; i < depth; i++)
        if (path_of(frames[i], path, sizeof path) && strcmp(path, own) != 0)
            return is_binding(frames[i]) ? place : NULL;
    return NULL;
}

void sim_origin_set(sim_origin *origin, const char *function, void *caller) {
    static _Thread_local long thread;
    if (thread == 0)
        thread = syscall(SYS_gettid);
    origin->function = function;
    origin->number = atomic_fetch_add_explicit(&objects, 1, memory_order_relaxed) + 1;
    origin->thread = thread;
    origin->caller = NULL;
    origin->place = NULL;
    origin->name[0] = '\0';
    if (sim_is_strict()) {
        origin->caller = caller;
        origin->place = place;
        pthread_getname_np(pthread_self(), origin->name, sizeof origin->name);
    }
}

sim_origin_text sim_origin_format(const sim_origin *origin) {
    sim_origin_text result;
    char *text = result.text;
    size_t size = sizeof result.text;
    int used = snprintf(text, size, "created by %s (object %llu) on thread %ld", origin->function,
                        (unsigned long long)origin->number, origin->thread);
    if (origin->name[0] != '\0' && (size_t)used < size)
        used += snprintf(text + used, size - (size_t)used, " \"%s\"", origin->name);
    if (origin->place != NULL && (size_t)used < size && is_binding(origin->caller)) {
        snprintf(text + used, size - (size_t)used, " called from %s", origin->place);
    } else if (origin->caller != NULL && (size_t)used < size) {
        void *address = origin->caller;
        char **symbol = backtrace_symbols(&address, 1);
        if (symbol != NULL)
            snprintf(text + used, size - (size_t)used, " called from %s", symbol[0]);
        free(symbol);
    }
    return result;
}

static void report(const char *kind, const char *function, const char *where, const char *fix, const char *format,
                   va_list args) {
    char text[1900];
    int used = snprintf(text, sizeof text, "[%s] %s%s%s: ", kind, function, where != NULL ? ", called from " : "",
                        where != NULL ? where : "");
    used += vsnprintf(text + used, sizeof text - (size_t)used, format, args);
    if ((size_t)used < sizeof text)
        used += snprintf(text + used, sizeof text - (size_t)used, " | fix: %s", fix);
    if ((size_t)used >= sizeof text)
        used = sizeof text - 1;
    pthread_mutex_lock(&lock);
    if (count < KEPT)
        texts[count] = strdup(text);
    count++;
    pthread_mutex_unlock(&lock);
    if (sim_tracing())
        sim_trace_event("report", ", \"kind\": \"%s\", \"in\": \"%s\"", kind, function);
    if (atomic_load(&sim_option.quiet))
        return;
    char line[2000];
    int length = snprintf(line, sizeof line, "ascend simulated device, strict mode: %s\n", text);
    ssize_t ignored = write(STDERR_FILENO, line, (size_t)length);
    (void)ignored;
}

void sim_report_at(const char *kind, const char *function, const char *fix, const char *format, ...) {
    va_list args;
    va_start(args, format);
    report(kind, function, sim_calling_place(), fix, format, args);
    va_end(args);
}

void sim_report_of(const char *kind, const char *function, const char *where, const char *fix, const char *format,
                   ...) {
    va_list args;
    va_start(args, format);
    report(kind, function, where, fix, format, args);
    va_end(args);
}

void aclsim_report(const char *kind, const char *function, const char *fix, const char *what) {
    if (sim_is_strict())
        sim_report_at(kind, function, fix, "%s", what);
}

uint64_t aclsim_report_count(void) {
    pthread_mutex_lock(&lock);
    uint64_t result = count;
    pthread_mutex_unlock(&lock);
    return result;
}

const char *aclsim_report_text(uint64_t index) {
    pthread_mutex_lock(&lock);
    const char *text = index < count && index < KEPT ? texts[index] : NULL;
    pthread_mutex_unlock(&lock);
    return text;
}

void aclsim_clear_reports(void) {
    pthread_mutex_lock(&lock);
    for (int i = 0; i < KEPT; i++) {
        free(texts[i]);
        texts[i] = NULL;
    }
    count = 0;
    pthread_mutex_unlock(&lock);
}

int aclsim_set_strict(int on) {
    return atomic_exchange(&sim_strict, on != 0);
}

void sim_strict_after_fork(void) {
    pthread_mutex_init(&lock, NULL);
}
