// SPDX-License-Identifier: Apache-2.0
/*
 * Threads open one library while its number of devices changes, and now and then cannot be asked; others read what
 * is said of it, and take what is owed. Nobody ever reads a number that the library did not report.
 * On V2 they open that library too, of which nobody has a table before it is said to be open.
 * Usage: load_threads <library> <rounds>. The library's aclrtGetDeviceCount returns 1, fails, returns 2, in turn.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "library.h"
#include "load/library.h"

enum { THREADS = 6 };

static const char *path;
static int rounds;
static avenc_library *known;
static atomic_int owed, taken;

static void *work(void *number) {
    intptr_t wrong = 0;
    const avenc_library_options options = {.backend = path};
    for (int i = 0; i < rounds; i++) {
        avenc_library *library = known;
        if ((intptr_t)number % 2) {
            int rc = open_library(&options, &library);
            wrong += (rc != AVENC_OK && rc != AVENC_E_BROKEN) || library != known;
        }
        const avenc_library_info *info = avenc_library_info_get(library);
        wrong += info->device_count < 1 || info->device_count > 2 || strcmp(info->runtime_path, path) != 0;
        wrong += info->fallback[0] != '\0';
        const himpi_api *mpi = avenc_library_himpi(library);
        wrong += mpi && (!mpi->hi_mpi_sys_init || avenc_library_info_get(library)->mpi_state != AVENC_MPI_READY);
        if ((intptr_t)number == 0) {
            avi_library_owe_finalize(library);
            atomic_fetch_add(&owed, 1);
        } else if (avi_library_take_owed(library)) {
            atomic_fetch_add(&taken, 1);
        }
    }
    return (void *)wrong;
}

int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    path = argv[1];
    rounds = atoi(argv[2]);
    const avenc_library_options options = {.backend = path};
    bool v2 = interface_under_test() == AVENC_DVPP_V2;
    setenv("ASCEND_VENC_INTERFACE", "v1", 1);
    if (open_library(&options, &known) != AVENC_OK) {
        fprintf(stderr, "%s\n", avenc_last_failure()->detail);
        return 3;
    }
    if (v2)
        setenv("ASCEND_VENC_INTERFACE", "v2", 1);
    pthread_t threads[THREADS];
    intptr_t sum = 0;
    for (intptr_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, work, (void *)i);
    for (int i = 0; i < THREADS; i++) {
        void *wrong = NULL;
        pthread_join(threads[i], &wrong);
        sum += (intptr_t)wrong;
    }
    if (avi_library_take_owed(known))
        atomic_fetch_add(&taken, 1);
    sum += v2 != (avenc_library_himpi(known) != NULL);
    if (sum || taken < 1 || taken > owed || avi_library_take_owed(known)) {
        fprintf(stderr, "%d wrong; %d owed, %d taken\n", (int)sum, owed, taken);
        return 4;
    }
    puts("ok");
    return 0;
}
