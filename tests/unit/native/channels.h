// SPDX-License-Identifier: Apache-2.0
/* What most scenarios on the loop-back port need: small channels, pictures with a stamp, packets that are compared with it. */
#ifndef TESTS_NATIVE_CHANNELS_H
#define TESTS_NATIVE_CHANNELS_H

#include <stdbool.h>

#include "loopback_port.h"
#include "scenario.h"

enum { WIDTH = 32, HEIGHT = 16, SIZE = WIDTH * HEIGHT * 3 / 2 };

/* A wait that ends long after what is waited for, unless it never comes; and one that is to end in vain. */
#define PATIENT ((avenc_wait[1]){avenc_wait_for(20000)})
#define BRIEFLY ((avenc_wait[1]){avenc_wait_for(30)})

avenc_channel_config config_of(uint32_t depth, uint32_t queue);
avenc_channel *begin_channel(avenc_device *device, const avenc_channel_config *config, avenc_channel *predecessor);
avenc_channel *open_channel(avenc_device *device, uint32_t depth, uint32_t queue);
avenc_channel *open_configured(avenc_device *device, const avenc_channel_config *config, avenc_channel *predecessor);

/* A frame whose first bytes and tag are `stamp`; pts are counted. The pixels are the calling thread's. */
avenc_submission frame_of(uint64_t stamp);
int submit(avenc_channel *channel, uint64_t stamp); /* PATIENT */
int submit_index(avenc_channel *channel, uint64_t stamp, uint64_t *index);
int enqueue(avenc_channel *channel, uint64_t stamp);          /* waits for memory that is being made, not for room */
avenc_frame *acquire(avenc_channel *channel, uint64_t stamp); /* and write the stamp */

/* Take the next packet: it has to be that of `stamp`, encoded from its picture. */
void expect(avenc_channel *channel, uint64_t stamp);
avenc_packet *take_packet(avenc_channel *channel); /* waits for it */
uint64_t stamp_of(const avenc_packet *packet);     /* of the picture that was encoded */
size_t take_none(avenc_channel *channel);          /* how many there were, and gives them back */

avenc_channel_stats stats_of(avenc_channel *channel);
unsigned asleep(avenc_channel *channel);  /* threads that wait in its stream */
unsigned writing(avenc_channel *channel); /* packets that its sink has taken: their write is not given up any more */

void end_channel(avenc_channel *channel); /* close, wait, release */

/* A sub-string of the last failure's text. */
bool said(const char *text);

#endif
