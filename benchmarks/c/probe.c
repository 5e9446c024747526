// SPDX-License-Identifier: Apache-2.0
/*
 * A device library that is the simulated device, except that it takes the time of every callback. Every peer opens it by
 * its path, or has it preloaded, and passes through it alike: all other functions are found in the simulated device, on
 * which it depends.
 */
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "aclsim.h"
#include "device.h"

enum { MAX_CHANNELS = 256, MAX_SAMPLES = 1 << 20 };

typedef struct probe_window {
    double seconds;
    uint64_t channels, encoded, host_idle_ns;
} probe_window;

static aclvencChannelDesc *channels[MAX_CHANNELS]; /* of the process's one peer */
static atomic_size_t channel_count;
static _Atomic(aclvencCallback) program; /* one peer to a process: one callback */

/* What the benchmark reads, in the order of the callbacks: when they were entered, how long they took. It is set back to
 * none between two measurements, when no callback runs. */
atomic_size_t probe_samples;
uint32_t probe_hold_ns[MAX_SAMPLES];
_Atomic uint64_t probe_entered_ns[MAX_SAMPLES];

static void timed(acldvppPicDesc *input, acldvppStreamDesc *output, void *user_data) {
    size_t i = atomic_fetch_add(&probe_samples, 1);
    if (i >= MAX_SAMPLES)
        abort(); /* longer than anything that is measured */
    uint64_t start = now_ns();
    atomic_store(&probe_entered_ns[i], start);
    atomic_load (&program)(input, output, user_data);
    probe_hold_ns[i] = (uint32_t)(now_ns() - start);
}

aclError aclvencSetChannelDescCallback(aclvencChannelDesc *desc, aclvencCallback callback) {
    aclError (*set)(aclvencChannelDesc *, aclvencCallback);
    void *symbol = dlsym(RTLD_NEXT, __func__);
    memcpy(&set, &symbol, sizeof symbol);
    aclvencCallback before = atomic_exchange(&program, callback);
    size_t number = atomic_fetch_add(&channel_count, 1);
    if (symbol == NULL || (before != NULL && before != callback) || number >= MAX_CHANNELS)
        abort(); /* two peers in this process, or more channels than a chip has */
    channels[number] = desc;
    return set(desc, timed);
}

static void look(probe_window *w) {
    memset(w, 0, sizeof *w);
    for (size_t i = 0; i < atomic_load(&channel_count); i++) {
        aclsim_channel_stats s;
        if (aclsim_get_channel_stats(channels[i], &s) != 0)
            continue; /* not open */
        w->channels++;
        w->encoded += s.encoded;
        w->host_idle_ns += s.host_idle_ns;
    }
}

/* What happens during so many seconds. Called without the GIL, so that no peer disturbs the clock. */
void probe_watch(double seconds, probe_window *window) {
    probe_window before, after;
    struct timespec t = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    uint64_t start = now_ns();
    look(&before);
    nanosleep(&t, NULL);
    look(&after);
    window->seconds = (double)(now_ns() - start) * 1e-9;
    window->channels = after.channels;
    window->encoded = after.encoded - before.encoded;
    window->host_idle_ns = after.host_idle_ns - before.host_idle_ns;
}
