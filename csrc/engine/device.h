// SPDX-License-Identifier: Apache-2.0
/*
 * A device: shared by its channels, opened and ended by its port on threads of the port's own. It holds references to
 * the channels that its reports may name, and ends nothing but its own things.
 *
 * A device that stopped reporting is lost; nothing of it is destroyed then. It may report again.
 */
#ifndef ASCEND_VENC_ENGINE_DEVICE_H
#define ASCEND_VENC_ENGINE_DEVICE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "engine/waitset.h"
#include "ports/port.h"

struct avenc_device {
    const avi_port *port;
    avenc_library *library; /* of a port that needs one */
    const acl_api *api;
    avenc_device_info info; /* the port's until it has opened */
    const char *hint;       /* what to say of a device that makes no progress */
    uint32_t generation;
    void *port_data; /* the port's own */
    avenc_waitset *progress;
    atomic_uint sequence; /* of sends: flight.h */
    atomic_int lost;      /* 0, or the code with which the device stopped reporting */

    atomic_uint holders; /* of its memory: a channel that has ended needs it no more than that */

    uint32_t references; /* the registry's lock: this and the next four. Who needs it open */
    int state;
    bool ended; /* the port is done with it */
    avenc_failure failure;
    avenc_device *next;

    pthread_mutex_t lock;     /* everything below; a stream's lock may be taken inside it */
    avenc_channel **channels; /* by index; each counted */
    uint32_t capacity;

    avenc_channel *reported; /* the reporting thread only: engine/report.c */
};

/* Begin to open a device through a port: avenc_device_open is this for AscendCL's. */
int avi_device_open(const avi_port *port, avenc_library *library, const acl_api *api, int32_t device_id,
                    avenc_device **device);

/* A channel more: it needs the device open, up to avenc_device_release, and its memory, up to avi_device_let_go. */
void avi_device_retain(avenc_device *device);
void avi_device_let_go(avenc_device *device);

/* ---- from the port ---- */

/* It is open, or the calling thread's failure `code` says why not. False: nobody wants it any more; close it. */
bool avi_device_opened(avenc_device *device, int code);

/* Nothing of it is left in the vendor's library, or will be used again. The device may be gone when this returns. */
void avi_device_ended(avenc_device *device);

/*
 * Finished frames, report.c; one thread of the device calls these. The device keeps a channel's output buffer, and so
 * its next frame, back until a report has returned. Hence: a report allocates nothing, waits for nothing but short
 * mutexes, and needs no Python. It copies the access unit once, out of memory that dies when it returns, into the
 * packet that was reserved when the frame was submitted. Whoever waits is woken after the batch, once for all reports
 * in it: waking costs more than the copy of a small access unit.
 */

/* The frame with that number is finished. A number that nobody knows, or not any more, is passed over. */
void avi_report(avenc_device *device, uint64_t number, const avi_output *output);

/* No further report comes at once: wake whoever waits for those that came. */
void avi_report_batch(avenc_device *device);

/* The device stopped reporting, with this code, or (0) reports again. */
void avi_device_lost(avenc_device *device, int code);

/* ---- channels ---- */

/* Give a channel, which is counted once more, an index. 0: no memory. */
uint32_t avi_device_enlist(avenc_device *device, avenc_channel *channel);

/* Its reports find it no longer. The caller drops the reference. */
void avi_device_delist(avenc_device *device, uint32_t index);

/* Wait until no device of that library is left. False where one is in use, and at the deadline. */
bool avi_library_wait_unused(const avenc_library *library, uint64_t deadline_ns);

#endif
