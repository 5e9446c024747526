// SPDX-License-Identifier: Apache-2.0
/* Finding and loading libavcodec: nothing to install at build time, nothing linked. See av_api.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* dladdr */
#endif

#include "codec.h"
#include "av_api.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SUPPORTED_AVCODEC_MIN = 58, SUPPORTED_AVCODEC_MAX = 63, SUPPORTED_AVUTIL_MIN = 56, SUPPORTED_AVUTIL_MAX = 61 };
enum { FORK_PATIENCE_S = 1 };

av_api sim_av;

static pthread_mutex_t load_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_int loaded; /* 1 once sim_av, version_text and path_text are final */
static char version_text[256];
static char path_text[PATH_MAX];

void sim_codec_explain(char *why, size_t size, const char *format, ...) {
    if (why == NULL || size == 0)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(why, size, format, args);
    va_end(args);
}

/* What was tried, as "path: reason; path: reason"; cut off silently when full. */
typedef struct trial_log {
    char text[2048];
    size_t used;
} trial_log;

static void log_trial(trial_log *log, const char *path, const char *reason) {
    size_t length = strlen(path); /* dlerror often begins with the path itself */
    if (strncmp(reason, path, length) == 0 && strncmp(reason + length, ": ", 2) == 0)
        reason += length + 2;
    int n =
        snprintf(log->text + log->used, sizeof log->text - log->used, "%s%s: %s", log->used ? "; " : "", path, reason);
    if (n > 0)
        log->used = log->used + (size_t)n < sizeof log->text ? log->used + (size_t)n : sizeof log->text - 1;
}

/* The positions we rely on hold the defaults that the allocators document. */
static int check_layout(const av_api *api) {
    frame_prefix *frame = api->av_frame_alloc();
    packet_prefix *packet = api->av_packet_alloc();
    int aspect = av_pict_type_index(api) + 1;
    int good = frame != NULL && packet != NULL && frame->format == -1 && frame->width == 0 && frame->height == 0 &&
               frame->pts == AV_NOPTS && frame->tail[aspect] == 0 && frame->tail[aspect + 1] == 1 &&
               packet->pts == AV_NOPTS && packet->dts == AV_NOPTS && packet->data == NULL && packet->size == 0;
    if (frame != NULL)
        api->av_frame_free(&frame);
    if (packet != NULL)
        api->av_packet_free(&packet);
    return good;
}

/* PyAV wheels up to 17.1 carry no RPATH: load the siblings by path first, again until none is added. */
static void load_siblings(const char *path) {
    const char *slash = strrchr(path, '/');
    /* Only a wheel's own folder: loading all of /usr/lib would be absurd. */
    if (slash == NULL || slash - path < 5 || strncmp(slash - 5, ".libs", 5) != 0)
        return;
    char folder[PATH_MAX];
    if ((size_t)(slash - path) >= sizeof folder)
        return;
    memcpy(folder, path, (size_t)(slash - path));
    folder[slash - path] = '\0';
    int count = 0, before;
    do {
        before = count;
        count = 0;
        DIR *entries = opendir(folder);
        if (entries == NULL)
            return;
        for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
            char sibling[PATH_MAX + NAME_MAX + 2];
            if (strstr(entry->d_name, ".so") == NULL)
                continue;
            snprintf(sibling, sizeof sibling, "%s/%s", folder, entry->d_name);
            count += dlopen(sibling, RTLD_NOW | RTLD_LOCAL) != NULL; /* kept for good, like the library itself */
        }
        closedir(entries);
    } while (count > before);
}

/* 0 when `path` is a libavcodec that we can use; it is then the process's one. Never dlclose: its thread-local
 * data and atexit handlers outlive any of our uses. */
static int try_path(const char *path, trial_log *log) {
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        char first[512];
        const char *message = dlerror();
        snprintf(first, sizeof first, "%s", message != NULL ? message : "cannot be loaded");
        load_siblings(path);
        handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (handle == NULL) {
            log_trial(log, path, first);
            return -1;
        }
    }
    av_api api;
    char reason[256];
#define X(type, name, params)                                                                                          \
    *(void **)&api.name = dlsym(handle, #name);                                                                        \
    if (api.name == NULL) {                                                                                            \
        log_trial(log, path, "has no symbol " #name);                                                                  \
        return -1;                                                                                                     \
    }
    AV_FUNCTIONS(X)
#undef X
    unsigned codec = api.avcodec_version(), util = api.avutil_version();
    snprintf(reason, sizeof reason, "libavcodec %u.%u.%u (libavutil %u.%u.%u)", codec >> 16, codec >> 8 & 255,
             codec & 255, util >> 16, util >> 8 & 255, util & 255);
    if (codec >> 16 < SUPPORTED_AVCODEC_MIN || codec >> 16 > SUPPORTED_AVCODEC_MAX ||
        util >> 16 < SUPPORTED_AVUTIL_MIN || util >> 16 > SUPPORTED_AVUTIL_MAX) {
        strncat(reason, " is not supported (libavcodec 58 to 63)", sizeof reason - strlen(reason) - 1);
        log_trial(log, path, reason);
        return -1;
    }
    if (!check_layout(&api)) {
        strncat(reason, " has an unknown structure layout", sizeof reason - strlen(reason) - 1);
        log_trial(log, path, reason);
        return -1;
    }
    if (api.avcodec_find_encoder_by_name("libx264") == NULL || api.avcodec_find_encoder_by_name("libx265") == NULL) {
        strncat(reason, " lacks libx264 or libx265", sizeof reason - strlen(reason) - 1);
        log_trial(log, path, reason);
        return -1;
    }
    sim_av = api;
    snprintf(version_text, sizeof version_text, "%s", reason);
    snprintf(path_text, sizeof path_text, "%s", path);
    return 0;
}

/* Try each libavcodec of a wheel's folder of libraries. */
static int try_wheel_folder(const char *folder, trial_log *log) {
    DIR *entries = opendir(folder);
    if (entries == NULL) {
        log_trial(log, folder, strerror(errno));
        return -1;
    }
    int result = -1;
    for (struct dirent *entry; result != 0 && (entry = readdir(entries)) != NULL;) {
        char path[PATH_MAX + NAME_MAX + 2];
        if (strncmp(entry->d_name, "libavcodec-", 11) != 0 || strstr(entry->d_name, ".so") == NULL)
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        result = try_path(path, log);
    }
    closedir(entries);
    return result;
}

/* <site-packages>/ascend_venc/_lib/this.so -> <site-packages>/av.libs */
static int try_beside_this_library(trial_log *log) {
    Dl_info info;
    char path[PATH_MAX + 16];
    if (dladdr((void *)&try_beside_this_library, &info) == 0 || realpath(info.dli_fname, path) == NULL)
        return -1;
    for (int level = 0; level < 3; level++) {
        char *slash = strrchr(path, '/');
        if (slash == NULL)
            return -1;
        *slash = '\0';
    }
    strcat(path, "/av.libs");
    return try_wheel_folder(path, log);
}

static int try_virtual_env(trial_log *log) {
    const char *root = getenv("VIRTUAL_ENV");
    char lib[PATH_MAX];
    if (root == NULL || *root == '\0' || (size_t)snprintf(lib, sizeof lib, "%s/lib", root) >= sizeof lib)
        return -1;
    DIR *entries = opendir(lib);
    if (entries == NULL)
        return -1;
    int result = -1;
    for (struct dirent *entry; result != 0 && (entry = readdir(entries)) != NULL;) {
        char folder[PATH_MAX + NAME_MAX + 32];
        if (strncmp(entry->d_name, "python", 6) != 0)
            continue;
        snprintf(folder, sizeof folder, "%s/%s/site-packages/av.libs", lib, entry->d_name);
        result = try_wheel_folder(folder, log);
    }
    closedir(entries);
    return result;
}

static int search(const char *path, trial_log *log) {
    const char *chosen = path;
    if (chosen == NULL) {
        chosen = getenv("ASCEND_VENC_SIM_AVCODEC");
        if (chosen != NULL && *chosen == '\0')
            chosen = NULL;
    }
    if (chosen != NULL) /* somebody asked for this one: another in its place would be a surprise */
        return try_path(chosen, log);
    if (try_beside_this_library(log) == 0 || try_virtual_env(log) == 0)
        return 0;
    for (int major = SUPPORTED_AVCODEC_MAX; major >= SUPPORTED_AVCODEC_MIN; major--) {
        char name[32];
        snprintf(name, sizeof name, "libavcodec.so.%d", major);
        if (try_path(name, log) == 0)
            return 0;
    }
    return -1;
}

int sim_codec_load(const char *path, char *why, size_t why_size) {
    if (atomic_load_explicit(&loaded, memory_order_acquire))
        return 0;
    trial_log log = {.used = 0};
    pthread_mutex_lock(&load_lock);
    int result = 0;
    if (!atomic_load_explicit(&loaded, memory_order_relaxed)) {
        result = search(path, &log);
        if (result == 0)
            atomic_store_explicit(&loaded, 1, memory_order_release);
    }
    pthread_mutex_unlock(&load_lock);
    if (result != 0)
        sim_codec_explain(
            why, why_size,
            "the simulated device needs libavcodec with libx264 and libx265: pip install 'ascend-venc[sim]', or "
            "apt-get install libavcodec59, or set ASCEND_VENC_SIM_AVCODEC to its path (tried %s)",
            log.text);
    return result;
}

/* ---- fork ---------------------------------------------------------------------------------------------- */

/*
 * A library that another thread is loading would be loaded by half in the child. So a fork waits for it, but not for ever:
 * a constructor may itself wait for something.
 */
static _Thread_local bool fork_has_lock;

static void before_fork(void) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += FORK_PATIENCE_S;
    fork_has_lock = pthread_mutex_timedlock(&load_lock, &until) == 0;
}

static void in_parent(void) {
    if (fork_has_lock)
        pthread_mutex_unlock(&load_lock);
}

static void in_child(void) {
    pthread_mutex_init(&load_lock, NULL);
}

__attribute__((constructor)) static void init(void) {
    pthread_atfork(before_fork, in_parent, in_child);
}

const char *sim_codec_version(void) {
    return atomic_load_explicit(&loaded, memory_order_acquire) ? version_text : "";
}

const char *sim_codec_path(void) {
    return atomic_load_explicit(&loaded, memory_order_acquire) ? path_text : "";
}
