// SPDX-License-Identifier: Apache-2.0
/*
 * RGB is converted by a library: libyuv where it has the routine, since it is several times faster, else libswscale.
 * docs/conversion.md has the measurements. A large picture is two halves, one of them a task of the process's queue.
 */
#ifndef ASCEND_VENC_CONVERT_RGB_H
#define ASCEND_VENC_CONVERT_RGB_H

#include "avenc.h"

typedef struct avi_rgb avi_rgb;

enum { AVI_MOST_PARTS = 2 };

/* The config has been checked; its paths are not kept. Retains the task queue for a large picture with 2 threads. */
int avi_rgb_create(const avenc_converter_config *config, avi_rgb **rgb);

/* One picture, as avenc_converter_convert says. Calls wait for each other, never for a task that has not begun. */
int avi_rgb_convert(avi_rgb *rgb, const uint8_t *source, size_t stride, uint8_t *y, size_t y_stride, uint8_t *uv,
                    size_t uv_stride);

int avi_rgb_by(const avi_rgb *rgb);              /* AVENC_BY_LIBYUV or AVENC_BY_SWSCALE */
const char *avi_rgb_library(const avi_rgb *rgb); /* its path */

/* No call is under way. In a forked child the memory is freed; the queue there is another one. NULL is allowed. */
void avi_rgb_destroy(avi_rgb *rgb);

#endif
