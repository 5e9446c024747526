// SPDX-License-Identifier: Apache-2.0
/*
 * libavcodec through dlopen, without its headers: nothing to install at build time, nothing linked.
 *
 * The price is a hand-declared prefix of two structures. Objects are made by libavcodec's own
 * allocators, so growth at their end is harmless; every setting goes through AVOptions, so the codec
 * context stays opaque. What could go wrong is refused by majors (SUPPORTED_*) and by looking at
 * freshly allocated objects whose defaults are known (check_layout).
 *
 * av_log's level and callback are process-wide and shared with a PyAV in the same process: they are
 * never touched; the encoders' own options keep them quiet.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* dladdr */
#endif

#include "codec.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(void *) == 8, "the offsets below are those of LP64");

enum { H265_MAIN = 0, H264_BASELINE = 1, H264_MAIN = 2, H264_HIGH = 3 }; /* acldvppStreamFormat */
enum { NV12 = 1, NV21 = 2 };                                             /* acldvppPixelFormat */
enum { RC_CBR = 2 };

/* Above what any device takes, below what overflows here or makes libavcodec complain on stderr. */
enum { MOST_PIXELS = 8192, MOST_FPS = 1000, MOST_KBIT = 1000000 };

enum { SUPPORTED_AVCODEC_MIN = 58, SUPPORTED_AVCODEC_MAX = 63, SUPPORTED_AVUTIL_MIN = 56, SUPPORTED_AVUTIL_MAX = 61 };

#define AV_NOPTS               INT64_MIN
#define AV_OPT_SEARCH_CHILDREN 1
enum { PICTURE_TYPE_NONE = 0, PICTURE_TYPE_I = 1 };

/* AVFrame and AVPacket. `tail` is key_frame (up to libavutil 59 only), pict_type, sample aspect ratio (two).
 * tests/unit/test_simulator_codec.py compares with real headers. */
typedef struct frame_prefix {
    uint8_t *data[8];
    int linesize[8];
    uint8_t **extended_data;
    int width, height, nb_samples, format;
    int tail[4];
    int64_t pts;
} frame_prefix;

enum { LAST_AVUTIL_WITH_KEY_FRAME = 59 };

typedef struct packet_prefix {
    void *buf;
    int64_t pts, dts;
    uint8_t *data;
    int size, stream_index, flags;
} packet_prefix;

/* X(return type, name, parameters) */
#define AV_FUNCTIONS(X)                                                                                                \
    X(unsigned, avcodec_version, (void))                                                                               \
    X(unsigned, avutil_version, (void))                                                                                \
    X(void *, avcodec_find_encoder_by_name, (const char *))                                                            \
    X(void *, avcodec_alloc_context3, (const void *))                                                                  \
    X(int, avcodec_open2, (void *, const void *, void **))                                                             \
    X(void, avcodec_free_context, (void **))                                                                           \
    X(int, avcodec_send_frame, (void *, const frame_prefix *))                                                         \
    X(int, avcodec_receive_packet, (void *, packet_prefix *))                                                          \
    X(frame_prefix *, av_frame_alloc, (void))                                                                          \
    X(void, av_frame_free, (frame_prefix **))                                                                          \
    X(int, av_frame_get_buffer, (frame_prefix *, int))                                                                 \
    X(int, av_frame_make_writable, (frame_prefix *))                                                                   \
    X(packet_prefix *, av_packet_alloc, (void))                                                                        \
    X(void, av_packet_free, (packet_prefix **))                                                                        \
    X(void, av_packet_unref, (packet_prefix *))                                                                        \
    X(int, av_opt_set, (void *, const char *, const char *, int))                                                      \
    X(int, av_get_pix_fmt, (const char *))                                                                             \
    X(int, av_strerror, (int, char *, size_t))

typedef struct av_api {
#define X(type, name, params) type(*name) params;
    AV_FUNCTIONS(X)
#undef X
} av_api;

struct sim_codec {
    void *context;
    frame_prefix *frame;
    packet_prefix *packet;
    uint32_t width, height;
    int64_t next_pts;
    int h265;
    int swapped; /* NV21 */

    /* CBR on libx264, see follow_rate; `window` is 0 otherwise */
    int64_t rate, fps; /* asked for; bit/s */
    int64_t current;   /* what libx264 has been told, bit/s */
    int64_t balance;   /* bits not spent, decaying over `window` pictures */
    int64_t window;
};

static pthread_mutex_t load_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_int loaded; /* 1 once av, version_text and path_text are final */
static av_api av;
static char version_text[256];
static char path_text[PATH_MAX];

__attribute__((format(printf, 3, 4))) static void explain(char *why, size_t size, const char *format, ...) {
    if (why == NULL || size == 0)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(why, size, format, args);
    va_end(args);
}

/* ---- loading ------------------------------------------------------------------------------- */

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

/* Index of pict_type in frame_prefix.tail. */
static int pict_type_index(const av_api *api) {
    return api->avutil_version() >> 16 <= LAST_AVUTIL_WITH_KEY_FRAME ? 1 : 0;
}

/* The positions we rely on hold the defaults that the allocators document. */
static int check_layout(const av_api *api) {
    frame_prefix *frame = api->av_frame_alloc();
    packet_prefix *packet = api->av_packet_alloc();
    int aspect = pict_type_index(api) + 1;
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
    av = api;
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
        explain(why, why_size,
                "the simulated device needs libavcodec with libx264 and libx265: pip install 'ascend-venc[sim]', or "
                "apt-get install libavcodec59, or set ASCEND_VENC_SIM_AVCODEC to its path (tried %s)",
                log.text);
    return result;
}

const char *sim_codec_version(void) {
    return atomic_load_explicit(&loaded, memory_order_acquire) ? version_text : "";
}

const char *sim_codec_path(void) {
    return atomic_load_explicit(&loaded, memory_order_acquire) ? path_text : "";
}

/* ---- opening ------------------------------------------------------------------------------- */

static void explain_av(char *why, size_t why_size, const char *what, int code) {
    char text[128] = "";
    av.av_strerror(code, text, sizeof text);
    explain(why, why_size, "%s: %s (%d)", what, text, code);
}

__attribute__((format(printf, 5, 6))) static int set_option(void *context, const char *name, char *why, size_t why_size,
                                                            const char *format, ...) {
    char value[512], what[640];
    va_list args;
    va_start(args, format);
    vsnprintf(value, sizeof value, format, args);
    va_end(args);
    int code = av.av_opt_set(context, name, value, AV_OPT_SEARCH_CHILDREN);
    if (code >= 0)
        return 0;
    snprintf(what, sizeof what, "libavcodec refuses %s=%s", name, value);
    explain_av(why, why_size, what, code);
    return -1;
}

/*
 * The buffer that rate control keeps from running dry, in bits: a swing from end to end moves the rate over 5 s by as
 * much. Half a second for libx264; libx265 loses its way with less than a second. Never less than a dozen pictures, or
 * the rate could not be reached at low frame rates.
 */
static long long buffer_bits(long long rate, uint32_t fps, int h265) {
    const long long most = 2000000000; /* the option is an int */
    long long bits = h265 ? rate : rate / 2, dozen = rate / fps * 12;
    if (bits < dozen)
        bits = dozen;
    return bits < most ? bits : most;
}

static int set_options(void *context, const sim_codec_config *config, char *why, size_t why_size) {
    int h265 = config->en_type == H265_MAIN;
    int cbr = config->rc_mode == RC_CBR;
    long long bits = (long long)config->bit_rate * 1000;
#define SET(name, ...)                                                                                                 \
    do {                                                                                                               \
        if (set_option(context, name, why, why_size, __VA_ARGS__) != 0)                                                \
            return -1;                                                                                                 \
    } while (0)
    SET("video_size", "%ux%u", config->width, config->height);
    SET("pixel_format", "%s", h265 ? "yuv420p" : config->pic_format == NV21 ? "nv21" : "nv12");
    SET("time_base", "1/%u", config->src_rate);
    SET("g", "65537"); /* out of reach: the caller decides every IDR */
    SET("bf", "0");
    SET("threads", "1"); /* more would mean several slices in each picture */
    SET("preset", "ultrafast");
    SET("tune", "zerolatency");
    SET("forced-idr", "1");
    SET("maxrate", "%lld", bits);
    SET("bufsize", "%lld", buffer_bits(bits, config->src_rate, h265));
    /* Variable rate: the quality is capped, so that easy content stays below the rate. libx265 does not keep to
     * maxrate with a crf, so it has a constant rate and a least quantiser instead. */
    if (cbr || h265)
        SET("b", "%lld", bits);
    else
        SET("crf", "23");
    /* vbv-init: the default, 0.9 full, overshoots the first seconds by 10 to 25 %. */
    if (h265) {
        SET("profile", "main");
        SET("x265-params",
            "log-level=none:info=0:scenecut=0:open-gop=0:bframes=0:rc-lookahead=0:frame-threads=1:repeat-headers=1:"
            "min-keyint=1:keyint=65537:pools=none:wpp=0:rd=1:vbv-init=0.5:qcomp=0.5%s",
            cbr ? "" : ":qpmin=26");
    } else {
        /* The preset switches CABAC and 8x8dct off, which would make every stream a Baseline one. It also leaves out
         * subpixel motion and deblocking, which gain 3 dB for a fifth more time. */
        SET("profile", "%s",
            config->en_type == H264_BASELINE ? "baseline"
            : config->en_type == H264_MAIN   ? "main"
                                             : "high");
        SET("x264-params", "log=0:scenecut=0:vbv-init=0.5:subme=1:deblock=0,0:cabac=%d:8x8dct=%d%s",
            config->en_type != H264_BASELINE, config->en_type == H264_HIGH, cbr ? ":qcomp=0" : "");
    }
#undef SET
    return 0;
}

static int check_config(const sim_codec_config *config, char *why, size_t why_size) {
    if (config->en_type < H265_MAIN || config->en_type > H264_HIGH)
        explain(why, why_size, "stream format %d is none of 0 to 3", config->en_type);
    else if (config->pic_format != NV12 && config->pic_format != NV21)
        explain(why, why_size, "pixel format %d is neither NV12 (1) nor NV21 (2)", config->pic_format);
    else if (config->width == 0 || config->height == 0 || (config->width | config->height) & 1)
        explain(why, why_size, "picture size %ux%u is not even and positive", config->width, config->height);
    else if (config->width > MOST_PIXELS || config->height > MOST_PIXELS)
        explain(why, why_size, "picture size %ux%u is above %d a side", config->width, config->height, MOST_PIXELS);
    else if (config->src_rate == 0 || config->src_rate > MOST_FPS)
        explain(why, why_size, "frame rate %u is not in [1, %d]", config->src_rate, MOST_FPS);
    else if (config->bit_rate == 0 || config->bit_rate > MOST_KBIT)
        explain(why, why_size, "bit rate %u is not in [1, %d]", config->bit_rate, MOST_KBIT);
    else
        return 0;
    return -1;
}

static int open_into(sim_codec *codec, const sim_codec_config *config, char *why, size_t why_size) {
    void *encoder = av.avcodec_find_encoder_by_name(codec->h265 ? "libx265" : "libx264");
    codec->context = av.avcodec_alloc_context3(encoder);
    codec->frame = av.av_frame_alloc();
    codec->packet = av.av_packet_alloc();
    if (encoder == NULL || codec->context == NULL || codec->frame == NULL || codec->packet == NULL) {
        explain(why, why_size, "out of memory");
        return -1;
    }
    if (set_options(codec->context, config, why, why_size) != 0)
        return -1;
    int code = av.avcodec_open2(codec->context, encoder, NULL);
    if (code < 0) {
        char what[128];
        snprintf(what, sizeof what, "%s does not open at %ux%u, %u fps, %u kbit/s", codec->h265 ? "libx265" : "libx264",
                 config->width, config->height, config->src_rate, config->bit_rate);
        explain_av(why, why_size, what, code);
        return -1;
    }
    codec->frame->width = (int)config->width;
    codec->frame->height = (int)config->height;
    codec->frame->format = av.av_get_pix_fmt(codec->h265 ? "yuv420p" : codec->swapped ? "nv21" : "nv12");
    code = av.av_frame_get_buffer(codec->frame, 0);
    if (code < 0) {
        explain_av(why, why_size, "no picture buffer", code);
        return -1;
    }
    return 0;
}

int sim_codec_open(const sim_codec_config *config, sim_codec **out, char *why, size_t why_size) {
    *out = NULL;
    if (check_config(config, why, why_size) != 0 || sim_codec_load(NULL, why, why_size) != 0)
        return -1;
    sim_codec *codec = calloc(1, sizeof *codec);
    if (codec == NULL) {
        explain(why, why_size, "out of memory");
        return -1;
    }
    codec->h265 = config->en_type == H265_MAIN;
    codec->swapped = config->pic_format == NV21;
    codec->width = config->width;
    codec->height = config->height;
    codec->rate = codec->current = (int64_t)config->bit_rate * 1000;
    codec->fps = config->src_rate;
    if (config->rc_mode == RC_CBR && !codec->h265)
        codec->window = config->src_rate * 3 > 75 ? config->src_rate * 3 : 75;
    if (open_into(codec, config, why, why_size) != 0) {
        sim_codec_close(codec);
        return -1;
    }
    *out = codec;
    return 0;
}

void sim_codec_close(sim_codec *codec) {
    if (codec == NULL)
        return;
    if (codec->context != NULL)
        av.avcodec_free_context(&codec->context);
    if (codec->frame != NULL)
        av.av_frame_free(&codec->frame);
    if (codec->packet != NULL)
        av.av_packet_free(&codec->packet);
    free(codec);
}

/* ---- encoding ------------------------------------------------------------------------------ */

static void copy_plane(uint8_t *to, size_t to_stride, const uint8_t *from, size_t from_stride, size_t width,
                       size_t height) {
    if (to_stride == from_stride) {
        memcpy(to, from, from_stride * (height - 1) + width);
        return;
    }
    for (size_t row = 0; row < height; row++)
        memcpy(to + row * to_stride, from + row * from_stride, width);
}

static void split_pairs(uint8_t *restrict first, uint8_t *restrict second, const uint8_t *restrict pairs,
                        size_t count) {
    enum { BLOCK = 32 }; /* a constant trip count, so that the inner loop is vectorised at -O2 too */
    size_t done = 0;
    for (; done + BLOCK <= count; done += BLOCK)
        for (size_t i = 0; i < BLOCK; i++) {
            first[done + i] = pairs[2 * (done + i)];
            second[done + i] = pairs[2 * (done + i) + 1];
        }
    for (; done < count; done++) {
        first[done] = pairs[2 * done];
        second[done] = pairs[2 * done + 1];
    }
}

static void fill_frame(sim_codec *codec, const uint8_t *y, size_t y_stride, const uint8_t *uv, size_t uv_stride) {
    frame_prefix *frame = codec->frame;
    copy_plane(frame->data[0], (size_t)frame->linesize[0], y, y_stride, codec->width, codec->height);
    if (!codec->h265) { /* libx264 takes NV12 and NV21 as they are */
        copy_plane(frame->data[1], (size_t)frame->linesize[1], uv, uv_stride, codec->width, codec->height / 2);
        return;
    }
    for (size_t row = 0; row < codec->height / 2; row++)
        split_pairs(frame->data[codec->swapped ? 2 : 1] + row * (size_t)frame->linesize[1],
                    frame->data[codec->swapped ? 1 : 2] + row * (size_t)frame->linesize[2], uv + row * uv_stride,
                    codec->width / 2);
}

/* Offset of the next start code (of three bytes) at or after `at`, or `size`. */
static size_t find_start_code(const uint8_t *data, size_t size, size_t at) {
    for (; at + 3 <= size; at++)
        if (data[at] == 0 && data[at + 1] == 0 && data[at + 2] == 1)
            return at;
    return size;
}

/* libx264 puts its version text into the first access unit as an SEI, and no option keeps it out; a device has no such
 * thing. Returns the new size. */
static size_t drop_sei(uint8_t *data, size_t size) {
    enum { NAL_SEI = 6 };
    size_t at = find_start_code(data, size, 0);
    while (at + 3 < size) {
        size_t next = find_start_code(data, size, at + 3);
        if ((data[at + 3] & 31) != NAL_SEI) {
            at = next;
            continue;
        }
        /* a zero byte before a start code belongs to it */
        size_t from = at > 0 && data[at - 1] == 0 ? at - 1 : at;
        size_t to = next < size && data[next - 1] == 0 ? next - 1 : next;
        memmove(data + from, data + to, size - to);
        size -= to - from;
        at = from + (next - to);
    }
    return size;
}

/*
 * libx264's CBR forgets bits that it could not spend (a full buffer) or had to overspend (a scene cut), so that the
 * rate over 5 s of a clip with many cuts is off by up to 19 %; with this slow outer loop it is 8 %. libx264 takes a new
 * rate between pictures; libx265 does not through libavcodec, but has strict-cbr. No filler: like a device, the codec
 * spends fewer bits on content that cannot use them.
 */
static int follow_rate(sim_codec *codec, size_t size, char *why, size_t why_size) {
    codec->balance += codec->rate / codec->fps - (int64_t)size * 8 - codec->balance / codec->window;
    int64_t most = codec->rate * codec->window / codec->fps / 8; /* or still content would earn a long burst */
    if (codec->balance > most)
        codec->balance = most;
    if (codec->balance < -most)
        codec->balance = -most;
    int64_t wanted = codec->rate + 4 * codec->balance * codec->fps / codec->window;
    if (wanted > codec->rate * 13 / 10)
        wanted = codec->rate * 13 / 10;
    if (wanted < codec->rate * 7 / 10)
        wanted = codec->rate * 7 / 10;
    if (llabs(wanted - codec->current) * 100 < codec->current)
        return 0;
    codec->current = wanted;
    if (set_option(codec->context, "b", why, why_size, "%lld", (long long)wanted) != 0 ||
        set_option(codec->context, "maxrate", why, why_size, "%lld", (long long)wanted) != 0)
        return -1;
    return 0;
}

int sim_codec_encode(sim_codec *codec, const uint8_t *y, size_t y_stride, const uint8_t *uv, size_t uv_stride, int idr,
                     const uint8_t **data, size_t *size, char *why, size_t why_size) {
    *data = NULL;
    *size = 0;
    av.av_packet_unref(codec->packet);
    int code = av.av_frame_make_writable(codec->frame);
    if (code < 0) {
        explain_av(why, why_size, "no picture buffer", code);
        return -1;
    }
    fill_frame(codec, y, y_stride, uv, uv_stride);
    codec->frame->pts = codec->next_pts++;
    codec->frame->tail[pict_type_index(&av)] = idr ? PICTURE_TYPE_I : PICTURE_TYPE_NONE;
    code = av.avcodec_send_frame(codec->context, codec->frame);
    if (code < 0) {
        explain_av(why, why_size, "the encoder refuses the picture", code);
        return -1;
    }
    /* EAGAIN too: an encoder that held a picture back would shift every later one. */
    code = av.avcodec_receive_packet(codec->context, codec->packet);
    if (code < 0) {
        explain_av(why, why_size, "the encoder gives no access unit", code);
        return -1;
    }
    *data = codec->packet->data;
    *size = (size_t)codec->packet->size;
    if (!codec->h265 && codec->next_pts == 1)
        *size = drop_sei(codec->packet->data, *size);
    if (codec->window != 0 && follow_rate(codec, *size, why, why_size) != 0) {
        *data = NULL;
        *size = 0;
        return -1;
    }
    return 0;
}
