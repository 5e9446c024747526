// SPDX-License-Identifier: Apache-2.0
/* Encoding with libavcodec. See av_api.h. */
#include "codec.h"
#include "av_api.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { H265_MAIN = 0, H264_BASELINE = 1, H264_MAIN = 2, H264_HIGH = 3 }; /* acldvppStreamFormat */
enum { NV12 = 1, NV21 = 2 };                                             /* acldvppPixelFormat */
enum { RC_CBR = 2, RC_CALLER = 3 };
enum { BASE_QP = 26, MOST_QP = 51 };

/* Above what any device takes, below what overflows here or makes libavcodec complain on stderr. */
enum { MOST_PIXELS = 8192, MOST_FPS = 1000, MOST_KBIT = 1000000 };

struct sim_codec {
    void *context;
    frame_prefix *frame;
    packet_prefix *packet;
    uint32_t width, height;
    int64_t next_pts;
    int h265;
    int swapped; /* NV21, as opened */
    int crossed; /* the pictures have their chroma in the other order */
    int roi;     /* libavutil's number of regions of interest, -1: rate control is the codec's */
    int qp;      /* wanted, with `roi`, as the regions */
    sim_codec_region regions[SIM_CODEC_REGIONS];
    unsigned region_count;

    /* CBR on libx264, see follow_rate; `window` is 0 otherwise */
    int64_t rate, fps; /* asked for; bit/s */
    int64_t current;   /* what libx264 has been told, bit/s */
    int64_t balance;   /* bits not used, decaying over `window` pictures */
    int64_t window;
};

/* ---- opening ------------------------------------------------------------------------------- */

static void explain_av(char *why, size_t why_size, const char *what, int code) {
    char text[128] = "";
    sim_av.av_strerror(code, text, sizeof text);
    sim_codec_explain(why, why_size, "%s: %s (%d)", what, text, code);
}

__attribute__((format(printf, 5, 6))) static int set_option(void *context, const char *name, char *why, size_t why_size,
                                                            const char *format, ...) {
    char value[512], what[640];
    va_list args;
    va_start(args, format);
    vsnprintf(value, sizeof value, format, args);
    va_end(args);
    int code = sim_av.av_opt_set(context, name, value, AV_OPT_SEARCH_CHILDREN);
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
    if (config->rc_mode == RC_CALLER) {
        SET("crf", "%d", BASE_QP); /* of qcomp=1: the quantiser of every picture */
    } else {
        SET("maxrate", "%lld", bits);
        SET("bufsize", "%lld", buffer_bits(bits, config->src_rate, h265));
    }
    /* Variable rate: the quality is capped, so that easy content stays below the rate. libx265 does not keep to
     * maxrate with a crf, so it has a constant rate and a least quantiser instead. */
    if (config->rc_mode != RC_CALLER && (cbr || h265))
        SET("b", "%lld", bits);
    else if (config->rc_mode != RC_CALLER)
        SET("crf", "23");
    /* vbv-init: the default, 0.9 full, overshoots the first seconds by 10 to 25 %. */
    if (h265) {
        SET("profile", "main");
        SET("x265-params",
            "log-level=none:info=0:scenecut=0:open-gop=0:bframes=0:rc-lookahead=0:frame-threads=1:repeat-headers=1:"
            "min-keyint=1:keyint=65537:pools=none:wpp=0:rd=1:vbv-init=0.5:%s",
            config->rc_mode == RC_CALLER ? "qcomp=1:ipratio=1:aq-mode=1:aq-strength=0.01:cutree=0"
            : cbr                        ? "qcomp=0.5"
                                         : "qcomp=0.5:qpmin=26");
    } else {
        /* The preset switches CABAC and 8x8dct off, which would make every stream a Baseline one. It also leaves out
         * subpixel motion and deblocking, which gain 3 dB for a fifth more time. */
        SET("profile", "%s",
            config->en_type == H264_BASELINE ? "baseline"
            : config->en_type == H264_MAIN   ? "main"
                                             : "high");
        SET("x264-params", "log=0:scenecut=0:vbv-init=0.5:subme=1:deblock=0,0:cabac=%d:8x8dct=%d%s",
            config->en_type != H264_BASELINE, config->en_type == H264_HIGH,
            config->rc_mode == RC_CALLER ? ":qcomp=1:ipratio=1:aq-mode=1:aq-strength=0.01"
            : cbr                        ? ":qcomp=0"
                                         : "");
    }
#undef SET
    return 0;
}

static int check_config(const sim_codec_config *config, char *why, size_t why_size) {
    if (config->en_type < H265_MAIN || config->en_type > H264_HIGH)
        sim_codec_explain(why, why_size, "stream format %d is none of 0 to 3", config->en_type);
    else if (config->pic_format != NV12 && config->pic_format != NV21)
        sim_codec_explain(why, why_size, "pixel format %d is neither NV12 (1) nor NV21 (2)", config->pic_format);
    else if (config->width == 0 || config->height == 0 || (config->width | config->height) & 1)
        sim_codec_explain(why, why_size, "picture size %ux%u is not even and positive", config->width, config->height);
    else if (config->width > MOST_PIXELS || config->height > MOST_PIXELS)
        sim_codec_explain(why, why_size, "picture size %ux%u is above %d a side", config->width, config->height,
                          MOST_PIXELS);
    else if (config->src_rate == 0 || config->src_rate > MOST_FPS)
        sim_codec_explain(why, why_size, "frame rate %u is not in [1, %d]", config->src_rate, MOST_FPS);
    else if (config->bit_rate == 0 || config->bit_rate > MOST_KBIT)
        sim_codec_explain(why, why_size, "bit rate %u is not in [1, %d]", config->bit_rate, MOST_KBIT);
    else
        return 0;
    return -1;
}

static int open_into(sim_codec *codec, const sim_codec_config *config, char *why, size_t why_size) {
    void *encoder = sim_av.avcodec_find_encoder_by_name(codec->h265 ? "libx265" : "libx264");
    codec->context = sim_av.avcodec_alloc_context3(encoder);
    codec->frame = sim_av.av_frame_alloc();
    codec->packet = sim_av.av_packet_alloc();
    if (encoder == NULL || codec->context == NULL || codec->frame == NULL || codec->packet == NULL) {
        sim_codec_explain(why, why_size, "out of memory");
        return -1;
    }
    if (set_options(codec->context, config, why, why_size) != 0)
        return -1;
    int code = sim_av.avcodec_open2(codec->context, encoder, NULL);
    if (code < 0) {
        char what[128];
        snprintf(what, sizeof what, "%s does not open at %ux%u, %u fps, %u kbit/s", codec->h265 ? "libx265" : "libx264",
                 config->width, config->height, config->src_rate, config->bit_rate);
        explain_av(why, why_size, what, code);
        return -1;
    }
    codec->frame->width = (int)config->width;
    codec->frame->height = (int)config->height;
    codec->frame->format = sim_av.av_get_pix_fmt(codec->h265 ? "yuv420p" : codec->swapped ? "nv21" : "nv12");
    code = sim_av.av_frame_get_buffer(codec->frame, 0);
    if (code < 0) {
        explain_av(why, why_size, "no picture buffer", code);
        return -1;
    }
    return 0;
}

/* The number that this libavutil has for regions of interest, which differs by version. -1: none. */
static int find_regions(void) {
    for (int type = 0; type < 64; type++) {
        const char *name = sim_av.av_frame_side_data_name(type);
        if (name != NULL && strcmp(name, "Regions Of Interest") == 0)
            return type;
    }
    return -1;
}

int sim_codec_open(const sim_codec_config *config, sim_codec **out, char *why, size_t why_size) {
    *out = NULL;
    if (check_config(config, why, why_size) != 0 || sim_codec_load(NULL, why, why_size) != 0)
        return -1;
    sim_codec *codec = calloc(1, sizeof *codec);
    if (codec == NULL) {
        sim_codec_explain(why, why_size, "out of memory");
        return -1;
    }
    codec->h265 = config->en_type == H265_MAIN;
    codec->qp = BASE_QP;
    codec->roi = config->rc_mode == RC_CALLER ? find_regions() : -1;
    if (config->rc_mode == RC_CALLER && codec->roi < 0) {
        sim_codec_explain(why, why_size, "this libavutil has no regions of interest");
        free(codec);
        return -1;
    }
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
        sim_av.avcodec_free_context(&codec->context);
    if (codec->frame != NULL)
        sim_av.av_frame_free(&codec->frame);
    if (codec->packet != NULL)
        sim_av.av_packet_free(&codec->packet);
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

static void swap_pairs(uint8_t *restrict to, const uint8_t *restrict from, size_t count) {
    for (size_t i = 0; i < count; i++) {
        to[2 * i] = from[2 * i + 1];
        to[2 * i + 1] = from[2 * i];
    }
}

static void fill_frame(sim_codec *codec, const uint8_t *y, size_t y_stride, const uint8_t *uv, size_t uv_stride) {
    frame_prefix *frame = codec->frame;
    copy_plane(frame->data[0], (size_t)frame->linesize[0], y, y_stride, codec->width, codec->height);
    if (!codec->h265 && codec->crossed) {
        for (size_t row = 0; row < codec->height / 2; row++)
            swap_pairs(frame->data[1] + row * (size_t)frame->linesize[1], uv + row * uv_stride, codec->width / 2);
        return;
    }
    if (!codec->h265) { /* libx264 takes NV12 and NV21 as they are */
        copy_plane(frame->data[1], (size_t)frame->linesize[1], uv, uv_stride, codec->width, codec->height / 2);
        return;
    }
    int swapped = codec->swapped != codec->crossed;
    for (size_t row = 0; row < codec->height / 2; row++)
        split_pairs(frame->data[swapped ? 2 : 1] + row * (size_t)frame->linesize[1],
                    frame->data[swapped ? 1 : 2] + row * (size_t)frame->linesize[2], uv + row * uv_stride,
                    codec->width / 2);
}

void sim_codec_set_format(sim_codec *codec, int32_t pic_format) {
    codec->crossed = (pic_format == NV21) != codec->swapped;
}

void sim_codec_set_qp(sim_codec *codec, int qp) {
    codec->qp = qp < 0 ? 0 : qp > MOST_QP ? MOST_QP : qp;
}

void sim_codec_set_regions(sim_codec *codec, const sim_codec_region *regions, unsigned count) {
    codec->region_count = count < SIM_CODEC_REGIONS ? count : SIM_CODEC_REGIONS;
    for (unsigned i = 0; i < codec->region_count; i++)
        codec->regions[i] = regions[i];
}

static region_of_interest interest(const sim_codec_region *region) {
    return (region_of_interest){.size = sizeof(region_of_interest),
                                .top = (int)region->y,
                                .bottom = (int)(region->y + region->height),
                                .left = (int)region->x,
                                .right = (int)(region->x + region->width),
                                .shift = {region->qp - BASE_QP, MOST_QP}};
}

/*
 * A quantiser of the caller's. Neither encoder takes one between pictures through libavcodec, nor libx265 a rate; both
 * take regions of interest with each picture. So they encode with a constant quantiser, and a region of the whole
 * picture, behind all others, shifts it.
 */
static int place_qp(sim_codec *codec) {
    unsigned count = codec->region_count;
    sim_av.av_frame_remove_side_data(codec->frame, codec->roi);
    side_data_prefix *side =
        sim_av.av_frame_new_side_data(codec->frame, codec->roi, (count + 1) * sizeof(region_of_interest));
    if (side == NULL)
        return -1;
    region_of_interest *to = (region_of_interest *)(void *)side->data;
    for (unsigned i = 0; i < count; i++)
        to[i] = interest(&codec->regions[i]);
    const sim_codec_region whole = {0, 0, codec->width, codec->height, codec->qp};
    to[count] = interest(&whole);
    return 0;
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
    sim_av.av_packet_unref(codec->packet);
    int code = sim_av.av_frame_make_writable(codec->frame);
    if (code < 0) {
        explain_av(why, why_size, "no picture buffer", code);
        return -1;
    }
    fill_frame(codec, y, y_stride, uv, uv_stride);
    if (codec->roi >= 0 && place_qp(codec) != 0) {
        sim_codec_explain(why, why_size, "out of memory");
        return -1;
    }
    codec->frame->pts = codec->next_pts++;
    codec->frame->tail[av_pict_type_index(&sim_av)] = idr ? PICTURE_TYPE_I : PICTURE_TYPE_NONE;
    code = sim_av.avcodec_send_frame(codec->context, codec->frame);
    if (code < 0) {
        explain_av(why, why_size, "the encoder refuses the picture", code);
        return -1;
    }
    /* EAGAIN too: an encoder that held a picture back would shift every later one. */
    code = sim_av.avcodec_receive_packet(codec->context, codec->packet);
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
