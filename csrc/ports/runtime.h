// SPDX-License-Identifier: Apache-2.0
/*
 * What both of the vendor's interfaces need of AscendCL's runtime: initialising, one explicit context for each device,
 * copies, waiting for a stream. Needs base, load/library and engine/device.
 */
#ifndef ASCEND_VENC_PORTS_RUNTIME_H
#define ASCEND_VENC_PORTS_RUNTIME_H

#include "engine/device.h"

/* A device's part of it. The first member of what device->port_data points to. */
typedef struct avi_runtime {
    aclrtContext context; /* NULL: none */
    uint64_t serial;      /* of the context, of all that the engine ever made */
    struct avi_runtime *next;
} avi_runtime;

#define TRY(device, call, ...)                                                                                         \
    do {                                                                                                               \
        int rc_ = (device)->api->call(__VA_ARGS__);                                                                    \
        if (rc_ != ACL_SUCCESS)                                                                                        \
            return avi_fail_acl((device)->api, rc_, #call);                                                            \
    } while (0)

/* What the vendor's calls say of the device's health; for device->hint. */
const char *avi_runtime_hint(const avenc_device *device);

/* On the device's thread: initialise, tell chip and run mode, make a context, current on this thread. */
int avi_runtime_open(avenc_device *device);
void avi_runtime_close(avenc_device *device);

/* As port.h has them. */
int avi_runtime_bind(avenc_device *device, avi_binding *binding);
void avi_runtime_unbind(avenc_device *device, avi_binding *binding);
int avi_runtime_alloc_host(avenc_device *device, size_t size, void **memory);
void avi_runtime_free_host(avenc_device *device, void *memory);
int avi_runtime_upload(avenc_device *device, void *to, size_t room, const void *from, size_t size);
int avi_runtime_copy(avenc_device *device, void *to, const void *from, size_t size);
int avi_runtime_fetch(avenc_device *device, void *to, size_t room, const void *from, size_t size);
int avi_runtime_wait_stream(avenc_device *device, aclrtStream stream);

#endif
