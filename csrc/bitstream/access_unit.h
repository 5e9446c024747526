// SPDX-License-Identifier: Apache-2.0
#ifndef ASCEND_VENC_BITSTREAM_ACCESS_UNIT_H
#define ASCEND_VENC_BITSTREAM_ACCESS_UNIT_H

#include "avenc.h"

/* What of a stream's parameter sets the slice header's syntax depends on. Zeroed for a new channel. */
typedef struct avi_parameter_sets {
    uint32_t hevc_extra_slice_header_bits;
} avi_parameter_sets;

/* The first byte behind the next 00 00 01 at or after `from`, or `end`. */
const uint8_t *avi_next_nal(const uint8_t *from, const uint8_t *end);

/* AVENC_KIND_* of one access unit, from its first coded slice. Never reads beyond size. */
int avi_access_unit_kind(avi_parameter_sets *sets, int32_t en_type, const uint8_t *data, size_t size);

#endif
