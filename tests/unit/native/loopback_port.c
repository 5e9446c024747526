// SPDX-License-Identifier: Apache-2.0
#include "loopback_port.h"
#include "scenario.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#include "base/status.h"
#include "base/thread.h"
#include "engine/device.h"

enum { MOST_PLANS = 64, MOST_FAULTS = 64, MOST_HELD = 512 };

typedef struct loop_channel {
    struct loop_device *loop;
    size_t size; /* bytes of a picture's luma */
    unsigned inside;
} loop_channel;

typedef struct loop_picture {
    avi_placement placement;
    unsigned reading; /* frames inside that name it */
} loop_picture;

typedef struct held_frame {
    uint64_t number;
    loop_channel *channel;
    loop_picture *picture;
    const uint8_t *pixels;
    bool idr;
    loop_plan plan;
} held_frame;

typedef struct fault {
    loop_call call;
    unsigned at; /* the call's number */
    bool hangs;
    int code;
} fault;

typedef struct loop_device {
    avenc_device *device;
    bool opened, stop, on_host;
    fault faults[MOST_FAULTS];
    unsigned fault_count;
    unsigned calls[LOOP_CALLS], hung[LOOP_CALLS], released[LOOP_CALLS];
    loop_plan plans[MOST_PLANS], usual;
    unsigned first_plan, plan_count;
    held_frame held[MOST_HELD];
    unsigned held_count;
    held_frame last;           /* that was reported */
    held_frame overtaken;      /* that was not, because a later one of its channel was */
    held_frame due[MOST_HELD]; /* for the report thread */
    unsigned due_count;
    bool reporting; /* of `due`, what it has taken */
    bool losing;
    int lose_code;
    uint64_t done; /* what the report thread was asked to do and has done; */
    uint64_t asked;
    unsigned channels, most_channels, idrs;
    bool last_idr;
    long memory, pictures;
    uint32_t bit_rate;
} loop_device;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static loop_device devices[LOOP_DEVICES];
static long bound_threads;
static _Thread_local int bound; /* device + 1 */

static void broken(const char *what) {
    fprintf(stderr, "contract of port.h: %s\n", what);
    fflush(stderr);
    _Exit(3);
}

static void must_be_bound(const avenc_device *device) {
    if (bound != device->info.device_id + 1)
        broken("a call that wants the device bound was made without");
}

/* A call begins: it stops if it is to. Its code. */
static int enter_locked(loop_device *loop, loop_call call) {
    unsigned number = ++loop->calls[call];
    int code = 0;
    for (unsigned i = 0; i < loop->fault_count; i++) {
        fault *fault = &loop->faults[i];
        if (fault->call != call || fault->at != number)
            continue;
        if (fault->hangs) {
            unsigned round = loop->released[call];
            loop->hung[call]++;
            pthread_cond_broadcast(&changed);
            while (loop->released[call] == round)
                pthread_cond_wait(&changed, &lock);
            loop->hung[call]--;
            pthread_cond_broadcast(&changed);
        } else {
            code = fault->code;
        }
    }
    pthread_cond_broadcast(&changed);
    return code;
}

static int enter(avenc_device *device, loop_call call) {
    loop_device *loop = device->port_data;
    pthread_mutex_lock(&lock);
    int code = enter_locked(loop, call);
    pthread_mutex_unlock(&lock);
    return code ? avi_fail(code, "loopback", "call %d is to fail", call) : 0;
}

/* ---- the report thread --------------------------------------------------------------------------- */

static void report_one(loop_device *loop, const held_frame *frame) {
    size_t size = frame->plan.size ? frame->plan.size : LOOP_HEAD + LOOP_STAMP;
    uint8_t *unit = NULL; /* dies when the report has returned, as the device's memory does */
    if (posix_memalign((void **)&unit, 16, size) != 0)
        broken("no memory for an access unit");
    static const uint8_t heads[2][LOOP_HEAD] = {{0, 0, 0, 1, 0x41, 0x9a}, {0, 0, 0, 1, 0x65, 0x88}}; /* P and IDR */
    if (frame->plan.unit) {
        memcpy(unit, frame->plan.unit, size);
    } else {
        memcpy(unit, heads[frame->idr], LOOP_HEAD);
        memset(unit + LOOP_HEAD, 0xa5, size - LOOP_HEAD);
        if (frame->pixels)
            memcpy(unit + LOOP_HEAD, frame->pixels, LOOP_STAMP);
    }
    avi_output output = {.data = unit, .size = size, .ret_code = frame->plan.ret_code};
    if (frame->plan.ret_code)
        output = (avi_output){.ret_code = frame->plan.ret_code};
    unsigned times = frame->plan.times ? frame->plan.times : 1;
    for (unsigned i = 0; i < times; i++)
        avi_report(loop->device, frame->number, &output);
    free(unit);
}

static void leave_device_locked(held_frame *frame) {
    frame->channel->inside--;
    frame->picture->reading--;
}

static void serve_locked(loop_device *loop) {
    if (loop->losing) {
        int code = loop->lose_code;
        loop->losing = false;
        pthread_mutex_unlock(&lock);
        avi_device_lost(loop->device, code);
        pthread_mutex_lock(&lock);
    }
    unsigned count = loop->due_count;
    static held_frame due[LOOP_DEVICES][MOST_HELD];
    held_frame *mine = due[loop - devices];
    memcpy(mine, loop->due, count * sizeof *mine);
    loop->due_count = 0;
    loop->reporting = true;
    /* The device has read the pictures: the engine may use or free them as soon as it has the report. */
    for (unsigned i = 0; i < count; i++)
        if (mine[i].channel)
            leave_device_locked(&mine[i]);
    pthread_mutex_unlock(&lock);
    for (unsigned i = 0; i < count; i++)
        report_one(loop, &mine[i]);
    if (count)
        avi_report_batch(loop->device);
    pthread_mutex_lock(&lock);
    loop->reporting = false;
    pthread_cond_broadcast(&changed);
}

static void *report_thread(void *arg) {
    avenc_device *device = arg;
    loop_device *loop = device->port_data;
    avi_thread_begins("loop-report");
    int code = enter(device, LOOP_OPEN);
    device->info.run_mode = loop->on_host ? ACL_HOST : ACL_DEVICE;
    strcpy(device->info.soc_name, "Loop");
    bool wanted = avi_device_opened(device, code);
    pthread_mutex_lock(&lock);
    while (wanted && code == 0 && !loop->stop) {
        uint64_t asked = loop->asked;
        if (loop->done == asked) {
            pthread_cond_wait(&changed, &lock);
            continue;
        }
        serve_locked(loop);
        loop->done = asked;
        pthread_cond_broadcast(&changed);
    }
    pthread_mutex_unlock(&lock);
    enter(device, LOOP_CLOSE);
    pthread_mutex_lock(&lock);
    loop->opened = false;
    loop->device = NULL;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    avi_thread_ends();
    avi_device_ended(device);
    return NULL;
}

/* Ask the report thread and wait until it has done it; what it is to do is in `loop`. */
static void ask_locked(loop_device *loop) {
    uint64_t mine = ++loop->asked;
    pthread_cond_broadcast(&changed);
    while (loop->done < mine)
        pthread_cond_wait(&changed, &lock);
}

/* Frames of a channel come out in order: those before this one never will, and the device reads them no more. */
static void overtake_locked(loop_device *loop, const held_frame *frame, unsigned before) {
    for (unsigned i = 0; i < before; i++) {
        if (loop->held[i].channel != frame->channel)
            continue;
        loop->overtaken = loop->held[i];
        leave_device_locked(&loop->held[i]);
        memmove(&loop->held[i], &loop->held[i + 1], (loop->held_count - i - 1) * sizeof *loop->held);
        loop->held_count--;
        before--;
        i--;
    }
}

static void due_locked(loop_device *loop, held_frame frame) {
    if (loop->due_count == MOST_HELD)
        broken("the test reports too many frames at once");
    loop->due[loop->due_count++] = frame;
}

/* ---- the port ------------------------------------------------------------------------------------ */

static int open_device(avenc_device *device) {
    loop_device *loop = &devices[device->info.device_id];
    pthread_mutex_lock(&lock);
    while (loop->opened) /* the one before is ending: its last channel was released a moment ago */
        pthread_cond_wait(&changed, &lock);
    loop->opened = true;
    loop->stop = false;
    loop->device = device;
    device->port_data = loop;
    device->hint = " (look at the loop)";
    pthread_mutex_unlock(&lock);
    int rc = avi_thread_start(report_thread, device);
    if (rc != AVENC_OK)
        loop->opened = false;
    return rc;
}

static void close_device(avenc_device *device) {
    loop_device *loop = device->port_data;
    pthread_mutex_lock(&lock);
    if (loop->stop)
        broken("a device was closed twice");
    loop->stop = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static int bind(avenc_device *device, avi_binding *binding) {
    int rc = enter(device, LOOP_BIND);
    if (rc)
        return rc;
    if (bound)
        broken("bound twice");
    bound = device->info.device_id + 1;
    binding->restore = device;
    __atomic_add_fetch(&bound_threads, 1, __ATOMIC_RELAXED);
    return 0;
}

static void unbind(avenc_device *device, avi_binding *binding) {
    must_be_bound(device);
    if (binding->restore != device)
        broken("unbound with another binding");
    bound = 0;
    __atomic_sub_fetch(&bound_threads, 1, __ATOMIC_RELAXED);
}

long loop_threads_bound(void) {
    return __atomic_load_n(&bound_threads, __ATOMIC_RELAXED);
}

static void count_memory(avenc_device *device, int by) {
    loop_device *loop = device->port_data;
    __atomic_add_fetch(&loop->memory, by, __ATOMIC_RELAXED);
}

static int alloc_any(avenc_device *device, loop_call call, size_t size, void **memory) {
    must_be_bound(device);
    int rc = enter(device, call);
    if (rc) {
        *memory = memory; /* what a vendor's call leaves there is nobody's to free */
        return rc;
    }
    if (!(*memory = malloc(size)))
        return avi_fail(AVENC_E_NOMEM, "loopback", "out of memory");
    memset(*memory, LOOP_DIRT, size); /* the vendor promises nothing of what is in it */
    count_memory(device, 1);
    return 0;
}

static int alloc(avenc_device *device, size_t size, void **memory) {
    return alloc_any(device, LOOP_ALLOC, size, memory);
}

static int alloc_host(avenc_device *device, size_t size, void **memory) {
    return alloc_any(device, LOOP_ALLOC_HOST, size, memory);
}

static void free_memory(avenc_device *device, void *memory) {
    loop_device *loop = device->port_data;
    must_be_bound(device);
    enter(device, LOOP_FREE);
    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < loop->held_count; i++)
        if (loop->held[i].pixels == memory)
            broken("memory was freed that the device may still read");
    pthread_mutex_unlock(&lock);
    free(memory);
    count_memory(device, -1);
}

static int upload(avenc_device *device, void *to, size_t room, const void *from, size_t size) {
    must_be_bound(device);
    int rc = enter(device, LOOP_UPLOAD);
    if (rc == 0 && size > room)
        broken("upload beyond the room");
    if (rc == 0)
        memcpy(to, from, size);
    return rc;
}

static int copy(avenc_device *device, void *to, const void *from, size_t size) {
    must_be_bound(device);
    int rc = enter(device, LOOP_COPY);
    if (rc == 0)
        memcpy(to, from, size);
    return rc;
}

static int wait_stream(avenc_device *device, aclrtStream stream) {
    (void)device;
    (void)stream;
    return 0;
}

static int create(avenc_device *device, const avenc_channel_config *config, void **out) {
    loop_device *loop = device->port_data;
    must_be_bound(device);
    int rc = enter(device, LOOP_CREATE);
    if (rc)
        return rc;
    loop_channel *channel = calloc(1, sizeof *channel);
    if (!channel)
        return avi_fail(AVENC_E_NOMEM, "loopback", "out of memory");
    channel->loop = loop;
    channel->size = (size_t)config->width * config->height;
    pthread_mutex_lock(&lock);
    if (loop->most_channels && loop->channels >= loop->most_channels)
        rc = 507018;
    else
        loop->channels++;
    pthread_mutex_unlock(&lock);
    if (rc) {
        free(channel);
        return avi_fail(rc, "loopback", "the device has %u channels at most", loop->most_channels);
    }
    *out = channel;
    return 0;
}

static int destroy(avenc_device *device, void *opaque) {
    loop_device *loop = device->port_data;
    loop_channel *channel = opaque;
    must_be_bound(device);
    int rc = enter(device, LOOP_DESTROY);
    pthread_mutex_lock(&lock);
    while (loop->due_count || loop->reporting) /* reports that the test has asked for: they come before the end */
        pthread_cond_wait(&changed, &lock);
    /* Frames that it refused are the device's own affair: it ends them with the channel, without a report. */
    for (unsigned i = 0; i < loop->held_count; i++) {
        if (loop->held[i].channel != channel)
            continue;
        if (!loop->held[i].plan.code)
            broken("a channel was destroyed with an accepted frame inside");
        leave_device_locked(&loop->held[i]);
        memmove(&loop->held[i], &loop->held[i + 1], (loop->held_count - i - 1) * sizeof *loop->held);
        loop->held_count--;
        i--;
    }
    loop->channels--;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    free(channel);
    return rc;
}

static int create_picture(avenc_device *device, const avenc_channel_config *config, void **out) {
    loop_device *loop = device->port_data;
    (void)config;
    must_be_bound(device);
    int rc = enter(device, LOOP_PICTURE);
    if (rc)
        return rc;
    if (!(*out = calloc(1, sizeof(loop_picture))))
        return avi_fail(AVENC_E_NOMEM, "loopback", "out of memory");
    __atomic_add_fetch(&loop->pictures, 1, __ATOMIC_RELAXED);
    return 0;
}

static bool changes(const avenc_device *device) {
    (void)device;
    return true;
}

static int change(avenc_device *device, void *opaque, const avenc_channel_config *config, bool *whole) {
    loop_device *loop = device->port_data;
    loop_channel *channel = opaque;
    must_be_bound(device);
    pthread_mutex_lock(&lock);
    if (channel->inside)
        broken("settings were changed under a frame");
    int code = enter_locked(loop, LOOP_CHANGE);
    if (code == 0)
        loop->bit_rate = config->max_bit_rate;
    pthread_mutex_unlock(&lock);
    *whole = code != LOOP_UNSURE;
    return code ? avi_fail(code, "loop_change", "the device refused the settings") : 0;
}

uint32_t loop_bit_rate(int device) {
    pthread_mutex_lock(&lock);
    uint32_t rate = devices[device].bit_rate;
    pthread_mutex_unlock(&lock);
    return rate;
}

static int place_picture(avenc_device *device, void *opaque, const avi_placement *placement) {
    loop_picture *picture = opaque;
    must_be_bound(device);
    int rc = enter(device, LOOP_PLACE);
    pthread_mutex_lock(&lock);
    if (picture->reading)
        broken("a descriptor was changed under a frame that the device may still read");
    if (rc == 0)
        picture->placement = *placement;
    pthread_mutex_unlock(&lock);
    return rc;
}

static void free_picture(avenc_device *device, void *opaque) {
    loop_device *loop = device->port_data;
    loop_picture *picture = opaque;
    must_be_bound(device);
    pthread_mutex_lock(&lock);
    if (picture->reading)
        broken("a descriptor was freed under a frame that the device may still read");
    pthread_mutex_unlock(&lock);
    free(picture);
    __atomic_sub_fetch(&loop->pictures, 1, __ATOMIC_RELAXED);
}

static int send(avenc_device *device, void *opaque, void *picture, bool idr, uint64_t number, bool *gone) {
    loop_device *loop = device->port_data;
    loop_channel *channel = opaque;
    must_be_bound(device);
    if (!channel)
        broken("a frame was sent to no channel");
    pthread_mutex_lock(&lock);
    loop_plan plan = loop->usual;
    if (loop->plan_count) {
        plan = loop->plans[loop->first_plan++ % MOST_PLANS];
        loop->plan_count--;
    }
    int code = enter_locked(loop, LOOP_SEND);
    if (code == 0)
        code = plan.code;
    loop->last_idr = idr;
    loop->idrs += idr;
    if (code && plan.gone) {
        *gone = true;
        pthread_mutex_unlock(&lock);
        return avi_fail(code, "loop_send", "the device refused it before it saw it");
    }
    held_frame frame = {.number = number,
                        .channel = channel,
                        .picture = picture,
                        .pixels = ((loop_picture *)picture)->placement.data,
                        .idr = idr,
                        .plan = plan};
    frame.plan.code = code;
    channel->inside++;
    frame.picture->reading++;
    if (plan.when == LOOP_AT_ONCE) {
        overtake_locked(loop, &frame, loop->held_count);
        due_locked(loop, frame);
        loop->last = frame;
        ask_locked(loop);
    } else if (plan.when == LOOP_HELD) {
        loop->held[loop->held_count++] = frame;
        pthread_cond_broadcast(&changed);
    } else {
        leave_device_locked(&frame);
    }
    int after = enter_locked(loop, LOOP_AFTER_SEND);
    code = code ? code : after;
    pthread_mutex_unlock(&lock);
    return code ? avi_fail(code, "loop_send", "the device refused it when it had it") : 0;
}

const avi_port loopback_port = {
    .name = "loop-back",
    .send_call = "loop_send",
    .report_call = "loop_report",
    .change_call = "loop_change",
    .changes = changes,
    .change = change,
    .open = open_device,
    .close = close_device,
    .bind = bind,
    .unbind = unbind,
    .alloc = alloc,
    .free = free_memory,
    .alloc_host = alloc_host,
    .free_host = free_memory,
    .upload = upload,
    .copy = copy,
    .wait_stream = wait_stream,
    .create = create,
    .destroy = destroy,
    .create_picture = create_picture,
    .place_picture = place_picture,
    .free_picture = free_picture,
    .send = send,
};

/* Threads that wait on the condition do not exist in the child, nor the devices. */
static void after_fork(void) {
    pthread_mutex_init(&lock, NULL);
    pthread_cond_init(&changed, NULL);
    memset(devices, 0, sizeof devices);
}

__attribute__((constructor)) static void set_up(void) {
    pthread_atfork(NULL, NULL, after_fork);
}

/* ---- for the tests -------------------------------------------------------------------------------- */

int loop_try_open(int number, avenc_device **out) {
    return avi_device_open(&loopback_port, NULL, NULL, number, out);
}

avenc_device *loop_begin_open(int number) {
    avenc_device *device;
    CHECK(loop_try_open(number, &device) == AVENC_OK);
    return device;
}

avenc_device *loop_open(int number) {
    avenc_device *device = loop_begin_open(number);
    avenc_wait wait = avenc_wait_for(20000);
    CHECK(avenc_device_wait_open(device, &wait) == AVENC_OK);
    return device;
}

static void arm(int device, fault fault) {
    loop_device *loop = &devices[device];
    pthread_mutex_lock(&lock);
    CHECK(loop->fault_count < MOST_FAULTS);
    fault.at += loop->calls[fault.call];
    loop->faults[loop->fault_count++] = fault;
    pthread_mutex_unlock(&lock);
}

void loop_hang(int device, loop_call call, unsigned nth) {
    arm(device, (fault){.call = call, .at = nth, .hangs = true});
}

void loop_fail(int device, loop_call call, unsigned nth, int code) {
    arm(device, (fault){.call = call, .at = nth, .code = code});
}

void loop_wait_hung(int device, loop_call call, unsigned count) {
    pthread_mutex_lock(&lock);
    while (devices[device].hung[call] < count)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

void loop_release(int device, loop_call call) {
    pthread_mutex_lock(&lock);
    devices[device].released[call]++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

unsigned loop_count(int device, loop_call call) {
    pthread_mutex_lock(&lock);
    unsigned count = devices[device].calls[call];
    pthread_mutex_unlock(&lock);
    return count;
}

void loop_next(int device, loop_plan plan) {
    loop_device *loop = &devices[device];
    pthread_mutex_lock(&lock);
    CHECK(loop->plan_count < MOST_PLANS);
    loop->plans[(loop->first_plan + loop->plan_count++) % MOST_PLANS] = plan;
    pthread_mutex_unlock(&lock);
}

void loop_forget_plans(int device) {
    pthread_mutex_lock(&lock);
    devices[device].plan_count = 0;
    pthread_mutex_unlock(&lock);
}

void loop_default(int device, loop_plan plan) {
    pthread_mutex_lock(&lock);
    devices[device].usual = plan;
    pthread_mutex_unlock(&lock);
}

unsigned loop_held(int device) {
    pthread_mutex_lock(&lock);
    unsigned count = devices[device].held_count;
    pthread_mutex_unlock(&lock);
    return count;
}

static void take_held_locked(loop_device *loop, unsigned nth) {
    CHECK(nth < loop->held_count);
    held_frame frame = loop->last = loop->held[nth];
    memmove(&loop->held[nth], &loop->held[nth + 1], (loop->held_count - nth - 1) * sizeof *loop->held);
    loop->held_count--;
    overtake_locked(loop, &frame, nth);
    due_locked(loop, frame);
}

static void report_late_locked(loop_device *loop, held_frame frame) {
    frame.channel = NULL; /* it has left the device */
    frame.pixels = NULL;
    due_locked(loop, frame);
    ask_locked(loop);
}

/* Frames that queued sends are still bringing are waited for. */
static void wait_held_locked(loop_device *loop, unsigned count) {
    while (loop->held_count < count)
        pthread_cond_wait(&changed, &lock);
}

void loop_report(int device, unsigned count) {
    loop_device *loop = &devices[device];
    pthread_mutex_lock(&lock);
    wait_held_locked(loop, count);
    for (unsigned i = 0; i < count; i++)
        take_held_locked(loop, 0);
    ask_locked(loop);
    pthread_mutex_unlock(&lock);
}

void loop_report_nth(int device, unsigned nth) {
    loop_device *loop = &devices[device];
    pthread_mutex_lock(&lock);
    wait_held_locked(loop, nth + 1);
    take_held_locked(loop, nth);
    ask_locked(loop);
    pthread_mutex_unlock(&lock);
}

void loop_report_held(int device, unsigned nth, unsigned count) {
    loop_device *loop = &devices[device];
    pthread_mutex_lock(&lock);
    for (; count && nth < loop->held_count; count--)
        take_held_locked(loop, nth);
    ask_locked(loop);
    pthread_mutex_unlock(&lock);
}

void loop_report_again(int device) {
    loop_device *loop = &devices[device];
    pthread_mutex_lock(&lock);
    report_late_locked(loop, loop->last);
    pthread_mutex_unlock(&lock);
}

void loop_report_overtaken(int device) {
    loop_device *loop = &devices[device];
    pthread_mutex_lock(&lock);
    report_late_locked(loop, loop->overtaken);
    pthread_mutex_unlock(&lock);
}

void loop_forget(int device) {
    loop_device *loop = &devices[device];
    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < loop->held_count; i++)
        leave_device_locked(&loop->held[i]);
    loop->held_count = 0;
    pthread_mutex_unlock(&lock);
}

void loop_lose(int device, int code) {
    loop_device *loop = &devices[device];
    pthread_mutex_lock(&lock);
    loop->losing = true;
    loop->lose_code = code;
    ask_locked(loop);
    pthread_mutex_unlock(&lock);
}

void loop_limit_channels(int device, unsigned most) {
    pthread_mutex_lock(&lock);
    devices[device].most_channels = most;
    pthread_mutex_unlock(&lock);
}

void loop_on_host(int device, bool host) {
    devices[device].on_host = host;
}

unsigned loop_idr_count(int device) {
    pthread_mutex_lock(&lock);
    unsigned count = devices[device].idrs;
    pthread_mutex_unlock(&lock);
    return count;
}

bool loop_last_idr(int device) {
    pthread_mutex_lock(&lock);
    bool idr = devices[device].last_idr;
    pthread_mutex_unlock(&lock);
    return idr;
}

void loop_check_clean(void) {
    pthread_mutex_lock(&lock);
    CHECK(loop_threads_bound() == 0);
    for (int i = 0; i < LOOP_DEVICES; i++) {
        loop_device *loop = &devices[i];
        CHECK(!loop->opened);
        CHECK(__atomic_load_n(&loop->memory, __ATOMIC_RELAXED) == 0);
        CHECK(__atomic_load_n(&loop->pictures, __ATOMIC_RELAXED) == 0);
        CHECK(loop->channels == 0 && loop->held_count == 0 && loop->plan_count == 0);
        memset(loop, 0, sizeof *loop);
    }
    pthread_mutex_unlock(&lock);
}
