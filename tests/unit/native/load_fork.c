// SPDX-License-Identifier: Apache-2.0
/*
 * A fork while another thread puts what a library said into the list of libraries, with its lock: the child opens the
 * library all the same. That thread is stopped in the last allocation of an opening, which is made there.
 * Usage: load_fork <library>, of which aclrtGetDeviceCount never returns the same number twice. Linked with --wrap=calloc.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "library.h"
#include "scenario.h"

static atomic_uint allocations, stop_at; /* stop_at 0: nowhere */
static atomic_bool stopped, go_on;
static avenc_library_options options;

void *__real_calloc(size_t count, size_t size);

void *__wrap_calloc(size_t count, size_t size) {
    if (atomic_fetch_add(&allocations, 1) + 1 == atomic_load(&stop_at)) {
        atomic_store(&stopped, true);
        UNTIL(atomic_load(&go_on));
    }
    return __real_calloc(count, size);
}

static void *open_it(void *unused) {
    avenc_library *library;
    CHECK(open_library(&options, &library) == AVENC_OK);
    return unused;
}

int main(int argc, char **argv) {
    pthread_t thread;
    int status;
    CHECK(argc == 2);
    options.backend = argv[1];
    open_it(NULL);
    atomic_store(&allocations, 0);
    open_it(NULL);
    unsigned count = atomic_exchange(&allocations, 0);
    CHECK(count > 0);
    atomic_store(&stop_at, count);
    pthread_create(&thread, NULL, open_it, NULL);
    UNTIL(atomic_load(&stopped));
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(30); /* a child that hangs is a failure, and not for ever */
        atomic_store(&stop_at, 0);
        open_it(NULL);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    atomic_store(&go_on, true);
    pthread_join(thread, NULL);
    puts("ok");
    return 0;
}
