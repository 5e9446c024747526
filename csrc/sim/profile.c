// SPDX-License-Identifier: Apache-2.0
/* The chips, as data. */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

#define MIB (1024u * 1024u)

/* guessed in every row: max_channels (the documentation contradicts itself) and memory. */
static const sim_profile profiles[] = {
    {
        .soc_name = "Ascend310P3",
        .run_mode = ACL_HOST,
        .has_venc = true,
        .width = {128, 4096},
        .height = {128, 4096},
        .fps = {1, 240},
        .bit_rate = {2, 614400},
        .gop = {1, 65536},
        .h264_area = 4096 * 2304,
        .default_bit_rate = 2000,
        .default_rc_mode = 1,
        .output_size = 8 * MIB,
        .min_output_size = 5 * MIB,
        .max_channels = 256,
        .memory = 24ull * 1024 * MIB,
    },
    {
        .soc_name = "Ascend310",
        .run_mode = ACL_HOST,
        .has_venc = true,
        .v100 = true,
        .width = {128, 1920},
        .height = {128, 1920},
        .fps = {1, 120},
        .bit_rate = {10, 30000},
        .gop = {1, 65536},
        .default_bit_rate = 300,
        .default_rc_mode = 2,
        .ip_proportion = true,
        .output_size = 3686400,
        .max_channels = 16,
        .memory = 8ull * 1024 * MIB,
    },
    {
        .soc_name = "Ascend310B4",
        .run_mode = ACL_DEVICE,
        .has_venc = true,
        .width = {114, 8192},
        .height = {114, 8192},
        .fps = {1, 240},
        .bit_rate = {2, 614400},
        .gop = {1, 65536},
        .default_bit_rate = 2000,
        .default_rc_mode = 1,
        .ip_proportion = true, /* guessed: Vision SDK sets it there */
        .output_size = 8 * MIB,
        .min_output_size = 5 * MIB,
        .max_channels = 128,
        .memory = 8ull * 1024 * MIB,
    },
    {.soc_name = "Ascend910", .run_mode = ACL_HOST, .memory = 32ull * 1024 * MIB},
    {.soc_name = "Ascend910B1", .run_mode = ACL_HOST, .memory = 64ull * 1024 * MIB},
};

static const sim_profile *chosen; /* NULL until first asked */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static const sim_profile *find(const char *soc_name) {
    for (size_t i = 0; i < sizeof profiles / sizeof profiles[0]; i++)
        if (strcmp(profiles[i].soc_name, soc_name) == 0)
            return &profiles[i];
    return NULL;
}

static const sim_profile *default_profile(void) {
    const char *name = getenv("ASCEND_VENC_SIM_SOC");
    const sim_profile *found = name && name[0] ? find(name) : &profiles[0];
    return found ? found : &profiles[0];
}

const sim_profile *sim_chip(void) {
    pthread_mutex_lock(&lock);
    if (!chosen)
        chosen = default_profile();
    const sim_profile *chip = chosen;
    pthread_mutex_unlock(&lock);
    return chip;
}

int aclsim_set_soc(const char *soc_name) {
    const sim_profile *wanted = soc_name ? find(soc_name) : default_profile();
    if (!wanted)
        return -1;
    if (wanted != sim_chip() && (sim_any_context() || sim_any_channel() || aclsim_live(ACLSIM_DEVICE_MEMORY) > 0))
        return -1;
    pthread_mutex_lock(&lock);
    chosen = wanted;
    pthread_mutex_unlock(&lock);
    return 0;
}

uint32_t sim_device_count(void) {
    const char *text = getenv("ASCEND_VENC_SIM_DEVICES");
    long count = text ? strtol(text, NULL, 10) : 1;
    return count >= 0 && count <= 64 ? (uint32_t)count : 1;
}
