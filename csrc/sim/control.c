// SPDX-License-Identifier: Apache-2.0
/* Recent error text, fork, and the control functions that belong to no other file. */
#include "sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local char pending[1024];
static _Thread_local char handed_out[1024];

int sim_fail(int code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(pending, sizeof pending, format, args);
    va_end(args);
    return code;
}

/* documented: per thread, reads and clears, NULL when nothing is pending, valid until the thread's next call. */
const char *aclGetRecentErrMsg(void) {
    if (!pending[0])
        return NULL;
    memcpy(handed_out, pending, sizeof handed_out);
    pending[0] = '\0';
    return handed_out;
}

static void after_fork(void) {
    sim_object_after_fork();
    sim_memory_after_fork();
    sim_runtime_after_fork();
    sim_report_after_fork();
    sim_descriptors_after_fork();
    sim_venc_after_fork();
}

static void register_fork_handler(void) {
    pthread_atfork(NULL, NULL, after_fork);
}

void sim_prepare(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, register_fork_handler);
}

/* ---- codec ----------------------------------------------------------------------------------- */

static pthread_mutex_t codec_lock = PTHREAD_MUTEX_INITIALIZER;
static char codec_path[4096];

/* The path is remembered for the first channel; loading waits until then. */
int aclsim_set_codec(const char *path) {
    pthread_mutex_lock(&codec_lock);
    snprintf(codec_path, sizeof codec_path, "%s", path ? path : "");
    pthread_mutex_unlock(&codec_lock);
    return 0;
}

int sim_load_codec(char *why, size_t size) {
    char path[sizeof codec_path];
    pthread_mutex_lock(&codec_lock);
    memcpy(path, codec_path, sizeof path);
    pthread_mutex_unlock(&codec_lock);
    const char *chosen = getenv("ASCEND_VENC_SIM_AVCODEC");
    bool use_path = path[0] && !(chosen && chosen[0]);
    return sim_codec_load(use_path ? path : NULL, why, size);
}
