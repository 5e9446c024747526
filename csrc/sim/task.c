// SPDX-License-Identifier: Apache-2.0
/* The tasks of a stream, in order, and waiting until they are done. */
#include "stream.h"

#include <stdlib.h>

pthread_mutex_t sim_stream_lock = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t sim_stream_progress;

__attribute__((constructor)) static void init(void) {
    sim_cond_init(&sim_stream_progress);
}

/* ---- lists of tasks ------------------------------------------------------------------------------------------- */

static void push(sim_tasks *tasks, sim_task *task) {
    task->next = NULL;
    if (tasks->head == NULL)
        tasks->head = task;
    else
        tasks->tail->next = task;
    tasks->tail = task;
}

static void take_out(sim_tasks *tasks, sim_task *task) {
    sim_task *before = NULL;
    for (sim_task *at = tasks->head; at != task; at = at->next)
        before = at;
    if (before == NULL)
        tasks->head = task->next;
    else
        before->next = task->next;
    if (tasks->tail == task)
        tasks->tail = before;
}

/* ---- doing them ----------------------------------------------------------------------------------------------- */

static void advance_locked(sim_stream *stream);

static void advance_if_waiting(void *object, void *unused) {
    (void)unused;
    sim_stream *stream = object;
    if (stream->queue.head != NULL && stream->queue.head->type == TASK_WAIT)
        advance_locked(stream);
}

static void record_locked(void *handle) {
    sim_event *event = sim_handle_get(SIM_EVENT, handle);
    if (event != NULL) {
        event->done++;
        event->time_ns = sim_now_ns();
    }
    sim_handle_each(SIM_STREAM, advance_if_waiting, NULL);
}

typedef struct record_search {
    const sim_task *wait;
    bool found;
} record_search;

static void find_record(void *object, void *arg) {
    record_search *search = arg;
    for (const sim_task *task = ((sim_stream *)object)->queue.head; task != NULL; task = task->next)
        search->found = search->found || (task->type == TASK_RECORD && task->event == search->wait->event &&
                                          task->target <= search->wait->target);
}

/* Guessed: a recording that a stream waits for keeps its place, whether its event has ended since or not. */
static bool is_recorded_locked(const sim_task *wait) {
    const sim_event *event = sim_handle_get(SIM_EVENT, wait->event);
    if (event != NULL)
        return event->done >= wait->target;
    record_search search = {wait, false};
    sim_handle_each(SIM_STREAM, find_record, &search);
    return !search.found;
}

static void call_program(void *pointer) {
    sim_task *task = pointer;
    sim_memory_waited();
    task->callback(task->user_data);
}

static void callback_done(void *pointer) {
    sim_task *task = pointer;
    pthread_mutex_lock(&sim_stream_lock);
    sim_stream *stream = task->stream; /* NULL: it has ended meanwhile */
    if (stream != NULL)
        take_out(task->block ? &stream->queue : &stream->posted, task);
    if (stream != NULL && task->block)
        advance_locked(stream);
    pthread_mutex_unlock(&sim_stream_lock);
    free(task);
}

static void run_task(sim_report *report) {
    sim_task *task = (sim_task *)((char *)report - offsetof(sim_task, report));
    sim_run_callback(call_program, task, callback_done);
}

/* True: the stream goes on behind the task; false: it waits for it. */
static bool start_locked(sim_stream *stream, sim_task *task) {
    void *event;
    switch (task->type) {
    case TASK_COPY:
        sim_memory_do_copy(&task->copy, task->waited);
        break;
    case TASK_SET:
        sim_memory_do_set(&task->set, task->waited);
        break;
    case TASK_RECORD:
        event = task->event;
        task->event = NULL; /* it is done, for those who look */
        record_locked(event);
        break;
    case TASK_WAIT:
        return is_recorded_locked(task);
    case TASK_CALLBACK:
        if (!task->posted)
            sim_reporter_post(stream->reporter, &task->report);
        task->posted = true;
        return !task->block;
    }
    return true;
}

static void advance_locked(sim_stream *stream) {
    for (sim_task *task; (task = stream->queue.head) != NULL && start_locked(stream, task);) {
        take_out(&stream->queue, task);
        if (task->type == TASK_CALLBACK)
            push(&stream->posted, task);
        else
            free(task);
    }
    pthread_cond_broadcast(&sim_stream_progress);
}

/* Of a task that will not be done. */
static void forget_memory(sim_task *task) {
    if (task->type == TASK_COPY)
        sim_memory_forget_copy(&task->copy);
    else if (task->type == TASK_SET)
        sim_memory_forget_set(&task->set);
}

aclError sim_task_issue(const char *function, sim_stream *stream, const sim_task *description) {
    sim_task *task = malloc(sizeof *task);
    if (task == NULL) {
        sim_task failed = *description;
        forget_memory(&failed);
        return sim_fail_at(function, ACL_ERROR_BAD_ALLOC, "out of memory");
    }
    *task = *description;
    task->stream = stream;
    task->report = (sim_report){.run = run_task};
    pthread_mutex_lock(&sim_stream_lock);
    if (task->type == TASK_CALLBACK && stream->reporter == NULL) {
        pthread_mutex_unlock(&sim_stream_lock);
        free(task);
        return sim_fail_at(function, ACL_ERROR_RT_STREAM_NO_CB_REG, /* documented */
                           "no thread is subscribed to the stream");
    }
    if (task->type == TASK_WAIT || task->type == TASK_RECORD) {
        sim_event *event = sim_handle_get(SIM_EVENT, task->event);
        if (event != NULL && task->type == TASK_RECORD) {
            event->issued++;
            event->recorded = true;
        }
        task->target = event != NULL ? event->issued : 0;
    }
    task->waited = stream->queue.head != NULL;
    push(&stream->queue, task);
    if (!task->waited)
        advance_locked(stream);
    pthread_mutex_unlock(&sim_stream_lock);
    return ACL_SUCCESS;
}

/* ---- taking them back ----------------------------------------------------------------------------------------- */

/* A callback that its thread has begun with cannot be taken back. */
static bool is_running_locked(sim_stream *stream, sim_task *task) {
    return task->posted && (stream->reporter == NULL || !sim_reporter_withdraw(stream->reporter, &task->report));
}

static unsigned drop_callbacks_locked(sim_stream *stream, sim_tasks *tasks) {
    unsigned lost = 0;
    sim_task *task = tasks->head;
    *tasks = (sim_tasks){0};
    for (sim_task *next; task != NULL; task = next) {
        next = task->next;
        if (task->type != TASK_CALLBACK || is_running_locked(stream, task)) {
            push(tasks, task);
        } else {
            free(task);
            lost++;
        }
    }
    return lost;
}

unsigned sim_task_drop_callbacks_locked(sim_stream *stream) {
    unsigned lost = drop_callbacks_locked(stream, &stream->queue) + drop_callbacks_locked(stream, &stream->posted);
    advance_locked(stream);
    return lost;
}

static void discard_locked(sim_tasks tasks) {
    for (sim_task *task = tasks.head, *next; task != NULL; task = next) {
        next = task->next;
        if (task->type == TASK_RECORD)
            record_locked(task->event);
        forget_memory(task);
        if (task->type == TASK_CALLBACK)
            task->stream = NULL; /* it is running, and freed when it has returned */
        else
            free(task);
    }
}

unsigned sim_task_discard_locked(sim_stream *stream) {
    unsigned lost = drop_callbacks_locked(stream, &stream->queue) + drop_callbacks_locked(stream, &stream->posted);
    sim_tasks queue = stream->queue, posted = stream->posted;
    stream->queue = stream->posted = (sim_tasks){0}; /* a record lets streams go on: not this one */
    discard_locked(queue);
    discard_locked(posted);
    pthread_cond_broadcast(&sim_stream_progress);
    return lost;
}

/* ---- waiting -------------------------------------------------------------------------------------------------- */

bool sim_wait_bound(uint64_t *deadline) {
    uint64_t limit_ms = atomic_load(&sim_option.wait_limit_ms);
    if (*deadline != UINT64_MAX || limit_ms == 0)
        return false;
    *deadline = sim_now_ns() + limit_ms * 1000000u;
    return true;
}

void sim_stream_kick_all(void) {
    pthread_mutex_lock(&sim_stream_lock);
    pthread_cond_broadcast(&sim_stream_progress);
    pthread_mutex_unlock(&sim_stream_lock);
}

aclError sim_stream_wait(const char *function, sim_stream *stream, uint64_t deadline) {
    bool own_limit = sim_wait_bound(&deadline);
    uint64_t begin = sim_now_ns();
    aclError rc = ACL_SUCCESS;
    pthread_mutex_lock(&sim_stream_lock);
    while (stream->queue.head != NULL && (rc = sim_device_lost(stream->device)) == 0) {
        if (sim_now_ns() >= deadline) {
            rc = ACL_ERROR_RT_STREAM_SYNC_TIMEOUT;
            break;
        }
        sim_cond_wait_until(&sim_stream_progress, &sim_stream_lock, deadline);
    }
    pthread_mutex_unlock(&sim_stream_lock);
    unsigned long long waited_ms = (sim_now_ns() - begin) / 1000000u;
    if (rc == ACL_ERROR_RT_STREAM_SYNC_TIMEOUT && own_limit && sim_is_strict())
        sim_report_at("no-pump", function, "let the subscribed thread run aclrtProcessReport",
                      "a blocking callback or an event of the stream did not come in %llu ms", waited_ms);
    if (rc != ACL_SUCCESS)
        return sim_fail_at(function, rc, "the stream still has tasks after %llu ms, or its device is lost", waited_ms);
    sim_memory_waited();
    return ACL_SUCCESS;
}
