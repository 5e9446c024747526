// SPDX-License-Identifier: Apache-2.0
/*
 * avenc_converter_* of avenc.h: pictures of other pixel formats to NV12 or NV21, straight into the caller's memory.
 * This folder needs base and load/paths, and nothing of the engine.
 */
#include "base/status.h"
#include "convert/loops.h"
#include "convert/rgb.h"

#include <limits.h>
#include <stdlib.h>

enum {
    LEAST_PIXELS = 16, /* a side; libswscale is inexact in tiny pictures */
    MOST_PIXELS = 16384,
};

struct avenc_converter {
    avenc_converter_config config;
    uint32_t generation;
    avi_rgb *rgb; /* NULL: the loops of this engine convert it */
};

int avenc_converter_create(const avenc_converter_config *config, avenc_converter **out) {
    if (!config || !out)
        return avi_fail(AVENC_E_INVALID, __func__, "config and converter must not be NULL");
    if (config->source < 0 || config->source >= AVENC_SOURCE_COUNT)
        return avi_fail(AVENC_E_INVALID, __func__, "source is %d; allowed are 0 to %d", config->source,
                        AVENC_SOURCE_COUNT - 1);
    if (config->pic_format != AVI_NV12 && config->pic_format != AVI_NV21)
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
    if (config->threads < 1 || config->threads > AVI_MOST_PARTS)
        return avi_fail(AVENC_E_INVALID, __func__, "threads is %u; allowed are 1 and %d", config->threads,
                        AVI_MOST_PARTS);
    avenc_converter *converter = calloc(1, sizeof *converter);
    if (!converter)
        return avi_fail(AVENC_E_NOMEM, NULL, "out of memory");
    converter->config = *config;
    converter->generation = avi_generation();
    avi_live_add(AVENC_LIVE_CONVERTER, 1);
    if (config->source >= AVENC_SOURCE_RGB24 && config->source <= AVENC_SOURCE_BGRA) {
        int rc = avi_rgb_create(config, &converter->rgb);
        if (rc != AVENC_OK) {
            avenc_converter_destroy(converter);
            return rc;
        }
    }
    converter->config.libyuv_path = converter->config.swscale_path = NULL; /* the caller's memory */
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
        if (!planes[i] || strides[i] < avi_bytes_of_row(config, i) || strides[i] > INT_MAX)
            return avi_fail(AVENC_E_INVALID, __func__, "stride %d is %zd; a row has %zu bytes, and the most is %d", i,
                            (ssize_t)strides[i], avi_bytes_of_row(config, i), INT_MAX);
    if (y_stride < config->width || y_stride > INT_MAX || uv_stride < config->width || uv_stride > INT_MAX)
        return avi_fail(AVENC_E_INVALID, __func__, "strides of the destination are %zd and %zd; allowed are %u to %d",
                        (ssize_t)y_stride, (ssize_t)uv_stride, config->width, INT_MAX);
    if (converter->rgb)
        return avi_rgb_convert(converter->rgb, planes[0], strides[0], y, y_stride, uv, uv_stride);
    avi_convert_yuv(config, planes, strides, y, y_stride, uv, uv_stride);
    return AVENC_OK;
}

int avenc_converter_by(const avenc_converter *converter) {
    return converter->rgb ? avi_rgb_by(converter->rgb) : AVENC_BY_ENGINE;
}

const char *avenc_converter_library(const avenc_converter *converter) {
    return converter->rgb ? avi_rgb_library(converter->rgb) : "";
}

void avenc_converter_destroy(avenc_converter *converter) {
    if (!converter)
        return;
    if (converter->generation == avi_generation()) /* a forked child does not count its parent's */
        avi_live_add(AVENC_LIVE_CONVERTER, -1);
    avi_rgb_destroy(converter->rgb);
    free(converter);
}
