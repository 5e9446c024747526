// SPDX-License-Identifier: Apache-2.0
/*
 * aclsim.h - control of the simulated device, for tests and for the loader that opens it.
 *
 * A program that encodes never needs it: chip, number of devices and strict mode can be chosen by
 * environment variables. Nothing is ever controlled by magic values in AscendCL arguments.
 *
 *   ASCEND_VENC_SIM_SOC       chip profile: Ascend310, Ascend310P3 (default), Ascend310B4, Ascend910 (also Ascend910B1, ...)
 *   ASCEND_VENC_SIM_DEVICES   number of devices, 0 to 64 (default 1)
 *   ASCEND_VENC_SIM_STRICT    1: strict mode; each report is also a line on standard error
 *   ASCEND_VENC_SIM_TRACE     path: a trace of all calls as JSON lines
 *   ASCEND_VENC_SIM_LOG       1: lines on standard error where hardware would only log
 *   ASCEND_VENC_SIM_OPTIONS   options of the list below as name=value,name=value
 *   ASCEND_VENC_SIM_AVCODEC   path of libavcodec
 *
 * All functions may be called from any thread, also from a callback unless it says otherwise.
 */
#ifndef ASCEND_VENC_ACLSIM_H
#define ASCEND_VENC_ACLSIM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef ACLSIM_API
#define ACLSIM_API
#endif

/* ---- selection ------------------------------------------------------------------------------- */

/*
 * Choose the chip by name, with or without "Ascend"; NULL is the environment's or the default one.
 * 0, or -1: no such chip, or devices of another one are in use.
 */
ACLSIM_API int aclsim_set_soc(const char *name);

/* Name of the index-th chip profile, NULL beyond the end. */
ACLSIM_API const char *aclsim_soc_name(size_t index);

/*
 * The figures of the index-th chip profile as one JSON object, cut to `size` bytes with the NUL: its whole length, or 0
 * beyond the end. The names, units and marks ("marks") are those of ascend_venc/chips.py.
 */
ACLSIM_API size_t aclsim_describe_soc(size_t index, char *text, size_t size);

/*
 * Path of libavcodec, which ASCEND_VENC_SIM_AVCODEC beats; NULL lets the codec search. Read when a channel
 * is created. 0, or -1: out of memory.
 */
ACLSIM_API int aclsim_set_codec(const char *path);

/* Number of devices, 0 to 64. 0, or -1: outside the range, or a device beyond it is in use. */
ACLSIM_API int aclsim_set_devices(uint32_t count);

/* Version and path of the codec in use, or "" before the first channel. */
ACLSIM_API const char *aclsim_codec_version(void);

/*
 * Options: numbers by name, for all devices. Those marked + are read when a channel is created, the
 * others at once.
 *
 *   encode_time_us      least time the device takes for a frame: 33333 models a chip of 30 fps
 *   send_time_us        least time that aclvencSendFrame and hi_mpi_venc_send_frame take
 *   callback_delay_us   time between the end of encoding and the report; frames pass one after the other
 *   input_slots       + frames that the device takes before aclvencSendFrame blocks, 1 to 1024
 *   output_slots      + finished frames that the device holds, with the one in its callback, 1 to 64
 *   null_codec        + 0: encode. Else bytes of the canned access unit that every frame gives
 *   watermark         + 1: the access units of null_codec end with a mark that says which picture they were made of: 36
 *                       characters, "AVWM", in hexadecimal the channel's width (4) and height (4), the Adler-32 of the
 *                       picture's bytes without padding, luma first (8), and its first 8 bytes (16). No hardware does so
 *   stall               1: devices take frames and finish none
 *   wait_limit_ms       a wait without progress ends after this time with 507046, that for an event with 507047; 0: never
 *   memory_limit        bytes of device memory, 0: the chip's
 *   stream_limit        streams of a device, 0: the chip's
 *   channel_limit       channels of a device, 0: the chip's
 *   v2_input_slots    + frames that wait in a channel of V2 (hi_mpi_venc) before it answers NO_BUF or blocks, 1 to 1024
 *   v2_second_frame     1, 2, 3: a frame of V2 that is not the first fails with 03 if its time_ref, pts, pool_id is 0
 *   v2_get_timeout      id of the code of hi_mpi_venc_get_stream when its time is over: 20, or 14 (BUF_EMPTY)
 *   v2_send_timeout     the same of hi_mpi_venc_send_frame: 13 (NO_BUF), or 20
 *   v2_change_delay     frames that are still encoded before new settings of V2 count
 *   v2_change_idle      1: hi_mpi_venc_set_chn_attr gives BUSY while frames wait
 *   v2_early_settings   1: VUI and scene mode give NOT_PERM once the channel has been started
 *   v2_stop_drops       1: hi_mpi_venc_stop_chn drops the frames that wait
 *   v2_own_memory       1: pictures of V2 have to be in memory of hi_mpi_dvpp_malloc
 *   v2_shared_ids       1: a channel's id counts for all devices
 *   v2_pack_offset    + bytes before the data of each pack, that its `offset` skips
 *   v2_null_rate      + 1: access units of null_codec in V2 have the bytes that bit rate and frame rate give, at least
 *                       null_codec
 *   v2_failed_part      1: a frame of V2 in several packs that a fault fails has bytes in all but the last
 *   v2_no_statistics    1: hi_mpi_venc_get_stream tells of a frame neither statistics nor the types of its packs
 *   wait_unsubscribed   1: aclrtProcessReport on a thread without subscription waits and returns 507012
 *                       in place of 107012 at once
 *   reuse_handles       1: a new object gets the handle that the last one of its kind had, as a library does whose handles
 *                       are addresses of malloc; then a stale handle may be another object's, and is not recognised
 *   quiet               1: nothing goes to standard error unasked: neither reports of strict mode nor the line about a
 *                       callback that is left out
 */
ACLSIM_API int aclsim_set_option(const char *name, uint64_t value); /* 0, or -1: no such option or value */
ACLSIM_API uint64_t aclsim_get_option(const char *name);            /* 0 for an unknown name */
ACLSIM_API const char *aclsim_option_name(size_t index);            /* NULL beyond the end */

/*
 * Back to the state after loading, environment read again: every handle becomes stale, memory is
 * freed, channels end without their callbacks, threads inside aclrtProcessReport leave with 107012.
 * 0, or -1: a callback is running and did not return within 2 s; its channel is leaked. Not from a
 * callback.
 */
ACLSIM_API int aclsim_reset(void);

/* ---- live objects ---------------------------------------------------------------------------- */

/* Name of the index-th kind of object, NULL beyond the end, and the number of that kind alive (-1: no such kind). */
ACLSIM_API const char *aclsim_live_name(size_t index);
ACLSIM_API int64_t aclsim_live(const char *kind);

/* ---- strict mode ----------------------------------------------------------------------------- */

/* Turn strict mode on or off; returns what it was. Memory keeps the mode in which it was allocated. */
ACLSIM_API int aclsim_set_strict(int on);

/*
 * Reports since the start or the last clearing, oldest first. Each text is "[kind] what happened ...
 * | fix: what to do". The first 256 are kept, all are counted. A text lives until the next clearing.
 */
ACLSIM_API uint64_t aclsim_report_count(void);
ACLSIM_API const char *aclsim_report_text(uint64_t index);
ACLSIM_API void aclsim_clear_reports(void);

/*
 * For bindings of other languages, whose code addresses tell a user nothing: the place in the program that the calling
 * thread's next calls come from, e.g. "program.py:12 in main", until it names another one. Reports give it for calls that
 * come from the shared object that calls this function. `place` stays valid and unchanged as long as the process; NULL:
 * not known.
 */
ACLSIM_API void aclsim_set_caller(const char *place);

/* Report a misuse that a binding has kept from the device: kind, AscendCL function, what to do, what happened. */
ACLSIM_API void aclsim_report(const char *kind, const char *function, const char *fix, const char *what);

/* ---- faults ---------------------------------------------------------------------------------- */

/*
 * Let the nth call (from 1, counted from now) of a function fail with `code` without doing anything;
 * persistent: that one and all later ones. "*" stands for any function. A function that returns a
 * pointer or value returns NULL or 0. At most 16 faults may be armed. aclvencDestroyChannel frees the channel all
 * the same, as the vendor's does when a step of it fails. 0, or -1: no such function, or 16 are armed.
 */
ACLSIM_API int aclsim_fail_call(const char *function, uint64_t nth, int32_t code, int persistent);

/*
 * The same, but the call does its work before it returns `code`; where the work fails by itself, its own code. For the
 * functions that end something (aclFinalize..., aclrtResetDevice..., aclrt/acldvpp/aclvencDestroy..., ...Free,
 * aclrtUnSubscribeReport; of V2 sys_exit, close_epoll, dvpp_free, destroy_chn, stop_chn, close_fd, release_stream),
 * which on hardware may have freed the object when they fail; for aclvencSendFrame, whose
 * frame is encoded and reported all the same when the synchronise after the launch fails (what the device refuses with
 * 100000 is never launched); for aclrtProcessReport, after its callbacks; for V2's send_frame, set_chn_attr and
 * set_rc_param. 0, or -1 as above, or another function.
 */
ACLSIM_API int aclsim_fail_call_after(const char *function, uint64_t nth, int32_t code, int persistent);

/*
 * Let the nth call of a function (any of the list, "*": of all; persistent: and all later ones) never return: before
 * its work, or after it. It sleeps inside the library until aclsim_release_hung or aclsim_clear_faults, without a lock
 * of the simulated device, so that other threads, channels and devices go on; no option bounds it, nothing cancels it.
 * Released, it goes on: it does its work, or fails if aclsim_fail_call struck the same call. 0, or -1 as above.
 */
ACLSIM_API int aclsim_hang_call(const char *function, uint64_t nth, int persistent);
ACLSIM_API int aclsim_hang_call_after(const char *function, uint64_t nth, int persistent);

/* Threads that sleep inside calls of a function now ("*": of any). */
ACLSIM_API uint64_t aclsim_hung_calls(const char *function);

/* Wait until there are at least `count` of them. 0, or -1: not within the time, or no such function. */
ACLSIM_API int aclsim_wait_hung(const char *function, uint64_t count, uint32_t timeout_ms);

/* Let those that sleep now go on, and return their number. What is armed stays armed: see aclsim_clear_faults. */
ACLSIM_API uint64_t aclsim_release_hung(void);

/* What to do with a frame. In V2 the packet takes the callback's part: RET_CODE and EMPTY give one of len 0, NO_OUTPUT one
 * without an address. */
enum {
    ACLSIM_FRAME_RET_CODE = 0,  /* ret_code = value, no data */
    ACLSIM_FRAME_DROP = 1,      /* its callback never comes */
    ACLSIM_FRAME_EMPTY = 2,     /* ret_code 0, size 0 */
    ACLSIM_FRAME_HUGE = 3,      /* an access unit of `value` bytes; beyond the output buffer only its size says so */
    ACLSIM_FRAME_NO_OUTPUT = 4, /* the callback's output descriptor is NULL */
    ACLSIM_FRAME_TWICE = 5,     /* the callback comes twice */
    ACLSIM_FRAME_DELAY = 6,     /* the report comes `value` microseconds later, and so do those behind it */
};

/* Do so with the nth accepted frame (from 1, counted from now, over all channels). 0 or -1 as above. */
ACLSIM_API int aclsim_fail_frame(uint64_t nth, int action, uint32_t value, int persistent);

/* The ret_code of frames that the simulated device itself could not encode. */
enum {
    ACLSIM_RET_BAD_PICTURE = 1, /* no data, or geometry and memory do not fit */
    ACLSIM_RET_CODEC = 2,       /* the codec refused it */
    ACLSIM_RET_NO_SPACE = 3,    /* the access unit is larger than the output buffer */
};

/* Disarm all faults, and let go on what hangs. Returns how often a fault struck since the last time. */
ACLSIM_API uint64_t aclsim_clear_faults(void);

/* The device answers with `code` from now on and delivers nothing any more; code 0 brings it back. What concerns no device,
 * or ends an object (free, destroy, reset; aclvencDestroyChannel does so and gives the code), goes on. V2 answers with its
 * own SYS_ERROR (0x15) where the code is one of AscendCL's, a positive one. */
ACLSIM_API int aclsim_lose_device(int32_t device, int32_t code);

/* ---- observation ----------------------------------------------------------------------------- */

/* Count calls from now on (1), or stop (0); calls of a function ("*": of all) while counting. Clears on 1. */
ACLSIM_API void aclsim_count_calls(int on);
ACLSIM_API uint64_t aclsim_calls(const char *function);

/* Write a JSON line for every call and callback to a file; NULL ends it. 0, or -1 with errno. */
ACLSIM_API int aclsim_trace(const char *path);

typedef struct aclsim_channel_stats {
    uint64_t sent;            /* frames accepted */
    uint64_t encoded;         /* frames finished by the device */
    uint64_t delivered;       /* frames whose callback has returned, or was dropped or skipped */
    uint64_t skipped;         /* callbacks not called: no callback function, or no context in host run mode */
    uint64_t host_idle_ns;    /* the device had a frame, and stood still because a callback had not returned */
    uint64_t send_blocked_ns; /* aclvencSendFrame waited for the device */
} aclsim_channel_stats;

/* Figures of an open channel by its channel descriptor. 0, or -1: no open channel. */
ACLSIM_API int aclsim_get_channel_stats(const void *channel_desc, aclsim_channel_stats *stats);

/* host_idle_ns of all channels that there have been, standstills that are over. */
ACLSIM_API uint64_t aclsim_host_idle_ns(void);

#ifdef __cplusplus
}
#endif

#endif /* ASCEND_VENC_ACLSIM_H */
