// SPDX-License-Identifier: Apache-2.0
/* Armed faults: calls that fail, calls that never return, frames that go wrong. */
#include "sim.h"

#include <string.h>

enum { MAX_FAULTS = 16 };

atomic_int sim_watch;

static const char *const names[] = {
#define X(library, presence, ret, name, params) #name,
    ACL_FUNCTIONS(X)
#undef X
#define X(presence, ret, name, params) #name,
        HIMPI_FUNCTIONS(X)
#undef X
};

const char *sim_function_name(int function) {
    return function >= 0 && function < SIM_FN_COUNT ? names[function] : "?";
}

int sim_function_find(const char *name) {
    if (name == NULL)
        return SIM_FN_UNKNOWN;
    if (strcmp(name, "*") == 0)
        return SIM_FN_ANY;
    for (int i = 0; i < SIM_FN_COUNT; i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    return SIM_FN_UNKNOWN;
}

void sim_watch_for(int bit, bool on) {
    if (on)
        atomic_fetch_or(&sim_watch, bit);
    else
        atomic_fetch_and(&sim_watch, ~bit);
}

/* ---- calls ------------------------------------------------------------------------------------------- */

typedef struct fault {
    bool armed, persistent, hang, after;
    int function;
    int32_t code;
    uint64_t left; /* calls until it strikes */
} fault;

typedef struct frame_fault {
    bool armed, persistent;
    int action;
    uint32_t value;
    uint64_t left;
} frame_fault;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* these three; a leaf */
static fault faults[MAX_FAULTS];
static frame_fault frame_faults[MAX_FAULTS];
static uint64_t struck;
static _Atomic uint64_t clearings; /* calls of aclsim_clear_faults */

sim_strike sim_fault_strike(int function) {
    sim_strike strike = {0};
    pthread_mutex_lock(&lock);
    strike.clearings = clearings;
    for (int i = 0; i < MAX_FAULTS; i++) {
        fault *f = &faults[i];
        if (!f->armed || (f->function != SIM_FN_ANY && f->function != function))
            continue;
        if (f->left > 1) {
            f->left--;
            continue;
        }
        if (!f->persistent)
            f->armed = false;
        struck++;
        if (f->hang && f->after) {
            strike.hang_after = true;
        } else if (f->hang) {
            strike.hang_before = true;
        } else if (strike.code == 0) {
            strike.code = f->code;
            strike.works = f->after;
        }
    }
    pthread_mutex_unlock(&lock);
    return strike;
}

static int arm(const fault *wanted) {
    int result = -1;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MAX_FAULTS && result != 0; i++) {
        if (faults[i].armed)
            continue;
        faults[i] = *wanted;
        sim_watch_for(WATCH_FAULTS, true);
        result = 0;
    }
    pthread_mutex_unlock(&lock);
    return result;
}

int aclsim_fail_call(const char *function, uint64_t nth, int32_t code, int persistent) {
    const fault wanted = {.armed = true,
                          .persistent = persistent != 0,
                          .function = sim_function_find(function),
                          .code = code,
                          .left = nth};
    return wanted.function == SIM_FN_UNKNOWN || nth == 0 || code == 0 ? -1 : arm(&wanted);
}

/* The functions that are written with SIM_CALL, and aclvencDestroyChannel, which always does its work. */
static bool can_fail_after(int function) {
    switch (function) {
    case SIM_FN_aclFinalize:
    case SIM_FN_aclFinalizeReference:
    case SIM_FN_aclrtResetDevice:
    case SIM_FN_aclrtResetDeviceForce:
    case SIM_FN_aclrtDestroyContext:
    case SIM_FN_aclrtDestroyStream:
    case SIM_FN_aclrtDestroyStreamForce:
    case SIM_FN_aclrtDestroyEvent:
    case SIM_FN_aclrtUnSubscribeReport:
    case SIM_FN_aclrtProcessReport:
    case SIM_FN_aclrtFree:
    case SIM_FN_aclrtFreeHost:
    case SIM_FN_acldvppFree:
    case SIM_FN_acldvppDestroyPicDesc:
    case SIM_FN_acldvppDestroyBatchPicDesc:
    case SIM_FN_acldvppDestroyStreamDesc:
    case SIM_FN_aclvencDestroyFrameConfig:
    case SIM_FN_aclvencDestroyChannelDesc:
    case SIM_FN_aclvencDestroyChannel:
    case SIM_FN_aclvencSendFrame:
    case SIM_FN_hi_mpi_sys_exit:
    case SIM_FN_hi_mpi_sys_close_epoll:
    case SIM_FN_hi_mpi_dvpp_free:
    case SIM_FN_hi_mpi_venc_destroy_chn:
    case SIM_FN_hi_mpi_venc_stop_chn:
    case SIM_FN_hi_mpi_venc_close_fd:
    case SIM_FN_hi_mpi_venc_send_frame:
    case SIM_FN_hi_mpi_venc_release_stream:
    case SIM_FN_hi_mpi_venc_set_chn_attr:
    case SIM_FN_hi_mpi_venc_set_rc_param:
        return true;
    default:
        return false;
    }
}

int aclsim_fail_call_after(const char *function, uint64_t nth, int32_t code, int persistent) {
    const fault wanted = {.armed = true,
                          .persistent = persistent != 0,
                          .after = true,
                          .function = sim_function_find(function),
                          .code = code,
                          .left = nth};
    return !can_fail_after(wanted.function) || nth == 0 || code == 0 ? -1 : arm(&wanted);
}

/* ---- calls that never return -------------------------------------------------------------------------- */

/* A leaf. While a thread sleeps here it holds no lock at all. */
static pthread_mutex_t hang_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t hang_changed; /* see init */
static uint64_t hung[SIM_FN_COUNT];
static uint64_t released; /* how often aclsim_release_hung has been called */

__attribute__((constructor)) static void init(void) {
    sim_cond_init(&hang_changed);
}

void sim_hang(int function, uint64_t clearings_then) {
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    pthread_mutex_lock(&hang_lock);
    if (clearings != clearings_then) { /* while the call was at its work */
        pthread_mutex_unlock(&hang_lock);
        pthread_setcancelstate(state, NULL);
        return;
    }
    hung[function]++;
    pthread_cond_broadcast(&hang_changed);
    for (uint64_t number = released; released == number;)
        pthread_cond_wait(&hang_changed, &hang_lock);
    hung[function]--;
    pthread_mutex_unlock(&hang_lock);
    pthread_setcancelstate(state, NULL);
}

static int arm_hang(const char *function, uint64_t nth, int persistent, bool after) {
    const fault wanted = {.armed = true,
                          .persistent = persistent != 0,
                          .hang = true,
                          .after = after,
                          .function = sim_function_find(function),
                          .left = nth};
    return wanted.function == SIM_FN_UNKNOWN || nth == 0 ? -1 : arm(&wanted);
}

int aclsim_hang_call(const char *function, uint64_t nth, int persistent) {
    return arm_hang(function, nth, persistent, false);
}

int aclsim_hang_call_after(const char *function, uint64_t nth, int persistent) {
    return arm_hang(function, nth, persistent, true);
}

static uint64_t count_hung_locked(int function) {
    uint64_t sum = 0;
    for (int i = 0; i < SIM_FN_COUNT; i++)
        if (function == SIM_FN_ANY || function == i)
            sum += hung[i];
    return sum;
}

uint64_t aclsim_hung_calls(const char *function) {
    int index = sim_function_find(function);
    pthread_mutex_lock(&hang_lock);
    uint64_t result = count_hung_locked(index);
    pthread_mutex_unlock(&hang_lock);
    return result;
}

int aclsim_wait_hung(const char *function, uint64_t count, uint32_t timeout_ms) {
    int index = sim_function_find(function);
    uint64_t deadline = sim_now_ns() + timeout_ms * 1000000ull;
    bool in_time = index != SIM_FN_UNKNOWN;
    pthread_mutex_lock(&hang_lock);
    while (in_time && count_hung_locked(index) < count)
        in_time = sim_cond_wait_until(&hang_changed, &hang_lock, deadline);
    bool enough = index != SIM_FN_UNKNOWN && count_hung_locked(index) >= count;
    pthread_mutex_unlock(&hang_lock);
    return enough ? 0 : -1;
}

uint64_t aclsim_release_hung(void) {
    pthread_mutex_lock(&hang_lock);
    uint64_t result = count_hung_locked(SIM_FN_ANY);
    released++;
    pthread_cond_broadcast(&hang_changed);
    pthread_mutex_unlock(&hang_lock);
    return result;
}

/* ---- frames -------------------------------------------------------------------------------------------- */

int sim_frame_fault(uint32_t *value) {
    int action = SIM_FRAME_NONE;
    if (!(atomic_load_explicit(&sim_watch, memory_order_relaxed) & WATCH_FRAMES))
        return action;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MAX_FAULTS; i++) {
        frame_fault *f = &frame_faults[i];
        if (!f->armed)
            continue;
        if (f->left > 1) {
            f->left--;
            continue;
        }
        if (!f->persistent)
            f->armed = false;
        struck++;
        if (action == SIM_FRAME_NONE) {
            action = f->action;
            *value = f->value;
        }
    }
    pthread_mutex_unlock(&lock);
    return action;
}

int aclsim_fail_frame(uint64_t nth, int action, uint32_t value, int persistent) {
    if (nth == 0 || action < ACLSIM_FRAME_RET_CODE || action > ACLSIM_FRAME_DELAY)
        return -1;
    int result = -1;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MAX_FAULTS && result != 0; i++) {
        if (frame_faults[i].armed)
            continue;
        frame_faults[i] = (frame_fault){true, persistent != 0, action, value, nth};
        sim_watch_for(WATCH_FRAMES, true);
        result = 0;
    }
    pthread_mutex_unlock(&lock);
    return result;
}

/* ---- control ------------------------------------------------------------------------------------------- */

uint64_t aclsim_clear_faults(void) {
    pthread_mutex_lock(&lock);
    memset(faults, 0, sizeof faults);
    memset(frame_faults, 0, sizeof frame_faults);
    uint64_t result = struck;
    struck = 0;
    clearings++;
    sim_watch_for(WATCH_FAULTS | WATCH_FRAMES, false);
    pthread_mutex_unlock(&lock);
    aclsim_release_hung();
    return result;
}

void sim_faults_after_fork(void) {
    pthread_mutex_init(&lock, NULL);
    pthread_mutex_init(&hang_lock, NULL);
    sim_cond_init(&hang_changed);
    memset(hung, 0, sizeof hung);
}
