// SPDX-License-Identifier: Apache-2.0
#include "channels.h"

#include <string.h>

#include "engine/channel.h"

avenc_channel_config config_of(uint32_t depth, uint32_t queue) {
    return (avenc_channel_config){.en_type = H264_MAIN_LEVEL,
                                  .pic_format = PIXEL_FORMAT_YUV_SEMIPLANAR_420,
                                  .width = WIDTH,
                                  .height = HEIGHT,
                                  .key_frame_interval = 30,
                                  .src_rate = 25,
                                  .max_bit_rate = 1000,
                                  .depth = depth,
                                  .queue = queue,
                                  .time_num = 1,
                                  .time_den = 25};
}

avenc_channel *begin_channel(avenc_device *device, const avenc_channel_config *config, avenc_channel *predecessor) {
    avenc_channel *channel;
    CHECK(avenc_channel_create(device, config, predecessor, &channel) == AVENC_OK);
    return channel;
}

avenc_channel *open_configured(avenc_device *device, const avenc_channel_config *config, avenc_channel *predecessor) {
    avenc_channel *channel = begin_channel(device, config, predecessor);
    CHECK(avenc_channel_wait_open(channel, PATIENT) == AVENC_OK);
    return channel;
}

avenc_channel *open_channel(avenc_device *device, uint32_t depth, uint32_t queue) {
    avenc_channel_config config = config_of(depth, queue);
    return open_configured(device, &config, NULL);
}

avenc_submission frame_of(uint64_t stamp) {
    static _Thread_local uint8_t pixels[SIZE];
    memset(pixels, 0, LOOP_STAMP);
    memcpy(pixels, &stamp, sizeof stamp);
    return (avenc_submission){.picture = {pixels, WIDTH, pixels + WIDTH * HEIGHT, WIDTH, WIDTH, HEIGHT, HEIGHT / 2},
                              .number_pts = 1,
                              .tag = stamp};
}

int submit_index(avenc_channel *channel, uint64_t stamp, uint64_t *index) {
    avenc_submission frame = frame_of(stamp);
    return avenc_channel_submit(channel, &frame, PATIENT, index);
}

int submit(avenc_channel *channel, uint64_t stamp) {
    uint64_t index;
    return submit_index(channel, stamp, &index);
}

int enqueue(avenc_channel *channel, uint64_t stamp) {
    avenc_submission frame = frame_of(stamp);
    uint64_t index;
    int rc;
    while ((rc = avenc_channel_enqueue(channel, &frame, 1, 0, &index)) == AVENC_E_AGAIN)
        CHECK(avenc_channel_wait_room(channel, 0, PATIENT) == AVENC_OK);
    return rc;
}

avenc_frame *acquire(avenc_channel *channel, uint64_t stamp) {
    avenc_frame *frame;
    avenc_frame_memory memory;
    CHECK(avenc_channel_acquire(channel, PATIENT, &frame, &memory) == AVENC_OK);
    memset(memory.y, 0, LOOP_STAMP);
    memcpy(memory.y, &stamp, sizeof stamp);
    return frame;
}

avenc_packet *take_packet(avenc_channel *channel) {
    avenc_packet *packet;
    size_t count = 0;
    CHECK(avenc_channel_wait(channel, 1, PATIENT, 0, 0) == AVENC_OK);
    CHECK(avenc_channel_take(channel, 0, &packet, 1, &count) == AVENC_OK && count == 1);
    return packet;
}

uint64_t stamp_of(const avenc_packet *packet) {
    uint64_t stamp;
    CHECK(packet->status == AVENC_OK && packet->size >= LOOP_HEAD + LOOP_STAMP);
    memcpy(&stamp, packet->data + LOOP_HEAD, sizeof stamp);
    return stamp;
}

void expect(avenc_channel *channel, uint64_t stamp) {
    avenc_packet *packet = take_packet(channel);
    CHECK(packet->tag == stamp);
    CHECK(stamp_of(packet) == stamp);
    avenc_packet_release(packet);
}

size_t take_none(avenc_channel *channel) {
    avenc_packet *packets[64];
    size_t count = 0;
    CHECK(avenc_channel_take(channel, 0, packets, 64, &count) == AVENC_OK);
    avenc_channel_give_back(channel, packets, count);
    return count;
}

avenc_channel_stats stats_of(avenc_channel *channel) {
    avenc_channel_stats stats;
    avenc_channel_stats_get(channel, &stats, NULL);
    return stats;
}

unsigned asleep(avenc_channel *channel) {
    pthread_mutex_lock(&channel->stream->lock);
    unsigned count = channel->stream->waiting;
    pthread_mutex_unlock(&channel->stream->lock);
    return count;
}

unsigned writing(avenc_channel *channel) {
    pthread_mutex_lock(&channel->stream->lock);
    unsigned count = channel->stream->writing;
    pthread_mutex_unlock(&channel->stream->lock);
    return count;
}

void end_channel(avenc_channel *channel) {
    CHECK(avenc_channel_close(channel) == AVENC_OK);
    CHECK(avenc_channel_wait_closed(channel, PATIENT) == AVENC_OK);
    CHECK(avenc_channel_has_ended(channel) == 1);
    avenc_channel_release(channel);
}

bool said(const char *text) {
    return strstr(avenc_last_failure()->detail, text) != NULL;
}
