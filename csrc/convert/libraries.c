// SPDX-License-Identifier: Apache-2.0
#include "convert/libraries.h"
#include "base/status.h"
#include "base/thread.h"
#include "load/paths.h"

#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* what was found */

static avi_search new_search(void) {
    const char *strict = avi_getenv("ASCEND_VENC_STRICT_PATHS");
    return (avi_search){.strict = strict && strcmp(strict, "1") == 0};
}

static const char *path_of(void *handle, const char *name) {
    char path[PATH_MAX];
    avi_resolved_path(handle, name, path);
    return strdup(path);
}

/* False: the library lacks a routine that every libyuv has had for many years. */
static bool adopt_libyuv(avi_search *search, void *handle, const char *name, avi_libyuv *libyuv) {
    static const char *const limited[] = {"RAWToI420", "RGB24ToI420", "ABGRToI420", "ARGBToI420"};
    static const char *const full[] = {"RAWToJ420", "RGB24ToJ420", "ABGRToJ420", "ARGBToJ420"};
    for (size_t i = 0; i < sizeof limited / sizeof limited[0]; i++) {
        void *symbol = avi_symbol(handle, limited[i]);
        if (!symbol) {
            avi_append(search->tried, sizeof search->tried, "\n  %s: has no function %s", name, limited[i]);
            return false;
        }
        memcpy(&libyuv->limited[i], &symbol, sizeof symbol);
        symbol = avi_symbol(handle, full[i]);
        memcpy(&libyuv->full[i], &symbol, sizeof symbol);
    }
    libyuv->path = path_of(handle, name);
    return libyuv->path != NULL;
}

const avi_libyuv *avi_libyuv_open(const char *path, char *why, size_t size) {
    static const char *const sonames[] = {"libyuv.so.0", "libyuv.so"};
    static avi_libyuv libyuv;
    avi_search search = new_search();
    avi_lock(&lock);
    for (size_t i = 0; !libyuv.path && i < sizeof sonames / sizeof sonames[0]; i++) {
        void *handle = avi_load_soname(&search, sonames[i]);
        if (handle)
            adopt_libyuv(&search, handle, sonames[i], &libyuv);
    }
    if (!libyuv.path && path) {
        void *handle = avi_load_from_wheel(&search, path);
        if (handle)
            adopt_libyuv(&search, handle, path, &libyuv);
    }
    const avi_libyuv *found = libyuv.path ? &libyuv : NULL;
    avi_unlock(&lock);
    avi_append(why, size, "%s", search.tried);
    return found;
}

static bool adopt_swscale(avi_search *search, void *handle, const char *name, avi_swscale *swscale) {
#define RESOLVE(type, function, params)                                                                                \
    {                                                                                                                  \
        void *symbol = avi_symbol(handle, #function); /* also finds what the library itself depends on */              \
        memcpy(&swscale->function, &symbol, sizeof symbol);                                                            \
        if (!symbol) {                                                                                                 \
            avi_append(search->tried, sizeof search->tried, "\n  %s: has no function %s", name, #function);            \
            return false;                                                                                              \
        }                                                                                                              \
    }
    AVI_SWSCALE_FUNCTIONS(RESOLVE)
#undef RESOLVE
    swscale->path = path_of(handle, name);
    return swscale->path != NULL;
}

const avi_swscale *avi_swscale_open(const char *path, char *why, size_t size) {
    static const char *const sonames[] = {"libswscale.so.10", "libswscale.so.9", "libswscale.so.8",
                                          "libswscale.so.7",  "libswscale.so.6", "libswscale.so.5"};
    static avi_swscale swscale;
    avi_search search = new_search();
    avi_lock(&lock);
    if (!swscale.path && path) {
        void *handle = avi_load_from_wheel(&search, path);
        if (handle)
            adopt_swscale(&search, handle, path, &swscale);
    }
    for (size_t i = 0; !swscale.path && i < sizeof sonames / sizeof sonames[0]; i++) {
        void *handle = avi_load_soname(&search, sonames[i]);
        if (handle)
            adopt_swscale(&search, handle, sonames[i], &swscale);
    }
    const avi_swscale *found = swscale.path ? &swscale : NULL;
    avi_unlock(&lock);
    avi_append(why, size, "%s", search.tried);
    return found;
}

static void in_child(void) {
    pthread_mutex_init(&lock, NULL);
}

__attribute__((constructor)) static void set_up(void) {
    avi_on_fork(in_child);
}
