// SPDX-License-Identifier: Apache-2.0
/*
 * What needs no colour matrix (planar and packed YUV, grey, a change of range) is moved by loops of our own: they run
 * at the speed of memory, faster than libyuv and libswscale, and need neither. Knows no lock, allocates nothing.
 */
#ifndef ASCEND_VENC_CONVERT_LOOPS_H
#define ASCEND_VENC_CONVERT_LOOPS_H

#include "avenc.h"

enum { AVI_NV12 = 1, AVI_NV21 = 2 }; /* acldvppPixelFormat */

/* Bytes of a row of a plane of the source. */
size_t avi_bytes_of_row(const avenc_converter_config *config, int plane);

/* Convert a YUV or grey source, as avenc_converter_convert says. */
void avi_convert_yuv(const avenc_converter_config *config, const uint8_t *const planes[3], const size_t strides[3],
                     uint8_t *y, size_t y_stride, uint8_t *uv, size_t uv_stride);

/* One row of chroma: a sample of `first`, one of `second`, and so on. */
void avi_interleave(uint8_t *restrict to, const uint8_t *restrict first, const uint8_t *restrict second, size_t pairs);

#endif
