// SPDX-License-Identifier: Apache-2.0
#include "ports/family.h"
#include "base/status.h"
#include "base/thread.h"

#include <stdatomic.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* a leaf */
static int chosen;                                       /* AVENC_DVPP_*; 0: none */
static unsigned claims;                                  /* not settled */
static unsigned exits;                                   /* of V2, under way: it is not to be opened meanwhile */
static bool used_before;                                 /* else the choice lasts as long as the claims */
static atomic_int expected;                              /* AVENC_DVPP_*; 0: none. Not the lock's */
static pthread_cond_t settled;                           /* a claim */

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
    pthread_cond_broadcast(&settled);
    avi_unlock(&lock);
}

int avenc_interface_wait_settled(int interface, const avenc_wait *wait) {
    uint64_t look = wait && wait->look_ns != AVI_FOR_EVER ? avi_now_ns() + wait->look_ns : AVI_FOR_EVER;
    uint64_t deadline = wait ? wait->deadline_ns : 0, now = 0;
    bool pending;
    avi_lock(&lock);
    while ((pending = chosen == interface && claims > 0 && !used_before) && (now = avi_now_ns()) < deadline &&
           now < look)
        avi_cond_wait_until(&settled, &lock, look < deadline ? look : deadline);
    avi_unlock(&lock);
    if (!pending)
        return AVENC_OK;
    if (now < deadline)
        return avi_fail(AVENC_E_LOOK, __func__, "the wait goes on");
    return avi_fail(AVENC_E_TIMEOUT, __func__,
                    "another thread has begun DVPP V%d, and whether this process uses it is not known within %.3g s: a "
                    "call of the vendor's library has not returned",
                    interface, wait ? (double)(deadline - wait->since_ns) * 1e-9 : 0);
}

int avenc_interface_in_use(void) {
    avi_lock(&lock);
    int family = chosen;
    avi_unlock(&lock);
    return family;
}

void avenc_interface_expect(int interface) {
    atomic_store_explicit(&expected, interface, memory_order_relaxed);
}

int avenc_interface_expected(void) {
    int family = avenc_interface_in_use();
    return family ? family : atomic_load_explicit(&expected, memory_order_relaxed);
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
    avi_cond_init(&settled);
    chosen = 0;
    claims = 0;
    exits = 0;
    used_before = false;
    atomic_store(&expected, 0);
}

__attribute__((constructor)) static void set_up(void) {
    avi_cond_init(&settled);
    avi_on_fork(after_fork);
}
