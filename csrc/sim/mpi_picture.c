// SPDX-License-Identifier: Apache-2.0
/* The picture of a V2 frame: what the structure may say, whose memory it is, whether the program leaves it alone. */
#include "mpi.h"

enum { STRIDE_STEP = 16 };

static hi_s32 check_fields(const char *function, const sim_mpi_channel *ch, const hi_video_frame *f) {
    const hi_venc_attr *attr = &ch->settings.attr.venc_attr;
    if (f->width != attr->pic_width || f->height != attr->pic_height) /* documented */
        return sim_fail_at(function, HI_ERR_VENC_ILLEGAL_PARAM, "the picture is %u x %u, the channel %u x %u", f->width,
                           f->height, attr->pic_width, attr->pic_height);
    if (f->pixel_format != HI_PIXEL_FORMAT_YUV_SEMIPLANAR_420 &&
        f->pixel_format != HI_PIXEL_FORMAT_YVU_SEMIPLANAR_420) /* documented */
        return sim_fail_at(function, HI_ERR_VENC_NOT_SUPPORT, "pixel_format %d err, should be 1 (NV12) or 2 (NV21)",
                           f->pixel_format);
    if (f->compress_mode != HI_COMPRESS_MODE_NONE)
        return sim_mpi_stray(function, HI_ERR_VENC_NOT_SUPPORT, "compress_mode", f->compress_mode, "0");
    if (f->video_format != HI_VIDEO_FORMAT_LINEAR)
        return sim_mpi_stray(function, HI_ERR_VENC_NOT_SUPPORT, "video_format", f->video_format, "0 (linear)");
    if (f->dynamic_range != HI_DYNAMIC_RANGE_SDR8)
        return sim_mpi_stray(function, HI_ERR_VENC_NOT_SUPPORT, "dynamic_range", f->dynamic_range, "0 (8 bits)");
    if (f->field != 0 && f->field != HI_VIDEO_FIELD_FRAME) /* guessed: programs that leave it 0 work */
        return sim_mpi_stray(function, HI_ERR_VENC_ILLEGAL_PARAM, "field", f->field, "4 (frame)");
    if (f->color_gamut < HI_COLOR_GAMUT_BT601 || f->color_gamut > HI_COLOR_GAMUT_BT2020 + 1)
        return sim_mpi_stray(function, HI_ERR_VENC_ILLEGAL_PARAM, "color_gamut", f->color_gamut, "in [0, 3]");
    if (f->width_stride[0] < f->width || f->width_stride[0] % STRIDE_STEP != 0) /* documented */
        return sim_fail_at(function, HI_ERR_VENC_ILLEGAL_PARAM, "width_stride %u err, should be the width %u up to %d",
                           f->width_stride[0], f->width, STRIDE_STEP);
    if (f->time_ref % 2 != 0) /* observed: a comment in the vendor's sample says so */
        return sim_fail_at(function, HI_ERR_VENC_ILLEGAL_PARAM, "time_ref %u err, should be even", f->time_ref);
    if (f->virt_addr[0] == NULL)
        return sim_fail_at(function, HI_ERR_VENC_NULL_PTR, "virt_addr[0] must not be NULL");
    return HI_SUCCESS;
}

/* Observed on a 310P, once: a second frame failed while these were 0; which of them it was is not known. */
static hi_s32 check_second(const char *function, const sim_mpi_channel *ch, const hi_video_frame_info *frame) {
    enum { TIME_REF = 1, PTS = 2, POOL_ID = 3 };
    uint64_t which = atomic_load(&sim_option.v2_second_frame);
    bool zero = (which == TIME_REF && frame->v_frame.time_ref == 0) || (which == PTS && frame->v_frame.pts == 0) ||
                (which == POOL_ID && frame->pool_id == 0);
    if (ch->sent == 0 || !zero)
        return HI_SUCCESS;
    return sim_fail_at(function, HI_ERR_VENC_ILLEGAL_PARAM, "%s is 0 in a frame that is not the first",
                       which == TIME_REF ? "time_ref"
                       : which == PTS    ? "pts"
                                         : "pool_id");
}

static hi_s32 bad_address(const char *function, const void *data, const char *what) {
    if (sim_is_strict())
        sim_report_at("foreign-memory", function, "copy pictures into memory of hi_mpi_dvpp_malloc or aclrtMalloc",
                      "the picture at %p %s", data, what);
    return sim_fail_at(function, HI_ERR_VENC_BAD_ADDR, "the picture at %p %s", data, what);
}

hi_s32 sim_mpi_picture_take(const char *function, const sim_mpi_channel *ch, const hi_video_frame_info *frame,
                            sim_mpi_picture *picture) {
    const hi_video_frame *f = &frame->v_frame;
    hi_s32 rc = check_fields(function, ch, f);
    if (rc == HI_SUCCESS)
        rc = check_second(function, ch, frame);
    if (rc != HI_SUCCESS)
        return rc;
    const uint8_t *data = f->virt_addr[0];
    size_t stride = f->width_stride[0], luma = stride * (f->height - 1) + f->width;
    /* Observed: the chroma plane follows in all programs. Guessed: where the structure has another place, that counts. */
    size_t chroma = f->virt_addr[1] != NULL ? (size_t)((const uint8_t *)f->virt_addr[1] - data) : stride * f->height;
    size_t rest = stride * (f->height / 2 - 1) + f->width;
    sim_memory *memory = sim_memory_at(data);
    if (memory == NULL || memory->kind != SIM_DEVICE_MEMORY || memory->output) {
        sim_memory_release(memory);
        return bad_address(function, data, "is not in device memory"); /* documented */
    }
    bool alien = atomic_load(&sim_option.v2_own_memory) != 0 && memory->allocator != SIM_BY_MPI;
    size_t room = sim_memory_rest(memory, data);
    if (memory->device != ch->device || alien || luma > room || chroma > room || room - chroma < rest) {
        rc = bad_address(function, data,
                         memory->device != ch->device ? "is in memory of another device"
                         : alien                      ? "is not in memory of hi_mpi_dvpp_malloc"
                                                      : "goes beyond its allocation");
        sim_memory_release(memory);
        return rc;
    }
    const uint8_t *readable = memory->data + ((uintptr_t)data - memory->address);
    *picture = (sim_mpi_picture){
        .y = readable,
        .uv = readable + chroma,
        .width = f->width,
        .height = f->height,
        .stride = stride,
        .format = f->pixel_format,
        .memory = memory,
        .bytes = chroma + rest > luma ? chroma + rest : luma,
        .watched = sim_is_strict(),
    };
    if (picture->watched) {
        sim_memory_report_unwaited_picture(function, memory, readable, picture->bytes);
        picture->sum = sim_memory_sum(readable, picture->bytes);
        sim_reading_begin(readable, picture->bytes);
    }
    return HI_SUCCESS;
}

void sim_mpi_picture_release(sim_mpi_picture *picture, uint32_t seq, bool got) {
    if (picture->y == NULL)
        return;
    if (got && picture->watched && sim_is_strict() && sim_memory_sum(picture->y, picture->bytes) != picture->sum)
        sim_report_at("input-modified", "hi_mpi_venc_get_stream",
                      "leave a picture's memory alone until hi_mpi_venc_get_stream has returned its packet",
                      "the picture of frame %u changed between its send and its packet", seq);
    if (picture->watched)
        sim_reading_end(picture->y, picture->bytes);
    picture->y = picture->uv = NULL;
    sim_memory_release(picture->memory);
    picture->memory = NULL;
}
