// SPDX-License-Identifier: Apache-2.0
/* V2's system: beginning and ending its use of a device, memory, version. */
#include "mpi.h"

hi_s32 hi_mpi_sys_init(void) {
    SIM_ENTER(hi_mpi_sys_init);
    int32_t device;
    hi_s32 rc = sim_mpi_device(__func__, SIM_SYS_MODULE, &device);
    if (rc == HI_SUCCESS)
        rc = sim_mpi_lost(__func__, SIM_SYS_MODULE, device);
    if (rc != HI_SUCCESS)
        return rc;
    if (sim_profile_get()->max_channels_v2 == 0) /* documented: not there; guessed code */
        return FAIL(HI_ERR_SYS_NOT_SUPPORT, "%s has no DVPP V2", sim_profile_get()->name);
    sim_interface_used(SIM_V2, __func__);
    sim_mpi_set_ready(device, true); /* documented: repeating it succeeds */
    return HI_SUCCESS;
}

static hi_s32 leave(const char *function) {
    int32_t device;
    hi_s32 rc = sim_mpi_device(function, SIM_SYS_MODULE, &device);
    if (rc != HI_SUCCESS)
        return rc;
    /* Guessed: pairs are not counted, so one user's exit ends the use of all others, with their channels. */
    sim_mpi_set_ready(device, false);
    unsigned open = 0;
    for (sim_mpi_channel *ch; (ch = sim_mpi_list_claim_any(device)) != NULL; open++)
        sim_mpi_end(function, ch);
    sim_mpi_wake_pollers();
    if (open != 0 && sim_is_strict())
        sim_report_at("exit-in-use", function, "call hi_mpi_venc_destroy_chn before hi_mpi_sys_exit",
                      "%u channel%s left open on device %d", open, open == 1 ? " was" : "s were", device);
    return HI_SUCCESS;
}

hi_s32 hi_mpi_sys_exit(void) {
    SIM_CALL(hi_mpi_sys_exit, leave(__func__));
}

hi_s32 hi_mpi_dvpp_malloc(hi_u32 dev_id, void **dev_ptr, hi_u64 size) {
    SIM_ENTER(hi_mpi_dvpp_malloc);
    sim_interface_used(SIM_V2, __func__);
    if (dev_ptr == NULL)
        return FAIL(HI_ERR_SYS_NULL_PTR, "dev_ptr must not be NULL");
    size_t rounded = size;
    if (size == 0 || !sim_round_up(&rounded)) /* guessed */
        return FAIL(HI_ERR_SYS_ILLEGAL_PARAM, "size %llu err, should be above 0 and not overflow", size);
    (void)dev_id; /* documented: reserved, so the device of the thread counts */
    int32_t device;
    hi_s32 rc = sim_mpi_ready_device(__func__, SIM_SYS_MODULE, &device);
    if (rc == HI_SUCCESS)
        rc = sim_mpi_lost(__func__, SIM_SYS_MODULE, device);
    if (rc != HI_SUCCESS)
        return rc;
    sim_memory *memory =
        sim_memory_create(SIM_DEVICE_MEMORY, rounded, device, false, __func__, __builtin_return_address(0));
    if (memory == NULL)
        return FAIL(HI_ERR_SYS_NO_MEM, "no memory for %zu bytes", rounded);
    memory->allocator = SIM_BY_MPI;
    sim_live_add(SIM_DEVICE_MEMORY, 1);
    *dev_ptr = (void *)memory->address;
    return HI_SUCCESS;
}

static hi_s32 release_memory(const char *function, void *dev_ptr) {
    if (dev_ptr == NULL)
        return sim_fail_at(function, HI_ERR_SYS_NULL_PTR, "dev_ptr must not be NULL");
    /* Guessed: it needs no context, and can be called behind hi_mpi_sys_exit. */
    return sim_free(function, dev_ptr, SIM_DEVICE_MEMORY, SIM_BY_MPI) == 0 ? HI_SUCCESS : HI_ERR_SYS_ILLEGAL_PARAM;
}

hi_s32 hi_mpi_dvpp_free(void *dev_ptr) {
    SIM_CALL(hi_mpi_dvpp_free, release_memory(__func__, dev_ptr));
}

hi_s32 hi_mpi_dvpp_get_version(hi_s32 *major_version, hi_s32 *minor_version, hi_s32 *patch_version) {
    SIM_ENTER(hi_mpi_dvpp_get_version);
    if (major_version == NULL || minor_version == NULL || patch_version == NULL)
        return FAIL(HI_ERR_SYS_NULL_PTR, "the three pointers must not be NULL");
    *major_version = 1; /* guessed, as the next two */
    *minor_version = 0;
    *patch_version = 0;
    return HI_SUCCESS;
}
