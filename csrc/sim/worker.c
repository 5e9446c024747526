// SPDX-License-Identifier: Apache-2.0
/* The threads of the device that encode, one a channel. */
#include "sim.h"

#include <signal.h>

int sim_start_worker(pthread_t *thread, void *(*run)(void *), void *arg, const char *name) {
    sigset_t all, before;
    sigfillset(&all); /* signals are the program's threads' business */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(thread, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0)
        return rc;
    pthread_setname_np(*thread, name);
    sim_live_add(SIM_THREAD, 1);
    return 0;
}
