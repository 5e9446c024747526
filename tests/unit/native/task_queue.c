// SPDX-License-Identifier: Apache-2.0
/*
 * The task queue by itself, by a clock that the scenarios move. Linked with --wrap for avi_now_ns, avi_sleep_while and
 * avi_thread_start.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "base/status.h"
#include "base/taskq.h"
#include "base/thread.h"
#include "scenario.h"

static const uint64_t MS = 1000 * 1000;

/* ---- the clock ------------------------------------------------------------------------------------- */

static atomic_ullong moved = 1000ull * 1000 * 1000 * 1000;
static atomic_bool runs; /* like the real one */

uint64_t __real_avi_now_ns(void);
bool __real_avi_sleep_while(atomic_uint *, unsigned, uint64_t, unsigned);
int __real_avi_thread_start(void *(*)(void *), void *);

uint64_t __wrap_avi_now_ns(void) {
    return atomic_load(&runs) ? __real_avi_now_ns() : atomic_load(&moved);
}

static atomic_int slept; /* times that a thread lay down */

/* It may wake early; here it does, to look at the clock. */
bool __wrap_avi_sleep_while(atomic_uint *word, unsigned value, uint64_t deadline_ns, unsigned who) {
    atomic_fetch_add(&slept, 1);
    if (deadline_ns == AVI_FOR_EVER || atomic_load(&runs))
        return __real_avi_sleep_while(word, value, deadline_ns, who);
    if (deadline_ns > atomic_load(&moved))
        __real_avi_sleep_while(word, value, __real_avi_now_ns() + MS, who);
    return false;
}

static void move_clock(uint64_t by) {
    atomic_fetch_add(&moved, by);
}

/* Threads that could do something wrong have a while for it. Nothing is measured by it. */
static void let_them_run(void) {
    struct timespec while_ = {.tv_nsec = 20 * 1000 * 1000};
    nanosleep(&while_, NULL);
}

static atomic_bool no_threads;
static atomic_int started;

int __wrap_avi_thread_start(void *(*body)(void *), void *arg) {
    if (atomic_load(&no_threads))
        return AVENC_E_THREAD;
    atomic_fetch_add(&started, 1);
    return __real_avi_thread_start(body, arg);
}

static int64_t threads(void) {
    return avenc_live(AVENC_LIVE_THREAD);
}

/* ---- tasks ------------------------------------------------------------------------------------------ */

typedef struct job {
    avi_task task;
    bool blocks; /* as a call of the vendor's does */
    sem_t go;
    atomic_int inside; /* runs that wait for `go` */
    atomic_int ran, idled;
    atomic_ullong began_ns;
    pthread_t by;
} job;

static bool run_job(void *arg) {
    job *j = arg;
    atomic_store(&j->began_ns, avi_now_ns());
    j->by = pthread_self();
    if (j->blocks)
        avi_blocking_begins();
    atomic_fetch_add(&j->inside, 1);
    sem_wait(&j->go);
    atomic_fetch_sub(&j->inside, 1);
    if (j->blocks)
        avi_blocking_ends();
    atomic_fetch_add(&j->ran, 1);
    return false;
}

static void idle_job(void *arg) {
    atomic_fetch_add(&((job *)arg)->idled, 1);
}

static void make_job(job *j, bool blocks) {
    memset(j, 0, sizeof *j);
    j->blocks = blocks;
    sem_init(&j->go, 0, 0);
    avi_task_init(&j->task, run_job, idle_job, j);
}

static void start_job(job *j, bool blocks) {
    make_job(j, blocks);
    CHECK(avi_task_post(&j->task));
    UNTIL(atomic_load(&j->inside) == 1);
}

static void end_job(job *j) {
    sem_post(&j->go);
    UNTIL(atomic_load(&j->idled) == 1);
}

static void retain(void) {
    CHECK(avi_taskq_retain() == AVENC_OK);
}

/* ---- threads that are added, and end ------------------------------------------------------------------ */

SCENARIO(two_tasks_run_at_once_and_a_third_waits_for_one_of_them) {
    job jobs[3];
    retain();
    start_job(&jobs[0], false);
    start_job(&jobs[1], false);
    make_job(&jobs[2], false);
    CHECK(avi_task_post(&jobs[2].task));
    move_clock(1000 * MS);
    let_them_run();
    CHECK(atomic_load(&jobs[2].inside) == 0 && threads() == 2);
    end_job(&jobs[0]);
    UNTIL(atomic_load(&jobs[2].inside) == 1);
    CHECK(threads() == 2);
    end_job(&jobs[1]);
    end_job(&jobs[2]);
    avi_taskq_release();
}

SCENARIO(work_that_waits_behind_blocked_threads_gets_one_after_a_millisecond_and_not_before) {
    job jobs[3];
    retain();
    start_job(&jobs[0], true);
    start_job(&jobs[1], true);
    CHECK(avi_taskq_blocked() == 2);
    make_job(&jobs[2], true);
    uint64_t posted = avi_now_ns();
    CHECK(avi_task_post(&jobs[2].task));
    let_them_run();
    move_clock(MS - 1);
    let_them_run();
    CHECK(atomic_load(&jobs[2].inside) == 0 && threads() <= 3); /* two, and one that looks on */
    move_clock(1);
    UNTIL(atomic_load(&jobs[2].inside) == 1);
    CHECK(atomic_load(&jobs[2].began_ns) >= posted + MS);
    for (int i = 0; i < 3; i++)
        end_job(&jobs[i]);
    CHECK(avi_taskq_blocked() == 0);
    avi_taskq_release();
}

static job *follower;

static void post_follower(void *arg) {
    avi_task_post(&follower->task);
    idle_job(arg);
}

SCENARIO(work_that_comes_while_a_thread_is_between_two_tasks_is_that_thread_s) {
    job jobs[2];
    retain();
    make_job(&jobs[0], false);
    make_job(&jobs[1], false);
    jobs[0].task.idle = post_follower;
    follower = &jobs[1];
    CHECK(avi_task_post(&jobs[0].task));
    end_job(&jobs[0]);
    UNTIL(atomic_load(&jobs[1].inside) == 1);
    CHECK(pthread_equal(jobs[1].by, jobs[0].by));
    CHECK(threads() == 1);
    end_job(&jobs[1]);
    avi_taskq_release();
}

/* Its thread has lain down. */
static void end_and_sleep(job *j) {
    int before = atomic_load(&slept);
    end_job(j);
    UNTIL(atomic_load(&slept) > before);
}

SCENARIO(the_thread_that_slept_last_takes_the_work) {
    job jobs[3];
    atomic_store(&runs, true); /* by the other clock they wake all the time, and lie down again */
    retain();
    for (int round = 0; round < 3; round++) {
        int last = round % 2;
        start_job(&jobs[0], false);
        start_job(&jobs[1], false);
        end_and_sleep(&jobs[1 - last]);
        end_and_sleep(&jobs[last]);
        for (int i = 0; i < 3; i++) {
            start_job(&jobs[2], false);
            CHECK(pthread_equal(jobs[2].by, jobs[last].by));
            end_and_sleep(&jobs[2]);
        }
    }
    avi_taskq_release();
    atomic_store(&runs, false);
}

SCENARIO(however_much_work_waits_one_thread_looks_on) {
    enum { MANY = 8 };
    job jobs[MANY];
    retain();
    start_job(&jobs[0], true);
    start_job(&jobs[1], true);
    for (int i = 2; i < MANY; i++) {
        make_job(&jobs[i], false);
        CHECK(avi_task_post(&jobs[i].task));
        let_them_run();
        CHECK(threads() <= 3);
    }
    for (int i = 0; i < MANY; i++)
        sem_post(&jobs[i].go);
    for (int i = 0; i < MANY; i++)
        UNTIL(atomic_load(&jobs[i].idled) == 1);
    avi_taskq_release();
}

SCENARIO(a_thread_that_comes_back_takes_the_work_before_another_is_added) {
    job jobs[3];
    retain();
    start_job(&jobs[0], true);
    start_job(&jobs[1], true);
    make_job(&jobs[2], false);
    CHECK(avi_task_post(&jobs[2].task));
    end_job(&jobs[0]); /* within the millisecond: the clock stands */
    UNTIL(atomic_load(&jobs[2].inside) == 1);
    CHECK(threads() <= 3);
    end_job(&jobs[1]);
    end_job(&jobs[2]);
    avi_taskq_release();
}

SCENARIO(every_blocked_call_has_a_thread_and_there_are_no_more_than_tasks) {
    enum { MANY = 24 };
    static job jobs[MANY];
    retain();
    int before = atomic_load(&started);
    for (int i = 0; i < MANY; i++) {
        make_job(&jobs[i], true);
        CHECK(avi_task_post(&jobs[i].task));
    }
    for (int i = 0; i < MANY; i++)
        CHECK(!avi_task_post(&jobs[i].task)); /* is waiting, or runs once more: no other thread for it */
    UNTIL((move_clock(MS), avi_taskq_blocked() == MANY));
    CHECK(threads() <= MANY + 1);
    for (int i = 0; i < MANY; i++) {
        sem_post(&jobs[i].go);
        sem_post(&jobs[i].go);
    }
    for (int i = 0; i < MANY; i++)
        UNTIL(atomic_load(&jobs[i].idled) == 1 && atomic_load(&jobs[i].ran) >= 1);
    CHECK(atomic_load(&started) - before <= MANY + 1);
    let_them_run();
    move_clock(9999 * MS);
    let_them_run();
    CHECK(threads() > 1); /* they are kept for ten seconds */
    UNTIL((move_clock(10001 * MS), threads() == 1));
    let_them_run();
    CHECK(threads() == 1); /* the last one stays as long as somebody retains the queue */
    avi_taskq_release();
    UNTIL(threads() == 0);
}

SCENARIO(a_task_runs_though_nobody_retains_the_queue) {
    job j;
    start_job(&j, true);
    CHECK(threads() >= 1);
    end_job(&j);
    UNTIL(threads() == 0);
}

SCENARIO(threads_that_block_when_the_queue_is_released_end_when_they_come_back) {
    job jobs[3];
    retain();
    retain();
    for (int i = 0; i < 3; i++) {
        make_job(&jobs[i], true);
        CHECK(avi_task_post(&jobs[i].task));
    }
    UNTIL((move_clock(MS), avi_taskq_blocked() == 3));
    avi_taskq_release();
    avi_taskq_release();
    for (int i = 0; i < 3; i++)
        end_job(&jobs[i]);
    UNTIL(threads() == 0);
}

SCENARIO(threads_that_cannot_be_started) {
    job jobs[4];
    atomic_store(&no_threads, true);
    CHECK(avi_taskq_retain() == AVENC_E_THREAD);
    atomic_store(&no_threads, false);
    retain();
    start_job(&jobs[0], true);
    start_job(&jobs[1], true);
    atomic_store(&no_threads, true);
    make_job(&jobs[2], false);
    CHECK(avi_task_post(&jobs[2].task)); /* no thread for it: it waits for those that are there */
    move_clock(MS);
    let_them_run();
    CHECK(atomic_load(&jobs[2].inside) == 0);
    atomic_store(&no_threads, false);
    make_job(&jobs[3], false);
    CHECK(avi_task_post(&jobs[3].task)); /* tries again */
    UNTIL((move_clock(MS), atomic_load(&jobs[2].inside) == 1));
    for (int i = 2; i < 4; i++)
        end_job(&jobs[i]);
    for (int i = 0; i < 2; i++)
        end_job(&jobs[i]);
    avi_taskq_release();
}

/* ---- a task inside another ---------------------------------------------------------------------------- */

static job *inner;
static pthread_t outer_by;
static atomic_int ran_inner; /* what avi_task_run_here said, and one */

static bool run_inner(void *arg) {
    outer_by = pthread_self();
    atomic_store(&ran_inner, 1 + avi_task_run_here(&inner->task));
    return run_job(arg);
}

SCENARIO(a_task_runs_inside_another_on_its_thread) {
    job jobs[2];
    retain();
    make_job(&jobs[0], false);
    make_job(&jobs[1], false);
    jobs[0].task.run = run_inner;
    inner = &jobs[1];
    inner->task.blocks = true;
    atomic_store(&ran_inner, 0);
    CHECK(avi_task_post(&jobs[0].task));
    UNTIL(atomic_load(&inner->inside) == 1);
    CHECK(pthread_equal(outer_by, inner->by) && avi_taskq_blocked() == 1); /* blocked as a whole */
    let_them_run();
    CHECK(threads() == 1);                   /* nothing waits: no other is woken */
    CHECK(!avi_task_run_here(&inner->task)); /* it runs: once more after that, by the queue, and not beside it */
    CHECK(atomic_load(&inner->inside) == 1 && atomic_load(&inner->ran) == 0);
    sem_post(&inner->go);
    UNTIL(atomic_load(&ran_inner) == 2 && atomic_load(&jobs[0].inside) == 1);
    end_job(inner);
    CHECK(atomic_load(&inner->ran) == 2);
    CHECK(avi_taskq_blocked() == 0);
    end_job(&jobs[0]);
    avi_taskq_release();
}

SCENARIO(a_task_that_runs_inside_another_is_asked_for_no_second_thread) {
    job jobs[2];
    atomic_store(&runs, true);
    retain();
    start_job(&jobs[0], false); /* two threads */
    start_job(&jobs[1], false);
    end_and_sleep(&jobs[0]);
    end_and_sleep(&jobs[1]);
    make_job(&jobs[0], false);
    make_job(&jobs[1], false);
    jobs[0].task.run = run_inner;
    inner = &jobs[1];
    inner->task.blocks = true;
    int before = atomic_load(&slept);
    CHECK(avi_task_post(&jobs[0].task));
    UNTIL(atomic_load(&inner->inside) == 1);
    let_them_run();
    CHECK(atomic_load(&slept) == before); /* the other one was not woken to find nothing */
    sem_post(&inner->go);
    end_job(&jobs[0]);
    avi_taskq_release();
    atomic_store(&runs, false);
}

/* ---- posting and finishing ---------------------------------------------------------------------------- */

SCENARIO(a_task_that_is_posted_while_it_runs_runs_once_more) {
    job j;
    retain();
    start_job(&j, false);
    for (int i = 0; i < 5; i++)
        CHECK(!avi_task_post(&j.task));
    sem_post(&j.go);
    UNTIL(atomic_load(&j.ran) == 1 && atomic_load(&j.inside) == 1);
    CHECK(atomic_load(&j.idled) == 0);
    end_job(&j);
    CHECK(atomic_load(&j.ran) == 2);
    CHECK(avi_task_post(&j.task)); /* it was idle */
    sem_post(&j.go);
    UNTIL(atomic_load(&j.idled) == 2);
    avi_taskq_release();
}

SCENARIO(finishing_runs_what_has_not_begun_and_waits_for_what_has) {
    job jobs[3];
    retain();
    start_job(&jobs[0], true);
    start_job(&jobs[1], true);
    make_job(&jobs[2], false);
    CHECK(avi_task_post(&jobs[2].task));
    sem_post(&jobs[2].go);
    avi_task_finish(&jobs[2].task); /* the clock stands: no other thread has taken it */
    CHECK(atomic_load(&jobs[2].ran) == 1 && atomic_load(&jobs[2].idled) == 1);
    CHECK(pthread_equal(jobs[2].by, pthread_self()));
    sem_post(&jobs[0].go);
    avi_task_finish(&jobs[0].task);
    CHECK(atomic_load(&jobs[0].ran) == 1 && !pthread_equal(jobs[0].by, pthread_self()));
    avi_task_finish(&jobs[0].task); /* idle: at once */
    end_job(&jobs[1]);
    avi_taskq_release();
}

/* ---- nothing is lost ------------------------------------------------------------------------------------ */

enum { POSTERS = 3, TASKS = 12 };
#ifdef AVENC_DELAYS
enum { POSTS = 1500 };
#else
enum { POSTS = 10000 };
#endif

typedef struct counted {
    avi_task task;
    atomic_uint wanted, seen, postings, idled, running, again;
} counted;

static counted counters[TASKS];

static bool run_counted(void *arg) {
    counted *c = arg;
    CHECK(atomic_fetch_add(&c->running, 1) == 0); /* never on two threads */
    unsigned seen = atomic_load(&c->wanted);
    if (seen % 5 == 0)
        avi_blocking_begins();
    if (seen % 64 == 0) {
        struct timespec some = {.tv_nsec = 300 * 1000};
        nanosleep(&some, NULL);
    }
    if (seen % 5 == 0)
        avi_blocking_ends();
    atomic_store(&c->seen, seen);
    bool more = seen % 7 == 0 && atomic_fetch_add(&c->again, 1) % 2 == 0;
    CHECK(atomic_fetch_sub(&c->running, 1) == 1);
    return more;
}

static void idle_counted(void *arg) {
    atomic_fetch_add(&((counted *)arg)->idled, 1);
}

static void *post_many(void *arg) {
    unsigned state = (unsigned)(uintptr_t)arg;
    for (int i = 0; i < POSTS; i++) {
        state = state * 1664525u + 1013904223u;
        counted *c = &counters[(state >> 16) % TASKS];
        atomic_fetch_add(&c->wanted, 1);
        atomic_fetch_add(&c->postings, avi_task_post(&c->task));
    }
    return NULL;
}

static void post_and_count(bool retained) {
    pthread_t posters[POSTERS];
    atomic_store(&runs, true);
    if (retained)
        retain();
    for (int i = 0; i < TASKS; i++) {
        memset(&counters[i], 0, sizeof counters[i]);
        avi_task_init(&counters[i].task, run_counted, idle_counted, &counters[i]);
    }
    for (int i = 0; i < POSTERS; i++)
        pthread_create(&posters[i], NULL, post_many, (void *)(uintptr_t)(i + 1));
    for (int i = 0; i < POSTERS; i++)
        pthread_join(posters[i], NULL);
    for (int i = 0; i < TASKS; i++) {
        /* What was wanted before a posting is seen by a run after it; and each posting of an idle task idles once. */
        UNTIL(atomic_load(&counters[i].idled) == atomic_load(&counters[i].postings));
        CHECK(atomic_load(&counters[i].seen) == atomic_load(&counters[i].wanted));
    }
    CHECK(threads() <= TASKS + 1);
    if (retained)
        avi_taskq_release();
    UNTIL(threads() == 0);
    atomic_store(&runs, false);
}

SCENARIO(no_posting_is_lost) {
    post_and_count(true);
}

SCENARIO(no_posting_is_lost_while_threads_come_and_go) {
    post_and_count(false);
}
