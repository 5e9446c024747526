// SPDX-License-Identifier: Apache-2.0
/*
 * himpi.h - the part of DVPP V2 (hi_mpi_*) that video encoding needs, declared in C.
 *
 * Our own declarations, not the vendor's headers, with the vendor's names: a program that only encodes compiles with
 * either. What belongs to other units (VPC, VDEC, hi_mpi_sys_bind, ...) is not here.
 * Layouts are the ABI of libacl_dvpp_mpi.so on LP64 (2022 to 2026), asserted in himpi_layout.h; every enum is a 32-bit int. The
 * functions return 0 or a code of HI_VENC_ERRORS and HI_SYS_ERRORS, which is negative.
 *
 * HIMPI_FUNCTIONS(X) below is the ONE list of functions:
 *
 *     X(presence, return_type, name, (parameters))
 *
 *   presence  REQUIRED in every version that can encode video
 *             OPTIONAL absent from some version, or not needed for video: the loader leaves NULL
 *
 * No public header has the functions and structures of the last section: they follow printed documentation, and a
 * structure whose length nobody has printed ends with room to spare, since the library may write more than is known.
 *
 * Define HI_NO_PROTOTYPES to get types and list only.
 */
#ifndef ASCEND_VENC_HIMPI_H
#define ASCEND_VENC_HIMPI_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- plain types ------------------------------------------------------------------------------- */

#define hi_void void
#define HI_NULL 0L

typedef char hi_char;
typedef int8_t hi_s8;
typedef uint8_t hi_u8;
typedef int16_t hi_s16;
typedef uint16_t hi_u16;
typedef int32_t hi_s32;
typedef uint32_t hi_u32;
typedef long long hi_s64;
typedef unsigned long long hi_u64;
typedef float hi_float;
typedef double hi_double;
typedef hi_s32 hi_venc_chn;
typedef hi_u32 hi_vb_pool;

#define HI_SUCCESS 0
#define HI_FAILURE (-1)

#define HI_VB_INVALID_POOLID (-1) /* pool_id of a picture that is in no pool */

typedef int32_t hi_bool;
enum {
    HI_FALSE = 0,
    HI_TRUE = 1,
};

enum {
    HI_MAX_COLOR_COMPONENT = 3,
    HI_VENC_MAX_PACK_INFO_NUM = 8,
    HI_VENC_QP_HIST_NUM = 52,
    HI_VENC_MAX_SSE_NUM = 8,
    HI_VENC_TEXTURE_THRESHOLD_SIZE = 16,
};

/* ---- codes: 0xA0000000 | module << 16 | 4 << 13 | id ------------------------------------------- */

/* X(name, value) */
#define HI_VENC_ERRORS(X)                                                                                              \
    X(HI_ERR_VENC_INVALID_CHN_ID, 0xA0088002)                                                                          \
    X(HI_ERR_VENC_ILLEGAL_PARAM, 0xA0088003)                                                                           \
    X(HI_ERR_VENC_EXIST, 0xA0088004)                                                                                   \
    X(HI_ERR_VENC_UNEXIST, 0xA0088005)                                                                                 \
    X(HI_ERR_VENC_NULL_PTR, 0xA0088006)                                                                                \
    X(HI_ERR_VENC_NOT_CFG, 0xA0088007)                                                                                 \
    X(HI_ERR_VENC_NOT_SUPPORT, 0xA0088008)                                                                             \
    X(HI_ERR_VENC_NOT_PERM, 0xA0088009)                                                                                \
    X(HI_ERR_VENC_NO_MEM, 0xA008800C)                                                                                  \
    X(HI_ERR_VENC_NO_BUF, 0xA008800D)                                                                                  \
    X(HI_ERR_VENC_BUF_EMPTY, 0xA008800E)                                                                               \
    X(HI_ERR_VENC_BUF_FULL, 0xA008800F)                                                                                \
    X(HI_ERR_VENC_SYS_NOT_READY, 0xA0088010)                                                                           \
    X(HI_ERR_VENC_BAD_ADDR, 0xA0088011)                                                                                \
    X(HI_ERR_VENC_BUSY, 0xA0088012)                                                                                    \
    X(HI_ERR_VENC_SYS_ERROR, 0xA0088015)

#define HI_SYS_ERRORS(X)                                                                                               \
    X(HI_ERR_SYS_ILLEGAL_PARAM, 0xA0028003)                                                                            \
    X(HI_ERR_SYS_EXIST, 0xA0028004)                                                                                    \
    X(HI_ERR_SYS_UNEXIST, 0xA0028005)                                                                                  \
    X(HI_ERR_SYS_NULL_PTR, 0xA0028006)                                                                                 \
    X(HI_ERR_SYS_NOT_SUPPORT, 0xA0028008)                                                                              \
    X(HI_ERR_SYS_NOT_PERM, 0xA0028009)                                                                                 \
    X(HI_ERR_SYS_NO_MEM, 0xA002800C)                                                                                   \
    X(HI_ERR_SYS_NOT_READY, 0xA0028010)                                                                                \
    X(HI_ERR_SYS_BUSY, 0xA0028012)                                                                                     \
    X(HI_ERR_SYS_ERR, 0xA0028015)

/* As the functions return them. The vendor's are macros of the unsigned value, which compares equal in both. */
#define HI_ERROR_VALUE(name, value) name = (int)(value),
enum { HI_VENC_ERRORS(HI_ERROR_VALUE) HI_SYS_ERRORS(HI_ERROR_VALUE) };
#undef HI_ERROR_VALUE

/* Documented without a name of their own: an id in HI_VENC_ERRORS' module. */
enum {
    HI_ERR_ID_INVALID_DEV_ID = 1,
    HI_ERR_ID_SIZE_NOT_ENOUGH = 19,
    HI_ERR_ID_TIMEOUT = 20,
};

/* ---- enums: the type is a 32-bit int, the constants are of type int ------------------------------ */

typedef int32_t hi_payload_type;
enum {
    HI_PT_JPEG = 26,
    HI_PT_H264 = 96,
    HI_PT_H265 = 265,
    HI_PT_MJPEG = 1002,
};

typedef int32_t hi_mod_id;
enum {
    HI_ID_SYS = 2,
    HI_ID_VDEC = 5,
    HI_ID_VPC = 7,
    HI_ID_VENC = 8,
    HI_ID_JPEGE = 11,
    HI_ID_USER = 30,
};

/* Video encoding takes NV12 (1) and NV21 (2). SEMI_PLANNER is the vendor's spelling. */
typedef int32_t hi_pixel_format;
enum {
    HI_PIXEL_FORMAT_YUV_400 = 0,
    HI_PIXEL_FORMAT_YUV_SEMIPLANAR_420 = 1,
    HI_PIXEL_FORMAT_YVU_SEMIPLANAR_420 = 2,
    HI_PIXEL_FORMAT_YUV_SEMIPLANAR_422 = 3,
    HI_PIXEL_FORMAT_YVU_SEMIPLANAR_422 = 4,
    HI_PIXEL_FORMAT_YUV_SEMIPLANAR_444 = 5,
    HI_PIXEL_FORMAT_YVU_SEMIPLANAR_444 = 6,
    HI_PIXEL_FORMAT_YUYV_PACKED_422 = 7,
    HI_PIXEL_FORMAT_UYVY_PACKED_422 = 8,
    HI_PIXEL_FORMAT_YVYU_PACKED_422 = 9,
    HI_PIXEL_FORMAT_VYUY_PACKED_422 = 10,
    HI_PIXEL_FORMAT_YUV_PACKED_444 = 11,
    HI_PIXEL_FORMAT_RGB_888 = 12,
    HI_PIXEL_FORMAT_BGR_888 = 13,
    HI_PIXEL_FORMAT_ARGB_8888 = 14,
    HI_PIXEL_FORMAT_ABGR_8888 = 15,
    HI_PIXEL_FORMAT_RGBA_8888 = 16,
    HI_PIXEL_FORMAT_BGRA_8888 = 17,
    HI_PIXEL_FORMAT_YUV_SEMI_PLANNER_420_10BIT = 18,
    HI_PIXEL_FORMAT_YVU_SEMI_PLANNER_420_10BIT = 19,
};

typedef int32_t hi_video_field;
enum {
    HI_VIDEO_FIELD_TOP = 1,
    HI_VIDEO_FIELD_BOTTOM = 2,
    HI_VIDEO_FIELD_INTERLACED = 3,
    HI_VIDEO_FIELD_FRAME = 4,
};

typedef int32_t hi_video_format;
enum {
    HI_VIDEO_FORMAT_LINEAR = 0,
};

typedef int32_t hi_compress_mode;
enum {
    HI_COMPRESS_MODE_NONE = 0,
};

typedef int32_t hi_dynamic_range;
enum {
    HI_DYNAMIC_RANGE_SDR8 = 0,
};

typedef int32_t hi_color_gamut;
enum {
    HI_COLOR_GAMUT_BT601 = 0,
    HI_COLOR_GAMUT_BT709 = 1,
    HI_COLOR_GAMUT_BT2020 = 2,
};

typedef int32_t hi_data_bit_width;
enum {
    HI_DATA_BIT_WIDTH_8 = 0,
    HI_DATA_BIT_WIDTH_10 = 1,
    HI_DATA_BIT_WIDTH_12 = 2,
    HI_DATA_BIT_WIDTH_14 = 3,
    HI_DATA_BIT_WIDTH_16 = 4,
};

typedef int32_t hi_vb_src;
enum {
    HI_VB_SRC_COMMON = 0,
    HI_VB_SRC_MOD = 1,
    HI_VB_SRC_PRIVATE = 2,
    HI_VB_SRC_USER = 3,
};

typedef int32_t hi_dvpp_epoll_ctl_op;
enum {
    HI_DVPP_EPOLL_CTL_ADD = 1,
    HI_DVPP_EPOLL_CTL_MOD = 2,
    HI_DVPP_EPOLL_CTL_DEL = 3,
};

typedef int32_t hi_venc_rc_mode;
enum {
    HI_VENC_RC_MODE_H264_CBR = 1,
    HI_VENC_RC_MODE_H264_VBR = 2,
    HI_VENC_RC_MODE_H264_AVBR = 3,
    HI_VENC_RC_MODE_H264_QVBR = 4,
    HI_VENC_RC_MODE_H264_CVBR = 5,
    HI_VENC_RC_MODE_H264_FIXQP = 6,
    HI_VENC_RC_MODE_H264_QPMAP = 7,
    HI_VENC_RC_MODE_MJPEG_CBR = 8,
    HI_VENC_RC_MODE_MJPEG_VBR = 9,
    HI_VENC_RC_MODE_MJPEG_FIXQP = 10,
    HI_VENC_RC_MODE_H265_CBR = 11,
    HI_VENC_RC_MODE_H265_VBR = 12,
    HI_VENC_RC_MODE_H265_AVBR = 13,
    HI_VENC_RC_MODE_H265_QVBR = 14,
    HI_VENC_RC_MODE_H265_CVBR = 15,
    HI_VENC_RC_MODE_H265_FIXQP = 16,
    HI_VENC_RC_MODE_H265_QPMAP = 17,
};

typedef int32_t hi_venc_rc_qpmap_mode;
enum {
    HI_VENC_RC_QPMAP_MODE_MEAN_QP = 0,
    HI_VENC_RC_QPMAP_MODE_MIN_QP = 1,
    HI_VENC_RC_QPMAP_MODE_MAX_QP = 2,
};

typedef int32_t hi_venc_gop_mode;
enum {
    HI_VENC_GOP_MODE_NORMAL_P = 0,
    HI_VENC_GOP_MODE_DUAL_P = 1,
    HI_VENC_GOP_MODE_SMART_P = 2,
    HI_VENC_GOP_MODE_ADV_SMART_P = 3,
    HI_VENC_GOP_MODE_BIPRED_B = 4,
    HI_VENC_GOP_MODE_LOW_DELAY_B = 5,
};

typedef int32_t hi_venc_scene_mode;
enum {
    HI_VENC_SCENE_0 = 0,
    HI_VENC_SCENE_1 = 1,
    HI_VENC_SCENE_2 = 2,
};

typedef int32_t hi_venc_pic_recv_mode;
enum {
    HI_VENC_PIC_RECV_SINGLE = 0,
    HI_VENC_PIC_RECV_MULTI = 1,
};

typedef int32_t hi_venc_mod_type;
enum {
    HI_VENC_MOD_VENC = 1,
    HI_VENC_MOD_H264 = 2,
    HI_VENC_MOD_H265 = 3,
    HI_VENC_MOD_JPEG = 4,
    HI_VENC_MOD_RC = 5,
};

typedef int32_t hi_venc_h264_nalu_type;
enum {
    HI_VENC_H264_NALU_B_SLICE = 0,
    HI_VENC_H264_NALU_P_SLICE = 1,
    HI_VENC_H264_NALU_I_SLICE = 2,
    HI_VENC_H264_NALU_IDR_SLICE = 5,
    HI_VENC_H264_NALU_SEI = 6,
    HI_VENC_H264_NALU_SPS = 7,
    HI_VENC_H264_NALU_PPS = 8,
};

typedef int32_t hi_venc_h265_nalu_type;
enum {
    HI_VENC_H265_NALU_B_SLICE = 0,
    HI_VENC_H265_NALU_P_SLICE = 1,
    HI_VENC_H265_NALU_I_SLICE = 2,
    HI_VENC_H265_NALU_IDR_SLICE = 19,
    HI_VENC_H265_NALU_VPS = 32,
    HI_VENC_H265_NALU_SPS = 33,
    HI_VENC_H265_NALU_PPS = 34,
    HI_VENC_H265_NALU_SEI = 39,
    HI_VENC_H265_NALU_ENHANCE = 64,
};

typedef int32_t hi_venc_ref_type;
enum {
    HI_VENC_BASE_IDR_SLICE = 0,
    HI_VENC_BASE_P_SLICE_REF_TO_IDR = 1,
    HI_VENC_BASE_P_SLICE_REF_BY_BASE = 2,
    HI_VENC_BASE_P_SLICE_REF_BY_ENHANCE = 3,
    HI_VENC_ENHANCE_P_SLICE_REF_BY_ENHANCE = 4,
    HI_VENC_ENHANCE_P_SLICE_NOT_FOR_REF = 5,
};

/* Flags of hi_dvpp_epoll_event.events. */
#define HI_DVPP_EPOLL_IN  1u
#define HI_DVPP_EPOLL_OUT 2u
#define HI_DVPP_EPOLL_ET  0x80000000u

/* ---- structures ---------------------------------------------------------------------------------- */

typedef struct hi_rect {
    hi_s32 x, y;
    hi_u32 width, height;
} hi_rect;

typedef struct hi_crop_info {
    hi_bool enable;
    hi_rect rect;
} hi_crop_info;

typedef struct hi_frame_rate_ctrl {
    hi_s32 src_frame_rate, dst_frame_rate;
} hi_frame_rate_ctrl;

typedef struct hi_video_supplement {
    hi_u64 misc_info_phys_addr, jpeg_dcf_phys_addr, isp_info_phys_addr, low_delay_phys_addr, bnr_rnt_phys_addr,
        motion_data_phys_addr, frame_dng_phys_addr;
    void *misc_info_virt_addr;
    void *jpeg_dcf_virt_addr;
    void *isp_info_virt_addr;
    void *low_delay_virt_addr;
    void *bnr_mot_virt_addr;
    void *motion_data_virt_addr;
    void *frame_dng_virt_addr;
} hi_video_supplement;

typedef struct hi_video_frame {
    hi_u32 width, height;
    hi_video_field field;
    hi_pixel_format pixel_format;
    hi_video_format video_format;
    hi_compress_mode compress_mode;
    hi_dynamic_range dynamic_range;
    hi_color_gamut color_gamut;
    hi_u32 header_stride[HI_MAX_COLOR_COMPONENT], width_stride[HI_MAX_COLOR_COMPONENT],
        height_stride[HI_MAX_COLOR_COMPONENT];
    hi_u64 header_phys_addr[HI_MAX_COLOR_COMPONENT], phys_addr[HI_MAX_COLOR_COMPONENT];
    void *header_virt_addr[HI_MAX_COLOR_COMPONENT];
    void *virt_addr[HI_MAX_COLOR_COMPONENT];
    hi_u32 time_ref;
    hi_u64 pts, user_data[2];
    hi_u32 frame_flag;
    hi_video_supplement supplement;
} hi_video_frame;

typedef struct hi_video_frame_info {
    hi_video_frame v_frame;
    hi_u32 pool_id;
    hi_mod_id mod_id;
} hi_video_frame_info;

typedef struct hi_img_stream {
    hi_payload_type type;
    hi_u8 *addr;
    hi_u32 len;
    hi_u64 pts;
    hi_s32 reserved[2];
} hi_img_stream;

typedef struct hi_pic_buf_attr {
    hi_u32 width, height, align;
    hi_data_bit_width bit_width;
    hi_pixel_format pixel_format;
    hi_compress_mode compress_mode;
} hi_pic_buf_attr;

typedef struct hi_dvpp_epoll_event {
    hi_u32 events;
    void *data;
} hi_dvpp_epoll_event;

typedef struct hi_venc_h264_attr {
    hi_bool rcn_ref_share_buf_en;
    hi_u32 frame_buf_ratio;
} hi_venc_h264_attr;

typedef hi_venc_h264_attr hi_venc_h265_attr;

typedef struct hi_video_size {
    hi_u32 width, height;
} hi_video_size;

typedef struct hi_venc_mpf_cfg {
    hi_u8 large_thumbnail_num;
    hi_video_size large_thumbnail_size[2];
} hi_venc_mpf_cfg;

typedef struct hi_venc_jpeg_attr {
    hi_bool dcf_en;
    hi_venc_mpf_cfg mpf_cfg;
    hi_venc_pic_recv_mode recv_mode;
} hi_venc_jpeg_attr;

/* max_pic_*, buf_size, type, profile and is_by_frame cannot be changed. profile: H.264 0 baseline, 1 main, 2 high,
 * 3 SVC-T; H.265 0 main, 1 main 10. buf_size in bytes: a multiple of 64, 32 KiB to 1 GiB. */
typedef struct hi_venc_attr {
    hi_payload_type type;
    hi_u32 max_pic_width, max_pic_height, buf_size, profile;
    hi_bool is_by_frame;
    hi_u32 pic_width, pic_height;
    union {
        hi_venc_h264_attr h264_attr;
        hi_venc_h265_attr h265_attr;
        hi_venc_jpeg_attr jpeg_attr;
    };
} hi_venc_attr;

/* Of all: stats_time [1, 60] s, dst_frame_rate <= src_frame_rate, bit rates in kbit/s; ascend_venc/chips.py has the ranges. */
typedef struct hi_venc_h264_cbr {
    hi_u32 gop, stats_time, src_frame_rate, dst_frame_rate, bit_rate;
} hi_venc_h264_cbr;

typedef struct hi_venc_h264_vbr {
    hi_u32 gop, stats_time, src_frame_rate, dst_frame_rate, max_bit_rate;
} hi_venc_h264_vbr;

typedef hi_venc_h264_vbr hi_venc_h264_avbr;

typedef struct hi_venc_h264_qvbr {
    hi_u32 gop, stats_time, src_frame_rate, dst_frame_rate, target_bit_rate;
} hi_venc_h264_qvbr;

typedef struct hi_venc_h264_cvbr {
    hi_u32 gop, stats_time, src_frame_rate, dst_frame_rate, max_bit_rate, short_term_stats_time, long_term_stats_time,
        long_term_max_bit_rate, long_term_min_bit_rate;
} hi_venc_h264_cvbr;

/* qp [0, 51]. */
typedef struct hi_venc_h264_fixqp {
    hi_u32 gop, src_frame_rate, dst_frame_rate, i_qp, p_qp, b_qp;
} hi_venc_h264_fixqp;

typedef struct hi_venc_h264_qpmap {
    hi_u32 gop, stats_time, src_frame_rate, dst_frame_rate;
} hi_venc_h264_qpmap;

typedef struct hi_venc_h265_qpmap {
    hi_u32 gop, stats_time, src_frame_rate, dst_frame_rate;
    hi_venc_rc_qpmap_mode qpmap_mode;
} hi_venc_h265_qpmap;

/* Reserved: no release encodes motion JPEG. qfactor [1, 99]. */
typedef struct hi_venc_mjpeg_cbr {
    hi_u32 stats_time, src_frame_rate, dst_frame_rate, bit_rate;
} hi_venc_mjpeg_cbr;

typedef struct hi_venc_mjpeg_vbr {
    hi_u32 stats_time, src_frame_rate, dst_frame_rate, max_bit_rate;
} hi_venc_mjpeg_vbr;

typedef struct hi_venc_mjpeg_fixqp {
    hi_u32 src_frame_rate, dst_frame_rate, qfactor;
} hi_venc_mjpeg_fixqp;

typedef hi_venc_h264_cbr hi_venc_h265_cbr;
typedef hi_venc_h264_vbr hi_venc_h265_vbr;
typedef hi_venc_h264_avbr hi_venc_h265_avbr;
typedef hi_venc_h264_qvbr hi_venc_h265_qvbr;
typedef hi_venc_h264_cvbr hi_venc_h265_cvbr;
typedef hi_venc_h264_fixqp hi_venc_h265_fixqp;

/* rc_mode says which member of the union counts. */
typedef struct hi_venc_rc_attr {
    hi_venc_rc_mode rc_mode;
    union {
        hi_venc_h264_cbr h264_cbr;
        hi_venc_h264_vbr h264_vbr;
        hi_venc_h264_avbr h264_avbr;
        hi_venc_h264_qvbr h264_qvbr;
        hi_venc_h264_cvbr h264_cvbr;
        hi_venc_h264_fixqp h264_fixqp;
        hi_venc_h264_qpmap h264_qpmap;
        hi_venc_mjpeg_cbr mjpeg_cbr;
        hi_venc_mjpeg_vbr mjpeg_vbr;
        hi_venc_mjpeg_fixqp mjpeg_fixqp;
        hi_venc_h265_cbr h265_cbr;
        hi_venc_h265_vbr h265_vbr;
        hi_venc_h265_avbr h265_avbr;
        hi_venc_h265_qvbr h265_qvbr;
        hi_venc_h265_cvbr h265_cvbr;
        hi_venc_h265_fixqp h265_fixqp;
        hi_venc_h265_qpmap h265_qpmap;
    };
} hi_venc_rc_attr;

typedef struct hi_venc_gop_normal_p {
    hi_s32 ip_qp_delta;
} hi_venc_gop_normal_p;

/* Differences of QP [-10, 30]. */
typedef struct hi_venc_gop_dual_p {
    hi_u32 sp_interval;
    hi_s32 sp_qp_delta, ip_qp_delta;
} hi_venc_gop_dual_p;

typedef struct hi_venc_gop_smart_p {
    hi_u32 bg_interval;
    hi_s32 bg_qp_delta, vi_qp_delta;
} hi_venc_gop_smart_p;

typedef hi_venc_gop_smart_p hi_venc_gop_adv_smart_p;

typedef struct hi_venc_gop_bipred_b {
    hi_u32 b_frame_num;
    hi_s32 b_qp_delta, ip_qp_delta;
} hi_venc_gop_bipred_b;

typedef struct hi_venc_gop_attr {
    hi_venc_gop_mode gop_mode;
    union {
        hi_venc_gop_normal_p normal_p;
        hi_venc_gop_dual_p dual_p;
        hi_venc_gop_smart_p smart_p;
        hi_venc_gop_adv_smart_p adv_smart_p;
        hi_venc_gop_bipred_b bipred_b;
    };
} hi_venc_gop_attr;

typedef struct hi_venc_chn_attr {
    hi_venc_attr venc_attr;
    hi_venc_rc_attr rc_attr;
    hi_venc_gop_attr gop_attr;
} hi_venc_chn_attr;

/* -1: any number of pictures, else [1, 2^31 - 1]. */
typedef struct hi_venc_start_param {
    hi_s32 recv_pic_num;
} hi_venc_start_param;

typedef struct hi_venc_chn_param {
    hi_bool color_to_grey_en;
    hi_u32 priority, max_stream_cnt, poll_wake_up_frame_cnt;
    hi_crop_info crop_info;
    hi_frame_rate_ctrl frame_rate;
} hi_venc_chn_param;

/* Members and their order differ between H.264 and H.265. Proportions [1, 100], QP [0, 51],
 * max_reencode_times [0, 3]. */
typedef struct hi_venc_h264_cbr_param {
    hi_u32 max_i_proportion, min_i_proportion, max_qp, min_qp, max_i_qp, min_i_qp;
    hi_s32 max_reencode_times;
    hi_bool qpmap_en;
} hi_venc_h264_cbr_param;

typedef struct hi_venc_h264_vbr_param {
    hi_s32 chg_pos;
    hi_u32 max_i_proportion, min_i_proportion;
    hi_s32 max_reencode_times;
    hi_bool qpmap_en;
    hi_u32 max_qp, min_qp, max_i_qp, min_i_qp;
} hi_venc_h264_vbr_param;

typedef struct hi_venc_h264_avbr_param {
    hi_s32 chg_pos;
    hi_u32 max_i_proportion, min_i_proportion;
    hi_s32 max_reencode_times;
    hi_bool qpmap_en;
    hi_s32 min_still_percent;
    hi_u32 max_still_qp, min_still_psnr, max_qp, min_qp, max_i_qp, min_i_qp, min_qp_delta, motion_sensitivity;
    hi_bool save_bitrate_en;
} hi_venc_h264_avbr_param;

typedef struct hi_venc_h264_qvbr_param {
    hi_u32 max_i_proportion, min_i_proportion;
    hi_s32 max_reencode_times;
    hi_bool qpmap_en;
    hi_u32 max_qp, min_qp, max_i_qp, min_i_qp;
    hi_s32 max_bit_percent, min_bit_percent, max_psnr_fluctuate, min_psnr_fluctuate;
} hi_venc_h264_qvbr_param;

typedef struct hi_venc_h264_cvbr_param {
    hi_u32 max_i_proportion, min_i_proportion;
    hi_s32 max_reencode_times;
    hi_bool qpmap_en;
    hi_u32 max_qp, min_qp, max_i_qp, min_i_qp, min_qp_delta, max_qp_delta, extra_bit_percent, long_term_stats_time_unit;
    hi_bool save_bitrate_en;
} hi_venc_h264_cvbr_param;

typedef struct hi_venc_h265_cbr_param {
    hi_u32 max_i_proportion, min_i_proportion, max_qp, min_qp, max_i_qp, min_i_qp;
    hi_s32 max_reencode_times;
    hi_bool qpmap_en;
    hi_venc_rc_qpmap_mode qpmap_mode;
} hi_venc_h265_cbr_param;

typedef struct hi_venc_h265_vbr_param {
    hi_s32 chg_pos;
    hi_u32 max_i_proportion, min_i_proportion;
    hi_s32 max_reencode_times;
    hi_u32 max_qp, min_qp, max_i_qp, min_i_qp;
    hi_bool qpmap_en;
    hi_venc_rc_qpmap_mode qpmap_mode;
} hi_venc_h265_vbr_param;

typedef struct hi_venc_h265_avbr_param {
    hi_s32 chg_pos;
    hi_u32 max_i_proportion, min_i_proportion;
    hi_s32 max_reencode_times, min_still_percent;
    hi_u32 max_still_qp, min_still_psnr, max_qp, min_qp, max_i_qp, min_i_qp, min_qp_delta, motion_sensitivity;
    hi_bool qpmap_en;
    hi_venc_rc_qpmap_mode qpmap_mode;
} hi_venc_h265_avbr_param;

typedef struct hi_venc_h265_qvbr_param {
    hi_u32 max_i_proportion, min_i_proportion;
    hi_s32 max_reencode_times;
    hi_bool qpmap_en;
    hi_venc_rc_qpmap_mode qpmap_mode;
    hi_u32 max_qp, min_qp, max_i_qp, min_i_qp;
    hi_s32 max_bit_percent, min_bit_percent, max_psnr_fluctuate, min_psnr_fluctuate;
} hi_venc_h265_qvbr_param;

typedef struct hi_venc_h265_cvbr_param {
    hi_u32 max_i_proportion, min_i_proportion;
    hi_s32 max_reencode_times;
    hi_bool qpmap_en;
    hi_venc_rc_qpmap_mode qpmap_mode;
    hi_u32 max_qp, min_qp, max_i_qp, min_i_qp, min_qp_delta, max_qp_delta, extra_bit_percent, long_term_stats_time_unit;
} hi_venc_h265_cvbr_param;

typedef struct hi_venc_scene_chg_detect {
    hi_bool detect_scene_chg_en, adapt_insert_idr_frame_en;
} hi_venc_scene_chg_detect;

typedef struct hi_venc_rc_param {
    hi_u32 threshold_i[HI_VENC_TEXTURE_THRESHOLD_SIZE], threshold_p[HI_VENC_TEXTURE_THRESHOLD_SIZE],
        threshold_b[HI_VENC_TEXTURE_THRESHOLD_SIZE], direction, row_qp_delta;
    hi_s32 first_frame_start_qp;
    hi_venc_scene_chg_detect scene_chg_detect;
    union {
        hi_venc_h264_cbr_param h264_cbr_param;
        hi_venc_h264_vbr_param h264_vbr_param;
        hi_venc_h264_avbr_param h264_avbr_param;
        hi_venc_h264_qvbr_param h264_qvbr_param;
        hi_venc_h264_cvbr_param h264_cvbr_param;
        hi_venc_h265_cbr_param h265_cbr_param;
        hi_venc_h265_vbr_param h265_vbr_param;
        hi_venc_h265_avbr_param h265_avbr_param;
        hi_venc_h265_qvbr_param h265_qvbr_param;
        hi_venc_h265_cvbr_param h265_cvbr_param;
    };
} hi_venc_rc_param;

typedef struct hi_venc_venc_mod_param {
    hi_u32 buf_cache, frame_buf_recycle;
} hi_venc_venc_mod_param;

typedef struct hi_venc_h264_mod_param {
    hi_u32 one_stream_buf, mini_buf_mode, low_power_mode;
    hi_vb_src vb_src;
    hi_bool qp_hist_en;
    hi_u32 max_user_data_len;
} hi_venc_h264_mod_param;

typedef hi_venc_h264_mod_param hi_venc_h265_mod_param;

typedef struct hi_venc_jpeg_mod_param {
    hi_u32 one_stream_buf, mini_buf_mode, clear_stream_buf, dering_mode;
} hi_venc_jpeg_mod_param;

typedef struct hi_venc_mod_param {
    hi_venc_mod_type mod_type;
    union {
        hi_venc_venc_mod_param venc_mod_param;
        hi_venc_h264_mod_param h264_mod_param;
        hi_venc_h265_mod_param h265_mod_param;
        hi_venc_jpeg_mod_param jpeg_mod_param;
    };
} hi_venc_mod_param;

typedef union hi_venc_data_type {
    hi_venc_h264_nalu_type h264_type;
    hi_venc_h265_nalu_type h265_type;
} hi_venc_data_type;

typedef struct hi_venc_pack_info {
    hi_venc_data_type pack_type;
    hi_u32 pack_offset, pack_len;
} hi_venc_pack_info;

/* The bytes are addr + offset, len - offset of them, in device memory. len 0: the frame failed. 4 bytes of padding
 * follow len. input_addr: the address of the picture that was sent. */
typedef struct hi_venc_pack {
    union {
        hi_u64 phys_addr;
        hi_u64 input_addr;
    };
    hi_u8 *addr;
    hi_u32 len;
    hi_u64 pts;
    hi_bool is_frame_end;
    hi_venc_data_type data_type;
    hi_u32 offset, data_num;
    hi_venc_pack_info pack_info[HI_VENC_MAX_PACK_INFO_NUM];
} hi_venc_pack;

typedef struct hi_venc_h264_stream_info {
    hi_u32 pic_bytes, inter16x16_mb_num, inter8x8_mb_num, intra16_mb_num, intra8_mb_num, intra4_mb_num;
    hi_venc_ref_type ref_type;
    hi_u32 update_attr_cnt, start_qp, mean_qp;
    hi_bool is_p_skip;
} hi_venc_h264_stream_info;

typedef struct hi_venc_h265_stream_info {
    hi_u32 pic_bytes, inter64x64_cu_num, inter32x32_cu_num, inter16x16_cu_num, inter8x8_cu_num, intra32x32_cu_num,
        intra16x16_cu_num, intra8x8_cu_num, intra4x4_cu_num;
    hi_venc_ref_type ref_type;
    hi_u32 update_attr_cnt, start_qp, mean_qp;
    hi_bool is_p_skip;
} hi_venc_h265_stream_info;

typedef struct hi_venc_sse_info {
    hi_bool enable;
    hi_u64 sse_val;
} hi_venc_sse_info;

typedef struct hi_venc_h264_adv_stream_info {
    hi_u32 residual_bits, head_bits, madi_val, madp_val;
    hi_double psnr_val;
    hi_u32 sse_lcu_cnt;
    hi_u64 sse_sum;
    hi_venc_sse_info sse_info[HI_VENC_MAX_SSE_NUM];
    hi_u32 qp_hist[HI_VENC_QP_HIST_NUM], move_scene16x16_num, move_scene_bits;
} hi_venc_h264_adv_stream_info;

typedef hi_venc_h264_adv_stream_info hi_venc_h265_adv_stream_info;

/* pack and pack_cnt are the caller's: room for that many packs; pack_cnt becomes the number used. */
typedef struct hi_venc_stream {
    hi_venc_pack *pack;
    hi_u32 pack_cnt, seq;
    union {
        hi_venc_h264_stream_info h264_info;
        hi_venc_h265_stream_info h265_info;
    };
    union {
        hi_venc_h264_adv_stream_info h264_adv_info;
        hi_venc_h265_adv_stream_info h265_adv_info;
    };
} hi_venc_stream;

/* Of the frame that the next hi_mpi_venc_get_stream gives. */
typedef struct hi_venc_stream_info {
    hi_venc_ref_type ref_type;
    hi_u32 pic_bytes, pic_cnt, start_qp, mean_qp;
    hi_bool is_p_skip;
    hi_u32 residual_bits, head_bits, madi_val, madp_val;
    hi_u64 sse_sum;
    hi_u32 sse_lcu_cnt;
    hi_double psnr_val;
} hi_venc_stream_info;

typedef struct hi_venc_chn_status {
    hi_u32 left_pics, left_stream_bytes, left_stream_frames, cur_packs, left_recv_pics, left_enc_pics;
    hi_bool is_jpeg_snap_end;
    hi_u64 release_pic_pts;
    hi_venc_stream_info stream_info;
} hi_venc_chn_status;

typedef struct hi_venc_jpeg_param {
    hi_u32 qfactor;
    hi_u8 y_qt[64], cb_qt[64], cr_qt[64];
    hi_u32 mcu_per_ecs;
    hi_bool ecs_output_en;
} hi_venc_jpeg_param;

typedef struct hi_venc_huffman_dc_table {
    hi_u8 dc_bits[16], dc_value[12];
} hi_venc_huffman_dc_table;

typedef struct hi_venc_huffman_ac_table {
    hi_u8 ac_bits[16], ac_value[162];
} hi_venc_huffman_ac_table;

typedef struct hi_venc_jpeg_huffman_param {
    hi_venc_huffman_dc_table dc_tables[HI_MAX_COLOR_COMPONENT];
    hi_venc_huffman_ac_table ac_tables[HI_MAX_COLOR_COMPONENT];
    hi_u32 reserved[2];
} hi_venc_jpeg_huffman_param;

/* ---- in no public header ------------------------------------------------------------------------ */

/* Room behind the members of a structure whose length is not known; not the vendor's. */
#define HI_UNKNOWN_TAIL hi_u32 unknown_tail[32]

typedef struct hi_venc_vui_aspect_ratio {
    hi_u8 aspect_ratio_info_present_flag, aspect_ratio_idc, overscan_info_present_flag, overscan_appropriate_flag;
    hi_u16 sar_width, sar_height;
} hi_venc_vui_aspect_ratio;

typedef struct hi_venc_vui_video_signal {
    hi_u8 video_signal_type_present_flag, video_format, video_full_range_flag, colour_description_present_flag;
    hi_u8 colour_primaries, transfer_characteristics, matrix_coefficients;
} hi_venc_vui_video_signal;

/* The first member is 8 bits wide here, and 32 in H.265. */
typedef struct hi_venc_vui_h264_time_info {
    hi_u8 timing_info_present_flag, fixed_frame_rate_flag;
    hi_u32 num_units_in_tick, time_scale;
} hi_venc_vui_h264_time_info;

typedef struct hi_venc_vui_h265_time_info {
    hi_u32 timing_info_present_flag, num_units_in_tick, time_scale, num_ticks_poc_diff_one_minus1;
} hi_venc_vui_h265_time_info;

typedef struct hi_venc_vui_bitstream_restric {
    hi_u8 bitstream_restriction_flag;
} hi_venc_vui_bitstream_restric;

typedef struct hi_venc_h264_vui {
    hi_venc_vui_aspect_ratio vui_aspect_ratio;
    hi_venc_vui_h264_time_info vui_time_info;
    hi_venc_vui_video_signal vui_video_signal;
    hi_venc_vui_bitstream_restric vui_bitstream_restric;
    HI_UNKNOWN_TAIL;
} hi_venc_h264_vui;

typedef struct hi_venc_h265_vui {
    hi_venc_vui_aspect_ratio vui_aspect_ratio;
    hi_venc_vui_h265_time_info vui_time_info;
    hi_venc_vui_video_signal vui_video_signal;
    hi_venc_vui_bitstream_restric vui_bitstream_restric;
    HI_UNKNOWN_TAIL;
} hi_venc_h265_vui;

typedef struct hi_venc_roi_attr {
    hi_u32 idx;
    hi_bool enable, is_abs_qp;
    hi_s32 qp;
    hi_rect rect;
} hi_venc_roi_attr;

typedef struct hi_venc_intra_refresh {
    hi_bool refresh_enable;
    hi_s32 intra_refresh_mode; /* 0: rows */
    hi_u32 refresh_num, req_i_qp;
} hi_venc_intra_refresh;

typedef struct hi_venc_ref_param {
    hi_u32 base, enhance;
    hi_bool pred_en;
    HI_UNKNOWN_TAIL;
} hi_venc_ref_param;

typedef struct hi_user_rc_info {
    hi_bool qp_map_valid, skip_weight_valid;
    hi_u32 blk_start_qp;
    hi_u64 qp_map_phy_addr, skip_weight_phy_addr;
    hi_s32 frame_type;
} hi_user_rc_info;

typedef struct hi_user_roi_map {
    hi_bool valid;
    hi_u64 phy_addr;
} hi_user_roi_map;

typedef struct hi_user_frame_info {
    hi_video_frame_info user_frame;
    hi_user_rc_info user_rc_info;
    hi_user_roi_map user_roi_map;
    HI_UNKNOWN_TAIL;
} hi_user_frame_info;

typedef struct hi_venc_slice_split {
    hi_bool split_enable;
    hi_u32 split_mode, split_size;
    hi_bool slice_output_en;
    HI_UNKNOWN_TAIL;
} hi_venc_slice_split;

typedef struct hi_venc_cu_prediction {
    hi_u32 pred_mode;
    hi_u32 intra32_cost, intra16_cost, intra8_cost, intra4_cost;
    hi_u32 inter64_cost, inter32_cost, inter16_cost, inter8_cost;
    HI_UNKNOWN_TAIL;
} hi_venc_cu_prediction;

typedef struct hi_venc_streamcopy_param {
    hi_bool copy_en;
    hi_u32 copy_interval;
    HI_UNKNOWN_TAIL;
} hi_venc_streamcopy_param;

/* ---- the list -------------------------------------------------------------------------------- */

/* clang-format off */
#define HIMPI_FUNCTIONS(X) \
    X(REQUIRED, hi_s32, hi_mpi_sys_init, (void)) \
    X(REQUIRED, hi_s32, hi_mpi_sys_exit, (void)) \
    X(REQUIRED, hi_s32, hi_mpi_sys_create_epoll, (hi_s32 size, hi_s32 *epoll_fd)) \
    X(REQUIRED, hi_s32, hi_mpi_sys_ctl_epoll, (hi_s32 epoll_fd, hi_s32 operation, hi_s32 fd, hi_dvpp_epoll_event *event)) \
    X(REQUIRED, hi_s32, hi_mpi_sys_wait_epoll, (hi_s32 epoll_fd, hi_dvpp_epoll_event *events, hi_s32 max_events, hi_s32 timeout, hi_s32 *event_num)) \
    X(REQUIRED, hi_s32, hi_mpi_sys_close_epoll, (hi_s32 epoll_fd)) \
    X(REQUIRED, hi_s32, hi_mpi_dvpp_malloc, (hi_u32 dev_id, void **dev_ptr, hi_u64 size)) \
    X(REQUIRED, hi_s32, hi_mpi_dvpp_free, (void *dev_ptr)) \
    X(OPTIONAL, hi_s32, hi_mpi_dvpp_get_version, (hi_s32 *major_version, hi_s32 *minor_version, hi_s32 *patch_version)) \
    X(REQUIRED, hi_s32, hi_mpi_venc_create_chn, (hi_venc_chn chn, const hi_venc_chn_attr *attr)) \
    X(REQUIRED, hi_s32, hi_mpi_venc_destroy_chn, (hi_venc_chn chn)) \
    X(REQUIRED, hi_s32, hi_mpi_venc_start_chn, (hi_venc_chn chn, const hi_venc_start_param *recv_param)) \
    X(REQUIRED, hi_s32, hi_mpi_venc_stop_chn, (hi_venc_chn chn)) \
    X(REQUIRED, hi_s32, hi_mpi_venc_query_status, (hi_venc_chn chn, hi_venc_chn_status *status)) \
    X(REQUIRED, hi_s32, hi_mpi_venc_get_stream, (hi_venc_chn chn, hi_venc_stream *stream, hi_s32 milli_sec)) \
    X(REQUIRED, hi_s32, hi_mpi_venc_release_stream, (hi_venc_chn chn, hi_venc_stream *stream)) \
    X(REQUIRED, hi_s32, hi_mpi_venc_send_frame, (hi_venc_chn chn, const hi_video_frame_info *frame, hi_s32 milli_sec)) \
    X(REQUIRED, hi_s32, hi_mpi_venc_get_fd, (hi_venc_chn chn)) \
    X(REQUIRED, hi_s32, hi_mpi_venc_close_fd, (hi_venc_chn chn)) \
    X(REQUIRED, hi_s32, hi_mpi_venc_request_idr, (hi_venc_chn chn, hi_bool instant)) \
    X(REQUIRED, hi_s32, hi_mpi_venc_set_chn_param, (hi_venc_chn chn, const hi_venc_chn_param *chn_param)) \
    X(REQUIRED, hi_s32, hi_mpi_venc_set_mod_param, (const hi_venc_mod_param *mod_param)) \
    X(REQUIRED, hi_s32, hi_mpi_venc_get_mod_param, (hi_venc_mod_param *mod_param)) \
    X(REQUIRED, hi_s32, hi_mpi_venc_set_rc_param, (hi_venc_chn chn, const hi_venc_rc_param *rc_param)) \
    X(REQUIRED, hi_s32, hi_mpi_venc_get_rc_param, (hi_venc_chn chn, hi_venc_rc_param *rc_param)) \
    X(REQUIRED, hi_s32, hi_mpi_venc_set_scene_mode, (hi_venc_chn chn, hi_venc_scene_mode scene_mode)) \
    X(OPTIONAL, hi_s32, hi_mpi_venc_send_jpege_frame, (hi_venc_chn chn, const hi_video_frame_info *frame, const hi_img_stream *jpege_stream, hi_s32 milli_sec)) \
    X(OPTIONAL, hi_s32, hi_mpi_venc_get_jpege_predicted_size, (const hi_video_frame_info *frame, const hi_venc_jpeg_param *jpeg_param, hi_u32 *size)) \
    X(OPTIONAL, hi_s32, hi_mpi_venc_set_jpeg_param, (hi_venc_chn chn, const hi_venc_jpeg_param *jpeg_param)) \
    X(OPTIONAL, hi_s32, hi_mpi_venc_get_jpeg_param, (hi_venc_chn chn, hi_venc_jpeg_param *jpeg_param)) \
    X(OPTIONAL, hi_s32, hi_mpi_venc_set_jpeg_huffman_param, (hi_venc_chn chn, const hi_venc_jpeg_huffman_param *jpeg_huffman_param)) \
    X(OPTIONAL, hi_s32, hi_mpi_venc_get_jpeg_huffman_param, (hi_venc_chn chn, hi_venc_jpeg_huffman_param *jpeg_huffman_data)) \
    X(OPTIONAL, hi_s32, hi_mpi_venc_compact_jpeg_tables, (hi_venc_chn chn, hi_u32 table_type, hi_bool enable)) \
    X(OPTIONAL, hi_s32, hi_mpi_venc_set_chn_attr, (hi_venc_chn chn, const hi_venc_chn_attr *attr)) \
    X(OPTIONAL, hi_s32, hi_mpi_venc_get_chn_attr, (hi_venc_chn chn, hi_venc_chn_attr *attr)) \
    X(OPTIONAL, hi_s32, hi_mpi_venc_get_chn_param, (hi_venc_chn chn, hi_venc_chn_param *chn_param)) \
    X(OPTIONAL, hi_s32, hi_mpi_venc_get_scene_mode, (hi_venc_chn chn, hi_venc_scene_mode *scene_mode)) \
    X(OPTIONAL, hi_s32, hi_mpi_venc_set_h264_vui, (hi_venc_chn chn, const hi_venc_h264_vui *h264_vui)) \
    X(OPTIONAL, hi_s32, hi_mpi_venc_get_h264_vui, (hi_venc_chn chn, hi_venc_h264_vui *h264_vui)) \
    X(OPTIONAL, hi_s32, hi_mpi_venc_set_h265_vui, (hi_venc_chn chn, const hi_venc_h265_vui *h265_vui)) \
    X(OPTIONAL, hi_s32, hi_mpi_venc_get_h265_vui, (hi_venc_chn chn, hi_venc_h265_vui *h265_vui)) \
    X(OPTIONAL, hi_s32, hi_mpi_venc_set_roi_attr, (hi_venc_chn chn, const hi_venc_roi_attr *roi_attr)) \
    X(OPTIONAL, hi_s32, hi_mpi_venc_get_roi_attr, (hi_venc_chn chn, hi_u32 idx, hi_venc_roi_attr *roi_attr)) \
    X(OPTIONAL, hi_s32, hi_mpi_venc_set_intra_refresh, (hi_venc_chn chn, const hi_venc_intra_refresh *intra_refresh)) \
    X(OPTIONAL, hi_s32, hi_mpi_venc_get_intra_refresh, (hi_venc_chn chn, hi_venc_intra_refresh *intra_refresh)) \
    X(OPTIONAL, hi_s32, hi_mpi_venc_set_ref_param, (hi_venc_chn chn, const hi_venc_ref_param *ref_param)) \
    X(OPTIONAL, hi_s32, hi_mpi_venc_get_ref_param, (hi_venc_chn chn, hi_venc_ref_param *ref_param)) \
    X(OPTIONAL, hi_s32, hi_mpi_venc_send_frame_ex, (hi_venc_chn chn, const hi_user_frame_info *frame, hi_s32 milli_sec)) \
    X(OPTIONAL, hi_u32, hi_mpi_venc_get_qpmap_stride, (hi_u32 width)) \
    X(OPTIONAL, hi_u32, hi_mpi_venc_get_qpmap_size, (hi_payload_type type, hi_u32 width, hi_u32 height)) \
    X(OPTIONAL, hi_s32, hi_mpi_venc_set_slice_split, (hi_venc_chn chn, const hi_venc_slice_split *slice_split)) \
    X(OPTIONAL, hi_s32, hi_mpi_venc_get_slice_split, (hi_venc_chn chn, hi_venc_slice_split *slice_split)) \
    X(OPTIONAL, hi_s32, hi_mpi_venc_set_cu_pred, (hi_venc_chn chn, const hi_venc_cu_prediction *cu_pred)) \
    X(OPTIONAL, hi_s32, hi_mpi_venc_get_cu_pred, (hi_venc_chn chn, hi_venc_cu_prediction *cu_pred)) \
    X(OPTIONAL, hi_s32, hi_mpi_venc_set_streamcopy_param, (hi_venc_chn chn, const hi_venc_streamcopy_param *streamcopy_param)) \
    X(OPTIONAL, hi_s32, hi_mpi_venc_get_streamcopy_param, (hi_venc_chn chn, hi_venc_streamcopy_param *streamcopy_param))
/* clang-format on */

/* ---- prototypes ------------------------------------------------------------------------------ */

#ifndef HI_NO_PROTOTYPES
#ifndef HI_API
#define HI_API
#endif
#define HIMPI_PROTOTYPE(presence, ret, name, params) HI_API ret name params;
HIMPI_FUNCTIONS(HIMPI_PROTOTYPE)
#undef HIMPI_PROTOTYPE
#endif

#ifdef __cplusplus
}
#endif

#include "himpi_layout.h"

#endif /* ASCEND_VENC_HIMPI_H */
