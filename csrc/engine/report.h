// SPDX-License-Identifier: Apache-2.0
/*
 * Finished frames on their way from a port to whoever takes them. One thread of the device calls these.
 *
 * The device keeps a channel's output buffer, and so its next frame, back until a report has returned. Hence: a report
 * allocates nothing, waits for nothing but short mutexes, and needs no Python. It copies the access unit once, out of
 * memory that dies when it returns, into the packet that was reserved when the frame was submitted. Whoever waits is
 * woken after the batch, once for all reports in it: waking costs more than the copy of a small access unit.
 */
#ifndef ASCEND_VENC_ENGINE_REPORT_H
#define ASCEND_VENC_ENGINE_REPORT_H

#include "ports/port.h"

/* The frame with that number is finished. A number that nobody knows, or not any more, is passed over. */
void avi_report(avenc_device *device, uint64_t number, const avi_output *output);

/* No further report comes at once: wake whoever waits for those that came. */
void avi_report_batch(avenc_device *device);

/* The device stopped reporting, with this code, or (0) reports again. */
void avi_device_lost(avenc_device *device, int code);

#endif
