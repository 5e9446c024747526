// SPDX-License-Identifier: Apache-2.0
/* Opening a library, or DVPP V2's, on a thread of the task queue: constructors of the vendor's and its first calls may not return. */
#include "base/status.h"
#include "base/taskq.h"
#include "base/thread.h"
#include "load/ascend.h"

#include <stdlib.h>
#include <string.h>

enum { ROOM_FOR_WARNINGS = 8192 };

/* Freed by the last of the two who have it, the caller and the task. */
struct avenc_opening {
    avi_task task;
    atomic_uint references;
    uint32_t generation;
    avenc_library *of;             /* whose DVPP V2 is to be opened; NULL: AscendCL is */
    avenc_library_options options; /* its texts are `copies` */
    char *copies[4];
    char *warned;         /* NULL: warnings stop nothing */
    pthread_mutex_t lock; /* the rest */
    pthread_cond_t finished;
    bool done;
    avenc_failure failure;
    avenc_library *library;
};

static void drop(avenc_opening *opening) {
    if (atomic_fetch_sub(&opening->references, 1) != 1)
        return;
    pthread_cond_destroy(&opening->finished);
    pthread_mutex_destroy(&opening->lock);
    for (size_t i = 0; i < sizeof opening->copies / sizeof opening->copies[0]; i++)
        free(opening->copies[i]);
    free(opening->warned);
    free(opening);
}

static bool run(void *arg) {
    avenc_opening *opening = arg;
    avenc_library *library = NULL;
    avi_blocking_begins();
    int rc = opening->of ? avi_library_find_v2(&opening->options, opening->warned, opening->of, &library)
                         : avi_library_find(&opening->options, opening->warned, &library);
    avi_blocking_ends();
    avi_lock(&opening->lock);
    opening->failure = *avenc_last_failure();
    opening->failure.code = rc;
    opening->library = library;
    opening->done = true;
    pthread_cond_broadcast(&opening->finished);
    avi_unlock(&opening->lock);
    return false;
}

static void over(void *arg) {
    drop(arg);
    avi_taskq_release();
}

/* Copies of the caller's texts, which may be gone before the task is. */
static bool copy_options(avenc_opening *opening, const avenc_library_options *options) {
    const char **texts[] = {&opening->options.backend, &opening->options.sim_path, &opening->options.sim_soc,
                            &opening->options.sim_codec};
    opening->options = *options;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (!*texts[i])
            continue;
        if (!(*texts[i] = opening->copies[i] = strdup(*texts[i])))
            return false;
    }
    if (options->warned) {
        size_t size = strlen(options->warned);
        if (!(opening->warned = malloc(size + ROOM_FOR_WARNINGS)))
            return false;
        memcpy(opening->warned, options->warned, size + 1);
        opening->options.warned_room = size + ROOM_FOR_WARNINGS;
    }
    return true;
}

static int begin(const avenc_library_options *options, avenc_library *of, avenc_opening **out) {
    avenc_opening *opening = calloc(1, sizeof *opening);
    if (!opening)
        return avi_fail(AVENC_E_NOMEM, NULL, "out of memory");
    pthread_mutex_init(&opening->lock, NULL);
    avi_cond_init(&opening->finished);
    atomic_store(&opening->references, 1);
    opening->generation = avi_generation();
    opening->of = of;
    avi_task_init(&opening->task, run, over, opening);
    int rc = copy_options(opening, options) ? avi_taskq_retain() : avi_fail(AVENC_E_NOMEM, NULL, "out of memory");
    if (rc != AVENC_OK) {
        drop(opening);
        return rc;
    }
    atomic_fetch_add(&opening->references, 1);
    avi_task_post(&opening->task);
    *out = opening;
    return AVENC_OK;
}

int avenc_library_open(const avenc_library_options *options, avenc_opening **opening) {
    if (!options || !options->backend || !opening)
        return avi_fail(AVENC_E_INVALID, __func__, "options, options.backend and opening must not be NULL");
    return begin(options, NULL, opening);
}

int avenc_library_open_mpi(avenc_library *library, const avenc_library_options *options, avenc_opening **opening) {
    if (!library || !options || !opening)
        return avi_fail(AVENC_E_INVALID, __func__, "library, options and opening must not be NULL");
    return begin(options, library, opening);
}

int avenc_library_wait_open(avenc_opening *opening, const avenc_wait *wait, avenc_library **library,
                            const char **warned) {
    if (!opening || !library)
        return avi_fail(AVENC_E_INVALID, __func__, "opening and library must not be NULL");
    if (opening->generation != avi_generation())
        return avi_fail_forked(__func__);
    uint64_t look = wait && wait->look_ns != AVI_FOR_EVER ? avi_now_ns() + wait->look_ns : AVI_FOR_EVER;
    uint64_t deadline = wait ? wait->deadline_ns : 0, now = 0;
    avi_lock(&opening->lock);
    while (!opening->done && (now = avi_now_ns()) < deadline && now < look)
        avi_cond_wait_until(&opening->finished, &opening->lock, look < deadline ? look : deadline);
    bool done = opening->done;
    avi_unlock(&opening->lock);
    if (!done && now >= deadline)
        return avi_fail(AVENC_E_TIMEOUT, __func__, "%s within %.3g s: loading %s has not returned",
                        opening->of ? "DVPP V2 is not open" : "AscendCL is not open",
                        wait ? (double)(deadline - wait->since_ns) * 1e-9 : 0,
                        opening->of ? "libacl_dvpp_mpi.so" : "the library, aclInit or aclrtGetDeviceCount");
    if (!done)
        return avi_fail(AVENC_E_LOOK, __func__, "the wait goes on");
    if (opening->failure.code != AVENC_OK)
        return avi_fail_again(&opening->failure);
    *library = opening->library;
    if (warned)
        *warned = opening->warned;
    return AVENC_OK;
}

void avenc_opening_release(avenc_opening *opening) {
    if (opening && opening->generation == avi_generation())
        drop(opening);
}
