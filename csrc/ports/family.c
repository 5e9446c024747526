// SPDX-License-Identifier: Apache-2.0
#include "ports/family.h"
#include "base/status.h"
#include "base/thread.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* a leaf */
static int chosen;                                       /* AVENC_DVPP_*; 0: none */
static unsigned claims;                                  /* not settled */
static bool used_before;                                 /* else the choice lasts as long as the claims */

int avi_family_claim(int family, const char *call) {
    avi_lock(&lock);
    int before = chosen;
    if (before == 0 || before == family) {
        chosen = family;
        claims++;
    }
    avi_unlock(&lock);
    if (before == 0 || before == family)
        return AVENC_OK;
    return avi_fail(
        AVENC_E_MIXED, call,
        "DVPP V1 and V2 must not be mixed in one process, and this one uses V%d: choose interface=\"v%d\", or "
        "another process",
        before, before);
}

void avi_family_settle(int family, bool used) {
    avi_lock(&lock);
    claims--;
    used_before = used_before || used;
    if (claims == 0 && !used_before && chosen == family)
        chosen = 0;
    avi_unlock(&lock);
}

int avenc_interface_in_use(void) {
    avi_lock(&lock);
    int family = chosen;
    avi_unlock(&lock);
    return family;
}

int avenc_interface_use(int interface) {
    int rc = avi_family_claim(interface, __func__);
    if (rc == AVENC_OK)
        avi_family_settle(interface, true);
    return rc;
}

static void after_fork(void) {
    pthread_mutex_init(&lock, NULL);
    chosen = 0;
    claims = 0;
    used_before = false;
}

__attribute__((constructor)) static void set_up(void) {
    avi_on_fork(after_fork);
}
