// SPDX-License-Identifier: Apache-2.0
/*
 * avenc.h - the whole C API of libavenc, the native engine of ascend_venc.
 *
 * No Python anywhere below this header. Four objects, each created by one function and ended by its
 * pair; children keep their parents alive, so they may be ended in any order:
 *
 *     avenc_library   a loaded AscendCL: one const table of function pointers     (loader.c)
 *     avenc_device    a device of it: context, report thread, shared by channels  (device.c)
 *     avenc_channel   one encoder channel: slots, in-flight frames, packets       (channel.c)
 *     avenc_packet    one access unit in a pooled buffer, owned by the caller     (pool.c)
 *
 * and, of no device, avenc_converter: pictures of other pixel formats to NV12     (convert.c)
 *
 * Conventions for every function unless its comment says otherwise:
 *   - returns a status: 0, a positive AscendCL code passed through unchanged, or a negative AVENC_E_*.
 *     After a failure avenc_last_failure() of the same thread says which call failed and why, and
 *     out-parameters are untouched;
 *   - may be called from any thread; must not be called from inside an AscendCL callback;
 *   - "may block" is said where it is so; a caller that holds a lock which a callback needs (in
 *     Python: the GIL) releases it first;
 *   - the calling thread's current AscendCL context is the same after the call as before it;
 *   - in a child made by fork() every object of the parent is dead: functions return AVENC_E_FORKED,
 *     ending functions forget the object and touch no device.
 */
#ifndef ASCEND_VENC_AVENC_H
#define ASCEND_VENC_AVENC_H

#ifndef ACL_NO_PROTOTYPES
#define ACL_NO_PROTOTYPES
#endif
#include "ascendcl.h"

#ifdef __cplusplus
extern "C" {
#endif

#define AVENC_API __attribute__((visibility("default")))

/* ---- status ---------------------------------------------------------------------------------- */

/* X(name, value, meaning). ascend_venc/errors.py holds the same list; a test compares them. */
#define AVENC_STATUS_CODES(X)                                                                                          \
    X(AVENC_E_INVALID, -1, "argument outside its contract")                                                            \
    X(AVENC_E_NOMEM, -2, "host memory exhausted")                                                                      \
    X(AVENC_E_TIMEOUT, -3, "the time allowed for the wait has passed")                                                 \
    X(AVENC_E_CLOSED, -4, "the object has been closed")                                                                \
    X(AVENC_E_FORKED, -5, "the object was created before fork()")                                                      \
    X(AVENC_E_NOT_FOUND, -6, "no AscendCL library found")                                                              \
    X(AVENC_E_BROKEN, -7, "an AscendCL library is present but cannot be used")                                         \
    X(AVENC_E_MEDIA_MISSING, -8, "libascendcl found, libacl_dvpp missing")                                             \
    X(AVENC_E_STUB, -9, "link-time stub library (devlib)")                                                             \
    X(AVENC_E_SYMBOL, -10, "a required function is missing from the library")                                          \
    X(AVENC_E_NO_DEVICE, -11, "AscendCL works but reports no device")                                                  \
    X(AVENC_E_UNSUPPORTED, -12, "the loaded library lacks an optional function")                                       \
    X(AVENC_E_DRAINED, -13, "no frame in flight and no packet ready")                                                  \
    X(AVENC_E_FRAME, -14, "the device did not encode this frame")                                                      \
    X(AVENC_E_LOST, -15, "the device never reported this frame")                                                       \
    X(AVENC_E_TOO_LARGE, -16, "the access unit exceeds the packet buffer")                                             \
    X(AVENC_E_WOULD_DEADLOCK, -17, "called from inside a report callback")                                             \
    X(AVENC_E_THREAD, -18, "a native thread could not be started")                                                     \
    X(AVENC_E_NO_CONVERTER, -19, "no library that converts these colours was found")

#define AVENC_ENUM_STATUS(name, value, meaning) name = (value),
enum { AVENC_STATUS_CODES(AVENC_ENUM_STATUS) AVENC_OK = 0 };
#undef AVENC_ENUM_STATUS

/* The last failure of a thread. Strings are NUL-terminated and truncated to fit. */
typedef struct avenc_failure {
    int32_t code;      /* the status that was returned */
    char call[48];     /* AscendCL or engine function that failed; "" if none */
    char detail[2000]; /* the runtime's own text (aclGetRecentErrMsg) or the engine's explanation */
} avenc_failure;

/* The calling thread's last failure; valid until its next libavenc call. Never NULL. */
AVENC_API const avenc_failure *avenc_last_failure(void);

/* ---- library --------------------------------------------------------------------------------- */

typedef struct acl_api {
#define ACL_FIELD(library, presence, ret, name, params) ret(*name) params;
    ACL_FUNCTIONS(ACL_FIELD)
#undef ACL_FIELD
} acl_api;

typedef struct avenc_library avenc_library;

typedef struct avenc_library_options {
    const char *backend;   /* "auto", "ascend", "sim", or the absolute path of a library or its folder */
    const char *sim_path;  /* the simulated device; used by "sim" and by the fall-back of "auto" */
    const char *sim_soc;   /* chip profile of the simulated device, or NULL for its default */
    const char *sim_codec; /* libavcodec for the simulated device, or NULL to let it search */
    int strict_paths;      /* non-zero: refuse a library that others may write to, instead of warning */
} avenc_library_options;

typedef struct avenc_library_info {
    int simulated;            /* the simulated device */
    const char *runtime_path; /* resolved path of libascendcl.so or what stands for it */
    const char *media_path;   /* resolved path of libacl_dvpp.so or what stands for it */
    const char *found_by;     /* which rule of the search found it */
    const char *fallback;     /* "auto" chose the simulated device: why. "" otherwise */
    const char *warnings;     /* newline-separated safety warnings about the paths; "" if none */
    uint32_t device_count;    /* devices reported when the library was opened */
} avenc_library_info;

/*
 * Find and load AscendCL. Search order for "ascend": $ASCEND_VENC_LIBRARY (absolute), already loaded
 * in this process, $ASCEND_TOOLKIT_HOME/lib64, $ASCEND_HOME_PATH/lib64, the system's search by
 * soname. Environment variables are ignored in a set-user-id process. Never a relative path.
 * "auto": as "ascend"; where no library is found, or it works and reports no device, the simulated
 * device, with the reason in info.fallback. A library that is there but broken is an error.
 *
 * The same library opened twice gives the same object. Libraries are never unloaded (their threads
 * outlive us), so there is no closing function. Loading runs the vendor's constructors and may block.
 * On failure avenc_last_failure()->detail names every path that was tried and why it failed.
 */
AVENC_API int avenc_library_open(const avenc_library_options *options, avenc_library **library);
AVENC_API const acl_api *avenc_library_api(const avenc_library *library);
AVENC_API const avenc_library_info *avenc_library_info_get(const avenc_library *library);

/* 1 if the library has the function, 0 if not, AVENC_E_INVALID if no function of the list has that name. */
AVENC_API int avenc_library_has(const avenc_library *library, const char *function);

/*
 * Names of the list, for diagnosis and tests: the index-th function, "RUNTIME" or "MEDIA", and
 * whether it is required. NULL / 0 beyond the end.
 */
AVENC_API const char *avenc_function_name(size_t index);
AVENC_API const char *avenc_function_library(size_t index);
AVENC_API int avenc_function_required(size_t index);

/*
 * Call aclFinalize if this engine's aclInit was the one that counted and no device is open.
 * For process exit; a later avenc_device_open initialises again. May block.
 */
AVENC_API int avenc_library_finalize(avenc_library *library);

/* ---- device ---------------------------------------------------------------------------------- */

typedef struct avenc_device avenc_device;

typedef struct avenc_device_info {
    int32_t device_id;
    int32_t run_mode;  /* aclrtRunMode */
    char soc_name[64]; /* e.g. "Ascend310P3"; "" where the runtime cannot tell */
} avenc_device_info;

/*
 * Open a device: aclInit (100002 counts as success; then aclFinalize is not ours to call), an
 * explicit context, and one native report thread that binds it. Opening the same device again gives
 * the same object and counts a reference. May block.
 */
AVENC_API int avenc_device_open(avenc_library *library, int32_t device_id, avenc_device **device);

/* Drop a reference; the last one stops the report thread and destroys the context. NULL is allowed. May block. */
AVENC_API void avenc_device_close(avenc_device *device);
AVENC_API const avenc_device_info *avenc_device_info_get(const avenc_device *device);

/* ---- packet ---------------------------------------------------------------------------------- */

enum { AVENC_KIND_UNKNOWN = 0, AVENC_KIND_IDR = 1, AVENC_KIND_I = 2, AVENC_KIND_P = 3, AVENC_KIND_B = 4 };

typedef struct avenc_packet {
    const uint8_t *data;   /* one access unit, Annex B; NULL if status is not 0 */
    size_t size;           /* bytes */
    uint64_t frame_index;  /* 0 for the first frame that the channel accepted */
    int64_t pts;           /* as given to avenc_channel_submit */
    int32_t status;        /* 0, or why this frame has no data: AVENC_E_FRAME, _LOST, _TOO_LARGE or an AscendCL code */
    uint32_t ret_code;     /* the device's code for this frame */
    int32_t kind;          /* AVENC_KIND_*, read from the bitstream */
    uint64_t submitted_ns; /* CLOCK_MONOTONIC when the frame was accepted by the engine */
    uint64_t emitted_ns;   /* CLOCK_MONOTONIC when its callback ran */
} avenc_packet;

/*
 * Give the packet's buffer back to its pool. The pool outlives its channel until the last packet is
 * back. Does not block; may be called from any thread; NULL is allowed.
 */
AVENC_API void avenc_packet_release(avenc_packet *packet);

/* ---- channel --------------------------------------------------------------------------------- */

typedef struct avenc_channel avenc_channel;

typedef struct avenc_channel_config {
    int32_t en_type;             /* acldvppStreamFormat */
    int32_t pic_format;          /* acldvppPixelFormat: NV12 or NV21 */
    uint32_t width, height;      /* pixels, even */
    uint32_t key_frame_interval; /* frames from one IDR to the next, >= 1 */
    uint32_t rc_mode;            /* 0 the chip's default, 1 VBR, 2 CBR */
    uint32_t src_rate;           /* frames per second, >= 1 */
    uint32_t max_bit_rate;       /* kbit/s, >= 1 */
    uint32_t depth;              /* frames in flight, 1..AVENC_MAX_DEPTH */
} avenc_channel_config;

enum { AVENC_MAX_DEPTH = 256 };

/* A picture in host memory. Rows may be padded; nothing beyond the last row's width is read. */
typedef struct avenc_picture {
    const uint8_t *y;  /* height rows of width bytes */
    size_t y_stride;   /* bytes from row to row, >= width */
    const uint8_t *uv; /* height/2 rows of width bytes, interleaved as pic_format says */
    size_t uv_stride;  /* bytes from row to row, >= width */
} avenc_picture;

typedef struct avenc_channel_stats {
    uint64_t submitted;        /* frames accepted */
    uint64_t completed;        /* frames whose callback has run, failed ones included */
    uint64_t failed;           /* of these, without data */
    uint64_t key_frames;       /* packets that are IDR */
    uint64_t bytes_out;        /* bytes of all access units */
    uint64_t host_copies_in;   /* copies of pixels in host memory made by the engine */
    uint64_t device_copies_in; /* copies of pixels to device memory (aclrtMemcpy) */
    uint64_t copies_out;       /* copies of access units */
    uint64_t pool_buffers;     /* packet buffers allocated so far */
    uint32_t in_flight;        /* accepted, callback not yet run */
    uint32_t ready;            /* packets that wait to be received */
} avenc_channel_stats;

/*
 * Create a channel on a device, with `depth` picture descriptors bound to device memory. Keeps a
 * reference to the device. All or nothing. The caller has validated ranges that depend on the chip;
 * what the device itself refuses comes back as its code (507018 with the reason in detail). May block.
 */
AVENC_API int avenc_channel_create(avenc_device *device, const avenc_channel_config *config, avenc_channel **channel);

/*
 * Copy one picture into a free slot and send it. On success *frame_index is its number and the
 * caller's memory is free again. On failure nothing was sent. With number_pts the frame's number
 * takes the place of pts.
 *
 * Waits up to timeout_ms for a free slot (0: not at all, then AVENC_E_TIMEOUT if all are in flight).
 * After that it blocks only while the device takes the frame. Frames of concurrent callers are sent
 * one after another in an unspecified order.
 */
AVENC_API int avenc_channel_submit(avenc_channel *channel, const avenc_picture *picture, int64_t pts, int number_pts,
                                   int force_idr, uint32_t timeout_ms, uint64_t *frame_index);

/*
 * Take up to `max` finished packets, oldest first, without waiting; *count may be 0. Ownership goes
 * to the caller, failed frames (status != 0) included: each is released with avenc_packet_release.
 */
AVENC_API int avenc_channel_drain(avenc_channel *channel, avenc_packet **packets, size_t max, size_t *count);

/*
 * Wait up to timeout_ms until a packet is ready. AVENC_OK if so, AVENC_E_DRAINED if nothing is in
 * flight, AVENC_E_TIMEOUT, AVENC_E_CLOSED, or the code with which the device was lost.
 */
AVENC_API int avenc_channel_wait(avenc_channel *channel, uint32_t timeout_ms);

/* Wait up to timeout_ms until no frame is in flight; their packets are then ready. Same codes as _wait. */
AVENC_API int avenc_channel_wait_idle(avenc_channel *channel, uint32_t timeout_ms);

/*
 * Stop the channel: refuse further frames, wait up to timeout_ms for those in flight, destroy the
 * hardware channel. Packets that are ready stay readable by _drain. After AVENC_E_TIMEOUT the call
 * may be repeated. Idempotent. May block.
 */
AVENC_API int avenc_channel_close(avenc_channel *channel, uint32_t timeout_ms);

/*
 * Close if that has not happened (waiting at most timeout_ms) and free. Where the device does not
 * give the frames back in time, the native objects are leaked on purpose rather than freed under its
 * feet, and the status says so; the handle is gone in any case. NULL is allowed. May block.
 */
AVENC_API int avenc_channel_destroy(avenc_channel *channel, uint32_t timeout_ms);

AVENC_API void avenc_channel_stats_get(avenc_channel *channel, avenc_channel_stats *stats);

/* ---- conversion ------------------------------------------------------------------------------ */

/* X(name, value): what a converter reads. Rows of 8-bit samples, top row first. */
#define AVENC_SOURCES(X)                                                                                               \
    X(I420, 0)    /* planes Y, Cb, Cr; chroma of width/2 x height/2 */                                                 \
    X(YV12, 1)    /* planes Y, Cr, Cb */                                                                               \
    X(GRAY8, 2)   /* one plane of luma */                                                                              \
    X(RGB24, 3)   /* one plane; bytes in memory R G B */                                                               \
    X(BGR24, 4)   /* B G R */                                                                                          \
    X(RGBA, 5)    /* R G B A; A is ignored */                                                                          \
    X(BGRA, 6)    /* B G R A; A is ignored */                                                                          \
    X(YUYV422, 7) /* Y Cb Y Cr for two pixels */                                                                       \
    X(UYVY422, 8) /* Cb Y Cr Y for two pixels */

#define AVENC_ENUM_SOURCE(name, value) AVENC_SOURCE_##name = (value),
enum { AVENC_SOURCES(AVENC_ENUM_SOURCE) AVENC_SOURCE_COUNT };
#undef AVENC_ENUM_SOURCE

enum { AVENC_BT601 = 0, AVENC_BT709 = 1 };
enum { AVENC_RANGE_LIMITED = 0, AVENC_RANGE_FULL = 1 };

/* What converts: loops of the engine, or one of two libraries. */
enum { AVENC_BY_ENGINE = 0, AVENC_BY_LIBYUV = 1, AVENC_BY_SWSCALE = 2 };

typedef struct avenc_converter_config {
    int32_t source;           /* AVENC_SOURCE_* */
    int32_t pic_format;       /* acldvppPixelFormat of the destination: NV12 or NV21 */
    uint32_t width, height;   /* pixels, even */
    int32_t matrix;           /* AVENC_BT601 or AVENC_BT709; RGB sources only, YUV keeps its own */
    int32_t source_range;     /* AVENC_RANGE_* of a YUV or grey source; RGB is always full */
    int32_t range;            /* AVENC_RANGE_* of the destination */
    int32_t by;               /* AVENC_BY_* for RGB; AVENC_BY_ENGINE: the faster of those found */
    uint32_t threads;         /* 1: the caller's only; 2: large RGB pictures also by the process's worker, if idle */
    const char *libyuv_path;  /* a library with libyuv's functions, tried after the system's libyuv; or NULL */
    const char *swscale_path; /* libswscale, tried before the system's; or NULL */
} avenc_converter_config;

typedef struct avenc_converter avenc_converter;

/*
 * Create a converter to NV12 or NV21. YUV and grey sources need no library. RGB sources take libyuv
 * where it has the routine (BT.601), else libswscale; AVENC_E_NO_CONVERTER if neither is found, with
 * every path tried. `by` insists on one, for results that are the same on every machine. Libraries are looked for once in a process and stay loaded. May block.
 */
AVENC_API int avenc_converter_create(const avenc_converter_config *config, avenc_converter **converter);

/*
 * Convert one picture into host memory: height rows of width bytes of luma at y, height/2 rows of width
 * bytes at uv. Nothing is written between or beyond these rows, nothing read beyond the source's.
 * planes and strides are those of the source format; strides of at least a row, up to 2^31 - 1.
 * A chroma sample is the mean of the 2 x 2 pixels (4:2:2 sources: of the two rows) that it covers.
 * Calls on one converter wait for each other; different converters run in parallel. No allocation.
 */
AVENC_API int avenc_converter_convert(avenc_converter *converter, const uint8_t *const planes[3],
                                      const size_t strides[3], uint8_t *y, size_t y_stride, uint8_t *uv,
                                      size_t uv_stride);

AVENC_API int avenc_converter_by(const avenc_converter *converter);              /* AVENC_BY_* */
AVENC_API const char *avenc_converter_library(const avenc_converter *converter); /* its path; "" for the engine */

/* Free; no call on the converter may be under way. NULL is allowed. */
AVENC_API void avenc_converter_destroy(avenc_converter *converter);

/* ---- accounting ------------------------------------------------------------------------------ */

/* X(name, index): kinds of native object, always counted. */
#define AVENC_LIVE_KINDS(X) X(DEVICE, 0) X(CHANNEL, 1) X(SLOT, 2) X(POOL, 3) X(PACKET, 4) X(THREAD, 5) X(CONVERTER, 6)

#define AVENC_ENUM_KIND(name, index) AVENC_LIVE_##name = (index),
enum { AVENC_LIVE_KINDS(AVENC_ENUM_KIND) AVENC_LIVE_COUNT };
#undef AVENC_ENUM_KIND

/* Objects of that kind alive now (packets: those outside their pool). -1 for an unknown kind. */
AVENC_API int64_t avenc_live(int kind);
AVENC_API const char *avenc_live_name(int kind); /* NULL for an unknown kind */

#ifdef __cplusplus
}
#endif

#endif /* ASCEND_VENC_AVENC_H */
