// SPDX-License-Identifier: Apache-2.0
/*
 * stream.h - what the files of streams and events share.
 *
 *     task.c    the tasks of a stream, in order, and waiting for them
 *     stream.c  streams, their subscriptions, what is issued on them
 *     event.c   events, and the calls that wait for streams and events
 *
 * A task is done when it is issued, unless one before it waits: for a blocking callback to return, or
 * for an event. Then it queues up, and whoever ends the wait does it.
 */
#ifndef ASCEND_VENC_SIM_STREAM_H
#define ASCEND_VENC_SIM_STREAM_H

#include "memory.h"

extern pthread_mutex_t sim_stream_lock;    /* the queues of all streams, which streams there are, and all events */
extern pthread_cond_t sim_stream_progress; /* some task is done */

typedef struct sim_task sim_task;

typedef struct sim_tasks {
    sim_task *head, *tail;
} sim_tasks;

typedef struct sim_stream {
    sim_object object;
    void *context; /* handle */
    int32_t device;
    bool is_default;
    /* below: sim_stream_lock */
    sim_reporter *reporter;  /* subscribed, or NULL */
    bool unsubscribe_failed; /* by an armed fault: the program has done what it could */
    sim_tasks queue;         /* tasks that wait for a callback or an event; the head one is being waited for */
    sim_tasks posted;        /* callbacks that the stream does not wait for, until they have returned */
} sim_stream;

typedef struct sim_event {
    sim_object object;
    /* sim_stream_lock */
    uint64_t issued, done; /* recordings */
    uint64_t time_ns;      /* of the last one done */
    bool recorded;         /* since creation or reset */
    /* as it was created */
    bool ex;
    uint32_t flag; /* ACL_EVENT_* */
    int32_t device;
} sim_event;

typedef enum task_type { TASK_COPY, TASK_SET, TASK_RECORD, TASK_WAIT, TASK_CALLBACK } task_type;

struct sim_task {
    sim_task *next;
    sim_report report; /* TASK_CALLBACK */
    sim_stream *stream;
    task_type type;
    bool block, posted, waited; /* waited: it was not done when it was issued */
    aclrtCallback callback;
    void *user_data;
    union {
        sim_copy copy;
        sim_set set;
    };
    void *event;
    uint64_t target; /* TASK_RECORD: which recording of the event it is; TASK_WAIT: which it waits for */
};

/* ---- task.c ------------------------------------------------------------------------------------- */

/* Do a copy of the task, or queue it up. The memory of a copy or a set that was checked is the task's, also if it fails. */
aclError sim_task_issue(const char *function, sim_stream *stream, const sim_task *description);
/* Take back the callbacks that have not begun; everything else on the stream goes on. How many will never run. */
unsigned sim_task_drop_callbacks_locked(sim_stream *stream);
/* Take back everything, since the stream ends: a callback that is running now ends without it, and what was to be recorded
 * counts as done, so that nobody waits for it. How many callbacks will never run. */
unsigned sim_task_discard_locked(sim_stream *stream);
/* Wait until a stream has no task left, or a deadline; UINT64_MAX: none but the option's. 507046: not in time. */
aclError sim_stream_wait(const char *function, sim_stream *stream, uint64_t deadline);
/* Give a wait without a deadline the option's, wait_limit_ms. False: it had one, or the option is 0. */
bool sim_wait_bound(uint64_t *deadline);

/* ---- stream.c ----------------------------------------------------------------------------------- */

/*
 * The stream that a handle names on the calling thread; NULL names the current context's default one.
 * Documented: no current context 107002, a stream of another context 107003. Guessed: a stale one 107017.
 */
aclError sim_stream_find(const char *function, aclrtStream handle, sim_stream **out);

#endif /* ASCEND_VENC_SIM_STREAM_H */
