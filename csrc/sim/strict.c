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

void sim_origin_set(sim_origin *origin, const char *function, void *caller) {
    static _Thread_local long thread;
    if (thread == 0)
        thread = syscall(SYS_gettid);
    origin->function = function;
    origin->number = atomic_fetch_add_explicit(&objects, 1, memory_order_relaxed) + 1;
    origin->thread = thread;
    origin->caller = NULL;
    origin->name[0] = '\0';
    if (sim_is_strict()) {
        origin->caller = caller;
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
    if (origin->caller != NULL && (size_t)used < size) {
        void *address = origin->caller;
        char **symbol = backtrace_symbols(&address, 1);
        if (symbol != NULL)
            snprintf(text + used, size - (size_t)used, " called from %s", symbol[0]);
        free(symbol);
    }
    return result;
}

void sim_report_at(const char *kind, const char *function, const char *fix, const char *format, ...) {
    char text[1400];
    int used = snprintf(text, sizeof text, "[%s] %s: ", kind, function);
    va_list args;
    va_start(args, format);
    used += vsnprintf(text + used, sizeof text - (size_t)used, format, args);
    va_end(args);
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
    char line[1500];
    int length = snprintf(line, sizeof line, "ascend simulated device, strict mode: %s\n", text);
    ssize_t ignored = write(STDERR_FILENO, line, (size_t)length);
    (void)ignored;
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
