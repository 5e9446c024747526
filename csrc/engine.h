// SPDX-License-Identifier: Apache-2.0
/*
 * engine.h - what the files of libavenc share. Everything here is hidden from the outside.
 *
 * Lock order, outermost first: library registry, avenc_device.lock, avenc_channel.send_lock,
 * avenc_channel.lock, then avi_worker.lock, avi_pool.lock
 * or avenc_selector.lock; avenc_converter.lock is held alone.
 * No lock is held across an AscendCL call, except send_lock across
 * aclvencSendFrame and aclvencDestroyChannel (the callback never takes it) and the registry and
 * device locks across opening and closing (no callback takes those either).
 */
#ifndef ASCEND_VENC_ENGINE_H
#define ASCEND_VENC_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "avenc.h"

/* ---- status.c -------------------------------------------------------------------------------- */

/* Record the thread's failure and return `code`. `call` may be NULL. */
int avi_fail(int code, const char *call, const char *format, ...) __attribute__((format(printf, 3, 4)));

/*
 * Record that AscendCL function `call` returned `code`, with the runtime's own recent text, which has
 * to be fetched before the thread's next AscendCL call. Returns `code`.
 */
int avi_fail_acl(const acl_api *api, int code, const char *call);

/* Counts fork()s seen by this process; an object whose generation differs belongs to the parent. */
uint32_t avi_generation(void);
int avi_fail_forked(const char *call);

void avi_live_add(int kind, int delta);
uint64_t avi_now_ns(void);

/* A condition variable on CLOCK_MONOTONIC, and a wait on it until `deadline_ns` at the latest. */
void avi_cond_init(pthread_cond_t *cond);
void avi_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t deadline_ns);

/* Start a native thread with every signal blocked: Python's handlers run on Python's threads. */
int avi_thread_start(pthread_t *thread, const char *name, void *(*body)(void *), void *arg);

/* ---- pool.c ---------------------------------------------------------------------------------- */

typedef struct avi_pool avi_pool;

/* A packet and its buffer. The public part comes first: avenc_packet * and avi_packet * convert. */
typedef struct avi_packet {
    avenc_packet pub;
    avi_pool *pool;
    uint8_t *memory;
    struct avi_packet *next; /* in whichever list holds the packet */
    uint32_t generation;
} avi_packet;

/* Packets of `capacity` bytes each; at most `keep` idle ones are kept. The creator holds a reference. */
avi_pool *avi_pool_create(size_t capacity, size_t keep);
size_t avi_pool_capacity(const avi_pool *pool);
uint64_t avi_pool_allocations(avi_pool *pool);

/* The most recently released packet, or a new one; NULL when memory is exhausted. May allocate. */
avi_packet *avi_pool_acquire(avi_pool *pool);
void avi_pool_release(avi_packet *packet);

/* Drop the creator's reference: the pool dies with its last packet. */
void avi_pool_retire(avi_pool *pool);

/* ---- bitstream.c ----------------------------------------------------------------------------- */

/* What of a stream's parameter sets the slice header's syntax depends on. Zeroed for a new stream. */
typedef struct avi_stream_state {
    uint32_t hevc_extra_slice_header_bits;
} avi_stream_state;

/* AVENC_KIND_* of one access unit, from its first coded slice. Never reads beyond size. */
int avi_access_unit_kind(avi_stream_state *state, int32_t en_type, const uint8_t *data, size_t size);

/* ---- loader.c -------------------------------------------------------------------------------- */

/* Whether our aclInit was the one that counted; guarded by the registry lock of device.c. */
int *avi_library_finalize_owed(avenc_library *library);

/* A libyuv routine; libyuv's names: RAW is R G B in memory, RGB24 is B G R, ABGR is R G B A. */
typedef int (*avi_libyuv_routine)(const uint8_t *source, int stride, uint8_t *y, int y_stride, uint8_t *u, int u_stride,
                                  uint8_t *v, int v_stride, int width, int height);

/* Routines for RGB24, BGR24, RGBA, BGRA: the order of AVENC_SOURCES. */
typedef struct avi_libyuv {
    avi_libyuv_routine limited[4]; /* BT.601, limited range */
    avi_libyuv_routine full[4];    /* BT.601, full range; NULL in old versions */
    const char *path;
} avi_libyuv;

/* X(return type, name, parameters): what is called of libswscale; av_get_pix_fmt is libavutil's. */
#define AVI_SWSCALE_FUNCTIONS(X)                                                                                       \
    X(void *, sws_getContext, (int, int, int, int, int, int, int, void *, void *, const double *))                     \
    X(const int *, sws_getCoefficients, (int))                                                                         \
    X(int, sws_setColorspaceDetails, (void *, const int *, int, const int *, int, int, int, int))                      \
    X(int, sws_scale, (void *, const uint8_t *const *, const int *, int, int, uint8_t *const *, const int *))          \
    X(void, sws_freeContext, (void *))                                                                                 \
    X(int, av_get_pix_fmt, (const char *))

typedef struct avi_swscale {
#define AVI_FIELD(type, name, params) type(*name) params;
    AVI_SWSCALE_FUNCTIONS(AVI_FIELD)
#undef AVI_FIELD
    const char *path;
} avi_swscale;

/* The process's libyuv and libswscale, loaded on first use; NULL with the reasons in `why` where there is none. */
const avi_libyuv *avi_libyuv_open(const char *path, char *why, size_t size);
const avi_swscale *avi_swscale_open(const char *path, char *why, size_t size);

/* Called in the child of a fork(): locks of threads that do not exist any more are made new. */
void avi_loader_after_fork(void);
void avi_device_after_fork(void);

/* ---- lingering: receive.c ---------------------------------------------------------------------- */

/* How many events there had been when it was last asked. */
typedef struct avi_pace {
    uint64_t time, events;
} avi_pace;

/*
 * Whether two or more events may be expected within the linger, judged by those since it was last asked: a timer that
 * fires more often than packets come would cost more wake-ups than it saves.
 */
bool avi_worth_lingering(avi_pace *pace, uint64_t events, uint64_t linger_ns);

/* ---- worker.c -------------------------------------------------------------------------------- */

enum { AVI_SENDER, AVI_WRITER, AVI_WORKERS };

/* A thread that serves the channels of a device in turn. */
typedef struct avi_worker {
    avenc_device *device;
    int kind; /* AVI_SENDER, ... */
    bool (*serve)(avenc_channel *channel);
    pthread_t thread;
    pthread_mutex_t lock; /* everything below; channel.lock may be held when it is taken */
    pthread_cond_t wanted, left;
    bool started, stop;
    avenc_channel *head, *tail; /* channels with work, by work[kind].next */
    /*
     * After its work it may leave channels listed for a while, so as to serve several at one wake-up: as long
     * as the least patient channel that it served since allows, and only where they come fast enough.
     */
    uint32_t linger_us;
    bool lingering, hurry;
    uint64_t listings; /* in all */
    avi_pace pace;     /* of listings, at the last rest */
} avi_worker;

/* A channel's place with a worker; under the worker's lock. */
typedef struct avi_work {
    avenc_channel *next;
    bool listed;    /* in the list */
    bool served;    /* the worker is busy with it */
    bool forgotten; /* not to be served any more */
} avi_work;

void avi_worker_init(avi_worker *worker, avenc_device *device, int kind);

/* Start the thread if that has not happened. `serve` does one piece of work: true if there is more. */
int avi_worker_start(avi_worker *worker, const char *name, bool (*serve)(avenc_channel *channel));
void avi_worker_stop(avi_worker *worker); /* no channel is left */
void avi_worker_dispose(avi_worker *worker);

/* There is work for this channel, which may lie for linger_us. channel.lock may be held. */
void avi_worker_wake(avi_worker *worker, avenc_channel *channel, uint32_t linger_us);

/* Somebody waits for the work to be done: no lingering. channel.lock may be held. */
void avi_worker_hurry(avi_worker *worker);

/* The worker will not touch this channel again. No lock is held. */
void avi_worker_forget(avi_worker *worker, avenc_channel *channel);

/* ---- assistant.c ----------------------------------------------------------------------------- */

/* The process's assistant, a thread, runs while anybody retains it. Both may block. */
int avi_assistant_retain(void);
void avi_assistant_release(void);

/* Give it a job. False: it is busy with another caller's; nothing was done. True: avi_assistant_join follows. */
bool avi_assistant_try(void (*body)(void *), void *arg);

/* Wait for the job. False: it had not begun and has been taken back; the caller does it. */
bool avi_assistant_join(void);
void avi_assistant_after_fork(void);

/* ---- device.c -------------------------------------------------------------------------------- */

struct avenc_device {
    avenc_library *library;
    const acl_api *api;
    avenc_device_info info;
    uint32_t generation;
    uint32_t references; /* guarded by the registry lock of device.c */
    avenc_device *next;  /* registry list */
    aclrtContext context;
    aclrtStream stream; /* only wakes the report thread: see device.c */
    pthread_t report_thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool bound;    /* lock: the report thread has tried to bind the context ... */
    int bind_code; /* lock: ... with this result */
    bool run;      /* lock: the control stream is subscribed (or stop is set): go on */
    atomic_bool stop;
    atomic_int lost;          /* 0, or the code with which the device stopped reporting */
    avenc_channel *channels;  /* lock: list by device_next */
    avenc_channel *abandoned; /* lock: ended, but a late callback may still name them; by device_next */
    avenc_channel *wake;      /* report thread only: channels to wake when aclrtProcessReport is back */

    avi_worker sender; /* sender.c; started by the first frame that is queued for it */
    avi_worker writer; /* sink.c; started by the first channel that has a sink */
};

/*
 * Make the device's context current on the calling thread, and put back what was there. A thread
 * that had none keeps ours: AscendCL has no call to unset it.
 */
typedef struct avi_binding {
    aclrtContext restore; /* NULL: nothing to put back */
} avi_binding;
int avi_device_bind(avenc_device *device, avi_binding *binding);
void avi_device_unbind(avenc_device *device, avi_binding *binding);

/*
 * An ending call of AscendCL, tried twice: what it ends would leak for good, and there is nobody to
 * report a failure to.
 */
#define AVI_RELEASE(api, call, ...)                                                                                    \
    do {                                                                                                               \
        if ((api)->call(__VA_ARGS__) != ACL_SUCCESS)                                                                   \
            (api)->call(__VA_ARGS__);                                                                                  \
    } while (0)

void avi_device_attach(avenc_device *device, avenc_channel *channel);
void avi_device_detach(avenc_device *device, avenc_channel *channel);

/* Keep an ended channel until the report thread is gone: no callback can name it after that. */
void avi_device_keep_abandoned(avenc_device *device, avenc_channel *channel);

/* ---- channel.c, trampoline.c ----------------------------------------------------------------- */

/*
 * FREE -> FILLING -> SENT -> COMPLETING -> FREE is the plain way. HELD: a caller fills it (avenc_frame).
 * QUEUED: waits for the sender thread. LEASED: done, but views of its memory are still alive.
 */
enum {
    AVI_SLOT_FREE,
    AVI_SLOT_FILLING,
    AVI_SLOT_SENT,
    AVI_SLOT_COMPLETING,
    AVI_SLOT_HELD,
    AVI_SLOT_QUEUED,
    AVI_SLOT_LEASED,
};

/* Where a slot's pixels are before it is sent. */
enum {
    AVI_IN_MEMORY,  /* where the device reads them */
    AVI_IN_STAGING, /* in pinned host memory: one DMA away */
    AVI_IN_CALLER,  /* in the caller's host memory, `source` */
};

/* One picture on its way through the device. Descriptor and memory are bound once, at creation. */
typedef struct avi_slot {
    avenc_channel *channel;
    acldvppPicDesc *picture;
    void *memory;          /* device memory, stride * height * 3 / 2 */
    void *staging;         /* pinned host memory, where the host cannot write `memory`; NULL until needed */
    avi_packet *packet;    /* reserved at submit, so that the trampoline never has to find one */
    struct avi_slot *next; /* free list, queue or in-flight queue */
    atomic_int state;      /* AVI_SLOT_* */
    int pixels;            /* AVI_IN_* */
    bool foreign;          /* the descriptor names the caller's device memory at the moment */
    bool leased;           /* channel.lock: a frame handle is still held */
    bool made;             /* channel.lock: descriptor and memory are there */
    bool force_idr;
    avenc_picture source;
} avi_slot;

enum { AVI_OPEN = 0, AVI_CLOSING = 1, AVI_CLOSED = 2 };

struct avenc_channel {
    avenc_device *device;
    const acl_api *api;
    uint32_t generation;
    avenc_channel_config config;
    uint32_t stride;     /* bytes of a row in device memory: width rounded up to 16 */
    size_t picture_size; /* bytes of a picture in device memory */
    aclvencChannelDesc *desc;
    aclvencFrameConfig *plain, *idr; /* two that never change: no setter per frame */
    avi_slot *slots;                 /* depth + queue; made when they are first taken */
    avi_pool *pool;
    avi_stream_state stream; /* report thread only */

    pthread_mutex_t send_lock; /* order of aclvencSendFrame = order of the in-flight queue */

    pthread_mutex_t lock; /* everything below */
    pthread_cond_t progress;
    unsigned waiters;
    int state;            /* AVI_OPEN, ... */
    bool created;         /* the hardware channel exists */
    bool wake_pending;    /* the report thread will still touch this channel */
    bool abandoned;       /* ended without the device's consent: see avi_device_keep_abandoned */
    bool ended;           /* avenc_channel_end: no further frames */
    bool orphan;          /* destroyed by its owner: the last frame handle frees it */
    bool idr_owed;        /* something was dropped or failed: the next frame must be an IDR */
    uint32_t slots_begun; /* of `slots`; the others were never taken */
    uint32_t slot_count;  /* slots made so far */
    unsigned growing;     /* slots that are being made, without the lock */
    avi_slot *free_slots; /* last in, first out: its memory is the warmest */
    unsigned active;      /* slots that are not free */
    unsigned held;        /* of these, HELD or LEASED: nothing that the device or the engine works on */
    unsigned window;      /* of these, FILLING, SENT or COMPLETING: at most `depth` */
    unsigned handles;     /* avenc_frame handles that the caller has */
    unsigned sending;     /* slots that the sender thread has taken from the queue and not yet sent */
    avi_slot *sent_head, *sent_tail;
    avi_slot *queued_head, *queued_tail;
    avi_packet *ready_head, *ready_tail;
    avi_packet *spent;
    uint64_t idle_since; /* when the device ran out of frames; 0: it has some, or never had one */
    avi_pace pace;       /* of completed frames, at the last wait */
    avenc_channel_stats stats;
    avenc_channel_histograms histograms;
    avenc_notifier *notifiers[AVENC_MAX_NOTIFIERS];
    avenc_selector *selector; /* NULL: none */
    uint32_t selector_key;

    int sink_fd; /* -1: none */
    uint32_t sink_linger_us;
    int sink_kind;      /* see sink.c */
    int sink_error;     /* errno of the write that failed: the sink writes no more */
    bool sink_busy;     /* the writer is writing from the ready list, without the lock */
    size_t sink_offset; /* bytes of the first ready packet that are written */
    uint64_t sink_bytes;

    avenc_channel *device_next; /* device.lock */
    avenc_channel *wake_next;   /* report thread only */
    avi_work work[AVI_WORKERS]; /* the worker's lock */
};

/* The one function that the runtime calls. userdata is the avi_slot. */
void avi_trampoline(acldvppPicDesc *input, acldvppStreamDesc *output, void *userdata);

/* Report thread, after aclrtProcessReport: wake whoever waits on the channels that made progress. */
void avi_wake_channels(avenc_device *device);

/* The frame at the head of the in-flight queue is done: its packet is ready, its slot free. */
void avi_finish_head_locked(avenc_channel *channel);

/* An accepted frame, in no queue any more, is done: its packet is ready, its slot free. */
void avi_finish_slot_locked(avenc_channel *channel, avi_slot *slot);

/* Put a slot back on the free list, or leave it to the holder of its frame handle. */
void avi_free_slot_locked(avenc_channel *channel, avi_slot *slot);

/* Make one more slot. A context is bound; no lock is held. */
int avi_channel_make_slot(avenc_channel *channel, avi_slot *slot);

/* Dispose of the channel and drop its device reference; keeps the thread's last failure. */
void avi_channel_end_of_life(avenc_channel *channel);

/* Free a channel whose hardware channel is gone and whose callbacks are over. A context is bound. */
void avi_channel_dispose(avenc_channel *channel);

/* Wake everybody who waits on the channel, e.g. because the device was lost. */
void avi_channel_broadcast(avenc_channel *channel);

/* Sleep until progress, 50 ms, or the deadline; false once the deadline has passed. Uncounted: nobody is to wake us. */
bool avi_wait_locked(avenc_channel *channel, uint64_t deadline, bool counted);
uint64_t avi_deadline_after(uint32_t timeout_ms);
int avi_fail_lost(avenc_channel *channel, const char *call);

int avi_fail_sink_locked(const avenc_channel *channel, const char *call);

/* Tell everybody who waits for this channel, in whatever way; of packets, or of something that no linger may delay. */
void avi_announce_packets_locked(avenc_channel *channel);
void avi_announce_locked(avenc_channel *channel);
bool avi_notifier_armed_locked(const avenc_channel *channel);
void avi_notifier_drop(avenc_notifier *notifier);

/* ---- selector.c ------------------------------------------------------------------------------ */

/* List a key; `hurry`: whoever collects news looks at once. channel.lock may be held. */
void avi_selector_mark(avenc_selector *selector, uint32_t key, bool hurry);
void avi_selector_drop(avenc_selector *selector);

/* ---- submit.c, sender.c ---------------------------------------------------------------------- */

/* Get the slot's pixels where the device reads them. A context is bound; no lock is held. */
int avi_prepare_slot(avenc_channel *channel, avi_slot *slot, avenc_channel_stats *delta);

/* Send a frame that has left the queue. It is finished here if that fails. A context is bound. */
void avi_send_queued(avenc_channel *channel, avi_slot *slot, bool *more);

int avi_sender_start(avenc_device *device);

/* ---- sink.c ---------------------------------------------------------------------------------- */

int avi_sink_start(avenc_device *device);

/* Access units wait to be written, or are being written. */
bool avi_sink_unfinished_locked(const avenc_channel *channel);

/* A packet that no consumer gets: its token still has to go back. */
void avi_discard_locked(avenc_channel *channel, avi_packet *packet);

int avi_bucket(uint64_t ns);

#endif /* ASCEND_VENC_ENGINE_H */
