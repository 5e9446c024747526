// SPDX-License-Identifier: Apache-2.0
/* Access units written to pipes, sockets, files and terminals, with readers that are slow, gone, or never were. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "channels.h"
#include "base/taskq.h"
#include "engine/sink.h"

enum { BIG = 260000 }; /* bytes of an access unit: more than a pipe, a socket's buffer or a terminal takes at once */

static const loop_plan big = {.size = BIG};

static atomic_uint posts, batched; /* of tasks that write to files; of these, run one after the other by a thread */

void __real_avi_sink_post(avi_sink *sink, bool (*post)(avi_task *));

void __wrap_avi_sink_post(avi_sink *sink, bool (*post)(avi_task *)) {
    atomic_fetch_add(&posts, 1);
    atomic_fetch_add(&batched, post == avi_task_run_here);
    __real_avi_sink_post(sink, post);
}

static atomic_bool closing_hangs; /* of a file on a network, by a thread of the task queue */
static atomic_uint hung;

int __real_close(int fd);

int __wrap_close(int fd) {
    if (avi_on_task_thread() && atomic_load(&closing_hangs)) {
        atomic_fetch_add(&hung, 1);
        while (atomic_load(&closing_hangs))
            poll(NULL, 0, 1);
    }
    return __real_close(fd);
}

static avenc_channel *open_on(int number, uint32_t depth, uint32_t queue) {
    avenc_device *device = loop_open(number);
    avenc_channel *channel = open_channel(device, depth, queue);
    avenc_device_release(device);
    return channel;
}

static int temporary_file(void) {
    char path[] = "/tmp/loop_sinks_XXXXXX";
    int fd = mkstemp(path);
    CHECK(fd >= 0 && unlink(path) == 0);
    return fd;
}

static off_t size_of(int fd) {
    return lseek(fd, 0, SEEK_END);
}

/* The access unit of `stamp` at an offset of what was written. */
static void check_unit(const uint8_t *unit, size_t size, uint64_t stamp) {
    uint64_t found;
    memcpy(&found, unit + LOOP_HEAD, sizeof found);
    CHECK(unit[3] == 1 && found == stamp);
    for (size_t i = LOOP_HEAD + LOOP_STAMP; i < size; i++)
        CHECK(unit[i] == 0xa5);
}

static void check_file(int fd, size_t size, uint64_t first, unsigned count) {
    CHECK(size_of(fd) == (off_t)(size * count));
    uint8_t *unit = malloc(size);
    for (unsigned i = 0; i < count; i++) {
        CHECK(pread(fd, unit, size, (off_t)(i * size)) == (ssize_t)size);
        check_unit(unit, size, first + i);
    }
    free(unit);
}

/* A reader that takes everything until the end, and looks at it. */
typedef struct reader {
    pthread_t thread;
    int fd;
    size_t unit, step; /* bytes of a unit, and of a read */
    uint64_t first;
    atomic_ullong units;
} reader;

static void *read_units(void *arg) {
    reader *r = arg;
    uint8_t *unit = malloc(r->unit);
    for (size_t have = 0;;) {
        size_t want = r->unit - have < r->step ? r->unit - have : r->step;
        ssize_t got = read(r->fd, unit + have, want);
        CHECK(got >= 0);
        if (got == 0) {
            CHECK(have == 0);
            break;
        }
        have += (size_t)got;
        if (have == r->unit) {
            check_unit(unit, r->unit, r->first + atomic_load(&r->units));
            atomic_fetch_add(&r->units, 1);
            have = 0;
        }
    }
    free(unit);
    return NULL;
}

static reader *start_reader(int fd, size_t unit, size_t step, uint64_t first) {
    reader *r = calloc(1, sizeof *r);
    *r = (reader){.fd = fd, .unit = unit, .step = step, .first = first};
    pthread_create(&r->thread, NULL, read_units, r);
    return r;
}

/* It has read so many units, and then the end. */
static void join_reader(reader *r, unsigned units) {
    pthread_join(r->thread, NULL);
    CHECK(atomic_load(&r->units) == units);
    close(r->fd);
    free(r);
}

static void set_sink(avenc_channel *channel, int fd) {
    CHECK(avenc_channel_set_sink(channel, fd, 0, PATIENT) == AVENC_OK);
}

/* ---- each kind ------------------------------------------------------------------------------------- */

static void everything_arrives(int write_end, int read_end, size_t unit, size_t step) {
    enum { FRAMES = 12 };
    avenc_channel *channel = open_on(0, 4, 0);
    int flags = fcntl(write_end, F_GETFL);
    set_sink(channel, write_end);
    CHECK(fcntl(write_end, F_GETFL) == flags); /* the program's descriptor is as it was */
    close(write_end);                          /* the sink has a duplicate */
    reader *r = start_reader(read_end, unit, step, 1);
    loop_default(0, (loop_plan){.size = unit});
    for (uint64_t i = 1; i <= FRAMES; i++)
        CHECK(submit(channel, i) == AVENC_OK);
    CHECK(avenc_channel_wait_idle(channel, PATIENT) == AVENC_OK); /* the writing is part of it */
    avenc_channel_stats stats = stats_of(channel);
    CHECK(stats.written == FRAMES && stats.ready == 0);
    CHECK(take_none(channel) == 0);
    uint64_t tags[FRAMES + 1];
    CHECK(avenc_channel_take_dropped(channel, tags, FRAMES + 1) == FRAMES);
    for (uint64_t i = 0; i < FRAMES; i++)
        CHECK(tags[i] == i + 1);
    end_channel(channel); /* closes the duplicate: the reader sees the end */
    join_reader(r, FRAMES);
}

SCENARIO(a_pipe_gets_everything_in_parts) {
    int ends[2];
    CHECK(pipe(ends) == 0);
    everything_arrives(ends[1], ends[0], BIG, 3000);
}

SCENARIO(a_pipe_gets_small_units) {
    int ends[2];
    CHECK(pipe(ends) == 0);
    everything_arrives(ends[1], ends[0], 100, 100);
}

SCENARIO(a_socket_gets_everything_in_parts) {
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    everything_arrives(ends[1], ends[0], BIG, 5000);
}

SCENARIO(a_file_gets_everything) {
    enum { FRAMES = 5 };
    avenc_channel *channel = open_on(0, 4, 0);
    int fd = temporary_file();
    CHECK(write(fd, "x", 1) == 1 && lseek(fd, 0, SEEK_SET) == 0); /* the descriptor's own offset counts */
    set_sink(channel, fd);
    loop_default(0, big);
    for (uint64_t i = 1; i <= FRAMES; i++)
        CHECK(submit(channel, i) == AVENC_OK);
    CHECK(avenc_channel_wait_idle(channel, PATIENT) == AVENC_OK);
    check_file(fd, BIG, 1, FRAMES);
    end_channel(channel);
    close(fd);
}

SCENARIO(failed_frames_are_handed_out_and_not_written) {
    avenc_channel *channel = open_on(0, 4, 0);
    int fd = temporary_file();
    set_sink(channel, fd);
    for (uint64_t i = 1; i <= 3; i++) {
        loop_next(0, (loop_plan){.ret_code = i == 2 ? 9 : 0, .size = 1000});
        CHECK(submit(channel, i) == AVENC_OK);
    }
    CHECK(avenc_channel_wait_idle(channel, PATIENT) == AVENC_OK);
    avenc_packet *packet = take_packet(channel);
    CHECK(packet->status == AVENC_E_FRAME && packet->tag == 2);
    avenc_packet_release(packet);
    CHECK(take_none(channel) == 0 && size_of(fd) == 2000);
    end_channel(channel);
    close(fd);
}

/* ---- dead readers ------------------------------------------------------------------------------------ */

enum { DEAD = 16 };

typedef struct dead_end {
    avenc_channel *channel;
    int write_end, read_end;
} dead_end;

/* One of each three: a pipe, a socket, a terminal, which nobody reads. */
static void open_dead(dead_end *end, avenc_device *device, unsigned number) {
    int ends[2];
    if (number % 3 == 0) {
        CHECK(pipe(ends) == 0);
    } else if (number % 3 == 1) {
        CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    } else {
        ends[0] = posix_openpt(O_RDWR | O_NOCTTY);
        CHECK(ends[0] >= 0 && grantpt(ends[0]) == 0 && unlockpt(ends[0]) == 0);
        char name[100];
        CHECK(ptsname_r(ends[0], name, sizeof name) == 0);
        ends[1] = open(name, O_RDWR | O_NOCTTY);
        CHECK(ends[1] >= 0);
    }
    *end = (dead_end){open_channel(device, 2, 0), ends[1], ends[0]};
    set_sink(end->channel, end->write_end);
    CHECK(submit(end->channel, number) == AVENC_OK);
}

SCENARIO(sixteen_dead_readers_delay_nobody) {
    enum { FRAMES = 20 };
    avenc_device *device = loop_open(0);
    dead_end dead[DEAD];
    loop_default(0, big);
    for (unsigned i = 0; i < DEAD; i++)
        open_dead(&dead[i], device, i);
    for (unsigned i = 2; i < DEAD; i += 3)
        UNTIL(writing(dead[i].channel) == 1);
    CHECK(avi_taskq_blocked() == DEAD / 3); /* each inside the write to its terminal */
    /* Each of them has been tried, and goes nowhere; a pipe, a socket and a file beside them get everything. */
    int ends[2], pair[2], fd = temporary_file();
    CHECK(pipe(ends) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    avenc_channel *healthy[3];
    reader *readers[2] = {start_reader(ends[0], BIG, BIG, 1), start_reader(pair[0], BIG, BIG, 1)};
    const int fds[3] = {ends[1], pair[1], fd};
    for (int i = 0; i < 3; i++) {
        healthy[i] = open_channel(device, 2, 0);
        set_sink(healthy[i], fds[i]);
    }
    close(ends[1]);
    close(pair[1]);
    for (uint64_t i = 1; i <= FRAMES; i++)
        for (int k = 0; k < 3; k++)
            CHECK(submit(healthy[k], i) == AVENC_OK);
    for (int k = 0; k < 3; k++) {
        CHECK(avenc_channel_wait_idle(healthy[k], PATIENT) == AVENC_OK);
        end_channel(healthy[k]);
    }
    join_reader(readers[0], FRAMES);
    join_reader(readers[1], FRAMES);
    check_file(fd, BIG, 1, FRAMES);
    close(fd);
    for (unsigned i = 0; i < DEAD; i++) {
        avenc_channel *channel = dead[i].channel;
        CHECK(stats_of(channel).written == 0 && stats_of(channel).ready == 1);
        CHECK(avenc_channel_wait_idle(channel, NULL) == AVENC_E_TIMEOUT && said("the reader of the sink"));
        CHECK(!said("look at the loop")); /* the device is not to blame */
        CHECK(avenc_channel_close(channel) == AVENC_OK);
        CHECK(avenc_channel_wait_closed(channel, NULL) == AVENC_E_TIMEOUT);
    }
    CHECK(avenc_channel_wait_closed(dead[0].channel, BRIEFLY) == AVENC_E_TIMEOUT);
    CHECK(said("the reader of the sink is slow: 1 access units are not written"));
    for (unsigned i = 0; i < DEAD; i++) {
        avenc_channel_abandon_sink(dead[i].channel);
        CHECK(avenc_channel_wait_closed(dead[i].channel, PATIENT) == AVENC_OK); /* also beside a write that sleeps */
        avenc_channel_release(dead[i].channel);
    }
    avenc_device_release(device);
    UNTIL(avenc_live(AVENC_LIVE_SINK) == DEAD / 3); /* those inside a write are left behind, with their duplicates */
    CHECK(avi_taskq_blocked() == DEAD / 3);
    for (unsigned i = 0; i < DEAD; i++) {
        close(dead[i].read_end); /* a terminal without its other side ends the write */
        close(dead[i].write_end);
    }
}

SCENARIO(a_reader_that_went_leaves_the_packets_and_another_sink_gets_them) {
    avenc_channel *channel = open_on(0, 4, 0);
    int ends[2];
    CHECK(pipe(ends) == 0);
    set_sink(channel, ends[1]);
    loop_default(0, big);
    CHECK(submit(channel, 1) == AVENC_OK);
    uint8_t some[5000];
    CHECK(read(ends[0], some, sizeof some) > 0); /* the first unit is written in part */
    close(ends[0]);
    CHECK(avenc_channel_wait_idle(channel, PATIENT) == AVENC_E_SINK && said("Broken pipe"));
    CHECK(submit(channel, 2) == AVENC_E_SINK);
    avenc_packet *packets[2];
    size_t count;
    CHECK(avenc_channel_take(channel, 0, packets, 2, &count) == AVENC_OK && count == 1 && stamp_of(packets[0]) == 1);
    avenc_channel_give_back(channel, packets, 1);
    int fd = temporary_file();
    set_sink(channel, fd);
    CHECK(submit(channel, 2) == AVENC_OK);
    CHECK(avenc_channel_wait_idle(channel, PATIENT) == AVENC_OK);
    check_file(fd, BIG, 1, 2); /* as a whole */
    end_channel(channel);
    close(fd);
    close(ends[1]);
}

SCENARIO(a_sink_that_is_replaced_while_it_writes_gives_its_packets_to_the_next) {
    for (int round = 0; round < 20; round++) {
        avenc_channel *channel = open_on(0, 4, 0);
        int ends[2], pair[2], fd = temporary_file();
        uint8_t some[1000];
        CHECK(pipe(ends) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
        loop_default(0, big);
        CHECK(submit(channel, 1) == AVENC_OK && submit(channel, 2) == AVENC_OK);
        set_sink(channel, ends[1]); /* for packets that are ready already */
        if (round % 2)
            CHECK(read(ends[0], some, sizeof some) > 0);
        set_sink(channel, pair[1]);
        if (round % 3 == 0)
            CHECK(read(pair[0], some, sizeof some) > 0);
        set_sink(channel, -1);
        CHECK(take_none(channel) == 2 && stats_of(channel).written == 0);
        set_sink(channel, fd);
        CHECK(submit(channel, 3) == AVENC_OK);
        CHECK(avenc_channel_wait_idle(channel, PATIENT) == AVENC_OK);
        check_file(fd, BIG, 1, 3);
        end_channel(channel);
        close(fd);
        for (int i = 0; i < 2; i++) {
            close(ends[i]);
            close(pair[i]);
        }
    }
}

static void *read_all(void *fd) {
    static uint8_t some[4096];
    while (read(*(int *)fd, some, sizeof some) > 0)
        continue;
    return NULL;
}

SCENARIO(a_sink_writes_all_that_was_ready_when_it_came) {
    enum { FRAMES = 2200 }; /* more than one turn, and nobody who waits for them */
    avenc_channel *channel = open_on(0, 4, 0);
    int ends[2];
    CHECK(pipe(ends) == 0);
    for (uint64_t i = 1; i <= FRAMES; i++)
        CHECK(submit(channel, i) == AVENC_OK);
    CHECK(avenc_channel_wait_idle(channel, PATIENT) == AVENC_OK && stats_of(channel).ready == FRAMES);
    set_sink(channel, ends[1]);
    close(ends[1]);
    reader *r = start_reader(ends[0], LOOP_HEAD + LOOP_STAMP, 7, 1);
    UNTIL(stats_of(channel).written == FRAMES);
    end_channel(channel);
    join_reader(r, FRAMES);
}

/* A look that comes late would find what came since, and write at once what is to be collected. */
SCENARIO(a_sink_is_looked_at_for_what_is_ready_and_else_not) {
    avenc_channel *channel = open_on(0, 4, 0);
    int fds[2] = {temporary_file(), temporary_file()};
    unsigned before = atomic_load(&posts);
    set_sink(channel, fds[0]);
    CHECK(atomic_load(&posts) == before);
    set_sink(channel, -1);
    CHECK(submit(channel, 1) == AVENC_OK);
    CHECK(avenc_channel_wait_idle(channel, PATIENT) == AVENC_OK && stats_of(channel).ready == 1);
    before = atomic_load(&posts);
    set_sink(channel, fds[1]);
    CHECK(atomic_load(&posts) > before);
    UNTIL(stats_of(channel).written == 1);
    end_channel(channel);
    check_file(fds[1], LOOP_HEAD + LOOP_STAMP, 1, 1);
    close(fds[0]);
    close(fds[1]);
}

SCENARIO(a_sink_that_could_not_be_replaced_in_time_goes_on) {
    avenc_channel *channel = open_on(0, 4, 0);
    pthread_t reader;
    struct termios raw;
    int terminal = posix_openpt(O_RDWR | O_NOCTTY), fd = temporary_file();
    CHECK(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
    int end = open(ptsname(terminal), O_RDWR | O_NOCTTY);
    CHECK(end >= 0 && tcgetattr(end, &raw) == 0);
    cfmakeraw(&raw);
    CHECK(tcsetattr(end, TCSANOW, &raw) == 0);
    set_sink(channel, end);
    loop_default(0, big);
    CHECK(submit(channel, 1) == AVENC_OK);
    UNTIL(writing(channel) == 1); /* to a terminal that nobody reads */
    CHECK(avenc_channel_set_sink(channel, fd, 0, BRIEFLY) == AVENC_E_TIMEOUT);
    CHECK(said("the sink is not replaced: its write has not returned within 0.03 s; 1 packets wait"));
    CHECK(submit(channel, 2) == AVENC_OK);
    pthread_create(&reader, NULL, read_all, &terminal);
    CHECK(avenc_channel_wait_idle(channel, PATIENT) == AVENC_OK);
    CHECK(stats_of(channel).written == 2 && stats_of(channel).ready == 0 && size_of(fd) == 0);
    end_channel(channel);
    close(end); /* and so the reader ends */
    pthread_join(reader, NULL);
    close(terminal);
    close(fd);
}

SCENARIO(a_sink_that_cannot_be_written_or_duplicated) {
    avenc_channel *channel = open_on(0, 4, 0);
    int fd = open("/dev/null", O_RDONLY);
    CHECK(avenc_channel_set_sink(channel, 1 << 20, 0, PATIENT) == AVENC_E_SINK && said("1048576"));
    set_sink(channel, fd);
    CHECK(submit(channel, 1) == AVENC_OK);
    CHECK(avenc_channel_wait_idle(channel, PATIENT) == AVENC_E_SINK && said("Bad file descriptor"));
    set_sink(channel, -1);
    expect(channel, 1);
    close(fd);
    end_channel(channel);
}

/* ---- wake-ups ------------------------------------------------------------------------------------------ */

/* File sinks end while their task is between two things: a sink is freed when nobody is on his way to it. */
SCENARIO(file_sinks_come_and_go) {
#ifdef AVENC_DELAYS
    enum { ROUNDS = 300 };
#else
    enum { ROUNDS = 2000 };
#endif
    avenc_channel *channel = open_on(0, 1, 0);
    int fd = temporary_file();
    for (uint64_t i = 1; i <= ROUNDS; i++) {
        set_sink(channel, fd);
        CHECK(submit(channel, i) == AVENC_OK);
        CHECK(avenc_channel_wait_idle(channel, PATIENT) == AVENC_OK);
        set_sink(channel, -1);
    }
    check_file(fd, LOOP_HEAD + LOOP_STAMP, 1, ROUNDS);
    end_channel(channel);
    close(fd);
}

enum { BUSY = 8 };

typedef struct busy {
    avenc_channel *channel;
    unsigned frames;
} busy;

static void *keep_busy(void *arg) {
    busy *b = arg;
    for (uint64_t i = 1; i <= b->frames; i++)
        CHECK(submit(b->channel, i) == AVENC_OK);
    CHECK(avenc_channel_end(b->channel) == AVENC_OK);
    return NULL;
}

/* Every wake-up counts: those of one sink while the writer has others in its hands, too. */
SCENARIO(the_writer_misses_no_sink) {
#ifdef AVENC_DELAYS
    enum { FRAMES = 60 };
#else
    enum { FRAMES = 500 };
#endif
    avenc_device *devices[2] = {loop_open(0), loop_open(1)};
    busy all[BUSY];
    reader *readers[BUSY];
    pthread_t threads[BUSY];
    loop_default(0, (loop_plan){.size = 1000});
    loop_default(1, (loop_plan){.size = 1000});
    for (int i = 0; i < BUSY; i++) {
        int ends[2];
        CHECK(pipe(ends) == 0);
        all[i] = (busy){open_channel(devices[i % 2], 2, 0), FRAMES};
        set_sink(all[i].channel, ends[1]);
        close(ends[1]);
        readers[i] = start_reader(ends[0], 1000, 1000, 1);
    }
    for (int i = 0; i < BUSY; i++)
        pthread_create(&threads[i], NULL, keep_busy, &all[i]);
    for (int i = 0; i < BUSY; i++)
        pthread_join(threads[i], NULL);
    /* Nobody asks: the last units are written because their reports woke the writer. */
    for (int i = 0; i < BUSY; i++)
        UNTIL(stats_of(all[i].channel).written == FRAMES);
    for (int i = 0; i < BUSY; i++) {
        end_channel(all[i].channel);
        join_reader(readers[i], FRAMES);
    }
    avenc_device_release(devices[0]);
    avenc_device_release(devices[1]);
}

/* ---- a sink and the ends of streams ---------------------------------------------------------------------- */

SCENARIO(what_a_successor_finished_early_is_written_when_its_turn_has_come) {
    avenc_device *device = loop_open(0);
    avenc_channel *a = open_channel(device, 1, 1);
    avenc_channel_config config = config_of(2, 0);
    int fd = temporary_file();
    uint64_t first;
    set_sink(a, fd);
    loop_hang(0, LOOP_SEND, 1);
    loop_next(0, (loop_plan){.code = 100000, .gone = true});
    CHECK(enqueue(a, 1) == AVENC_OK);
    loop_wait_hung(0, LOOP_SEND, 1);
    avenc_channel *b = open_configured(device, &config, a);
    CHECK(avenc_channel_succeed(b, &first) == AVENC_OK);
    CHECK(submit(b, 2) == AVENC_OK && submit(b, 3) == AVENC_OK);
    CHECK(size_of(fd) == 0);
    loop_release(0, LOOP_SEND); /* no report comes of it */
    UNTIL(stats_of(b).written == 2);
    check_file(fd, LOOP_HEAD + LOOP_STAMP, 2, 2);
    avenc_packet *packet = take_packet(b);
    CHECK(packet->status == 100000 && packet->tag == 1);
    avenc_packet_release(packet);
    avenc_channel_release(a);
    end_channel(b);
    close(fd);
    avenc_device_release(device);
}

SCENARIO(a_closed_stream_whose_last_frame_comes_early_ends_its_sink) {
    avenc_device *device = loop_open(0);
    avenc_channel *a = open_channel(device, 2, 0);
    avenc_channel_config config = config_of(2, 0);
    int ends[2];
    uint64_t first;
    CHECK(pipe(ends) == 0);
    set_sink(a, ends[1]);
    close(ends[1]);
    reader *r = start_reader(ends[0], LOOP_HEAD + LOOP_STAMP, 100, 1);
    loop_default(0, (loop_plan){.when = LOOP_HELD});
    CHECK(submit(a, 1) == AVENC_OK);
    avenc_channel *b = open_configured(device, &config, a);
    CHECK(avenc_channel_succeed(b, &first) == AVENC_OK);
    CHECK(submit(b, 2) == AVENC_OK);
    avenc_channel_release(a);
    avenc_channel_release(b);
    avenc_device_release(device);
    loop_report_nth(0, 1);
    loop_report(0, 1);
    join_reader(r, 2);
}

/* The writer has looked at everything that it was woken for before. */
static void let_the_writer_look(void) {
    avenc_channel *channel = open_on(1, 1, 0);
    int ends[2];
    CHECK(pipe(ends) == 0);
    set_sink(channel, ends[1]);
    CHECK(submit(channel, 1) == AVENC_OK);
    CHECK(avenc_channel_wait_idle(channel, PATIENT) == AVENC_OK);
    end_channel(channel);
    close(ends[0]);
    close(ends[1]);
}

/* A frame of the queue is on its way to the device when its stream is closed, and goes no further. */
SCENARIO(a_closed_stream_whose_last_frame_is_dropped_ends_its_sink) {
    avenc_channel *channel = open_on(0, 1, 1);
    int ends[2];
    CHECK(pipe(ends) == 0);
    set_sink(channel, ends[1]);
    close(ends[1]);
    loop_hang(0, LOOP_BIND, 1);
    CHECK(enqueue(channel, 1) == AVENC_OK);
    loop_wait_hung(0, LOOP_BIND, 1);
    CHECK(avenc_channel_close(channel) == AVENC_OK);
    let_the_writer_look();
    loop_release(0, LOOP_BIND);
    uint8_t byte;
    CHECK(read(ends[0], &byte, 1) == 0); /* the end */
    uint64_t tag;
    CHECK(avenc_channel_take_dropped(channel, &tag, 1) == 1 && tag == 1);
    end_channel(channel);
    close(ends[0]);
}

static void *submit_refused(void *channel) {
    CHECK(submit(channel, 1) == 100000);
    return NULL;
}

SCENARIO(a_closed_stream_whose_last_frame_is_refused_ends_its_sink) {
    avenc_channel *channel = open_on(0, 1, 1);
    int ends[2];
    pthread_t thread;
    CHECK(pipe(ends) == 0);
    set_sink(channel, ends[1]);
    close(ends[1]);
    loop_hang(0, LOOP_SEND, 1);
    loop_next(0, (loop_plan){.code = 100000, .gone = true});
    pthread_create(&thread, NULL, submit_refused, channel);
    loop_wait_hung(0, LOOP_SEND, 1);
    CHECK(avenc_channel_close(channel) == AVENC_OK);
    let_the_writer_look();
    loop_release(0, LOOP_SEND);
    uint8_t byte;
    CHECK(read(ends[0], &byte, 1) == 0);
    pthread_join(thread, NULL);
    end_channel(channel);
    close(ends[0]);
}

/* What is collected is collected over all sinks: 64 that are slow by themselves are fast together. */
SCENARIO(files_that_coalesce_are_collected_for_over_all_sinks) {
    enum { SINKS = 3, HOUR_US = 3600u * 1000 * 1000 };
    avenc_channel *channels[SINKS], *urgent = open_on(1, 1, 0);
    int fds[SINKS], other = temporary_file();
    for (int i = 0; i < SINKS; i++) {
        channels[i] = open_on(0, 2, 0);
        fds[i] = temporary_file();
        CHECK(avenc_channel_set_sink(channels[i], fds[i], HOUR_US, PATIENT) == AVENC_OK);
    }
    set_sink(urgent, other);
    CHECK(submit(channels[0], 1) == AVENC_OK); /* from this one on there is a rate, whichever sink it is of */
    CHECK(avenc_channel_wait_idle(channels[0], PATIENT) == AVENC_OK);
    for (int i = 1; i < SINKS; i++) {
        CHECK(submit(channels[i], 1) == AVENC_OK);
        UNTIL(stats_of(channels[i]).completed == 1);
    }
    for (uint64_t i = 1; i <= 8; i++) { /* the tasks' queue goes on: nothing of theirs is in it */
        CHECK(submit(urgent, i) == AVENC_OK);
        CHECK(avenc_channel_wait_idle(urgent, PATIENT) == AVENC_OK);
    }
    for (int i = 1; i < SINKS; i++)
        CHECK(stats_of(channels[i]).written == 0 && stats_of(channels[i]).ready == 1);
    for (int i = 0; i < SINKS; i++) {
        CHECK(avenc_channel_wait_idle(channels[i], PATIENT) == AVENC_OK);
        check_file(fds[i], LOOP_HEAD + LOOP_STAMP, 1, 1);
        close(fds[i]);
        end_channel(channels[i]);
    }
    end_channel(urgent);
    close(other);
}

/* Access units are collected for the delay; who waits for them to be written does not wait for it. */
SCENARIO(a_sink_that_coalesces_writes_at_once_what_somebody_waits_for) {
    enum { HOUR_US = 3600u * 1000 * 1000 };
    avenc_channel *channel = open_on(0, 4, 0);
    int fd = temporary_file();
    CHECK(avenc_channel_set_sink(channel, fd, HOUR_US, PATIENT) == AVENC_OK);
    for (uint64_t i = 1; i <= 8; i++)
        CHECK(submit(channel, i) == AVENC_OK);
    CHECK(avenc_channel_wait_idle(channel, PATIENT) == AVENC_OK);
    int ends[2];
    CHECK(pipe(ends) == 0);
    CHECK(avenc_channel_set_sink(channel, ends[1], HOUR_US, PATIENT) == AVENC_OK);
    close(ends[1]);
    reader *r = start_reader(ends[0], LOOP_HEAD + LOOP_STAMP, 100, 9);
    for (uint64_t i = 9; i <= 16; i++)
        CHECK(submit(channel, i) == AVENC_OK);
    CHECK(avenc_channel_wait_idle(channel, PATIENT) == AVENC_OK);
    CHECK(submit(channel, 17) == AVENC_OK && submit(channel, 18) == AVENC_OK);
    end_channel(channel); /* likewise who waits for the end */
    join_reader(r, 10);
    check_file(fd, LOOP_HEAD + LOOP_STAMP, 1, 8);
    close(fd);
}

SCENARIO(the_close_of_a_file_delays_no_other_stream) {
    avenc_channel *channel = open_on(0, 2, 4), *other = open_on(0, 2, 4);
    int fd = temporary_file();
    CHECK(avenc_channel_set_sink(channel, fd, 0, PATIENT) == AVENC_OK);
    CHECK(submit(channel, 1) == AVENC_OK);
    CHECK(avenc_channel_wait_idle(channel, PATIENT) == AVENC_OK);
    atomic_store(&closing_hangs, true);
    CHECK(avenc_channel_set_sink(channel, -1, 0, PATIENT) == AVENC_OK);
    UNTIL(atomic_load(&hung) == 1);
    CHECK(enqueue(other, 7) == AVENC_OK);
    expect(other, 7);
    atomic_store(&closing_hangs, false);
    end_channel(channel);
    end_channel(other);
    close(fd);
}

/* ---- files that coalesce: a thread has all that are due, one after the other -------------------------- */

enum { FILES = 3, DELAY_US = 50 * 1000 };

/* Channels whose sinks are files, and one whose sink is a terminal that nobody reads. */
typedef struct beside_dead {
    avenc_channel *channels[FILES + 1], *dead;
    int fds[FILES], terminal, end;
    uint64_t stamp; /* of the last frame of each file */
} beside_dead;

static void open_beside_dead(beside_dead *all) {
    *all = (beside_dead){.terminal = posix_openpt(O_RDWR | O_NOCTTY)};
    CHECK(all->terminal >= 0 && grantpt(all->terminal) == 0 && unlockpt(all->terminal) == 0);
    all->end = open(ptsname(all->terminal), O_RDWR | O_NOCTTY);
    CHECK(all->end >= 0);
    for (int i = 0; i <= FILES; i++) {
        all->channels[i] = open_on(0, 2, 0);
        int fd = i < FILES ? (all->fds[i] = temporary_file()) : all->end;
        CHECK(avenc_channel_set_sink(all->channels[i], fd, DELAY_US, PATIENT) == AVENC_OK);
    }
    all->dead = all->channels[FILES];
}

static void submit_to_files(beside_dead *all) {
    all->stamp++;
    for (int i = 0; i < FILES; i++)
        CHECK(submit(all->channels[i], all->stamp) == AVENC_OK);
}

/* Nobody waits for them. */
static void until_files_are_written(const beside_dead *all) {
    for (int i = 0; i < FILES; i++)
        UNTIL(stats_of(all->channels[i]).written == all->stamp);
}

static void submit_to_dead(beside_dead *all) {
    loop_next(0, big);
    CHECK(submit(all->dead, 1) == AVENC_OK);
}

static void close_beside_dead(beside_dead *all) {
    UNTIL(avi_taskq_blocked() == 1); /* a thread is counted for a moment after its write */
    CHECK(writing(all->dead) == 1);
    avenc_channel_abandon_sink(all->dead);
    for (int i = 0; i <= FILES; i++)
        end_channel(all->channels[i]);
    for (int i = 0; i < FILES; i++) {
        check_file(all->fds[i], LOOP_HEAD + LOOP_STAMP, 1, (unsigned)all->stamp);
        close(all->fds[i]);
    }
    close(all->terminal);
    close(all->end);
}

SCENARIO(files_are_written_beside_one_that_blocks_in_a_batch_of_before) {
    beside_dead all;
    open_beside_dead(&all);
    unsigned before;
    do { /* the first ones are no rate yet */
        before = atomic_load(&batched);
        submit_to_files(&all);
        until_files_are_written(&all);
    } while (atomic_load(&batched) == before);
    submit_to_files(&all);
    submit_to_dead(&all); /* with them */
    until_files_are_written(&all);
    UNTIL(writing(all.dead) == 1);
    for (int round = 0; round < 3; round++) {
        submit_to_files(&all);
        until_files_are_written(&all);
    }
    close_beside_dead(&all);
}

/* A look after a batch that has ended long ago ends no delay that is longer. */
SCENARIO(a_long_delay_is_not_cut_short_by_a_batch_of_before) {
    enum { HOUR_US = 3600u * 1000 * 1000 };
    beside_dead all;
    open_beside_dead(&all);
    avenc_channel *slow[2];
    int fds[2];
    for (int i = 0; i < 2; i++) {
        slow[i] = open_on(0, 2, 0);
        fds[i] = temporary_file();
        CHECK(avenc_channel_set_sink(slow[i], fds[i], HOUR_US, PATIENT) == AVENC_OK);
    }
    unsigned before = atomic_load(&batched);
    do {
        submit_to_files(&all);
        until_files_are_written(&all);
    } while (atomic_load(&batched) == before);
    for (int i = 0; i < 2; i++) {
        CHECK(submit(slow[i], 1) == AVENC_OK);
        UNTIL(stats_of(slow[i]).completed == 1);
    }
    let_the_writer_look(); /* for a pipe */
    poll(NULL, 0, 150);    /* and for the files of before */
    CHECK(stats_of(slow[1]).written == 0 && stats_of(slow[1]).ready == 1);
    for (int i = 0; i < 2; i++) {
        end_channel(slow[i]);
        check_file(fds[i], LOOP_HEAD + LOOP_STAMP, 1, 1);
        close(fds[i]);
    }
    submit_to_dead(&all);
    UNTIL(writing(all.dead) == 1);
    close_beside_dead(&all);
}

/* Nothing else comes that would have them looked at. */
SCENARIO(what_is_behind_a_file_that_blocks_in_its_batch_is_written) {
    for (int round = 0; round < 5; round++) {
        beside_dead all;
        open_beside_dead(&all);
        submit_to_files(&all);
        submit_to_dead(&all); /* the last one that is wanted is looked at first */
        until_files_are_written(&all);
        UNTIL(writing(all.dead) == 1);
        close_beside_dead(&all);
    }
}
