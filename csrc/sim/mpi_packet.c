// SPDX-License-Identifier: Apache-2.0
/* An access unit as packs in the stream buffer. */
#include "mpi.h"

#include <string.h>

/* ---- lists ------------------------------------------------------------------------------------------------ */

void sim_frame_push(sim_frame_list *list, sim_mpi_frame *frame) {
    frame->next = NULL;
    if (list->tail != NULL)
        list->tail->next = frame;
    else
        list->head = frame;
    list->tail = frame;
    list->count++;
}

sim_mpi_frame *sim_frame_pop(sim_frame_list *list) {
    sim_mpi_frame *frame = list->head;
    if (frame == NULL)
        return NULL;
    list->head = frame->next;
    if (list->head == NULL)
        list->tail = NULL;
    list->count--;
    frame->next = NULL;
    return frame;
}

/* ---- NAL units --------------------------------------------------------------------------------------------- */

/* Where the next start code begins, with the zero byte before it if there is one; `size` if there is none. */
static size_t next_start(const uint8_t *data, size_t size, size_t at) {
    for (at += 2; at < size; at++) {
        const uint8_t *one = memchr(data + at, 1, size - at); /* fewer than zeros, and fast to find */
        if (one == NULL)
            break;
        at = (size_t)(one - data);
        if (one[-1] == 0 && one[-2] == 0)
            return at > 2 && one[-3] == 0 ? at - 3 : at - 2;
    }
    return size;
}

static int32_t h264_type(unsigned nal) {
    return nal == 5                           ? HI_VENC_H264_NALU_IDR_SLICE
           : nal == 6 || nal == 7 || nal == 8 ? (int32_t)nal
                                              : HI_VENC_H264_NALU_P_SLICE;
}

static int32_t h265_type(unsigned nal) {
    enum { FIRST_IRAP = 16, LAST_IRAP = 21 };
    return nal >= FIRST_IRAP && nal <= LAST_IRAP ? HI_VENC_H265_NALU_IDR_SLICE
           : nal >= HI_VENC_H265_NALU_VPS        ? (int32_t)nal
                                                 : HI_VENC_H265_NALU_P_SLICE;
}

void sim_mpi_split(sim_mpi_frame *frame, const uint8_t *data, size_t size, bool h265) {
    frame->part_count = 0;
    for (size_t at = 0; at < size;) {
        size_t code = at;
        while (code + 3 < size && data[code] == 0)
            code++;
        unsigned first = code + 1 < size ? data[code + 1] : 0;
        size_t end = next_start(data, size, code + 1);
        bool last = frame->part_count == HI_VENC_MAX_PACK_INFO_NUM - 1; /* it takes what is left */
        if (last)
            end = size;
        frame->parts[frame->part_count++] = (sim_mpi_part){
            .type = h265 ? h265_type(first >> 1 & 63) : h264_type(first & 31),
            .offset = (uint32_t)at,
            .size = (uint32_t)(end - at),
        };
        at = end;
    }
}

/* ---- packs ---------------------------------------------------------------------------------------------------- */

unsigned sim_mpi_pack_count(const sim_mpi_channel *ch, const sim_mpi_frame *frame) {
    return frame->failed || ch->one_pack || frame->part_count == 0 ? 1 : frame->part_count;
}

size_t sim_mpi_stored_size(const sim_mpi_channel *ch, const sim_mpi_frame *frame) {
    return frame->failed ? 0 : frame->size + (size_t)ch->pack_offset * sim_mpi_pack_count(ch, frame);
}

/* The part of the access unit that is in a pack. */
static sim_mpi_part part_of(const sim_mpi_channel *ch, const sim_mpi_frame *frame, unsigned number) {
    if (!ch->one_pack && frame->part_count != 0)
        return frame->parts[number];
    int32_t type = frame->part_count != 0 ? frame->parts[frame->part_count - 1].type : 0;
    return (sim_mpi_part){type, 0, frame->size};
}

void sim_mpi_store(const sim_mpi_channel *ch, const sim_mpi_frame *frame, const uint8_t *data, size_t real) {
    if (frame->failed)
        return;
    uint8_t *to = ch->output->data + frame->place;
    enum { STUFFING = 0x5a, LEAST_FILLER = 8 };
    for (unsigned number = 0; number < sim_mpi_pack_count(ch, frame); number++) {
        sim_mpi_part part = part_of(ch, frame, number);
        memset(to, STUFFING, ch->pack_offset);
        to += ch->pack_offset;
        size_t have = part.offset < real ? real - part.offset : 0;
        have = have < part.size ? have : part.size;
        memcpy(to, data + part.offset, have);
        size_t rest = part.size - have; /* of a frame that a fault makes larger */
        if (rest >= LEAST_FILLER)
            sim_filler(to + have, rest, ch->h265 ? H265_MAIN_LEVEL : H264_MAIN_LEVEL);
        else
            memset(to + have, 0, rest);
        to += part.size;
    }
    const sim_mpi_picture *picture = &frame->picture;
    if (ch->marked && picture->y != NULL && frame->size == real)
        sim_mark(to - SIM_MARK_SIZE, picture->y, picture->uv, picture->stride, picture->width, picture->height);
}

void sim_mpi_describe_pack(const sim_mpi_channel *ch, const sim_mpi_frame *frame, unsigned number, hi_venc_pack *pack) {
    unsigned count = sim_mpi_pack_count(ch, frame);
    *pack = (hi_venc_pack){
        .input_addr = frame->input_addr, /* documented */
        .pts = frame->pts,               /* documented: unchanged */
        .is_frame_end = number + 1 == count,
    };
    if (frame->failed) /* documented: len 0; guessed: the rest */
        return;
    size_t before = 0;
    for (unsigned i = 0; i < number; i++)
        before += ch->pack_offset + part_of(ch, frame, i).size;
    sim_mpi_part part = part_of(ch, frame, number);
    pack->addr = frame->no_address ? NULL : (hi_u8 *)(ch->output->address + frame->place + before);
    pack->len = ch->pack_offset + part.size;
    pack->offset = ch->pack_offset;
    bool silent = atomic_load(&sim_option.v2_no_statistics) != 0;
    pack->data_type.h264_type = silent ? 0 : part.type;
    if (!ch->one_pack || silent)
        return;
    /* Documented: the parts of a pack that is a whole frame. Guessed: all of them, the slice too, from `offset` on. */
    pack->data_num = frame->part_count;
    for (unsigned i = 0; i < frame->part_count; i++) {
        pack->pack_info[i].pack_type.h264_type = frame->parts[i].type;
        pack->pack_info[i].pack_offset = frame->parts[i].offset;
        pack->pack_info[i].pack_len = frame->parts[i].size;
    }
}
