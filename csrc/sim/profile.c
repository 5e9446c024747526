// SPDX-License-Identifier: Apache-2.0
/* The chips are data, in ascend_venc/chips.py, with a mark for each figure: the build makes the header below of it. */
#include "sim.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* profiles[]: one of each family; members[]: others that differ in nothing that is simulated, and are not listed. */
#include "sim_chips.h"

#define COUNT (sizeof profiles / sizeof profiles[0])

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
    int length = snprintf(text, size, "%s", profiles[index].description);
    return length > 0 ? (size_t)length : 0;
}
