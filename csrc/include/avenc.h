// SPDX-License-Identifier: Apache-2.0
/*
 * avenc.h - the whole C API of libavenc, the native engine of ascend_venc.
 *
 * No Python anywhere below this header. Objects are counted: whoever uses one holds a reference, releasing never
 * blocks, and what needs the vendor's library to end is ended by native threads.
 *
 *     avenc_library   a loaded AscendCL: one const table of function pointers     (load/ascend.c)
 *     avenc_device    a device of it, shared by channels                          (engine/device.c, ports/)
 *     avenc_channel   one hardware channel, which never changes                   (engine/channel.c, intake.c, output.c)
 *     avenc_frame     a picture buffer of a channel for the caller to fill        (engine/intake.c)
 *     avenc_packet    one access unit in a pooled buffer, owned by the caller     (engine/pool.c)
 *     avenc_waitset   one wait for many channels                                  (engine/waitset.c)
 *
 * and, of no device, avenc_converter: pictures of other pixel formats to NV12     (convert/)
 *
 * Conventions for every function unless its comment says otherwise:
 *   - returns a status: 0, a positive AscendCL code passed through unchanged, or a negative AVENC_E_*.
 *     After a failure avenc_last_failure() of the same thread says which call failed and why, and
 *     out-parameters are untouched;
 *   - may be called from any thread; must not be called from inside an AscendCL callback;
 *   - waits only if it takes an avenc_wait, or says "may block"; a caller that holds a lock which a callback needs
 *     (in Python: the GIL) releases it first;
 *   - the calling thread's current AscendCL context is the same after the call as before it;
 *   - in a child made by fork() every object of the parent is dead: functions return AVENC_E_FORKED,
 *     ending functions forget the object and touch no device.
 */
#ifndef ASCEND_VENC_AVENC_H
#define ASCEND_VENC_AVENC_H

#ifndef ACL_NO_PROTOTYPES
#define ACL_NO_PROTOTYPES
#endif
#ifndef HI_NO_PROTOTYPES
#define HI_NO_PROTOTYPES
#endif
#include "ascendcl.h"
#include "himpi.h"

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
    X(AVENC_E_FULL, -19, "no room for another frame")                                                                  \
    X(AVENC_E_DROPPED, -20, "dropped to make room for a newer one")                                                    \
    X(AVENC_E_NO_CONVERTER, -21, "no library that converts these colours was found")                                   \
    X(AVENC_E_SINK, -22, "the sink cannot be written")                                                                 \
    X(AVENC_E_REPLACED, -23, "another channel has taken this one's place")                                             \
    X(AVENC_E_AGAIN, -24, "a picture buffer is being made")                                                            \
    X(AVENC_E_LOOK, -25, "the wait goes on: look for signals and call again")                                          \
    X(AVENC_E_MIXED, -26, "the process uses the other one of the vendor's interfaces")                                 \
    X(AVENC_E_UNSURE, -27, "the device's settings are not known")

#define AVENC_ENUM_STATUS(name, value, meaning) name = (value),
enum { AVENC_STATUS_CODES(AVENC_ENUM_STATUS) AVENC_OK = 0 };
#undef AVENC_ENUM_STATUS

/* Where a call takes timeout_ms: without bound. */
#define AVENC_NO_TIMEOUT UINT32_MAX

/* The last failure of a thread. Strings are NUL-terminated and truncated to fit. */
typedef struct avenc_failure {
    int32_t code;      /* the status that was returned */
    char call[48];     /* AscendCL or engine function that failed; "" if none */
    char detail[2000]; /* the runtime's own text (aclGetRecentErrMsg) or the engine's explanation */
} avenc_failure;

/* The calling thread's last failure; valid until its next libavenc call. Never NULL. */
AVENC_API const avenc_failure *avenc_last_failure(void);

/* ---- waiting --------------------------------------------------------------------------------- */

#define AVENC_FOR_EVER UINT64_MAX

/*
 * How long a call may wait, in nanoseconds of CLOCK_MONOTONIC. A call that ended with AVENC_E_LOOK is repeated with
 * the same structure and goes on with the same wait. Where a function takes one, NULL means: do not wait.
 */
typedef struct avenc_wait {
    uint64_t since_ns;    /* when the wait began */
    uint64_t deadline_ns; /* AVENC_E_TIMEOUT or _FULL at this moment; AVENC_FOR_EVER */
    uint64_t stall_ns; /* AVENC_E_TIMEOUT when frames are in flight and none is finished for so long; AVENC_FOR_EVER */
    uint64_t look_ns;  /* AVENC_E_LOOK after so long: the caller looks for signals; AVENC_FOR_EVER: never */
} avenc_wait;

/* A wait that begins now and ends after timeout_ms (AVENC_NO_TIMEOUT: never), without stall or look. */
AVENC_API avenc_wait avenc_wait_for(uint32_t timeout_ms);

/* Bytes up to which a copy is shorter than winning a contended interpreter lock back: a caller keeps it for them. */
enum { AVENC_SHORT_COPY_BYTES = 4 << 20 };

/* ---- library --------------------------------------------------------------------------------- */

typedef struct acl_api {
#define ACL_FIELD(library, presence, ret, name, params) ret(*name) params;
    ACL_FUNCTIONS(ACL_FIELD)
#undef ACL_FIELD
} acl_api;

/* DVPP V2. Optional functions may be NULL. */
typedef struct himpi_api {
#define HIMPI_FIELD(presence, ret, name, params) ret(*name) params;
    HIMPI_FUNCTIONS(HIMPI_FIELD)
#undef HIMPI_FIELD
} himpi_api;

typedef struct avenc_library avenc_library;

typedef struct avenc_library_options {
    const char *backend;   /* "auto", "ascend", "sim", or the absolute path of a library or its folder */
    const char *sim_path;  /* the simulated device; used by "sim" and by the fall-back of "auto" */
    const char *sim_soc;   /* chip profile of the simulated device, or NULL for its default */
    const char *sim_codec; /* libavcodec for the simulated device, or NULL to let it search */
    int strict_paths;      /* non-zero: refuse a library that others may write to, instead of warning */
    const char *warned;    /* warnings that were given, newline-separated; or NULL: see below */
    size_t warned_room;    /* the engine's own */
} avenc_library_options;

enum { AVENC_SOC_NAME_SIZE = 64 };

/* Not looked for; open; not there; there, but it cannot be used. */
enum { AVENC_MPI_UNTRIED = 0, AVENC_MPI_READY = 1, AVENC_MPI_MISSING = 2, AVENC_MPI_BROKEN = 3 };

typedef struct avenc_library_info {
    int simulated;            /* the simulated device */
    const char *runtime_path; /* resolved path of libascendcl.so or what stands for it */
    const char *media_path;   /* resolved path of libacl_dvpp.so or what stands for it */
    int mpi_state;            /* AVENC_MPI_*: whether libacl_dvpp_mpi.so, DVPP V2, is open */
    const char *mpi_path;     /* its resolved path; "" where it is not open */
    const char *mpi_problem;  /* why not; "" where it is */
    const char *found_by;     /* which rule of the search found it */
    const char *fallback;     /* "auto" chose the simulated device: why. "" otherwise */
    const char *warnings;     /* newline-separated safety warnings about the paths; "" if none */
    uint32_t device_count;    /* devices reported when the library was opened the last time */
    const char *soc_name;     /* e.g. "Ascend310P3", as reported then; "" where the runtime cannot tell */
    int32_t version[3];       /* AscendCL's interface version; 0, 0, 0 where the runtime cannot tell */
} avenc_library_info;

/*
 * Find and load AscendCL. Search order for "ascend": $ASCEND_VENC_LIBRARY (absolute), already loaded
 * in this process, $ASCEND_TOOLKIT_HOME/lib64, $ASCEND_HOME_PATH/lib64, the system's search by
 * soname. Environment variables are ignored in a set-user-id process. Never a relative path.
 * "auto": as "ascend"; where no library is found, or it works and reports no device, the simulated
 * device, with the reason in info.fallback. A library that is there but broken is an error.
 *
 * With options.warned nothing is loaded that the caller has not warned about: where a warning is due that is not among
 * those, the opening ends with AVENC_OK, *library NULL, and it added to *warned. Warn, then open again.
 *
 * The same library opened twice gives the same object. Libraries are never unloaded (their threads outlive us), so
 * there is no closing function. On failure avenc_last_failure()->detail names every path that was tried and why it
 * failed.
 *
 * Opening runs the vendor's constructors, aclrtGetDeviceCount and perhaps aclInit. A native thread does it, which
 * avenc_library_open starts and does not wait for: one of these that never returns costs that thread, and nobody who
 * opens another library, or the same one again, once the files are loaded. While a constructor does not return nobody
 * in the process can load anything, nor can it end by exit(): the dynamic loader holds its lock.
 */
typedef struct avenc_opening avenc_opening;
AVENC_API int avenc_library_open(const avenc_library_options *options, avenc_opening **opening);

/* Wait for it. AVENC_E_TIMEOUT: it goes on natively. *warned (which may be NULL) is valid until the release. */
AVENC_API int avenc_library_wait_open(avenc_opening *opening, const avenc_wait *wait, avenc_library **library,
                                      const char **warned);

/*
 * Open libacl_dvpp_mpi.so, DVPP V2, which is not opened with the others: beside the runtime's file, or by soname, by the
 * same rules of what may be loaded, on a native thread, waited for and warned about as above (options.strict_paths and
 * .warned count). Whether it is there, and why not, is in info.mpi_state and .mpi_problem afterwards; it is no failure
 * that it is not. One that is open stays so; another one is looked for anew by each call.
 */
AVENC_API int avenc_library_open_mpi(avenc_library *library, const avenc_library_options *options,
                                     avenc_opening **opening);

/* Give the opening up, whether it is done or not. Does not block. */
AVENC_API void avenc_opening_release(avenc_opening *opening);

AVENC_API const acl_api *avenc_library_api(const avenc_library *library);

/* The functions of DVPP V2; NULL while it is not open. A runtime without them is whole all the same. */
AVENC_API const himpi_api *avenc_library_himpi(const avenc_library *library);
AVENC_API const avenc_library_info *avenc_library_info_get(const avenc_library *library);

/*
 * 1 if the library has the function, 0 if not, AVENC_E_INVALID if no function of the lists has that name. Of DVPP V2's
 * it has none while that is not open.
 */
AVENC_API int avenc_library_has(const avenc_library *library, const char *function);

/*
 * Names of the list, for diagnosis and tests: the index-th function, "RUNTIME" or "MEDIA", and
 * whether it is required. NULL / 0 beyond the end.
 */
AVENC_API const char *avenc_function_name(size_t index);
AVENC_API const char *avenc_function_library(size_t index);
AVENC_API int avenc_function_required(size_t index);

/*
 * Call aclFinalize, on a native thread, if this engine's aclInit was the one that counted, no device is left and no
 * native thread is inside the vendor's library. For process exit; a later avenc_device_open initialises again.
 */
AVENC_API int avenc_library_finalize(avenc_library *library, const avenc_wait *wait);

/* ---- device ---------------------------------------------------------------------------------- */

typedef struct avenc_device avenc_device;

typedef struct avenc_device_info {
    int32_t device_id;
    int32_t run_mode;                   /* aclrtRunMode */
    char soc_name[AVENC_SOC_NAME_SIZE]; /* e.g. "Ascend310P3"; "" where the runtime cannot tell */
} avenc_device_info;

/*
 * The vendor's two interfaces to the encoder. They must not be mixed in one process (documented): the first that is used
 * through this API decides, until the process ends. A child of fork() chooses anew.
 */
enum { AVENC_DVPP_V1 = 1, AVENC_DVPP_V2 = 2 };

/* That one, or 0 while none was used. */
AVENC_API int avenc_interface_in_use(void);

/*
 * Wait while that one is in use only because devices are being opened by it: if all of them fail it is not.
 * AVENC_E_TIMEOUT: they are still. With `wait` NULL it does not wait.
 */
AVENC_API int avenc_interface_wait_settled(int interface, const avenc_wait *wait);

/* For who uses an interface without opening a device here: decide, or AVENC_E_MIXED. */
AVENC_API int avenc_interface_use(int interface);

/*
 * The program has made memory or descriptions of that interface by itself, and will go on to use it. Decides nothing:
 * it is what avenc_interface_expected returns while none is in use. Any thread; a child of fork() expects none.
 */
AVENC_API void avenc_interface_expect(int interface);
AVENC_API int avenc_interface_expected(void);

/*
 * Before hi_mpi_sys_exit, which ends what everybody in the process has on the device. 1: no device is open here, and
 * opening one on V2 is AVENC_E_MIXED until avenc_interface_end_exit. 0: one is open, or ends, or is being opened: leave
 * it, and do not call avenc_interface_end_exit. Neither waits.
 */
AVENC_API int avenc_interface_begin_exit(void);
AVENC_API void avenc_interface_end_exit(void);

/*
 * Begin to open a device, on a native thread of its own: aclInit (100002 counts as success; then aclFinalize is not
 * ours to call), an explicit context, report thread. AVENC_E_MIXED: the process uses the other interface;
 * AVENC_E_INVALID: there is no such device, or V2 is asked of a library or a chip without it. A device that is open, or being opened, is shared: the call
 * counts a reference. Does not block; avenc_device_wait_open tells how it went.
 */
AVENC_API int avenc_device_open(avenc_library *library, int32_t device_id, int interface, avenc_device **device);

/* Wait until it is open: AVENC_OK, or why it could not be opened, which goes for everybody who waited for it. */
AVENC_API int avenc_device_wait_open(avenc_device *device, const avenc_wait *wait);

/* Drop a reference; the last one ends the device, on native threads. Does not block. NULL is allowed. */
AVENC_API void avenc_device_release(avenc_device *device);

/* Of a device that is open. */
AVENC_API const avenc_device_info *avenc_device_info_get(const avenc_device *device);

/* ---- packet ---------------------------------------------------------------------------------- */

enum { AVENC_KIND_UNKNOWN = 0, AVENC_KIND_IDR = 1, AVENC_KIND_I = 2, AVENC_KIND_P = 3, AVENC_KIND_B = 4 };

typedef struct avenc_packet {
    const uint8_t *data;   /* one access unit, Annex B; NULL if status is not 0 */
    size_t size;           /* bytes */
    uint64_t frame_index;  /* 0 for the first frame that the channel accepted */
    int64_t pts;           /* as given with the frame, or counted: see number_pts */
    int32_t status;        /* 0, or why this frame has no data: AVENC_E_FRAME, _LOST, _TOO_LARGE or an AscendCL code */
    uint32_t ret_code;     /* the device's code for this frame */
    int32_t kind;          /* AVENC_KIND_*, read from the bitstream */
    uint64_t submitted_ns; /* CLOCK_MONOTONIC when the frame was accepted by the engine */
    uint64_t emitted_ns;   /* CLOCK_MONOTONIC when its callback ran */
    uint64_t tag;          /* as given with the frame */
    uint32_t epoch;        /* of the settings that its pts was made by: avenc_channel_epoch */
    int promised;          /* as given with the frame: avenc_channel_take */
    int32_t device_kind;   /* AVENC_KIND_* as the device tells it; UNKNOWN where it does not, and on DVPP V1 */
    int32_t mean_qp;       /* likewise, the picture's mean quantiser, 0..51; -1 */
    uint64_t picture_bits; /* likewise, bits that the picture took; 0 */
    int32_t en_type;       /* acldvppStreamFormat of the data */
} avenc_packet;

/*
 * Give the packet's buffer back to its pool. The pool outlives its channel until the last packet is
 * back. Does not block; may be called from any thread; NULL is allowed.
 */
AVENC_API void avenc_packet_release(avenc_packet *packet);

/*
 * The next NAL unit of Annex B data, from *position (0 at first), which is moved on: where its first
 * byte is, after the start code, and its length without trailing zeros. 1 if there is one, else 0.
 */
AVENC_API int avenc_next_nal(const uint8_t *data, size_t size, size_t *position, size_t *start, size_t *length);

/*
 * What a stream's parameter sets tell of its pictures (VUI: ITU-T H.264 and H.265, annex E). Only what `tells` names is
 * changed; colours are code points of ITU-T H.273.
 */
enum {
    AVENC_VUI_PRIMARIES = 1,
    AVENC_VUI_TRANSFER = 2,
    AVENC_VUI_MATRIX = 4,
    AVENC_VUI_RANGE = 8,
    AVENC_VUI_SHAPE = 16,
    AVENC_VUI_TIMING = 32,
    AVENC_VUI_FIXED_RATE = 64, /* H.264 only, beside timing */
};

typedef struct avenc_vui {
    uint32_t tells; /* AVENC_VUI_*; 0: nothing */
    uint8_t primaries, transfer, matrix;
    uint8_t full_range;                 /* 1: full, 0: limited */
    uint8_t fixed_rate;                 /* fixed_frame_rate_flag */
    uint16_t sar_width, sar_height;     /* shape of a sample, in lowest terms */
    uint32_t units_in_tick, time_scale; /* seconds a tick: the first by the second. H.264 has two ticks a frame */
} avenc_vui;

/*
 * Write it into one NAL unit: H.264's SPS, H.265's SPS, and H.265's VPS where it tells timing. Without start code; `to`
 * is written with emulation prevention, 128 bytes more than `size` are always enough. en_type is acldvppStreamFormat.
 * AVENC_E_INVALID for other NAL units, for syntax that is not known and for want of room. May be called from any thread.
 */
AVENC_API int avenc_vui_put(const avenc_vui *vui, int32_t en_type, const uint8_t *nal, size_t size, uint8_t *to,
                            size_t room, size_t *written);

/* ---- supplemental enhancement information ------------------------------------------------------ */

/* One SEI message: ITU-T H.264 and H.265, 7.3.2.3 and annex D. */
typedef struct avenc_sei {
    uint32_t type;          /* payloadType */
    const uint8_t *payload; /* without emulation prevention */
    size_t size;            /* bytes */
} avenc_sei;

/* Take emulation prevention out of a NAL unit, or the rest of one. `to` has `size` bytes; returns how many are used. */
AVENC_API size_t avenc_unescape(const uint8_t *nal, size_t size, uint8_t *to);

/*
 * The next message of an SEI NAL unit, given without its header of one byte (H.264) or two (H.265) and without emulation
 * prevention, from *position (0 at first), which is moved on. 1 if there is one, 0 at the end; AVENC_E_INVALID where it
 * ends within a message, or has no stop bit. The payload is part of `rbsp`. May be called from any thread.
 */
AVENC_API int avenc_next_sei(const uint8_t *rbsp, size_t size, size_t *position, avenc_sei *message);

/*
 * Write `count` messages, at least one, as a NAL unit in Annex B: a start code of four bytes, header (H.265: a prefix SEI),
 * messages with emulation prevention, stop bit. With `to` NULL it is only measured. AVENC_E_INVALID for want of room.
 */
AVENC_API int avenc_sei_put(int32_t en_type, const avenc_sei *messages, size_t count, uint8_t *to, size_t room,
                            size_t *written);

/* Payload of type 6: from which picture on what is decoded is right, or (exact_match 0) good enough, after a random access. */
typedef struct avenc_recovery_point {
    int32_t count; /* H.264: frames from here, 0 to 65535; H.265: pictures in output order, -32768 to 32767 */
    uint8_t exact_match;
    uint8_t broken_link; /* pictures from here on may show what is gone: an edit */
} avenc_recovery_point;

enum { AVENC_RECOVERY_POINT_SIZE = 8 };

/* AVENC_E_INVALID: the payload ends within a field; a count outside its range. */
AVENC_API int avenc_recovery_point_get(int32_t en_type, const uint8_t *payload, size_t size,
                                       avenc_recovery_point *point);
AVENC_API int avenc_recovery_point_put(int32_t en_type, const avenc_recovery_point *point,
                                       uint8_t to[AVENC_RECOVERY_POINT_SIZE], size_t *size);

/* ---- length-prefixed NAL units ------------------------------------------------------------------ */

/*
 * Annex B to NAL units with their lengths in front, `length_size` bytes (1, 2 or 4), the highest first. Without
 * `parameter_sets` those are left out which a configuration record has: SPS, PPS, H.264's SPS extension, H.265's VPS. With
 * `to` NULL it is only measured. AVENC_E_INVALID: another length_size, a unit too long for it, no room. May be called
 * from any thread, as the next three.
 */
AVENC_API int avenc_to_length_prefixed(int32_t en_type, const uint8_t *data, size_t size, uint32_t length_size,
                                       int parameter_sets, uint8_t *to, size_t room, size_t *written);

/* And back, each with a start code of four bytes. AVENC_E_INVALID also where a length leads beyond the data. */
AVENC_API int avenc_to_annex_b(const uint8_t *data, size_t size, uint32_t length_size, uint8_t *to, size_t room,
                               size_t *written);

/*
 * The decoder configuration record (ISO/IEC 14496-15: avcC, hvcC) of the parameter sets in front of an access unit's
 * first slice, for lengths of four bytes. in_band: H.265's sample entry is "hev1", the stream may have others.
 * AVENC_E_INVALID: one of them is missing or of unknown syntax, no room. With `to` NULL it is only measured.
 */
AVENC_API int avenc_description_put(int32_t en_type, const uint8_t *data, size_t size, int in_band, uint8_t *to,
                                    size_t room, size_t *written);

/* The NAL units of a record in Annex B, in its order, and its length_size. AVENC_E_INVALID: damaged, no room. */
AVENC_API int avenc_description_get(int32_t en_type, const uint8_t *record, size_t size, uint8_t *to, size_t room,
                                    size_t *written, uint32_t *length_size);

/* ---- wait set -------------------------------------------------------------------------------- */

/*
 * One wait for any number of channels, which says which of them made progress: a packet, room for a frame, the end,
 * the loss of the device. Each channel has a key in it; a key is listed once, however much has happened.
 */
typedef struct avenc_waitset avenc_waitset;

enum { AVENC_MAX_KEYS = 1 << 20 };

AVENC_API int avenc_waitset_create(avenc_waitset **waitset);
AVENC_API void avenc_waitset_release(avenc_waitset *waitset); /* NULL is allowed; attached channels keep a reference */

/* List a key, as its channel does, and wake whoever waits or collects; any thread, does not block. */
AVENC_API void avenc_waitset_signal(avenc_waitset *waitset, uint32_t key);

/*
 * Sleep until keys are listed, and take at most `max` of them, those listed first. AVENC_OK, AVENC_E_TIMEOUT or _LOOK
 * with *count 0. Several threads may wait; each key goes to one of them. With coalesce_us > 0 keys are collected for
 * that long where the recent rate promises more than one of them: fewer wake-ups, later packets.
 */
AVENC_API int avenc_waitset_take(avenc_waitset *waitset, const avenc_wait *wait, uint32_t coalesce_us, uint32_t *keys,
                                 uint32_t max, uint32_t *count);

/*
 * A file descriptor for an event loop, made at the first call (-1 and a failure where there is none to be had). It
 * becomes readable at the first signal after avenc_waitset_arm, and unreadable by avenc_waitset_take. Arming forgets the
 * keys that are listed: arm, look at every channel, then sleep.
 */
AVENC_API int avenc_waitset_fd(avenc_waitset *waitset);
AVENC_API void avenc_waitset_arm(avenc_waitset *waitset);

/* ---- channel --------------------------------------------------------------------------------- */

/*
 * One hardware channel. Size, formats and depth never change: others are another channel, which takes its place and
 * shares its stream: lock, frame numbers, packets, counters, wait sets and sink. Functions that take or wait for packets, and
 * those that end, mean the stream, whichever of its channels they are given.
 */
typedef struct avenc_channel avenc_channel;

/* Modes of rate control; V1 has the first three. */
enum {
    AVENC_RC_DEFAULT = 0,
    AVENC_RC_VBR = 1,
    AVENC_RC_CBR = 2,
    AVENC_RC_AVBR = 3,
    AVENC_RC_QVBR = 4,
    AVENC_RC_CVBR = 5,
    AVENC_RC_FIXQP = 6,
};

/* Limits that V2 takes with all modes but FIXQP: quantisers, proportions of I to P, times a picture is encoded again. */
enum {
    AVENC_LIMIT_MIN_QP,
    AVENC_LIMIT_MAX_QP,
    AVENC_LIMIT_MIN_I_QP,
    AVENC_LIMIT_MAX_I_QP,
    AVENC_LIMIT_MIN_I_PROPORTION,
    AVENC_LIMIT_MAX_I_PROPORTION,
    AVENC_LIMIT_MAX_REENCODE,
    AVENC_LIMITS,
};

/* A rectangle with a quantiser of its own. */
typedef struct avenc_region {
    uint32_t x, y, width, height; /* pixels, multiples of 16 (documented) */
    int32_t qp;                   /* 0..51; relative: what is added to the picture's, -51..51 */
    int relative;
} avenc_region;

enum { AVENC_MOST_REGIONS = 8 };

typedef struct avenc_channel_config {
    int32_t en_type;             /* acldvppStreamFormat */
    int32_t pic_format;          /* acldvppPixelFormat: NV12 or NV21 */
    uint32_t width, height;      /* pixels, even */
    uint32_t key_frame_interval; /* frames from one IDR to the next, >= 1 */
    uint32_t rc_mode;            /* AVENC_RC_* */
    uint32_t src_rate;           /* frames per second, >= 1 */
    uint32_t max_bit_rate;       /* kbit/s, >= 1 */
    uint32_t depth;              /* frames inside the device, 1..AVENC_MAX_DEPTH */
    uint32_t queue;              /* frames that may wait natively for the device, 0..AVENC_MAX_DEPTH */
    uint32_t max_ready;         /* packets that may wait for a consumer; 0: any number. Of the stream's first channel */
    int drop_oldest;            /* at max_ready: drop the oldest packet, instead of taking no more frames. Likewise */
    int64_t time_num, time_den; /* seconds per unit of pts, for number_pts; both 1..2^31 - 1 */
    uint32_t limits_given;      /* a bit for each AVENC_LIMIT_*; the others are the device's. V1 has none */
    uint32_t limits[AVENC_LIMITS];
    uint32_t i_qp, p_qp; /* of AVENC_RC_FIXQP */
    /* Of V2; V1 has none of these. */
    uint32_t scene;         /* 1 + hi_venc_scene_mode; 0: the device's own */
    uint32_t refresh_count; /* rows or columns that each picture refreshes; 0: none */
    int refresh_columns;
    uint32_t refresh_i_qp; /* of I pictures that are asked for then, 0..51 */
    uint32_t region_count; /* of `regions`: where they overlap, the later one counts */
    avenc_region regions[AVENC_MOST_REGIONS];
    avenc_vui vui; /* written into the parameter sets of key frames; fixed_rate ends where a pts is given */
    int aud;       /* an access-unit delimiter in front of each access unit that has none */
} avenc_channel_config;

enum { AVENC_MAX_DEPTH = 256, AVENC_MAX_SEI = 65536 };

/* A picture in host memory. Rows may be padded; nothing beyond the last row's width is read. */
typedef struct avenc_picture {
    const uint8_t *y;             /* rows of luma */
    size_t y_stride;              /* bytes from row to row, >= width */
    const uint8_t *uv;            /* rows of chroma, interleaved as pic_format says */
    size_t uv_stride;             /* bytes from row to row, >= width */
    uint32_t width;               /* bytes of a row: the channel's width */
    uint32_t y_height, uv_height; /* rows that are there: the channel's height, and half of it */
} avenc_picture;

/* One frame to be encoded. */
typedef struct avenc_submission {
    avenc_picture picture; /* ignored where the pixels come from elsewhere */
    int64_t pts;
    int number_pts; /* counted instead of pts: one unit a frame; after a change of time base time goes on */
    int force_idr;
    int converted; /* an acquired frame that the caller's CPU has written in one pass: counted as a copy */
    uint64_t tag;  /* 0, or a number that comes back exactly once for each accepted frame: on its packet, or by
                      avenc_channel_take_dropped. Meaningless to the engine */
    int promised;  /* its packet is for who takes `promised` ones: avenc_channel_take */
    const uint8_t
        *sei;        /* NAL units in Annex B, such as avenc_sei_put makes, for this access unit: in front of its first
                           slice, behind delimiter and parameter sets, in H.265 with its temporal id. Copied before
                           the call returns; they share the fate of the frame. Not looked at where sei_size is 0 */
    size_t sei_size; /* bytes, up to AVENC_MAX_SEI; with `sei` NULL anything but 0 is AVENC_E_INVALID */
} avenc_submission;

/* A picture in device memory: luma, then interleaved chroma at data + stride * height_stride. */
typedef struct avenc_device_picture {
    void *data;             /* stays valid until the frame's tag has come back, or the channel has ended */
    uint32_t stride;        /* bytes from row to row, >= width */
    uint32_t height_stride; /* rows from luma to chroma, >= height */
    aclrtStream stream;     /* of the calling thread's current context; waited for before the device reads */
    int wait;               /* non-zero: wait for `stream`, which may be NULL then: the default stream */
} avenc_device_picture;

/* Times in a histogram, four buckets for each doubling of microseconds: see avenc_bucket_ns. */
enum { AVENC_BUCKETS = 104 };

/* Upper bound of a bucket in nanoseconds. */
AVENC_API uint64_t avenc_bucket_ns(int bucket);

/* Counters of a stream: they go on from channel to channel. */
typedef struct avenc_channel_stats {
    uint64_t submitted;       /* frames accepted */
    uint64_t completed;       /* frames whose callback has run, failed ones included */
    uint64_t failed;          /* frames without data: refused by the device, lost, too large */
    uint64_t dropped_frames;  /* accepted frames that made room for newer ones, or were closed, before they were sent */
    uint64_t dropped_packets; /* packets that made room for newer ones before they were taken */
    uint64_t key_frames;      /* packets that are IDR */
    uint64_t bytes_out;       /* bytes of all access units */
    uint64_t host_copies_in;  /* copies of pixels in host memory made by the engine */
    uint64_t device_copies_in; /* copies of pixels to or in device memory */
    uint64_t bytes_copied_in;  /* bytes of both */
    uint64_t copies_out;       /* copies of access units */
    uint64_t pool_buffers;     /* packet buffers allocated so far by the present channel */
    uint64_t slots;            /* picture buffers allocated so far by the present channel */
    uint64_t idle_ns;          /* time, since the first frame, in which the device had no frame of this stream */
    uint64_t full_ns;          /* time that submitting threads waited for room */
    uint64_t send_ns;          /* time inside the call that hands a frame to the device */
    uint64_t max_latency_ns;   /* longest time from acceptance to callback */
    uint64_t max_hold_ns;      /* longest time that a callback kept the device waiting */
    uint64_t written;          /* access units written to the sink */
    uint64_t refused_sends;    /* frames that the device refused when they were sent */
    uint64_t undescribed;      /* parameter sets whose syntax is not known: they went out as the device wrote them */
    uint64_t failed_destroys;  /* channels of the stream whose destruction the device answered with a code */
    uint32_t in_flight;        /* accepted, callback not yet run */
    uint32_t queued;           /* of these, not yet sent to the device */
    uint32_t ready;            /* packets that wait to be taken or written */
    uint32_t held;             /* frames that a caller has acquired and not yet given back */
} avenc_channel_stats;

typedef struct avenc_channel_histograms {
    uint64_t latency[AVENC_BUCKETS]; /* from acceptance to callback */
    uint64_t hold[AVENC_BUCKETS];    /* from entry to return of the callback */
} avenc_channel_histograms;

/*
 * Begin to create a channel on an open device, with `depth` picture buffers, on a native thread. Keeps a reference to
 * the device. Does not block; avenc_channel_wait_open tells how it went. The caller has validated ranges that depend
 * on the chip; what the device itself refuses comes back as its code (507018 with the reason in detail).
 *
 * With a predecessor, a channel whose place it is to take: it joins that one's stream by avenc_channel_succeed.
 */
AVENC_API int avenc_channel_create(avenc_device *device, const avenc_channel_config *config, avenc_channel *predecessor,
                                   avenc_channel **channel);
AVENC_API int avenc_channel_wait_open(avenc_channel *channel, const avenc_wait *wait);

/*
 * Put an open channel in its predecessor's place, in one step: the predecessor takes no more frames (AVENC_E_REPLACED),
 * encodes what it has and ends; *first_index is the first number of the new one. Packets keep the frames' order.
 * AVENC_E_CLOSED if the stream was closed meanwhile, AVENC_E_REPLACED if the predecessor that it was created after has
 * lost its place, or changed its settings, since. A change that is pending there ends with AVENC_E_REPLACED. Does not block.
 */
AVENC_API int avenc_channel_succeed(avenc_channel *channel, uint64_t *first_index);

/*
 * For a device that has no second channel: while paused, submitting waits as for room. avenc_channel_retire ends the
 * hardware channel of a paused stream without frames in flight, so that its successor can be created;
 * avenc_channel_wait_retired tells when. The pause lasts until it is succeeded or closed then, whoever wants to end it.
 */
AVENC_API void avenc_channel_pause(avenc_channel *channel, int paused);
AVENC_API void avenc_channel_retire(avenc_channel *channel);
AVENC_API int avenc_channel_wait_retired(avenc_channel *channel, const avenc_wait *wait);

/*
 * Settings are numbered, in the order in which a stream's changes begin: 0 for those that it was opened with; the next one
 * for each change, also one that fails, and for each successor that takes its place. That of the channel's present ones.
 */
AVENC_API uint32_t avenc_channel_epoch(avenc_channel *channel);

/*
 * Nobody puts another channel in the place of this one, after a change of which AVENC_E_UNSUPPORTED said that its
 * settings are not known: it takes no more frames (AVENC_E_UNSURE), and those that are queued come back as packets of
 * that status. A successor can take its place later. Nothing happens where the settings are known.
 */
AVENC_API void avenc_channel_distrust(avenc_channel *channel);

typedef struct avenc_change avenc_change;

/*
 * Begin to change key_frame_interval, rc_mode with its limits and quantisers, src_rate, max_bit_rate and the time base of
 * a channel that has its place, without another channel and without an IDR, to those of `config`. `epoch` is that of the
 * settings which `config` was made from. Does not block. A native thread makes the change when the frames that were accepted before it are out of
 * the device; those accepted from then on wait in the queue behind it, so the next one to be accepted is the first
 * that it applies to. Counted pts go on in time; a frame that brings its own pts while the change is pending has it in
 * the time base, and the epoch, of before.
 *
 * AVENC_E_UNSUPPORTED: this takes another channel (the interface or the library has no such call, `config` differs in
 * more, or the device may still read frames that it refused); AVENC_E_REPLACED: the channel has lost its place, or
 * `epoch` is over; AVENC_E_AGAIN: another change is pending, see avenc_channel_wait_changes; AVENC_E_CLOSED.
 */
AVENC_API int avenc_channel_change(avenc_channel *channel, uint32_t epoch, const avenc_channel_config *config,
                                   avenc_change **change);

/*
 * Wait until it is over. AVENC_OK: it is made, and *first_index the first frame that it applies to. A code of the
 * vendor's: a call failed, and what had been written was written back. AVENC_E_UNSUPPORTED: that failed too; which
 * settings the channel has is not known, and another one is to take its place; or the library lacks a function for it,
 * or the device may still read a frame in front of it that it refused, and nothing has changed. AVENC_E_REPLACED, _CLOSED: it lost its
 * place, or was closed, before. AVENC_E_TIMEOUT: not within the deadline, or nothing moved for the stall's time; the
 * code of a lost device. After these two, and AVENC_E_LOOK, it goes on until it is released.
 */
AVENC_API int avenc_change_wait(avenc_change *change, const avenc_wait *wait, uint64_t *first_index);

/*
 * Give the handle up, and with it a change that is not over: one that has not begun is forgotten; of one in the vendor's
 * hands the old settings are written back when the call returns. Where that fails, or the change was over with
 * AVENC_E_UNSUPPORTED and nobody was told, it is as after avenc_channel_distrust. Does not block. NULL is allowed.
 */
AVENC_API void avenc_change_release(avenc_change *change);

/* Wait until no change of the channel is pending. AVENC_E_TIMEOUT as above. */
AVENC_API int avenc_channel_wait_changes(avenc_channel *channel, const avenc_wait *wait);

/* Count one more reference; any number may be held. Does not block. */
AVENC_API void avenc_channel_retain(avenc_channel *channel);

/* Drop a reference. A stream that nobody refers to any more is closed. Does not block. NULL is allowed. */
AVENC_API void avenc_channel_release(avenc_channel *channel);

/* ---- frames in --------------------------------------------------------------------------------- */

/*
 * Copy one picture into a free slot and send it, on the calling thread. On success *frame_index is its number and the
 * caller's memory is free again. On failure nothing was accepted.
 *
 * Waits for room, and for the turn behind other threads that send to the same channel: AVENC_E_FULL at the deadline.
 * Where there is room and `wait` is NULL a frame whose turn has not come is queued, as by avenc_channel_enqueue;
 * and on a host, where rows are to be padded, for pinned memory that a native thread allocates: AVENC_E_AGAIN.
 * A picture of another size than the channel's is refused. The runtime's own calls (upload, aclvencSendFrame) have no
 * bound of ours: one that never returns keeps this call, and nothing else. Frames of concurrent callers are sent one
 * after another in an unspecified order; packets come in the order of their frames' numbers.
 */
AVENC_API int avenc_channel_submit(avenc_channel *channel, const avenc_submission *submission, const avenc_wait *wait,
                                   uint64_t *frame_index);

/*
 * The same for `count` frames, in order. Those for which the device has no room are queued as by
 * avenc_channel_enqueue with copy_now; waits only where the queue is full too. *accepted of them were
 * taken, also on failure; their numbers are in indices.
 */
AVENC_API int avenc_channel_submit_many(avenc_channel *channel, const avenc_submission *submissions, size_t count,
                                        const avenc_wait *wait, uint64_t *indices, size_t *accepted);

/*
 * Submit a picture that lies in device memory, without a copy where the device can read it as it is
 * (stride a multiple of 16 and less than twice the width, height_stride the height, 16-byte aligned), else with one copy
 * on the device, which is counted. After a send that the device refused it may read the picture until the channel has
 * ended, or a later frame is reported: avenc_channel_refused_pending tells.
 */
AVENC_API int avenc_channel_submit_device(avenc_channel *channel, const avenc_device_picture *picture,
                                          const avenc_submission *submission, const avenc_wait *wait,
                                          uint64_t *frame_index);

/* Frames of this channel that the device refused and may still read. */
AVENC_API uint32_t avenc_channel_refused_pending(avenc_channel *channel);

/*
 * Queue a frame to be sent by a native thread; never waits, calls nothing of the vendor's. With copy_now the picture
 * is copied before the call returns; without, it must stay valid and unchanged until the frame's tag has come back.
 * AVENC_E_FULL if there is no room, unless drop_oldest makes some: the oldest frame that was not yet sent is dropped.
 * AVENC_E_AGAIN if there is room, but its memory is being allocated: avenc_channel_wait_room. A frame that the device
 * refuses comes back as a packet with the code.
 */
AVENC_API int avenc_channel_enqueue(avenc_channel *channel, const avenc_submission *submission, int copy_now,
                                    int drop_oldest, uint64_t *frame_index);

/* Drop the oldest frame that was not sent yet, as avenc_channel_enqueue does. 1 if there was one, else 0. */
AVENC_API int avenc_channel_drop_oldest(avenc_channel *channel);

/*
 * Wait until avenc_channel_enqueue and _acquire have room. AVENC_E_FULL if not, AVENC_E_AGAIN if its memory is missing
 * still.
 *
 * With `memory`, after AVENC_E_AGAIN: wait until memory is no longer what is waited for, because it is there, could not
 * be allocated (which the call says that needs it), or there is no room any more, and call again.
 */
AVENC_API int avenc_channel_wait_room(avenc_channel *channel, int memory, const avenc_wait *wait);

typedef struct avenc_frame avenc_frame;

typedef struct avenc_frame_memory {
    uint8_t *y, *uv;   /* height rows of luma, height/2 rows of chroma; written by the caller */
    size_t stride;     /* bytes from row to row, both planes */
    int device_memory; /* non-zero: the device reads this very memory */
} avenc_frame_memory;

/*
 * Take a free slot for the caller to fill: the device's own memory where the host can write it, else pinned host
 * memory. Waits like avenc_channel_wait_room. The handle keeps the slot: its memory stays valid until it is released,
 * whatever happens to the channel meanwhile.
 */
AVENC_API int avenc_channel_acquire(avenc_channel *channel, const avenc_wait *wait, avenc_frame **frame,
                                    avenc_frame_memory *memory);

enum { AVENC_FRAME_QUEUE = 1 }; /* leave the sending to a native thread: never waits for the device */

/*
 * Send an acquired frame: no copy on a board, one DMA on a host; or queue it, if asked to, or while `depth` frames are
 * in the device or another thread sends. Once only: a second submission, also by another thread at the same time, is
 * AVENC_E_INVALID. The handle stays the caller's to release, before or after, from any thread. On failure the frame
 * can be submitted again, unless the device itself refused it and may read it still.
 */
AVENC_API int avenc_frame_submit(avenc_frame *frame, const avenc_submission *submission, int flags,
                                 const avenc_wait *wait, uint64_t *frame_index);
AVENC_API void avenc_frame_release(avenc_frame *frame); /* NULL is allowed. Does not block */

/* ---- packets out ----------------------------------------------------------------------------- */

/*
 * Take up to `max` finished packets, oldest first, without waiting; *count may be 0. Ownership goes to the caller. If
 * one of the next `max` frames failed (status != 0), its packet is returned alone, before those in front of it.
 * With `promised` those that are promised, failed ones among them; they are never among the others.
 */
AVENC_API int avenc_channel_take(avenc_channel *channel, int promised, avenc_packet **packets, size_t max,
                                 size_t *count);

/* Give packets that were taken back: they are the next to be taken, in their frames' order. */
AVENC_API void avenc_channel_give_back(avenc_channel *channel, avenc_packet **packets, size_t count);

/* Take up to `max` tags of frames and packets that nobody will get: dropped, or written to the sink. Does not wait. */
AVENC_API size_t avenc_channel_take_dropped(avenc_channel *channel, uint64_t *tags, size_t max);

enum { AVENC_WAIT_FOR_FRAMES = 1, AVENC_WAIT_IN_PLACE = 2 };

/*
 * Wait until a packet can be taken. AVENC_OK if so, AVENC_E_DRAINED if none is to come: nothing is in flight (with
 * AVENC_WAIT_FOR_FRAMES only once the end was declared), AVENC_E_TIMEOUT, AVENC_E_CLOSED, or the code with which the
 * device was lost; with AVENC_WAIT_IN_PLACE AVENC_E_REPLACED once another channel has this one's place. coalesce_us as
 * for avenc_waitset_take.
 *
 * With at_least > 1 woken once: when so many packets are ready, or one of a frame that failed, or no more come before
 * some are taken (nothing is in flight, as many are ready as may be, the stream is closed, has a sink, or its device is
 * lost), or when the wait's time is over; AVENC_OK with fewer, as long as there is one.
 */
AVENC_API int avenc_channel_wait(avenc_channel *channel, uint32_t at_least, const avenc_wait *wait,
                                 uint32_t coalesce_us, int flags);

/*
 * Write every access unit to a duplicate of a file descriptor (-1: none any more) from native threads, instead of
 * handing it out. The descriptor's flags are not changed. Frames that failed are handed out as before. Where a write
 * fails, packets stay to be taken, and submitting and waiting for idleness say AVENC_E_SINK. Waiting for idleness and
 * for the end include the writing. Not together with drop_oldest. Waits for a write that is under way; packets that
 * are ready go to the new descriptor, one that was written in part as a whole. No sink delays another's writing; only a
 * file with a coalescing delay waits behind another one whose write blocks: until the next are due, or a tenth of a
 * second.
 */
AVENC_API int avenc_channel_set_sink(avenc_channel *channel, int fd, uint32_t coalesce_us, const avenc_wait *wait);

/* Declare the end: no further frames (AVENC_E_DRAINED); who waits for packets gets the rest, then AVENC_E_DRAINED. */
AVENC_API int avenc_channel_end(avenc_channel *channel);

/* Wait until no frame is in flight; their packets are then ready. Same codes as _wait. Its deadline is the stall's. */
AVENC_API int avenc_channel_wait_idle(avenc_channel *channel, const avenc_wait *wait);

/* How long frames have been in flight without one being finished; 0 while none is in flight. */
AVENC_API uint64_t avenc_channel_stalled_ns(avenc_channel *channel);

/*
 * Close the stream: no further frames, those that are queued are dropped, the hardware channel ends on a native thread
 * when no frame is in the device. Packets that are ready can still be taken. Idempotent. Does not block; may be called
 * from anywhere.
 */
AVENC_API int avenc_channel_close(avenc_channel *channel);

/*
 * Wait until a closed stream has ended: AVENC_OK; AVENC_E_TIMEOUT, with who is in the way; the code with which the
 * device refused to destroy a channel (once, when all others have ended); on a lost device AVENC_OK at once, though its channels are kept, counted
 * as live, and ended if it reports again.
 */
AVENC_API int avenc_channel_wait_closed(avenc_channel *channel, const avenc_wait *wait);

/* 1 if the stream's hardware channels have ended and nothing of a frame is read any more, else 0. */
AVENC_API int avenc_channel_has_ended(avenc_channel *channel);

/* Give up what the sink has not written yet: a slow reader is not waited for any more. */
AVENC_API void avenc_channel_abandon_sink(avenc_channel *channel);

/* `histograms` may be NULL. */
AVENC_API void avenc_channel_stats_get(avenc_channel *channel, avenc_channel_stats *stats,
                                       avenc_channel_histograms *histograms);

enum { AVENC_MAX_WAITSETS = 4 };

/*
 * Let a wait set know of the stream's progress under `key`, below AVENC_MAX_KEYS, which is listed at once. At most
 * AVENC_MAX_WAITSETS for a stream, else AVENC_E_FULL. The stream keeps a reference until it is detached or freed.
 */
AVENC_API int avenc_channel_attach(avenc_channel *channel, avenc_waitset *waitset, uint32_t key);
AVENC_API void avenc_channel_detach(avenc_channel *channel, avenc_waitset *waitset);

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
    uint32_t threads;         /* 1: the caller's only; 2: large RGB pictures also by a task of the queue */
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
#define AVENC_LIVE_KINDS(X)                                                                                            \
    X(DEVICE, 0)                                                                                                       \
    X(CHANNEL, 1)                                                                                                      \
    X(SLOT, 2)                                                                                                         \
    X(POOL, 3) X(PACKET, 4) X(THREAD, 5) X(FRAME, 6) X(CONVERTER, 7) X(WAITSET, 8) X(SINK, 9) X(CHANGE, 10)

#define AVENC_ENUM_KIND(name, index) AVENC_LIVE_##name = (index),
enum { AVENC_LIVE_KINDS(AVENC_ENUM_KIND) AVENC_LIVE_COUNT };
#undef AVENC_ENUM_KIND

/*
 * Objects of that kind alive now. Packets: those outside their pool; channels: those that have not ended, or of which
 * somebody holds a picture buffer. A handle that is left then is memory and nothing else. -1 for an unknown kind.
 */
AVENC_API int64_t avenc_live(int kind);
AVENC_API const char *avenc_live_name(int kind); /* NULL for an unknown kind */

#ifdef __cplusplus
}
#endif

#endif /* ASCEND_VENC_AVENC_H */
