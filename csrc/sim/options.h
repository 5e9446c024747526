// SPDX-License-Identifier: Apache-2.0
/* options.h - the options of aclsim.h: X(name, initial value, least, most). control.c has them. */
#ifndef ASCEND_VENC_SIM_OPTIONS_H
#define ASCEND_VENC_SIM_OPTIONS_H

#include "himpi.h"

#include <stdatomic.h>
#include <stdint.h>

#define SIM_OPTIONS(X)                                                                                                 \
    X(encode_time_us, 0, 0, 3600000000)                                                                                \
    X(send_time_us, 0, 0, 3600000000)                                                                                  \
    X(callback_delay_us, 0, 0, 3600000000)                                                                             \
    X(input_slots, 64, 1, 1024)                                                                                        \
    X(output_slots, 2, 1, 64)                                                                                          \
    X(null_codec, 0, 0, 1 << 30)                                                                                       \
    X(watermark, 0, 0, 1)                                                                                              \
    X(stall, 0, 0, 1)                                                                                                  \
    X(wait_limit_ms, 20000, 0, 86400000)                                                                               \
    X(memory_limit, 0, 0, UINT64_MAX)                                                                                  \
    X(stream_limit, 0, 0, UINT32_MAX)                                                                                  \
    X(channel_limit, 0, 0, UINT32_MAX)                                                                                 \
    X(v2_input_slots, 6, 1, 1024)                                                                                      \
    X(v2_second_frame, 0, 0, 3)                                                                                        \
    X(v2_get_timeout, HI_ERR_ID_TIMEOUT, 1, 63)                                                                        \
    X(v2_send_timeout, HI_ERR_VENC_NO_BUF & 63, 1, 63)                                                                 \
    X(v2_change_delay, 0, 0, 1000)                                                                                     \
    X(v2_change_idle, 0, 0, 1)                                                                                         \
    X(v2_early_settings, 0, 0, 1)                                                                                      \
    X(v2_stop_drops, 0, 0, 1)                                                                                          \
    X(v2_own_memory, 0, 0, 1)                                                                                          \
    X(v2_shared_ids, 0, 0, 1)                                                                                          \
    X(v2_pack_offset, 0, 0, 4096)                                                                                      \
    X(v2_failed_part, 0, 0, 1)                                                                                         \
    X(v2_null_rate, 0, 0, 1)                                                                                           \
    X(v2_no_statistics, 0, 0, 1)                                                                                       \
    X(wait_unsubscribed, 0, 0, 1)                                                                                      \
    X(reuse_handles, 0, 0, 1)                                                                                          \
    X(quiet, 0, 0, 1)

typedef struct sim_options {
#define X(name, initial, min, max) _Atomic uint64_t name;
    SIM_OPTIONS(X)
#undef X
} sim_options;
extern sim_options sim_option;

#endif /* ASCEND_VENC_SIM_OPTIONS_H */
