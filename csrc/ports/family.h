// SPDX-License-Identifier: Apache-2.0
/*
 * The vendor's two interfaces must not be mixed in one process (documented): the first one that was used decides. Any
 * thread. Needs base.
 */
#ifndef ASCEND_VENC_PORTS_FAMILY_H
#define ASCEND_VENC_PORTS_FAMILY_H

#include <stdbool.h>

/*
 * One of the vendor's interfaces (AVENC_DVPP_*) is about to be used: AVENC_OK, or AVENC_E_MIXED. Each that succeeds is
 * followed by one avi_family_settle. A child of fork() has used none.
 */
int avi_family_claim(int family, const char *call);

/* It was used, and the process has chosen; or it came to nothing. */
void avi_family_settle(int family, bool used);

#endif
