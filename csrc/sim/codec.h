// SPDX-License-Identifier: Apache-2.0
/*
 * codec.h - the software encoder behind the simulated device: libavcodec, loaded at run time.
 *
 * One sim_codec is one encoder: one picture in, one access unit out, nothing held back. It is used
 * by one thread at a time (any thread); different codecs may run at the same time. It starts no
 * thread for H.264 and one for H.265. It does not survive fork; the child opens its own. Nothing here knows AscendCL beyond
 * the values of acldvppStreamFormat and acldvppPixelFormat.
 *
 * Streams: Annex B, one slice a picture, I and P only, VPS/SPS/PPS before every IDR, no SEI, no
 * filler. The same pictures and settings give the same bytes, whatever else runs, as long as
 * libavcodec is the same.
 *
 * Rate, where the codec decides it (rc_mode 1 and 2): CBR is within 10 % over 5 s, also in the first 5 s, on content that can use the bits; content
 * that cannot gets fewer, as from a device. H.265 falls further behind, up to 25 % over 5 s, where
 * scenes change every second. VBR keeps its rate as a cap (115 % over 5 s) with bounded quality.
 */
#ifndef ASCEND_VENC_SIM_CODEC_H
#define ASCEND_VENC_SIM_CODEC_H

#include <stddef.h>
#include <stdint.h>

typedef struct sim_codec sim_codec;

typedef struct sim_codec_config {
    int32_t en_type;        /* acldvppStreamFormat */
    int32_t pic_format;     /* acldvppPixelFormat: NV12 or NV21 */
    uint32_t width, height; /* pixels, even, up to 8192 */
    uint32_t rc_mode;       /* 1 VBR, 2 CBR; the caller has resolved 0. 3: the caller's, by sim_codec_set_qp */
    uint32_t src_rate;      /* frames per second, 1 to 1000 */
    uint32_t bit_rate;      /* kbit/s, 1 to 1000000; counts for nothing with rc_mode 3 */
} sim_codec_config;

/*
 * Load libavcodec once per process: `path` if not NULL, else $ASCEND_VENC_SIM_AVCODEC, else the PyAV
 * wheel beside this library, else that of $VIRTUAL_ENV, else the system's. One that was named is not
 * replaced by another. 0, or -1 with the paths tried and what to install in `why`. Once loaded, later
 * calls return 0 and `path` is ignored; a failure is tried again. Thread-safe. `why` may be NULL here
 * and below, and is left alone on success.
 */
int sim_codec_load(const char *path, char *why, size_t why_size);

/* Version text and path of the loaded library, or "" before it is loaded; valid for good. */
const char *sim_codec_version(void);
const char *sim_codec_path(void);

/* Open an encoder. Loads libavcodec if need be. 0, or -1 with the reason in `why` and *codec NULL. */
int sim_codec_open(const sim_codec_config *config, sim_codec **codec, char *why, size_t why_size);

/*
 * Encode one picture. `idr` forces an IDR with parameter sets before it; the codec never makes one by
 * itself, so the caller decides every key frame (the first picture must be one). The planes are read up to
 * the last sample of their last line, never beyond, and not after the call. On success *data / *size are
 * one access unit, valid until the next call on this codec. 0, or -1 with `why`, *data NULL and *size 0.
 */
int sim_codec_encode(sim_codec *codec, const uint8_t *y, size_t y_stride, const uint8_t *uv, size_t uv_stride, int idr,
                     const uint8_t **data, size_t *size, char *why, size_t why_size);

/* The quantiser of the next pictures, 0 to 51, for a codec of rc_mode 3; it is 26 at first. */
void sim_codec_set_qp(sim_codec *codec, int qp);

/* Parts of the next pictures that have a quantiser of their own, for a codec of rc_mode 3; the first one wins. */
enum { SIM_CODEC_REGIONS = 8 };
typedef struct sim_codec_region {
    uint32_t x, y, width, height; /* pixels */
    int qp;
} sim_codec_region;
void sim_codec_set_regions(sim_codec *codec, const sim_codec_region *regions, unsigned count);

/* The pixel format of the next pictures, NV12 or NV21, whatever the codec was opened with. */
void sim_codec_set_format(sim_codec *codec, int32_t pic_format);

void sim_codec_close(sim_codec *codec); /* NULL is allowed */

#endif /* ASCEND_VENC_SIM_CODEC_H */
