// SPDX-License-Identifier: Apache-2.0
/*
 * The sender thread: one for each device, started by the first frame that is queued for it.
 *
 * aclvencSendFrame blocks while the device takes the frame. A Python thread that gives up the GIL for
 * it has to win the GIL back each time, which under load takes milliseconds per frame; frames that are
 * queued here cost their submitter no wait at all. Channels take turns, so that one whose send blocks
 * delays the others by one frame at most.
 */
#include "engine.h"

static void append_locked(avenc_device *device, avenc_channel *channel) {
    if (channel->has_work)
        return;
    channel->has_work = true;
    channel->work_next = NULL;
    if (device->work_tail)
        device->work_tail->work_next = channel;
    else
        device->work_head = channel;
    device->work_tail = channel;
}

/* One frame of this channel, if there is one and room in the device. */
static bool serve(avenc_channel *channel) {
    pthread_mutex_lock(&channel->lock);
    avi_slot *slot = channel->queued_head;
    if (!slot || channel->window >= channel->config.depth || channel->state != AVI_OPEN) {
        pthread_mutex_unlock(&channel->lock);
        return false;
    }
    channel->queued_head = slot->next;
    if (!channel->queued_head)
        channel->queued_tail = NULL;
    slot->next = NULL;
    channel->stats.queued--;
    channel->window++;
    channel->sending++;
    atomic_store(&slot->state, AVI_SLOT_FILLING);
    pthread_mutex_unlock(&channel->lock);
    bool more = false;
    avi_send_queued(channel, slot, &more);
    return more;
}

static void *sender_thread(void *arg) {
    avenc_device *device = arg;
    /* A thread without the context would have each of its calls refused; each frame then says so. */
    device->api->aclrtSetCurrentContext(device->context);
    pthread_mutex_lock(&device->sender_lock);
    for (;;) {
        avenc_channel *channel = device->work_head;
        if (!channel) {
            if (device->sender_stop)
                break;
            pthread_cond_wait(&device->sender_work, &device->sender_lock);
            continue;
        }
        device->work_head = channel->work_next;
        if (!device->work_head)
            device->work_tail = NULL;
        channel->has_work = false;
        channel->in_sender = true;
        pthread_mutex_unlock(&device->sender_lock);
        bool more = serve(channel);
        pthread_mutex_lock(&device->sender_lock);
        channel->in_sender = false;
        if (more)
            append_locked(device, channel);
        pthread_cond_broadcast(&device->sender_left);
    }
    pthread_mutex_unlock(&device->sender_lock);
    avi_live_add(AVENC_LIVE_THREAD, -1);
    return NULL;
}

int avi_sender_start(avenc_device *device) {
    int rc = AVENC_OK;
    pthread_mutex_lock(&device->sender_lock);
    if (!device->sender_started) {
        rc = avi_thread_start(&device->sender_thread, "avenc-sender", sender_thread, device);
        device->sender_started = rc == AVENC_OK;
        if (rc == AVENC_OK)
            avi_live_add(AVENC_LIVE_THREAD, 1);
    }
    pthread_mutex_unlock(&device->sender_lock);
    return rc;
}

void avi_sender_stop(avenc_device *device) {
    pthread_mutex_lock(&device->sender_lock);
    bool started = device->sender_started;
    device->sender_stop = true;
    pthread_cond_signal(&device->sender_work);
    pthread_mutex_unlock(&device->sender_lock);
    if (started)
        pthread_join(device->sender_thread, NULL); /* its channels are gone: it has nothing to wait for */
}

void avi_sender_wake(avenc_channel *channel) {
    avenc_device *device = channel->device;
    pthread_mutex_lock(&device->sender_lock);
    if (!channel->forgotten) {
        append_locked(device, channel);
        pthread_cond_signal(&device->sender_work);
    }
    pthread_mutex_unlock(&device->sender_lock);
}

void avi_sender_forget(avenc_channel *channel) {
    avenc_device *device = channel->device;
    pthread_mutex_lock(&device->sender_lock);
    while (channel->in_sender) /* not for long: the channel has nothing in flight */
        pthread_cond_wait(&device->sender_left, &device->sender_lock);
    if (channel->has_work) {
        avenc_channel **link = &device->work_head, *before = NULL;
        while (*link != channel) {
            before = *link;
            link = &before->work_next;
        }
        *link = channel->work_next;
        if (device->work_tail == channel)
            device->work_tail = before;
        channel->has_work = false;
    }
    channel->forgotten = true;
    pthread_mutex_unlock(&device->sender_lock);
}
