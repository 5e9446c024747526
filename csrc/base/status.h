// SPDX-License-Identifier: Apache-2.0
/* Failures per thread, counters of live objects, fork. Everything in csrc may use it; it uses avenc.h only. */
#ifndef ASCEND_VENC_BASE_STATUS_H
#define ASCEND_VENC_BASE_STATUS_H

#include "avenc.h"

/* Record the thread's failure and return `code`. `call` may be NULL. */
int avi_fail(int code, const char *call, const char *format, ...) __attribute__((format(printf, 3, 4)));

/*
 * The same for what is tried often and seldom asked about: avenc_last_failure makes the text. `call` and `format`, of up
 * to five numbers (%u), have to last.
 */
int avi_fail_numbers(int code, const char *call, const char *format, uint32_t a, uint32_t b, uint32_t c, uint32_t d,
                     uint32_t e) __attribute__((format(printf, 3, 0)));

/*
 * Record that AscendCL function `call` returned `code`, with the runtime's own recent text, which has
 * to be fetched before the thread's next AscendCL call. Returns `code`.
 */
int avi_fail_acl(const acl_api *api, int code, const char *call);

/* Make a failure that another thread met the calling thread's own. Returns its code. */
int avi_fail_again(const avenc_failure *failure);

/* Counts fork()s seen by this process; an object whose generation differs belongs to the parent. */
uint32_t avi_generation(void);
int avi_fail_forked(const char *call);

/*
 * Let `child` run in the child of every fork(): locks of threads that do not exist there are made new. Called
 * by constructors, when this library is loaded: before any thread of a program can be inside it.
 */
void avi_on_fork(void (*child)(void));

void avi_live_add(int kind, int delta);

#endif
