// SPDX-License-Identifier: Apache-2.0
/*
 * Parameter sets are read as far as the syntax that is to change, copied bit by bit up to there, and copied as they are
 * behind it.
 */
#ifndef ASCEND_VENC_BITSTREAM_VUI_FIELDS_H
#define ASCEND_VENC_BITSTREAM_VUI_FIELDS_H

#include "avenc.h"
#include "bitstream/bits.h"

/* Copy one parameter set, from its NAL header on, telling what `vui` tells. False: its syntax is not known. */
typedef bool avi_vui_rule(avi_bits *bits, const avenc_vui *vui);
bool avi_h264_sps(avi_bits *bits, const avenc_vui *vui);
bool avi_h265_sps(avi_bits *bits, const avenc_vui *vui);
bool avi_h265_vps(avi_bits *bits, const avenc_vui *vui); /* timing only */

/* What a decoder's configuration record says of an SPS. */
typedef struct avi_format {
    uint32_t chroma_format_idc, luma_minus8, chroma_minus8;
    uint32_t sub_layers; /* from here on H.265 */
    bool temporal_nesting, restricted;
    uint32_t min_spatial_segmentation; /* where `restricted` */
} avi_format;

/* From the NAL header on. False: the syntax is not known. H.265 copies along, as the rules above. */
bool avi_h264_sps_format(avi_bits *bits, avi_format *format);
bool avi_h265_sps_format(avi_bits *bits, avi_format *format);

/* ISO/IEC 14496-15's parallelismType of a PPS: 0 mixed, 1 slices, 2 tiles, 3 rows. */
bool avi_h265_pps_parallelism(avi_bits *bits, unsigned *parallelism);

void avi_vui_copy_ues(avi_bits *bits, unsigned count);

/* Of a VUI that may not be there: then a flag is 0. */
bool avi_vui_read_flag(avi_bits *bits, bool there);
bool avi_vui_copy_flag(avi_bits *bits, bool there);

/* From aspect_ratio_info_present_flag to where the codecs differ. */
void avi_vui_put_common(avi_bits *bits, const avenc_vui *vui, bool there);

/* num_units_in_tick and time_scale behind their flag, which becomes *present. Returns whether they were there before. */
bool avi_vui_put_timing(avi_bits *bits, const avenc_vui *vui, bool there, bool *present);

#endif
