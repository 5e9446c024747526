// SPDX-License-Identifier: Apache-2.0
/*
 * Libraries of AscendCL that were found usable, each once: avenc_library_api, _info_get and _has, as avenc.h says. What
 * avenc_library_info_get returns never changes and stays valid; a later call may return another one, with the number of
 * devices that the library last reported. Needs base, load/paths and load/table.
 */
#ifndef ASCEND_VENC_LOAD_LIBRARY_H
#define ASCEND_VENC_LOAD_LIBRARY_H

#include <stdbool.h>

#include "avenc.h"
#include "load/paths.h"

/*
 * Make the library of a runtime that was loaded, or find it; `name`: its path if the loader does not tell. Loads the
 * media library, and calls aclrtGetDeviceCount and perhaps aclInit, with no lock held: they may not return. On failure
 * what was loaded stays open.
 */
int avi_library_adopt(avi_search *search, void *runtime, bool simulated, const char *found_by, const char *name,
                      avenc_library **library);

/*
 * Look for DVPP V2's library, unless it was found, by the same rules; info.mpi_state says how that went. AVENC_E_NOMEM:
 * nothing is known. search->stopped: nothing was loaded, and nothing is known. No lock is held while it is loaded.
 */
int avi_library_find_mpi(avi_search *search, avenc_library *library);

enum { AVI_FALLBACK_SIZE = 2048 };

/* It was taken in place of another one: say why, from now on. A text beyond AVI_FALLBACK_SIZE is cut off. */
int avi_library_note_fallback(avenc_library *library, const char *reason);

/* Our aclInit returned 0, so it was the one that counted, and aclFinalize is ours to call. Any thread. */
void avi_library_owe_finalize(avenc_library *library);

/*
 * True if aclFinalize is owed; then it is the caller's to call, and nobody else's. The child of a fork owes nothing
 * for what its parent initialised. Any thread.
 */
bool avi_library_take_owed(avenc_library *library);

#endif
