// SPDX-License-Identifier: Apache-2.0
/*
 * av_api.h - what the codec's two files know of libavcodec, which has no part in building.
 *
 *     codec.c   finds and loads it
 *     encode.c  encodes with it
 *
 * The price is a hand-declared prefix of four structures. Objects are made by libavcodec's own
 * allocators, so growth at their end is harmless; every setting goes through AVOptions, so the codec
 * context stays opaque. What could go wrong is refused by majors and by looking at freshly allocated
 * objects whose defaults are known (codec.c).
 *
 * av_log's level and callback are process-wide and shared with a PyAV in the same process: they are
 * never touched; the encoders' own options keep them quiet.
 */
#ifndef ASCEND_VENC_SIM_AV_API_H
#define ASCEND_VENC_SIM_AV_API_H

#include <stddef.h>
#include <stdint.h>

_Static_assert(sizeof(void *) == 8, "the offsets below are those of LP64");

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

/* AVFrameSideData, and AVRegionOfInterest: `shift` is a change of the quantiser in 51sts of its range. */
typedef struct side_data_prefix {
    int type;
    uint8_t *data;
} side_data_prefix;

typedef struct region_of_interest {
    uint32_t size;
    int top, bottom, left, right;
    struct {
        int num, den;
    } shift;
} region_of_interest;

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
    X(side_data_prefix *, av_frame_new_side_data, (frame_prefix *, int, size_t))                                       \
    X(void, av_frame_remove_side_data, (frame_prefix *, int))                                                          \
    X(const char *, av_frame_side_data_name, (int))                                                                    \
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

/* Complete and constant once sim_codec_load has succeeded. */
extern av_api sim_av;

/* Index of pict_type in frame_prefix.tail. */
static inline int av_pict_type_index(const av_api *api) {
    return api->avutil_version() >> 16 <= LAST_AVUTIL_WITH_KEY_FRAME ? 1 : 0;
}

/* A reason into `why`, which may be NULL. */
void sim_codec_explain(char *why, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif /* ASCEND_VENC_SIM_AV_API_H */
