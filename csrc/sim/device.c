// SPDX-License-Identifier: Apache-2.0
/* What everybody asks about devices: how many, whether they are lost, which is the calling thread's. */
#include "sim.h"

static atomic_uint device_count = 1;
static atomic_int lost[SIM_MAX_DEVICES];
static atomic_uint contexts[SIM_MAX_DEVICES]; /* live, with the primary one */
static atomic_bool dvpp_ready;
static atomic_uint interfaces; /* sim_interface of all that were used; both together with 4: it was reported */

sim_context *sim_current(void) {
    return sim_handle_get(SIM_CONTEXT, sim_self.context);
}

bool sim_host_mode(void) {
    const sim_profile *profile = sim_profile_get();
    return profile == NULL || profile->run_mode == ACL_HOST;
}

uint32_t sim_device_count(void) {
    return atomic_load_explicit(&device_count, memory_order_relaxed);
}

void sim_device_count_set(uint32_t count) {
    atomic_store(&device_count, count);
}

int sim_device_lost(int32_t id) {
    return atomic_load_explicit(&lost[id], memory_order_relaxed);
}

void sim_device_lose(int32_t id, int32_t code) {
    atomic_store(&lost[id], code);
}

void sim_device_add_contexts(int32_t id, int delta) {
    atomic_fetch_add(&contexts[id], (unsigned)delta);
}

bool sim_devices_in_use(int32_t from) {
    for (int32_t id = from; id < SIM_MAX_DEVICES; id++)
        if (atomic_load(&contexts[id]) != 0)
            return true;
    return false;
}

bool sim_dvpp_ready(void) {
    /* Documented: until it has come up once, every call tries again; it needs a current context. */
    if (atomic_load_explicit(&dvpp_ready, memory_order_acquire))
        return true;
    if (sim_current() == NULL)
        return false;
    atomic_store_explicit(&dvpp_ready, true, memory_order_release);
    return true;
}

void sim_interface_used(sim_interface which, const char *function) {
    enum { BOTH = SIM_V1 | SIM_V2, REPORTED = 4 };
    if (atomic_load_explicit(&interfaces, memory_order_relaxed) & which)
        return;
    unsigned before = atomic_fetch_or(&interfaces, (unsigned)which);
    if ((before | which) == BOTH && !(atomic_fetch_or(&interfaces, REPORTED) & REPORTED) && sim_is_strict())
        /* Documented: not to be mixed. Guessed: what would happen; here both work. */
        sim_report_at("mixed-interfaces", function, "use either acldvpp* and aclvenc* or hi_mpi_* in a process",
                      "%s is of V%d, and this process has used V%d", function, which, which == SIM_V1 ? 2 : 1);
}

void sim_device_reset(void) {
    atomic_store(&interfaces, 0);
    for (int id = 0; id < SIM_MAX_DEVICES; id++) {
        atomic_store(&lost[id], 0);
        atomic_store(&contexts[id], 0);
    }
    atomic_store(&dvpp_ready, false);
}
