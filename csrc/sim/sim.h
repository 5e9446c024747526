// SPDX-License-Identifier: Apache-2.0
/*
 * sim.h - what the files of the simulated device share. Hidden from the outside.
 *
 * Each behaviour is marked where it is implemented:
 *   documented  the vendor's documentation or open implementation says so
 *   observed    somebody reported it from hardware
 *   guessed     neither; what a program can most plausibly rely on
 *
 * Lock order, outermost first: sim_channel.lock, report lock (report.c), object and memory locks. No
 * lock is held while a program's callback runs.
 */
#ifndef ASCEND_VENC_SIM_H
#define ASCEND_VENC_SIM_H

#define ACL_API    __attribute__((visibility("default")))
#define ACLSIM_API __attribute__((visibility("default")))

#include <pthread.h>
#include <stdbool.h>

#include "ascendcl.h"
#include "aclsim.h"
#include "codec.h"

/* ---- control.c: recent error text, fork ------------------------------------------------------ */

/* Record the thread's recent error text and return `code`. */
int sim_fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Called once, before any state is used: after fork() the child starts with a fresh device. */
void sim_prepare(void);

/* Load libavcodec from where the environment, aclsim_set_codec or its own search says. As sim_codec_load. */
int sim_load_codec(char *why, size_t size);

/* ---- profile.c ------------------------------------------------------------------------------- */

typedef struct sim_range {
    uint32_t low, high;
} sim_range;

/* One chip. Source: ascendcl-abi.md 3.11; documented unless the table marks it otherwise. */
typedef struct sim_profile {
    const char *soc_name;
    aclrtRunMode run_mode;
    bool has_venc;
    bool v100; /* the Ascend 310 code path: see where it is used */
    sim_range width, height, fps, bit_rate, gop;
    uint32_t h264_area;        /* 0: no limit beyond width and height */
    uint32_t default_bit_rate; /* kbit/s */
    uint32_t default_rc_mode;  /* 1 VBR, 2 CBR */
    bool ip_proportion;
    uint32_t output_size, min_output_size; /* bytes; min 0: cannot be set */
    uint32_t max_channels;
    uint64_t memory; /* bytes of each device */
} sim_profile;

enum { SIM_DEFAULT_FPS = 30 };

const sim_profile *sim_chip(void);
uint32_t sim_device_count(void);

/* ---- object.c: handles ----------------------------------------------------------------------- */

/*
 * Zeroed memory of an object, entered into the table of live handles. A destroyed object's memory is kept
 * for a while, so that a stale handle neither crashes nor names a newer object. `owned` objects belong
 * to the library and are not counted. NULL: out of memory.
 */
void *sim_object_create(int kind, size_t size, bool owned);
bool sim_object_is(const void *handle, int kind);
void sim_object_destroy(void *handle);
void sim_live_add(int kind, int delta);

/* ---- memory.c -------------------------------------------------------------------------------- */

/*
 * Keep the allocation that holds [address, address + size) readable even if it is freed meanwhile. 0: pinned;
 * 1: not memory of ours; -1: ours, but the range leaves the allocation. Unpin with the same address.
 */
int sim_memory_pin(const void *address, size_t size);
void sim_memory_unpin(const void *address);

/* Device memory for the library itself: not counted as the program's. */
void *sim_memory_internal(size_t size);
void sim_memory_internal_free(void *address); /* NULL is allowed */

/* ---- runtime.c ------------------------------------------------------------------------------- */

typedef struct sim_context {
    int32_t device;
    bool primary;
} sim_context;

/* The calling thread's current context, or NULL. */
sim_context *sim_current_context(void);
bool sim_any_context(void);

/* ---- report.c: streams, events, reports -------------------------------------------------------- */

typedef struct sim_report sim_report;

/* One entry of a thread's report queue. `run` is called in aclrtProcessReport, `done` after it in every case. */
struct sim_report {
    sim_report *next;
    void (*run)(sim_report *report);
    void (*done)(sim_report *report); /* may free the report */
};

/* Subscribe and unsubscribe the internal callback stream of a channel. 0 or a runtime code. */
int sim_subscribe_internal(uint64_t thread_id, int32_t device);
void sim_unsubscribe_internal(uint64_t thread_id);

/* Queue a report for a thread. False: nobody is subscribed. */
bool sim_post(uint64_t thread_id, sim_report *report);

/* Whether the calling thread is inside a callback that aclrtProcessReport runs. */
bool sim_inside_callback(void);

/* ---- venc.c ---------------------------------------------------------------------------------- */

typedef struct sim_channel sim_channel;

bool sim_any_channel(void);

/* ---- descriptors.c --------------------------------------------------------------------------- */

struct acldvppPicDesc {
    void *data;
    uint32_t size;
    acldvppPixelFormat format;
    uint32_t width, height, width_stride, height_stride, ret_code;
};

struct acldvppStreamDesc {
    void *data;
    uint32_t size;
    acldvppStreamFormat format;
    uint64_t timestamp;
    uint32_t ret_code;
    uint8_t eos;
};

struct aclvencFrameConfig {
    uint8_t force_i_frame, eos;
};

struct aclvencChannelDesc {
    uint64_t thread_id;
    aclvencCallback callback;
    acldvppStreamFormat en_type;
    acldvppPixelFormat pic_format;
    uint32_t pic_width, pic_height, key_frame_interval;
    void *buf_addr;
    uint32_t buf_size, rc_mode, src_rate, max_bit_rate, ip_proportion, channel_id;
    sim_channel *channel; /* NULL before aclvencCreateChannel and after aclvencDestroyChannel */
};

/*
 * Whether the media library could set itself up, which takes a current context once. documented
 * (3.1): after the first success it is cached for the process.
 */
bool sim_media_ready(void);

/* ---- each file's share of a fork() ------------------------------------------------------------- */

void sim_object_after_fork(void);
void sim_memory_after_fork(void);
void sim_runtime_after_fork(void);
void sim_report_after_fork(void);
void sim_descriptors_after_fork(void);
void sim_venc_after_fork(void);

#endif /* ASCEND_VENC_SIM_H */
