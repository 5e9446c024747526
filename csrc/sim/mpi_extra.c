// SPDX-License-Identifier: Apache-2.0
/*
 * V2's functions that are there so that programs link, and refuse: JPEG, which the simulated device does not encode, and
 * settings of which the documentation prints neither what they take nor what they do.
 */
#include "mpi.h"

#define REFUSED(name, params)                                                                                          \
    hi_s32 name params {                                                                                               \
        SIM_ENTER(name);                                                                                               \
        return FAIL(HI_ERR_VENC_NOT_SUPPORT, "the simulated device does not have it");                                 \
    }

#pragma GCC diagnostic ignored "-Wunused-parameter"
REFUSED(hi_mpi_venc_send_jpege_frame,
        (hi_venc_chn chn, const hi_video_frame_info *frame, const hi_img_stream *jpege_stream, hi_s32 milli_sec))
REFUSED(hi_mpi_venc_get_jpege_predicted_size,
        (const hi_video_frame_info *frame, const hi_venc_jpeg_param *jpeg_param, hi_u32 *size))
REFUSED(hi_mpi_venc_set_jpeg_param, (hi_venc_chn chn, const hi_venc_jpeg_param *jpeg_param))
REFUSED(hi_mpi_venc_get_jpeg_param, (hi_venc_chn chn, hi_venc_jpeg_param *jpeg_param))
REFUSED(hi_mpi_venc_set_jpeg_huffman_param, (hi_venc_chn chn, const hi_venc_jpeg_huffman_param *jpeg_huffman_param))
REFUSED(hi_mpi_venc_get_jpeg_huffman_param, (hi_venc_chn chn, hi_venc_jpeg_huffman_param *jpeg_huffman_data))
REFUSED(hi_mpi_venc_compact_jpeg_tables, (hi_venc_chn chn, hi_u32 table_type, hi_bool enable))
REFUSED(hi_mpi_venc_set_slice_split, (hi_venc_chn chn, const hi_venc_slice_split *slice_split))
REFUSED(hi_mpi_venc_get_slice_split, (hi_venc_chn chn, hi_venc_slice_split *slice_split))
REFUSED(hi_mpi_venc_set_cu_pred, (hi_venc_chn chn, const hi_venc_cu_prediction *cu_pred))
REFUSED(hi_mpi_venc_get_cu_pred, (hi_venc_chn chn, hi_venc_cu_prediction *cu_pred))
REFUSED(hi_mpi_venc_set_streamcopy_param, (hi_venc_chn chn, const hi_venc_streamcopy_param *streamcopy_param))
REFUSED(hi_mpi_venc_get_streamcopy_param, (hi_venc_chn chn, hi_venc_streamcopy_param *streamcopy_param))

/* Guessed: a byte for each macroblock, in rows of 16 bytes. */
static hi_u32 map_stride(hi_u32 width) {
    return (width / 16 + (width % 16 != 0) + 15) / 16 * 16;
}

hi_u32 hi_mpi_venc_get_qpmap_stride(hi_u32 width) {
    SIM_ENTER_VALUE(hi_mpi_venc_get_qpmap_stride, 0);
    return map_stride(width);
}

hi_u32 hi_mpi_venc_get_qpmap_size(hi_payload_type type, hi_u32 width, hi_u32 height) {
    SIM_ENTER_VALUE(hi_mpi_venc_get_qpmap_size, 0);
    return map_stride(width) * (height / 16 + (height % 16 != 0));
}
