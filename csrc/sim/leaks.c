// SPDX-License-Identifier: Apache-2.0
/* What a program has left when it ends. */
#include "memory.h"

typedef struct first_leak {
    sim_origin oldest;
    unsigned count;
} first_leak;

static void note(first_leak *leak, const sim_origin *origin) {
    if (leak->count == 0 || origin->number < leak->oldest.number)
        leak->oldest = *origin;
    leak->count++;
}

static void note_object(void *pointer, void *leak) {
    sim_object *object = pointer;
    if (!object->uncounted)
        note(leak, &object->origin);
}

typedef struct memory_leaks {
    first_leak device, host;
} memory_leaks;

static void note_memory(sim_memory *memory, void *arg) {
    memory_leaks *leaks = arg;
    if (!memory->output)
        note(memory->kind == SIM_DEVICE_MEMORY ? &leaks->device : &leaks->host, &memory->origin);
}

static void report_leak(const char *function, sim_kind kind, const first_leak *leak) {
    if (leak->count != 0)
        sim_report_at("leak", function, "end every object before aclFinalize", "%u %s%s left; the first was %s",
                      leak->count, sim_kind_name(kind), leak->count == 1 ? " is" : " objects are",
                      sim_origin_format(&leak->oldest).text);
}

void sim_report_leaks(const char *function) {
    for (sim_kind kind = 0; kind < SIM_KINDS; kind++) {
        first_leak leak = {0};
        sim_handle_each(kind, note_object, &leak);
        report_leak(function, kind, &leak);
    }
    memory_leaks leaks = {0};
    sim_memory_each(note_memory, &leaks);
    report_leak(function, SIM_DEVICE_MEMORY, &leaks.device);
    report_leak(function, SIM_HOST_MEMORY, &leaks.host);
    sim_origin first;
    unsigned subscribed = sim_stream_subscribed_count(&first);
    if (subscribed != 0)
        sim_report_at("leak", function, "call aclrtUnSubscribeReport before aclFinalize",
                      "%u stream%s left subscribed; the first was %s", subscribed, subscribed == 1 ? " is" : "s are",
                      sim_origin_format(&first).text);
    unsigned open = sim_channel_open_count(&first);
    if (open != 0)
        sim_report_at("leak", function, "call aclvencDestroyChannel before aclFinalize",
                      "%u channel%s left open; the first was %s", open, open == 1 ? " is" : "s are",
                      sim_origin_format(&first).text);
    open = sim_mpi_open_count(&first);
    if (open != 0)
        sim_report_at("leak", function, "call hi_mpi_venc_destroy_chn and hi_mpi_sys_exit before aclFinalize",
                      "%u V2 channel%s left open; the first was %s", open, open == 1 ? " is" : "s are",
                      sim_origin_format(&first).text);
    open = (unsigned)sim_live(SIM_MPI_EPOLL);
    if (open != 0)
        sim_report_at("leak", function, "call hi_mpi_sys_close_epoll before aclFinalize", "%u V2 epoll%s left open",
                      open, open == 1 ? " is" : "s are");
}
