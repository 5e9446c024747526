// SPDX-License-Identifier: Apache-2.0
/*
 * A port: everything that is peculiar to one hardware interface of the vendor's, behind one small table. The engine
 * reaches the hardware through it only. ports/dvpp_v1.c is AscendCL's aclvenc*; the tests have another, which loops
 * pictures back. ports/dvpp_v2.c is hi_mpi_venc_*.
 *
 * Towards the port: the functions below. They return 0, or a code that goes to the caller unchanged, with the reason
 * recorded by avi_fail. Each may block for ever: the engine calls them without a lock, and open, close, create,
 * destroy and the allocations on threads of its own only. Ending calls are made once for each object, whatever they
 * return.
 *
 * From the port, on threads of its own: avi_device_opened and avi_device_ended, once each; avi_device_lost;
 * avi_report for each finished frame, by its number, and avi_report_batch when nothing more comes at once
 * (engine/device.h).
 */
#ifndef ASCEND_VENC_PORTS_PORT_H
#define ASCEND_VENC_PORTS_PORT_H

#include <stdbool.h>

#include "avenc.h"

/* What a thread's current context was before avi_port.bind. */
typedef struct avi_binding {
    void *restore; /* NULL: nothing to put back */
} avi_binding;

/* Where a picture lies in device memory: luma, then chroma at data + stride * height_stride. */
typedef struct avi_placement {
    void *data;
    uint32_t stride, height_stride;
} avi_placement;

typedef struct avi_port {
    const char *name;
    const char *send_call;   /* the vendor's name of `send`, for messages */
    const char *report_call; /* and of what brings the reports */
    const char *change_call; /* and of what `change` calls */
    uint32_t most_in_device; /* frames that a channel of the device takes at most; 0: as many as `depth` */

    /* Begin to open or to end device->port_data; *device is the engine's, with library and info.device_id filled in. */
    int (*open)(avenc_device *device);
    void (*close)(avenc_device *device);

    /* Let the calling thread talk to the device, and put back what was there. */
    int (*bind)(avenc_device *device, avi_binding *binding);
    void (*unbind)(avenc_device *device, avi_binding *binding);

    /* Bound: memory that the device reads, and memory of the host that it copies from fast. */
    int (*alloc)(avenc_device *device, size_t size, void **memory);
    void (*free)(avenc_device *device, void *memory);
    int (*alloc_host)(avenc_device *device, size_t size, void **memory);
    void (*free_host)(avenc_device *device, void *memory);
    int (*upload)(avenc_device *device, void *to, size_t room, const void *from, size_t size);
    int (*copy)(avenc_device *device, void *to, const void *from, size_t size); /* device to device */

    /* Not bound: wait for a stream of the calling thread's own context. */
    int (*wait_stream)(avenc_device *device, aclrtStream stream);

    /* Bound: a hardware channel; `number` is the engine's name for it. destroy makes it free, also when it fails. */
    int (*create)(avenc_device *device, const avenc_channel_config *config, void **channel);
    int (*destroy)(avenc_device *device, void *channel);

    /*
     * Whether `change` is there to be called; both NULL: each change of settings needs another channel. Bound, and the
     * channel has no frame: give it the settings of `config` that can change while it lives (avenc_channel_change). Where
     * that fails *whole says whether it has the old ones all the same, or again.
     */
    bool (*changes)(const avenc_device *device);
    int (*change)(avenc_device *device, void *channel, const avenc_channel_config *config, bool *whole);

    /* Bound: what describes a picture to the device; place says where it lies. */
    int (*create_picture)(avenc_device *device, const avenc_channel_config *config, void **picture);
    int (*place_picture)(avenc_device *device, void *picture, const avi_placement *placement);
    void (*free_picture)(avenc_device *device, void *picture);

    /*
     * Bound: hand a picture over. It is reported under `number`, perhaps before this returns, and perhaps even
     * where it fails; *gone: it failed before the device can have seen the picture. AVENC_E_AGAIN, with *gone: not
     * before a frame that the channel has in the device is reported.
     */
    int (*send)(avenc_device *device, void *channel, void *picture, bool idr, uint64_t number, bool *gone);
} avi_port;

/* What a device tells of a picture besides its access unit. */
typedef struct avi_told {
    int32_t kind;          /* AVENC_KIND_* */
    int32_t mean_qp;       /* -1: it does not */
    uint64_t picture_bits; /* 0: it does not */
} avi_told;

/* A finished access unit, valid until avi_report returns. */
typedef struct avi_output {
    const void *data;     /* NULL: none */
    size_t size;          /* bytes */
    uint32_t ret_code;    /* the device's code for this frame; 0: encoded */
    const avi_told *told; /* NULL: nothing */
    /* How to bring it into host memory; NULL: memcpy. */
    int (*fetch)(avenc_device *device, void *to, size_t room, const void *from, size_t size);
} avi_output;

#endif
