// SPDX-License-Identifier: Apache-2.0
/*
 * Where a library is found by name, for each name: by our search or by the dynamic loader's own. Usage: load_search
 * ours|loader <name>... Prints a path, or "-", for each, found in a process of its own.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "load/paths.h"

int main(int argc, char **argv) {
    for (int i = 2; i < argc; i++) {
        if (fork() == 0) {
            char path[PATH_MAX] = "-";
            avi_search search = {0};
            void *handle = strcmp(argv[1], "ours") == 0 ? avi_load_soname(&search, argv[i])
                                                        : dlopen(argv[i], RTLD_NOW | RTLD_LOCAL);
            if (handle)
                avi_resolved_path(handle, "?", path);
            puts(path);
            fflush(stdout);
            _exit(0);
        }
        wait(NULL);
    }
    return 0;
}
