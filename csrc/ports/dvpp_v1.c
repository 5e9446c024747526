// SPDX-License-Identifier: Apache-2.0
/*
 * DVPP V1: AscendCL's aclvenc*, one explicit context and one native report thread for all channels of a device.
 *
 * The report thread does all that a device needs, from aclInit to aclrtDestroyContext: a call that never returns costs
 * this thread and its device, nobody else. Why one thread for all channels: the vendor allows one thread to serve
 * many streams, and the number of threads stays flat. Why a stream of its own, subscribed to the thread:
 * aclrtProcessReport cannot be interrupted, but it returns as soon as it has run a callback; launching an empty
 * callback there wakes the thread when it is to stop. It also keeps the thread subscribed while no channel exists,
 * where aclrtProcessReport would return 107012 at once.
 *
 * Invariant: the thread runs as long as any channel of the device exists (a channel holds its device): destroying a
 * channel waits for its callbacks.
 */
#include "base/status.h"
#include "base/taskq.h"
#include "base/thread.h"
#include "ports/family.h"
#include "ports/runtime.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    REPORT_TIMEOUT_MS = 1000, /* an idle thread looks around this often; it is woken, not polled */
    LOST_AFTER_FAILURES = 3,  /* consecutive failures of aclrtProcessReport before the device counts as lost */
};

/* A device's part that is V1. */
typedef struct v1_device {
    avi_runtime runtime;
    uint64_t thread;    /* the report thread's number, as the runtime knows it */
    aclrtStream stream; /* only wakes the report thread */
    atomic_bool stop;
    avi_task wake; /* launches the callback that ends aclrtProcessReport */
    bool launched; /* it did; read when the task is done */
    bool woken;    /* the report thread only: the callback has run */
} v1_device;

typedef struct v1_channel {
    aclvencChannelDesc *desc;
    aclvencFrameConfig *plain, *idr; /* two that never change: no setter per frame */
    bool created;
} v1_channel;

static v1_device *of(const avenc_device *device) {
    return device->port_data;
}

/* ---- report thread ----------------------------------------------------------------------------- */

static _Thread_local avenc_device *reporting; /* the device that this thread serves */

static void wake_up(void *arg) {
    ((v1_device *)arg)->woken = true;
}

static int open_stream(avenc_device *device, v1_device *v1) {
    aclrtStream stream = NULL; /* what a call that fails leaves there is nobody's */
    TRY(device, aclrtCreateStream, &stream);
    v1->stream = stream;
    TRY(device, aclrtSubscribeReport, v1->thread, v1->stream);
    return AVENC_OK;
}

static void process_reports(avenc_device *device, v1_device *v1) {
    const struct timespec pause = {.tv_nsec = 2 * 1000 * 1000};
    int failures = 0;
    while (!atomic_load(&v1->stop)) {
        int rc = device->api->aclrtProcessReport(REPORT_TIMEOUT_MS);
        avi_report_batch(device);
        switch (rc) {
        case ACL_SUCCESS:
        case ACL_ERROR_RT_REPORT_TIMEOUT:
        case ACL_ERROR_WAIT_CALLBACK_TIMEOUT: /* the same in runtimes before 2022 */
            failures = 0;
            if (atomic_load_explicit(&device->lost, memory_order_relaxed))
                avi_device_lost(device, 0);
            break;
        default:
            if (++failures == LOST_AFTER_FAILURES)
                avi_device_lost(device, rc);
            nanosleep(&pause, NULL); /* the runtime does not wait any more: or this would be a busy loop */
        }
    }
}

/* Each ending call once: a runtime may free the object and return a code. */
static void close_stream(avenc_device *device, v1_device *v1, bool subscribed) {
    if (subscribed)
        device->api->aclrtUnSubscribeReport(v1->thread, v1->stream);
    if (v1->stream)
        device->api->aclrtDestroyStream(v1->stream);
    avi_runtime_close(device);
}

static void *report_thread(void *arg) {
    avenc_device *device = arg;
    v1_device *v1 = of(device);
    avi_thread_begins("avenc-report");
    reporting = device;
    v1->thread = (uint64_t)pthread_self();
    int rc = avi_runtime_open(device);
    if (rc == AVENC_OK)
        rc = open_stream(device, v1);
    avi_family_settle(AVENC_DVPP_V1, rc == AVENC_OK);
    bool wanted = avi_device_opened(device, rc);
    if (rc == AVENC_OK && wanted)
        process_reports(device, v1);
    avi_task_finish(&v1->wake);
    if (v1->launched && !v1->woken) /* it came between two calls: the stream is not to end with it */
        device->api->aclrtProcessReport(REPORT_TIMEOUT_MS);
    close_stream(device, v1, rc == AVENC_OK);
    free(v1);
    avi_thread_ends();
    avi_device_ended(device);
    return NULL;
}

static bool wake_report_thread(void *arg) {
    avenc_device *device = arg;
    avi_binding binding; /* a launch needs a current context */
    atomic_store(&of(device)->stop, true);
    avi_blocking_begins();
    if (avi_runtime_bind(device, &binding) == AVENC_OK) {
        v1_device *v1 = of(device);
        v1->launched = device->api->aclrtLaunchCallback(wake_up, v1, ACL_CALLBACK_NO_BLOCK, v1->stream) == ACL_SUCCESS;
        avi_runtime_unbind(device, &binding);
    }
    avi_blocking_ends();
    return false;
}

static int open_device(avenc_device *device) {
    v1_device *v1 = calloc(1, sizeof *v1);
    if (!v1)
        return avi_fail(AVENC_E_NOMEM, NULL, "out of memory");
    avi_task_init(&v1->wake, wake_report_thread, NULL, device);
    device->port_data = v1;
    device->hint = avi_runtime_hint(device);
    int rc = avi_family_claim(AVENC_DVPP_V1, "avenc_device_open");
    if (rc == AVENC_OK && (rc = avi_thread_start(report_thread, device)) != AVENC_OK)
        avi_family_settle(AVENC_DVPP_V1, false);
    if (rc != AVENC_OK)
        free(v1);
    return rc;
}

/* The task says that it is to stop: the report thread ends the device when it has seen that, and the task is done. */
static void close_device(avenc_device *device) {
    avi_task_post(&of(device)->wake);
}

/* ---- memory ------------------------------------------------------------------------------------ */

static int alloc(avenc_device *device, size_t size, void **memory) {
    TRY(device, acldvppMalloc, memory, size);
    return AVENC_OK;
}

static void free_memory(avenc_device *device, void *memory) {
    device->api->acldvppFree(memory);
}

/* ---- channel ----------------------------------------------------------------------------------- */

/* The one function that the runtime calls, on the report thread. userdata is a frame's number. */
static void trampoline(acldvppPicDesc *input, acldvppStreamDesc *output, void *userdata) {
    (void)input;
    avenc_device *device = reporting;
    avi_output finished = {0};
    if (!device)
        return; /* on a thread of the program's: no report of ours is due there */
    if (output) {
        finished.ret_code = device->api->acldvppGetStreamDescRetCode(output);
        finished.data = device->api->acldvppGetStreamDescData(output);
        finished.size = device->api->acldvppGetStreamDescSize(output);
        finished.fetch =
            device->info.run_mode == ACL_DEVICE ? NULL : avi_runtime_fetch; /* host memory is device memory there */
    }
    avi_report(device, (uint64_t)(uintptr_t)userdata, &finished);
}

/* The three attributes that the oldest runtimes lack. */
#define TRY_OPTIONAL(device, call, ...)                                                                                \
    do {                                                                                                               \
        if (!(device)->api->call)                                                                                      \
            return avi_fail(AVENC_E_UNSUPPORTED, #call, "the loaded AscendCL is too old: it has no " #call);           \
        TRY(device, call, __VA_ARGS__);                                                                                \
    } while (0)

static int create_parts(avenc_device *device, const avenc_channel_config *config, v1_channel *channel) {
    const acl_api *api = device->api;
    aclvencChannelDesc *desc = channel->desc = api->aclvencCreateChannelDesc();
    if (!desc)
        return avi_fail_acl(api, ACL_ERROR_FAILURE, "aclvencCreateChannelDesc");
    TRY(device, aclvencSetChannelDescThreadId, desc, of(device)->thread);
    TRY(device, aclvencSetChannelDescCallback, desc, trampoline);
    TRY(device, aclvencSetChannelDescEnType, desc, config->en_type);
    TRY(device, aclvencSetChannelDescPicFormat, desc, config->pic_format);
    TRY(device, aclvencSetChannelDescPicWidth, desc, config->width);
    TRY(device, aclvencSetChannelDescPicHeight, desc, config->height);
    TRY(device, aclvencSetChannelDescKeyFrameInterval, desc, config->key_frame_interval);
    TRY_OPTIONAL(device, aclvencSetChannelDescRcMode, desc, config->rc_mode);
    TRY_OPTIONAL(device, aclvencSetChannelDescSrcRate, desc, config->src_rate);
    TRY_OPTIONAL(device, aclvencSetChannelDescMaxBitRate, desc, config->max_bit_rate);
    channel->plain = api->aclvencCreateFrameConfig();
    channel->idr = api->aclvencCreateFrameConfig();
    if (!channel->plain || !channel->idr)
        return avi_fail_acl(api, ACL_ERROR_FAILURE, "aclvencCreateFrameConfig");
    TRY(device, aclvencSetFrameConfigForceIFrame, channel->idr, 1);
    TRY(device, aclvencCreateChannel, desc);
    channel->created = true;
    return AVENC_OK;
}

/* Destroying is tried once only: the library frees the channel also when it returns a code. */
static int destroy_channel(avenc_device *device, void *opaque) {
    const acl_api *api = device->api;
    v1_channel *channel = opaque;
    int rc = AVENC_OK;
    if (channel->created && (rc = api->aclvencDestroyChannel(channel->desc)) != ACL_SUCCESS)
        avi_fail_acl(api, rc, "aclvencDestroyChannel");
    avenc_failure kept = *avenc_last_failure();
    if (channel->plain)
        api->aclvencDestroyFrameConfig(channel->plain);
    if (channel->idr)
        api->aclvencDestroyFrameConfig(channel->idr);
    if (channel->desc)
        api->aclvencDestroyChannelDesc(channel->desc);
    free(channel);
    avi_fail_again(&kept);
    return rc;
}

static int create_channel(avenc_device *device, const avenc_channel_config *config, void **out) {
    v1_channel *channel = calloc(1, sizeof *channel);
    if (!channel)
        return avi_fail(AVENC_E_NOMEM, NULL, "out of memory");
    int rc = create_parts(device, config, channel);
    if (rc == AVENC_OK) {
        *out = channel;
        return AVENC_OK;
    }
    destroy_channel(device, channel);
    return rc;
}

static int create_picture(avenc_device *device, const avenc_channel_config *config, void **out) {
    acldvppPicDesc *picture = device->api->acldvppCreatePicDesc();
    if (!picture)
        return avi_fail_acl(device->api, ACL_ERROR_FAILURE, "acldvppCreatePicDesc");
    *out = picture; /* also where a setter fails: the slot frees it */
    TRY(device, acldvppSetPicDescFormat, picture, config->pic_format);
    TRY(device, acldvppSetPicDescWidth, picture, config->width);
    TRY(device, acldvppSetPicDescHeight, picture, config->height);
    return AVENC_OK;
}

static int place_picture(avenc_device *device, void *picture, const avi_placement *placement) {
    uint32_t size = (uint32_t)((size_t)placement->stride * placement->height_stride * 3 / 2);
    TRY(device, acldvppSetPicDescData, picture, placement->data);
    TRY(device, acldvppSetPicDescSize, picture, size);
    TRY(device, acldvppSetPicDescWidthStride, picture, placement->stride);
    TRY(device, acldvppSetPicDescHeightStride, picture, placement->height_stride);
    return AVENC_OK;
}

static void free_picture(avenc_device *device, void *picture) {
    device->api->acldvppDestroyPicDesc(picture);
}

/* Documented order: parameters are checked (100000), then the callback is launched, then the stream synchronised. */
static int send(avenc_device *device, void *opaque, void *picture, bool idr, uint64_t number, bool *gone) {
    const v1_channel *channel = opaque;
    int rc = device->api->aclvencSendFrame(channel->desc, picture, NULL, idr ? channel->idr : channel->plain,
                                           (void *)(uintptr_t)number);
    if (rc == ACL_SUCCESS)
        return AVENC_OK;
    *gone = rc == ACL_ERROR_INVALID_PARAM;
    return avi_fail_acl(device->api, rc, "aclvencSendFrame");
}

const avi_port avi_dvpp_v1 = {
    .name = "DVPP V1",
    .send_call = "aclvencSendFrame",
    .report_call = "aclrtProcessReport",
    .open = open_device,
    .close = close_device,
    .bind = avi_runtime_bind,
    .unbind = avi_runtime_unbind,
    .alloc = alloc,
    .free = free_memory,
    .alloc_host = avi_runtime_alloc_host,
    .free_host = avi_runtime_free_host,
    .upload = avi_runtime_upload,
    .copy = avi_runtime_copy,
    .wait_stream = avi_runtime_wait_stream,
    .create = create_channel,
    .destroy = destroy_channel,
    .create_picture = create_picture,
    .place_picture = place_picture,
    .free_picture = free_picture,
    .send = send,
};
