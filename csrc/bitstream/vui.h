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
};

/*
 * Put it into the parameter sets in front of an access unit's first slice, whose first byte is at `data`, and before
 * which AVI_VUI_ROOM bytes may be written. What follows the parameter sets is not moved. Returns where the access unit
 * begins now; *size changes along. *left_out counts parameter sets whose syntax is not known: these stay as they are.
 */
uint8_t *avi_vui_put(const avenc_vui *vui, int32_t en_type, uint8_t *data, size_t *size, uint32_t *left_out);

#endif
