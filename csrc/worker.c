// SPDX-License-Identifier: Apache-2.0
/*
 * A native thread that serves the channels of a device in turn: the sender (sender.c) and the writer
 * (sink.c). Channels with work stand in a list; the thread takes the first, serves it once, and puts it
 * at the end again if there is more to do. So a channel whose service blocks delays each of the others
 * by one service at most.
 */
#include "engine.h"

static void append_locked(avi_worker *worker, avenc_channel *channel) {
    avi_work *work = &channel->work[worker->kind];
    if (work->listed)
        return;
    work->listed = true;
    work->next = NULL;
    if (worker->tail)
        worker->tail->work[worker->kind].next = channel;
    else
        worker->head = channel;
    worker->tail = channel;
    worker->listings++;
}

static void linger_locked(avi_worker *worker) {
    uint64_t until = avi_now_ns() + worker->linger_us * 1000ull;
    worker->lingering = true;
    while (!worker->stop && !worker->hurry && avi_now_ns() < until)
        avi_cond_wait_until(&worker->wanted, &worker->lock, until);
    worker->lingering = false;
}

static void *worker_thread(void *arg) {
    avi_worker *worker = arg;
    /* A thread without the context would have each of its calls refused; each frame then says so. */
    worker->device->api->aclrtSetCurrentContext(worker->device->context);
    pthread_mutex_lock(&worker->lock);
    for (;;) {
        avenc_channel *channel = worker->head;
        if (!channel) {
            if (worker->stop)
                break;
            if (worker->linger_us && !worker->hurry &&
                avi_worth_lingering(&worker->pace, worker->listings, worker->linger_us * 1000ull))
                linger_locked(worker);
            worker->hurry = false;
            worker->linger_us = 0;
            while (!worker->head && !worker->stop)
                pthread_cond_wait(&worker->wanted, &worker->lock);
            continue;
        }
        avi_work *work = &channel->work[worker->kind];
        worker->head = work->next;
        if (!worker->head)
            worker->tail = NULL;
        work->listed = false;
        work->served = true;
        pthread_mutex_unlock(&worker->lock);
        bool more = worker->serve(channel);
        pthread_mutex_lock(&worker->lock);
        work->served = false;
        if (more && !work->forgotten)
            append_locked(worker, channel);
        pthread_cond_broadcast(&worker->left);
    }
    pthread_mutex_unlock(&worker->lock);
    avi_live_add(AVENC_LIVE_THREAD, -1);
    return NULL;
}

void avi_worker_init(avi_worker *worker, avenc_device *device, int kind) {
    worker->device = device;
    worker->kind = kind;
    pthread_mutex_init(&worker->lock, NULL);
    avi_cond_init(&worker->wanted);
    avi_cond_init(&worker->left);
}

int avi_worker_start(avi_worker *worker, const char *name, bool (*serve)(avenc_channel *channel)) {
    int rc = AVENC_OK;
    pthread_mutex_lock(&worker->lock);
    if (!worker->started) {
        worker->serve = serve;
        rc = avi_thread_start(&worker->thread, name, worker_thread, worker);
        worker->started = rc == AVENC_OK;
        if (rc == AVENC_OK)
            avi_live_add(AVENC_LIVE_THREAD, 1);
    }
    pthread_mutex_unlock(&worker->lock);
    return rc;
}

void avi_worker_stop(avi_worker *worker) {
    pthread_mutex_lock(&worker->lock);
    bool started = worker->started;
    worker->stop = true;
    pthread_cond_signal(&worker->wanted);
    pthread_mutex_unlock(&worker->lock);
    if (started)
        pthread_join(worker->thread, NULL); /* its channels are gone: it has nothing to wait for */
}

void avi_worker_dispose(avi_worker *worker) {
    pthread_cond_destroy(&worker->left);
    pthread_cond_destroy(&worker->wanted);
    pthread_mutex_destroy(&worker->lock);
}

void avi_worker_wake(avi_worker *worker, avenc_channel *channel, uint32_t linger_us) {
    pthread_mutex_lock(&worker->lock);
    if (!channel->work[worker->kind].forgotten) {
        append_locked(worker, channel);
        worker->linger_us = worker->linger_us && worker->linger_us < linger_us ? worker->linger_us : linger_us;
        worker->hurry = worker->hurry || linger_us == 0;
        if (!worker->lingering || worker->hurry)
            pthread_cond_signal(&worker->wanted);
    }
    pthread_mutex_unlock(&worker->lock);
}

void avi_worker_hurry(avi_worker *worker) {
    pthread_mutex_lock(&worker->lock);
    worker->hurry = true;
    pthread_cond_signal(&worker->wanted);
    pthread_mutex_unlock(&worker->lock);
}

void avi_worker_forget(avi_worker *worker, avenc_channel *channel) {
    avi_work *work = &channel->work[worker->kind];
    pthread_mutex_lock(&worker->lock);
    work->forgotten = true;
    while (work->served)
        pthread_cond_wait(&worker->left, &worker->lock);
    if (work->listed) {
        avenc_channel **link = &worker->head, *before = NULL;
        while (*link != channel) {
            before = *link;
            link = &before->work[worker->kind].next;
        }
        *link = work->next;
        if (worker->tail == channel)
            worker->tail = before;
        work->listed = false;
    }
    pthread_mutex_unlock(&worker->lock);
}
