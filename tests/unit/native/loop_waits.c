// SPDX-License-Identifier: Apache-2.0
/* Wait sets, coalescing counted in wake-ups, waits that a signal interrupts, and what is left of all objects after fork(). */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/thread.h"
#include "channels.h"
#include "engine/channel.h"
#include "engine/waitset.h"

static const loop_plan held = {.when = LOOP_HELD};

static avenc_channel *open_on(int number, uint32_t depth, uint32_t queue) {
    avenc_device *device = loop_open(number);
    avenc_channel *channel = open_channel(device, depth, queue);
    avenc_device_release(device);
    return channel;
}

static avenc_waitset *create_waitset(void) {
    avenc_waitset *waitset;
    CHECK(avenc_waitset_create(&waitset) == AVENC_OK);
    return waitset;
}

static uint32_t take_keys(avenc_waitset *waitset, const avenc_wait *wait, uint32_t *keys, uint32_t max) {
    uint32_t count = 99;
    int rc = avenc_waitset_take(waitset, wait, 0, keys, max, &count);
    CHECK(rc == (count ? AVENC_OK : AVENC_E_TIMEOUT));
    return count;
}

/* ---- keys --------------------------------------------------------------------------------------------- */

SCENARIO(a_key_is_listed_once_and_those_listed_first_come_first) {
    avenc_waitset *waitset = create_waitset();
    uint32_t keys[8];
    CHECK(take_keys(waitset, NULL, keys, 8) == 0);
    for (uint32_t key = 20; key > 10; key -= 2)
        avenc_waitset_signal(waitset, key);
    avenc_waitset_signal(waitset, 16); /* is there */
    CHECK(take_keys(waitset, NULL, keys, 2) == 2 && keys[0] == 20 && keys[1] == 18);
    avenc_waitset_signal(waitset, 20);
    CHECK(take_keys(waitset, NULL, keys, 8) == 4);
    CHECK(keys[0] == 16 && keys[1] == 14 && keys[2] == 12 && keys[3] == 20);
    CHECK(take_keys(waitset, BRIEFLY, keys, 8) == 0);
    uint32_t count = 5;
    CHECK(avenc_waitset_take(waitset, NULL, 0, keys, 0, &count) == AVENC_E_INVALID);
    CHECK(avenc_waitset_take(NULL, NULL, 0, keys, 1, &count) == AVENC_E_INVALID);
    avenc_waitset_release(waitset);
    avenc_waitset_release(NULL);
}

SCENARIO(a_channel_is_listed_when_it_is_attached_and_at_every_progress) {
    avenc_channel *channel = open_on(0, 2, 0);
    avenc_waitset *waitset = create_waitset();
    uint32_t keys[8];
    CHECK(avenc_channel_attach(channel, waitset, AVENC_MAX_KEYS) == AVENC_E_INVALID);
    CHECK(avenc_channel_attach(channel, waitset, AVENC_MAX_KEYS - 1) == AVENC_OK); /* room is made for it */
    CHECK(avenc_channel_attach(channel, waitset, 7) == AVENC_OK);
    CHECK(take_keys(waitset, NULL, keys, 8) == 2 && keys[0] == AVENC_MAX_KEYS - 1 && keys[1] == 7);
    CHECK(submit(channel, 1) == AVENC_OK);
    CHECK(take_keys(waitset, PATIENT, keys, 8) == 2); /* a packet */
    expect(channel, 1);
    CHECK(avenc_channel_end(channel) == AVENC_OK);
    CHECK(take_keys(waitset, NULL, keys, 8) == 2); /* the end */
    CHECK(avenc_channel_attach(channel, waitset, 1) == AVENC_OK &&
          avenc_channel_attach(channel, waitset, 2) == AVENC_OK);
    CHECK(avenc_channel_attach(channel, waitset, 3) == AVENC_E_FULL && said("4 wait sets already"));
    CHECK(take_keys(waitset, NULL, keys, 8) == 2);
    for (int i = 0; i < AVENC_MAX_WAITSETS + 1; i++)
        avenc_channel_detach(channel, waitset); /* one more than there are */
    CHECK(avenc_channel_close(channel) == AVENC_OK && avenc_channel_wait_closed(channel, PATIENT) == AVENC_OK);
    CHECK(take_keys(waitset, NULL, keys, 8) == 0);
    avenc_channel_release(channel);
    avenc_waitset_release(waitset);
}

SCENARIO(a_stream_keeps_its_wait_sets_and_tells_of_a_lost_device) {
    avenc_channel *channel = open_on(0, 2, 0);
    avenc_waitset *waitset = create_waitset();
    uint32_t keys[8];
    loop_default(0, held);
    CHECK(avenc_channel_attach(channel, waitset, 3) == AVENC_OK);
    CHECK(submit(channel, 1) == AVENC_OK);
    (void)take_keys(waitset, NULL, keys, 8);
    loop_lose(0, 507010);
    CHECK(take_keys(waitset, NULL, keys, 8) == 1 && keys[0] == 3);
    loop_lose(0, 0);
    avenc_waitset_release(waitset); /* the stream has a reference */
    loop_report(0, 1);
    expect(channel, 1);
    end_channel(channel);
}

SCENARIO(a_successor_s_progress_is_the_stream_s) {
    avenc_device *device = loop_open(0);
    avenc_channel *a = open_channel(device, 2, 0);
    avenc_waitset *waitset = create_waitset();
    avenc_channel_config config = config_of(2, 0);
    uint32_t keys[8];
    uint64_t first;
    CHECK(avenc_channel_attach(a, waitset, 9) == AVENC_OK);
    avenc_channel *b = open_configured(device, &config, a);
    CHECK(avenc_channel_succeed(b, &first) == AVENC_OK);
    avenc_channel_release(a);
    UNTIL(loop_count(0, LOOP_DESTROY) == 1 && avenc_live(AVENC_LIVE_CHANNEL) == 1);
    (void)take_keys(waitset, NULL, keys, 8);
    CHECK(submit(b, 1) == AVENC_OK);
    CHECK(take_keys(waitset, PATIENT, keys, 8) == 1 && keys[0] == 9);
    expect(b, 1);
    avenc_channel_detach(b, waitset);
    avenc_waitset_release(waitset);
    end_channel(b);
    avenc_device_release(device);
}

/* ---- threads that wait ---------------------------------------------------------------------------------- */

enum { WAITERS = 4 };

typedef struct waiter {
    pthread_t thread;
    avenc_waitset *waitset;
    uint32_t keys[64], count;
    uint32_t coalesce_us;
    avenc_channel *channel;
    int rc;
} waiter;

static atomic_uint taken_keys[64];

static void *take_until_told(void *arg) {
    waiter *w = arg;
    for (;;) {
        uint32_t keys[3], count;
        CHECK(avenc_waitset_take(w->waitset, PATIENT, 0, keys, 3, &count) == AVENC_OK);
        for (uint32_t i = 0; i < count; i++) {
            if (keys[i] == 63) {
                avenc_waitset_signal(w->waitset, 63); /* for the next one */
                return NULL;
            }
            atomic_fetch_add(&taken_keys[keys[i]], 1);
        }
    }
}

SCENARIO(each_key_goes_to_one_of_those_who_wait) {
    avenc_waitset *waitset = create_waitset();
    waiter waiters[WAITERS];
    for (int i = 0; i < WAITERS; i++) {
        waiters[i] = (waiter){.waitset = waitset};
        pthread_create(&waiters[i].thread, NULL, take_until_told, &waiters[i]);
    }
    for (unsigned round = 1; round <= 200; round++) {
        for (uint32_t key = 0; key < 5; key++)
            avenc_waitset_signal(waitset, key);
        for (uint32_t key = 0; key < 5; key++)
            UNTIL(atomic_load(&taken_keys[key]) == round);
    }
    avenc_waitset_signal(waitset, 63);
    for (int i = 0; i < WAITERS; i++)
        pthread_join(waiters[i].thread, NULL);
    memset(taken_keys, 0, sizeof taken_keys);
    avenc_waitset_release(waitset);
}

static void *take_once(void *arg) {
    waiter *w = arg;
    w->rc = avenc_waitset_take(w->waitset, PATIENT, w->coalesce_us, w->keys, 64, &w->count);
    return NULL;
}

enum { HOUR_US = 3600u * 1000 * 1000 };

/* Keys that come one after another are one wake-up where their rate promises that, until an urgent signal. */
SCENARIO(coalescing_takes_many_keys_with_one_wake_up) {
    avenc_waitset *waitset = create_waitset();
    waiter w = {.waitset = waitset, .coalesce_us = HOUR_US};
    CHECK(avi_waitset_reserve(waitset, 40) == AVENC_OK);
    avi_waitset_signal(waitset, 0, AVI_EVERYBODY);
    take_once(&w); /* knows the rate from now on */
    CHECK(w.rc == AVENC_OK);
    avi_waitset_signal(waitset, 1, AVI_EVERYBODY);
    avi_waitset_signal(waitset, 2, AVI_EVERYBODY);
    pthread_create(&w.thread, NULL, take_once, &w);
    for (uint32_t key = 3; key < 40; key++)
        avi_waitset_signal(waitset, key, AVI_EVERYBODY); /* it may be listed before or while the other one collects */
    avi_waitset_signal(waitset, 40, AVI_URGENTLY);
    pthread_join(w.thread, NULL);
    CHECK(w.rc == AVENC_OK && w.count == 40);
    for (uint32_t i = 0; i < 40; i++)
        CHECK(w.keys[i] == i + 1);
    avenc_waitset_release(waitset);
}

typedef struct collector {
    pthread_t thread;
    avenc_waitset *waitset;
    avenc_wait wait;
    avi_waiter waiter;
    atomic_int begun, done;
} collector;

enum { COLLECTIONS = 40 };

static void *collect_again_and_again(void *arg) {
    collector *c = arg;
    for (int i = 1; i <= COLLECTIONS; i++) {
        UNTIL(atomic_load(&c->begun) == i);
        avi_waitset_collect(c->waitset, (uint64_t)i * 1000, HOUR_US, &c->waiter);
        atomic_store(&c->done, i);
    }
    return NULL;
}

/* Who collects sleeps for an hour: it hears of what is urgent, also when it sleeps already, and of nothing else. */
SCENARIO(an_urgent_signal_wakes_who_collects) {
    avenc_waitset *waitset = create_waitset();
    collector c = {.waitset = waitset, .wait = avenc_wait_for(HOUR_US / 1000)};
    c.waiter = avi_waiter_begin(&c.wait, __func__);
    avi_waitset_collect(waitset, 0, HOUR_US, &c.waiter); /* knows the rate from now on */
    pthread_create(&c.thread, NULL, collect_again_and_again, &c);
    for (int i = 1; i <= COLLECTIONS; i++) {
        struct timespec pause = {.tv_nsec = i % 2 ? 2000000 : 0}; /* asleep by then, as a rule; nothing rests on it */
        atomic_store(&c.begun, i);
        nanosleep(&pause, NULL);
        avi_waitset_signal(waitset, 0, AVI_EVERYBODY);
        CHECK(atomic_load(&c.done) == i - 1);
        avi_waitset_signal(waitset, 0, AVI_URGENTLY);
        UNTIL(atomic_load(&c.done) == i);
    }
    pthread_join(c.thread, NULL);
    avenc_waitset_release(waitset);
}

/* Where nothing has come since the last time, the first key is not kept: else this would take an hour. */
SCENARIO(a_rate_that_promises_nothing_is_not_waited_for) {
    avenc_waitset *waitset = create_waitset();
    avenc_wait wait = avenc_wait_for(AVENC_NO_TIMEOUT);
    uint32_t keys[1], count;
    avi_waitset_signal(waitset, 1, AVI_EVERYBODY);
    avi_waitset_signal(waitset, 2, AVI_EVERYBODY);
    for (uint32_t key = 1; key <= 2; key++) /* nothing has come between the two */
        CHECK(avenc_waitset_take(waitset, &wait, HOUR_US, keys, 1, &count) == AVENC_OK && keys[0] == key);
    avenc_waitset_release(waitset);
}

static void *wait_coalescing(void *arg) {
    waiter *w = arg;
    w->rc = avenc_channel_wait(w->channel, 1, PATIENT, w->coalesce_us, AVENC_WAIT_FOR_FRAMES);
    return NULL;
}

SCENARIO(packets_are_coalesced_until_somebody_is_to_hear_of_the_end) {
    enum { FRAMES = 6 };
    avenc_channel *channel = open_on(0, FRAMES, 0);
    waiter w = {.channel = channel, .coalesce_us = HOUR_US};
    loop_default(0, held);
    for (uint64_t i = 1; i <= FRAMES; i++)
        CHECK(submit(channel, i) == AVENC_OK);
    loop_report(0, 1);
    wait_coalescing(&w);
    loop_report(0, 1);
    pthread_create(&w.thread, NULL, wait_coalescing, &w);
    for (int i = 2; i < FRAMES; i++)
        loop_report(0, 1); /* a batch each */
    CHECK(avenc_channel_end(channel) == AVENC_OK);
    pthread_join(w.thread, NULL);
    avenc_packet *packets[FRAMES + 1];
    size_t count;
    CHECK(w.rc == AVENC_OK);
    CHECK(avenc_channel_take(channel, 0, packets, FRAMES + 1, &count) == AVENC_OK && count == FRAMES);
    for (size_t i = 0; i < count; i++)
        avenc_packet_release(packets[i]);
    end_channel(channel);
}

/* ---- several packets at once -------------------------------------------------------------------------------- */

typedef struct patient {
    pthread_t thread;
    avenc_channel *channel;
    uint32_t at_least;
    int flags, rc;
    atomic_int id; /* the system's */
} patient;

static void *wait_for_several(void *arg) {
    patient *p = arg;
    atomic_store(&p->id, (int)syscall(SYS_gettid));
    avenc_wait wait = avenc_wait_for(AVENC_NO_TIMEOUT); /* fewer would come back at a deadline too */
    p->rc = avenc_channel_wait(p->channel, p->at_least, &wait, 0, p->flags);
    return NULL;
}

/* A thread that waits for so many, asleep. */
static void begin_patient(patient *p, avenc_channel *channel, uint32_t at_least, unsigned sleepers) {
    *p = (patient){.channel = channel, .at_least = at_least, .flags = AVENC_WAIT_FOR_FRAMES};
    pthread_create(&p->thread, NULL, wait_for_several, p);
    UNTIL(asleep(channel) == sleepers);
}

static void submit_held(avenc_channel *channel, uint64_t first, uint64_t last) {
    loop_default(0, held);
    for (uint64_t i = first; i <= last; i++)
        CHECK(submit(channel, i) == AVENC_OK);
}

SCENARIO(who_waits_for_several_packets_is_woken_once_at_its_target) {
    avenc_channel *channel = open_on(0, 8, 0);
    avenc_waitset *progress = channel->stream->progress;
    patient p;
    submit_held(channel, 1, 5);
    begin_patient(&p, channel, 3, 1);
    uint32_t before = avi_waitset_signals(progress);
    loop_report(0, 1);
    loop_report(0, 1);
    CHECK(avi_waitset_signals(progress) == before && asleep(channel) == 1);
    loop_report(0, 1);
    pthread_join(p.thread, NULL);
    CHECK(p.rc == AVENC_OK && avi_waitset_signals(progress) == before + 1);
    CHECK(take_none(channel) == 3);
    loop_report(0, 2);
    CHECK(avenc_channel_wait(channel, 5, NULL, 0, 0) == AVENC_OK); /* they are here */
    for (uint64_t i = 1; i <= 5; i++)
        expect(channel, i);
    CHECK(avenc_channel_wait(channel, 2, NULL, 0, 0) == AVENC_E_DRAINED);
    CHECK(avenc_channel_wait(channel, 2, BRIEFLY, 0, AVENC_WAIT_FOR_FRAMES) == AVENC_E_TIMEOUT);
    end_channel(channel);
}

/* Each is woken at its own number, whoever came first; one that wants any packet, by each of them. */
SCENARIO(those_who_wait_for_different_numbers_are_each_woken_at_theirs) {
    avenc_channel *channel = open_on(0, 8, 0);
    patient four, two;
    waiter any = {.channel = channel};
    submit_held(channel, 1, 6);
    begin_patient(&four, channel, 4, 1);
    begin_patient(&two, channel, 2, 2);
    pthread_create(&any.thread, NULL, wait_coalescing, &any);
    UNTIL(asleep(channel) == 3);
    loop_report(0, 1);
    pthread_join(any.thread, NULL);
    UNTIL(asleep(channel) == 2);
    loop_report(0, 1);
    pthread_join(two.thread, NULL);
    UNTIL(asleep(channel) == 1);
    loop_report(0, 1);
    CHECK(asleep(channel) == 1);
    loop_report(0, 1);
    pthread_join(four.thread, NULL);
    CHECK(any.rc == AVENC_OK && two.rc == AVENC_OK && four.rc == AVENC_OK);
    loop_report(0, 2);
    for (uint64_t i = 1; i <= 6; i++)
        expect(channel, i);
    end_channel(channel);
}

/* How often a thread of this process has gone to sleep. */
static long sleeps_of(pid_t thread) {
    char path[64], line[128];
    long count = -1;
    snprintf(path, sizeof path, "/proc/self/task/%d/status", thread);
    FILE *status = fopen(path, "r");
    CHECK(status);
    while (fgets(line, sizeof line, status))
        sscanf(line, "voluntary_ctxt_switches: %ld", &count);
    fclose(status);
    CHECK(count >= 0);
    return count;
}

static void *wait_idle(void *arg) {
    waiter *w = arg;
    w->rc = avenc_channel_wait_idle(w->channel, PATIENT);
    return NULL;
}

/* Also beside a thread that is woken by each packet. */
SCENARIO(who_waits_for_several_packets_sleeps_on_while_others_are_woken) {
    avenc_channel *channel = open_on(0, 8, 0);
    waiter idle = {.channel = channel};
    patient p;
    submit_held(channel, 1, 6);
    begin_patient(&p, channel, 6, 1);
    pthread_create(&idle.thread, NULL, wait_idle, &idle);
    UNTIL(asleep(channel) == 2);
    UNTIL(p.id != 0);
    struct timespec pause = {.tv_nsec = 20000000}; /* asleep in the kernel too, as a rule: else the count is higher */
    nanosleep(&pause, NULL);
    long before = sleeps_of(p.id);
    for (int i = 1; i < 6; i++) {
        loop_report(0, 1);
        UNTIL(asleep(channel) == 2);
    }
    CHECK(sleeps_of(p.id) <= before + 1);
    loop_report(0, 1);
    pthread_join(p.thread, NULL);
    pthread_join(idle.thread, NULL);
    CHECK(p.rc == AVENC_OK && idle.rc == AVENC_OK);
    for (uint64_t i = 1; i <= 6; i++)
        expect(channel, i);
    end_channel(channel);
}

SCENARIO(fewer_packets_are_enough_where_no_more_come) {
    avenc_channel *channel = open_on(0, 8, 0);
    patient p;
    submit_held(channel, 1, 3);
    begin_patient(&p, channel, 5, 1); /* of three: nothing is in flight then */
    loop_report(0, 3);
    pthread_join(p.thread, NULL);
    CHECK(p.rc == AVENC_OK && take_none(channel) == 3);

    submit_held(channel, 4, 5); /* the end is declared: those that are in flight come yet */
    begin_patient(&p, channel, 8, 1);
    CHECK(avenc_channel_end(channel) == AVENC_OK);
    loop_report(0, 1);
    UNTIL(asleep(channel) == 1);
    loop_report(0, 1);
    pthread_join(p.thread, NULL);
    CHECK(p.rc == AVENC_OK && take_none(channel) == 5);
    for (uint64_t i = 1; i <= 5; i++)
        expect(channel, i);
    CHECK(avenc_channel_wait(channel, 2, PATIENT, 0, AVENC_WAIT_FOR_FRAMES) == AVENC_E_DRAINED);
    end_channel(channel);
}

SCENARIO(fewer_packets_are_enough_after_the_time) {
    avenc_channel *channel = open_on(0, 8, 0);
    submit_held(channel, 1, 4);
    CHECK(avenc_channel_wait(channel, 3, BRIEFLY, 0, 0) == AVENC_E_TIMEOUT);
    loop_report(0, 2);
    CHECK(avenc_channel_wait(channel, 3, BRIEFLY, 0, 0) == AVENC_OK);
    CHECK(avenc_channel_wait(channel, 3, NULL, 0, 0) == AVENC_OK && take_none(channel) == 2);
    avenc_wait stall = avenc_wait_for(AVENC_NO_TIMEOUT); /* the device stands still */
    stall.stall_ns = 20000000;
    CHECK(avenc_channel_wait(channel, 3, &stall, 0, 0) == AVENC_OK);
    avenc_wait look = avenc_wait_for(AVENC_NO_TIMEOUT); /* and signals are looked for meanwhile */
    look.look_ns = 20000000;
    CHECK(avenc_channel_wait(channel, 3, &look, 0, 0) == AVENC_E_LOOK);
    loop_report(0, 2);
    for (uint64_t i = 1; i <= 4; i++)
        expect(channel, i);
    end_channel(channel);
}

SCENARIO(a_frame_that_failed_is_told_to_who_waits_for_several) {
    avenc_channel *channel = open_on(0, 8, 0);
    patient p;
    loop_default(0, held);
    for (uint64_t i = 1; i <= 5; i++) {
        loop_next(0, (loop_plan){.when = LOOP_HELD, .ret_code = i == 2 ? 31 : 0});
        CHECK(submit(channel, i) == AVENC_OK);
    }
    begin_patient(&p, channel, 5, 1);
    loop_report(0, 2);
    pthread_join(p.thread, NULL);
    avenc_packet *packet;
    size_t count;
    CHECK(p.rc == AVENC_OK);
    CHECK(avenc_channel_take(channel, 0, &packet, 2, &count) == AVENC_OK && count == 1 &&
          packet->status == AVENC_E_FRAME);
    avenc_packet_release(packet);
    begin_patient(&p, channel, 4, 1); /* it was told: the rest is waited for again */
    loop_report(0, 1);
    CHECK(asleep(channel) == 1);
    loop_report(0, 2);
    pthread_join(p.thread, NULL);
    CHECK(p.rc == AVENC_OK);
    expect(channel, 1);
    for (uint64_t i = 3; i <= 5; i++)
        expect(channel, i);
    end_channel(channel);
}

SCENARIO(fewer_packets_are_enough_where_no_more_may_be_ready) {
    avenc_device *device = loop_open(0);
    avenc_channel_config config = config_of(4, 0);
    config.max_ready = 2;
    avenc_channel *channel = open_configured(device, &config, NULL);
    avenc_device_release(device);
    patient p;
    submit_held(channel, 1, 4);
    begin_patient(&p, channel, 4, 1);
    loop_report(0, 2);
    pthread_join(p.thread, NULL);
    CHECK(p.rc == AVENC_OK && take_none(channel) == 2);
    loop_report(0, 2);
    for (uint64_t i = 1; i <= 4; i++)
        expect(channel, i);
    end_channel(channel);
}

SCENARIO(closing_and_a_lost_device_end_a_wait_for_several) {
    for (int lost = 0; lost < 2; lost++) {
        avenc_channel *channel = open_on(0, 8, 0);
        patient p;
        submit_held(channel, 1, 3);
        loop_report(0, 1);
        begin_patient(&p, channel, 3, 1);
        if (lost)
            loop_lose(0, 507010);
        else
            CHECK(avenc_channel_close(channel) == AVENC_OK);
        pthread_join(p.thread, NULL);
        CHECK(p.rc == AVENC_OK);
        expect(channel, 1); /* the next call tells of the rest */
        if (lost)
            CHECK(avenc_channel_wait(channel, 2, PATIENT, 0, 0) == 507010);
        if (lost)
            loop_lose(0, 0);
        loop_report(0, 2);
        for (uint64_t i = 2; lost && i <= 3; i++)
            expect(channel, i);
        end_channel(channel);
    }
}

/* Reports of one batch wake those who wait once: here the thread that takes finds them all. */
SCENARIO(a_batch_of_reports_is_one_wake_up) {
    enum { FRAMES = 8 };
    avenc_channel *channel = open_on(0, FRAMES, 0);
    avenc_waitset *waitset = create_waitset();
    uint32_t keys[4];
    CHECK(avenc_channel_attach(channel, waitset, 5) == AVENC_OK);
    loop_default(0, held);
    for (uint64_t i = 1; i <= FRAMES; i++)
        CHECK(submit(channel, i) == AVENC_OK);
    (void)take_keys(waitset, NULL, keys, 4);
    uint32_t before = avi_waitset_signals(waitset);
    loop_report(0, FRAMES);
    CHECK(avi_waitset_signals(waitset) == before + 1);
    CHECK(take_keys(waitset, NULL, keys, 4) == 1);
    for (uint64_t i = 1; i <= FRAMES; i++)
        expect(channel, i);
    avenc_channel_detach(channel, waitset);
    avenc_waitset_release(waitset);
    end_channel(channel);
}

/* ---- who waits to send ------------------------------------------------------------------------------------- */

static void *submit_for_ever(void *arg) {
    waiter *w = arg;
    avenc_wait wait = avenc_wait_for(AVENC_NO_TIMEOUT);
    avenc_submission frame = frame_of(7);
    uint64_t index;
    w->rc = avenc_channel_submit(w->channel, &frame, &wait, &index);
    return NULL;
}

SCENARIO(a_packet_that_is_taken_wakes_who_waits_for_room_for_its_own) {
    avenc_device *device = loop_open(0);
    avenc_channel_config config = config_of(2, 0);
    config.max_ready = 1;
    avenc_channel *channel = open_configured(device, &config, NULL);
    CHECK(submit(channel, 1) == AVENC_OK);
    waiter w = {.channel = channel};
    pthread_create(&w.thread, NULL, submit_for_ever, &w);
    UNTIL(asleep(channel) == 1);
    expect(channel, 1);
    UNTIL(stats_of(channel).completed == 2); /* nothing else would wake it */
    pthread_join(w.thread, NULL);
    CHECK(w.rc == AVENC_OK);
    expect(channel, 7);
    end_channel(channel);
    avenc_device_release(device);
}

SCENARIO(a_handle_that_is_given_up_late_wakes_who_waits_for_its_room) {
    avenc_channel *channel = open_on(0, 1, 0);
    avenc_submission given = {.number_pts = 1, .tag = 3};
    uint64_t index;
    avenc_frame *frame = acquire(channel, 3);
    CHECK(avenc_frame_submit(frame, &given, 0, PATIENT, &index) == AVENC_OK);
    expect(channel, 3);
    waiter w = {.channel = channel};
    pthread_create(&w.thread, NULL, submit_for_ever, &w);
    UNTIL(asleep(channel) == 1); /* whoever has the handle may read the picture */
    avenc_frame_release(frame);
    pthread_join(w.thread, NULL);
    CHECK(w.rc == AVENC_OK);
    expect(channel, 7);
    end_channel(channel);
}

SCENARIO(a_send_that_returns_wakes_who_waits_for_its_turn) {
    avenc_channel *channel = open_on(0, 2, 0);
    waiter first = {.channel = channel}, second = {.channel = channel};
    loop_default(0, held); /* no report comes, which would wake all */
    loop_hang(0, LOOP_SEND, 1);
    pthread_create(&first.thread, NULL, submit_for_ever, &first);
    loop_wait_hung(0, LOOP_SEND, 1);
    pthread_create(&second.thread, NULL, submit_for_ever, &second);
    UNTIL(asleep(channel) == 1);
    loop_release(0, LOOP_SEND);
    UNTIL(loop_held(0) == 2);
    pthread_join(first.thread, NULL);
    pthread_join(second.thread, NULL);
    CHECK(first.rc == AVENC_OK && second.rc == AVENC_OK);
    loop_report(0, 2);
    expect(channel, 7);
    expect(channel, 7);
    end_channel(channel);
}

SCENARIO(who_does_not_wait_for_a_turn_queues_where_there_is_room) {
    avenc_channel *channel = open_on(0, 3, 0);
    avenc_submission frame;
    uint64_t index, indices[1];
    size_t accepted;
    waiter first = {.channel = channel};
    loop_hang(0, LOOP_SEND, 1);
    pthread_create(&first.thread, NULL, submit_for_ever, &first);
    loop_wait_hung(0, LOOP_SEND, 1);
    frame = frame_of(8);
    CHECK(avenc_channel_submit(channel, &frame, NULL, &index) == AVENC_OK && index == 1);
    frame = frame_of(9);
    CHECK(avenc_channel_submit_many(channel, &frame, 1, NULL, indices, &accepted) == AVENC_OK && accepted == 1);
    CHECK(avenc_channel_submit(channel, &frame, NULL, &index) == AVENC_E_FULL && index == 1); /* depth says so */
    CHECK(stats_of(channel).queued == 2 && loop_count(0, LOOP_SEND) == 1);
    loop_release(0, LOOP_SEND);
    pthread_join(first.thread, NULL);
    for (uint64_t stamp = 7; stamp <= 9; stamp++)
        expect(channel, stamp);
    CHECK(first.rc == AVENC_OK);
    end_channel(channel);
}

SCENARIO(who_queued_for_its_turn_is_dropped_by_close) {
    avenc_channel *channel = open_on(0, 3, 0);
    avenc_submission second = frame_of(8);
    uint64_t index, tag = 0;
    waiter first = {.channel = channel};
    loop_hang(0, LOOP_SEND, 1);
    pthread_create(&first.thread, NULL, submit_for_ever, &first);
    loop_wait_hung(0, LOOP_SEND, 1);
    CHECK(avenc_channel_submit(channel, &second, NULL, &index) == AVENC_OK);
    CHECK(avenc_channel_close(channel) == AVENC_OK);
    CHECK(avenc_channel_take_dropped(channel, &tag, 1) == 1 && tag == 8);
    loop_release(0, LOOP_SEND);
    pthread_join(first.thread, NULL);
    expect(channel, 7);
    end_channel(channel);
    CHECK(first.rc == AVENC_OK);
}

/* ---- event loops ------------------------------------------------------------------------------------------ */

static bool readable(int fd) {
    struct pollfd wanted = {.fd = fd, .events = POLLIN};
    return poll(&wanted, 1, 0) == 1;
}

SCENARIO(a_descriptor_is_readable_from_the_first_signal_after_arming_until_keys_are_taken) {
    avenc_waitset *waitset = create_waitset();
    uint32_t keys[4];
    int fd = avenc_waitset_fd(waitset);
    CHECK(fd >= 0 && avenc_waitset_fd(waitset) == fd && !readable(fd));
    avenc_waitset_signal(waitset, 1);
    CHECK(!readable(fd)); /* nobody asked */
    avenc_waitset_arm(waitset);
    CHECK(!readable(fd) && take_keys(waitset, NULL, keys, 4) == 0); /* what was listed is forgotten */
    avenc_waitset_signal(waitset, 2);
    CHECK(readable(fd));
    avenc_waitset_arm(waitset);
    CHECK(readable(fd)); /* another waiter of the loop may not have seen it */
    avenc_waitset_signal(waitset, 3);
    CHECK(take_keys(waitset, NULL, keys, 4) == 1 && keys[0] == 3 && !readable(fd));
    avenc_waitset_signal(waitset, 4);
    CHECK(!readable(fd)); /* not armed again */
    avenc_waitset_arm(waitset);
    avenc_waitset_signal(waitset, 4);
    CHECK(readable(fd));
    avenc_waitset_release(waitset);
}

/* ---- signals of the process --------------------------------------------------------------------------------- */

static atomic_bool came_back;

static void nothing(int number) {
    (void)number;
}

static void *wait_looking(void *arg) {
    waiter *w = arg;
    avenc_wait wait = avenc_wait_for(AVENC_NO_TIMEOUT);
    wait.look_ns = 3600ull * 1000 * 1000 * 1000;
    w->rc = w->channel ? avenc_channel_wait(w->channel, 1, &wait, 0, AVENC_WAIT_FOR_FRAMES)
                       : avenc_waitset_take(w->waitset, &wait, 0, w->keys, 64, &w->count);
    atomic_store(&came_back, true);
    return NULL;
}

SCENARIO(a_signal_of_the_process_is_looked_for_at_once) {
    avenc_channel *channel = open_on(0, 1, 0);
    avenc_waitset *waitset = create_waitset();
    struct sigaction action = {.sa_handler = nothing}, before;
    sigaction(SIGUSR1, &action, &before);
    for (int i = 0; i < 2; i++) {
        waiter w = {.waitset = waitset, .channel = i ? channel : NULL};
        atomic_store(&came_back, false);
        pthread_create(&w.thread, NULL, wait_looking, &w);
        UNTIL(atomic_load(&came_back) || (pthread_kill(w.thread, SIGUSR1), 0)); /* perhaps not asleep yet */
        pthread_join(w.thread, NULL);
        CHECK(w.rc == AVENC_E_LOOK);
    }
    sigaction(SIGUSR1, &before, NULL);
    avenc_waitset_release(waitset);
    end_channel(channel);
}

/* ---- fork ------------------------------------------------------------------------------------------------------ */

static avenc_channel *locked_channel;
static pthread_barrier_t locked;

/* Another thread is inside the engine at the moment of the fork, and does not exist in the child. */
static void *hold_locks(void *unused) {
    pthread_mutex_lock(&locked_channel->device->lock);
    pthread_mutex_lock(&locked_channel->stream->lock);
    pthread_barrier_wait(&locked);
    pthread_barrier_wait(&locked);
    pthread_mutex_unlock(&locked_channel->stream->lock);
    pthread_mutex_unlock(&locked_channel->device->lock);
    return unused;
}

#define FORKED(call) CHECK((call) == AVENC_E_FORKED)

static void in_child(avenc_device *device, avenc_channel *channel, avenc_frame *frame, avenc_packet *packet,
                     avenc_waitset *waitset, avenc_converter *converter) {
    avenc_channel_config config = config_of(1, 0);
    avenc_submission given = frame_of(1);
    avenc_device_picture picture = {given.picture.y, WIDTH, HEIGHT, NULL, 0};
    avenc_frame_memory memory;
    avenc_channel_stats stats;
    avenc_channel_histograms histograms;
    avenc_channel *made;
    avenc_frame *acquired;
    avenc_packet *packets[2] = {packet, packet};
    uint64_t index, tags[2];
    uint32_t keys[2], number;
    size_t count;
    uint8_t y[SIZE];
    const uint8_t *planes[3] = {y, y, y};
    const size_t strides[3] = {WIDTH, WIDTH, WIDTH};
    for (int kind = 0; kind < AVENC_LIVE_COUNT; kind++)
        CHECK(avenc_live(kind) == 0);
    FORKED(avenc_device_wait_open(device, NULL));
    FORKED(avenc_channel_create(device, &config, NULL, &made));
    FORKED(avenc_channel_wait_open(channel, NULL));
    FORKED(avenc_channel_succeed(channel, &index));
    FORKED(avenc_channel_wait_retired(channel, NULL));
    FORKED(avenc_channel_submit(channel, &given, NULL, &index));
    FORKED(avenc_channel_submit_many(channel, &given, 1, NULL, &index, &count));
    FORKED(avenc_channel_submit_device(channel, &picture, &given, NULL, &index));
    FORKED(avenc_channel_enqueue(channel, &given, 1, 0, &index));
    FORKED(avenc_channel_wait_room(channel, 0, NULL));
    FORKED(avenc_channel_wait_room(channel, 1, NULL));
    FORKED(avenc_channel_acquire(channel, NULL, &acquired, &memory));
    FORKED(avenc_frame_submit(frame, &given, 0, NULL, &index));
    FORKED(avenc_channel_take(channel, 0, packets, 2, &count));
    FORKED(avenc_channel_take(channel, 1, packets, 2, &count));
    FORKED(avenc_channel_wait(channel, 1, NULL, 0, 0));
    FORKED(avenc_channel_set_sink(channel, 1, 0, NULL));
    FORKED(avenc_channel_end(channel));
    FORKED(avenc_channel_wait_idle(channel, NULL));
    FORKED(avenc_channel_close(channel));
    FORKED(avenc_channel_wait_closed(channel, NULL));
    FORKED(avenc_channel_attach(channel, waitset, 1));
    FORKED(avi_waitset_reserve(waitset, 1)); /* as of a channel of the child's own */
    FORKED(avenc_waitset_take(waitset, NULL, 0, keys, 2, &number));
    FORKED(avenc_converter_convert(converter, planes, strides, y, WIDTH, y, WIDTH));
    CHECK(avenc_waitset_fd(waitset) == -1 && avenc_last_failure()->code == AVENC_E_FORKED);
    avenc_waitset_arm(waitset);
    avenc_waitset_signal(waitset, 1);
    avenc_channel_pause(channel, 1);
    avenc_channel_retire(channel);
    avenc_channel_abandon_sink(channel);
    CHECK(avenc_channel_drop_oldest(channel) == 0);
    CHECK(avenc_channel_refused_pending(channel) == 0);
    CHECK(avenc_channel_stalled_ns(channel) == 0);
    CHECK(avenc_channel_take_dropped(channel, tags, 2) == 0);
    CHECK(avenc_channel_has_ended(channel) == 1);
    avenc_channel_stats_get(channel, &stats, &histograms);
    CHECK(stats.submitted == 0);
    avenc_channel_give_back(channel, packets, 1);
    avenc_channel_detach(channel, waitset);
    avenc_channel_retain(channel);
    avenc_channel_release(channel);
    avenc_channel_release(channel);
    avenc_frame_release(frame);
    avenc_packet_release(packet);
    avenc_waitset_release(waitset);
    avenc_device_release(device);
    avenc_converter_destroy(converter);
    for (int kind = 0; kind < AVENC_LIVE_COUNT; kind++)
        CHECK(avenc_live(kind) == 0);
    CHECK(avi_taskq_blocked() == 0);
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
    /* The thread sanitizer's runtime starts no threads in a child of a program with threads; the address sanitizer's
       allocator may have been locked by a thread that does not exist here. */
    /* The child opens its own. */
    device = loop_open(1);
    channel = open_channel(device, 2, 2);
    int ends[2];
    CHECK(pipe(ends) == 0);
    CHECK(avenc_channel_set_sink(channel, ends[1], 0, PATIENT) == AVENC_OK);
    CHECK(submit(channel, 1) == AVENC_OK && enqueue(channel, 2) == AVENC_OK);
    CHECK(avenc_channel_wait_idle(channel, PATIENT) == AVENC_OK);
    CHECK(stats_of(channel).written == 2);
    end_channel(channel);
    avenc_device_release(device);
    for (int kind = 0; kind < AVENC_LIVE_COUNT; kind++)
        UNTIL(avenc_live(kind) == 0);
#endif
}

SCENARIO(in_a_forked_child_every_object_is_dead_and_nothing_hangs) {
    avenc_device *device = loop_open(0);
    avenc_channel *channel = open_channel(device, 3, 2);
    avenc_waitset *waitset = create_waitset();
    avenc_converter_config colours = {.source = AVENC_SOURCE_I420,
                                      .pic_format = PIXEL_FORMAT_YUV_SEMIPLANAR_420,
                                      .width = WIDTH,
                                      .height = HEIGHT,
                                      .threads = 1};
    avenc_converter *converter;
    pthread_t thread;
    int ends[2], status;
    CHECK(avenc_converter_create(&colours, &converter) == AVENC_OK);
    CHECK(avenc_channel_attach(channel, waitset, 3) == AVENC_OK && avenc_waitset_fd(waitset) >= 0);
    CHECK(submit(channel, 1) == AVENC_OK && submit(channel, 2) == AVENC_OK);
    avenc_packet *packet = take_packet(channel);
    avenc_frame *frame = acquire(channel, 3);
    loop_next(0, held);
    CHECK(submit(channel, 4) == AVENC_OK); /* in the device */
    CHECK(pipe(ends) == 0);
    avenc_channel *other = open_channel(device, 1, 0);
    CHECK(avenc_channel_set_sink(other, ends[1], 0, PATIENT) == AVENC_OK); /* so that the writer is there */
    locked_channel = channel;
    pthread_barrier_init(&locked, NULL, 2);
    pthread_create(&thread, NULL, hold_locks, NULL);
    pthread_barrier_wait(&locked);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(30); /* a child that hangs is a failure, and not for ever */
        in_child(device, channel, frame, packet, waitset, converter);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    pthread_barrier_wait(&locked);
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&locked);
    /* The parent has noticed nothing. */
    avenc_submission given = {.number_pts = 1, .tag = 3};
    uint64_t index;
    loop_report(0, 1);
    CHECK(avenc_frame_submit(frame, &given, 0, PATIENT, &index) == AVENC_OK);
    avenc_frame_release(frame);
    avenc_packet_release(packet);
    expect(channel, 2);
    expect(channel, 4);
    expect(channel, 3);
    avenc_channel_detach(channel, waitset);
    avenc_waitset_release(waitset);
    avenc_converter_destroy(converter);
    end_channel(other);
    end_channel(channel);
    avenc_device_release(device);
    close(ends[0]);
    close(ends[1]);
}
