// SPDX-License-Identifier: Apache-2.0
/*
 * Two threads open a library for the first time; the slower one has no memory for what the library told it. The other
 * one's stays in the list, whole.
 * Usage: load_memory <library>, of which aclrtGetDeviceCount never returns the same number twice. Linked with
 * --wrap=calloc and --wrap=avi_fill_table, where the slower one is stopped: it has found nothing in the list.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "library.h"
#include "load/table.h"
#include "scenario.h"

static atomic_uint filled;
static atomic_bool stopped, go_on, exhausted;
static avenc_library_options options;

void *__real_calloc(size_t count, size_t size);

void *__wrap_calloc(size_t count, size_t size) {
    return atomic_load(&exhausted) ? NULL : __real_calloc(count, size);
}

int __real_avi_fill_table(acl_api *api, void *runtime, const char *runtime_path, void *media, const char *media_path);

int __wrap_avi_fill_table(acl_api *api, void *runtime, const char *runtime_path, void *media, const char *media_path) {
    int rc = __real_avi_fill_table(api, runtime, runtime_path, media, media_path);
    if (atomic_fetch_add(&filled, 1) == 0) {
        atomic_store(&stopped, true);
        UNTIL(atomic_load(&go_on));
    }
    return rc;
}

static void *open_without_memory(void *unused) {
    avenc_library *library = NULL;
    CHECK(open_library(&options, &library) == AVENC_E_NOMEM && !library);
    return unused;
}

int main(int argc, char **argv) {
    pthread_t thread;
    avenc_library *first, *again;
    CHECK(argc == 2);
    options.backend = argv[1];
    pthread_create(&thread, NULL, open_without_memory, NULL);
    UNTIL(atomic_load(&stopped));
    CHECK(open_library(&options, &first) == AVENC_OK);
    atomic_store(&exhausted, true);
    atomic_store(&go_on, true);
    pthread_join(thread, NULL);
    atomic_store(&exhausted, false);
    CHECK(open_library(&options, &again) == AVENC_OK && again == first);
    CHECK(strcmp(avenc_library_info_get(first)->runtime_path, argv[1]) == 0);
    puts("ok");
    return 0;
}
