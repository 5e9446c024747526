// SPDX-License-Identifier: Apache-2.0
/* Copying and setting memory, and its cache: which side is whose, bounds, direction. */
#include "memory.h"

#include <string.h>

typedef sim_side side;

static side look_at(const void *pointer, size_t count) {
    side result = {(uint8_t *)pointer, sim_memory_at(pointer), true};
    if (result.memory != NULL) {
        result.data = result.memory->data + ((uintptr_t)pointer - result.memory->address);
        result.inside = count <= sim_memory_rest(result.memory, pointer);
    }
    return result;
}

/*
 * An address that the call takes for device memory, and that is nobody's. Guessed code; hardware cannot reach it either.
 * Memory of the program's own works, as met in real programs: strict mode reports it.
 */
static aclError no_memory(const char *function, const char *name, const void *pointer) {
    sim_freed found;
    bool freed = sim_memory_find_freed(pointer, &found);
    if (sim_is_strict())
        sim_report_at("foreign-memory", function, "give an address that acldvppMalloc or aclrtMalloc has returned",
                      "%s %p is no memory at all%s%s", name, pointer, freed ? ": it has been freed; it was " : "",
                      freed ? sim_origin_format(&found.origin).text : "");
    return sim_fail_at(function, ACL_ERROR_RT_PARAM_INVALID, "%s %p is not device memory: it %s", name, pointer,
                       freed ? "has been freed" : "was not allocated here, and nothing is mapped there");
}

static void check_side(const char *function, const char *name, const void *pointer, const side *s, bool device) {
    bool is_device = s->memory != NULL && s->memory->kind == SIM_DEVICE_MEMORY;
    if (device == is_device)
        return;
    sim_report_at("wrong-direction", function, "give the kind that says where source and destination are",
                  "the kind says that %s %p is %s memory, but it is %s", name, pointer, device ? "device" : "host",
                  s->memory != NULL ? sim_origin_format(&s->memory->origin).text : "the program's own");
}

static void check_copy(const char *function, const void *dst, const side *to, size_t written, const void *src,
                       const side *from, aclrtMemcpyKind kind) {
    if (kind <= ACL_MEMCPY_DEVICE_TO_DEVICE && sim_host_mode()) { /* on a board both are the same memory */
        check_side(function, "source", src, from,
                   kind == ACL_MEMCPY_DEVICE_TO_HOST || kind == ACL_MEMCPY_DEVICE_TO_DEVICE);
        check_side(function, "destination", dst, to,
                   kind == ACL_MEMCPY_HOST_TO_DEVICE || kind == ACL_MEMCPY_DEVICE_TO_DEVICE);
    }
    if (from->memory != NULL && from->memory->output && !atomic_load(&from->memory->readable))
        sim_report_at(
            "late-output", function,
            "copy the access unit out inside the callback; with hi_mpi_venc, before hi_mpi_venc_release_stream",
            "%p is a channel's output, which was given back", src);
    if (to->memory != NULL && to->memory->output)
        sim_report_at("output-written", function, "output memory belongs to the library",
                      "%p is a channel's output buffer", dst);
    if (to->memory != NULL && sim_readings(to->data, written) != 0)
        sim_report_at("input-modified", function, "write a picture's memory only before the send or after the callback",
                      "%p is overwritten while a frame in flight reads it; it was %s", dst,
                      sim_origin_format(&to->memory->origin).text);
}

aclError sim_copy_of_bytes(const char *function, void *dst, size_t destMax, const void *src, size_t count,
                           aclrtMemcpyKind kind, sim_copy *copy) {
    if (dst == NULL || src == NULL)
        return sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "dst and src must not be NULL");
    if (kind < ACL_MEMCPY_HOST_TO_HOST || kind > ACL_MEMCPY_HOST_TO_BUF_TO_DEVICE)
        return sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "kind %d is unknown", kind);
    if (destMax == 0 || count > destMax)
        return sim_fail_at(function, ACL_ERROR_RT_PARAM_INVALID, "count %zu is above destMax %zu", count, destMax);
    *copy = (sim_copy){.dst = dst, .src = src, .width = count, .height = 1, .kind = kind};
    return ACL_SUCCESS;
}

aclError sim_copy_of_rows(const char *function, void *dst, size_t dpitch, const void *src, size_t spitch, size_t width,
                          size_t height, aclrtMemcpyKind kind, sim_copy *copy) {
    if (dst == NULL || src == NULL)
        return sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "dst and src must not be NULL");
    if (width == 0 || height == 0)
        return sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "width %zu and height %zu must not be 0", width, height);
    if (width > dpitch || width > spitch)
        return sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "width %zu is above dpitch %zu or spitch %zu", width,
                           dpitch, spitch);
    /* documented; runtimes of 9.x know other kinds on chips without a video encoder */
    if (kind != ACL_MEMCPY_HOST_TO_DEVICE && kind != ACL_MEMCPY_DEVICE_TO_HOST)
        return sim_fail_at(function, ACL_ERROR_INVALID_PARAM,
                           "kind is %d, allowed are 1 (host to device) and 2 (device to host)", kind);
    if (!sim_host_mode()) /* documented; guessed code */
        return sim_fail_at(function, ACL_ERROR_RT_FEATURE_NOT_SUPPORT,
                           "a program on the board cannot call it: copy each row with aclrtMemcpy");
    size_t rest;
    if (__builtin_mul_overflow(height - 1, dpitch > spitch ? dpitch : spitch, &rest) ||
        __builtin_add_overflow(rest, width, &rest)) /* guessed code */
        return sim_fail_at(function, ACL_ERROR_RT_PARAM_INVALID, "height %zu times the pitch is no size", height);
    *copy = (sim_copy){
        .dst = dst, .src = src, .dpitch = dpitch, .spitch = spitch, .width = width, .height = height, .kind = kind};
    return ACL_SUCCESS;
}

/* From the first byte of a side to its last. */
static size_t extent(const sim_copy *copy, size_t pitch) {
    return (copy->height - 1) * pitch + copy->width;
}

/* What every copy is refused for, in the documented order, behind sim_copy_of_bytes or sim_copy_of_rows. */
static aclError prepare_copy(const char *function, const sim_copy *copy, side *to, side *from) {
    void *dst = copy->dst;
    const void *src = copy->src;
    aclrtMemcpyKind kind = copy->kind;
    size_t written = extent(copy, copy->dpitch), read = extent(copy, copy->spitch);
    sim_context *context = sim_current();
    /* documented; observed on a board: works there without a context */
    if (context == NULL && sim_host_mode())
        return sim_fail_at(function, ACL_ERROR_RT_CONTEXT_NULL, "this thread has no current context");
    int lost = context != NULL ? sim_device_lost(context->device) : 0;
    if (lost != 0)
        return sim_fail_at(function, lost, "device %d is lost", context->device);
    *to = look_at(dst, written);
    *from = look_at(src, read);
    bool from_device = kind == ACL_MEMCPY_DEVICE_TO_HOST || kind == ACL_MEMCPY_DEVICE_TO_DEVICE;
    bool to_device = kind == ACL_MEMCPY_HOST_TO_DEVICE || kind == ACL_MEMCPY_DEVICE_TO_DEVICE ||
                     kind == ACL_MEMCPY_HOST_TO_BUF_TO_DEVICE;
    aclError rc = ACL_SUCCESS;
    if (from_device && from->memory == NULL && !sim_foreign_is_readable(src, read)) {
        rc = no_memory(function, "source", src);
    } else if (to_device && to->memory == NULL && !sim_foreign_is_writable(dst, written)) {
        rc = no_memory(function, "destination", dst);
    } else if (!to->inside || !from->inside) {
        const side *outside = to->inside ? from : to;
        size_t count = to->inside ? read : written;
        if (sim_is_strict())
            sim_report_at("out-of-bounds", function, "copy no more than the allocation holds",
                          "%zu bytes at %s %p, whose allocation of %zu bytes ends before; it was %s", count,
                          to->inside ? "source" : "destination", to->inside ? src : dst, outside->memory->size,
                          sim_origin_format(&outside->memory->origin).text);
        rc = sim_fail_at(function, ACL_ERROR_RT_PARAM_INVALID, "%zu bytes go beyond the allocation", count);
    } else if (sim_is_strict()) {
        check_copy(function, dst, to, written, src, from, kind);
    }
    return rc;
}

static void put_away(side *to, side *from) {
    sim_memory_release(to->memory);
    sim_memory_release(from->memory);
}

static void copy_rows(const sim_copy *copy, const side *to, const side *from) {
    for (size_t row = 0; row < copy->height; row++)
        memmove(to->data + row * copy->dpitch, from->data + row * copy->spitch, copy->width);
}

static aclError copy_now(const char *function, const sim_copy *copy) {
    side to = {0}, from = {0};
    aclError rc = prepare_copy(function, copy, &to, &from);
    if (rc == ACL_SUCCESS)
        copy_rows(copy, &to, &from);
    put_away(&to, &from);
    return rc;
}

aclError aclrtMemcpy(void *dst, size_t destMax, const void *src, size_t count, aclrtMemcpyKind kind) {
    SIM_ENTER(aclrtMemcpy);
    sim_copy copy;
    if (count == 0) /* documented */
        return ACL_SUCCESS;
    aclError rc = sim_copy_of_bytes(__func__, dst, destMax, src, count, kind, &copy);
    return rc == ACL_SUCCESS ? copy_now(__func__, &copy) : rc;
}

aclError aclrtMemcpy2d(void *dst, size_t dpitch, const void *src, size_t spitch, size_t width, size_t height,
                       aclrtMemcpyKind kind) {
    SIM_ENTER(aclrtMemcpy2d);
    sim_copy copy;
    aclError rc = sim_copy_of_rows(__func__, dst, dpitch, src, spitch, width, height, kind, &copy);
    return rc == ACL_SUCCESS ? copy_now(__func__, &copy) : rc;
}

static aclError prepare_set(const char *function, sim_set *set, size_t maxCount) {
    void *devPtr = set->dst;
    size_t count = set->count;
    if (devPtr == NULL)
        return sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "devPtr must not be NULL");
    if (maxCount == 0 || count > maxCount)
        return sim_fail_at(function, ACL_ERROR_RT_PARAM_INVALID, "count %zu is above maxCount %zu", count, maxCount);
    sim_context *context = sim_current();
    if (context == NULL && sim_host_mode())
        return sim_fail_at(function, ACL_ERROR_RT_CONTEXT_NULL, "this thread has no current context");
    int lost = context != NULL ? sim_device_lost(context->device) : 0;
    if (lost != 0)
        return sim_fail_at(function, lost, "device %d is lost", context->device);
    side to = set->to = look_at(devPtr, count);
    aclError rc = ACL_SUCCESS;
    if (to.memory == NULL && !sim_foreign_is_writable(devPtr, count)) {
        rc = no_memory(function, "devPtr", devPtr);
    } else if (!to.inside) {
        if (sim_is_strict())
            sim_report_at("out-of-bounds", function, "set no more than the allocation holds",
                          "%zu bytes at %p, whose allocation of %zu bytes ends before; it was %s", count, devPtr,
                          to.memory->size, sim_origin_format(&to.memory->origin).text);
        rc = sim_fail_at(function, ACL_ERROR_RT_PARAM_INVALID, "%zu bytes go beyond the allocation", count);
    } else if (sim_is_strict()) {
        if (to.memory == NULL) /* documented: memory of the host's or the device's, by its address */
            sim_report_at("foreign-memory", function, "set memory that aclrtMalloc or aclrtMallocHost has returned",
                          "%p is the program's own memory", devPtr);
        else if (to.memory->output)
            sim_report_at("output-written", function, "output memory belongs to the library",
                          "%p is a channel's output buffer", devPtr);
        else if (sim_readings(to.data, count) != 0)
            sim_report_at("input-modified", function,
                          "write a picture's memory only before the send or after the callback",
                          "%p is overwritten while a frame in flight reads it; it was %s", devPtr,
                          sim_origin_format(&to.memory->origin).text);
    }
    if (rc != ACL_SUCCESS)
        sim_memory_release(to.memory);
    return rc;
}

aclError aclrtMemset(void *devPtr, size_t maxCount, int32_t value, size_t count) {
    SIM_ENTER(aclrtMemset);
    if (count == 0) /* documented for newer runtimes */
        return ACL_SUCCESS;
    sim_set set = {.dst = devPtr, .value = value, .count = count};
    aclError rc = prepare_set(__func__, &set, maxCount);
    if (rc != ACL_SUCCESS)
        return rc;
    memset(set.to.data, value, count);
    sim_memory_release(set.to.memory);
    return ACL_SUCCESS;
}

/* ---- tasks on streams ------------------------------------------------------------------------------------ */

static void queue(side *s) {
    if (s->memory != NULL)
        atomic_fetch_add(&s->memory->queued, 1);
}

static void forget(side *s) {
    if (s->memory != NULL)
        atomic_fetch_sub(&s->memory->queued, 1);
    sim_memory_release(s->memory);
}

/* Guessed: a task whose memory has gone does nothing; hardware may fault. */
static bool is_gone(const sim_issuer *issuer, const char *name, const side *s, bool writable, size_t count) {
    if (s->memory != NULL ||
        (writable ? sim_foreign_is_writable(s->data, count) : sim_foreign_is_readable(s->data, count)))
        return false;
    if (sim_is_strict())
        sim_report_of("foreign-memory", issuer->function, issuer->place,
                      "keep the memory until aclrtSynchronizeStream has returned",
                      "%s %p vanished before the stream got to its task, which is left out", name, (void *)s->data);
    return true;
}

static sim_issuer issuer_of(const char *function) {
    return (sim_issuer){function, sim_is_strict() ? sim_calling_place() : NULL};
}

static _Atomic uint64_t waits = 1;
static pthread_mutex_t unwaited_lock = PTHREAD_MUTEX_INITIALIZER; /* of all allocations; a leaf */

void sim_copy_after_fork(void) {
    pthread_mutex_init(&unwaited_lock, NULL);
}

void sim_memory_waited(void) {
    atomic_fetch_add(&waits, 1);
}

static void note_unwaited(const side *s, bool writes, size_t size, const sim_issuer *issuer) {
    if (s->memory == NULL || !sim_is_strict())
        return;
    pthread_mutex_lock(&unwaited_lock);
    *(writes ? &s->memory->written : &s->memory->read) = (sim_unwaited){atomic_load(&waits), s->data, size, *issuer};
    pthread_mutex_unlock(&unwaited_lock);
}

bool sim_memory_is_unwaited(const sim_unwaited *task, const uint8_t *from, size_t size, sim_issuer *issuer) {
    pthread_mutex_lock(&unwaited_lock);
    sim_unwaited last = *task;
    pthread_mutex_unlock(&unwaited_lock);
    *issuer = last.issuer;
    return last.since == atomic_load(&waits) && last.data < from + size && from < last.data + last.size;
}

void sim_memory_report_unwaited_picture(const char *function, const sim_memory *memory, const uint8_t *from,
                                        size_t size) {
    sim_issuer issuer;
    if (sim_memory_is_unwaited(&memory->written, from, size, &issuer))
        sim_report_at("unsynchronised", function, "call aclrtSynchronizeStream between the copy and the send",
                      "nothing has waited for %s%s%s, which writes the picture; its memory was %s", issuer.function,
                      issuer.place != NULL ? ", called from " : "", issuer.place != NULL ? issuer.place : "",
                      sim_origin_format(&memory->origin).text);
}

static void note_copy(const sim_copy *copy) {
    note_unwaited(&copy->to, true, extent(copy, copy->dpitch), &copy->issuer);
    note_unwaited(&copy->from, false, extent(copy, copy->spitch), &copy->issuer);
}

aclError sim_memory_check_copy(const char *function, sim_copy *copy) {
    aclError rc = prepare_copy(function, copy, &copy->to, &copy->from);
    if (rc != ACL_SUCCESS) {
        put_away(&copy->to, &copy->from);
        return rc;
    }
    copy->issuer = issuer_of(function);
    queue(&copy->to);
    queue(&copy->from);
    note_copy(copy);
    return ACL_SUCCESS;
}

void sim_memory_do_copy(sim_copy *copy, bool waited) {
    if (!waited || (!is_gone(&copy->issuer, "source", &copy->from, false, extent(copy, copy->spitch)) &&
                    !is_gone(&copy->issuer, "destination", &copy->to, true, extent(copy, copy->dpitch))))
        copy_rows(copy, &copy->to, &copy->from);
    note_copy(copy); /* again: whoever waited before it was done has waited for something else */
    sim_memory_forget_copy(copy);
}

void sim_memory_forget_copy(sim_copy *copy) {
    forget(&copy->to);
    forget(&copy->from);
}

aclError sim_memory_check_set(const char *function, sim_set *set, size_t maxCount) {
    aclError rc = prepare_set(function, set, maxCount);
    if (rc != ACL_SUCCESS)
        return rc;
    set->issuer = issuer_of(function);
    queue(&set->to);
    note_unwaited(&set->to, true, set->count, &set->issuer);
    return ACL_SUCCESS;
}

void sim_memory_do_set(sim_set *set, bool waited) {
    if (!waited || !is_gone(&set->issuer, "devPtr", &set->to, true, set->count))
        memset(set->to.data, set->value, set->count);
    note_unwaited(&set->to, true, set->count, &set->issuer);
    sim_memory_forget_set(set);
}

void sim_memory_forget_set(sim_set *set) {
    forget(&set->to);
}

/* Documented: these runtimes keep the cache coherent by themselves, so there is nothing to do. */
static aclError look_at_cached(const char *function, void *devPtr, size_t size) {
    if (devPtr == NULL || size == 0) /* documented */
        return sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "devPtr must not be NULL and size not 0");
    sim_context *context = sim_current();
    if (context == NULL && sim_host_mode()) /* guessed, as the next */
        return sim_fail_at(function, ACL_ERROR_RT_CONTEXT_NULL, "this thread has no current context");
    int lost = context != NULL ? sim_device_lost(context->device) : 0;
    if (lost != 0)
        return sim_fail_at(function, lost, "device %d is lost", context->device);
    side at = look_at(devPtr, size);
    aclError rc = ACL_SUCCESS;
    if (at.memory == NULL && !sim_foreign_is_readable(devPtr, size))
        rc = no_memory(function, "devPtr", devPtr);
    else if (!at.inside)
        rc = sim_fail_at(function, ACL_ERROR_RT_PARAM_INVALID, "%zu bytes go beyond the allocation", size);
    sim_memory_release(at.memory);
    return rc;
}

aclError aclrtMemFlush(void *devPtr, size_t size) {
    SIM_ENTER(aclrtMemFlush);
    return look_at_cached(__func__, devPtr, size);
}

aclError aclrtMemInvalidate(void *devPtr, size_t size) {
    SIM_ENTER(aclrtMemInvalidate);
    return look_at_cached(__func__, devPtr, size);
}
