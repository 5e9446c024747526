// SPDX-License-Identifier: Apache-2.0
/*
 * Calls of avenc.h in any order, with arguments that are right and wrong, on the loop-back port, which aborts where the engine
 * breaks its contract. Whatever happens: each accepted frame's tag comes back exactly once, a packet shows the picture of its
 * own tag, packets come in the order of their numbers, and in the end nothing is left. For the address sanitizer.
 *
 * $ROUNDS worlds of $CALLS calls each from $SEED on; one that fails says its seed.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "channels.h"

enum { MOST_CHANNELS = 4, MOST_FRAMES = 6, MOST_HAND = 16, MOST_TAGS = 1 << 12, MOST_FAULTS = 40, DEPTH = 4 };

enum { UNUSED, ACCEPTED, BACK };

static uint64_t state;

static uint32_t below(uint32_t limit) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 16) % limit;
}

static bool once_in(uint32_t n) {
    return below(n) == 0;
}

typedef struct world {
    avenc_device *device;
    avenc_channel *channels[MOST_CHANNELS]; /* of one stream, in the order of their places; the last one takes frames */
    unsigned count;
    avenc_waitset *waitset;
    avenc_frame *frames[MOST_FRAMES];
    uint64_t stamps[MOST_FRAMES]; /* what is written into these */
    bool submitted[MOST_FRAMES];
    avenc_packet *hand[MOST_HAND]; /* taken, in their order */
    unsigned in_hand, faults, binds;
    uint64_t tag, next_number; /* the number that a packet has at least */
    bool lost, closed, refused;
    int null;
    uint8_t tags[MOST_TAGS];
    uint8_t *borrowed[MOST_TAGS];
} world;

static void came_back(world *w, uint64_t tag) {
    CHECK(tag > 0 && tag <= w->tag && w->tags[tag] == ACCEPTED);
    w->tags[tag] = BACK;
    free(w->borrowed[tag]);
    w->borrowed[tag] = NULL;
}

static avenc_channel *any_channel(world *w) {
    return w->channels[below(w->count)];
}

/* None, one that is over, or a short one. */
static const avenc_wait *any_wait(void) {
    static avenc_wait wait;
    wait = avenc_wait_for(0);
    if (once_in(64))
        wait = avenc_wait_for(1);
    return once_in(2) ? NULL : &wait;
}

static avenc_submission next_frame(world *w) {
    avenc_submission frame = frame_of(++w->tag);
    frame.force_idr = once_in(6);
    frame.promised = once_in(6);
    frame.number_pts = !once_in(3);
    frame.pts = (int64_t)below(1000) - 500;
    return frame;
}

/* What an accepting call said of the frame of a tag. */
static void note(world *w, int rc, uint64_t tag) {
    if (rc == AVENC_OK)
        w->tags[tag] = ACCEPTED;
    w->refused = w->refused || rc > 0;
}

static void send(world *w, avenc_channel *channel) {
    uint64_t index = 0;
    avenc_submission frame = next_frame(w);
    if (once_in(24)) { /* wrong ones are refused, whatever else is the case */
        avenc_submission wrong = frame;
        switch (below(4)) {
        case 0:
            wrong.picture.width += 2;
            break;
        case 1:
            wrong.picture.uv = NULL;
            break;
        case 2:
            wrong.picture.y_stride = 1;
            break;
        default:
            wrong.sei_size = 5;
        }
        CHECK(avenc_channel_submit(channel, &wrong, any_wait(), &index) != AVENC_OK);
        return;
    }
    switch (below(4)) {
    case 0:
        note(w, avenc_channel_enqueue(channel, &frame, 1, once_in(3), &index), frame.tag);
        return;
    case 1: {
        uint8_t *pixels = malloc(SIZE);
        memcpy(pixels, frame.picture.y, SIZE);
        frame.picture.y = pixels;
        frame.picture.uv = pixels + WIDTH * HEIGHT;
        w->borrowed[frame.tag] = pixels;
        note(w, avenc_channel_enqueue(channel, &frame, 0, once_in(3), &index), frame.tag);
        if (w->tags[frame.tag] != ACCEPTED) {
            free(pixels);
            w->borrowed[frame.tag] = NULL;
        }
        return;
    }
    default:
        note(w, avenc_channel_submit(channel, &frame, any_wait(), &index), frame.tag);
    }
}

static void send_many(world *w, avenc_channel *channel) {
    avenc_submission frames[3];
    uint8_t pixels[3][SIZE];
    uint64_t indices[3];
    size_t accepted = 99, count = 1 + below(3);
    for (size_t i = 0; i < count; i++) {
        frames[i] = next_frame(w);
        memcpy(pixels[i], frames[i].picture.y, SIZE);
        frames[i].picture.y = pixels[i];
        frames[i].picture.uv = pixels[i] + WIDTH * HEIGHT;
    }
    int rc = avenc_channel_submit_many(channel, frames, count, any_wait(), indices, &accepted);
    CHECK(accepted <= count && (rc != AVENC_OK || accepted == count));
    for (size_t i = 0; i < accepted; i++)
        note(w, AVENC_OK, frames[i].tag);
    w->refused = w->refused || rc > 0;
}

static void acquire_or_submit(world *w, avenc_channel *channel) {
    unsigned i = below(MOST_FRAMES);
    avenc_frame_memory memory;
    if (!w->frames[i]) {
        if (avenc_channel_acquire(channel, any_wait(), &w->frames[i], &memory) != AVENC_OK) {
            w->frames[i] = NULL;
            return;
        }
        w->submitted[i] = false;
        w->stamps[i] = ++w->tag;
        memset(memory.y, 0, LOOP_STAMP);
        memcpy(memory.y, &w->stamps[i], sizeof w->stamps[i]);
        return;
    }
    if (once_in(3)) {
        avenc_frame_release(w->frames[i]);
        w->frames[i] = NULL;
        return;
    }
    avenc_submission frame = {.tag = w->stamps[i], .number_pts = 1, .promised = once_in(6)};
    uint64_t index;
    int rc = avenc_frame_submit(w->frames[i], &frame, once_in(2) ? AVENC_FRAME_QUEUE : 0, any_wait(), &index);
    CHECK(rc != AVENC_OK || !w->submitted[i]);
    note(w, rc, frame.tag);
    w->submitted[i] = w->submitted[i] || rc == AVENC_OK;
}

static void look_at(world *w, const avenc_packet *packet, bool in_order) {
    CHECK(packet->tag > 0 && packet->tag <= w->tag && w->tags[packet->tag] == ACCEPTED);
    if (packet->status == AVENC_OK)
        CHECK(stamp_of(packet) == packet->tag);
    if (in_order && packet->status == AVENC_OK) {
        CHECK(packet->frame_index >= w->next_number);
        w->next_number = packet->frame_index;
    }
}

static void let_go(world *w, avenc_packet *packet) {
    came_back(w, packet->tag);
    avenc_packet_release(packet);
}

static void take(world *w, avenc_channel *channel, size_t most) {
    avenc_packet *packets[8];
    size_t count = 99;
    most = most < 8 ? most : 8;
    CHECK(avenc_channel_take(channel, 0, packets, most, &count) == AVENC_OK && count <= most);
    if (count == 0)
        return;
    if (once_in(4)) { /* they are the next ones again */
        avenc_channel_give_back(channel, packets, count);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        look_at(w, packets[i], true);
        if (w->in_hand < MOST_HAND && !once_in(3))
            w->hand[w->in_hand++] = packets[i];
        else
            let_go(w, packets[i]);
    }
}

static void take_others(world *w, avenc_channel *channel) {
    avenc_packet *packets[8];
    uint64_t tags[8];
    size_t count = 0;
    CHECK(avenc_channel_take(channel, 1, packets, 1 + below(8), &count) == AVENC_OK);
    for (size_t i = 0; i < count; i++) {
        look_at(w, packets[i], false);
        let_go(w, packets[i]);
    }
    count = avenc_channel_take_dropped(channel, tags, 1 + below(8));
    for (size_t i = 0; i < count; i++)
        came_back(w, tags[i]);
}

static void wait_for_something(avenc_channel *channel) {
    const avenc_wait *wait = any_wait();
    switch (below(6)) {
    case 0:
        (void)avenc_channel_wait(channel, 1, wait, once_in(2) ? 0 : 200, (int)below(4));
        break;
    case 1:
        (void)avenc_channel_wait(channel, below(6), wait, 0, (int)below(4));
        break;
    case 2:
        (void)avenc_channel_wait_idle(channel, wait);
        break;
    case 3:
        (void)avenc_channel_wait_room(channel, 0, wait);
        break;
    case 4:
        (void)avenc_channel_wait_room(channel, 1, wait);
        break;
    default:
        (void)avenc_channel_wait_changes(channel, wait);
    }
}

static void replace(world *w) {
    avenc_channel_config config = config_of(1 + below(DEPTH), below(3));
    avenc_channel *last = w->channels[w->count - 1], *next;
    uint64_t first;
    if (w->count == MOST_CHANNELS || avenc_channel_create(w->device, &config, last, &next) != AVENC_OK)
        return;
    if (avenc_channel_wait_open(next, PATIENT) == AVENC_OK && !once_in(4) &&
        avenc_channel_succeed(next, &first) == AVENC_OK)
        w->channels[w->count++] = next;
    else
        avenc_channel_release(next); /* it never had its place */
}

static void change(world *w) {
    avenc_channel *last = w->channels[w->count - 1];
    avenc_channel_config config = config_of(DEPTH, 2);
    avenc_change *change;
    uint64_t first;
    config.max_bit_rate = 500 + below(1000);
    if (avenc_channel_change(last, avenc_channel_epoch(last), &config, &change) != AVENC_OK)
        return;
    (void)avenc_change_wait(change, any_wait(), &first);
    avenc_change_release(change);
}

static void listen(world *w, avenc_channel *channel) {
    uint32_t keys[2], count;
    switch (below(6)) {
    case 0:
        (void)avenc_channel_attach(channel, w->waitset, below(200));
        break;
    case 1:
        avenc_channel_detach(channel, w->waitset);
        break;
    case 2:
        avenc_waitset_arm(w->waitset);
        break;
    case 3:
        CHECK(avenc_waitset_fd(w->waitset) >= 0);
        break;
    case 4:
        avenc_waitset_signal(w->waitset, below(1 << 21));
        break;
    default:
        (void)avenc_waitset_take(w->waitset, any_wait(), once_in(2) ? 0 : 100, keys, 2, &count);
    }
}

static void without_arguments(avenc_channel *channel) {
    avenc_packet *packet;
    avenc_frame *frame;
    avenc_frame_memory memory;
    avenc_submission frames = frame_of(1);
    uint64_t index;
    size_t count;
    CHECK(avenc_channel_submit(channel, NULL, NULL, &index) == AVENC_E_INVALID);
    CHECK(avenc_channel_submit(channel, &frames, NULL, NULL) == AVENC_E_INVALID);
    CHECK(avenc_channel_submit(NULL, &frames, NULL, &index) == AVENC_E_INVALID);
    CHECK(avenc_channel_submit_many(channel, NULL, 1, NULL, &index, &count) == AVENC_E_INVALID);
    CHECK(avenc_channel_submit_many(channel, &frames, 1, NULL, &index, NULL) == AVENC_E_INVALID);
    CHECK(avenc_channel_enqueue(channel, &frames, 1, 0, NULL) == AVENC_E_INVALID);
    CHECK(avenc_channel_submit_device(channel, NULL, &frames, NULL, &index) == AVENC_E_INVALID);
    CHECK(avenc_channel_acquire(channel, NULL, NULL, &memory) == AVENC_E_INVALID);
    CHECK(avenc_channel_acquire(channel, NULL, &frame, NULL) == AVENC_E_INVALID);
    CHECK(avenc_frame_submit(NULL, &frames, 0, NULL, &index) == AVENC_E_INVALID);
    CHECK(avenc_channel_take(channel, 0, NULL, 1, &count) == AVENC_E_INVALID);
    CHECK(avenc_channel_take(channel, 0, &packet, 1, NULL) == AVENC_E_INVALID);
    CHECK(avenc_channel_take(channel, 1, &packet, 1, NULL) == AVENC_E_INVALID);
    CHECK(avenc_channel_wait(NULL, 1, NULL, 0, 0) == AVENC_E_INVALID);
    CHECK(avenc_channel_wait(NULL, 2, NULL, 0, 0) == AVENC_E_INVALID);
    CHECK(avenc_channel_attach(channel, NULL, 0) == AVENC_E_INVALID);
    avenc_frame_release(NULL);
    avenc_packet_release(NULL);
    avenc_change_release(NULL);
    avenc_channel_release(NULL);
    avenc_waitset_release(NULL);
}

/* The device does something, or fails at something that comes. */
static void let_device(world *w) {
    static const loop_call may_fail[] = {LOOP_ALLOC,   LOOP_ALLOC_HOST, LOOP_UPLOAD, LOOP_CREATE, LOOP_CHANGE,
                                         LOOP_PICTURE, LOOP_PLACE,      LOOP_SEND,   LOOP_BIND};
    /* What a device cannot be bound for three times in a row is left to it. */
    const uint32_t kinds = sizeof may_fail / sizeof may_fail[0] - (w->binds == 2);
    unsigned held = loop_held(0);
    if (held && !once_in(6))
        loop_report_held(0, 0, 1 + below(held));
    else if (held && once_in(2))
        loop_report_held(0, below(held), 1);
    else if (once_in(3))
        loop_next(0, (loop_plan){.when = LOOP_HELD, .ret_code = once_in(2) ? 31 : 0, .times = once_in(4) ? 2 : 0});
    else if (once_in(3) && w->faults < MOST_FAULTS) {
        loop_call call = may_fail[below(kinds)];
        w->faults++;
        w->binds += call == LOOP_BIND;
        loop_fail(0, call, 1 + below(3), 507899);
    } else if (once_in(12)) {
        loop_lose(0, w->lost ? 0 : 507010);
        w->lost = !w->lost;
    }
}

static void end_or_write(world *w, avenc_channel *channel) {
    switch (below(8)) {
    case 0:
        (void)avenc_channel_end(channel);
        break;
    case 1:
        if (once_in(4)) {
            (void)avenc_channel_close(channel);
            (void)avenc_channel_wait_closed(channel, any_wait());
            w->closed = true;
        }
        break;
    case 2:
    case 3: {
        int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (!w->closed) /* failures that are not told yet stay to be taken */
            (void)avenc_channel_set_sink(channel, once_in(2) ? fd : -1, once_in(2) ? 0 : 300, PATIENT);
        close(fd);
        break;
    }
    default:
        avenc_channel_retain(channel);
        avenc_channel_release(channel);
    }
}

static void look(avenc_channel *channel) {
    avenc_channel_stats stats;
    avenc_channel_histograms histograms;
    avenc_channel_stats_get(channel, &stats, once_in(2) ? &histograms : NULL);
    CHECK(stats.completed <= stats.submitted && stats.queued <= stats.in_flight);
    CHECK(stats.submitted == stats.completed + stats.dropped_frames + stats.in_flight);
    (void)avenc_channel_stalled_ns(channel);
    (void)avenc_channel_has_ended(channel);
    (void)avenc_channel_refused_pending(channel);
}

static void one_call(world *w) {
    avenc_channel *channel = any_channel(w);
    uint32_t which = below(32);
    if (getenv("TRACE"))
        fprintf(stderr, "%u ", which);
    switch (which) {
    case 0 ... 6:
        send(w, channel);
        return;
    case 7:
        send_many(w, channel);
        return;
    case 8 ... 11:
        acquire_or_submit(w, channel);
        return;
    case 12 ... 14:
        take(w, channel, below(5));
        return;
    case 15:
        take_others(w, channel);
        return;
    case 16 ... 17:
        wait_for_something(channel);
        return;
    case 18:
        if (once_in(4))
            replace(w);
        else
            change(w);
        return;
    case 19:
        listen(w, channel);
        return;
    case 20:
        without_arguments(channel);
        return;
    case 21:
        end_or_write(w, channel);
        return;
    case 22:
        (void)avenc_channel_drop_oldest(channel);
        return;
    case 23:
        look(channel);
        return;
    case 24:
        if (w->in_hand)
            let_go(w, w->hand[--w->in_hand]);
        return;
    default:
        let_device(w);
    }
}

/* Everything ends, and what was accepted comes back. */
static void end_world(world *w) {
    avenc_channel *channel = w->channels[0];
    avenc_packet *packets[8];
    size_t count;
    loop_forget_plans(0);
    if (w->lost)
        loop_lose(0, 0);
    CHECK(avenc_channel_close(w->channels[w->count - 1]) == AVENC_OK);
    for (unsigned i = 0; i < MOST_FRAMES; i++)
        avenc_frame_release(w->frames[i]);
    while (!avenc_channel_has_ended(channel)) { /* queued frames may have been on their way */
        unsigned held = loop_held(0);
        if (held)
            loop_report_held(0, 0, held);
        (void)avenc_channel_wait_closed(channel, held ? NULL : ((avenc_wait[1]){avenc_wait_for(2)}));
    }
    (void)avenc_channel_wait_closed(channel, PATIENT); /* a sink may be at its last packets: their tags come behind */
    do {
        CHECK(avenc_channel_take(channel, 0, packets, 8, &count) == AVENC_OK);
        for (size_t i = 0; i < count; i++) {
            look_at(w, packets[i], true);
            let_go(w, packets[i]);
        }
    } while (count);
    for (uint64_t i = 0; i < w->tag; i++)
        take_others(w, channel);
    while (w->in_hand)
        let_go(w, w->hand[--w->in_hand]);
    for (uint64_t tag = 1; tag <= w->tag; tag++)
        CHECK(w->tags[tag] != ACCEPTED);
    avenc_channel_stats stats = stats_of(channel);
    CHECK(stats.in_flight == 0 && stats.ready == 0 && stats.held == 0);
    for (unsigned i = 0; i < w->count; i++)
        avenc_channel_release(w->channels[i]);
    avenc_waitset_release(w->waitset);
    avenc_device_release(w->device);
    for (int kind = 0; kind < AVENC_LIVE_COUNT; kind++)
        for (int tries = 0; avenc_live(kind) != 0; tries++) {
            if (tries == 20000)
                fprintf(stderr, "%lld %s left\n", (long long)avenc_live(kind), avenc_live_name(kind));
            CHECK(tries < 20000);
            usleep(1000);
        }
    loop_check_clean();
}

static void run_world(unsigned calls) {
    static world one;
    world *w = &one;
    memset(w, 0, sizeof *w);
    avenc_channel_config config = config_of(1 + below(DEPTH), below(3));
    config.max_ready = once_in(2) ? 0 : 1 + below(4);
    config.drop_oldest = config.max_ready && once_in(2);
    loop_on_host(0, once_in(2));
    w->device = loop_open(0);
    w->channels[w->count++] = open_configured(w->device, &config, NULL);
    CHECK(avenc_waitset_create(&w->waitset) == AVENC_OK);
    loop_default(0, once_in(4) ? (loop_plan){.when = LOOP_AT_ONCE} : (loop_plan){.when = LOOP_HELD});
    for (unsigned i = 0; i < calls && w->tag + 4 < MOST_TAGS; i++)
        one_call(w);
    end_world(w);
}

static uint64_t number_of(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

SCENARIO(calls_in_any_order) {
    uint64_t rounds = number_of("ROUNDS", 100), seed = number_of("SEED", 1), calls = number_of("CALLS", 300);
    for (uint64_t i = 0; i < rounds; i++) {
        state = (seed + i) * 0x9e3779b97f4a7c15u | 1;
        fprintf(stderr, "\rSEED=%llu ", (unsigned long long)(seed + i));
        alarm(60);
        run_world((unsigned)calls);
    }
    fprintf(stderr, "\n");
}
