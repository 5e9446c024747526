// SPDX-License-Identifier: Apache-2.0
/*
 * Pictures of other pixel formats to NV12 or NV21, straight into the caller's memory.
 *
 * RGB is converted by a library: libyuv where it has the routine, since it is several times faster,
 * else libswscale. docs/conversion.md has the measurements. What needs no colour matrix (planar and
 * packed YUV, grey, a change of range) is moved by the loops of this file: they run at the speed of
 * memory, faster than either library, and need none to be installed.
 */
#include "engine.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* The loops below are written for the vectoriser, which older compilers leave out at -O2. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__OPTIMIZE__)
#pragma GCC optimize("O3")
#endif

enum {
    NV12 = 1, /* acldvppPixelFormat */
    NV21 = 2,
    SPLIT_PIXELS = 640 * 360, /* below, waking the worker costs more than it saves */
    LEAST_PIXELS = 16,        /* a side; libswscale is inexact in tiny pictures */
    MOST_PIXELS = 16384,
    BAND = 64,         /* rows that libyuv converts at a time: their chroma stays in the cache */
    SWS_AREA = 0x20,   /* the mean of the covered pixels: 2 x 2 for chroma, and the luma as it is */
    SWS_TAIL = 2,      /* the last rows of a source, which libswscale reads from a copy */
    SWS_OVERREAD = 64, /* bytes that it may read beyond a row */
    SWS_VECTOR = 16,   /* it writes rows of whole vectors where the stride has room for that */
    SWS_CS_ITU709 = 1,
    SWS_CS_ITU601 = 5,
};

enum { MOST_PARTS = 2 };

/* A stretch of the rows of an RGB picture, which one thread converts. */
typedef struct part {
    const avenc_converter *converter;
    uint32_t first, rows;
    uint8_t *scratch; /* libyuv: BAND/2 rows of Cb, then as many of Cr. libswscale: SWS_TAIL rows of the source */
    uint8_t *bounce;  /* libswscale: the part, for a width that is not of whole vectors; else NULL */
    void *context;    /* libswscale's */

    /* The conversion under way: rows of this part. */
    const uint8_t *source;
    size_t stride;
    uint8_t *y, *uv;
    size_t y_stride, uv_stride;
    bool done;
} part;

struct avenc_converter {
    avenc_converter_config config;
    uint32_t generation;
    int by;
    const char *path;
    avi_libyuv_routine routine;
    const avi_swscale *swscale;
    bool worker;          /* retained */
    pthread_mutex_t lock; /* the parts */
    unsigned part_count;
    part parts[MOST_PARTS];
};

static size_t bytes_of_row(const avenc_converter_config *config, int plane) {
    switch (config->source) {
    case AVENC_SOURCE_I420:
    case AVENC_SOURCE_YV12:
        return plane == 0 ? config->width : config->width / 2;
    case AVENC_SOURCE_GRAY8:
        return config->width;
    case AVENC_SOURCE_RGB24:
    case AVENC_SOURCE_BGR24:
        return (size_t)config->width * 3;
    case AVENC_SOURCE_RGBA:
    case AVENC_SOURCE_BGRA:
        return (size_t)config->width * 4;
    default:
        return (size_t)config->width * 2;
    }
}

static bool is_rgb(int32_t source) {
    return source >= AVENC_SOURCE_RGB24 && source <= AVENC_SOURCE_BGRA;
}

/* ---- loops of the engine --------------------------------------------------------------------- */

/*
 * A change of range: value * scale + add - sub, clipped, in 16 bits with 7 of them fractional, which is
 * what every vector unit has an instruction for.
 */
typedef struct scaling {
    uint16_t scale; /* 15 fractional bits */
    uint16_t add, sub;
} scaling;

#define FRACTION(numerator, denominator, bits) ((((numerator) << (bits)) + (denominator) / 2) / (denominator))
#define ROUNDING                               (1 << 6)

static const scaling LUMA_TO_LIMITED = {FRACTION(219, 255, 15), (16 << 7) + ROUNDING, 0};
static const scaling LUMA_TO_FULL = {FRACTION(255, 219, 15), ROUNDING, FRACTION(16 * 255, 219, 7)};
static const scaling CHROMA_TO_LIMITED = {FRACTION(224, 255, 15), FRACTION(128 * (255 - 224), 255, 7) + ROUNDING, 0};
static const scaling CHROMA_TO_FULL = {FRACTION(255, 224, 15), ROUNDING, FRACTION(128 * (255 - 224), 224, 7)};

static inline uint16_t multiply(uint8_t sample, uint16_t scale) {
    return (uint16_t)(((uint32_t)(uint16_t)(sample << 8) * scale) >> 16);
}

/* Not inlined: GCC would lose the 16-bit multiplication, and five times the speed. */
__attribute__((noinline)) static void scale_row(uint8_t *row, size_t count, scaling by) {
    if (by.sub == 0) { /* to limited range: cannot leave 0 to 255 */
        for (size_t i = 0; i < count; i++)
            row[i] = (uint8_t)((uint16_t)(multiply(row[i], by.scale) + by.add) >> 7);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        uint16_t value = (uint16_t)(multiply(row[i], by.scale) + by.add);
        value = value > by.sub ? (uint16_t)(value - by.sub) >> 7 : 0;
        row[i] = (uint8_t)(value > 255 ? 255 : value);
    }
}

static void interleave(uint8_t *restrict to, const uint8_t *restrict first, const uint8_t *restrict second,
                       size_t pairs) {
    for (size_t i = 0; i < pairs; i++) {
        to[2 * i] = first[i];
        to[2 * i + 1] = second[i];
    }
}

/* Every second byte, from the first (offset 0: YUYV) or the second (offset 1: UYVY). */
static void take_luma(uint8_t *restrict to, const uint8_t *restrict from, size_t offset, size_t count) {
    for (size_t i = 0; i < count; i++)
        to[i] = from[2 * i + offset];
}

static void mean_chroma(uint8_t *restrict to, const uint8_t *restrict upper, const uint8_t *restrict lower,
                        size_t offset, size_t count) {
    for (size_t i = 0; i < count; i++)
        to[i] = (uint8_t)((upper[2 * i + offset] + lower[2 * i + offset] + 1) >> 1);
}

static void mean_chroma_swapped(uint8_t *restrict to, const uint8_t *restrict upper, const uint8_t *restrict lower,
                                size_t offset, size_t pairs) {
    for (size_t i = 0; i < pairs; i++) {
        to[2 * i] = (uint8_t)((upper[4 * i + 2 + offset] + lower[4 * i + 2 + offset] + 1) >> 1);
        to[2 * i + 1] = (uint8_t)((upper[4 * i + offset] + lower[4 * i + offset] + 1) >> 1);
    }
}

static void convert_yuv(const avenc_converter_config *config, const uint8_t *const planes[3], const size_t strides[3],
                        uint8_t *y, size_t y_stride, uint8_t *uv, size_t uv_stride) {
    const size_t width = config->width;
    const bool scaled = config->source_range != config->range;
    const scaling luma = config->range == AVENC_RANGE_LIMITED ? LUMA_TO_LIMITED : LUMA_TO_FULL;
    const scaling chroma = config->range == AVENC_RANGE_LIMITED ? CHROMA_TO_LIMITED : CHROMA_TO_FULL;
    const bool packed = config->source == AVENC_SOURCE_YUYV422 || config->source == AVENC_SOURCE_UYVY422;
    const size_t luma_at = config->source == AVENC_SOURCE_UYVY422;
    /* Which plane's sample comes first in a pair. */
    const int first = (config->source == AVENC_SOURCE_YV12) == (config->pic_format == NV12) ? 2 : 1;

    for (size_t row = 0; row < config->height; row++) {
        uint8_t *to = y + row * y_stride;
        if (packed)
            take_luma(to, planes[0] + row * strides[0], luma_at, width);
        else
            memcpy(to, planes[0] + row * strides[0], width);
        if (scaled)
            scale_row(to, width, luma);
        if (row % 2)
            continue;
        to = uv + row / 2 * uv_stride;
        const uint8_t *upper = planes[0] + row * strides[0];
        if (config->source == AVENC_SOURCE_GRAY8)
            memset(to, 128, width);
        else if (!packed)
            interleave(to, planes[first] + row / 2 * strides[first], planes[3 - first] + row / 2 * strides[3 - first],
                       width / 2);
        else if (config->pic_format == NV12)
            mean_chroma(to, upper, upper + strides[0], 1 - luma_at, width);
        else
            mean_chroma_swapped(to, upper, upper + strides[0], 1 - luma_at, width / 2);
        if (scaled && config->source != AVENC_SOURCE_GRAY8)
            scale_row(to, width, chroma);
    }
}

/* ---- libyuv ---------------------------------------------------------------------------------- */

static bool convert_libyuv(const part *part) {
    const avenc_converter_config *config = &part->converter->config;
    const uint32_t half = config->width / 2;
    uint8_t *blue = part->scratch, *red = blue + (size_t)half * BAND / 2;
    const uint8_t *first = config->pic_format == NV12 ? blue : red;
    const uint8_t *second = config->pic_format == NV12 ? red : blue;
    for (uint32_t row = 0; row < part->rows; row += BAND) {
        uint32_t rows = part->rows - row < BAND ? part->rows - row : BAND;
        if (part->converter->routine(part->source + row * part->stride, (int)part->stride,
                                     part->y + row * part->y_stride, (int)part->y_stride, blue, (int)half, red,
                                     (int)half, (int)config->width, (int)rows) != 0)
            return false;
        for (uint32_t i = 0; i < rows / 2; i++)
            interleave(part->uv + (row / 2 + i) * part->uv_stride, first + (size_t)i * half, second + (size_t)i * half,
                       half);
    }
    return true;
}

static int create_libyuv_part(part *part) {
    part->scratch = malloc((size_t)part->converter->config.width * BAND / 2);
    return part->scratch ? AVENC_OK : avi_fail(AVENC_E_NOMEM, NULL, "out of memory");
}

/* ---- libswscale ------------------------------------------------------------------------------ */

static size_t bounce_stride(const avenc_converter_config *config) {
    return ((size_t)config->width + SWS_VECTOR - 1) / SWS_VECTOR * SWS_VECTOR;
}

static int create_swscale_part(part *part) {
    static const char *const names[] = {"rgb24", "bgr24", "rgba", "bgra"};
    const avenc_converter_config *config = &part->converter->config;
    const avi_swscale *swscale = part->converter->swscale;
    int from = swscale->av_get_pix_fmt(names[config->source - AVENC_SOURCE_RGB24]);
    int to = swscale->av_get_pix_fmt(config->pic_format == NV12 ? "nv12" : "nv21");
    int width = (int)config->width, height = (int)part->rows;
    part->scratch = calloc(SWS_TAIL, bytes_of_row(config, 0) + SWS_OVERREAD);
    if (config->width % SWS_VECTOR != 0)
        part->bounce = malloc(bounce_stride(config) * (part->rows * 3 / 2) + SWS_OVERREAD);
    if (!part->scratch || (config->width % SWS_VECTOR != 0 && !part->bounce))
        return avi_fail(AVENC_E_NOMEM, NULL, "out of memory");
    part->context = swscale->sws_getContext(width, height, from, width, height, to, SWS_AREA, NULL, NULL, NULL);
    if (!part->context)
        return avi_fail(AVENC_E_NOMEM, "sws_getContext", "%s made no context for %d x %d", swscale->path, width,
                        height);
    const int *matrix = swscale->sws_getCoefficients(config->matrix == AVENC_BT709 ? SWS_CS_ITU709 : SWS_CS_ITU601);
    if (swscale->sws_setColorspaceDetails(part->context, matrix, 1, matrix, config->range == AVENC_RANGE_FULL, 0,
                                          1 << 16, 1 << 16) < 0)
        return avi_fail(AVENC_E_INVALID, "sws_setColorspaceDetails", "%s refused matrix %d with range %d",
                        swscale->path, config->matrix, config->range);
    return AVENC_OK;
}

/* Some rows of the part; they come in order, and the last ones end it. */
static int scale_rows(const part *part, const uint8_t *source, size_t stride, int first, int rows, uint8_t *const to[4],
                      const int to_strides[4]) {
    const uint8_t *const planes[4] = {source};
    const int strides[4] = {(int)stride};
    return part->converter->swscale->sws_scale(part->context, planes, strides, first, rows, to, to_strides);
}

/*
 * libswscale expects frames with room behind every row. The caller's memory has none behind the last
 * one, so the last rows of the source are read from a copy; and where the destination's rows are not of
 * whole vectors, which would be completed into whatever lies there, the picture takes one copy more.
 */
static bool convert_swscale(const part *part) {
    const avenc_converter_config *config = &part->converter->config;
    const size_t bytes = bytes_of_row(config, 0), tail_stride = bytes + SWS_OVERREAD;
    const size_t head = part->rows - SWS_TAIL, padded = bounce_stride(config);
    uint8_t *to[4] = {part->y, part->uv};
    int to_strides[4] = {(int)part->y_stride, (int)part->uv_stride};
    if (part->bounce) {
        to[0] = part->bounce;
        to[1] = part->bounce + padded * part->rows;
        to_strides[0] = to_strides[1] = (int)padded;
    }
    for (size_t i = 0; i < SWS_TAIL; i++)
        memcpy(part->scratch + i * tail_stride, part->source + (head + i) * part->stride, bytes);
    int rows = scale_rows(part, part->source, part->stride, 0, (int)head, to, to_strides);
    if (rows >= 0)
        rows += scale_rows(part, part->scratch, tail_stride, (int)head, SWS_TAIL, to, to_strides);
    if (rows != (int)part->rows)
        return false;
    for (size_t row = 0; part->bounce && row < part->rows; row++)
        memcpy(part->y + row * part->y_stride, to[0] + row * padded, config->width);
    for (size_t row = 0; part->bounce && row < part->rows / 2; row++)
        memcpy(part->uv + row * part->uv_stride, to[1] + row * padded, config->width);
    return true;
}

/* ---- parts ----------------------------------------------------------------------------------- */

static void convert_part(void *arg) {
    part *part = arg;
    part->done = part->converter->by == AVENC_BY_LIBYUV ? convert_libyuv(part) : convert_swscale(part);
}

/* The same parts on every call, whoever converts them: the picture does not depend on who was idle. */
static int create_parts(avenc_converter *converter) {
    const avenc_converter_config *config = &converter->config;
    const bool split = config->threads > 1 && (size_t)config->width * config->height >= SPLIT_PIXELS;
    int rc = split ? avi_assistant_retain() : AVENC_OK;
    converter->worker = split && rc == AVENC_OK;
    converter->part_count = split ? 2 : 1;
    uint32_t first = 0;
    for (unsigned i = 0; rc == AVENC_OK && i < converter->part_count; i++) {
        part *part = &converter->parts[i];
        part->converter = converter;
        part->first = first;
        part->rows = i + 1 == converter->part_count ? config->height - first : config->height / 4 * 2;
        first += part->rows;
        rc = converter->by == AVENC_BY_LIBYUV ? create_libyuv_part(part) : create_swscale_part(part);
    }
    return rc;
}

static int convert_parts(avenc_converter *converter, const uint8_t *source, size_t stride, uint8_t *y, size_t y_stride,
                         uint8_t *uv, size_t uv_stride) {
    part *given = NULL;
    bool done = true;
    for (unsigned i = converter->part_count; i-- > 0;) { /* the last one first: it may be the worker's */
        part *part = &converter->parts[i];
        part->source = source + part->first * stride;
        part->stride = stride;
        part->y = y + part->first * y_stride;
        part->y_stride = y_stride;
        part->uv = uv + part->first / 2 * uv_stride;
        part->uv_stride = uv_stride;
        if (i > 0 && avi_assistant_try(convert_part, part))
            given = part;
        else
            convert_part(part);
    }
    if (given && !avi_assistant_join())
        convert_part(given);
    for (unsigned i = 0; i < converter->part_count; i++)
        done = done && converter->parts[i].done;
    if (!done)
        return avi_fail(AVENC_E_INVALID, "convert", "%s refused the picture", converter->path);
    return AVENC_OK;
}

/* ---- the object ------------------------------------------------------------------------------ */

static int choose_library(avenc_converter *converter) {
    const avenc_converter_config *config = &converter->config;
    const int index = config->source - AVENC_SOURCE_RGB24;
    char why[1500] = "";
    if (config->matrix == AVENC_BT601 && config->by != AVENC_BY_SWSCALE) {
        const avi_libyuv *libyuv = avi_libyuv_open(config->libyuv_path, why, sizeof why);
        if (libyuv)
            converter->routine = config->range == AVENC_RANGE_FULL ? libyuv->full[index] : libyuv->limited[index];
        if (converter->routine) {
            converter->by = AVENC_BY_LIBYUV;
            converter->path = libyuv->path;
            return AVENC_OK;
        }
    }
    if (config->by == AVENC_BY_LIBYUV)
        return avi_fail(AVENC_E_NO_CONVERTER, NULL,
                        "libyuv has no routine for source %d with matrix %d and range %d, or was not found.%s%s",
                        config->source, config->matrix, config->range, why[0] ? " Tried:" : "", why);
    converter->swscale = avi_swscale_open(config->swscale_path, why, sizeof why);
    if (!converter->swscale)
        return avi_fail(AVENC_E_NO_CONVERTER, NULL, "neither libyuv nor libswscale was found to convert RGB. Tried:%s",
                        why);
    converter->by = AVENC_BY_SWSCALE;
    converter->path = converter->swscale->path;
    return AVENC_OK;
}

int avenc_converter_create(const avenc_converter_config *config, avenc_converter **out) {
    if (!config || !out)
        return avi_fail(AVENC_E_INVALID, __func__, "config and converter must not be NULL");
    if (config->source < 0 || config->source >= AVENC_SOURCE_COUNT)
        return avi_fail(AVENC_E_INVALID, __func__, "source is %d; allowed are 0 to %d", config->source,
                        AVENC_SOURCE_COUNT - 1);
    if (config->pic_format != NV12 && config->pic_format != NV21)
        return avi_fail(AVENC_E_INVALID, __func__, "pic_format is %d; allowed are 1 (NV12) and 2 (NV21)",
                        config->pic_format);
    if (config->width < LEAST_PIXELS || config->width > MOST_PIXELS || config->width % 2 ||
        config->height < LEAST_PIXELS || config->height > MOST_PIXELS || config->height % 2)
        return avi_fail(AVENC_E_INVALID, __func__, "width x height is %u x %u; allowed are even numbers from %d to %d",
                        config->width, config->height, LEAST_PIXELS, MOST_PIXELS);
    if ((config->matrix != AVENC_BT601 && config->matrix != AVENC_BT709) ||
        (config->source_range != AVENC_RANGE_LIMITED && config->source_range != AVENC_RANGE_FULL) ||
        (config->range != AVENC_RANGE_LIMITED && config->range != AVENC_RANGE_FULL))
        return avi_fail(AVENC_E_INVALID, __func__,
                        "matrix, source_range and range are %d, %d, %d; each is 0 (BT.601, limited) or 1 "
                        "(BT.709, full)",
                        config->matrix, config->source_range, config->range);
    if (config->by < AVENC_BY_ENGINE || config->by > AVENC_BY_SWSCALE)
        return avi_fail(AVENC_E_INVALID, __func__, "by is %d; allowed are 0 to 2", config->by);
    if (config->threads < 1 || config->threads > MOST_PARTS)
        return avi_fail(AVENC_E_INVALID, __func__, "threads is %u; allowed are 1 and %d", config->threads, MOST_PARTS);
    avenc_converter *converter = calloc(1, sizeof *converter);
    if (!converter)
        return avi_fail(AVENC_E_NOMEM, NULL, "out of memory");
    converter->config = *config;
    converter->generation = avi_generation();
    converter->path = "";
    pthread_mutex_init(&converter->lock, NULL);
    avi_live_add(AVENC_LIVE_CONVERTER, 1);
    int rc = AVENC_OK;
    if (is_rgb(config->source)) {
        rc = choose_library(converter);
        if (rc == AVENC_OK)
            rc = create_parts(converter);
    }
    converter->config.libyuv_path = converter->config.swscale_path = NULL; /* the caller's memory */
    if (rc != AVENC_OK) {
        avenc_converter_destroy(converter);
        return rc;
    }
    *out = converter;
    return AVENC_OK;
}

int avenc_converter_convert(avenc_converter *converter, const uint8_t *const planes[3], const size_t strides[3],
                            uint8_t *y, size_t y_stride, uint8_t *uv, size_t uv_stride) {
    if (!converter || !planes || !strides || !y || !uv)
        return avi_fail(AVENC_E_INVALID, __func__, "converter, planes, strides, y and uv must not be NULL");
    const avenc_converter_config *config = &converter->config;
    if (converter->generation != avi_generation())
        return avi_fail_forked(__func__);
    const int plane_count = config->source <= AVENC_SOURCE_YV12 ? 3 : 1;
    for (int i = 0; i < plane_count; i++)
        if (!planes[i] || strides[i] < bytes_of_row(config, i) || strides[i] > INT_MAX)
            return avi_fail(AVENC_E_INVALID, __func__, "stride %d is %zd; a row has %zu bytes, and the most is %d", i,
                            (ssize_t)strides[i], bytes_of_row(config, i), INT_MAX);
    if (y_stride < config->width || y_stride > INT_MAX || uv_stride < config->width || uv_stride > INT_MAX)
        return avi_fail(AVENC_E_INVALID, __func__, "strides of the destination are %zd and %zd; allowed are %u to %d",
                        (ssize_t)y_stride, (ssize_t)uv_stride, config->width, INT_MAX);
    if (converter->by == AVENC_BY_ENGINE) {
        convert_yuv(config, planes, strides, y, y_stride, uv, uv_stride);
        return AVENC_OK;
    }
    pthread_mutex_lock(&converter->lock);
    int rc = convert_parts(converter, planes[0], strides[0], y, y_stride, uv, uv_stride);
    pthread_mutex_unlock(&converter->lock);
    return rc;
}

int avenc_converter_by(const avenc_converter *converter) {
    return converter->by;
}

const char *avenc_converter_library(const avenc_converter *converter) {
    return converter->path;
}

void avenc_converter_destroy(avenc_converter *converter) {
    if (!converter)
        return;
    /* In a forked child this is memory like any other, but neither counted nor with a worker. */
    if (converter->generation == avi_generation()) {
        avi_live_add(AVENC_LIVE_CONVERTER, -1);
        if (converter->worker)
            avi_assistant_release();
    }
    for (unsigned i = 0; i < converter->part_count; i++) {
        part *part = &converter->parts[i];
        if (part->context)
            converter->swscale->sws_freeContext(part->context);
        free(part->scratch);
        free(part->bounce);
    }
    pthread_mutex_destroy(&converter->lock);
    free(converter);
}
