// SPDX-License-Identifier: Apache-2.0
/*
 * Bodies for libascendcl.so, libacl_rt.so, libacl_dvpp.so and libacl_dvpp_mpi.so of the simulated device. One library
 * carries all of it, but a program for hardware is linked with several, which have to share one state. So they are
 * filters (DT_FILTER): each offers the linker the names that the vendor's file of that name has, and the dynamic loader
 * takes every one of them from the simulated device, the same one that Python uses. A missing -lacl_dvpp is found at link time, as with the vendor's,
 * and what is linked here asks for the vendor's files on an Ascend host.
 *
 * glibc knows filters. Where a loader does not, the bodies run: they say so, and end the process.
 */
#ifndef ASCEND_VENC_SIM_LINK_FILTER_H
#define ASCEND_VENC_SIM_LINK_FILTER_H

#define ACL_NO_PROTOTYPES
#define HI_NO_PROTOTYPES
#include "ascendcl.h"
#include "himpi.h"

#include <stdio.h>
#include <stdlib.h>

__attribute__((noreturn)) static void not_filtered(const char *function) {
    fprintf(
        stderr,
        "ascend simulated device: %s has come to the file that only programs are linked with: this system's dynamic "
        "loader knows no filter libraries (DT_FILTER). Set LD_PRELOAD to libascendvenc_sim.so\n",
        function);
    abort();
}

/* FILTER_RUNTIME(body), FILTER_MEDIA(body) and FILTER_MPI(body) of the including file: the body, or nothing. */
#define FILTERED(library, presence, ret, name, params)                                                                 \
    FILTER_##library(__attribute__((visibility("default"))) ret name params { not_filtered(#name); })

#define FILTERED_V2(presence, ret, name, params) FILTERED(MPI, presence, ret, name, params)

#pragma GCC diagnostic ignored "-Wunused-parameter"
ACL_FUNCTIONS(FILTERED)
HIMPI_FUNCTIONS(FILTERED_V2)
/* Not in the list, because only programs call it. */
FILTERED(RUNTIME, OPTIONAL, void, aclAppLog,
         (int32_t logLevel, const char *func, const char *file, uint32_t line, const char *fmt, ...))

#endif /* ASCEND_VENC_SIM_LINK_FILTER_H */
