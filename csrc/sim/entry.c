// SPDX-License-Identifier: Apache-2.0
/* What every AscendCL call begins with: faults that strike, counting, tracing; the error text of a thread. */
#include "sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

_Thread_local sim_thread sim_self;
atomic_bool sim_log_on;

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
    if (strncmp(function, "aclrt", 5) == 0) /* documented: the runtime's codes; guessed: of which functions they are */
        sim_self.last_error = code;
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

static aclError last_error(const char *function, aclrtLastErrLevel level, bool take) {
    if (level != ACL_RT_THREAD_LEVEL) /* documented: there is no other; guessed code */
        return sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "level %d err, should be 0", level);
    aclError code = sim_self.last_error;
    if (take)
        sim_self.last_error = ACL_SUCCESS;
    return code;
}

aclError aclrtPeekAtLastError(aclrtLastErrLevel level) {
    SIM_ENTER(aclrtPeekAtLastError);
    return last_error(__func__, level, false);
}

aclError aclrtGetLastError(aclrtLastErrLevel level) {
    SIM_ENTER(aclrtGetLastError);
    return last_error(__func__, level, true);
}

static void write_line(const char *format, va_list args) {
    char line[1200] = "ascend simulated device: ";
    size_t used = strlen(line);
    vsnprintf(line + used, sizeof line - used - 1, format, args);
    strcat(line, "\n");
    ssize_t ignored = write(STDERR_FILENO, line, strlen(line));
    (void)ignored;
}

void sim_log(const char *format, ...) {
    if (!atomic_load_explicit(&sim_log_on, memory_order_relaxed))
        return;
    va_list args;
    va_start(args, format);
    write_line(format, args);
    va_end(args);
}

void sim_say_once(atomic_bool *said, const char *format, ...) {
    bool shown = atomic_load_explicit(&sim_log_on, memory_order_relaxed) || sim_is_strict();
    if (shown || atomic_load(&sim_option.quiet) != 0 || atomic_exchange(said, true))
        return;
    va_list args;
    va_start(args, format);
    write_line(format, args);
    va_end(args);
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

/* ---- counting and tracing -------------------------------------------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* the next two */
static uint64_t calls[SIM_FN_COUNT];
static FILE *trace_file;

int sim_enter_watched(sim_call *call, int function) {
    int watch = atomic_load(&sim_watch);
    if (watch & WATCH_COUNT) {
        pthread_mutex_lock(&lock);
        calls[function]++;
        pthread_mutex_unlock(&lock);
    }
    sim_strike strike = watch & WATCH_FAULTS ? sim_fault_strike(function) : (sim_strike){0};
    call->function = function;
    call->code = 0;
    call->works = strike.works;
    call->hang_after = strike.hang_after;
    call->clearings = strike.clearings;
    call->start_ns = watch & WATCH_TRACE ? sim_now_ns() : 0;
    call->outer = sim_self.call;
    sim_self.call = call;
    if (strike.hang_before)
        sim_hang(function, strike.clearings);
    if (strike.code != 0 && !strike.works)
        sim_fail_at(sim_function_name(function), strike.code, "failed on purpose by aclsim_fail_call");
    return strike.code;
}

aclError sim_fail_after(const sim_call *call, aclError done, aclError code) {
    if (done != ACL_SUCCESS)
        return done;
    return sim_fail_at(sim_function_name(call->function), code,
                       "has done its work, and failed on purpose by aclsim_fail_call_after");
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
    if (call->hang_after)
        sim_hang(call->function, call->clearings);
    sim_self.call = call->outer;
    if (call->start_ns == 0)
        return;
    char line[256];
    int length =
        snprintf(line, sizeof line, "{\"t\": %.6f, \"thread\": %ld, \"call\": \"%s\", \"code\": %d, \"us\": %.1f}\n",
                 (double)call->start_ns / 1e9, thread_id(), sim_function_name(call->function), call->code,
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

void aclsim_count_calls(int on) {
    pthread_mutex_lock(&lock);
    if (on)
        memset(calls, 0, sizeof calls);
    sim_watch_for(WATCH_COUNT, on != 0);
    pthread_mutex_unlock(&lock);
}

uint64_t aclsim_calls(const char *function) {
    int index = sim_function_find(function);
    uint64_t sum = 0;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < SIM_FN_COUNT; i++)
        if (index == SIM_FN_ANY || index == i)
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
    sim_watch_for(WATCH_TRACE, file != NULL);
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
    sim_faults_after_fork();
    pthread_mutex_init(&text_lock, NULL);
    pthread_mutex_init(&lock, NULL);
    sim_self.call = NULL;
}
