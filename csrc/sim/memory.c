// SPDX-License-Identifier: Apache-2.0
/*
 * Device and host memory: every allocation in one array sorted by address.
 *
 * Both are ordinary memory of this process, because programs written for boards rely on that. An allocation
 * that the device still reads is pinned; freeing it takes effect when it is unpinned.
 */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

typedef enum origin { FROM_RT, FROM_DVPP, FROM_HOST, INTERNAL } origin;

typedef struct allocation {
    uint8_t *address;
    size_t size; /* as asked for; what lies behind it belongs to the program too */
    size_t real; /* as allocated */
    origin from;
    unsigned pins;
    bool freed;
} allocation;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static allocation *allocations;
static size_t count, capacity;
static uint64_t device_bytes;

/* Index of the first allocation whose address is above `address`. */
static size_t upper_bound_locked(const void *address) {
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if ((const uint8_t *)address < allocations[middle].address)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static allocation *containing_locked(const void *address) {
    size_t i = upper_bound_locked(address);
    if (i == 0)
        return NULL;
    allocation *found = &allocations[i - 1];
    return (const uint8_t *)address < found->address + found->real ? found : NULL;
}

static bool is_device(origin from) {
    return from != FROM_HOST;
}

static int kind_of(origin from) {
    return from == FROM_HOST ? ACLSIM_HOST_MEMORY : ACLSIM_DEVICE_MEMORY;
}

static int insert_locked(allocation item) {
    if (count == capacity) {
        size_t larger = capacity ? capacity * 2 : 256;
        allocation *moved = realloc(allocations, larger * sizeof *moved);
        if (!moved)
            return -1;
        allocations = moved;
        capacity = larger;
    }
    size_t i = upper_bound_locked(item.address);
    memmove(&allocations[i + 1], &allocations[i], (count - i) * sizeof *allocations);
    allocations[i] = item;
    count++;
    return 0;
}

static void remove_locked(allocation *gone) {
    if (is_device(gone->from))
        device_bytes -= gone->real;
    free(gone->address);
    size_t i = (size_t)(gone - allocations);
    memmove(gone, gone + 1, (count - i - 1) * sizeof *allocations);
    count--;
}

static int allocate(void **out, size_t size, size_t real, origin from) {
    sim_prepare();
    void *memory = NULL;
    pthread_mutex_lock(&lock);
    bool fits = !is_device(from) || device_bytes + real <= sim_chip()->memory;
    if (fits && posix_memalign(&memory, 128, real) == 0) {
        if (insert_locked((allocation){.address = memory, .size = size, .real = real, .from = from}) == 0) {
            if (is_device(from))
                device_bytes += real;
        } else {
            free(memory);
            memory = NULL;
        }
    }
    pthread_mutex_unlock(&lock);
    if (!memory)
        return is_device(from) ? sim_fail(ACL_ERROR_RT_MEMORY_ALLOCATION, "no %zu bytes of device memory left", real)
                               : sim_fail(ACL_ERROR_BAD_ALLOC, "no %zu bytes of host memory left", real);
    if (from != INTERNAL)
        sim_live_add(kind_of(from), 1);
    *out = memory;
    return ACL_SUCCESS;
}

static int release(void *address, origin from, const char *call) {
    pthread_mutex_lock(&lock);
    allocation *found = containing_locked(address);
    bool matches = found && found->address == address && found->from == from && !found->freed;
    if (matches) {
        if (found->pins)
            found->freed = true;
        else
            remove_locked(found);
    }
    pthread_mutex_unlock(&lock);
    if (!matches)
        return sim_fail(from == FROM_DVPP ? ACL_ERROR_INVALID_PARAM : ACL_ERROR_RT_PARAM_INVALID, /* guessed */
                        "%s: %p is no live allocation of that kind", call, address);
    if (from != INTERNAL)
        sim_live_add(kind_of(from), -1);
    return ACL_SUCCESS;
}

/* ---- for the library itself ------------------------------------------------------------------ */

int sim_memory_pin(const void *address, size_t size) {
    int result = 1;
    pthread_mutex_lock(&lock);
    allocation *found = containing_locked(address);
    if (found && found->freed) {
        found = NULL; /* gone as far as the program is concerned */
        result = -1;
    }
    if (found) {
        size_t offset = (size_t)((const uint8_t *)address - found->address);
        result = size <= found->real - offset ? 0 : -1;
        if (result == 0)
            found->pins++;
    }
    pthread_mutex_unlock(&lock);
    return result;
}

void sim_memory_unpin(const void *address) {
    pthread_mutex_lock(&lock);
    allocation *found = containing_locked(address);
    if (found && found->pins && --found->pins == 0 && found->freed)
        remove_locked(found);
    pthread_mutex_unlock(&lock);
}

void *sim_memory_internal(size_t size) {
    void *memory = NULL;
    return allocate(&memory, size, size, INTERNAL) == ACL_SUCCESS ? memory : NULL;
}

void sim_memory_internal_free(void *address) {
    if (address)
        release(address, INTERNAL, "internal");
}

void sim_memory_after_fork(void) {
    pthread_mutex_init(&lock, NULL);
    allocations = NULL;
    count = capacity = 0;
    device_bytes = 0;
}

/* ---- AscendCL -------------------------------------------------------------------------------- */

/* documented: the real size is the asked one plus 32, in units of 32; size 0 therefore succeeds. */
static bool padded(size_t size, size_t *real) {
    if (__builtin_add_overflow(size, 63, real))
        return false;
    *real = *real / 32 * 32;
    return true;
}

aclError acldvppMalloc(void **devPtr, size_t size) {
    size_t real;
    if (!devPtr || !padded(size, &real))
        return sim_fail(ACL_ERROR_INVALID_PARAM, "acldvppMalloc: NULL, or a size that overflows");
    if (!sim_current_context())
        return sim_fail(ACL_ERROR_RT_CONTEXT_NULL, "acldvppMalloc: this thread has no current context");
    return allocate(devPtr, size, real, FROM_DVPP);
}

/* guessed: policy and configuration change nothing that a program could see. */
aclError acldvppMallocWithCfg(void **devPtr, size_t size, aclrtMemMallocPolicy policy, aclrtMallocConfig *cfg) {
    (void)policy;
    (void)cfg;
    return acldvppMalloc(devPtr, size);
}

aclError acldvppFree(void *devPtr) {
    if (!devPtr)
        return sim_fail(ACL_ERROR_INVALID_PARAM, "acldvppFree: NULL");
    return release(devPtr, FROM_DVPP, "acldvppFree");
}

aclError aclrtMalloc(void **devPtr, size_t size, aclrtMemMallocPolicy policy) {
    (void)policy;
    size_t real;
    if (!devPtr || size == 0 || !padded(size, &real))
        return sim_fail(ACL_ERROR_INVALID_PARAM, "aclrtMalloc: NULL, or a size of 0");
    if (!sim_current_context())
        return sim_fail(ACL_ERROR_RT_CONTEXT_NULL, "aclrtMalloc: this thread has no current context");
    return allocate(devPtr, size, real, FROM_RT);
}

aclError aclrtFree(void *devPtr) {
    if (!devPtr)
        return sim_fail(ACL_ERROR_INVALID_PARAM, "aclrtFree: NULL");
    return release(devPtr, FROM_RT, "aclrtFree");
}

/* observed: works in a thread without a context. */
aclError aclrtMallocHost(void **hostPtr, size_t size) {
    if (!hostPtr || size == 0)
        return sim_fail(ACL_ERROR_INVALID_PARAM, "aclrtMallocHost: NULL, or a size of 0");
    return allocate(hostPtr, size, size, FROM_HOST);
}

aclError aclrtFreeHost(void *hostPtr) {
    if (!hostPtr)
        return sim_fail(ACL_ERROR_INVALID_PARAM, "aclrtFreeHost: NULL");
    return release(hostPtr, FROM_HOST, "aclrtFreeHost");
}

/* documented: the order of these checks. observed: works in a thread without a context. */
static int check_copy(const char *call, const void *dst, size_t destMax, const void *src, size_t bytes, int32_t kind) {
    if (!dst || !src)
        return sim_fail(ACL_ERROR_INVALID_PARAM, "%s: NULL address", call);
    if (kind < ACL_MEMCPY_HOST_TO_HOST || kind > ACL_MEMCPY_HOST_TO_BUF_TO_DEVICE)
        return sim_fail(ACL_ERROR_INVALID_PARAM, "%s: kind is %d, allowed are 0 to 5", call, kind);
    if (destMax == 0 || bytes > destMax)
        return sim_fail(ACL_ERROR_RT_PARAM_INVALID, "%s: %zu bytes into a target of %zu", call, bytes, destMax);
    return ACL_SUCCESS;
}

aclError aclrtMemcpy(void *dst, size_t destMax, const void *src, size_t bytes, aclrtMemcpyKind kind) {
    if (bytes == 0)
        return ACL_SUCCESS;
    int rc = check_copy("aclrtMemcpy", dst, destMax, src, bytes, kind);
    if (rc == ACL_SUCCESS)
        memmove(dst, src, bytes);
    return rc;
}

/* guessed: the copy is done at once, which is one of the orders that a stream allows. */
aclError aclrtMemcpyAsync(void *dst, size_t destMax, const void *src, size_t bytes, aclrtMemcpyKind kind,
                          aclrtStream stream) {
    if (stream && !sim_object_is(stream, ACLSIM_STREAM))
        return sim_fail(ACL_ERROR_RT_INVALID_HANDLE, "aclrtMemcpyAsync: stream %p is not alive", stream);
    return aclrtMemcpy(dst, destMax, src, bytes, kind);
}

aclError aclrtMemset(void *devPtr, size_t maxCount, int32_t value, size_t bytes) {
    if (bytes == 0)
        return ACL_SUCCESS;
    if (!devPtr)
        return sim_fail(ACL_ERROR_INVALID_PARAM, "aclrtMemset: NULL address");
    if (bytes > maxCount)
        return sim_fail(ACL_ERROR_RT_PARAM_INVALID, "aclrtMemset: %zu bytes into a target of %zu", bytes, maxCount);
    memset(devPtr, value, bytes);
    return ACL_SUCCESS;
}

aclError aclrtMemsetAsync(void *devPtr, size_t maxCount, int32_t value, size_t bytes, aclrtStream stream) {
    if (stream && !sim_object_is(stream, ACLSIM_STREAM))
        return sim_fail(ACL_ERROR_RT_INVALID_HANDLE, "aclrtMemsetAsync: stream %p is not alive", stream);
    return aclrtMemset(devPtr, maxCount, value, bytes);
}

/* guessed: one pool of DDR memory; chips with HBM report the same figures for it. */
aclError aclrtGetMemInfo(aclrtMemAttr attr, size_t *free_bytes, size_t *total) {
    if (!free_bytes || !total || attr < ACL_DDR_MEM || attr > ACL_HBM_MEM_P2P_NORMAL)
        return sim_fail(ACL_ERROR_INVALID_PARAM, "aclrtGetMemInfo: NULL, or attr %d outside 0 to 9", attr);
    if (!sim_current_context())
        return sim_fail(ACL_ERROR_RT_CONTEXT_NULL, "aclrtGetMemInfo: this thread has no current context");
    pthread_mutex_lock(&lock);
    *total = sim_chip()->memory;
    *free_bytes = *total - device_bytes;
    pthread_mutex_unlock(&lock);
    return ACL_SUCCESS;
}
