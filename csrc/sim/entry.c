// SPDX-License-Identifier: Apache-2.0
/* What every AscendCL call begins with: armed faults, counting, tracing; the error text of a thread. */
#include "sim.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    WATCH_FAULTS = 1,
    WATCH_COUNT = 2,
    WATCH_TRACE = 4,
    WATCH_FRAMES = 8,
    MAX_FAULTS = 16,
    ANY_FUNCTION = -1,
};

_Thread_local sim_thread sim_self;
atomic_int sim_watch;
atomic_bool sim_log_on;

static const char *const names[] = {
#define X(library, presence, ret, name, params) #name,
    ACL_FUNCTIONS(X)
#undef X
};

const char *sim_function_name(int function) {
    return function >= 0 && function < SIM_FN_COUNT ? names[function] : "?";
}

/* SIM_FN_*, ANY_FUNCTION for "*", or -2. */
static int find_function(const char *name) {
    if (name == NULL)
        return -2;
    if (strcmp(name, "*") == 0)
        return ANY_FUNCTION;
    for (int i = 0; i < SIM_FN_COUNT; i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    return -2;
}

/* ---- time -------------------------------------------------------------------------------------- */

uint64_t sim_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void sim_cond_init(pthread_cond_t *cond) {
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

bool sim_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t deadline_ns) {
    struct timespec until = {.tv_sec = (time_t)(deadline_ns / 1000000000u),
                             .tv_nsec = (long)(deadline_ns % 1000000000u)};
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    int rc = pthread_cond_timedwait(cond, mutex, &until);
    pthread_setcancelstate(state, NULL);
    return rc != ETIMEDOUT;
}

/* ---- error text ---------------------------------------------------------------------------------- */

/* The text of the process; the lock is a leaf. */
static pthread_mutex_t text_lock = PTHREAD_MUTEX_INITIALIZER;
static char text_of_process[sizeof sim_self.pending];
static atomic_bool one_text;

void sim_error_of_process(bool on) {
    pthread_mutex_lock(&text_lock);
    text_of_process[0] = '\0';
    atomic_store(&one_text, on);
    pthread_mutex_unlock(&text_lock);
}

/* Documented: newest first. */
static void add_line(char *text, size_t size, const char *line) {
    size_t length = strlen(line), old = strlen(text);
    if (old != 0 && length + 1 < size) {
        if (length + 1 + old >= size)
            old = size - length - 2;
        memmove(text + length + 1, text, old);
        text[length] = '\n';
        text[length + 1 + old] = '\0';
        memcpy(text, line, length);
    } else {
        snprintf(text, size, "%s", line);
    }
}

aclError sim_fail_at(const char *function, aclError code, const char *format, ...) {
    char line[1024];
    int used = snprintf(line, sizeof line, "%s: ", function);
    va_list args;
    va_start(args, format);
    vsnprintf(line + used, sizeof line - (size_t)used, format, args);
    va_end(args);
    if (atomic_load_explicit(&one_text, memory_order_relaxed)) {
        pthread_mutex_lock(&text_lock);
        add_line(text_of_process, sizeof text_of_process, line);
        pthread_mutex_unlock(&text_lock);
    } else {
        add_line(sim_self.pending, sizeof sim_self.pending, line);
    }
    if (sim_self.call != NULL)
        sim_self.call->code = code;
    if (atomic_load_explicit(&sim_log_on, memory_order_relaxed))
        sim_log("%s -> %d", line, code);
    return code;
}

const char *aclGetRecentErrMsg(void) {
    SIM_ENTER_VALUE(aclGetRecentErrMsg, NULL);
    /* Documented: read and clear, one text per thread unless aclInit was told otherwise, NULL when nothing is pending. */
    if (atomic_load_explicit(&one_text, memory_order_relaxed)) {
        pthread_mutex_lock(&text_lock);
        memcpy(sim_self.pending, text_of_process, sizeof text_of_process);
        text_of_process[0] = '\0';
        pthread_mutex_unlock(&text_lock);
    }
    if (sim_self.pending[0] == '\0')
        return NULL;
    memcpy(sim_self.shown, sim_self.pending, sizeof sim_self.shown);
    sim_self.pending[0] = '\0';
    return sim_self.shown;
}

void sim_log(const char *format, ...) {
    if (!atomic_load_explicit(&sim_log_on, memory_order_relaxed))
        return;
    char line[1200] = "ascend simulated device: ";
    size_t used = strlen(line);
    va_list args;
    va_start(args, format);
    vsnprintf(line + used, sizeof line - used - 1, format, args);
    va_end(args);
    strcat(line, "\n");
    ssize_t ignored = write(STDERR_FILENO, line, strlen(line));
    (void)ignored;
}

void aclAppLog(int32_t logLevel, const char *func, const char *file, uint32_t line, const char *fmt, ...) {
    static const char *const levels[] = {"DEBUG", "INFO", "WARNING", "ERROR"}; /* documented: aclLogLevel */
    if (!atomic_load_explicit(&sim_log_on, memory_order_relaxed) || fmt == NULL)
        return;
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    /* guessed: how the line looks */
    sim_log("[%s] %s:%u %s: %s", logLevel >= 0 && logLevel < 4 ? levels[logLevel] : "?", file != NULL ? file : "?",
            line, func != NULL ? func : "?", text);
}

/* ---- faults ------------------------------------------------------------------------------------------ */

typedef struct fault {
    bool armed, persistent;
    int function;
    int32_t code;
    uint64_t left; /* calls until it strikes */
} fault;

typedef struct frame_fault {
    bool armed, persistent;
    int action;
    uint32_t value;
    uint64_t left;
} frame_fault;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* everything below */
static fault faults[MAX_FAULTS];
static frame_fault frame_faults[MAX_FAULTS];
static uint64_t struck;
static uint64_t calls[SIM_FN_COUNT];
static FILE *trace_file;

static void update_watch_locked(int bit, bool on) {
    if (on)
        atomic_fetch_or(&sim_watch, bit);
    else
        atomic_fetch_and(&sim_watch, ~bit);
}

static int strike_locked(int function) {
    int code = 0;
    for (int i = 0; i < MAX_FAULTS; i++) {
        fault *f = &faults[i];
        if (!f->armed || (f->function != ANY_FUNCTION && f->function != function))
            continue;
        if (f->left > 1) {
            f->left--;
            continue;
        }
        if (!f->persistent)
            f->armed = false;
        struck++;
        if (code == 0)
            code = f->code;
    }
    return code;
}

int sim_enter_watched(sim_call *call, int function) {
    int watch = atomic_load(&sim_watch);
    int code = 0;
    pthread_mutex_lock(&lock);
    if (watch & WATCH_COUNT)
        calls[function]++;
    if (watch & WATCH_FAULTS)
        code = strike_locked(function);
    pthread_mutex_unlock(&lock);
    call->function = function;
    call->code = 0;
    call->start_ns = watch & WATCH_TRACE ? sim_now_ns() : 0;
    call->outer = sim_self.call;
    sim_self.call = call;
    if (code != 0)
        sim_fail_at(names[function], code, "failed on purpose by aclsim_fail_call");
    return code;
}

static void trace_line(const char *line, size_t length) {
    pthread_mutex_lock(&lock);
    if (trace_file != NULL)
        fwrite(line, 1, length, trace_file);
    pthread_mutex_unlock(&lock);
}

static long thread_id(void) {
    static _Thread_local long id;
    if (id == 0)
        id = syscall(SYS_gettid);
    return id;
}

void sim_leave_watched(sim_call *call) {
    sim_self.call = call->outer;
    if (call->start_ns == 0)
        return;
    char line[256];
    int length =
        snprintf(line, sizeof line, "{\"t\": %.6f, \"thread\": %ld, \"call\": \"%s\", \"code\": %d, \"us\": %.1f}\n",
                 (double)call->start_ns / 1e9, thread_id(), names[call->function], call->code,
                 (double)(sim_now_ns() - call->start_ns) / 1e3);
    trace_line(line, (size_t)length);
}

bool sim_tracing(void) {
    return (atomic_load_explicit(&sim_watch, memory_order_relaxed) & WATCH_TRACE) != 0;
}

void sim_trace_event(const char *event, const char *format, ...) {
    char line[512];
    int used = snprintf(line, sizeof line, "{\"t\": %.6f, \"thread\": %ld, \"event\": \"%s\"",
                        (double)sim_now_ns() / 1e9, thread_id(), event);
    va_list args;
    va_start(args, format);
    used += vsnprintf(line + used, sizeof line - (size_t)used, format, args);
    va_end(args);
    if ((size_t)used > sizeof line - 3)
        return;
    strcpy(line + used, "}\n");
    trace_line(line, (size_t)used + 2);
}

int sim_frame_fault(uint32_t *value) {
    int action = SIM_FRAME_NONE;
    if (!(atomic_load_explicit(&sim_watch, memory_order_relaxed) & WATCH_FRAMES))
        return action;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MAX_FAULTS; i++) {
        frame_fault *f = &frame_faults[i];
        if (!f->armed)
            continue;
        if (f->left > 1) {
            f->left--;
            continue;
        }
        if (!f->persistent)
            f->armed = false;
        struck++;
        if (action == SIM_FRAME_NONE) {
            action = f->action;
            *value = f->value;
        }
    }
    pthread_mutex_unlock(&lock);
    return action;
}

int aclsim_fail_call(const char *function, uint64_t nth, int32_t code, int persistent) {
    int index = find_function(function);
    if (index == -2 || nth == 0 || code == 0)
        return -1;
    int result = -1;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MAX_FAULTS && result != 0; i++) {
        if (faults[i].armed)
            continue;
        faults[i] = (fault){true, persistent != 0, index, code, nth};
        update_watch_locked(WATCH_FAULTS, true);
        result = 0;
    }
    pthread_mutex_unlock(&lock);
    return result;
}

int aclsim_fail_frame(uint64_t nth, int action, uint32_t value, int persistent) {
    if (nth == 0 || action < ACLSIM_FRAME_RET_CODE || action > ACLSIM_FRAME_DELAY)
        return -1;
    int result = -1;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MAX_FAULTS && result != 0; i++) {
        if (frame_faults[i].armed)
            continue;
        frame_faults[i] = (frame_fault){true, persistent != 0, action, value, nth};
        update_watch_locked(WATCH_FRAMES, true);
        result = 0;
    }
    pthread_mutex_unlock(&lock);
    return result;
}

uint64_t aclsim_clear_faults(void) {
    pthread_mutex_lock(&lock);
    memset(faults, 0, sizeof faults);
    memset(frame_faults, 0, sizeof frame_faults);
    uint64_t result = struck;
    struck = 0;
    update_watch_locked(WATCH_FAULTS | WATCH_FRAMES, false);
    pthread_mutex_unlock(&lock);
    return result;
}

void aclsim_count_calls(int on) {
    pthread_mutex_lock(&lock);
    if (on)
        memset(calls, 0, sizeof calls);
    update_watch_locked(WATCH_COUNT, on != 0);
    pthread_mutex_unlock(&lock);
}

uint64_t aclsim_calls(const char *function) {
    int index = find_function(function);
    uint64_t sum = 0;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < SIM_FN_COUNT; i++)
        if (index == ANY_FUNCTION || index == i)
            sum += calls[i];
    pthread_mutex_unlock(&lock);
    return sum;
}

int aclsim_trace(const char *path) {
    FILE *file = NULL;
    if (path != NULL) {
        file = fopen(path, "we");
        if (file == NULL)
            return -1;
        setvbuf(file, NULL, _IOLBF, 4096);
    }
    pthread_mutex_lock(&lock);
    FILE *before = trace_file;
    trace_file = file;
    update_watch_locked(WATCH_TRACE, file != NULL);
    pthread_mutex_unlock(&lock);
    if (before != NULL)
        fclose(before);
    return 0;
}

void sim_entry_reset(void) {
    aclsim_clear_faults();
    aclsim_count_calls(0);
    aclsim_trace(NULL);
}

void sim_entry_after_fork(void) {
    pthread_mutex_init(&text_lock, NULL);
    pthread_mutex_init(&lock, NULL);
    sim_self.call = NULL;
}
