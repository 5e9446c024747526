// SPDX-License-Identifier: Apache-2.0
/* A library, opened and waited for. */
#ifndef ASCEND_VENC_TESTS_LIBRARY_H
#define ASCEND_VENC_TESTS_LIBRARY_H

#include "avenc.h"

static inline int open_library(const avenc_library_options *options, avenc_library **library) {
    avenc_opening *opening;
    const avenc_wait wait = {.deadline_ns = AVENC_FOR_EVER, .stall_ns = AVENC_FOR_EVER, .look_ns = AVENC_FOR_EVER};
    int rc = avenc_library_open(options, &opening);
    if (rc != AVENC_OK)
        return rc;
    rc = avenc_library_wait_open(opening, &wait, library, NULL);
    avenc_opening_release(opening);
    return rc;
}

#endif
