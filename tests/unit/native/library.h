// SPDX-License-Identifier: Apache-2.0
/* A library, opened and waited for; and the interface that the program is run with, by $ASCEND_VENC_INTERFACE. */
#ifndef ASCEND_VENC_TESTS_LIBRARY_H
#define ASCEND_VENC_TESTS_LIBRARY_H

#include <stdlib.h>
#include <string.h>

#include "avenc.h"

static inline int interface_under_test(void) {
    const char *chosen = getenv("ASCEND_VENC_INTERFACE");
    return chosen && strcmp(chosen, "v2") == 0 ? AVENC_DVPP_V2 : AVENC_DVPP_V1;
}

/* The name of a call that both have. */
static inline const char *name_of(const char *v1, const char *v2) {
    return interface_under_test() == AVENC_DVPP_V2 ? v2 : v1;
}

static inline int open_library(const avenc_library_options *options, avenc_library **library) {
    avenc_opening *opening;
    const avenc_wait wait = {.deadline_ns = AVENC_FOR_EVER, .stall_ns = AVENC_FOR_EVER, .look_ns = AVENC_FOR_EVER};
    int rc = avenc_library_open(options, &opening);
    if (rc != AVENC_OK)
        return rc;
    rc = avenc_library_wait_open(opening, &wait, library, NULL);
    avenc_opening_release(opening);
    if (rc != AVENC_OK || !*library || interface_under_test() != AVENC_DVPP_V2)
        return rc;
    if ((rc = avenc_library_open_mpi(*library, options, &opening)) != AVENC_OK)
        return rc;
    rc = avenc_library_wait_open(opening, &wait, library, NULL);
    avenc_opening_release(opening);
    return rc;
}

#endif
