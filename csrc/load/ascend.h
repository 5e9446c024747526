// SPDX-License-Identifier: Apache-2.0
/* The search for AscendCL. Needs base, load/library and load/paths. */
#ifndef ASCEND_VENC_LOAD_ASCEND_H
#define ASCEND_VENC_LOAD_ASCEND_H

#include "avenc.h"

/*
 * What avenc_library_open promises, on this thread, which constructors and calls of the vendor's may keep; no lock is
 * held across such a call, but the dynamic loader's. `warned`: options->warned, copied, with room for
 * options->warned_room bytes; or NULL. AVENC_OK with *library NULL: a warning was added there, which is to be given first.
 */
int avi_library_find(const avenc_library_options *options, char *warned, avenc_library **library);

/* The same of avenc_library_open_mpi: `library` is the one whose DVPP V2 is looked for, *found that, or NULL likewise. */
int avi_library_find_v2(const avenc_library_options *options, char *warned, avenc_library *library,
                        avenc_library **found);

#endif
