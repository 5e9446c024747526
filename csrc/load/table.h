// SPDX-License-Identifier: Apache-2.0
/* The table of AscendCL's functions, filled from ACL_FUNCTIONS; avenc_function_* of avenc.h. Needs base, load/paths. */
#ifndef ASCEND_VENC_LOAD_TABLE_H
#define ASCEND_VENC_LOAD_TABLE_H

#include "avenc.h"

/*
 * Look every function up in its library, then in the other one: some systems divide the list differently. NULL for
 * an optional one that neither has; AVENC_E_SYMBOL names the required ones.
 */
int avi_fill_table(acl_api *api, void *runtime, const char *runtime_path, void *media, const char *media_path);

/* 1 if the function of that name is there, 0 if not, AVENC_E_INVALID if no function of the list has that name. */
int avi_table_has(const acl_api *api, const char *function);

#endif
