// SPDX-License-Identifier: Apache-2.0
/*
 * The chips, as data. Marks: d documented, o observed, g guessed.
 *
 * Ascend310B4 follows the Ascend 310P generation of the library, except for what is known of it: its
 * library is closed, and boards that run it report run mode ACL_DEVICE (o).
 */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MIB (1024u * 1024)
#define GIB (1024ull * MIB)

#define ASCEND910(soc)                                                                                                 \
    {                                                                                                                  \
        .name = soc,                                                                                                   \
        .run_mode = ACL_HOST,    /* d */                                                                               \
        .has_venc = false,       /* d */                                                                               \
        .checks_rc_mode = true,  /* g */                                                                               \
        .buffer_settable = true, /* g */                                                                               \
        .buffer_min = 5 * MIB,   /* g */                                                                               \
        .max_streams = 2048,     /* d */                                                                               \
        .memory = 32 * GIB,      /* g */                                                                               \
    }

static const sim_profile profiles[] = {
    {
        .name = "Ascend310P3",
        .run_mode = ACL_HOST,        /* d: a card */
        .has_venc = true,            /* d */
        .width = {128, 4096},        /* d */
        .height = {128, 4096},       /* d */
        .h264_area = 4096ull * 2304, /* d */
        .gop = {1, 65536},           /* d */
        .src_rate = {1, 240},        /* d */
        .src_rate_zero = true,       /* d */
        .bit_rate = {2, 614400},     /* d */
        .bit_rate_zero = true,       /* d */
        .default_rc_mode = 1,        /* d: VBR */
        .default_src_rate = 30,      /* d */
        .default_bit_rate = 2000,    /* d */
        .checks_rc_mode = true,      /* d */
        .buffer_settable = true,     /* d */
        .buffer_size = 8 * MIB,      /* d */
        .buffer_min = 5 * MIB,       /* d */
        .max_channels = 128,    /* d: a script of the vendor's. The rule for virtual devices in the V1 pages: 256 */
        .max_channels_v2 = 256, /* d: together with picture encoding */
        .max_streams = 1024,    /* d */
        .memory = 24 * GIB,     /* g */
    },
    {
        .name = "Ascend310B4",
        .run_mode = ACL_DEVICE,   /* o: the program runs on the board's own CPU */
        .has_venc = true,         /* d */
        .width = {114, 8192},     /* d */
        .height = {114, 8192},    /* d */
        .gop = {1, 65536},        /* d; o: 0 gives 507018 */
        .src_rate = {1, 240},     /* d */
        .src_rate_zero = true,    /* d */
        .bit_rate = {2, 614400},  /* d; o: outside gives 507018 */
        .bit_rate_zero = true,    /* d */
        .ip_prop = {1, 100},      /* d */
        .ip_prop_zero = true,     /* d */
        .default_rc_mode = 1,     /* d: VBR */
        .default_src_rate = 30,   /* d */
        .default_bit_rate = 2000, /* d */
        .checks_rc_mode = true,   /* g: as Ascend310P */
        .buffer_settable = true,  /* d */
        .ip_prop_settable = true, /* g: a vendor's SDK sets it there */
        .buffer_size = 8 * MIB,   /* d */
        .buffer_min = 5 * MIB,    /* d */
        .max_channels = 128,      /* g: V2's; nothing is known of V1 */
        .channels_guessed = true,
        .max_channels_v2 = 128, /* d: together with picture encoding */
        .max_streams = 512,     /* d */
        .memory = 8 * GIB,      /* g */
    },
    {
        .name = "Ascend310",
        .run_mode = ACL_HOST,        /* d: a card; the developer kit is a board */
        .has_venc = true,            /* d */
        .v100 = true,                /* d */
        .width = {128, 1920},        /* d */
        .height = {128, 1920},       /* d */
        .gop = {1, 65536},           /* d */
        .src_rate = {1, 120},        /* d */
        .src_rate_zero = true,       /* d */
        .bit_rate = {10, 30000},     /* d */
        .bit_rate_zero = true,       /* d */
        .ip_prop = {1, 100},         /* d */
        .ip_prop_zero = true,        /* d */
        .default_rc_mode = 2,        /* d: CBR */
        .default_src_rate = 30,      /* d */
        .default_bit_rate = 300,     /* d */
        .checks_picture_size = true, /* d */
        .ip_prop_settable = true,    /* d */
        .buffer_size = 3686400,      /* d */
        .max_channels = 16,          /* d: the header says that channel ids are 0 to 15 */
        .max_channels_v2 = 0,        /* d */
        .max_streams = 1024,         /* g */
        .memory = 8 * GIB,           /* g */
    },
    ASCEND910("Ascend910"),
};
#define COUNT (sizeof profiles / sizeof profiles[0])

/* Members of a family that differ in nothing that is simulated: they can be chosen, but are not listed. */
static const sim_profile members[] = {
    ASCEND910("Ascend910A"),     ASCEND910("Ascend910B"),     ASCEND910("Ascend910ProA"),  ASCEND910("Ascend910ProB"),
    ASCEND910("Ascend910B1"),    ASCEND910("Ascend910B2"),    ASCEND910("Ascend910B2C"),   ASCEND910("Ascend910B3"),
    ASCEND910("Ascend910B4"),    ASCEND910("Ascend910_9362"), ASCEND910("Ascend910_9372"), ASCEND910("Ascend910_9381"),
    ASCEND910("Ascend910_9382"), ASCEND910("Ascend910_9391"), ASCEND910("Ascend910_9392"),
};

static _Atomic(const sim_profile *) chosen = &profiles[0];

const sim_profile *sim_profile_get(void) {
    return atomic_load_explicit(&chosen, memory_order_relaxed);
}

const char *sim_profile_name(size_t index) {
    return index < COUNT ? profiles[index].name : NULL;
}

/* With or without "Ascend". */
static bool is_called(const sim_profile *profile, const char *name) {
    static const char prefix[] = "Ascend";
    return strcasecmp(name, profile->name) == 0 || strcasecmp(name, profile->name + sizeof prefix - 1) == 0;
}

const sim_profile *sim_profile_find(const char *name) {
    if (name == NULL || name[0] == '\0')
        return &profiles[0];
    for (size_t i = 0; i < COUNT; i++)
        if (is_called(&profiles[i], name))
            return &profiles[i];
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        if (is_called(&members[i], name))
            return &members[i];
    return NULL;
}

void sim_profile_set(const sim_profile *profile) {
    atomic_store(&chosen, profile);
}

size_t aclsim_describe_soc(size_t index, char *text, size_t size) {
    if (index >= COUNT)
        return 0;
    const sim_profile *p = &profiles[index];
    int length =
        snprintf(text, size,
                 "{\"name\": \"%s\", \"run_mode\": \"%s\", \"encoder\": %s, \"width\": [%u, %u], \"height\": [%u, %u], "
                 "\"h264_area\": %llu, \"gop\": [%u, %u], \"src_rate\": [%u, %u], \"bit_rate\": [%u, %u], "
                 "\"default_src_rate\": %u, \"default_bit_rate\": %u, \"buffer_size\": %u, \"channels\": %u, "
                 "\"channels_mark\": \"%s\", \"channels_v2\": %u, \"streams\": %u, \"memory\": %llu}",
                 p->name, p->run_mode == ACL_HOST ? "host" : "device", p->has_venc ? "true" : "false", p->width.min,
                 p->width.max, p->height.min, p->height.max, (unsigned long long)p->h264_area, p->gop.min, p->gop.max,
                 p->src_rate.min, p->src_rate.max, p->bit_rate.min, p->bit_rate.max, p->default_src_rate,
                 p->default_bit_rate, p->buffer_size, p->max_channels, p->channels_guessed ? "guessed" : "documented",
                 p->max_channels_v2, p->max_streams, (unsigned long long)p->memory);
    return length > 0 ? (size_t)length : 0;
}
