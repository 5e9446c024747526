// SPDX-License-Identifier: Apache-2.0
/*
 * himpi_layout.h - sizes and offsets of himpi.h's structures in bytes (LP64), checked by the compiler wherever that
 * header is included. tests/unit/test_himpi_header.py compares the first list with the vendor's own headers; for the
 * second there are none: it says what the documentation's members come to.
 *
 *     SIZE(structure, bytes)   AT(structure, member, offset)
 */
#ifndef ASCEND_VENC_HIMPI_LAYOUT_H
#define ASCEND_VENC_HIMPI_LAYOUT_H

#ifdef __cplusplus
#define HIMPI_ASSERT static_assert
#else
#define HIMPI_ASSERT _Static_assert
#endif

/* clang-format off */
#define HIMPI_LAYOUT(SIZE, AT) \
    SIZE(hi_rect, 16) AT(hi_rect, x, 0) AT(hi_rect, y, 4) AT(hi_rect, width, 8) AT(hi_rect, height, 12) \
    SIZE(hi_crop_info, 20) AT(hi_crop_info, enable, 0) AT(hi_crop_info, rect, 4) \
    SIZE(hi_frame_rate_ctrl, 8) AT(hi_frame_rate_ctrl, src_frame_rate, 0) AT(hi_frame_rate_ctrl, dst_frame_rate, 4) \
    SIZE(hi_video_supplement, 112) AT(hi_video_supplement, misc_info_phys_addr, 0) \
        AT(hi_video_supplement, jpeg_dcf_phys_addr, 8) AT(hi_video_supplement, isp_info_phys_addr, 16) \
        AT(hi_video_supplement, low_delay_phys_addr, 24) AT(hi_video_supplement, bnr_rnt_phys_addr, 32) \
        AT(hi_video_supplement, motion_data_phys_addr, 40) AT(hi_video_supplement, frame_dng_phys_addr, 48) \
        AT(hi_video_supplement, misc_info_virt_addr, 56) AT(hi_video_supplement, jpeg_dcf_virt_addr, 64) \
        AT(hi_video_supplement, isp_info_virt_addr, 72) AT(hi_video_supplement, low_delay_virt_addr, 80) \
        AT(hi_video_supplement, bnr_mot_virt_addr, 88) AT(hi_video_supplement, motion_data_virt_addr, 96) \
        AT(hi_video_supplement, frame_dng_virt_addr, 104) \
    SIZE(hi_video_frame, 320) AT(hi_video_frame, width, 0) AT(hi_video_frame, height, 4) \
        AT(hi_video_frame, field, 8) AT(hi_video_frame, pixel_format, 12) AT(hi_video_frame, video_format, 16) \
        AT(hi_video_frame, compress_mode, 20) AT(hi_video_frame, dynamic_range, 24) \
        AT(hi_video_frame, color_gamut, 28) AT(hi_video_frame, header_stride, 32) \
        AT(hi_video_frame, width_stride, 44) AT(hi_video_frame, height_stride, 56) \
        AT(hi_video_frame, header_phys_addr, 72) AT(hi_video_frame, phys_addr, 96) \
        AT(hi_video_frame, header_virt_addr, 120) AT(hi_video_frame, virt_addr, 144) \
        AT(hi_video_frame, time_ref, 168) AT(hi_video_frame, pts, 176) AT(hi_video_frame, user_data, 184) \
        AT(hi_video_frame, frame_flag, 200) AT(hi_video_frame, supplement, 208) \
    SIZE(hi_video_frame_info, 328) AT(hi_video_frame_info, v_frame, 0) AT(hi_video_frame_info, pool_id, 320) \
        AT(hi_video_frame_info, mod_id, 324) \
    SIZE(hi_img_stream, 40) AT(hi_img_stream, type, 0) AT(hi_img_stream, addr, 8) AT(hi_img_stream, len, 16) \
        AT(hi_img_stream, pts, 24) AT(hi_img_stream, reserved, 32) \
    SIZE(hi_pic_buf_attr, 24) AT(hi_pic_buf_attr, width, 0) AT(hi_pic_buf_attr, height, 4) \
        AT(hi_pic_buf_attr, align, 8) AT(hi_pic_buf_attr, bit_width, 12) AT(hi_pic_buf_attr, pixel_format, 16) \
        AT(hi_pic_buf_attr, compress_mode, 20) \
    SIZE(hi_dvpp_epoll_event, 16) AT(hi_dvpp_epoll_event, events, 0) AT(hi_dvpp_epoll_event, data, 8) \
    SIZE(hi_venc_h264_attr, 8) AT(hi_venc_h264_attr, rcn_ref_share_buf_en, 0) \
        AT(hi_venc_h264_attr, frame_buf_ratio, 4) \
    SIZE(hi_venc_mpf_cfg, 20) AT(hi_venc_mpf_cfg, large_thumbnail_num, 0) \
        AT(hi_venc_mpf_cfg, large_thumbnail_size, 4) \
    SIZE(hi_venc_jpeg_attr, 28) AT(hi_venc_jpeg_attr, dcf_en, 0) AT(hi_venc_jpeg_attr, mpf_cfg, 4) \
        AT(hi_venc_jpeg_attr, recv_mode, 24) \
    SIZE(hi_venc_attr, 60) AT(hi_venc_attr, type, 0) AT(hi_venc_attr, max_pic_width, 4) \
        AT(hi_venc_attr, max_pic_height, 8) AT(hi_venc_attr, buf_size, 12) AT(hi_venc_attr, profile, 16) \
        AT(hi_venc_attr, is_by_frame, 20) AT(hi_venc_attr, pic_width, 24) AT(hi_venc_attr, pic_height, 28) \
        AT(hi_venc_attr, h264_attr, 32) AT(hi_venc_attr, h265_attr, 32) AT(hi_venc_attr, jpeg_attr, 32) \
    SIZE(hi_venc_h264_cbr, 20) AT(hi_venc_h264_cbr, gop, 0) AT(hi_venc_h264_cbr, stats_time, 4) \
        AT(hi_venc_h264_cbr, src_frame_rate, 8) AT(hi_venc_h264_cbr, dst_frame_rate, 12) \
        AT(hi_venc_h264_cbr, bit_rate, 16) \
    SIZE(hi_venc_h264_vbr, 20) AT(hi_venc_h264_vbr, gop, 0) AT(hi_venc_h264_vbr, stats_time, 4) \
        AT(hi_venc_h264_vbr, src_frame_rate, 8) AT(hi_venc_h264_vbr, dst_frame_rate, 12) \
        AT(hi_venc_h264_vbr, max_bit_rate, 16) \
    SIZE(hi_venc_h264_qvbr, 20) AT(hi_venc_h264_qvbr, gop, 0) AT(hi_venc_h264_qvbr, stats_time, 4) \
        AT(hi_venc_h264_qvbr, src_frame_rate, 8) AT(hi_venc_h264_qvbr, dst_frame_rate, 12) \
        AT(hi_venc_h264_qvbr, target_bit_rate, 16) \
    SIZE(hi_venc_h264_cvbr, 36) AT(hi_venc_h264_cvbr, gop, 0) AT(hi_venc_h264_cvbr, stats_time, 4) \
        AT(hi_venc_h264_cvbr, src_frame_rate, 8) AT(hi_venc_h264_cvbr, dst_frame_rate, 12) \
        AT(hi_venc_h264_cvbr, max_bit_rate, 16) AT(hi_venc_h264_cvbr, short_term_stats_time, 20) \
        AT(hi_venc_h264_cvbr, long_term_stats_time, 24) AT(hi_venc_h264_cvbr, long_term_max_bit_rate, 28) \
        AT(hi_venc_h264_cvbr, long_term_min_bit_rate, 32) \
    SIZE(hi_venc_h264_fixqp, 24) AT(hi_venc_h264_fixqp, gop, 0) AT(hi_venc_h264_fixqp, src_frame_rate, 4) \
        AT(hi_venc_h264_fixqp, dst_frame_rate, 8) AT(hi_venc_h264_fixqp, i_qp, 12) AT(hi_venc_h264_fixqp, p_qp, 16) \
        AT(hi_venc_h264_fixqp, b_qp, 20) \
    SIZE(hi_venc_h264_qpmap, 16) AT(hi_venc_h264_qpmap, gop, 0) AT(hi_venc_h264_qpmap, stats_time, 4) \
        AT(hi_venc_h264_qpmap, src_frame_rate, 8) AT(hi_venc_h264_qpmap, dst_frame_rate, 12) \
    SIZE(hi_venc_h265_qpmap, 20) AT(hi_venc_h265_qpmap, gop, 0) AT(hi_venc_h265_qpmap, stats_time, 4) \
        AT(hi_venc_h265_qpmap, src_frame_rate, 8) AT(hi_venc_h265_qpmap, dst_frame_rate, 12) \
        AT(hi_venc_h265_qpmap, qpmap_mode, 16) \
    SIZE(hi_venc_mjpeg_cbr, 16) AT(hi_venc_mjpeg_cbr, stats_time, 0) AT(hi_venc_mjpeg_cbr, src_frame_rate, 4) \
        AT(hi_venc_mjpeg_cbr, dst_frame_rate, 8) AT(hi_venc_mjpeg_cbr, bit_rate, 12) \
    SIZE(hi_venc_mjpeg_vbr, 16) AT(hi_venc_mjpeg_vbr, stats_time, 0) AT(hi_venc_mjpeg_vbr, src_frame_rate, 4) \
        AT(hi_venc_mjpeg_vbr, dst_frame_rate, 8) AT(hi_venc_mjpeg_vbr, max_bit_rate, 12) \
    SIZE(hi_venc_mjpeg_fixqp, 12) AT(hi_venc_mjpeg_fixqp, src_frame_rate, 0) \
        AT(hi_venc_mjpeg_fixqp, dst_frame_rate, 4) AT(hi_venc_mjpeg_fixqp, qfactor, 8) \
    SIZE(hi_venc_rc_attr, 40) AT(hi_venc_rc_attr, rc_mode, 0) AT(hi_venc_rc_attr, h264_cbr, 4) \
        AT(hi_venc_rc_attr, h264_vbr, 4) AT(hi_venc_rc_attr, h264_avbr, 4) AT(hi_venc_rc_attr, h264_qvbr, 4) \
        AT(hi_venc_rc_attr, h264_cvbr, 4) AT(hi_venc_rc_attr, h264_fixqp, 4) AT(hi_venc_rc_attr, h264_qpmap, 4) \
        AT(hi_venc_rc_attr, h265_cbr, 4) AT(hi_venc_rc_attr, h265_vbr, 4) AT(hi_venc_rc_attr, h265_avbr, 4) \
        AT(hi_venc_rc_attr, h265_qvbr, 4) AT(hi_venc_rc_attr, h265_cvbr, 4) AT(hi_venc_rc_attr, h265_fixqp, 4) \
        AT(hi_venc_rc_attr, h265_qpmap, 4) AT(hi_venc_rc_attr, mjpeg_cbr, 4) AT(hi_venc_rc_attr, mjpeg_vbr, 4) \
        AT(hi_venc_rc_attr, mjpeg_fixqp, 4) \
    SIZE(hi_venc_gop_dual_p, 12) AT(hi_venc_gop_dual_p, sp_interval, 0) AT(hi_venc_gop_dual_p, sp_qp_delta, 4) \
        AT(hi_venc_gop_dual_p, ip_qp_delta, 8) \
    SIZE(hi_venc_gop_smart_p, 12) AT(hi_venc_gop_smart_p, bg_interval, 0) AT(hi_venc_gop_smart_p, bg_qp_delta, 4) \
        AT(hi_venc_gop_smart_p, vi_qp_delta, 8) \
    SIZE(hi_venc_gop_bipred_b, 12) AT(hi_venc_gop_bipred_b, b_frame_num, 0) AT(hi_venc_gop_bipred_b, b_qp_delta, 4) \
        AT(hi_venc_gop_bipred_b, ip_qp_delta, 8) \
    SIZE(hi_venc_gop_attr, 16) AT(hi_venc_gop_attr, gop_mode, 0) AT(hi_venc_gop_attr, normal_p, 4) \
        AT(hi_venc_gop_attr, dual_p, 4) AT(hi_venc_gop_attr, smart_p, 4) AT(hi_venc_gop_attr, adv_smart_p, 4) \
        AT(hi_venc_gop_attr, bipred_b, 4) \
    SIZE(hi_venc_chn_attr, 116) AT(hi_venc_chn_attr, venc_attr, 0) AT(hi_venc_chn_attr, rc_attr, 60) \
        AT(hi_venc_chn_attr, gop_attr, 100) \
    SIZE(hi_venc_start_param, 4) AT(hi_venc_start_param, recv_pic_num, 0) \
    SIZE(hi_venc_chn_param, 44) AT(hi_venc_chn_param, color_to_grey_en, 0) AT(hi_venc_chn_param, priority, 4) \
        AT(hi_venc_chn_param, max_stream_cnt, 8) AT(hi_venc_chn_param, poll_wake_up_frame_cnt, 12) \
        AT(hi_venc_chn_param, crop_info, 16) AT(hi_venc_chn_param, frame_rate, 36) \
    SIZE(hi_venc_h264_cbr_param, 32) AT(hi_venc_h264_cbr_param, max_i_proportion, 0) \
        AT(hi_venc_h264_cbr_param, min_i_proportion, 4) AT(hi_venc_h264_cbr_param, max_qp, 8) \
        AT(hi_venc_h264_cbr_param, min_qp, 12) AT(hi_venc_h264_cbr_param, max_i_qp, 16) \
        AT(hi_venc_h264_cbr_param, min_i_qp, 20) AT(hi_venc_h264_cbr_param, max_reencode_times, 24) \
        AT(hi_venc_h264_cbr_param, qpmap_en, 28) \
    SIZE(hi_venc_h264_vbr_param, 36) AT(hi_venc_h264_vbr_param, chg_pos, 0) \
        AT(hi_venc_h264_vbr_param, max_i_proportion, 4) AT(hi_venc_h264_vbr_param, min_i_proportion, 8) \
        AT(hi_venc_h264_vbr_param, max_reencode_times, 12) AT(hi_venc_h264_vbr_param, qpmap_en, 16) \
        AT(hi_venc_h264_vbr_param, max_qp, 20) AT(hi_venc_h264_vbr_param, min_qp, 24) \
        AT(hi_venc_h264_vbr_param, max_i_qp, 28) AT(hi_venc_h264_vbr_param, min_i_qp, 32) \
    SIZE(hi_venc_h264_avbr_param, 60) AT(hi_venc_h264_avbr_param, chg_pos, 0) \
        AT(hi_venc_h264_avbr_param, max_i_proportion, 4) AT(hi_venc_h264_avbr_param, min_i_proportion, 8) \
        AT(hi_venc_h264_avbr_param, max_reencode_times, 12) AT(hi_venc_h264_avbr_param, qpmap_en, 16) \
        AT(hi_venc_h264_avbr_param, min_still_percent, 20) AT(hi_venc_h264_avbr_param, max_still_qp, 24) \
        AT(hi_venc_h264_avbr_param, min_still_psnr, 28) AT(hi_venc_h264_avbr_param, max_qp, 32) \
        AT(hi_venc_h264_avbr_param, min_qp, 36) AT(hi_venc_h264_avbr_param, max_i_qp, 40) \
        AT(hi_venc_h264_avbr_param, min_i_qp, 44) AT(hi_venc_h264_avbr_param, min_qp_delta, 48) \
        AT(hi_venc_h264_avbr_param, motion_sensitivity, 52) AT(hi_venc_h264_avbr_param, save_bitrate_en, 56) \
    SIZE(hi_venc_h264_qvbr_param, 48) AT(hi_venc_h264_qvbr_param, max_i_proportion, 0) \
        AT(hi_venc_h264_qvbr_param, min_i_proportion, 4) AT(hi_venc_h264_qvbr_param, max_reencode_times, 8) \
        AT(hi_venc_h264_qvbr_param, qpmap_en, 12) AT(hi_venc_h264_qvbr_param, max_qp, 16) \
        AT(hi_venc_h264_qvbr_param, min_qp, 20) AT(hi_venc_h264_qvbr_param, max_i_qp, 24) \
        AT(hi_venc_h264_qvbr_param, min_i_qp, 28) AT(hi_venc_h264_qvbr_param, max_bit_percent, 32) \
        AT(hi_venc_h264_qvbr_param, min_bit_percent, 36) AT(hi_venc_h264_qvbr_param, max_psnr_fluctuate, 40) \
        AT(hi_venc_h264_qvbr_param, min_psnr_fluctuate, 44) \
    SIZE(hi_venc_h264_cvbr_param, 52) AT(hi_venc_h264_cvbr_param, max_i_proportion, 0) \
        AT(hi_venc_h264_cvbr_param, min_i_proportion, 4) AT(hi_venc_h264_cvbr_param, max_reencode_times, 8) \
        AT(hi_venc_h264_cvbr_param, qpmap_en, 12) AT(hi_venc_h264_cvbr_param, max_qp, 16) \
        AT(hi_venc_h264_cvbr_param, min_qp, 20) AT(hi_venc_h264_cvbr_param, max_i_qp, 24) \
        AT(hi_venc_h264_cvbr_param, min_i_qp, 28) AT(hi_venc_h264_cvbr_param, min_qp_delta, 32) \
        AT(hi_venc_h264_cvbr_param, max_qp_delta, 36) AT(hi_venc_h264_cvbr_param, extra_bit_percent, 40) \
        AT(hi_venc_h264_cvbr_param, long_term_stats_time_unit, 44) AT(hi_venc_h264_cvbr_param, save_bitrate_en, 48) \
    SIZE(hi_venc_h265_cbr_param, 36) AT(hi_venc_h265_cbr_param, max_i_proportion, 0) \
        AT(hi_venc_h265_cbr_param, min_i_proportion, 4) AT(hi_venc_h265_cbr_param, max_qp, 8) \
        AT(hi_venc_h265_cbr_param, min_qp, 12) AT(hi_venc_h265_cbr_param, max_i_qp, 16) \
        AT(hi_venc_h265_cbr_param, min_i_qp, 20) AT(hi_venc_h265_cbr_param, max_reencode_times, 24) \
        AT(hi_venc_h265_cbr_param, qpmap_en, 28) AT(hi_venc_h265_cbr_param, qpmap_mode, 32) \
    SIZE(hi_venc_h265_vbr_param, 40) AT(hi_venc_h265_vbr_param, chg_pos, 0) \
        AT(hi_venc_h265_vbr_param, max_i_proportion, 4) AT(hi_venc_h265_vbr_param, min_i_proportion, 8) \
        AT(hi_venc_h265_vbr_param, max_reencode_times, 12) AT(hi_venc_h265_vbr_param, max_qp, 16) \
        AT(hi_venc_h265_vbr_param, min_qp, 20) AT(hi_venc_h265_vbr_param, max_i_qp, 24) \
        AT(hi_venc_h265_vbr_param, min_i_qp, 28) AT(hi_venc_h265_vbr_param, qpmap_en, 32) \
        AT(hi_venc_h265_vbr_param, qpmap_mode, 36) \
    SIZE(hi_venc_h265_avbr_param, 60) AT(hi_venc_h265_avbr_param, chg_pos, 0) \
        AT(hi_venc_h265_avbr_param, max_i_proportion, 4) AT(hi_venc_h265_avbr_param, min_i_proportion, 8) \
        AT(hi_venc_h265_avbr_param, max_reencode_times, 12) AT(hi_venc_h265_avbr_param, min_still_percent, 16) \
        AT(hi_venc_h265_avbr_param, max_still_qp, 20) AT(hi_venc_h265_avbr_param, min_still_psnr, 24) \
        AT(hi_venc_h265_avbr_param, max_qp, 28) AT(hi_venc_h265_avbr_param, min_qp, 32) \
        AT(hi_venc_h265_avbr_param, max_i_qp, 36) AT(hi_venc_h265_avbr_param, min_i_qp, 40) \
        AT(hi_venc_h265_avbr_param, min_qp_delta, 44) AT(hi_venc_h265_avbr_param, motion_sensitivity, 48) \
        AT(hi_venc_h265_avbr_param, qpmap_en, 52) AT(hi_venc_h265_avbr_param, qpmap_mode, 56) \
    SIZE(hi_venc_h265_qvbr_param, 52) AT(hi_venc_h265_qvbr_param, max_i_proportion, 0) \
        AT(hi_venc_h265_qvbr_param, min_i_proportion, 4) AT(hi_venc_h265_qvbr_param, max_reencode_times, 8) \
        AT(hi_venc_h265_qvbr_param, qpmap_en, 12) AT(hi_venc_h265_qvbr_param, qpmap_mode, 16) \
        AT(hi_venc_h265_qvbr_param, max_qp, 20) AT(hi_venc_h265_qvbr_param, min_qp, 24) \
        AT(hi_venc_h265_qvbr_param, max_i_qp, 28) AT(hi_venc_h265_qvbr_param, min_i_qp, 32) \
        AT(hi_venc_h265_qvbr_param, max_bit_percent, 36) AT(hi_venc_h265_qvbr_param, min_bit_percent, 40) \
        AT(hi_venc_h265_qvbr_param, max_psnr_fluctuate, 44) AT(hi_venc_h265_qvbr_param, min_psnr_fluctuate, 48) \
    SIZE(hi_venc_h265_cvbr_param, 52) AT(hi_venc_h265_cvbr_param, max_i_proportion, 0) \
        AT(hi_venc_h265_cvbr_param, min_i_proportion, 4) AT(hi_venc_h265_cvbr_param, max_reencode_times, 8) \
        AT(hi_venc_h265_cvbr_param, qpmap_en, 12) AT(hi_venc_h265_cvbr_param, qpmap_mode, 16) \
        AT(hi_venc_h265_cvbr_param, max_qp, 20) AT(hi_venc_h265_cvbr_param, min_qp, 24) \
        AT(hi_venc_h265_cvbr_param, max_i_qp, 28) AT(hi_venc_h265_cvbr_param, min_i_qp, 32) \
        AT(hi_venc_h265_cvbr_param, min_qp_delta, 36) AT(hi_venc_h265_cvbr_param, max_qp_delta, 40) \
        AT(hi_venc_h265_cvbr_param, extra_bit_percent, 44) \
        AT(hi_venc_h265_cvbr_param, long_term_stats_time_unit, 48) \
    SIZE(hi_venc_scene_chg_detect, 8) AT(hi_venc_scene_chg_detect, detect_scene_chg_en, 0) \
        AT(hi_venc_scene_chg_detect, adapt_insert_idr_frame_en, 4) \
    SIZE(hi_venc_rc_param, 272) AT(hi_venc_rc_param, threshold_i, 0) AT(hi_venc_rc_param, threshold_p, 64) \
        AT(hi_venc_rc_param, threshold_b, 128) AT(hi_venc_rc_param, direction, 192) \
        AT(hi_venc_rc_param, row_qp_delta, 196) AT(hi_venc_rc_param, first_frame_start_qp, 200) \
        AT(hi_venc_rc_param, scene_chg_detect, 204) AT(hi_venc_rc_param, h264_cbr_param, 212) \
        AT(hi_venc_rc_param, h264_vbr_param, 212) AT(hi_venc_rc_param, h264_avbr_param, 212) \
        AT(hi_venc_rc_param, h264_qvbr_param, 212) AT(hi_venc_rc_param, h264_cvbr_param, 212) \
        AT(hi_venc_rc_param, h265_cbr_param, 212) AT(hi_venc_rc_param, h265_vbr_param, 212) \
        AT(hi_venc_rc_param, h265_avbr_param, 212) AT(hi_venc_rc_param, h265_qvbr_param, 212) \
        AT(hi_venc_rc_param, h265_cvbr_param, 212) \
    SIZE(hi_venc_venc_mod_param, 8) AT(hi_venc_venc_mod_param, buf_cache, 0) \
        AT(hi_venc_venc_mod_param, frame_buf_recycle, 4) \
    SIZE(hi_venc_h264_mod_param, 24) AT(hi_venc_h264_mod_param, one_stream_buf, 0) \
        AT(hi_venc_h264_mod_param, mini_buf_mode, 4) AT(hi_venc_h264_mod_param, low_power_mode, 8) \
        AT(hi_venc_h264_mod_param, vb_src, 12) AT(hi_venc_h264_mod_param, qp_hist_en, 16) \
        AT(hi_venc_h264_mod_param, max_user_data_len, 20) \
    SIZE(hi_venc_jpeg_mod_param, 16) AT(hi_venc_jpeg_mod_param, one_stream_buf, 0) \
        AT(hi_venc_jpeg_mod_param, mini_buf_mode, 4) AT(hi_venc_jpeg_mod_param, clear_stream_buf, 8) \
        AT(hi_venc_jpeg_mod_param, dering_mode, 12) \
    SIZE(hi_venc_mod_param, 28) AT(hi_venc_mod_param, mod_type, 0) AT(hi_venc_mod_param, venc_mod_param, 4) \
        AT(hi_venc_mod_param, h264_mod_param, 4) AT(hi_venc_mod_param, h265_mod_param, 4) \
        AT(hi_venc_mod_param, jpeg_mod_param, 4) \
    SIZE(hi_venc_pack_info, 12) AT(hi_venc_pack_info, pack_type, 0) AT(hi_venc_pack_info, pack_offset, 4) \
        AT(hi_venc_pack_info, pack_len, 8) \
    SIZE(hi_venc_pack, 144) AT(hi_venc_pack, phys_addr, 0) AT(hi_venc_pack, input_addr, 0) AT(hi_venc_pack, addr, 8) \
        AT(hi_venc_pack, len, 16) AT(hi_venc_pack, pts, 24) AT(hi_venc_pack, is_frame_end, 32) \
        AT(hi_venc_pack, data_type, 36) AT(hi_venc_pack, offset, 40) AT(hi_venc_pack, data_num, 44) \
        AT(hi_venc_pack, pack_info, 48) \
    SIZE(hi_venc_h264_stream_info, 44) AT(hi_venc_h264_stream_info, pic_bytes, 0) \
        AT(hi_venc_h264_stream_info, inter16x16_mb_num, 4) AT(hi_venc_h264_stream_info, inter8x8_mb_num, 8) \
        AT(hi_venc_h264_stream_info, intra16_mb_num, 12) AT(hi_venc_h264_stream_info, intra8_mb_num, 16) \
        AT(hi_venc_h264_stream_info, intra4_mb_num, 20) AT(hi_venc_h264_stream_info, ref_type, 24) \
        AT(hi_venc_h264_stream_info, update_attr_cnt, 28) AT(hi_venc_h264_stream_info, start_qp, 32) \
        AT(hi_venc_h264_stream_info, mean_qp, 36) AT(hi_venc_h264_stream_info, is_p_skip, 40) \
    SIZE(hi_venc_h265_stream_info, 56) AT(hi_venc_h265_stream_info, pic_bytes, 0) \
        AT(hi_venc_h265_stream_info, inter64x64_cu_num, 4) AT(hi_venc_h265_stream_info, inter32x32_cu_num, 8) \
        AT(hi_venc_h265_stream_info, inter16x16_cu_num, 12) AT(hi_venc_h265_stream_info, inter8x8_cu_num, 16) \
        AT(hi_venc_h265_stream_info, intra32x32_cu_num, 20) AT(hi_venc_h265_stream_info, intra16x16_cu_num, 24) \
        AT(hi_venc_h265_stream_info, intra8x8_cu_num, 28) AT(hi_venc_h265_stream_info, intra4x4_cu_num, 32) \
        AT(hi_venc_h265_stream_info, ref_type, 36) AT(hi_venc_h265_stream_info, update_attr_cnt, 40) \
        AT(hi_venc_h265_stream_info, start_qp, 44) AT(hi_venc_h265_stream_info, mean_qp, 48) \
        AT(hi_venc_h265_stream_info, is_p_skip, 52) \
    SIZE(hi_venc_sse_info, 16) AT(hi_venc_sse_info, enable, 0) AT(hi_venc_sse_info, sse_val, 8) \
    SIZE(hi_venc_h264_adv_stream_info, 384) AT(hi_venc_h264_adv_stream_info, residual_bits, 0) \
        AT(hi_venc_h264_adv_stream_info, head_bits, 4) AT(hi_venc_h264_adv_stream_info, madi_val, 8) \
        AT(hi_venc_h264_adv_stream_info, madp_val, 12) AT(hi_venc_h264_adv_stream_info, psnr_val, 16) \
        AT(hi_venc_h264_adv_stream_info, sse_lcu_cnt, 24) AT(hi_venc_h264_adv_stream_info, sse_sum, 32) \
        AT(hi_venc_h264_adv_stream_info, sse_info, 40) AT(hi_venc_h264_adv_stream_info, qp_hist, 168) \
        AT(hi_venc_h264_adv_stream_info, move_scene16x16_num, 376) \
        AT(hi_venc_h264_adv_stream_info, move_scene_bits, 380) \
    SIZE(hi_venc_stream, 456) AT(hi_venc_stream, pack, 0) AT(hi_venc_stream, pack_cnt, 8) \
        AT(hi_venc_stream, seq, 12) AT(hi_venc_stream, h264_info, 16) AT(hi_venc_stream, h265_info, 16) \
        AT(hi_venc_stream, h264_adv_info, 72) AT(hi_venc_stream, h265_adv_info, 72) \
    SIZE(hi_venc_stream_info, 64) AT(hi_venc_stream_info, ref_type, 0) AT(hi_venc_stream_info, pic_bytes, 4) \
        AT(hi_venc_stream_info, pic_cnt, 8) AT(hi_venc_stream_info, start_qp, 12) \
        AT(hi_venc_stream_info, mean_qp, 16) AT(hi_venc_stream_info, is_p_skip, 20) \
        AT(hi_venc_stream_info, residual_bits, 24) AT(hi_venc_stream_info, head_bits, 28) \
        AT(hi_venc_stream_info, madi_val, 32) AT(hi_venc_stream_info, madp_val, 36) \
        AT(hi_venc_stream_info, sse_sum, 40) AT(hi_venc_stream_info, sse_lcu_cnt, 48) \
        AT(hi_venc_stream_info, psnr_val, 56) \
    SIZE(hi_venc_chn_status, 104) AT(hi_venc_chn_status, left_pics, 0) AT(hi_venc_chn_status, left_stream_bytes, 4) \
        AT(hi_venc_chn_status, left_stream_frames, 8) AT(hi_venc_chn_status, cur_packs, 12) \
        AT(hi_venc_chn_status, left_recv_pics, 16) AT(hi_venc_chn_status, left_enc_pics, 20) \
        AT(hi_venc_chn_status, is_jpeg_snap_end, 24) AT(hi_venc_chn_status, release_pic_pts, 32) \
        AT(hi_venc_chn_status, stream_info, 40) \
    SIZE(hi_venc_jpeg_param, 204) AT(hi_venc_jpeg_param, qfactor, 0) AT(hi_venc_jpeg_param, y_qt, 4) \
        AT(hi_venc_jpeg_param, cb_qt, 68) AT(hi_venc_jpeg_param, cr_qt, 132) \
        AT(hi_venc_jpeg_param, mcu_per_ecs, 196) AT(hi_venc_jpeg_param, ecs_output_en, 200) \
    SIZE(hi_venc_huffman_dc_table, 28) AT(hi_venc_huffman_dc_table, dc_bits, 0) \
        AT(hi_venc_huffman_dc_table, dc_value, 16) \
    SIZE(hi_venc_huffman_ac_table, 178) AT(hi_venc_huffman_ac_table, ac_bits, 0) \
        AT(hi_venc_huffman_ac_table, ac_value, 16) \
    SIZE(hi_venc_jpeg_huffman_param, 628) AT(hi_venc_jpeg_huffman_param, dc_tables, 0) \
        AT(hi_venc_jpeg_huffman_param, ac_tables, 84) AT(hi_venc_jpeg_huffman_param, reserved, 620)

#define HIMPI_DOCUMENTED_LAYOUT(SIZE, AT) \
    SIZE(hi_venc_vui_aspect_ratio, 8) AT(hi_venc_vui_aspect_ratio, sar_width, 4) AT(hi_venc_vui_aspect_ratio, sar_height, 6) \
    SIZE(hi_venc_vui_video_signal, 7) AT(hi_venc_vui_video_signal, video_full_range_flag, 2) \
    SIZE(hi_venc_vui_h264_time_info, 12) AT(hi_venc_vui_h264_time_info, num_units_in_tick, 4) \
    AT(hi_venc_vui_h264_time_info, time_scale, 8) \
    SIZE(hi_venc_vui_h265_time_info, 16) AT(hi_venc_vui_h265_time_info, num_units_in_tick, 4) \
    AT(hi_venc_vui_h265_time_info, time_scale, 8) AT(hi_venc_vui_h265_time_info, num_ticks_poc_diff_one_minus1, 12) \
    AT(hi_venc_h264_vui, vui_time_info, 8) AT(hi_venc_h264_vui, vui_video_signal, 20) \
    AT(hi_venc_h264_vui, vui_bitstream_restric, 27) AT(hi_venc_h264_vui, unknown_tail, 28) \
    AT(hi_venc_h265_vui, vui_time_info, 8) AT(hi_venc_h265_vui, vui_video_signal, 24) \
    AT(hi_venc_h265_vui, vui_bitstream_restric, 31) AT(hi_venc_h265_vui, unknown_tail, 32) \
    SIZE(hi_venc_roi_attr, 32) AT(hi_venc_roi_attr, enable, 4) AT(hi_venc_roi_attr, is_abs_qp, 8) \
    AT(hi_venc_roi_attr, qp, 12) AT(hi_venc_roi_attr, rect, 16) \
    SIZE(hi_venc_intra_refresh, 16) AT(hi_venc_intra_refresh, refresh_num, 8) AT(hi_venc_intra_refresh, req_i_qp, 12) \
    AT(hi_venc_ref_param, enhance, 4) AT(hi_venc_ref_param, pred_en, 8) AT(hi_venc_ref_param, unknown_tail, 12) \
    SIZE(hi_user_rc_info, 40) AT(hi_user_rc_info, blk_start_qp, 8) AT(hi_user_rc_info, qp_map_phy_addr, 16) \
    AT(hi_user_rc_info, skip_weight_phy_addr, 24) AT(hi_user_rc_info, frame_type, 32) \
    SIZE(hi_user_roi_map, 16) AT(hi_user_roi_map, phy_addr, 8) \
    AT(hi_user_frame_info, user_rc_info, 328) AT(hi_user_frame_info, user_roi_map, 368) \
    AT(hi_user_frame_info, unknown_tail, 384) \
    AT(hi_venc_slice_split, unknown_tail, 16) AT(hi_venc_cu_prediction, unknown_tail, 36) \
    AT(hi_venc_streamcopy_param, unknown_tail, 8)

/* clang-format on */
#define HIMPI_SIZE(type, bytes)    HIMPI_ASSERT(sizeof(type) == (bytes), "size of " #type);
#define HIMPI_AT(type, member, at) HIMPI_ASSERT(offsetof(type, member) == (at), "offset of " #type "." #member);
HIMPI_LAYOUT(HIMPI_SIZE, HIMPI_AT)
HIMPI_DOCUMENTED_LAYOUT(HIMPI_SIZE, HIMPI_AT)
#undef HIMPI_SIZE
#undef HIMPI_AT

#endif /* ASCEND_VENC_HIMPI_LAYOUT_H */
