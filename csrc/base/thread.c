// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "base/thread.h"
#include "base/status.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

uint64_t avi_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t avi_deadline_after(uint32_t timeout_ms) {
    return timeout_ms == AVENC_NO_TIMEOUT ? AVI_FOR_EVER : avi_now_ns() + (uint64_t)timeout_ms * 1000000u;
}

#ifdef AVENC_DELAYS
void avi_delay(void) {
    static _Thread_local uint32_t state;
    if (!state)
        state = (uint32_t)avi_now_ns() | 1u;
    state = state * 1664525u + 1013904223u;
    if (state >> 30) /* three of four go on at once, so that threads overtake each other */
        return;
    struct timespec pause = {.tv_nsec = (long)(state >> 12 & 0x3ffff)}; /* up to 0.26 ms */
    nanosleep(&pause, NULL);
}
#endif

void avi_cond_init(pthread_cond_t *cond) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attributes);
    pthread_condattr_destroy(&attributes);
}

void avi_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t deadline_ns) {
    if (deadline_ns == AVI_FOR_EVER) {
        pthread_cond_wait(cond, mutex);
        return;
    }
    struct timespec until = {.tv_sec = (time_t)(deadline_ns / 1000000000u),
                             .tv_nsec = (long)(deadline_ns % 1000000000u)};
    pthread_cond_timedwait(cond, mutex, &until);
}

bool avi_sleep_while(atomic_uint *word, unsigned value, uint64_t deadline_ns, unsigned who) {
    struct timespec until = {.tv_sec = (time_t)(deadline_ns / 1000000000u),
                             .tv_nsec = (long)(deadline_ns % 1000000000u)};
    return syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, value,
                   deadline_ns == AVI_FOR_EVER ? NULL : &until, NULL, who) < 0 &&
           errno == EINTR;
}

void avi_wake(atomic_uint *word, unsigned whom) {
    syscall(SYS_futex, word, FUTEX_WAKE_BITSET | FUTEX_PRIVATE_FLAG, INT32_MAX, NULL, NULL, whom);
}

int avi_thread_start(void *(*body)(void *), void *arg) {
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGSYS, SIGTRAP};
    sigset_t blocked, before;
    pthread_t thread;
    pthread_attr_t attributes;
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof crashes / sizeof crashes[0]; i++)
        sigdelset(&blocked, crashes[i]);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    avi_live_add(AVENC_LIVE_THREAD, 1);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    int rc = pthread_create(&thread, &attributes, body, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (rc != 0) {
        avi_live_add(AVENC_LIVE_THREAD, -1);
        return avi_fail(AVENC_E_THREAD, "pthread_create", "%s", strerror(rc));
    }
    return AVENC_OK;
}

void avi_thread_begins(const char *name) {
    pthread_setname_np(pthread_self(), name);
}

void avi_thread_ends(void) {
    avi_live_add(AVENC_LIVE_THREAD, -1);
}
