// SPDX-License-Identifier: Apache-2.0
/*
 * The engine on the simulated device, whose calls stop until they are told to go on, so that another thread does
 * something just then. What does not need the vendor's functions is in the loop_*.c.
 * argv: simulated device, codec, names of scenarios (none: all).
 */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "library.h"

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s\nlast failure: %d %s %s\n", __FILE__, __LINE__, #condition,                     \
                    avenc_last_failure()->code, avenc_last_failure()->call, avenc_last_failure()->detail);             \
            fflush(stderr);                                                                                            \
            _Exit(1);                                                                                                  \
        }                                                                                                              \
    } while (0)

#define PATIENT ((avenc_wait[1]){avenc_wait_for(20000)})
#define BRIEFLY ((avenc_wait[1]){avenc_wait_for(30)})

enum { WIDTH = 128, HEIGHT = 128, SIZE = WIDTH * HEIGHT * 3 / 2 };

static uint8_t pixels[SIZE];
static const avenc_submission plain = {
    .picture = {pixels, WIDTH, pixels + WIDTH * HEIGHT, WIDTH, WIDTH, HEIGHT, HEIGHT / 2}, .number_pts = 1};

static avenc_library *library;
static const acl_api *api;

static struct {
    int (*set_option)(const char *, uint64_t);
    int (*set_devices)(uint32_t);
    int (*fail_call)(const char *, uint64_t, int32_t, int);
    int (*fail_call_after)(const char *, uint64_t, int32_t, int);
    int (*hang_call)(const char *, uint64_t, int);
    int (*wait_hung)(const char *, uint64_t, uint32_t);
    uint64_t (*release_hung)(void);
    uint64_t (*clear_faults)(void);
} sim;

#define SEND   name_of("aclvencSendFrame", "hi_mpi_venc_send_frame")
#define REPORT name_of("aclrtProcessReport", "hi_mpi_sys_wait_epoll")

static void hang(const char *call, unsigned nth) {
    CHECK(sim.hang_call(call, nth, 0) == 0);
}

static void wait_hung(const char *call) {
    CHECK(sim.wait_hung(call, 1, 20000) == 0);
}

static avenc_device *open_device(int number) {
    avenc_device *device;
    CHECK(avenc_device_open(library, number, interface_under_test(), &device) == AVENC_OK);
    CHECK(avenc_device_wait_open(device, PATIENT) == AVENC_OK);
    return device;
}

static avenc_channel *open_channel(avenc_device *device, uint32_t depth, uint32_t queue) {
    avenc_channel_config config = {.en_type = H264_HIGH_LEVEL,
                                   .pic_format = PIXEL_FORMAT_YUV_SEMIPLANAR_420,
                                   .width = WIDTH,
                                   .height = HEIGHT,
                                   .key_frame_interval = 30,
                                   .src_rate = 25,
                                   .max_bit_rate = 1000,
                                   .depth = depth,
                                   .queue = queue,
                                   .time_num = 1,
                                   .time_den = 25};
    avenc_channel *channel;
    CHECK(avenc_channel_create(device, &config, NULL, &channel) == AVENC_OK);
    CHECK(avenc_channel_wait_open(channel, PATIENT) == AVENC_OK);
    return channel;
}

static void end_channel(avenc_channel *channel) {
    CHECK(avenc_channel_close(channel) == AVENC_OK);
    CHECK(avenc_channel_wait_closed(channel, PATIENT) == AVENC_OK);
    avenc_channel_release(channel);
}

static int submit(avenc_channel *channel) {
    uint64_t index;
    return avenc_channel_submit(channel, &plain, PATIENT, &index);
}

static int enqueue(avenc_channel *channel) {
    uint64_t index;
    return avenc_channel_enqueue(channel, &plain, 1, 0, &index);
}

static int take(avenc_channel *channel) {
    avenc_packet *packet;
    size_t count;
    CHECK(avenc_channel_wait(channel, 1, PATIENT, 0, 0) == AVENC_OK);
    CHECK(avenc_channel_take(channel, 0, &packet, 1, &count) == AVENC_OK && count == 1);
    int status = packet->status;
    avenc_packet_release(packet);
    return status;
}

/* A frame all the way through another device. */
static void elsewhere_it_goes_on(void) {
    avenc_device *device = open_device(1);
    avenc_channel *channel = open_channel(device, 1, 0);
    CHECK(submit(channel) == AVENC_OK && take(channel) == AVENC_OK);
    end_channel(channel);
    avenc_device_release(device);
}

/* ---- a frame that waits behind one that is refused -------------------------------------------------------------- */

static void *submit_refused(void *channel) {
    CHECK(submit(channel) == 507018);
    return NULL;
}

static void queued_behind_refused(void) {
    avenc_device *device = open_device(0);
    avenc_channel *channel = open_channel(device, 1, 2);
    CHECK(avenc_channel_wait_room(channel, 0, PATIENT) == AVENC_OK);
    hang(SEND, 1);
    CHECK(sim.fail_call(SEND, 1, 507018, 0) == 0);
    pthread_t thread;
    pthread_create(&thread, NULL, submit_refused, channel);
    wait_hung(SEND);
    while (enqueue(channel) == AVENC_E_AGAIN)
        CHECK(avenc_channel_wait_room(channel, 0, PATIENT) == AVENC_OK);
    sim.release_hung();
    pthread_join(thread, NULL);
    CHECK(take(channel) == AVENC_OK);
    end_channel(channel);
    avenc_device_release(device);
}

/* ---- a refused frame that is encoded all the same ------------------------------------------------------------------ */

static void refused_and_reported(void) {
    avenc_device *device = open_device(0);
    avenc_channel *channel = open_channel(device, 2, 0);
    CHECK(sim.set_option("stall", 1) == 0); /* its report comes after the refusal */
    CHECK(sim.fail_call_after(SEND, 1, 507046, 0) == 0);
    CHECK(submit(channel) == 507046);
    CHECK(avenc_channel_refused_pending(channel) == 1);
    CHECK(submit(channel) == AVENC_OK);
    CHECK(sim.set_option("stall", 0) == 0);
    CHECK(take(channel) == AVENC_OK);
    CHECK(avenc_channel_refused_pending(channel) == 0);
    avenc_channel_stats stats;
    avenc_channel_stats_get(channel, &stats, NULL);
    CHECK(stats.submitted == 1 && stats.completed == 1 && stats.failed == 0 && stats.in_flight == 0);
    end_channel(channel);
    avenc_device_release(device);
}

/* ---- room while a slot is being made ----------------------------------------------------------------------------- */

static void room_while_growing(void) {
    avenc_device *device = open_device(0);
    avenc_channel *channel = open_channel(device, 1, 4);
    avenc_frame *frame;
    avenc_frame_memory memory;
    CHECK(avenc_channel_acquire(channel, PATIENT, &frame, &memory) == AVENC_OK); /* the one slot that exists */
    hang(name_of("acldvppMalloc", "hi_mpi_dvpp_malloc"), 1);
    CHECK(enqueue(channel) == AVENC_E_AGAIN); /* calls nothing of the vendor's itself */
    wait_hung(name_of("acldvppMalloc", "hi_mpi_dvpp_malloc"));
    CHECK(avenc_channel_wait_room(channel, 0, BRIEFLY) == AVENC_E_AGAIN);
    CHECK(enqueue(channel) == AVENC_E_AGAIN);
    sim.release_hung();
    CHECK(sim.set_option("stall", 1) == 0);
    for (int i = 0; i < 4; i++) {
        int rc;
        while ((rc = enqueue(channel)) == AVENC_E_AGAIN)
            CHECK(avenc_channel_wait_room(channel, 0, PATIENT) == AVENC_OK);
        CHECK(rc == AVENC_OK);
    }
    CHECK(enqueue(channel) == AVENC_E_FULL);
    CHECK(sim.set_option("stall", 0) == 0);
    avenc_frame_release(frame);
    CHECK(avenc_channel_wait_idle(channel, PATIENT) == AVENC_OK);
    avenc_channel_stats stats;
    avenc_channel_stats_get(channel, &stats, NULL);
    CHECK(stats.completed == 4 && stats.failed == 0 && stats.slots == 5);
    end_channel(channel);
    avenc_device_release(device);
}

/* ---- waiting for packets while the channel ends -------------------------------------------------------------------- */

static void wait_while_closing(void) {
    avenc_device *device = open_device(0);
    avenc_channel *channel = open_channel(device, 1, 0);
    hang(name_of("aclvencDestroyChannel", "hi_mpi_venc_destroy_chn"), 1);
    CHECK(avenc_channel_close(channel) == AVENC_OK);
    wait_hung(name_of("aclvencDestroyChannel", "hi_mpi_venc_destroy_chn"));
    CHECK(avenc_channel_wait(channel, 1, NULL, 0, AVENC_WAIT_FOR_FRAMES) == AVENC_E_CLOSED);
    CHECK(avenc_channel_wait_closed(channel, BRIEFLY) == AVENC_E_TIMEOUT);
    elsewhere_it_goes_on();
    sim.release_hung();
    CHECK(avenc_channel_wait_closed(channel, PATIENT) == AVENC_OK);
    CHECK(avenc_channel_wait(channel, 1, NULL, 0, AVENC_WAIT_FOR_FRAMES) == AVENC_E_CLOSED);
    avenc_channel_release(channel);
    avenc_device_release(device);
}

/* ---- a channel that ends while its last frame handle is being submitted ---------------------------------------------- */

static aclrtContext own;

static void *submit_frame(void *frame) {
    aclrtContext current;
    uint64_t index;
    CHECK(api->aclrtSetCurrentContext(own) == 0);
    hang("aclrtSetCurrentContext", 2); /* the engine's, then back to this thread's own */
    CHECK(avenc_frame_submit(frame, &plain, 0, PATIENT, &index) == AVENC_OK);
    CHECK(api->aclrtGetCurrentContext(&current) == 0 && current == own);
    avenc_frame_release(frame);
    return NULL;
}

static void end_while_a_frame_is_submitted(void) {
    avenc_device *device = open_device(0);
    avenc_channel *channel = open_channel(device, 1, 0);
    CHECK(api->aclrtCreateContext(&own, 0) == 0);
    avenc_frame *frame;
    avenc_frame_memory memory;
    CHECK(avenc_channel_acquire(channel, PATIENT, &frame, &memory) == AVENC_OK);
    memset(memory.y, 100, SIZE);
    pthread_t thread;
    pthread_create(&thread, NULL, submit_frame, frame);
    wait_hung("aclrtSetCurrentContext");
    avenc_channel_stats stats;
    do
        avenc_channel_stats_get(channel, &stats, NULL);
    while (stats.in_flight);
    CHECK(avenc_channel_close(channel) == AVENC_OK);
    CHECK(avenc_channel_wait_closed(channel, PATIENT) == AVENC_OK);
    avenc_channel_release(channel);
    avenc_device_release(device);
    sim.release_hung();
    pthread_join(thread, NULL);
    CHECK(api->aclrtDestroyContext(own) == 0);
}

/* ---- devices ------------------------------------------------------------------------------------------------------- */

/* The report thread may see that it is to stop at any moment of the closing. */
static void devices_come_and_go(void) {
    for (int i = 0; i < 60; i++) { /* closed at once: it is on its way to the first report still */
        avenc_device *device;
        CHECK(avenc_device_open(library, 0, interface_under_test(), &device) == AVENC_OK);
        if (i % 4)
            CHECK(avenc_device_wait_open(device, PATIENT) == AVENC_OK);
        avenc_device_release(device);
    }
    for (int i = 0; i < 20; i++) {
        avenc_device *device = open_device(i % 2), *again;
        CHECK(avenc_device_open(library, i % 2, interface_under_test(), &again) == AVENC_OK && again == device);
        avenc_device_release(device);
        if (i % 3 == 0) {
            avenc_channel *channel = open_channel(again, 1, 0);
            CHECK(submit(channel) == AVENC_OK && take(channel) == AVENC_OK);
            avenc_channel_release(channel);
        }
        avenc_device_release(again);
    }
}

/* One that was released goes on opening or ending: it is not to be shared, nor to meet what is said of the next. */
static void wait_until_no_device_is_left(void) {
    struct timespec pause = {.tv_nsec = 1000000};
    for (int tries = 0; avenc_live(AVENC_LIVE_DEVICE) != 0; tries++) {
        CHECK(tries < 20000);
        nanosleep(&pause, NULL);
    }
}

static void opening_never_returns(void) {
    const char *const calls[] = {"aclInit", "aclrtCreateContext", name_of("aclrtSubscribeReport", "hi_mpi_sys_init"),
                                 name_of("aclrtCreateStream", "hi_mpi_sys_create_epoll")};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        avenc_device *device;
        hang(calls[i], 1);
        CHECK(avenc_device_open(library, 0, interface_under_test(), &device) == AVENC_OK);
        wait_hung(calls[i]);
        CHECK(avenc_device_wait_open(device, BRIEFLY) == AVENC_E_TIMEOUT);
        elsewhere_it_goes_on();
        avenc_device_release(device);
        sim.release_hung();
        wait_until_no_device_is_left();
    }
}

static void closing_never_returns(void) {
    static const char *const v1[] = {"aclrtLaunchCallback", "aclrtUnSubscribeReport", "aclrtDestroyStream",
                                     "aclrtDestroyContext", NULL};
    static const char *const v2[] = {"hi_mpi_sys_close_epoll", "aclrtDestroyContext", NULL};
    const char *const *calls = interface_under_test() == AVENC_DVPP_V2 ? v2 : v1;
    for (size_t i = 0; calls[i]; i++) {
        avenc_device *device = open_device(0);
        avenc_channel *channel = open_channel(device, 1, 0);
        CHECK(submit(channel) == AVENC_OK && take(channel) == AVENC_OK);
        hang(calls[i], 1);
        /* The send of a frame launches a callback inside the device, not by this function of the table. */
        avenc_channel_release(channel);
        avenc_device_release(device);
        wait_hung(calls[i]);
        elsewhere_it_goes_on();
        CHECK(avenc_library_finalize(library, NULL) == AVENC_OK); /* skipped: somebody is inside */
        sim.release_hung();
        wait_until_no_device_is_left();
    }
}

/* The report thread itself is inside a call that never returns. */
static void reports_never_come(void) {
    avenc_device *device = open_device(0);
    avenc_channel *channel = open_channel(device, 1, 0);
    hang(REPORT, 1);
    CHECK(submit(channel) == AVENC_OK);
    wait_hung(REPORT);
    int rc = avenc_channel_wait(channel, 1, BRIEFLY, 0, 0);
    CHECK(rc == AVENC_OK || rc == AVENC_E_TIMEOUT); /* the call before may have brought it */
    elsewhere_it_goes_on();
    CHECK(avenc_channel_close(channel) == AVENC_OK);
    avenc_channel_release(channel);
    avenc_device_release(device);
    sim.release_hung();
}

/* A device that answers no report any more keeps its channel, and lets go of it when it reports again. */
static void lost_and_back(void) {
    avenc_device *device = open_device(0);
    avenc_channel *channel = open_channel(device, 1, 0);
    CHECK(sim.set_option("stall", 1) == 0);
    CHECK(submit(channel) == AVENC_OK);
    CHECK(sim.fail_call(REPORT, 1, 507010, 1) == 0);
    CHECK(avenc_channel_wait(channel, 1, PATIENT, 0, 0) == 507010);
    CHECK(avenc_channel_close(channel) == AVENC_OK);
    CHECK(avenc_channel_wait_closed(channel, PATIENT) == AVENC_OK);
    CHECK(avenc_channel_has_ended(channel) == 0 && avenc_live(AVENC_LIVE_CHANNEL) == 1);
    avenc_channel_release(channel);
    avenc_device_release(device);
    CHECK(sim.set_option("stall", 0) == 0);
    sim.clear_faults();
}

static const struct {
    const char *name;
    void (*run)(void);
} scenarios[] = {
    {"queued_behind_refused", queued_behind_refused},
    {"refused_and_reported", refused_and_reported},
    {"room_while_growing", room_while_growing},
    {"wait_while_closing", wait_while_closing},
    {"end_while_a_frame_is_submitted", end_while_a_frame_is_submitted},
    {"devices_come_and_go", devices_come_and_go},
    {"opening_never_returns", opening_never_returns},
    {"closing_never_returns", closing_never_returns},
    {"reports_never_come", reports_never_come},
    {"lost_and_back", lost_and_back},
};

static void load_controls(const char *path) {
    void *handle = dlopen(path, RTLD_NOW);
    CHECK(handle);
#define LOAD(name) CHECK((*(void **)&sim.name = dlsym(handle, "aclsim_" #name)) != NULL)
    LOAD(set_option);
    LOAD(set_devices);
    LOAD(fail_call);
    LOAD(fail_call_after);
    LOAD(hang_call);
    LOAD(wait_hung);
    LOAD(release_hung);
    LOAD(clear_faults);
#undef LOAD
}

/* Native threads end what was released. */
static void nothing_left(void) {
    for (int kind = 0; kind < AVENC_LIVE_COUNT; kind++) {
        struct timespec pause = {.tv_nsec = 1000000};
        for (int tries = 0; avenc_live(kind) != 0 && tries < 20000; tries++)
            nanosleep(&pause, NULL);
        if (avenc_live(kind) != 0)
            fprintf(stderr, "%lld %s left\n", (long long)avenc_live(kind), avenc_live_name(kind));
        CHECK(avenc_live(kind) == 0);
    }
}

int main(int argc, char **argv) {
    CHECK(argc >= 3);
    signal(SIGPIPE, SIG_IGN);
    load_controls(argv[1]);
    CHECK(sim.set_devices(2) == 0);
    CHECK(sim.set_option("null_codec", 1000) == 0);
    avenc_library_options options = {.backend = "sim", .sim_path = argv[1], .sim_codec = argv[2][0] ? argv[2] : NULL};
    CHECK(open_library(&options, &library) == AVENC_OK);
    api = avenc_library_api(library);
    int ran = 0;
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        bool named = argc == 3;
        for (int k = 3; k < argc; k++)
            named = named || !strcmp(argv[k], scenarios[i].name);
        if (!named)
            continue;
        fprintf(stderr, "%s\n", scenarios[i].name);
        alarm(60);
        scenarios[i].run();
        nothing_left();
        sim.clear_faults();
        ran++;
    }
    CHECK(avenc_library_finalize(library, PATIENT) == AVENC_OK);
    if (!ran)
        return 2;
    puts("ok");
    return 0;
}
