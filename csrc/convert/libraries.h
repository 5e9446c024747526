// SPDX-License-Identifier: Apache-2.0
/*
 * libyuv and libswscale: loaded on first use, then kept. Needs base and load/paths. Nobody hears warnings about their
 * paths; with ASCEND_VENC_STRICT_PATHS=1 what is not safe to load is refused, and the reason is in `why`.
 */
#ifndef ASCEND_VENC_CONVERT_LIBRARIES_H
#define ASCEND_VENC_CONVERT_LIBRARIES_H

#include <stddef.h>
#include <stdint.h>

/* A libyuv routine; libyuv's names: RAW is R G B in memory, RGB24 is B G R, ABGR is R G B A. */
typedef int (*avi_libyuv_routine)(const uint8_t *source, int stride, uint8_t *y, int y_stride, uint8_t *u, int u_stride,
                                  uint8_t *v, int v_stride, int width, int height);

/* Routines for RGB24, BGR24, RGBA, BGRA: the order of AVENC_SOURCES. */
typedef struct avi_libyuv {
    avi_libyuv_routine limited[4]; /* BT.601, limited range */
    avi_libyuv_routine full[4];    /* BT.601, full range; NULL in old versions */
    const char *path;
} avi_libyuv;

/* X(return type, name, parameters): what is called of libswscale; av_get_pix_fmt is libavutil's. */
#define AVI_SWSCALE_FUNCTIONS(X)                                                                                       \
    X(void *, sws_getContext, (int, int, int, int, int, int, int, void *, void *, const double *))                     \
    X(const int *, sws_getCoefficients, (int))                                                                         \
    X(int, sws_setColorspaceDetails, (void *, const int *, int, const int *, int, int, int, int))                      \
    X(int, sws_scale, (void *, const uint8_t *const *, const int *, int, int, uint8_t *const *, const int *))          \
    X(void, sws_freeContext, (void *))                                                                                 \
    X(int, av_get_pix_fmt, (const char *))

typedef struct avi_swscale {
#define AVI_FIELD(type, name, params) type(*name) params;
    AVI_SWSCALE_FUNCTIONS(AVI_FIELD)
#undef AVI_FIELD
    const char *path;
} avi_swscale;

/*
 * The process's libyuv (the system's, else that at `path`) and libswscale (that at `path`, else the system's); `path`
 * may be NULL. NULL where there is none, with what was tried in `why`, which is cut off at `size`. May block.
 */
const avi_libyuv *avi_libyuv_open(const char *path, char *why, size_t size);
const avi_swscale *avi_swscale_open(const char *path, char *why, size_t size);

#endif
