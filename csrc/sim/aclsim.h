// SPDX-License-Identifier: Apache-2.0
/*
 * aclsim.h - the simulated device's own control interface, beside the AscendCL functions that it exports.
 *
 * For tests and tools. Every function may be called from any thread and at any time, unless it says otherwise.
 */
#ifndef ASCEND_VENC_ACLSIM_H
#define ASCEND_VENC_ACLSIM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef ACLSIM_API
#define ACLSIM_API
#endif

/*
 * Be another chip: the name of a profile, e.g. "Ascend310B4"; NULL for $ASCEND_VENC_SIM_SOC or the default,
 * Ascend310P3. 0, or -1 if there is no such profile or another one is in use (a context or memory is alive).
 */
ACLSIM_API int aclsim_set_soc(const char *soc_name);

/* Use this libavcodec instead of searching one. $ASCEND_VENC_SIM_AVCODEC beats it. Returns 0. */
ACLSIM_API int aclsim_set_codec(const char *path);

/* X(name, index): kinds of object that a program makes. */
#define ACLSIM_LIVE_KINDS(X)                                                                                           \
    X(CONTEXT, 0)                                                                                                      \
    X(STREAM, 1)                                                                                                       \
    X(EVENT, 2)                                                                                                        \
    X(DEVICE_MEMORY, 3)                                                                                                \
    X(HOST_MEMORY, 4)                                                                                                  \
    X(PIC_DESC, 5)                                                                                                     \
    X(STREAM_DESC, 6)                                                                                                  \
    X(FRAME_CONFIG, 7)                                                                                                 \
    X(CHANNEL_DESC, 8)                                                                                                 \
    X(CHANNEL, 9)                                                                                                      \
    X(SUBSCRIPTION, 10)                                                                                                \
    X(BATCH_PIC_DESC, 11)

#define ACLSIM_ENUM_KIND(name, index) ACLSIM_##name = (index),
enum { ACLSIM_LIVE_KINDS(ACLSIM_ENUM_KIND) ACLSIM_KIND_COUNT };
#undef ACLSIM_ENUM_KIND

/* Objects of that kind that are alive; what the library itself owns is not counted. -1 for an unknown kind. */
ACLSIM_API int64_t aclsim_live(int kind);
ACLSIM_API const char *aclsim_live_name(int kind); /* NULL for an unknown kind */

#ifdef __cplusplus
}
#endif

#endif /* ASCEND_VENC_ACLSIM_H */
