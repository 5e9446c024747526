// SPDX-License-Identifier: Apache-2.0
/* Clock, locks, conditions and native threads. */
#ifndef ASCEND_VENC_BASE_THREAD_H
#define ASCEND_VENC_BASE_THREAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define AVI_FOR_EVER UINT64_MAX

uint64_t avi_now_ns(void); /* CLOCK_MONOTONIC */

/* The moment `timeout_ms` from now; AVI_FOR_EVER for AVENC_NO_TIMEOUT. */
uint64_t avi_deadline_after(uint32_t timeout_ms);

/* With AVENC_DELAYS a random pause comes before each lock of the engine: what two threads can do to each other, they do. */
#ifdef AVENC_DELAYS
void avi_delay(void);
#else
static inline void avi_delay(void) {}
#endif

static inline void avi_lock(pthread_mutex_t *mutex) {
    avi_delay();
    pthread_mutex_lock(mutex);
}

static inline void avi_unlock(pthread_mutex_t *mutex) {
    pthread_mutex_unlock(mutex);
}

/* A condition on CLOCK_MONOTONIC, and a wait on it until `deadline_ns` at the latest. May wake early. */
void avi_cond_init(pthread_cond_t *cond);
void avi_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t deadline_ns);

/*
 * futex(2). Sleep as `who` (a bit) while the word has this value, until `deadline_ns` at the latest; may wake early.
 * True: a signal of the process came. Everybody who sleeps as one of `whom` is woken by the word's address, without a
 * look at the memory: it may be gone by then.
 */
bool avi_sleep_while(atomic_uint *word, unsigned value, uint64_t deadline_ns, unsigned who);
void avi_wake(atomic_uint *word, unsigned whom);

/*
 * Start a detached native thread, counted as live until avi_thread_ends. It takes no signal that a Python program
 * may handle (handlers run on Python's threads), but those of a crash: faulthandler reports them.
 */
int avi_thread_start(void *(*body)(void *), void *arg);

/* First and last of such a body: its name as tools show it, and the count of live threads. */
void avi_thread_begins(const char *name);
void avi_thread_ends(void);

#endif
