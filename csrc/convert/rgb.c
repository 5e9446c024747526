// SPDX-License-Identifier: Apache-2.0
#include "convert/rgb.h"
#include "base/status.h"
#include "base/taskq.h"
#include "base/thread.h"
#include "convert/libraries.h"
#include "convert/loops.h"

#include <stdlib.h>
#include <string.h>

enum {
    SPLIT_PIXELS = 640 * 360, /* below, waking a thread costs more than it saves */
    BAND = 64,                /* rows that libyuv converts at a time: their chroma stays in the cache */
    SWS_AREA = 0x20,          /* the mean of the covered pixels: 2 x 2 for chroma, and the luma as it is */
    SWS_TAIL = 2,             /* the last rows of a source, which libswscale reads from a copy */
    SWS_OVERREAD = 64,        /* bytes that it may read beyond a row */
    SWS_VECTOR = 16,          /* it writes rows of whole vectors where the stride has room for that */
    SWS_CS_ITU709 = 1,
    SWS_CS_ITU601 = 5,
};

/* A stretch of the rows of a picture, which one thread converts. */
typedef struct part {
    const avi_rgb *rgb;
    uint32_t first, rows;
    uint8_t *scratch; /* libyuv: BAND/2 rows of Cb, then as many of Cr. libswscale: SWS_TAIL rows of the source */
    uint8_t *bounce;  /* libswscale: the part, for a width that is not of whole vectors; else NULL */
    void *context;    /* libswscale's */
    avi_task task;

    /* The conversion under way: rows of this part. */
    const uint8_t *source;
    size_t stride;
    uint8_t *y, *uv;
    size_t y_stride, uv_stride;
    bool done;
} part;

struct avi_rgb {
    avenc_converter_config config;
    uint32_t generation;
    int by;
    const char *path;
    avi_libyuv_routine routine;
    const avi_swscale *swscale;
    bool queue;           /* retained */
    pthread_mutex_t lock; /* the parts; base/taskq's is taken inside it */
    unsigned part_count;
    part parts[AVI_MOST_PARTS];
};

/* ---- libyuv ---------------------------------------------------------------------------------- */

static bool convert_libyuv(const part *part) {
    const avenc_converter_config *config = &part->rgb->config;
    const uint32_t half = config->width / 2;
    uint8_t *blue = part->scratch, *red = blue + (size_t)half * BAND / 2;
    const uint8_t *first = config->pic_format == AVI_NV12 ? blue : red;
    const uint8_t *second = config->pic_format == AVI_NV12 ? red : blue;
    for (uint32_t row = 0; row < part->rows; row += BAND) {
        uint32_t rows = part->rows - row < BAND ? part->rows - row : BAND;
        if (part->rgb->routine(part->source + row * part->stride, (int)part->stride, part->y + row * part->y_stride,
                               (int)part->y_stride, blue, (int)half, red, (int)half, (int)config->width,
                               (int)rows) != 0)
            return false;
        for (uint32_t i = 0; i < rows / 2; i++)
            avi_interleave(part->uv + (row / 2 + i) * part->uv_stride, first + (size_t)i * half,
                           second + (size_t)i * half, half);
    }
    return true;
}

static int create_libyuv_part(part *part) {
    part->scratch = malloc((size_t)part->rgb->config.width * BAND / 2);
    return part->scratch ? AVENC_OK : avi_fail(AVENC_E_NOMEM, NULL, "out of memory");
}

/* ---- libswscale ------------------------------------------------------------------------------ */

static size_t bounce_stride(const avenc_converter_config *config) {
    return ((size_t)config->width + SWS_VECTOR - 1) / SWS_VECTOR * SWS_VECTOR;
}

static int create_swscale_part(part *part) {
    static const char *const names[] = {"rgb24", "bgr24", "rgba", "bgra"};
    const avenc_converter_config *config = &part->rgb->config;
    const avi_swscale *swscale = part->rgb->swscale;
    int from = swscale->av_get_pix_fmt(names[config->source - AVENC_SOURCE_RGB24]);
    int to = swscale->av_get_pix_fmt(config->pic_format == AVI_NV12 ? "nv12" : "nv21");
    int width = (int)config->width, height = (int)part->rows;
    part->scratch = calloc(SWS_TAIL, avi_bytes_of_row(config, 0) + SWS_OVERREAD);
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
    return part->rgb->swscale->sws_scale(part->context, planes, strides, first, rows, to, to_strides);
}

/*
 * libswscale expects frames with room behind every row. The caller's memory has none behind the last
 * one, so the last rows of the source are read from a copy; and where the destination's rows are not of
 * whole vectors, which would be completed into whatever lies there, the picture takes one copy more.
 */
static bool convert_swscale(const part *part) {
    const avenc_converter_config *config = &part->rgb->config;
    const size_t bytes = avi_bytes_of_row(config, 0), tail_stride = bytes + SWS_OVERREAD;
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

static bool convert_part(void *arg) {
    part *part = arg;
    part->done = part->rgb->by == AVENC_BY_LIBYUV ? convert_libyuv(part) : convert_swscale(part);
    return false;
}

/* The same parts on every call, whoever converts them: the picture does not depend on who was idle. */
static int create_parts(avi_rgb *rgb) {
    const avenc_converter_config *config = &rgb->config;
    const bool split = config->threads > 1 && (size_t)config->width * config->height >= SPLIT_PIXELS;
    int rc = split ? avi_taskq_retain() : AVENC_OK;
    rgb->queue = split && rc == AVENC_OK;
    rgb->part_count = split ? AVI_MOST_PARTS : 1;
    uint32_t first = 0;
    for (unsigned i = 0; rc == AVENC_OK && i < rgb->part_count; i++) {
        part *part = &rgb->parts[i];
        part->rgb = rgb;
        part->first = first;
        part->rows = i + 1 == rgb->part_count ? config->height - first : config->height / 4 * 2;
        first += part->rows;
        avi_task_init(&part->task, convert_part, NULL, part);
        rc = rgb->by == AVENC_BY_LIBYUV ? create_libyuv_part(part) : create_swscale_part(part);
    }
    return rc;
}

int avi_rgb_convert(avi_rgb *rgb, const uint8_t *source, size_t stride, uint8_t *y, size_t y_stride, uint8_t *uv,
                    size_t uv_stride) {
    bool done = true;
    avi_lock(&rgb->lock);
    for (unsigned i = rgb->part_count; i-- > 0;) { /* the first one last, by this thread */
        part *part = &rgb->parts[i];
        part->source = source + part->first * stride;
        part->stride = stride;
        part->y = y + part->first * y_stride;
        part->y_stride = y_stride;
        part->uv = uv + part->first / 2 * uv_stride;
        part->uv_stride = uv_stride;
        if (i > 0)
            avi_task_post(&part->task);
        else
            convert_part(part);
    }
    for (unsigned i = 0; i < rgb->part_count; i++) {
        if (i > 0)
            avi_task_finish(&rgb->parts[i].task);
        done = done && rgb->parts[i].done;
    }
    avi_unlock(&rgb->lock);
    if (!done)
        return avi_fail(AVENC_E_INVALID, "convert", "%s refused the picture", rgb->path);
    return AVENC_OK;
}

/* ---- the object ------------------------------------------------------------------------------ */

static int choose_library(avi_rgb *rgb) {
    const avenc_converter_config *config = &rgb->config;
    const int index = config->source - AVENC_SOURCE_RGB24;
    char why[1500] = "";
    if (config->matrix == AVENC_BT601 && config->by != AVENC_BY_SWSCALE) {
        const avi_libyuv *libyuv = avi_libyuv_open(config->libyuv_path, why, sizeof why);
        if (libyuv)
            rgb->routine = config->range == AVENC_RANGE_FULL ? libyuv->full[index] : libyuv->limited[index];
        if (rgb->routine) {
            rgb->by = AVENC_BY_LIBYUV;
            rgb->path = libyuv->path;
            return AVENC_OK;
        }
    }
    if (config->by == AVENC_BY_LIBYUV)
        return avi_fail(AVENC_E_NO_CONVERTER, NULL,
                        "libyuv has no routine for source %d with matrix %d and range %d, or was not found.%s%s",
                        config->source, config->matrix, config->range, why[0] ? " Tried:" : "", why);
    rgb->swscale = avi_swscale_open(config->swscale_path, why, sizeof why);
    if (!rgb->swscale)
        return avi_fail(AVENC_E_NO_CONVERTER, NULL, "neither libyuv nor libswscale was found to convert RGB. Tried:%s",
                        why);
    rgb->by = AVENC_BY_SWSCALE;
    rgb->path = rgb->swscale->path;
    return AVENC_OK;
}

int avi_rgb_create(const avenc_converter_config *config, avi_rgb **out) {
    avi_rgb *rgb = calloc(1, sizeof *rgb);
    if (!rgb)
        return avi_fail(AVENC_E_NOMEM, NULL, "out of memory");
    rgb->config = *config;
    rgb->generation = avi_generation();
    pthread_mutex_init(&rgb->lock, NULL);
    int rc = choose_library(rgb);
    if (rc == AVENC_OK)
        rc = create_parts(rgb);
    rgb->config.libyuv_path = rgb->config.swscale_path = NULL; /* the caller's memory */
    if (rc == AVENC_OK)
        *out = rgb;
    else
        avi_rgb_destroy(rgb);
    return rc;
}

int avi_rgb_by(const avi_rgb *rgb) {
    return rgb->by;
}

const char *avi_rgb_library(const avi_rgb *rgb) {
    return rgb->path;
}

void avi_rgb_destroy(avi_rgb *rgb) {
    if (!rgb)
        return;
    if (rgb->queue && rgb->generation == avi_generation())
        avi_taskq_release();
    for (unsigned i = 0; i < rgb->part_count; i++) {
        part *part = &rgb->parts[i];
        if (part->context)
            rgb->swscale->sws_freeContext(part->context);
        free(part->scratch);
        free(part->bounce);
    }
    pthread_mutex_destroy(&rgb->lock);
    free(rgb);
}
