// SPDX-License-Identifier: Apache-2.0
/* descriptors.h - what the program describes pictures, access units, frames and channels with. */
#ifndef ASCEND_VENC_SIM_DESCRIPTORS_H
#define ASCEND_VENC_SIM_DESCRIPTORS_H

#include "memory.h"

/* ---- descriptors.c -------------------------------------------------------------------------------------------- */

typedef struct sim_pic_desc {
    sim_object object;
    void *data;
    uint32_t size, width, height, width_stride, height_stride, ret_code;
    acldvppPixelFormat format;
    bool in_batch;
    atomic_int in_flight;
} sim_pic_desc;

typedef struct sim_stream_desc {
    sim_object object;
    void *data;
    uint32_t size, ret_code;
    acldvppStreamFormat format;
    uint64_t timestamp;
    uint8_t eos;
    bool output;          /* a channel's own */
    atomic_bool readable; /* output: its callback is running */
} sim_stream_desc;

typedef struct sim_frame_config {
    sim_object object;
    uint8_t force_i_frame, eos;
} sim_frame_config;

/* ---- channel_desc.c, channel_list.c ------------------------------------------------------------- */

typedef struct sim_channel sim_channel;

typedef struct sim_channel_desc {
    sim_object object;
    uint64_t thread_id;
    aclvencCallback callback;
    acldvppStreamFormat en_type;
    acldvppPixelFormat pic_format;
    uint32_t pic_width, pic_height, key_frame_interval;
    void *buf_addr;
    uint32_t buf_size, rc_mode, src_rate, max_bit_rate, ip_prop;
    uint32_t channel_id;
    sim_memory *output; /* 310 generation: the channel's output buffer, allocated with the descriptor; else NULL */
    /* below: channels_lock */
    sim_channel *channel; /* NULL: not created, or destroyed */
    bool creating;        /* a call is creating its channel */
    bool used;            /* a channel has been created on it */
    bool freed_output;    /* 310P generation: it holds the address of an output buffer that has been freed */
} sim_channel_desc;

/* True: an open channel is left behind; it stays until the reset. */
bool sim_channel_orphan(sim_channel_desc *desc);

#endif /* ASCEND_VENC_SIM_DESCRIPTORS_H */
