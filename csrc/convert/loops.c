// SPDX-License-Identifier: Apache-2.0
#include "convert/loops.h"

#include <stdbool.h>
#include <string.h>

/* The loops below are written for the vectoriser, which older compilers leave out at -O2. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__OPTIMIZE__)
#pragma GCC optimize("O3")
#endif

size_t avi_bytes_of_row(const avenc_converter_config *config, int plane) {
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

void avi_interleave(uint8_t *restrict to, const uint8_t *restrict first, const uint8_t *restrict second, size_t pairs) {
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

void avi_convert_yuv(const avenc_converter_config *config, const uint8_t *const planes[3], const size_t strides[3],
                     uint8_t *y, size_t y_stride, uint8_t *uv, size_t uv_stride) {
    const size_t width = config->width;
    const bool scaled = config->source_range != config->range;
    const scaling luma = config->range == AVENC_RANGE_LIMITED ? LUMA_TO_LIMITED : LUMA_TO_FULL;
    const scaling chroma = config->range == AVENC_RANGE_LIMITED ? CHROMA_TO_LIMITED : CHROMA_TO_FULL;
    const bool packed = config->source == AVENC_SOURCE_YUYV422 || config->source == AVENC_SOURCE_UYVY422;
    const size_t luma_at = config->source == AVENC_SOURCE_UYVY422;
    /* Which plane's sample comes first in a pair. */
    const int first = (config->source == AVENC_SOURCE_YV12) == (config->pic_format == AVI_NV12) ? 2 : 1;

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
            avi_interleave(to, planes[first] + row / 2 * strides[first],
                           planes[3 - first] + row / 2 * strides[3 - first], width / 2);
        else if (config->pic_format == AVI_NV12)
            mean_chroma(to, upper, upper + strides[0], 1 - luma_at, width);
        else
            mean_chroma_swapped(to, upper, upper + strides[0], 1 - luma_at, width / 2);
        if (scaled && config->source != AVENC_SOURCE_GRAY8)
            scale_row(to, width, chroma);
    }
}
