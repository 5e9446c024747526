// SPDX-License-Identifier: Apache-2.0
/*
 * Races made certain: functions of AscendCL are replaced by ones that stop until they are told to go on, so that another
 * thread does something just then. argv: simulated device, codec, scenario.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "avenc.h"

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s\nlast failure: %d %s %s\n", __FILE__, __LINE__, #condition,                     \
                    avenc_last_failure()->code, avenc_last_failure()->call, avenc_last_failure()->detail);             \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

enum { WIDTH = 128, HEIGHT = 128, SIZE = WIDTH * HEIGHT * 3 / 2 };

static uint8_t pixels[SIZE];
static const avenc_submission plain = {.picture = {pixels, WIDTH, pixels + WIDTH * HEIGHT, WIDTH}, .number_pts = 1};

static avenc_device *device;
static const acl_api *api;
static acl_api real;
static int (*set_option)(const char *, uint64_t);

/* The next call of one function stops: it says so with `stopped`, and goes on after `go`. */
enum { AT_NOTHING, AT_SEND, AT_MALLOC, AT_DESTROY, AT_CONTEXT };
static atomic_int stop_at, then_stop_at; /* the second: set by the next aclvencSendFrame */
static sem_t stopped, go;

static bool stop_here(int where) {
    int expected = where;
    if (!atomic_compare_exchange_strong(&stop_at, &expected, AT_NOTHING))
        return false;
    sem_post(&stopped);
    sem_wait(&go);
    return true;
}

/* One that stops is refused then. */
static int send_frame(aclvencChannelDesc *desc, acldvppPicDesc *picture, void *reserve, aclvencFrameConfig *config,
                      void *userdata) {
    if (stop_here(AT_SEND))
        return 507018;
    int rc = real.aclvencSendFrame(desc, picture, reserve, config, userdata);
    int next = atomic_exchange(&then_stop_at, AT_NOTHING);
    if (next)
        atomic_store(&stop_at, next);
    return rc;
}

static int allocate(void **memory, size_t size) {
    stop_here(AT_MALLOC);
    return real.acldvppMalloc(memory, size);
}

static int destroy_channel(aclvencChannelDesc *desc) {
    stop_here(AT_DESTROY);
    return real.aclvencDestroyChannel(desc);
}

static int set_context(aclrtContext context) {
    stop_here(AT_CONTEXT);
    return real.aclrtSetCurrentContext(context);
}

static avenc_channel *open_channel(uint32_t depth, uint32_t queue) {
    avenc_channel_config config = {.en_type = 2,
                                   .pic_format = 1,
                                   .width = WIDTH,
                                   .height = HEIGHT,
                                   .key_frame_interval = 30,
                                   .src_rate = 25,
                                   .max_bit_rate = 1000,
                                   .depth = depth,
                                   .queue = queue};
    avenc_channel *channel;
    CHECK(avenc_channel_create(device, &config, &channel) == AVENC_OK);
    return channel;
}

/* ---- a frame that waits behind one that is refused -------------------------------------------------------------- */

static void *submit_refused(void *channel) {
    uint64_t index;
    CHECK(avenc_channel_submit(channel, &plain, 1000, &index) == 507018);
    return NULL;
}

static void queued_behind_refused(void) {
    avenc_channel *channel = open_channel(1, 2);
    atomic_store(&stop_at, AT_SEND);
    pthread_t thread;
    pthread_create(&thread, NULL, submit_refused, channel);
    sem_wait(&stopped);
    uint64_t index;
    CHECK(avenc_channel_enqueue(channel, &plain, 1, 0, &index) == AVENC_OK);
    sem_post(&go);
    pthread_join(thread, NULL);
    CHECK(avenc_channel_wait(channel, 5000, 0, 0) == AVENC_OK);
    CHECK(avenc_channel_destroy(channel, 5000) == AVENC_OK);
}

/* ---- room while somebody else's slot is being made --------------------------------------------------------------- */

static void *enqueue_one(void *channel) {
    uint64_t index;
    CHECK(avenc_channel_enqueue(channel, &plain, 1, 0, &index) == AVENC_OK);
    return NULL;
}

static void room_while_growing(void) {
    avenc_channel *channel = open_channel(1, 4);
    avenc_frame *frame;
    avenc_frame_memory memory;
    CHECK(avenc_channel_acquire(channel, 0, &frame, &memory) == AVENC_OK); /* the one slot that exists */
    CHECK(set_option("stall", 1) == 0);
    atomic_store(&stop_at, AT_MALLOC);
    pthread_t thread;
    pthread_create(&thread, NULL, enqueue_one, channel);
    sem_wait(&stopped);
    for (int i = 0; i < 3; i++)
        enqueue_one(channel);
    uint64_t index;
    CHECK(avenc_channel_enqueue(channel, &plain, 1, 0, &index) == AVENC_E_FULL);
    CHECK(set_option("stall", 0) == 0);
    sem_post(&go);
    pthread_join(thread, NULL);
    avenc_frame_release(frame);
    CHECK(avenc_channel_wait_idle(channel, 5000) == AVENC_OK);
    avenc_channel_stats stats;
    avenc_channel_stats_get(channel, &stats);
    CHECK(stats.completed == 4 && stats.failed == 0 && stats.slots == 5);
    CHECK(avenc_channel_destroy(channel, 5000) == AVENC_OK);
}

/* ---- waiting for packets while the channel is closed -------------------------------------------------------------- */

static void *close_it(void *channel) {
    CHECK(avenc_channel_close(channel, 5000) == AVENC_OK);
    return NULL;
}

static void wait_while_closing(void) {
    avenc_channel *channel = open_channel(1, 0);
    atomic_store(&stop_at, AT_DESTROY);
    pthread_t thread;
    pthread_create(&thread, NULL, close_it, channel);
    sem_wait(&stopped);
    CHECK(avenc_channel_wait(channel, 0, 0, AVENC_WAIT_FOR_FRAMES) == AVENC_E_CLOSED);
    sem_post(&go);
    pthread_join(thread, NULL);
    CHECK(avenc_channel_wait(channel, 0, 0, AVENC_WAIT_FOR_FRAMES) == AVENC_E_CLOSED);
    CHECK(avenc_channel_destroy(channel, 0) == AVENC_OK);
}

/* ---- a channel destroyed while its last frame handle is being submitted --------------------------------------------- */

static void *submit_frame(void *frame) {
    aclrtContext own;
    CHECK(api->aclrtCreateContext(&own, 0) == 0);
    uint64_t index;
    CHECK(avenc_frame_submit(frame, &plain, 0, &index) == AVENC_OK);
    CHECK(api->aclrtDestroyContext(own) == 0);
    return NULL;
}

static void destroy_while_frame_is_submitted(void) {
    avenc_channel *channel = open_channel(1, 0);
    avenc_frame *frame;
    avenc_frame_memory memory;
    CHECK(avenc_channel_acquire(channel, 0, &frame, &memory) == AVENC_OK);
    memset(memory.y, 100, SIZE);
    atomic_store(&then_stop_at, AT_CONTEXT); /* back to the submitter's own context */
    pthread_t thread;
    pthread_create(&thread, NULL, submit_frame, frame);
    sem_wait(&stopped);
    CHECK(avenc_channel_destroy(channel, 5000) == AVENC_OK);
    sem_post(&go);
    pthread_join(thread, NULL);
}

/* ---- a sink that is changed ------------------------------------------------------------------------------------- */

static void submit_and_wait(avenc_channel *channel) {
    uint64_t index;
    CHECK(avenc_channel_submit(channel, &plain, 5000, &index) == AVENC_OK);
    avenc_channel_stats stats;
    do {
        usleep(500);
        avenc_channel_stats_get(channel, &stats);
    } while (stats.in_flight);
}

static off_t size_of(int fd) {
    return lseek(fd, 0, SEEK_END);
}

static int drain_all(avenc_channel *channel) {
    avenc_packet *packets[8];
    size_t count;
    CHECK(avenc_channel_drain(channel, packets, 8, &count) == AVENC_OK);
    for (size_t i = 0; i < count; i++)
        avenc_packet_release(packets[i]);
    return (int)count;
}

static void sink_for_packets_that_are_ready(void) {
    avenc_channel *channel = open_channel(2, 0);
    submit_and_wait(channel);
    char path[] = "/tmp/engine_waits_XXXXXX";
    int fd = mkstemp(path);
    unlink(path);
    CHECK(avenc_channel_set_sink(channel, fd, 0) == AVENC_OK);
    CHECK(avenc_channel_wait_idle(channel, 5000) == AVENC_OK);
    CHECK(size_of(fd) > 0);
    CHECK(avenc_channel_destroy(channel, 5000) == AVENC_OK);
    close(fd);
}

static void sink_after_one_that_broke(void) {
    enum { BYTES = 100000 }; /* more than a pipe holds: the first access unit is written in part */
    CHECK(set_option("null_codec", BYTES) == 0);
    avenc_channel *channel = open_channel(2, 0);
    int ends[2];
    CHECK(pipe(ends) == 0);
    CHECK(avenc_channel_set_sink(channel, ends[1], 0) == AVENC_OK);
    submit_and_wait(channel);
    usleep(100000);
    close(ends[0]);
    CHECK(avenc_channel_wait_idle(channel, 5000) == AVENC_E_SINK);
    CHECK(drain_all(channel) == 1);
    char path[] = "/tmp/engine_waits_XXXXXX";
    int fd = mkstemp(path);
    unlink(path);
    CHECK(avenc_channel_set_sink(channel, fd, 0) == AVENC_OK);
    submit_and_wait(channel);
    CHECK(avenc_channel_wait_idle(channel, 5000) == AVENC_OK);
    CHECK(size_of(fd) == BYTES);
    CHECK(avenc_channel_destroy(channel, 5000) == AVENC_OK);
    close(fd);
    close(ends[1]);
}

static void *read_all(void *fd) {
    char buffer[4096];
    while (read(*(int *)fd, buffer, sizeof buffer) > 0)
        continue;
    return NULL;
}

/* The writer is about to write from packets' memory when they are taken from it. */
static void sink_taken_away_while_it_is_written(void) {
    enum { BYTES = 100000 };
    CHECK(set_option("null_codec", BYTES) == 0);
    for (int round = 0; round < 20; round++) {
        avenc_channel *channel = open_channel(2, 0);
        int ends[2];
        CHECK(pipe(ends) == 0);
        CHECK(avenc_channel_set_sink(channel, ends[1], 0) == AVENC_OK);
        submit_and_wait(channel);
        usleep(20000 + (unsigned)round * 300); /* the pipe is full, the writer waits for it in turns */
        CHECK(avenc_channel_set_sink(channel, -1, 0) == AVENC_OK);
        pthread_t reader;
        pthread_create(&reader, NULL, read_all, &ends[0]);
        CHECK(drain_all(channel) == 1);
        usleep(10000);
        char path[] = "/tmp/engine_waits_XXXXXX";
        int fd = mkstemp(path);
        unlink(path);
        CHECK(avenc_channel_set_sink(channel, fd, 0) == AVENC_OK);
        submit_and_wait(channel);
        CHECK(avenc_channel_wait_idle(channel, 5000) == AVENC_OK);
        CHECK(size_of(fd) == BYTES);
        CHECK(avenc_channel_destroy(channel, 5000) == AVENC_OK);
        close(fd);
        close(ends[1]);
        pthread_join(reader, NULL);
        close(ends[0]);
    }
}

static const struct {
    const char *name;
    void (*run)(void);
} scenarios[] = {
    {"queued_behind_refused", queued_behind_refused},
    {"room_while_growing", room_while_growing},
    {"wait_while_closing", wait_while_closing},
    {"destroy_while_frame_is_submitted", destroy_while_frame_is_submitted},
    {"sink_for_packets_that_are_ready", sink_for_packets_that_are_ready},
    {"sink_after_one_that_broke", sink_after_one_that_broke},
    {"sink_taken_away_while_it_is_written", sink_taken_away_while_it_is_written},
};

int main(int argc, char **argv) {
    CHECK(argc == 4);
    alarm(100);
    signal(SIGPIPE, SIG_IGN);
    sem_init(&stopped, 0, 0);
    sem_init(&go, 0, 0);
    void *sim = dlopen(argv[1], RTLD_NOW);
    CHECK(sim);
    *(void **)&set_option = dlsym(sim, "aclsim_set_option");
    CHECK(set_option);
    CHECK(set_option("null_codec", 1000) == 0);
    avenc_library_options options = {.backend = "sim", .sim_path = argv[1], .sim_codec = argv[2][0] ? argv[2] : NULL};
    avenc_library *library;
    CHECK(avenc_library_open(&options, &library) == AVENC_OK);
    api = avenc_library_api(library);
    real = *api;
    acl_api *table = (acl_api *)api; /* const to those who use it; no thread does yet */
    table->aclvencSendFrame = send_frame;
    table->acldvppMalloc = allocate;
    table->aclvencDestroyChannel = destroy_channel;
    table->aclrtSetCurrentContext = set_context;
    CHECK(avenc_device_open(library, 0, &device) == AVENC_OK);
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++)
        if (!strcmp(argv[3], scenarios[i].name)) {
            scenarios[i].run();
            avenc_device_close(device);
            for (int kind = 0; kind < AVENC_LIVE_COUNT; kind++)
                if (avenc_live(kind)) {
                    fprintf(stderr, "%s: %d left\n", avenc_live_name(kind), (int)avenc_live(kind));
                    return 1;
                }
            puts("ok");
            return 0;
        }
    return 2;
}
