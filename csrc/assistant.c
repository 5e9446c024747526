// SPDX-License-Identifier: Apache-2.0
/*
 * One thread for the process that takes a part of somebody's work where it is idle. A caller that finds
 * it busy, or whose part it has not begun in time, does the part itself: nobody queues behind it or waits
 * for a processor that is busy with other things, and there is one, however many channels there are.
 */
#include "engine.h"

static pthread_mutex_t users_lock = PTHREAD_MUTEX_INITIALIZER; /* starting and ending; the worker never takes it */
static unsigned users;
static pthread_t thread;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* the rest */
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_cond_t finished = PTHREAD_COND_INITIALIZER;
static void (*job)(void *);
static void *job_arg;
static bool running; /* the job has begun */
static bool claimed; /* from a successful avi_assistant_try to its avi_assistant_join */
static bool stop;

static void *work(void *unused) {
    (void)unused;
    pthread_mutex_lock(&lock);
    while (!stop) {
        if (!job) {
            pthread_cond_wait(&changed, &lock);
            continue;
        }
        void (*body)(void *) = job;
        void *arg = job_arg;
        running = true;
        pthread_mutex_unlock(&lock);
        body(arg);
        pthread_mutex_lock(&lock);
        job = NULL;
        running = false;
        pthread_cond_signal(&finished);
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

int avi_assistant_retain(void) {
    int rc = AVENC_OK;
    pthread_mutex_lock(&users_lock);
    if (users == 0) {
        stop = false;
        rc = avi_thread_start(&thread, "avenc-convert", work, NULL);
        if (rc == AVENC_OK)
            avi_live_add(AVENC_LIVE_THREAD, 1);
    }
    if (rc == AVENC_OK)
        users++;
    pthread_mutex_unlock(&users_lock);
    return rc;
}

void avi_assistant_release(void) {
    pthread_mutex_lock(&users_lock);
    if (--users == 0) {
        pthread_mutex_lock(&lock);
        stop = true;
        pthread_cond_signal(&changed);
        pthread_mutex_unlock(&lock);
        pthread_join(thread, NULL);
        avi_live_add(AVENC_LIVE_THREAD, -1);
    }
    pthread_mutex_unlock(&users_lock);
}

bool avi_assistant_try(void (*body)(void *), void *arg) {
    pthread_mutex_lock(&lock);
    bool free = !claimed;
    if (free) {
        claimed = true;
        job = body;
        job_arg = arg;
        pthread_cond_signal(&changed);
    }
    pthread_mutex_unlock(&lock);
    return free;
}

bool avi_assistant_join(void) {
    pthread_mutex_lock(&lock);
    bool done = job == NULL || running;
    while (running)
        pthread_cond_wait(&finished, &lock);
    job = NULL;
    claimed = false;
    pthread_mutex_unlock(&lock);
    return done;
}

/* The thread stayed in the parent. */
void avi_assistant_after_fork(void) {
    pthread_mutex_init(&users_lock, NULL);
    pthread_mutex_init(&lock, NULL);
    pthread_cond_init(&changed, NULL);
    pthread_cond_init(&finished, NULL);
    users = 0;
    job = NULL;
    running = claimed = stop = false;
}
