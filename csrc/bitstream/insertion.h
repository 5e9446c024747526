// SPDX-License-Identifier: Apache-2.0
/* What the engine itself puts into an access unit. Needs include/avenc.h. */
#ifndef ASCEND_VENC_BITSTREAM_INSERTION_H
#define ASCEND_VENC_BITSTREAM_INSERTION_H

#include "avenc.h"

enum { AVI_AUD_ROOM = 8 }; /* bytes of an access-unit delimiter with its start code, at most */

/*
 * Put NAL units with start codes in front of the first slice, behind whatever stands before it; without a slice in front
 * of all. In H.265 they get the slice's temporal id. The access unit begins at `data`; as many bytes before it may be written, and `units` is not among them. Returns
 * where it begins now; *size changes along.
 */
uint8_t *avi_insert_before_slice(int32_t en_type, uint8_t *data, size_t *size, const uint8_t *units, size_t units_size);

/*
 * Put an access-unit delimiter in front, for slices of an AVENC_KIND_*, unless there is one. AVI_AUD_ROOM bytes before
 * `data` may be written. Returns where the access unit begins now; *size changes along.
 */
uint8_t *avi_insert_delimiter(int32_t en_type, int kind, uint8_t *data, size_t *size);

#endif
