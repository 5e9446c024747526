// SPDX-License-Identifier: Apache-2.0
/* Frames going in. */
#ifndef ASCEND_VENC_ENGINE_INTAKE_H
#define ASCEND_VENC_ENGINE_INTAKE_H

#include "engine/channel.h"

/* The body of send_task: hands one queued frame to the device, if there is one and room. */
bool avi_intake_send_run(void *channel);

/* There may be room for a queued frame. */
void avi_intake_go_on_locked(avenc_channel *channel);

#endif
