// SPDX-License-Identifier: Apache-2.0
/*
 * A port without a device: it "encodes" a picture by copying its first bytes. Tests say what happens to each call and to
 * each frame. Devices are named by number.
 *
 * It aborts the program where the engine breaks the contract of ports/port.h: a call without binding, an object ended
 * twice, a channel destroyed with a frame inside, memory freed under a frame that the device may still read.
 */
#ifndef TESTS_NATIVE_LOOPBACK_PORT_H
#define TESTS_NATIVE_LOOPBACK_PORT_H

#include "ports/port.h"

enum { LOOP_DEVICES = 3, LOOP_STAMP = 16 /* first bytes of the picture, in each access unit */, LOOP_HEAD = 6 };
enum { LOOP_DIRT = 0xd1 }; /* in new memory */

extern const avi_port loopback_port;

/* Begin to open; and open, waiting. Each is one reference. */
int loop_try_open(int device, avenc_device **out);
avenc_device *loop_begin_open(int device);
avenc_device *loop_open(int device);

/* ---- calls ---- */

typedef enum loop_call {
    LOOP_OPEN,
    LOOP_CLOSE,
    LOOP_BIND,
    LOOP_ALLOC,
    LOOP_FREE,
    LOOP_ALLOC_HOST,
    LOOP_UPLOAD,
    LOOP_COPY,
    LOOP_CREATE,
    LOOP_DESTROY,
    LOOP_CHANGE, /* LOOP_UNSURE as code: the old settings are not there any more either */
    LOOP_PICTURE,
    LOOP_PLACE,
    LOOP_SEND,       /* before the device has seen the picture */
    LOOP_AFTER_SEND, /* when it has it */
    LOOP_CALLS
} loop_call;

enum { LOOP_UNSURE = 507899 };

/* max_bit_rate of the last change that was made on a device. */
uint32_t loop_bit_rate(int device);

/* The nth call from now on stops until loop_release, or fails with a code (after a stop too, if both are said). */
void loop_hang(int device, loop_call call, unsigned nth);
void loop_fail(int device, loop_call call, unsigned nth, int code);
void loop_wait_hung(int device, loop_call call, unsigned count); /* so many threads are inside */
void loop_release(int device, loop_call call);                   /* all that are inside */
unsigned loop_count(int device, loop_call call);                 /* calls that were made */

/* Threads that are bound to a device, of any number. */
long loop_threads_bound(void);

/* ---- frames ---- */

typedef enum loop_report {
    LOOP_AT_ONCE, /* reported before `send` returns */
    LOOP_HELD,    /* reported when loop_report says so */
    LOOP_NEVER,
} loop_report_when;

/* What becomes of the next frame that has no plan yet. Without one: as loop_default says, at first AT_ONCE. */
typedef struct loop_plan {
    loop_report_when when;
    int code;            /* `send` returns it */
    bool gone;           /* with a code: the device never saw the picture */
    uint32_t ret_code;   /* of the report */
    unsigned times;      /* reports of it, 0 counts as 1 */
    size_t size;         /* bytes of the access unit; 0: LOOP_HEAD + LOOP_STAMP */
    const uint8_t *unit; /* that is reported: `size` bytes, without a stamp; NULL: one of the port's own */
} loop_plan;

void loop_next(int device, loop_plan plan);
void loop_forget_plans(int device);
void loop_default(int device, loop_plan plan);

/* Frames that the device holds, oldest first. */
unsigned loop_held(int device);
/* Report `count` of them, as one batch, on the device's thread; waits until it is done. */
void loop_report(int device, unsigned count);
/* Report the nth held one (0: the oldest). Those of its channel that are before it leave the device without a report. */
void loop_report_nth(int device, unsigned nth);
/* Report up to `count` from the nth held one on: as many as there are by now. */
void loop_report_held(int device, unsigned nth, unsigned count);
/* Once more, the report of the last frame that was reported: late, or double. */
void loop_report_again(int device);
/* Report, after all, the last frame that left the device without one. */
void loop_report_overtaken(int device);
/* Forget held frames: their reports never come. */
void loop_forget(int device);

/* ---- the device ---- */

void loop_lose(int device, int code);                /* 0: it reports again. Waits until the engine knows */
void loop_limit_channels(int device, unsigned most); /* creating more is refused with 507018 */
void loop_on_host(int device, bool host);            /* before it is opened: host memory is not device memory */
unsigned loop_idr_count(int device);                 /* frames that were sent with `idr` */

/* Of the last `send`: was it to be an IDR. */
bool loop_last_idr(int device);

/* No memory, picture or channel is left, and no thread is bound. */
void loop_check_clean(void);

#endif
