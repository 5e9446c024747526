// SPDX-License-Identifier: Apache-2.0
/*
 * Finding AscendCL and its table of functions: avenc_library_open and avenc_library_api, _info_get and _has, as avenc.h
 * says. What avenc_library_info_get returns never changes and stays valid; a later call may return another one, with
 * the number of devices that the library last reported. Needs base and load/paths.
 */
#ifndef ASCEND_VENC_LOAD_ASCEND_H
#define ASCEND_VENC_LOAD_ASCEND_H

#include <stdbool.h>

#include "avenc.h"

/* Our aclInit returned 0, so it was the one that counted, and aclFinalize is ours to call. Any thread. */
void avi_library_owe_finalize(avenc_library *library);

/*
 * True if aclFinalize is owed; then it is the caller's to call, and nobody else's. The child of a fork owes nothing
 * for what its parent initialised. Any thread.
 */
bool avi_library_take_owed(avenc_library *library);

#endif
