// SPDX-License-Identifier: Apache-2.0
/*
 * What parameter sets tell of the pictures: ITU-T H.264 annex E and H.265 annex E, written into parameter sets that an
 * encoder made. Needs include/avenc.h.
 */
#ifndef ASCEND_VENC_BITSTREAM_VUI_H
#define ASCEND_VENC_BITSTREAM_VUI_H

#include "avenc.h"

enum {
    AVI_VUI_ROOM = 128, /* by how much the parameter sets of one access unit may grow, in bytes */
    AVI_VUI_KEPT = 512,
};

/* The last parameter sets that were changed, and what became of them: an encoder repeats them at each key frame. */
typedef struct avi_vui_last {
    avenc_vui vui;
    size_t begin_size; /* of all up to the first byte of the first slice, which says that it is one; 0: none is known */
    uint8_t begin[AVI_VUI_KEPT];
    size_t before_size, after_size; /* of what was changed, from the first byte on */
    uint8_t after[AVI_VUI_KEPT + AVI_VUI_ROOM];
} avi_vui_last;

/*
 * Put it into the parameter sets in front of an access unit's first slice, whose first byte is at `data`, and before
 * which AVI_VUI_ROOM bytes may be written. What follows the parameter sets is not moved. Returns where the access unit
 * begins now; *size changes along. *left_out counts parameter sets whose syntax is not known: these stay as they are.
 * `last` is of one stream, and zeroed for a new one.
 */
uint8_t *avi_vui_put(avi_vui_last *last, const avenc_vui *vui, int32_t en_type, uint8_t *data, size_t *size,
                     uint32_t *left_out);

#endif
