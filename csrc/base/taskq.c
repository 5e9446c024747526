// SPDX-License-Identifier: Apache-2.0
#include "base/taskq.h"
#include "base/status.h"
#include "base/thread.h"

enum { IDLE, QUEUED, RUNNING, RUNNING_AGAIN };

enum { EAGER_THREADS = 2 }; /* so many take work without a look at its age */
static const uint64_t PATIENCE_NS = 1000 * 1000;
static const uint64_t KEEP_NS = 10ull * 1000 * 1000 * 1000;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* everything below */
static pthread_cond_t finished;                          /* a task that somebody waits for is done */
static avi_task *head, *tail;
static struct sleeper {
    atomic_uint woken; /* and not on the list any more */
    struct sleeper *next;
} *sleepers; /* the last one first: its caches are the warmest, and who is not needed comes to its end */
static unsigned retained;
static unsigned threads;  /* all */
static unsigned asleep;   /* of these, without work */
static unsigned queued;   /* tasks that wait for a thread */
static unsigned running;  /* threads of the queue inside a task */
static unsigned blocked;  /* of these, inside a call that may block */
static unsigned signals;  /* wake-ups that no sleeping thread has taken yet */
static bool watched;      /* one of those asleep looks at the age of the work */
static unsigned awaiting; /* threads in avi_task_finish */

static _Thread_local bool is_worker;

static void append_locked(avi_task *task) {
    task->state = QUEUED;
    task->queued_ns = avi_now_ns();
    task->next = NULL;
    if (tail)
        tail->next = task;
    else
        head = task;
    tail = task;
    queued++;
}

static avi_task *pop_locked(void) {
    avi_task *task = head;
    head = task->next;
    if (!head)
        tail = NULL;
    queued--;
    return task;
}

static unsigned at_work_locked(void) {
    return threads - asleep;
}

static void *worker(void *unused);

/* Take the last sleeper off the list. Without the lock, which it wants first, avi_wake wakes it. */
static atomic_uint *pop_sleeper_locked(void) {
    struct sleeper *last = sleepers;
    sleepers = last->next;
    signals++;
    atomic_store(&last->woken, 1);
    return &last->woken;
}

/* False: the time is over, or it woke by itself. */
static bool sleep_until_locked(uint64_t until) {
    struct sleeper self = {.next = sleepers};
    sleepers = &self;
    avi_unlock(&lock);
    avi_sleep_while(&self.woken, 0, until, 1);
    avi_lock(&lock);
    if (atomic_load(&self.woken)) {
        signals--;
        return true;
    }
    struct sleeper **link = &sleepers;
    while (*link != &self)
        link = &(*link)->next;
    *link = self.next;
    return false;
}

/* Work waits: see that somebody takes it. Gives the lock up, for good and to wake or to start a thread. */
static void want_worker_and_unlock(void) {
    unsigned at_work = at_work_locked() + signals;
    bool all_blocked = blocked >= at_work;
    /* Those that are between two tasks, or on their way, come to it. */
    if (queued + running <= at_work || (at_work >= EAGER_THREADS && (!all_blocked || watched))) {
        avi_unlock(&lock);
    } else if (sleepers) {
        atomic_uint *sleeper = pop_sleeper_locked();
        avi_unlock(&lock);
        avi_wake(sleeper, 1);
    } else {
        threads++;
        avi_unlock(&lock);
        if (avi_thread_start(worker, NULL) == AVENC_OK)
            return;
        avi_lock(&lock);
        threads--; /* the next posting tries again; those that are there come to the work in time */
        avi_unlock(&lock);
    }
}

/* Whether a thread that comes from sleep takes work now; else *until is when it looks again. */
static bool may_take_locked(uint64_t *until) {
    *until = avi_now_ns() + KEEP_NS;
    if (!head)
        return false;
    if (at_work_locked() < EAGER_THREADS)
        return true;
    if (blocked < at_work_locked())
        return false; /* somebody will be free in a moment, or look for help on entering a call */
    *until = head->queued_ns + PATIENCE_NS;
    return avi_now_ns() >= *until;
}

/* Sleep until there is work to take. False: the thread is to end. */
static bool sleep_locked(void) {
    uint64_t until;
    bool take;
    asleep++;
    while (!(take = may_take_locked(&until))) {
        bool watching = head && !watched && blocked >= at_work_locked();
        if (!retained && !head)
            break;
        if (!watching && threads == 1)
            until = AVI_FOR_EVER;
        watched = watched || watching;
        bool woken = sleep_until_locked(until);
        if (watching)
            watched = false;
        if (!woken && !watching && !head && avi_now_ns() >= until && threads > 1)
            break;
    }
    asleep--;
    return take;
}

static void run_locked(avi_task *task) {
    bool blocks = task->blocks && is_worker;
    task->state = RUNNING;
    running += is_worker;
    blocked += blocks;
    if (blocks)
        want_worker_and_unlock();
    else
        avi_unlock(&lock);
    bool more = task->run(task->arg);
    avi_lock(&lock);
    running -= is_worker;
    blocked -= blocks;
    if (more || task->state == RUNNING_AGAIN) {
        append_locked(task);
        return;
    }
    task->state = IDLE;
    if (awaiting)
        pthread_cond_broadcast(&finished);
    if (task->idle) {
        avi_unlock(&lock);
        task->idle(task->arg);
        avi_lock(&lock);
    }
}

static void *worker(void *unused) {
    (void)unused;
    avi_thread_begins("avenc-task");
    is_worker = true;
    avi_lock(&lock);
    for (bool first = true;; first = false) {
        /* One that was added takes work by the same rule as one that slept. */
        if ((first || !head) && !sleep_locked())
            break;
        if (head)
            run_locked(pop_locked());
    }
    threads--;
    avi_unlock(&lock);
    avi_thread_ends();
    return NULL;
}

/* ---- calls ------------------------------------------------------------------------------------- */

void avi_task_init(avi_task *task, bool (*run)(void *), void (*idle)(void *), void *arg) {
    *task = (avi_task){.run = run, .idle = idle, .arg = arg};
}

int avi_taskq_retain(void) {
    int rc = AVENC_OK;
    avi_lock(&lock);
    retained++;
    if (threads == 0) {
        threads++;
        avi_unlock(&lock);
        rc = avi_thread_start(worker, NULL);
        avi_lock(&lock);
        if (rc != AVENC_OK) {
            threads--;
            retained--;
            want_worker_and_unlock(); /* what was posted meanwhile counted on that thread */
            return rc;
        }
    }
    avi_unlock(&lock);
    return rc;
}

void avi_taskq_release(void) {
    avi_lock(&lock);
    if (--retained == 0)
        while (sleepers)
            avi_wake(pop_sleeper_locked(), 1);
    avi_unlock(&lock);
}

bool avi_task_post(avi_task *task) {
    avi_lock(&lock);
    if (task->state == IDLE) {
        append_locked(task);
        want_worker_and_unlock();
        return true;
    }
    if (task->state == RUNNING)
        task->state = RUNNING_AGAIN;
    avi_unlock(&lock);
    return false;
}

bool avi_task_run_here(avi_task *task) {
    avi_lock(&lock);
    bool idle = task->state == IDLE;
    if (idle) {
        running -= is_worker; /* the thread counts once */
        run_locked(task);
        running += is_worker;
    }
    want_worker_and_unlock();
    return idle || avi_task_post(task);
}

void avi_task_finish(avi_task *task) {
    avi_lock(&lock);
    if (task->state == QUEUED) {
        avi_task **link = &head, *before = NULL;
        while (*link != task) {
            before = *link;
            link = &before->next;
        }
        *link = task->next;
        if (tail == task)
            tail = before;
        queued--;
        run_locked(task);
    }
    awaiting++;
    while (task->state != IDLE)
        pthread_cond_wait(&finished, &lock);
    awaiting--;
    avi_unlock(&lock);
}

bool avi_on_task_thread(void) {
    return is_worker;
}

void avi_blocking_begins(void) {
    if (!is_worker)
        return;
    avi_lock(&lock);
    blocked++;
    want_worker_and_unlock();
}

void avi_blocking_ends(void) {
    if (!is_worker)
        return;
    avi_lock(&lock);
    blocked--;
    avi_unlock(&lock);
}

unsigned avi_taskq_blocked(void) {
    avi_lock(&lock);
    unsigned count = blocked;
    avi_unlock(&lock);
    return count;
}

/* The threads stayed in the parent, and so did the work. */
static void after_fork(void) {
    pthread_mutex_init(&lock, NULL);
    pthread_cond_init(&finished, NULL);
    sleepers = NULL;
    head = tail = NULL;
    retained = threads = asleep = queued = running = blocked = signals = awaiting = 0;
    watched = is_worker = false;
}

__attribute__((constructor)) static void set_up(void) {
    pthread_cond_init(&finished, NULL);
    avi_on_fork(after_fork);
}
