// SPDX-License-Identifier: Apache-2.0
/*
 * The process's task queue: everything that may block inside the vendor's library or in a write to a file runs here,
 * one thread for each call that blocks, so that it costs nobody else anything.
 *
 * Two threads take work at once. Another is added when work has waited a millisecond while all are inside calls that
 * block, and ends after ten seconds without work; so there are at most as many as tasks, and two (and one that looks
 * on) as long as no such call takes a millisecond. No task waits for another task, but one that runs it itself.
 */
#ifndef ASCEND_VENC_BASE_TASKQ_H
#define ASCEND_VENC_BASE_TASKQ_H

#include <stdbool.h>
#include <stdint.h>

typedef struct avi_task {
    bool (*run)(void *arg);  /* true: there is more to do; it runs again after the tasks that wait */
    void (*idle)(void *arg); /* it runs no more until it is posted; may free the task, blocks nowhere; or NULL */
    void *arg;
    bool blocks;           /* as if all of `run` stood between avi_blocking_begins and avi_blocking_ends */
    struct avi_task *next; /* the queue's lock: this and the rest */
    uint64_t queued_ns;
    int state;
} avi_task;

/* Threads live while somebody retains the queue. AVENC_E_THREAD if not even one can be started. */
int avi_taskq_retain(void);
void avi_taskq_release(void);

void avi_task_init(avi_task *task, bool (*run)(void *), void (*idle)(void *), void *arg);

/*
 * Let the task run; if it is running, once more after that. Does not block. True if it was idle: then `idle` is called
 * once for this posting, which is how an owner counts references.
 */
bool avi_task_post(avi_task *task);

/* The same, but an idle task runs now, on this thread, which may block in it. What it leaves to do is the queue's. */
bool avi_task_run_here(avi_task *task);

/* Wait until the task is done; one that has not begun is run here. For tasks that call no vendor and that one thread posts. */
void avi_task_finish(avi_task *task);

/* Whether this is a thread of the queue: what a program sets for its threads is never found there. */
bool avi_on_task_thread(void);

/* A thread of the queue enters or leaves a call that may block. Of other threads these are nothing. */
void avi_blocking_begins(void);
void avi_blocking_ends(void);

/* Threads of the queue that are inside such a call. */
unsigned avi_taskq_blocked(void);

#endif
