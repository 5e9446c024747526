// SPDX-License-Identifier: Apache-2.0
/*
 * The tables of functions, filled from ACL_FUNCTIONS and, of DVPP V2, HIMPI_FUNCTIONS; avenc_function_* of avenc.h. Needs
 * base, load/paths.
 */
#ifndef ASCEND_VENC_LOAD_TABLE_H
#define ASCEND_VENC_LOAD_TABLE_H

#include "avenc.h"

/*
 * Look every function up in its library, then in the other one: some systems divide the list differently. NULL for
 * an optional one that neither has; AVENC_E_SYMBOL names the required ones.
 */
int avi_fill_table(acl_api *api, void *runtime, const char *runtime_path, void *media, const char *media_path);

/* The same of DVPP V2's library. What every version has and this one lacks is added to `missing`, which is "" if nothing. */
void avi_fill_himpi(himpi_api *api, void *mpi, char *missing, size_t size);

/*
 * 1 if the function of that name is there, 0 if not, AVENC_E_INVALID if no function of the lists has that name. himpi
 * NULL: none of DVPP V2's is.
 */
int avi_table_has(const acl_api *api, const himpi_api *himpi, const char *function);

#endif
