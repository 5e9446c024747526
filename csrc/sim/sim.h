// SPDX-License-Identifier: Apache-2.0
/*
 * sim.h - what the simulated device's files share.
 *
 * Lock order, outermost first; a thread that holds one may take only those below it:
 *
 *     channels_lock (channel_list.c)  >  sim_channel.lock  >  sim_stream_lock (task.c)  >  table_lock (report.c)
 *     >  sim_reporter.lock  >  handle tables, memory table, unwaited_lock (copy.c), strict reports, trace
 *
 *     mpi_list_lock (mpi_list.c)  >  sim_mpi_channel.lock  >  poll_lock (mpi_epoll.c), memory table, unwaited_lock,
 *     strict reports
 *
 * No lock is held while a callback of the program runs, or while a picture is encoded.
 *
 * Where behaviour of AscendCL is modelled, the comment beside it says how sure it is:
 *     documented  in the vendor's documentation or in its open sources
 *     observed    seen on hardware by somebody who wrote it down
 *     guessed     ours
 */
#ifndef ASCEND_VENC_SIM_H
#define ASCEND_VENC_SIM_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define ACL_API    __attribute__((visibility("default")))
#define HI_API     __attribute__((visibility("default")))
#define ACLSIM_API __attribute__((visibility("default")))

#include "ascendcl.h"
#include "himpi.h"
#include "aclsim.h"

#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "options.h"

/* ---- profile.c: chips as data ---------------------------------------------------------------- */

typedef struct sim_range {
    uint32_t min, max;
} sim_range;

typedef struct sim_profile {
    const char *name;
    aclrtRunMode run_mode;
    bool has_venc;
    bool v100; /* the Ascend 310 generation of the library: see the fields below for what differs */

    sim_range width, height;
    uint64_t h264_area; /* width * height of H.264, 0: no limit */
    sim_range gop, src_rate, bit_rate, ip_prop;
    uint32_t default_rc_mode, default_src_rate, default_bit_rate;

    bool checks_picture_size; /* aclvencSendFrame refuses a picture size that does not fit the channel */
    bool checks_rc_mode;      /* the setter refuses values above 2 */
    bool ip_prop_settable;
    uint32_t buffer_size;
    uint32_t buffer_min; /* of one that the program brings, 0: BufAddr and BufSize cannot be set */

    uint32_t max_channels;    /* of V1 */
    uint32_t max_channels_v2; /* of hi_mpi_venc, 0: not there */
    uint32_t max_streams;
    uint64_t memory; /* bytes, DDR */

    const char *description; /* JSON, for aclsim_describe_soc */
} sim_profile;

const sim_profile *sim_profile_get(void); /* of all devices; NULL: the environment names no known chip */
const sim_profile *sim_profile_find(const char *name);
const char *sim_profile_name(size_t index);
void sim_profile_set(const sim_profile *profile);

/* ---- clock.c ----------------------------------------------------------------------------------- */

uint64_t sim_now_ns(void); /* CLOCK_MONOTONIC */
void sim_cond_init(pthread_cond_t *cond);
/* Wait on a condition of sim_cond_init until a time; the thread cannot be cancelled meanwhile. False: time is over. */
bool sim_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t deadline_ns);
/* Sleep for the option send_time_us; not cancelled meanwhile. */
void sim_take_send_time(void);

/* ---- worker.c --------------------------------------------------------------------------------- */

/* Start a thread that takes no signals; it is counted as live. `name` has up to 15 characters. */
int sim_start_worker(pthread_t *thread, void *(*run)(void *), void *arg, const char *name);

/* ---- faults.c: calls and frames that go wrong on purpose --------------------------------------- */

enum {
#define X(library, presence, ret, name, params) SIM_FN_##name,
    ACL_FUNCTIONS(X)
#undef X
#define X(presence, ret, name, params) SIM_FN_##name,
        HIMPI_FUNCTIONS(X)
#undef X
            SIM_FN_COUNT,
    SIM_FN_ANY = -1,
    SIM_FN_UNKNOWN = -2,
};

const char *sim_function_name(int function);
int sim_function_find(const char *name); /* SIM_FN_*; "*" is SIM_FN_ANY */

/* What the next call of a function is to do instead of, before or after its work. */
typedef struct sim_strike {
    aclError code; /* 0: none */
    bool works;    /* it does its work before it returns the code */
    bool hang_before, hang_after;
    uint64_t clearings; /* how often faults had been cleared by then */
} sim_strike;

sim_strike sim_fault_strike(int function);
/* Sleep until aclsim_release_hung, unless faults have been cleared since the strike. No lock may be held. */
void sim_hang(int function, uint64_t clearings);

enum {
    SIM_FRAME_NONE = -1,
};
/* Count an accepted frame; the armed action for it, or SIM_FRAME_NONE. */
int sim_frame_fault(uint32_t *value);

/* Non-zero while faults are armed, calls are counted or traced. */
extern atomic_int sim_watch;
enum {
    WATCH_FAULTS = 1,
    WATCH_COUNT = 2,
    WATCH_TRACE = 4,
    WATCH_FRAMES = 8,
};
void sim_watch_for(int bit, bool on);

/* ---- entry.c: what every call begins with ----------------------------------------------------- */

typedef struct sim_call {
    int function; /* SIM_FN_*, or -1: nobody watches */
    int code;
    bool works, hang_after; /* see sim_strike */
    uint64_t clearings;
    uint64_t start_ns;
    struct sim_call *outer;
} sim_call;

/* What concerns one thread. */
typedef struct sim_thread {
    aclrtContext context; /* current context, may have become stale */
    unsigned callbacks;   /* depth of callbacks of the program inside aclrtProcessReport */
    sim_call *call;       /* innermost watched call */
    aclError last_error;  /* of the runtime's functions, until aclrtGetLastError takes it */
    char pending[2048];   /* error text, newest line first */
    char shown[2048];     /* what aclGetRecentErrMsg returned */
} sim_thread;
extern _Thread_local sim_thread sim_self;

int sim_enter_watched(sim_call *call, int function); /* 0, or the code of an armed fault */
void sim_leave_watched(sim_call *call);

static inline void sim_leave(sim_call *call) {
    if (call->function >= 0)
        sim_leave_watched(call);
}

/* First statement of every AscendCL function. `failure` is what it returns when a fault strikes. */
#define SIM_ENTER_VALUE(name, failure)                                                                                 \
    __attribute__((cleanup(sim_leave))) sim_call call_ = {.function = -1};                                             \
    if (__builtin_expect(atomic_load_explicit(&sim_watch, memory_order_relaxed), 0)) {                                 \
        int fault_ = sim_enter_watched(&call_, SIM_FN_##name);                                                         \
        if (fault_ != 0)                                                                                               \
            return (failure);                                                                                          \
    }                                                                                                                  \
    (void)0

#define SIM_ENTER(name) SIM_ENTER_VALUE(name, fault_)

/* The code of a call that was to do its work first: its own, if it failed by itself. */
aclError sim_fail_after(const sim_call *call, aclError done, aclError code) __attribute__((cold));

/* All of a function that aclsim_fail_call_after can strike: those that end something, and few others. */
#define SIM_CALL(name, work)                                                                                           \
    SIM_ENTER_VALUE(name, call_.works ? sim_fail_after(&call_, work, fault_) : fault_);                                \
    return work

/* aclGetRecentErrMsg gives one text for the process, not one for each thread: aclInit's err_msg_mode. */
void sim_error_of_process(bool on);
/* Keep the text for aclGetRecentErrMsg; returns `code`. */
aclError sim_fail_at(const char *function, aclError code, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));
#define FAIL(code, ...) sim_fail_at(__func__, code, __VA_ARGS__)

void sim_trace_event(const char *event, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool sim_tracing(void);

/* A line on standard error where hardware would only write its log; with ASCEND_VENC_SIM_LOG=1. */
/* Programs log with it (ACL_APP_LOG). The binding does not, so it is not in ACL_FUNCTIONS: no faults, no trace. */
ACL_API void aclAppLog(int32_t logLevel, const char *func, const char *file, uint32_t line, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

void sim_log(const char *format, ...) __attribute__((format(printf, 1, 2), cold));
extern atomic_bool sim_log_on;
/* The same for what nobody should have to search for: by default, once per process; not where sim_log or strict mode
 * has said it. */
void sim_say_once(atomic_bool *said, const char *format, ...) __attribute__((format(printf, 2, 3), cold));

void sim_entry_reset(void);

/* ---- strict.c --------------------------------------------------------------------------------- */

extern atomic_bool sim_strict;

static inline bool sim_is_strict(void) {
    return atomic_load_explicit(&sim_strict, memory_order_relaxed);
}

/* Where an object came from, for reports. */
typedef struct sim_origin {
    const char *function;
    uint64_t number;   /* of the object, counted over all objects */
    long thread;       /* kernel thread id */
    void *caller;      /* code address in the program, strict mode only */
    const char *place; /* of aclsim_set_caller, strict mode only */
    char name[16];     /* of the thread, strict mode only */
} sim_origin;

void sim_origin_set(sim_origin *origin, const char *function, void *caller);
#define ORIGIN(origin) sim_origin_set(origin, __func__, __builtin_return_address(0))

typedef struct sim_origin_text {
    char text[640];
} sim_origin_text;
sim_origin_text sim_origin_format(const sim_origin *origin);

/* The place of the call that this thread is in; NULL if it did not come from the binding. */
const char *sim_calling_place(void);
void sim_report_at(const char *kind, const char *function, const char *fix, const char *format, ...)
    __attribute__((format(printf, 4, 5), cold));
/* The same about an earlier call, by its place. */
void sim_report_of(const char *kind, const char *function, const char *where, const char *fix, const char *format, ...)
    __attribute__((format(printf, 5, 6), cold));
/* A report of strict mode: kind of misuse, what to do about it, what happened. */
#define STRICT(kind, fix, ...)                                                                                         \
    do {                                                                                                               \
        if (sim_is_strict())                                                                                           \
            sim_report_at(kind, __func__, fix, __VA_ARGS__);                                                           \
    } while (0)

/* ---- handle.c ------------------------------------------------------------------------------------ */

typedef enum sim_kind {
    SIM_CONTEXT,
    SIM_STREAM,
    SIM_EVENT,
    SIM_PIC_DESC,
    SIM_BATCH_DESC,
    SIM_STREAM_DESC,
    SIM_FRAME_CONFIG,
    SIM_CHANNEL_DESC,
    SIM_KINDS, /* kinds that are handles */
    /* other things that are counted */
    SIM_CHANNEL = SIM_KINDS,
    SIM_DEVICE_MEMORY,
    SIM_HOST_MEMORY,
    SIM_SUBSCRIPTION,
    SIM_THREAD,
    SIM_MPI_CHANNEL,
    SIM_MPI_EPOLL,
    SIM_LIVE_KINDS,
} sim_kind;

/*
 * A handle is not an address: it holds the object's kind, its place in the table and a generation.
 * So a stale, foreign or forged one is told from a live one without touching what it would point to,
 * also when the place has been taken by a new object. Objects live in chunks that are never given back.
 */
typedef struct sim_object {
    atomic_uint tag; /* generation, odd while alive */
    uint32_t index;
    uint32_t next_free;
    bool uncounted; /* the library's own, not the program's */
    sim_origin origin;
    const char *ended_by;
} sim_object;

void *sim_handle_new(sim_kind kind, const char *function, void *caller, bool uncounted); /* object, or NULL */
#define HANDLE_NEW(kind) sim_handle_new(kind, __func__, __builtin_return_address(0), false)
void *sim_handle_of(sim_kind kind, const void *object);
void *sim_handle_get(sim_kind kind, const void *handle); /* object, or NULL: not a live handle of that kind */
/* Make the handle stale. False: it was not live, e.g. another thread was faster. */
bool sim_handle_end(sim_kind kind, const void *handle, const char *function);
/* Call with each live object of a kind. */
void sim_handle_each(sim_kind kind, void (*visit)(void *object, void *arg), void *arg);
void sim_handle_reset(void);
/* Report a handle that is not live in strict mode; NULL is not reported. */
void sim_report_stale(sim_kind kind, const void *handle, const char *function);
#define STALE(kind, handle)                                                                                            \
    do {                                                                                                               \
        if (sim_is_strict())                                                                                           \
            sim_report_stale(kind, handle, __func__);                                                                  \
    } while (0)

void sim_live_add(sim_kind kind, int delta);
int64_t sim_live(sim_kind kind);
const char *sim_kind_name(sim_kind kind);
void sim_live_reset(void);

/* ---- device.c -------------------------------------------------------------------------------------------- */

enum { SIM_MAX_DEVICES = 64 };

typedef struct sim_context {
    sim_object object;
    int32_t device;
    bool primary;
    _Atomic(void *) default_stream; /* handle, made when first needed */
} sim_context;

/* The calling thread's current context, NULL if it has none. */
sim_context *sim_current(void);
bool sim_host_mode(void);
uint32_t sim_device_count(void);
void sim_device_count_set(uint32_t count);
/* Non-zero: the code with which a lost device answers. */
int sim_device_lost(int32_t device);
void sim_device_lose(int32_t device, int32_t code);
void sim_device_add_contexts(int32_t device, int delta);
bool sim_devices_in_use(int32_t from); /* one with that number or above has a context */
/* The process-wide manager of the media library: comes up once a thread with a context asks. */
bool sim_dvpp_ready(void);
/* The vendor's interfaces to the encoder, V1 (acldvpp*, aclvenc*) and V2 (hi_mpi_*), are not to be used in one process:
 * strict mode reports it, once. */
typedef enum sim_interface { SIM_V1 = 1, SIM_V2 = 2 } sim_interface;
void sim_interface_used(sim_interface which, const char *function);
void sim_device_reset(void);

/* ---- runtime.c -------------------------------------------------------------------------------------------- */

void sim_runtime_reset(void);

/* ---- report.c -------------------------------------------------------------------------------------------- */

/* Something that a report thread is to run. Part of a bigger object. */
typedef struct sim_report {
    struct sim_report *next;
    bool posted; /* reporter's lock */
    void (*run)(struct sim_report *report);
} sim_report;

/* The queue of one thread that processes reports. */
typedef struct sim_reporter sim_reporter;

/* Subscribe something of a device to a thread: 0 with a reference, or 107012: the thread serves another device. */
aclError sim_reporter_acquire(uint64_t thread, int32_t device, sim_reporter **reporter);
void sim_reporter_release(sim_reporter *reporter);
uint64_t sim_reporter_thread(const sim_reporter *reporter);
bool sim_reporter_has_pump(sim_reporter *reporter); /* a thread is inside aclrtProcessReport for it */
void sim_reporter_post(sim_reporter *reporter, sim_report *report);
bool sim_reporter_withdraw(sim_reporter *reporter, sim_report *report); /* true: it had not been started */
void sim_reporter_wake_all(void);                                       /* look at the devices again */
void sim_report_reset(void);

/*
 * Run a callback of the program: the thread's cancellation state is the program's own meanwhile, and
 * `done` runs even if the thread is cancelled inside.
 */
void sim_run_callback(void (*call)(void *), void *arg, void (*done)(void *));

/* ---- stream.h ---------------------------------------------------------------------------------------------- */

/* Streams of a device that count against its limit: those of the program and two for each channel. */
bool sim_stream_reserve(int32_t device, unsigned count);
void sim_stream_unreserve(int32_t device, unsigned count);
void sim_stream_end_default(const char *function, void *handle);
/* Complete what is on the streams of a context, the default one too, by its handle, and end them. */
aclError sim_stream_end_all(const char *function, const void *context);
/* Streams that the program made in a context, by its handle. */
unsigned sim_stream_in_context(const void *context);
void sim_stream_reset(void);
void sim_stream_kick_all(void); /* the state of a device has changed: whoever waits for a stream or an event looks */

/* How many streams are subscribed to a thread, and where the oldest of them was made. */
unsigned sim_stream_subscribed_count(sim_origin *first);

/* Wait for every task of a device's streams, until a deadline; UINT64_MAX: none but the option's. */
aclError sim_stream_wait_device(const char *function, int32_t device, uint64_t deadline);

/* ---- channel_open.c, channel_list.c, venc.c ------------------------------------------------------------------------- */

/* The libavcodec that aclsim_set_codec named; NULL: let the codec search. */
const char *sim_codec_choice(char buffer[PATH_MAX]);
void sim_codec_choice_after_fork(void);
/* Channels that were opened in a context, by its handle. */
unsigned sim_channel_in_context(const void *context);
/* How many channels are open, and where the oldest of them was made. */
unsigned sim_channel_open_count(sim_origin *first);
void sim_channel_kick_all(void); /* options or the state of a device have changed */
aclError sim_channel_wait_device(const char *function, int32_t device, uint64_t deadline); /* as for its streams */
bool sim_venc_reset(void); /* false: a callback did not return */

/* ---- mpi_*.c: DVPP V2 ------------------------------------------------------------------------------- */

/* How many of its channels are open, and where the oldest of them was made. */
unsigned sim_mpi_open_count(sim_origin *first);
void sim_mpi_kick_all(void);     /* as sim_channel_kick_all */
void sim_mpi_wake_pollers(void); /* the same for threads in hi_mpi_sys_wait_epoll */
void sim_mpi_reset(void);

/* ---- null_codec.c ----------------------------------------------------------------------------------------------------- */

/* Write a canned access unit: right header syntax, meaningless picture data. Returns its size, at least as many bytes
 * as the headers take. `capacity` >= 256. */
size_t sim_null_access_unit(uint8_t *to, size_t capacity, size_t size, acldvppStreamFormat en_type, uint32_t width,
                            uint32_t height, bool idr);
enum { SIM_MARK_SIZE = 36 };
/* The mark of a picture, without a NUL: option `watermark` in aclsim.h. */
void sim_mark(uint8_t *to, const uint8_t *y, const uint8_t *uv, size_t stride, uint32_t width, uint32_t height);
/* A filler data NAL unit of exactly `size` bytes, at least 6. */
void sim_filler(uint8_t *to, size_t size, acldvppStreamFormat en_type);

/* ---- leaks.c ---------------------------------------------------------------------------------------------- */

void sim_report_leaks(const char *function);

/* ---- control.c: reset, and in the child of fork() -------------------------------------------------------------- */

void sim_faults_after_fork(void);
void sim_entry_after_fork(void);
void sim_strict_after_fork(void);
void sim_handle_after_fork(void);
void sim_memory_after_fork(void);
void sim_copy_after_fork(void);
void sim_stream_after_fork(void);
void sim_report_after_fork(void);
void sim_runtime_after_fork(void);
void sim_venc_after_fork(void);
void sim_mpi_after_fork(void);
void sim_mpi_epoll_after_fork(void);
void sim_mpi_module_after_fork(void);
void sim_memory_reset(void);

#endif /* ASCEND_VENC_SIM_H */
