// SPDX-License-Identifier: Apache-2.0
/*
 * Bodies for libascendcl.so, libacl_rt.so, libacl_dvpp.so and their like of the simulated device. One library
 * carries all of it, but a program for hardware is linked with several, which have to share one state. So they are
 * filters (DT_FILTER): each offers the linker the names that the vendor's file of that name has, and the dynamic loader
 * takes every one of them from the simulated device, the same one that Python uses. A missing -lacl_dvpp is found at link time, as with the vendor's,
 * and what is linked here asks for the vendor's files on an Ascend host.
 *
 * glibc knows filters. Where a loader does not, the bodies run: they say so, and end the process.
 *
 * What the simulated device has not, the loader does not find there: the bodies of elsewhere.h's functions run.
 */
#ifndef ASCEND_VENC_SIM_LINK_FILTER_H
#define ASCEND_VENC_SIM_LINK_FILTER_H

#define ACL_NO_PROTOTYPES
#define HI_NO_PROTOTYPES
#include "ascendcl.h"
#include "himpi.h"
#include "elsewhere.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

__attribute__((noreturn)) static inline void not_filtered(const char *function) {
    fprintf(
        stderr,
        "ascend simulated device: %s has come to the file that only programs are linked with: this system's dynamic "
        "loader knows no filter libraries (DT_FILTER). Set LD_PRELOAD to libascendvenc_sim.so\n",
        function);
    abort();
}

/* Once for each function: some are called for each frame. */
static inline void say_elsewhere(const char *function, atomic_flag *said) {
    if (!atomic_flag_test_and_set(said))
        fprintf(stderr, "%s: the simulated device has the video encoder only\n", function);
}

#define ELSEWHERE(ret, name, value)                                                                                    \
    __attribute__((visibility("default"))) ret name(void) {                                                            \
        static atomic_flag said = ATOMIC_FLAG_INIT;                                                                    \
        say_elsewhere(#name, &said);                                                                                   \
        return value;                                                                                                  \
    }
#define NOT_OF_V1(name) ELSEWHERE(aclError, name, ACL_ERROR_API_NOT_SUPPORT)
#define NOT_OF_V2(name) ELSEWHERE(hi_s32, name, HI_ERR_SYS_NOT_SUPPORT)
#define NO_VALUE(name)  ELSEWHERE(void *, name, NULL)
#define NO_REAL(name)   ELSEWHERE(double, name, 0)

/* FILTER_RUNTIME(body) and its like of the including file: the body, or nothing. */
#define FILTERED(library, presence, ret, name, params)                                                                 \
    FILTER_##library(__attribute__((visibility("default"))) ret name params { not_filtered(#name); })

#define FILTERED_V2(presence, ret, name, params) FILTERED(MPI, presence, ret, name, params)

#pragma GCC diagnostic ignored "-Wunused-parameter"
ACL_FUNCTIONS(FILTERED)
HIMPI_FUNCTIONS(FILTERED_V2)
/* Not in the list, because only programs call it. */
FILTERED(RUNTIME, OPTIONAL, void, aclAppLog,
         (int32_t logLevel, const char *func, const char *file, uint32_t line, const char *fmt, ...))

FILTER_MEDIA(ELSEWHERE_MEDIA_CODES(NOT_OF_V1) ELSEWHERE_MEDIA_VALUES(NO_VALUE) ELSEWHERE_MEDIA_REALS(NO_REAL))
FILTER_MODEL(ELSEWHERE_MODEL_CODES(NOT_OF_V1) ELSEWHERE_MODEL_VALUES(NO_VALUE))
FILTER_COMPILER(ELSEWHERE_COMPILER_CODES(NOT_OF_V1) ELSEWHERE_COMPILER_VALUES(NO_VALUE))
FILTER_MPI(ELSEWHERE_MPI_CODES(NOT_OF_V2))

#endif /* ASCEND_VENC_SIM_LINK_FILTER_H */
