// SPDX-License-Identifier: Apache-2.0
/* Scenarios of the native tests: each file has some, and the program runs those that its arguments name. */
#ifndef TESTS_NATIVE_SCENARIO_H
#define TESTS_NATIVE_SCENARIO_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "avenc.h"

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s\nlast failure: %d %s %s\n", __FILE__, __LINE__, #condition,                     \
                    avenc_last_failure()->code, avenc_last_failure()->call, avenc_last_failure()->detail);             \
            fflush(stderr);                                                                                            \
            _Exit(1);                                                                                                  \
        }                                                                                                              \
    } while (0)

/* Wait for something that native threads do by themselves, and that nothing announces. It is no measure of time. */
#define UNTIL(condition)                                                                                               \
    do {                                                                                                               \
        for (int tries_ = 0; !(condition); tries_++) {                                                                 \
            CHECK(tries_ < 20000 && #condition);                                                                       \
            struct timespec pause_ = {.tv_nsec = 1000000};                                                             \
            nanosleep(&pause_, NULL);                                                                                  \
        }                                                                                                              \
    } while (0)

typedef struct scenario {
    const char *name;
    void (*run)(void);
} scenario;

void scenario_add(const char *name, void (*run)(void));

#define SCENARIO(name)                                                                                                 \
    static void name(void);                                                                                            \
    __attribute__((constructor)) static void add_##name(void) {                                                        \
        scenario_add(#name, name);                                                                                     \
    }                                                                                                                  \
    static void name(void)

#endif
