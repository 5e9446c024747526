// SPDX-License-Identifier: Apache-2.0
#include "ports/family.h"
#include "base/status.h"
#include "base/thread.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* a leaf */
static int chosen;                                       /* AVENC_DVPP_*; 0: none */
static unsigned claims;                                  /* not settled */
static unsigned exits;                                   /* of V2, under way: it is not to be opened meanwhile */
static bool used_before;                                 /* else the choice lasts as long as the claims */

int avi_family_claim(int family, const char *call) {
    avi_lock(&lock);
    int before = chosen;
    bool leaving = exits > 0 && family == AVENC_DVPP_V2;
    if (!leaving && (before == 0 || before == family)) {
        chosen = family;
        claims++;
    }
    avi_unlock(&lock);
    if (leaving)
        return avi_fail(
            AVENC_E_MIXED, call,
            "acl.himpi.sys_exit is under way on another thread, and would end this device too: open it when "
            "sys_exit has returned");
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

int avenc_interface_begin_exit(void) {
    avi_lock(&lock);
    bool free_to = claims == 0 && avenc_live(AVENC_LIVE_DEVICE) == 0; /* opening counts the device before it settles */
    exits += free_to;
    avi_unlock(&lock);
    return free_to;
}

void avenc_interface_end_exit(void) {
    avi_lock(&lock);
    exits--;
    avi_unlock(&lock);
}

static void after_fork(void) {
    pthread_mutex_init(&lock, NULL);
    chosen = 0;
    claims = 0;
    exits = 0;
    used_before = false;
}

__attribute__((constructor)) static void set_up(void) {
    avi_on_fork(after_fork);
}
