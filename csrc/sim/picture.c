// SPDX-License-Identifier: Apache-2.0
/* The picture of a frame: where its planes are, whose memory it is, whether the program leaves it alone. */
#include "channel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BASE_ALIGNMENT = 16 }; /* documented, of a picture's address */

/*
 * Where the picture's planes are. Met in real programs: strides and sizes left at 0, a height stride
 * that the buffer does not have. So the width stride counts if it is set, else the channel's width up
 * to 16 (documented); the number of luma rows comes from the size, if that is one of a picture. Else (guessed: it
 * is a larger buffer's, such as one of whole pages) from the height stride, or (documented) from the channel.
 */
typedef struct geometry {
    size_t stride, rows, bytes;
} geometry;

static geometry lay_out(const sim_channel *ch, uint32_t width_stride, uint32_t height_stride, uint32_t size) {
    geometry g;
    g.stride = width_stride != 0 ? width_stride : (ch->width + 15) / 16 * 16;
    size_t from_size = (size_t)size * 2 / 3 / g.stride;
    enum { MOST_PADDING = 128, ROUNDING = 64 };
    /* acldvppMalloc adds less than that to a size, too */
    bool whole = from_size % 2 == 0 && size - g.stride * from_size * 3 / 2 < ROUNDING;
    if (whole && from_size >= ch->height && from_size < (size_t)ch->height + MOST_PADDING)
        g.rows = from_size;
    else if (height_stride >= ch->height && g.stride * height_stride * 3 / 2 <= size)
        g.rows = height_stride;
    else
        g.rows = ch->height;
    g.bytes = g.stride * g.rows + g.stride * (ch->height / 2 - 1) + ch->width;
    return g;
}

static aclError bad_picture(sim_frame *f, const char *function, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));

/* The send succeeds, the device gives the frame back with a ret_code (guessed). */
static aclError bad_picture(sim_frame *f, const char *function, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    f->ret_code = ACLSIM_RET_BAD_PICTURE;
    sim_log("%s: %s", function, text);
    if (sim_is_strict())
        sim_report_at("bad-picture", function, "set data, size and width stride of the picture descriptor", "%s", text);
    return ACL_SUCCESS;
}

/* Take hold of the picture's memory. A picture that cannot be read makes a failed frame, not a failed call. */
aclError sim_picture_take(const sim_channel *ch, const sim_pic_desc *desc, sim_frame *f, const char *function) {
    const uint8_t *data = desc->data;
    uint32_t size = desc->size;
    if (data == NULL || size == 0)
        return bad_picture(f, function, "the picture has %s", data == NULL ? "no data" : "size 0");
    geometry g = lay_out(ch, desc->width_stride, desc->height_stride, size);
    if (g.stride < ch->width)
        return bad_picture(f, function, "width stride %zu is less than the channel's width %u", g.stride, ch->width);
    if (sim_is_strict() && g.bytes > size)
        sim_report_at("bad-picture", function, "size = stride * height * 3 / 2",
                      "size %u is less than the %zu bytes of a %u x %u picture with stride %zu", size, g.bytes,
                      ch->width, ch->height, g.stride);
    if (sim_is_strict() && (uintptr_t)data % BASE_ALIGNMENT != 0)
        sim_report_at("bad-picture", function, "align the picture's address to 16 bytes", "address %p is not aligned",
                      (const void *)data);
    f->address = data;
    f->bytes = g.bytes;
    f->stride = g.stride;
    sim_memory *memory = sim_memory_at(data);
    if (memory != NULL && sim_memory_rest(memory, data) < g.bytes) {
        size_t rest = sim_memory_rest(memory, data);
        sim_memory_release(memory);
        return bad_picture(f, function, "the device would read %zu bytes at %p, where the allocation ends after %zu",
                           g.bytes, (const void *)data, rest);
    }
    const uint8_t *readable = data;
    if (memory != NULL) {
        readable = memory->data + ((uintptr_t)data - memory->address);
        f->memory = memory;
    }
    bool device_memory = memory != NULL && memory->kind == SIM_DEVICE_MEMORY;
    if (sim_is_strict() && sim_host_mode() && !device_memory)
        sim_report_at("foreign-memory", function, "copy pictures into memory of acldvppMalloc",
                      "the picture at %p is not in device memory", (const void *)data);
    if (sim_is_strict() && memory != NULL)
        sim_memory_report_unwaited_picture(function, memory, readable, g.bytes);
    if (sim_is_strict() && device_memory && memory->device != ch->device)
        sim_report_at("foreign-memory", function, "use memory of the channel's own device",
                      "the picture at %p is in memory of device %d, the channel is on device %d", (const void *)data,
                      memory->device, ch->device);
    if (memory == NULL && (ch->codec != NULL || ch->marked || sim_is_strict())) {
        /* The program may free its own memory whenever it likes: what is read now is what was sent. */
        f->copy = malloc(g.bytes);
        if (f->copy == NULL)
            return sim_fail_at(function, ACL_ERROR_BAD_ALLOC, "out of memory");
        if (!sim_read_foreign(f->copy, data, g.bytes))
            return bad_picture(f, function, "%zu bytes at %p cannot be read", g.bytes, (const void *)data);
        readable = f->copy;
    } else if (memory == NULL && sim_host_mode() && !sim_foreign_is_readable(data, g.bytes)) {
        return bad_picture(f, function, "nothing is mapped at %p", (const void *)data);
    }
    f->watched = sim_is_strict();
    if (f->watched) {
        f->place = sim_calling_place();
        f->sum = sim_memory_sum(readable, g.bytes);
        sim_reading_begin(readable, g.bytes);
    }
    f->y = readable;
    f->uv = readable + g.stride * g.rows;
    return ACL_SUCCESS;
}

static void check_untouched(const sim_frame *f) {
    bool same;
    if (f->memory != NULL) {
        same = sim_memory_sum(f->y, f->bytes) == f->sum;
    } else {
        uint8_t *now = malloc(f->bytes);
        if (now == NULL)
            return;
        if (!sim_read_foreign(now, f->address, f->bytes)) {
            sim_report_of("input-unmapped", "aclvencSendFrame", f->place, "keep a picture's memory until its callback",
                          "the picture of frame %llu at %p was unmapped before its callback",
                          (unsigned long long)f->index, f->address);
            free(now);
            return;
        }
        same = sim_memory_sum(now, f->bytes) == f->sum;
        free(now);
    }
    if (!same)
        sim_report_of("input-modified", "aclvencSendFrame", f->place,
                      "leave a picture's memory alone until its callback",
                      "the picture of frame %llu at %p changed between its send and its callback",
                      (unsigned long long)f->index, f->address);
}

/* The device is done with the picture. `arrived`: as it should be, with a callback to come. */
void sim_picture_release(sim_frame *f, bool arrived) {
    if (arrived && f->watched && sim_is_strict())
        check_untouched(f);
    if (f->watched)
        sim_reading_end(f->y, f->bytes);
    f->watched = false;
    sim_pic_desc *desc = sim_handle_get(SIM_PIC_DESC, f->picture);
    if (desc != NULL)
        atomic_fetch_sub(&desc->in_flight, 1);
    sim_memory_release(f->memory);
    f->memory = NULL;
    free(f->copy);
    f->copy = NULL;
    f->y = f->uv = NULL;
}
