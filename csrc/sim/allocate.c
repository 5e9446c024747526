// SPDX-License-Identifier: Apache-2.0
/* Allocating and freeing, as AscendCL does it. */
#include "memory.h"

enum { POLICY_FLAGS = 0x101100 };

static aclError allocate(const char *function, void *caller, void **out, size_t size, sim_kind kind,
                         sim_allocator allocator) {
    int32_t device = 0;
    if (kind == SIM_DEVICE_MEMORY) {
        sim_context *context = sim_current();
        if (context == NULL) /* documented */
            return sim_fail_at(function, ACL_ERROR_RT_CONTEXT_NULL, "this thread has no current context");
        device = context->device;
        int lost = sim_device_lost(device);
        if (lost != 0)
            return sim_fail_at(function, lost, "device %d is lost", device);
    }
    sim_memory *memory = sim_memory_create(kind, size, device, false, function, caller);
    if (memory == NULL)
        return sim_fail_at(function, ACL_ERROR_RT_MEMORY_ALLOCATION, "no memory for %zu bytes", size);
    memory->allocator = allocator;
    sim_live_add(kind, 1);
    *out = (void *)memory->address;
    return ACL_SUCCESS;
}

/* Documented: two more multiples of 32 than asked for, so that nothing at all succeeds too. */
bool sim_round_up(size_t *size) {
    if (__builtin_add_overflow(*size, 63, size))
        return false;
    *size = *size / 32 * 32;
    return true;
}

static bool policy_is_known(aclrtMemMallocPolicy policy) {
    int page = policy & ~POLICY_FLAGS;
    return page >= ACL_MEM_MALLOC_HUGE_FIRST && page <= ACL_MEM_MALLOC_HUGE1G_ONLY_P2P;
}

aclError acldvppMalloc(void **devPtr, size_t size) {
    SIM_ENTER(acldvppMalloc);
    sim_interface_used(SIM_V1, __func__);
    if (devPtr == NULL || !sim_round_up(&size)) /* documented */
        return FAIL(ACL_ERROR_INVALID_PARAM, "devPtr must not be NULL and size must not overflow");
    return allocate(__func__, __builtin_return_address(0), devPtr, size, SIM_DEVICE_MEMORY, SIM_BY_DVPP);
}

aclError acldvppMallocWithCfg(void **devPtr, size_t size, aclrtMemMallocPolicy policy, aclrtMallocConfig *cfg) {
    SIM_ENTER(acldvppMallocWithCfg);
    sim_interface_used(SIM_V1, __func__);
    (void)cfg; /* guessed: its attributes choose nothing that a simulated device has */
    if (devPtr == NULL || !policy_is_known(policy) || !sim_round_up(&size))
        return FAIL(ACL_ERROR_INVALID_PARAM, "devPtr is NULL, policy %d is unknown, or size overflows", policy);
    return allocate(__func__, __builtin_return_address(0), devPtr, size, SIM_DEVICE_MEMORY, SIM_BY_DVPP);
}

static aclError allocate_plain(const char *function, void *caller, void **devPtr, size_t size,
                               aclrtMemMallocPolicy policy, bool (*round_up)(size_t *size)) {
    if (devPtr == NULL || size == 0) /* documented */
        return sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "devPtr must not be NULL and size not 0");
    if (!policy_is_known(policy) || !round_up(&size))
        return sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "policy %d is unknown, or size overflows", policy);
    return allocate(function, caller, devPtr, size, SIM_DEVICE_MEMORY, SIM_BY_RUNTIME);
}

aclError aclrtMalloc(void **devPtr, size_t size, aclrtMemMallocPolicy policy) {
    SIM_ENTER(aclrtMalloc);
    return allocate_plain(__func__, __builtin_return_address(0), devPtr, size, policy, sim_round_up);
}

aclError aclrtMallocCached(void **devPtr, size_t size, aclrtMemMallocPolicy policy) {
    SIM_ENTER(aclrtMallocCached); /* documented: the same as aclrtMalloc */
    return allocate_plain(__func__, __builtin_return_address(0), devPtr, size, policy, sim_round_up);
}

/* Documented: to a multiple of 32, and no more. */
static bool round_to_32(size_t *size) {
    if (__builtin_add_overflow(*size, 31, size))
        return false;
    *size = *size / 32 * 32;
    return true;
}

aclError aclrtMallocAlign32(void **devPtr, size_t size, aclrtMemMallocPolicy policy) {
    SIM_ENTER(aclrtMallocAlign32);
    return allocate_plain(__func__, __builtin_return_address(0), devPtr, size, policy, round_to_32);
}

aclError aclrtMallocHost(void **hostPtr, size_t size) {
    SIM_ENTER(aclrtMallocHost);
    if (hostPtr == NULL || size == 0) /* documented; observed on a board: needs no context */
        return FAIL(ACL_ERROR_INVALID_PARAM, "hostPtr must not be NULL and size not 0");
    return allocate(__func__, __builtin_return_address(0), hostPtr, size, SIM_HOST_MEMORY, SIM_BY_RUNTIME);
}

static void report_bad_free(const char *function, const void *pointer, const sim_memory *inside) {
    if (inside != NULL) {
        sim_report_at("wrong-free", function, "free the address that the allocation returned",
                      "%p lies %zu bytes inside an allocation, %s", pointer,
                      (size_t)((uintptr_t)pointer - inside->address), sim_origin_format(&inside->origin).text);
        return;
    }
    sim_freed found;
    if (sim_memory_find_freed(pointer, &found) && found.address == (uintptr_t)pointer)
        sim_report_at("double-free", function, "free each allocation once",
                      "%p (%zu bytes) was freed before; it was %s", pointer, found.size,
                      sim_origin_format(&found.origin).text);
    else
        sim_report_at("wrong-free", function, "free only memory of the matching allocating function",
                      "%p was not allocated here", pointer);
}

aclError sim_free(const char *function, void *pointer, sim_kind kind, sim_allocator allocator) {
    if (pointer == NULL) /* documented */
        return sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "the address must not be NULL");
    bool mine;
    sim_memory *memory = sim_memory_take(pointer, kind, &mine);
    if (!mine) {
        if (sim_is_strict() && memory != NULL && memory->address == (uintptr_t)pointer)
            sim_report_at("wrong-free", function, "free memory with the function that belongs to its allocation",
                          "%p is %s, %s", pointer,
                          memory->output ? "a channel's output buffer" : sim_kind_name(memory->kind),
                          sim_origin_format(&memory->origin).text);
        else if (sim_is_strict())
            report_bad_free(function, pointer, memory);
        sim_memory_release(memory);
        /* guessed code; that there is one instead of a crash is asked for by real programs */
        return sim_fail_at(function, ACL_ERROR_RT_PARAM_INVALID, "%p is not an allocation of this kind", pointer);
    }
    if (sim_is_strict()) {
        unsigned frames = sim_readings(memory->data, memory->size);
        if (frames != 0)
            sim_report_at("early-free", function,
                          "free a picture in its callback or after the EOS send has returned; with hi_mpi_venc, "
                          "behind the hi_mpi_venc_get_stream that gives its packet",
                          "%p is freed while %u frame%s that the device reads from it %s in flight; it was %s", pointer,
                          frames, frames == 1 ? "" : "s", frames == 1 ? "is" : "are",
                          sim_origin_format(&memory->origin).text);
        if (atomic_load(&memory->queued) != 0)
            sim_report_at("early-free", function, "free memory of asynchronous copies behind aclrtSynchronizeStream",
                          "%p is freed before a copy or a memset of it that waits on a stream; it was %s", pointer,
                          sim_origin_format(&memory->origin).text);
        if (atomic_load(&memory->lent) != 0)
            sim_report_at("early-free", function, "free bufAddr behind aclvencDestroyChannel",
                          "%p is freed while an open channel writes its output there; it was %s", pointer,
                          sim_origin_format(&memory->origin).text);
        if (kind == SIM_DEVICE_MEMORY && memory->allocator != allocator)
            sim_report_at("wrong-free", function,
                          "acldvppFree for acldvppMalloc, aclrtFree for aclrtMalloc, hi_mpi_dvpp_free for "
                          "hi_mpi_dvpp_malloc",
                          "%p was %s", pointer, sim_origin_format(&memory->origin).text);
    }
    sim_live_add(kind, -1);
    sim_memory_release(memory);
    return ACL_SUCCESS;
}

aclError acldvppFree(void *devPtr) {
    SIM_CALL(acldvppFree, sim_free(__func__, devPtr, SIM_DEVICE_MEMORY, SIM_BY_DVPP));
}

aclError aclrtFree(void *devPtr) {
    SIM_CALL(aclrtFree, sim_free(__func__, devPtr, SIM_DEVICE_MEMORY, SIM_BY_RUNTIME));
}

aclError aclrtFreeHost(void *hostPtr) {
    SIM_CALL(aclrtFreeHost, sim_free(__func__, hostPtr, SIM_HOST_MEMORY, SIM_BY_RUNTIME));
}

aclError aclrtGetMemInfo(aclrtMemAttr attr, size_t *free, size_t *total) {
    SIM_ENTER(aclrtGetMemInfo);
    if (free == NULL || total == NULL || attr < ACL_DDR_MEM || attr > ACL_HBM_MEM_P2P_NORMAL + 4)
        return FAIL(ACL_ERROR_INVALID_PARAM, "free or total is NULL, or attribute %d is unknown", attr);
    sim_context *context = sim_current();
    if (context == NULL)
        return FAIL(ACL_ERROR_RT_CONTEXT_NULL, "this thread has no current context");
    int lost = sim_device_lost(context->device);
    if (lost != 0)
        return FAIL(lost, "device %d is lost", context->device);
    bool ddr = attr == ACL_DDR_MEM || attr == ACL_DDR_MEM_HUGE || attr == ACL_DDR_MEM_NORMAL ||
               attr == ACL_DDR_MEM_P2P_HUGE || attr == ACL_DDR_MEM_P2P_NORMAL;
    uint64_t taken, bytes;
    sim_memory_usage(context->device, &taken, &bytes);
    /* documented: these chips have DDR; guessed: nothing of the other kind */
    *total = ddr ? (size_t)bytes : 0;
    *free = ddr && *total > taken ? *total - (size_t)taken : 0;
    return ACL_SUCCESS;
}
