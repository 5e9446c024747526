// SPDX-License-Identifier: Apache-2.0
#include "engine/slot.h"
#include "base/status.h"
#include "engine/device.h"

#include <stdlib.h>
#include <string.h>

/* ---- memory ------------------------------------------------------------------------------------ */

int avi_slots_create(avi_slots *slots, avenc_device *device, const avenc_channel_config *config, uint32_t capacity,
                     avenc_channel *channel) {
    slots->device = device;
    slots->port = device->port;
    slots->host_writes_memory = device->info.run_mode == ACL_DEVICE;
    slots->config = config;
    slots->stride = (config->width + 15) & ~15u;
    slots->picture_size = (size_t)slots->stride * config->height * 3 / 2;
    slots->all = calloc(capacity, sizeof *slots->all);
    if (!slots->all)
        return avi_fail(AVENC_E_NOMEM, NULL, "out of memory");
    slots->capacity = capacity;
    for (uint32_t i = 0; i < capacity; i++) {
        slots->all[i].channel = channel;
        slots->all[i].index = i;
    }
    return AVENC_OK;
}

static int place_own(avi_slots *slots, avi_slot *slot) {
    if (!slot->foreign)
        return AVENC_OK;
    avi_placement own = {slot->memory, slots->stride, slots->config->height};
    int rc = slots->port->place_picture(slots->device, slot->picture, &own);
    slot->foreign = rc != AVENC_OK;
    return rc;
}

/* What a call that fails leaves in *memory is nobody's. */
static int allocate(const avi_slots *slots, int (*call)(avenc_device *, size_t, void **), void **memory) {
    void *got = NULL;
    int rc = call(slots->device, slots->picture_size, &got);
    *memory = rc == AVENC_OK ? got : NULL;
    return rc;
}

int avi_slot_make(avi_slots *slots, avi_slot *slot, bool staging) {
    const avi_port *port = slots->port;
    int rc = AVENC_OK;
    if (!slot->memory) { /* without it there is nothing else */
        rc = allocate(slots, port->alloc, &slot->memory);
        if (slot->memory)
            avi_live_add(AVENC_LIVE_SLOT, 1);
    }
    if (rc == AVENC_OK && !slot->picture) {
        rc = port->create_picture(slots->device, slots->config, &slot->picture);
        slot->foreign = true; /* it names no memory yet */
    }
    if (rc == AVENC_OK)
        rc = place_own(slots, slot);
    if (rc == AVENC_OK && staging && !slot->staging && !slots->host_writes_memory) {
        rc = allocate(slots, port->alloc_host, &slot->staging);
        if (rc == AVENC_OK &&
            slots->stride != slots->config->width) /* the padding of each row goes to the device too */
            memset(slot->staging, 0, slots->picture_size);
    }
    return rc;
}

void avi_slot_unmake(avi_slots *slots, avi_slot *slot) {
    const avi_port *port = slots->port;
    if (slot->picture)
        port->free_picture(slots->device, slot->picture);
    if (slot->memory) {
        port->free(slots->device, slot->memory);
        avi_live_add(AVENC_LIVE_SLOT, -1);
    }
    if (slot->staging)
        port->free_host(slots->device, slot->staging);
    slot->picture = slot->memory = slot->staging = NULL;
}

avi_slot *avi_slots_pop(avi_slots *slots, bool staging) {
    avi_slot **link = &slots->free;
    while (*link && staging && !slots->host_writes_memory && !(*link)->staging)
        link = &(*link)->next;
    avi_slot *slot = *link;
    if (slot) {
        *link = slot->next;
        slot->next = NULL;
    }
    return slot;
}

/* ---- pixels ------------------------------------------------------------------------------------ */

static void copy_rows(uint8_t *to, size_t to_stride, const uint8_t *from, size_t from_stride, size_t width,
                      size_t rows) {
    if (to_stride == width && from_stride == width) {
        memcpy(to, from, width * rows);
        return;
    }
    for (size_t row = 0; row < rows; row++)
        memcpy(to + row * to_stride, from + row * from_stride, width);
}

void avi_slot_stage(avi_slots *slots, avi_slot *slot) {
    const avenc_picture *picture = &slot->source;
    uint8_t *to = slots->host_writes_memory ? slot->memory : slot->staging;
    size_t width = slots->config->width, height = slots->config->height, stride = slots->stride;
    copy_rows(to, stride, picture->y, picture->y_stride, width, height);
    copy_rows(to + stride * height, stride, picture->uv, picture->uv_stride, width, height / 2);
    slot->copies.host++;
    slot->copies.bytes += width * height * 3 / 2;
    slot->pixels = slots->host_writes_memory ? AVI_IN_MEMORY : AVI_IN_STAGING;
}

static int upload(avi_slots *slots, avi_slot *slot, size_t offset, const void *from, size_t size) {
    int rc =
        slots->port->upload(slots->device, (uint8_t *)slot->memory + offset, slots->picture_size - offset, from, size);
    if (rc == AVENC_OK)
        slot->copies.bytes += size;
    return rc;
}

/* Planes whose rows lie as the device wants them. */
static int upload_planes(avi_slots *slots, avi_slot *slot) {
    const avenc_picture *picture = &slot->source;
    size_t luma = (size_t)slots->stride * slots->config->height;
    if (picture->uv == picture->y + luma)
        return upload(slots, slot, 0, picture->y, luma * 3 / 2);
    int rc = upload(slots, slot, 0, picture->y, luma);
    return rc ? rc : upload(slots, slot, luma, picture->uv, luma / 2);
}

/*
 * On a board device memory is host memory: one copy straight into it. On a host one DMA per plane where the rows
 * already lie as the device wants them, else one copy into pinned memory that pads the rows, and one DMA.
 */
int avi_slot_prepare(avi_slots *slots, avi_slot *slot) {
    if (slot->pixels == AVI_IN_PLACE)
        return AVENC_OK;
    int rc = place_own(slots, slot);
    if (rc != AVENC_OK)
        return rc;
    if (slot->pixels == AVI_IN_CALLER && (slots->host_writes_memory || avi_slot_wants_staging(slots, &slot->source)))
        avi_slot_stage(slots, slot);
    if (slot->pixels == AVI_IN_MEMORY)
        return AVENC_OK;
    slot->copies.device++;
    rc = slot->pixels == AVI_IN_STAGING ? upload(slots, slot, 0, slot->staging, slots->picture_size)
                                        : upload_planes(slots, slot);
    if (rc == AVENC_OK)
        slot->pixels = AVI_IN_MEMORY;
    return rc;
}

/*
 * What the hardware can read in place. Documented: chroma begins behind the picture's own rows, whatever the height
 * stride says; the 310 refuses a picture of twice the bytes that it needs.
 */
static bool readable_as_it_is(const avi_slots *slots, const avenc_device_picture *picture) {
    return picture->stride % 16 == 0 && (uintptr_t)picture->data % 16 == 0 && picture->stride >= slots->stride &&
           picture->stride < 2 * slots->config->width && picture->height_stride == slots->config->height;
}

/* Copy on the device, row by row: AscendCL has no copy with pitches. */
static int copy_on_device(avi_slots *slots, avi_slot *slot, const avenc_device_picture *picture) {
    size_t width = slots->config->width, height = slots->config->height, stride = slots->stride;
    const uint8_t *from = picture->data, *chroma = from + (size_t)picture->stride * picture->height_stride;
    for (size_t row = 0; row < height * 3 / 2; row++) {
        const uint8_t *line = row < height ? from + row * picture->stride : chroma + (row - height) * picture->stride;
        int rc = slots->port->copy(slots->device, (uint8_t *)slot->memory + row * stride, line, width);
        if (rc != AVENC_OK)
            return rc;
    }
    slot->copies.device++;
    slot->copies.bytes += width * height * 3 / 2;
    return AVENC_OK;
}

int avi_slot_place(avi_slots *slots, avi_slot *slot, const avenc_device_picture *picture) {
    if (!readable_as_it_is(slots, picture)) {
        slot->pixels = AVI_IN_MEMORY;
        int rc = place_own(slots, slot);
        return rc ? rc : copy_on_device(slots, slot, picture);
    }
    slot->pixels = AVI_IN_PLACE;
    slot->foreign = true;
    avi_placement placement = {picture->data, picture->stride, picture->height_stride};
    return slots->port->place_picture(slots->device, slot->picture, &placement);
}
