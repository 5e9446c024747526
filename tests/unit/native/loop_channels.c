// SPDX-License-Identifier: Apache-2.0
/* Channels that follow one another, and the ends of channels, streams and devices, with calls that never return. */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/status.h"
#include "channels.h"
#include "engine/channel.h"

static const loop_plan held = {.when = LOOP_HELD};

static avenc_channel *open_on(int number, uint32_t depth, uint32_t queue) {
    avenc_device *device = loop_open(number);
    avenc_channel *channel = open_channel(device, depth, queue);
    avenc_device_release(device);
    return channel;
}

static avenc_channel *succeed(avenc_device *device, avenc_channel *old, uint64_t expected_first) {
    avenc_channel_config config = config_of(4, 0);
    avenc_channel *channel = open_configured(device, &config, old);
    uint64_t first;
    CHECK(avenc_channel_succeed(channel, &first) == AVENC_OK && first == expected_first);
    return channel;
}

/* ---- succession ------------------------------------------------------------------------------------- */

SCENARIO(a_failure_names_its_call_as_far_as_there_is_room) {
    char name[100];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    const avenc_failure *failure = avenc_last_failure();
    CHECK(avi_fail(AVENC_E_INVALID, name, "%d", 7) == AVENC_E_INVALID && failure->code == AVENC_E_INVALID);
    CHECK(strlen(failure->call) == sizeof failure->call - 1 && !memcmp(failure->call, name, sizeof failure->call - 1));
    CHECK(avi_fail(AVENC_E_FULL, "short", "") == AVENC_E_FULL && !strcmp(failure->call, "short"));
    CHECK(avi_fail(AVENC_E_FULL, NULL, "") == AVENC_E_FULL && !strcmp(failure->call, ""));
}

SCENARIO(a_failure_of_numbers_is_written_when_somebody_asks) {
    CHECK(avi_fail(AVENC_E_INVALID, "before", "of before") == AVENC_E_INVALID);
    CHECK(avi_fail_numbers(AVENC_E_FULL, "tried", "%u %u %u %u %u", 1, 2, 3, 4, UINT32_MAX) == AVENC_E_FULL);
    for (int i = 0; i < 2; i++) {
        const avenc_failure *failure = avenc_last_failure();
        CHECK(failure->code == AVENC_E_FULL && !strcmp(failure->call, "tried"));
        CHECK(!strcmp(failure->detail, "1 2 3 4 4294967295"));
    }
    const avenc_failure of_another = {.code = AVENC_E_NOMEM, .call = "there", .detail = "of another thread"};
    avi_fail_numbers(AVENC_E_FULL, "tried", "%u %u %u %u %u", 1, 2, 3, 4, 5);
    CHECK(avi_fail_again(&of_another) == AVENC_E_NOMEM && !strcmp(avenc_last_failure()->detail, of_another.detail));
    avi_fail_numbers(AVENC_E_FULL, "tried", "%u %u %u %u %u", 1, 2, 3, 4, 5);
    avi_fail(AVENC_E_INVALID, "after", "of after");
    CHECK(!strcmp(avenc_last_failure()->detail, "of after") && !strcmp(avenc_last_failure()->call, "after"));
}

SCENARIO(packets_keep_the_frames_order_over_three_successions_while_the_first_still_drains) {
    avenc_device *device = loop_open(0);
    avenc_channel *a = open_channel(device, 4, 0);
    uint64_t index;
    loop_default(0, held);
    CHECK(submit(a, 10) == AVENC_OK && submit(a, 11) == AVENC_OK);
    avenc_channel *b = succeed(device, a, 2);
    CHECK(submit_index(a, 99, &index) == AVENC_E_REPLACED);
    CHECK(submit_index(b, 12, &index) == AVENC_OK && index == 2);
    CHECK(submit(b, 13) == AVENC_OK);
    avenc_channel *c = succeed(device, b, 4);
    CHECK(submit(c, 14) == AVENC_OK);
    avenc_channel *d = succeed(device, c, 5);
    CHECK(submit_index(d, 15, &index) == AVENC_OK && index == 5);
    loop_report_nth(0, 5); /* the last channel first */
    loop_report_nth(0, 4);
    loop_report_nth(0, 2);
    loop_report_nth(0, 2);
    CHECK(take_none(a) == 0 && stats_of(a).in_flight == 6);
    CHECK(avenc_channel_wait(d, 1, BRIEFLY, 0, 0) == AVENC_E_TIMEOUT);
    avenc_channel_release(b);
    avenc_channel_release(c);
    loop_report(0, 1);
    expect(d, 10);
    CHECK(take_none(d) == 0);
    loop_report(0, 1);
    for (uint64_t i = 11; i <= 15; i++) {
        avenc_packet *packet = take_packet(d);
        CHECK(stamp_of(packet) == i && packet->frame_index == i - 10);
        CHECK(packet->epoch == (i < 12 ? 0u : i < 14 ? 1u : i < 15 ? 2u : 3u));
        avenc_packet_release(packet);
    }
    avenc_channel_release(a);
    end_channel(d);
    avenc_device_release(device);
}

SCENARIO(frames_queued_before_the_seal_go_to_the_old_channel) {
    avenc_device *device = loop_open(0);
    avenc_channel *a = open_channel(device, 1, 2);
    loop_default(0, held);
    CHECK(submit(a, 1) == AVENC_OK && enqueue(a, 2) == AVENC_OK && enqueue(a, 3) == AVENC_OK);
    avenc_channel *b = succeed(device, a, 3);
    CHECK(submit(b, 4) == AVENC_OK); /* is not kept by what the old one has */
    CHECK(enqueue(a, 9) == AVENC_E_REPLACED);
    loop_report_nth(0, 0);
    loop_report_nth(0, 1);
    loop_report_nth(0, 1);
    loop_report_nth(0, 0);
    for (uint64_t i = 1; i <= 4; i++)
        expect(b, i);
    CHECK(avenc_channel_wait_retired(a, PATIENT) == AVENC_OK); /* it ended by itself */
    avenc_channel_release(a);
    end_channel(b);
    avenc_device_release(device);
}

SCENARIO(a_successor_that_ended_before_its_predecessor) {
    avenc_device *device = loop_open(0);
    avenc_channel *a = open_channel(device, 4, 0);
    loop_default(0, held);
    CHECK(submit(a, 1) == AVENC_OK);
    avenc_channel *b = succeed(device, a, 1);
    avenc_channel_release(a);
    avenc_channel_release(b); /* nobody refers to the stream any more: it is closed */
    avenc_device_release(device);
    UNTIL(loop_count(0, LOOP_DESTROY) == 1); /* the one without frames has ended */
    UNTIL(avi_taskq_blocked() == 0);
    CHECK(loop_held(0) == 1);
    loop_report(0, 1);
}

SCENARIO(a_channel_that_has_frames_done_ends_before_its_predecessor) {
    avenc_device *device = loop_open(0);
    avenc_channel *a = open_channel(device, 4, 0);
    loop_default(0, held);
    CHECK(submit(a, 1) == AVENC_OK);
    avenc_channel *b = succeed(device, a, 1);
    CHECK(submit(b, 2) == AVENC_OK);
    avenc_channel *c = succeed(device, b, 2);
    CHECK(submit(c, 3) == AVENC_OK);
    avenc_channel_release(b);
    loop_report_nth(0, 1);
    UNTIL(loop_count(0, LOOP_DESTROY) == 1); /* b */
    CHECK(take_none(a) == 0);
    loop_report_nth(0, 1);
    loop_report(0, 1);
    for (uint64_t i = 1; i <= 3; i++)
        expect(c, i);
    avenc_channel_release(a);
    end_channel(c);
    avenc_device_release(device);
}

SCENARIO(the_place_of_a_channel_that_is_gone_can_be_taken) {
    avenc_device *device = loop_open(0);
    avenc_channel_config config = config_of(2, 0);
    loop_fail(0, LOOP_CREATE, 1, 507018);
    avenc_channel *first = begin_channel(device, &config, NULL);
    CHECK(avenc_channel_wait_open(first, PATIENT) == 507018);
    avenc_channel *second = open_configured(device, &config, first);
    avenc_channel_release(first);
    UNTIL(avenc_live(AVENC_LIVE_CHANNEL) <= 2);
    uint64_t index;
    CHECK(avenc_channel_succeed(second, &index) == AVENC_OK && index == 0);
    CHECK(submit(second, 1) == AVENC_OK);
    expect(second, 1);
    end_channel(second);
    avenc_device_release(device);
}

SCENARIO(a_successor_that_nobody_put_in_its_place_ends_alone) {
    avenc_device *device = loop_open(0);
    avenc_channel *a = open_channel(device, 2, 0);
    avenc_channel_config config = config_of(2, 0);
    avenc_channel *b = open_configured(device, &config, a);
    uint64_t index;
    avenc_submission frame = frame_of(1);
    CHECK(avenc_channel_submit(b, &frame, PATIENT, &index) == AVENC_E_INVALID);
    avenc_channel_release(b);
    UNTIL(loop_count(0, LOOP_DESTROY) == 1);
    CHECK(submit(a, 1) == AVENC_OK);
    expect(a, 1);
    b = open_configured(device, &config, a);
    CHECK(avenc_channel_close(a) == AVENC_OK);
    CHECK(avenc_channel_succeed(b, &index) == AVENC_E_CLOSED);
    avenc_channel_release(b);
    end_channel(a);
    avenc_device_release(device);
}

/* ---- time ------------------------------------------------------------------------------------------- */

static avenc_channel *rebase(avenc_device *device, avenc_channel *old, int64_t num, int64_t den) {
    avenc_channel_config config = config_of(4, 0);
    config.time_num = num;
    config.time_den = den;
    avenc_channel *channel = open_configured(device, &config, old);
    uint64_t first;
    CHECK(avenc_channel_succeed(channel, &first) == AVENC_OK);
    avenc_channel_release(old);
    return channel;
}

static int64_t pts_of_next(avenc_channel *channel) {
    CHECK(submit(channel, 1) == AVENC_OK);
    avenc_packet *packet = take_packet(channel);
    int64_t pts = packet->pts;
    avenc_packet_release(packet);
    return pts;
}

SCENARIO(counted_time_goes_on_over_changes_of_its_base) {
    static const int64_t bases[][2] = {{1, 25}, {1, 30}, {1001, 30000}, {1, 90000}, {1, 24}, {1, 25}, {1, 1}, {1, 60}};
    avenc_device *device = loop_open(0);
    avenc_channel_config config = config_of(4, 0);
    avenc_channel *channel = open_configured(device, &config, NULL);
    __extension__ typedef __int128 wide;
    int64_t end = 0, num = 1, den = 25;
    for (unsigned i = 0; i < 64; i++) {
        const int64_t *base = bases[(i * 5 + i / 8) % 8];
        channel = rebase(device, channel, base[0], base[1]);
        for (unsigned k = 0; k < 1 + i % 3; k++) {
            int64_t pts = pts_of_next(channel);
            wide there = (wide)pts * base[0] * den, before = (wide)end * num * base[1]; /* both * den * base[1] */
            CHECK(there >= before);                                                     /* never back */
            CHECK(there - before < (wide)base[0] * den);                                /* rounded up, no more */
            end = pts + 1;
            num = base[0];
            den = base[1];
        }
    }
    end_channel(channel);
    avenc_device_release(device);
}

SCENARIO(time_goes_on_over_a_channel_that_encoded_nothing) {
    avenc_device *device = loop_open(0);
    avenc_channel *channel = open_channel(device, 4, 0);
    avenc_submission frame = frame_of(1);
    uint64_t index;
    frame.number_pts = 0;
    frame.pts = 1000; /* the program's own clock */
    CHECK(avenc_channel_submit(channel, &frame, PATIENT, &index) == AVENC_OK);
    expect(channel, 1);
    channel = rebase(device, channel, 1, 25);
    channel = rebase(device, channel, 1, 50);
    CHECK(pts_of_next(channel) == 2002);
    channel = rebase(device, channel, 1, 2147483647);
    channel = rebase(device, channel, 2147483647, 1);
    CHECK(pts_of_next(channel) == 1); /* 40.06 s are less than one unit */
    frame.pts = INT64_MAX / 2;
    CHECK(avenc_channel_submit(channel, &frame, PATIENT, &index) == AVENC_OK);
    expect(channel, 1);
    channel = rebase(device, channel, 1, 25); /* as far as can be said */
    CHECK(pts_of_next(channel) == INT64_MAX);
    CHECK(pts_of_next(channel) == INT64_MAX);
    frame.pts = INT64_MIN;
    CHECK(avenc_channel_submit(channel, &frame, PATIENT, &index) == AVENC_OK);
    expect(channel, 1);
    channel = rebase(device, channel, 1, 50);
    CHECK(pts_of_next(channel) == INT64_MIN);
    end_channel(channel);
    avenc_channel_config config = config_of(1, 0);
    config.time_den = 2147483648ll;
    CHECK(avenc_channel_create(device, &config, NULL, &channel) == AVENC_E_INVALID && said("2147483647"));
    avenc_device_release(device);
}

/* ---- one channel only --------------------------------------------------------------------------------- */

typedef struct later {
    avenc_channel *channel;
    avenc_frame *frame;
    int rc;
} later;

static void *submit_later(void *arg) {
    later *l = arg;
    l->rc = submit(l->channel, 77);
    return NULL;
}

SCENARIO(a_device_with_one_channel_is_reconfigured_in_turns) {
    avenc_device *device = loop_open(0);
    loop_limit_channels(0, 1);
    avenc_channel *a = open_channel(device, 2, 0);
    avenc_channel_config config = config_of(2, 0);
    avenc_channel *b = begin_channel(device, &config, a);
    CHECK(avenc_channel_wait_open(b, PATIENT) == 507018);
    avenc_channel_release(b);
    loop_default(0, held);
    CHECK(submit(a, 1) == AVENC_OK);
    avenc_channel_pause(a, 1);
    avenc_submission frame = frame_of(2);
    uint64_t index;
    CHECK(avenc_channel_submit(a, &frame, BRIEFLY, &index) == AVENC_E_FULL);
    avenc_channel_retire(a);
    CHECK(avenc_channel_wait_retired(a, BRIEFLY) == AVENC_E_TIMEOUT); /* it has a frame */
    later waits = {.channel = a};
    pthread_t thread;
    pthread_create(&thread, NULL, submit_later, &waits);
    loop_report(0, 1);
    CHECK(avenc_channel_wait_retired(a, PATIENT) == AVENC_OK);
    b = open_configured(device, &config, a);
    CHECK(avenc_channel_succeed(b, &index) == AVENC_OK && index == 1);
    pthread_join(thread, NULL);
    CHECK(waits.rc == AVENC_E_REPLACED);
    loop_default(0, (loop_plan){0});
    CHECK(submit(b, 2) == AVENC_OK);
    expect(b, 1);
    expect(b, 2);
    avenc_channel_release(a);
    end_channel(b);
    avenc_device_release(device);
}

static void *submit_whenever(void *arg) {
    later *l = arg;
    avenc_submission frame = frame_of(77);
    avenc_wait wait = avenc_wait_for(AVENC_NO_TIMEOUT); /* one that ends looks once more, and finds room */
    uint64_t index;
    l->rc = avenc_channel_submit(l->channel, &frame, &wait, &index);
    return NULL;
}

SCENARIO(a_pause_that_ends_lets_the_stream_go_on) {
    avenc_channel *channel = open_on(0, 2, 2);
    later waits = {.channel = channel};
    pthread_t thread;
    avenc_channel_pause(channel, 1);
    CHECK(enqueue(channel, 1) == AVENC_E_FULL);
    pthread_create(&thread, NULL, submit_whenever, &waits);
    UNTIL(asleep(channel) == 1);
    avenc_channel_pause(channel, 0);
    pthread_join(thread, NULL);
    CHECK(waits.rc == AVENC_OK);
    expect(channel, 77);
    end_channel(channel);
}

static void *submit_frame_later(void *arg) {
    later *l = arg;
    avenc_submission given = {.number_pts = 1, .tag = 5};
    uint64_t index;
    l->rc = avenc_frame_submit(l->frame, &given, 0, PATIENT, &index);
    return NULL;
}

/* Nothing is sent to a hardware channel that is being ended, whoever holds a frame of it: the loop would say so. */
SCENARIO(a_frame_held_over_a_retirement_is_not_sent_to_what_is_gone) {
    avenc_device *device = loop_open(0);
    avenc_channel *a = open_channel(device, 2, 2);
    avenc_frame *frame = acquire(a, 5), *other = acquire(a, 6);
    avenc_submission given = {.number_pts = 1, .tag = 5};
    uint64_t index = 44;
    loop_hang(0, LOOP_DESTROY, 1);
    avenc_channel_pause(a, 1);
    avenc_channel_retire(a);
    loop_wait_hung(0, LOOP_DESTROY, 1);
    CHECK(avenc_frame_submit(frame, &given, 0, BRIEFLY, &index) == AVENC_E_FULL && index == 44);
    CHECK(avenc_frame_submit(frame, &given, AVENC_FRAME_QUEUE, NULL, &index) == AVENC_E_FULL);
    later waits = {.channel = a, .frame = frame};
    pthread_t thread;
    pthread_create(&thread, NULL, submit_frame_later, &waits);
    loop_release(0, LOOP_DESTROY);
    CHECK(avenc_channel_wait_retired(a, PATIENT) == AVENC_OK);
    avenc_channel *b = succeed(device, a, 0);
    pthread_join(thread, NULL);
    CHECK(waits.rc == AVENC_E_REPLACED);
    CHECK(avenc_frame_submit(other, &given, 0, PATIENT, &index) == AVENC_E_REPLACED);
    avenc_frame_release(frame);
    avenc_frame_release(other);
    CHECK(submit(b, 1) == AVENC_OK);
    expect(b, 1);
    CHECK(stats_of(b).held == 0);
    avenc_channel_release(a);
    end_channel(b);
    avenc_device_release(device);
}

SCENARIO(a_pause_lasts_once_its_channel_is_being_retired) {
    avenc_device *device = loop_open(0);
    avenc_channel *a = open_channel(device, 2, 2);
    avenc_submission frame = frame_of(1);
    uint64_t index;
    avenc_channel_pause(a, 1);
    avenc_channel_retire(a);
    avenc_channel_pause(a, 0); /* somebody who wanted the same gives up */
    CHECK(avenc_channel_submit(a, &frame, NULL, &index) == AVENC_E_FULL && said("is ending the old channel"));
    CHECK(avenc_channel_wait_retired(a, PATIENT) == AVENC_OK);
    avenc_channel_pause(a, 0);
    CHECK(avenc_channel_submit(a, &frame, BRIEFLY, &index) == AVENC_E_FULL);
    CHECK(avenc_channel_enqueue(a, &frame, 1, 0, &index) == AVENC_E_FULL);
    avenc_channel *b = succeed(device, a, 0);
    avenc_channel_pause(a, 0);
    CHECK(submit(a, 1) == AVENC_E_REPLACED && submit(b, 1) == AVENC_OK);
    expect(b, 1);
    avenc_channel_release(a);
    end_channel(b);
    avenc_device_release(device);
}

SCENARIO(what_has_ended_takes_no_frame_whatever_else_is_known_of_it) {
    avenc_device *device = loop_open(0);
    avenc_channel *a = open_channel(device, 2, 2);
    avenc_submission frame = frame_of(1);
    uint64_t index;
    avenc_channel_pause(a, 1);
    avenc_channel_retire(a);
    CHECK(avenc_channel_wait_retired(a, PATIENT) == AVENC_OK);
    pthread_mutex_lock(&a->stream->lock);
    a->stream->paused = false; /* no call does that */
    pthread_mutex_unlock(&a->stream->lock);
    CHECK(avenc_channel_submit(a, &frame, BRIEFLY, &index) == AVENC_E_INVALID && said("is not open"));
    CHECK(avenc_channel_enqueue(a, &frame, 1, 0, &index) == AVENC_E_INVALID);
    end_channel(a);
    avenc_device_release(device);
}

/* ---- calls that never return ---------------------------------------------------------------------------- */

/* Another stream of that device, and one of another device, go on. */
static void others_go_on(avenc_device *device) {
    avenc_channel *channel = open_channel(device, 1, 1);
    for (uint64_t i = 1; i <= 3; i++) {
        CHECK(submit(channel, i) == AVENC_OK);
        expect(channel, i);
        CHECK(enqueue(channel, 100 + i) == AVENC_OK);
        expect(channel, 100 + i);
    }
    end_channel(channel);
}

static void elsewhere_it_goes_on(void) {
    avenc_device *device = loop_open(1);
    others_go_on(device);
    avenc_device_release(device);
}

SCENARIO(a_device_that_never_opens_costs_nobody_else_anything) {
    loop_hang(2, LOOP_OPEN, 1);
    avenc_device *device = loop_begin_open(2);
    avenc_device *again = loop_begin_open(2); /* shared */
    CHECK(device == again);
    loop_wait_hung(2, LOOP_OPEN, 1);
    CHECK(avenc_device_wait_open(device, BRIEFLY) == AVENC_E_TIMEOUT);
    CHECK(avenc_device_wait_open(device, NULL) == AVENC_E_TIMEOUT);
    avenc_wait looking = avenc_wait_for(20000);
    looking.look_ns = 1000000;
    CHECK(avenc_device_wait_open(device, &looking) == AVENC_E_LOOK);
    elsewhere_it_goes_on();
    avenc_device_release(device);
    avenc_device_release(again);
    loop_release(2, LOOP_OPEN);
}

SCENARIO(a_device_that_fails_to_open_tells_everybody_and_has_no_channels) {
    loop_fail(0, LOOP_OPEN, 1, 507033);
    loop_hang(0, LOOP_OPEN, 1);
    avenc_device *device = loop_begin_open(0), *again = loop_begin_open(0);
    avenc_channel_config config = config_of(1, 0);
    avenc_channel *channel = NULL;
    CHECK(avenc_channel_create(device, &config, NULL, &channel) == AVENC_E_INVALID && !channel);
    loop_wait_hung(0, LOOP_OPEN, 1);
    loop_release(0, LOOP_OPEN);
    CHECK(avenc_device_wait_open(device, PATIENT) == 507033);
    CHECK(avenc_device_wait_open(again, PATIENT) == 507033);
    CHECK(avenc_channel_create(device, &config, NULL, &channel) == AVENC_E_INVALID && !channel);
    avenc_device_release(device);
    avenc_device_release(again);
}

SCENARIO(a_device_that_never_closes_costs_nobody_else_anything) {
    loop_hang(2, LOOP_CLOSE, 1);
    avenc_device *device = loop_open(2);
    avenc_channel *channel = open_channel(device, 1, 0);
    avenc_device_release(device);
    end_channel(channel);
    loop_wait_hung(2, LOOP_CLOSE, 1);
    elsewhere_it_goes_on();
    loop_release(2, LOOP_CLOSE);
}

/* A call of making a channel or a slot of it. */
static void hang_while_creating(loop_call call) {
    avenc_device *device = loop_open(0);
    avenc_channel_config config = config_of(1, 0);
    loop_hang(0, call, 1);
    avenc_channel *channel = begin_channel(device, &config, NULL);
    loop_wait_hung(0, call, 1);
    CHECK(avi_taskq_blocked() == 1);
    CHECK(avenc_channel_wait_open(channel, BRIEFLY) == AVENC_E_TIMEOUT && said("has not returned (look at the loop)"));
    others_go_on(device);
    elsewhere_it_goes_on();
    CHECK(avenc_channel_close(channel) == AVENC_OK);
    CHECK(avenc_channel_wait_closed(channel, BRIEFLY) == AVENC_E_TIMEOUT && said("has not returned"));
    CHECK(avenc_channel_has_ended(channel) == 0);
    avenc_channel_release(channel);
    avenc_device_release(device);
    loop_release(0, call);
}

SCENARIO(creating_a_channel_never_returns) {
    hang_while_creating(LOOP_CREATE);
}

SCENARIO(the_first_memory_never_comes) {
    hang_while_creating(LOOP_ALLOC);
}

SCENARIO(describing_a_picture_never_returns) {
    hang_while_creating(LOOP_PICTURE);
}

SCENARIO(binding_never_returns) {
    hang_while_creating(LOOP_BIND);
}

SCENARIO(memory_for_one_more_slot_never_comes) {
    avenc_device *device = loop_open(0);
    avenc_channel *channel = open_channel(device, 1, 2);
    avenc_frame *frame = acquire(channel, 1), *none = NULL;
    avenc_frame_memory memory;
    avenc_submission given = frame_of(2), tagged = {.number_pts = 1, .tag = 1};
    uint64_t index;
    loop_hang(0, LOOP_ALLOC, 1);
    CHECK(avenc_channel_enqueue(channel, &given, 1, 0, &index) == AVENC_E_AGAIN);
    loop_wait_hung(0, LOOP_ALLOC, 1);
    CHECK(avenc_channel_wait_room(channel, 0, BRIEFLY) == AVENC_E_AGAIN);
    CHECK(avenc_channel_acquire(channel, BRIEFLY, &none, &memory) == AVENC_E_AGAIN && !none);
    CHECK(avenc_frame_submit(frame, &tagged, 0, PATIENT, &index) == AVENC_OK); /* the slot that is there */
    avenc_frame_release(frame);
    expect(channel, 1);
    CHECK(enqueue(channel, 3) == AVENC_OK); /* likewise */
    expect(channel, 3);
    others_go_on(device);
    elsewhere_it_goes_on();
    CHECK(avenc_channel_close(channel) == AVENC_OK);
    CHECK(avenc_channel_wait_closed(channel, BRIEFLY) == AVENC_E_TIMEOUT && said("allocates device memory"));
    loop_release(0, LOOP_ALLOC);
    end_channel(channel);
    avenc_device_release(device);
}

SCENARIO(who_waits_for_memory_does_not_wait_for_room) {
    avenc_device *device = loop_open(0);
    avenc_channel_config config = config_of(1, 2);
    config.max_ready = 1;
    avenc_channel *channel = open_configured(device, &config, NULL);
    avenc_frame *frame = acquire(channel, 1);
    avenc_submission given = frame_of(2), tagged = {.number_pts = 1, .tag = 1};
    uint64_t index;
    loop_hang(0, LOOP_ALLOC, 1);
    CHECK(avenc_channel_enqueue(channel, &given, 1, 0, &index) == AVENC_E_AGAIN);
    loop_wait_hung(0, LOOP_ALLOC, 1);
    CHECK(avenc_channel_wait_room(channel, 1, BRIEFLY) == AVENC_E_AGAIN);
    CHECK(avenc_frame_submit(frame, &tagged, 0, PATIENT, &index) == AVENC_OK);
    avenc_frame_release(frame);
    CHECK(avenc_channel_wait(channel, 1, PATIENT, 0, 0) == AVENC_OK); /* its packet: no more may wait */
    CHECK(avenc_channel_wait_room(channel, 1, NULL) == AVENC_OK);
    CHECK(avenc_channel_enqueue(channel, &given, 1, 0, &index) == AVENC_E_FULL);
    loop_release(0, LOOP_ALLOC);
    expect(channel, 1);
    CHECK(avenc_channel_wait_room(channel, 1, PATIENT) == AVENC_OK);
    CHECK(avenc_channel_enqueue(channel, &given, 1, 0, &index) == AVENC_OK);
    expect(channel, 2);
    end_channel(channel);
    avenc_device_release(device);
}

SCENARIO(memory_for_one_more_slot_is_refused_and_tried_again) {
    avenc_channel *channel = open_on(0, 1, 2);
    avenc_frame *frame = acquire(channel, 1);
    avenc_submission given = frame_of(2);
    uint64_t index;
    for (unsigned i = 0; i < 40; i++) { /* more often than there are slots: none is used up by that */
        loop_fail(0, LOOP_ALLOC, 1, 200000);
        CHECK(avenc_channel_enqueue(channel, &given, 1, 0, &index) == AVENC_E_AGAIN);
        CHECK(avenc_channel_wait_room(channel, 0, PATIENT) == 200000);
    }
    CHECK(avenc_channel_wait_room(channel, 0, PATIENT) == AVENC_OK);
    CHECK(avenc_channel_enqueue(channel, &given, 1, 0, &index) == AVENC_OK);
    expect(channel, 2);
    avenc_frame_release(frame);
    end_channel(channel);
}

/* Who was sent away to wait for memory hears of it from the call that is made again, which asks for no more of it. */
SCENARIO(memory_that_cannot_be_had_is_told_once_for_each_try) {
    avenc_channel *channel = open_on(0, 1, 2);
    avenc_frame *frame = acquire(channel, 1), *none = NULL;
    avenc_frame_memory memory;
    avenc_submission given = frame_of(2);
    uint64_t index;
    unsigned before = loop_count(0, LOOP_ALLOC);
    for (unsigned i = 1; i <= 3; i++) {
        loop_fail(0, LOOP_ALLOC, 1, 207001);
        int rc = i == 1   ? avenc_channel_enqueue(channel, &given, 1, 0, &index)
                 : i == 2 ? avenc_channel_submit(channel, &given, NULL, &index)
                          : avenc_channel_acquire(channel, NULL, &none, &memory);
        CHECK(rc == AVENC_E_AGAIN);
        CHECK(avenc_channel_wait_room(channel, 1, PATIENT) == AVENC_OK);
        CHECK(avenc_channel_wait_room(channel, 1, PATIENT) == AVENC_OK); /* it takes nothing from whoever asks */
        rc = i == 1   ? avenc_channel_enqueue(channel, &given, 1, 0, &index)
             : i == 2 ? avenc_channel_submit(channel, &given, NULL, &index)
                      : avenc_channel_acquire(channel, NULL, &none, &memory);
        CHECK(rc == 207001 && !none && loop_count(0, LOOP_ALLOC) == before + i);
    }
    CHECK(enqueue(channel, 3) == AVENC_OK);
    expect(channel, 3);
    avenc_frame_release(frame);
    end_channel(channel);
}

static void *submit_ok(void *channel) {
    CHECK(submit(channel, 1) == AVENC_OK);
    return NULL;
}

static void send_hangs(bool by_task) {
    avenc_device *device = loop_open(0);
    avenc_channel *channel = open_channel(device, 2, 1);
    avenc_submission frame;
    uint64_t index;
    pthread_t thread;
    loop_hang(0, LOOP_SEND, 1);
    if (by_task)
        CHECK(enqueue(channel, 1) == AVENC_OK);
    else
        pthread_create(&thread, NULL, submit_ok, channel);
    loop_wait_hung(0, LOOP_SEND, 1);
    if (!by_task) { /* the right to send is waited for like room */
        frame = frame_of(2);
        CHECK(avenc_channel_submit(channel, &frame, BRIEFLY, &index) == AVENC_E_FULL);
    }
    CHECK(enqueue(channel, 3) == AVENC_OK);
    others_go_on(device);
    elsewhere_it_goes_on();
    CHECK(avenc_channel_wait(channel, 1, BRIEFLY, 0, 0) == AVENC_E_TIMEOUT);
    CHECK(avenc_channel_wait_idle(channel, BRIEFLY) == AVENC_E_TIMEOUT);
    CHECK(avenc_channel_close(channel) == AVENC_OK);
    CHECK(avenc_channel_wait_closed(channel, NULL) == AVENC_E_TIMEOUT);
    CHECK(avenc_channel_wait_closed(channel, BRIEFLY) == AVENC_E_TIMEOUT && said("loop_send has not returned"));
    uint64_t tags[4];
    CHECK(avenc_channel_take_dropped(channel, tags, 4) == 1 && tags[0] == 3);
    loop_release(0, LOOP_SEND);
    if (!by_task)
        pthread_join(thread, NULL);
    expect(channel, 1); /* it was on its way */
    end_channel(channel);
    avenc_device_release(device);
}

SCENARIO(a_send_of_the_caller_s_never_returns) {
    send_hangs(false);
}

SCENARIO(a_send_of_the_queue_s_never_returns) {
    send_hangs(true);
}

/* What a wait's time-out says, once the call in its way has not returned for long enough to be worth a word. */
static bool tells_of_the_send(avenc_channel *channel) {
    avenc_wait wait = avenc_wait_for(1);
    return avenc_channel_wait(channel, 1, &wait, 0, 0) == AVENC_E_TIMEOUT && said("; loop_send has not returned for");
}

SCENARIO(a_send_that_never_returns_is_named_by_each_wait_behind_it) {
    avenc_channel *channel = open_on(0, 2, 1);
    avenc_submission frame;
    uint64_t index;
    loop_hang(0, LOOP_SEND, 1);
    CHECK(enqueue(channel, 1) == AVENC_OK);
    loop_wait_hung(0, LOOP_SEND, 1);
    UNTIL(tells_of_the_send(channel));
    CHECK(avenc_channel_wait_idle(channel, BRIEFLY) == AVENC_E_TIMEOUT && said("; loop_send has not returned for"));
    CHECK(enqueue(channel, 2) == AVENC_OK && enqueue(channel, 3) == AVENC_OK);
    frame = frame_of(4);
    CHECK(avenc_channel_submit(channel, &frame, NULL, &index) == AVENC_E_FULL);
    CHECK(said("; loop_send has not returned for") && said("(look at the loop)"));
    loop_release(0, LOOP_SEND);
    for (uint64_t stamp = 1; stamp <= 3; stamp++)
        expect(channel, stamp);
    end_channel(channel);
}

SCENARIO(a_send_that_has_returned_is_not_blamed_for_the_next_frame) {
    loop_on_host(0, true);
    avenc_channel *channel = open_on(0, 4, 4);
    loop_default(0, held);
    CHECK(enqueue(channel, 1) == AVENC_OK && enqueue(channel, 2) == AVENC_OK); /* memory for two at once */
    UNTIL(loop_held(0) == 2);
    loop_report(0, 2);
    expect(channel, 1);
    expect(channel, 2);
    loop_default(0, (loop_plan){0});
    loop_hang(0, LOOP_BIND, 1);
    CHECK(enqueue(channel, 1) == AVENC_OK);
    loop_wait_hung(0, LOOP_BIND, 1);
    CHECK(enqueue(channel, 2) == AVENC_OK); /* they are sent one after the other */
    loop_hang(0, LOOP_UPLOAD, 2);
    loop_release(0, LOOP_BIND);
    loop_wait_hung(0, LOOP_UPLOAD, 1);
    expect(channel, 1);
    struct timespec more_than_is_worth_a_word = {.tv_sec = 1, .tv_nsec = 100 * 1000 * 1000};
    nanosleep(&more_than_is_worth_a_word, NULL);
    CHECK(!tells_of_the_send(channel));
    loop_release(0, LOOP_UPLOAD);
    expect(channel, 2);
    end_channel(channel);
}

SCENARIO(a_send_that_never_returns_is_named_although_a_successor_sends) {
    avenc_device *device = loop_open(0);
    avenc_channel_config config = config_of(2, 1);
    config.max_ready = 2;
    avenc_channel *a = open_configured(device, &config, NULL);
    uint64_t index;
    loop_hang(0, LOOP_SEND, 1);
    CHECK(enqueue(a, 1) == AVENC_OK);
    loop_wait_hung(0, LOOP_SEND, 1);
    avenc_channel *b = succeed(device, a, 1);
    CHECK(submit(b, 2) == AVENC_OK);
    UNTIL(tells_of_the_send(b));
    CHECK(said("1 of them are finished, and wait for a frame from before reconfigure()"));
    CHECK(submit(b, 3) == AVENC_OK);
    avenc_submission frame = frame_of(4);
    CHECK(avenc_channel_submit(b, &frame, NULL, &index) == AVENC_E_FULL && said("and 2 for frames in front of them"));
    CHECK(said("; loop_send has not returned for"));
    loop_release(0, LOOP_SEND);
    for (uint64_t stamp = 1; stamp <= 3; stamp++)
        expect(b, stamp);
    avenc_channel_release(a);
    end_channel(b);
    avenc_device_release(device);
}

SCENARIO(destroying_a_channel_never_returns) {
    avenc_device *device = loop_open(0);
    avenc_channel *channel = open_channel(device, 2, 1);
    CHECK(submit(channel, 1) == AVENC_OK);
    loop_hang(0, LOOP_DESTROY, 1);
    CHECK(avenc_channel_close(channel) == AVENC_OK && avenc_channel_close(channel) == AVENC_OK);
    loop_wait_hung(0, LOOP_DESTROY, 1);
    CHECK(avenc_channel_wait_closed(channel, BRIEFLY) == AVENC_E_TIMEOUT && said("has not destroyed the channel"));
    CHECK(said("(look at the loop)"));
    expect(channel, 1); /* packets that are ready can still be taken */
    CHECK(avenc_channel_wait(channel, 1, PATIENT, 0, AVENC_WAIT_FOR_FRAMES) == AVENC_E_CLOSED);
    CHECK(submit(channel, 2) == AVENC_E_CLOSED);
    others_go_on(device);
    elsewhere_it_goes_on();
    avenc_channel_release(channel);
    avenc_device_release(device);
    loop_release(0, LOOP_DESTROY);
}

SCENARIO(freeing_a_slot_never_returns) {
    avenc_device *device = loop_open(0);
    avenc_channel *channel = open_channel(device, 2, 1);
    loop_hang(0, LOOP_FREE, 1);
    CHECK(avenc_channel_close(channel) == AVENC_OK);
    loop_wait_hung(0, LOOP_FREE, 1);
    CHECK(avenc_channel_wait_closed(channel, BRIEFLY) == AVENC_E_TIMEOUT);
    others_go_on(device);
    loop_release(0, LOOP_FREE);
    end_channel(channel);
    avenc_device_release(device);
}

SCENARIO(a_destroy_that_fails_is_told_once_and_made_once) {
    avenc_device *device = loop_open(0);
    avenc_channel *channel = open_channel(device, 1, 0);
    loop_fail(0, LOOP_DESTROY, 1, 507899);
    CHECK(avenc_channel_close(channel) == AVENC_OK);
    CHECK(avenc_channel_wait_closed(channel, PATIENT) == 507899);
    CHECK(avenc_channel_wait_closed(channel, PATIENT) == AVENC_OK);
    CHECK(stats_of(channel).failed_destroys == 1 && loop_count(0, LOOP_DESTROY) == 1);
    avenc_channel_release(channel);
    avenc_device_release(device);
}

SCENARIO(a_predecessor_s_destroy_that_fails_is_told_when_all_have_ended) {
    avenc_device *device = loop_open(0);
    avenc_channel *a = open_channel(device, 1, 0);
    loop_fail(0, LOOP_DESTROY, 1, 507899);
    avenc_channel *b = succeed(device, a, 0);
    UNTIL(stats_of(b).failed_destroys == 1);
    avenc_channel_release(a);
    loop_default(0, held);
    CHECK(submit(b, 1) == AVENC_OK);
    CHECK(avenc_channel_close(b) == AVENC_OK);
    CHECK(avenc_channel_wait_closed(b, BRIEFLY) == AVENC_E_TIMEOUT && said("1 frame(s) are still in the device"));
    loop_report(0, 1);
    CHECK(avenc_channel_wait_closed(b, PATIENT) == 507899 && avenc_channel_has_ended(b) == 1);
    CHECK(avenc_channel_wait_closed(b, PATIENT) == AVENC_OK);
    expect(b, 1);
    avenc_channel_release(b);
    avenc_device_release(device);
}

SCENARIO(a_channel_whose_device_cannot_be_bound_is_not_waited_for_for_ever) {
    avenc_device *device = loop_open(0);
    avenc_channel *channel = open_channel(device, 1, 0);
    for (unsigned nth = 1; nth <= 3; nth++)
        loop_fail(0, LOOP_BIND, nth, 507018);
    CHECK(avenc_channel_close(channel) == AVENC_OK);
    CHECK(avenc_channel_wait_closed(channel, PATIENT) == 507018 && avenc_channel_has_ended(channel) == 0);
    CHECK(avenc_channel_wait_closed(channel, PATIENT) == AVENC_OK && avenc_channel_has_ended(channel) == 1);
    avenc_channel_release(channel);
    avenc_device_release(device);
}

SCENARIO(a_channel_that_cannot_be_made_leaves_nothing) {
    static const loop_call calls[] = {LOOP_BIND, LOOP_CREATE, LOOP_ALLOC, LOOP_PICTURE, LOOP_PLACE};
    avenc_device *device = loop_open(0);
    avenc_channel_config config = config_of(3, 0);
    for (unsigned i = 0; i < sizeof calls / sizeof *calls; i++) {
        for (unsigned nth = 1; nth <= (calls[i] == LOOP_BIND || calls[i] == LOOP_CREATE ? 1 : 3); nth++) {
            loop_fail(0, calls[i], nth, 507018);
            avenc_channel *channel = begin_channel(device, &config, NULL);
            CHECK(avenc_channel_wait_open(channel, PATIENT) == 507018);
            uint64_t index;
            CHECK(submit_index(channel, 1, &index) == AVENC_E_INVALID);
            CHECK(avenc_channel_close(channel) == AVENC_OK);
            CHECK(avenc_channel_wait_closed(channel, PATIENT) == AVENC_OK);
            avenc_channel_release(channel);
            CHECK(avenc_live(AVENC_LIVE_SLOT) == 0);
        }
    }
    avenc_device_release(device);
}

/* ---- a device that is lost ------------------------------------------------------------------------------- */

static void *wait_for_packet(void *arg) {
    later *l = arg;
    l->rc = avenc_channel_wait(l->channel, 1, PATIENT, 0, 0);
    return NULL;
}

SCENARIO(a_lost_device_tells_everybody_and_closing_is_at_once) {
    avenc_device *device = loop_open(0);
    avenc_channel *channel = open_channel(device, 1, 1);
    avenc_submission frame = frame_of(2);
    uint64_t index;
    loop_default(0, held);
    CHECK(submit(channel, 1) == AVENC_OK && enqueue(channel, 2) == AVENC_OK);
    later waits = {.channel = channel};
    pthread_t thread;
    pthread_create(&thread, NULL, wait_for_packet, &waits);
    loop_lose(0, 507010);
    pthread_join(thread, NULL);
    CHECK(waits.rc == 507010);
    CHECK(avenc_channel_submit(channel, &frame, PATIENT, &index) == 507010 && said("stopped reporting"));
    CHECK(avenc_channel_wait_idle(channel, PATIENT) == 507010);
    elsewhere_it_goes_on();
    CHECK(avenc_channel_close(channel) == AVENC_OK);
    CHECK(avenc_channel_wait_closed(channel, PATIENT) == AVENC_OK);
    CHECK(avenc_channel_has_ended(channel) == 0);
    UNTIL(avenc_live(AVENC_LIVE_CHANNEL) == 1); /* that of the other device ends in its own time */
    CHECK(loop_count(0, LOOP_DESTROY) == 0);
    avenc_channel_release(channel);
    avenc_device_release(device);
    loop_lose(0, 0); /* it reports again, and what is closed ends */
    CHECK(loop_count(0, LOOP_DESTROY) == 0);
    loop_report(0, 1);
    UNTIL(loop_count(0, LOOP_DESTROY) == 1);
}

/* A device that is lost tells its channels: of one that is gone it knows nothing any more, and its place is free. */
SCENARIO(a_channel_that_has_ended_is_not_in_its_device_s_table) {
    avenc_device *device = loop_open(0);
    avenc_channel *channel = open_channel(device, 1, 0);
    for (int i = 0; i < 20; i++) {
        avenc_channel *other = open_channel(device, 1, 0);
        uint32_t index = other->index;
        bool listed = true;
        CHECK(index == channel->index + 1);
        end_channel(other);
        UNTIL((pthread_mutex_lock(&device->lock), listed = device->channels[index] != NULL,
               pthread_mutex_unlock(&device->lock), !listed));
    }
    UNTIL(avenc_live(AVENC_LIVE_CHANNEL) == 1);
    loop_lose(0, 507010);
    loop_lose(0, 0);
    end_channel(channel);
    avenc_device_release(device);
}

/* Nothing is destroyed on a lost device: who waits for that is told, and no reader is blamed. */
SCENARIO(a_channel_that_is_retired_on_a_lost_device_does_not_end) {
    avenc_device *device = loop_open(0);
    avenc_channel *channel = open_channel(device, 1, 0);
    loop_lose(0, 507010);
    avenc_channel_pause(channel, 1);
    avenc_channel_retire(channel);
    CHECK(avenc_channel_wait_retired(channel, PATIENT) == 507010 && said("stopped reporting"));
    CHECK(loop_count(0, LOOP_DESTROY) == 0);
    loop_lose(0, 0);
    end_channel(channel);
    avenc_device_release(device);
}

SCENARIO(a_channel_is_not_made_on_a_device_that_is_known_to_be_lost) {
    avenc_device *device = loop_open(0);
    avenc_channel *channel = open_channel(device, 1, 0);
    avenc_channel_config config = config_of(1, 0);
    unsigned before = loop_count(0, LOOP_CREATE);
    loop_lose(0, 507010);
    avenc_channel *other = begin_channel(device, &config, channel);
    CHECK(avenc_channel_wait_open(other, PATIENT) == 507010 && said("stopped reporting"));
    CHECK(loop_count(0, LOOP_CREATE) == before);
    avenc_channel_release(other);
    loop_lose(0, 0);
    end_channel(channel);
    avenc_device_release(device);
}

SCENARIO(a_device_that_comes_back_goes_on_where_it_was) {
    avenc_device *device = loop_open(0);
    avenc_channel *channel = open_channel(device, 1, 1);
    loop_default(0, held);
    CHECK(submit(channel, 1) == AVENC_OK && enqueue(channel, 2) == AVENC_OK);
    loop_lose(0, 507010);
    loop_lose(0, 0);
    loop_report(0, 1);
    loop_report(0, 1);
    expect(channel, 1);
    expect(channel, 2);
    end_channel(channel);
    avenc_device_release(device);
}

/* ---- waits ------------------------------------------------------------------------------------------------ */

SCENARIO(a_stall_is_told_when_frames_are_in_flight_and_only_then) {
    avenc_channel *channel = open_on(0, 2, 0);
    avenc_wait wait = avenc_wait_for(60);
    wait.stall_ns = 5000000;
    CHECK(avenc_channel_wait(channel, 1, &wait, 0, AVENC_WAIT_FOR_FRAMES) == AVENC_E_TIMEOUT);
    CHECK(said("within 0.06 s, and no frame is in flight"));
    loop_default(0, held);
    CHECK(submit(channel, 1) == AVENC_OK);
    wait = avenc_wait_for(AVENC_NO_TIMEOUT);
    wait.stall_ns = 5000000;
    CHECK(avenc_channel_wait(channel, 1, &wait, 0, 0) == AVENC_E_TIMEOUT);
    CHECK(said("finished no frame for 0.005 s: 1 frame(s) are in flight") && said("(look at the loop)"));
    loop_report(0, 1);
    expect(channel, 1);
    end_channel(channel);
}

SCENARIO(a_look_interrupts_a_wait_that_goes_on) {
    avenc_channel *channel = open_on(0, 2, 0);
    loop_default(0, held);
    CHECK(submit(channel, 1) == AVENC_OK);
    avenc_wait wait;
    for (int looks = 0; looks == 0;) { /* again where a busy machine has used the time up before the first look */
        int rc;
        wait = avenc_wait_for(40);
        wait.look_ns = 1000000;
        while ((rc = avenc_channel_wait(channel, 1, &wait, 0, 0)) == AVENC_E_LOOK)
            looks++;
        CHECK(rc == AVENC_E_TIMEOUT && said("0.04 s")); /* of the wait, not of its last look */
    }
    wait = avenc_wait_for(AVENC_NO_TIMEOUT);
    wait.look_ns = 1000000;
    CHECK(avenc_channel_wait_idle(channel, &wait) == AVENC_E_LOOK);
    CHECK(avenc_channel_close(channel) == AVENC_OK);
    CHECK(avenc_channel_wait_closed(channel, &wait) == AVENC_E_LOOK);
    loop_report(0, 1);
    expect(channel, 1);
    end_channel(channel);
}

SCENARIO(the_end_of_a_stream_is_told_after_its_packets) {
    avenc_channel *channel = open_on(0, 2, 0);
    uint64_t index;
    loop_default(0, held);
    CHECK(avenc_channel_wait(channel, 1, NULL, 0, 0) == AVENC_E_DRAINED);
    CHECK(avenc_channel_wait(channel, 1, NULL, 0, AVENC_WAIT_FOR_FRAMES) == AVENC_E_TIMEOUT);
    CHECK(submit(channel, 1) == AVENC_OK);
    CHECK(avenc_channel_end(channel) == AVENC_OK);
    CHECK(submit_index(channel, 2, &index) == AVENC_E_DRAINED);
    CHECK(avenc_channel_wait(channel, 1, NULL, 0, AVENC_WAIT_FOR_FRAMES) == AVENC_E_TIMEOUT);
    loop_report(0, 1);
    expect(channel, 1);
    CHECK(avenc_channel_wait(channel, 1, PATIENT, 0, AVENC_WAIT_FOR_FRAMES) == AVENC_E_DRAINED);
    end_channel(channel);
}

/* ---- a frame handle in two hands ---------------------------------------------------------------------------- */

#ifdef AVENC_DELAYS
enum { ROUNDS = 500 }; /* each with some hundred pauses */
#elif defined(__SANITIZE_THREAD__)
enum { ROUNDS = 15000 };
#else
enum { ROUNDS = 60000 };
#endif

static avenc_frame *passed;
static pthread_barrier_t meet;

static void *release_it(void *unused) {
    for (int i = 0; i < ROUNDS; i++) {
        pthread_barrier_wait(&meet);
        avenc_frame_release(passed);
        pthread_barrier_wait(&meet);
    }
    return unused;
}

/* One handle: its release may come before, while or after another thread submits. The channel outlives both. */
SCENARIO(a_frame_is_released_and_submitted_at_the_same_time) {
    avenc_channel *channel = open_on(0, 2, 0);
    pthread_t thread;
    unsigned sent = 0, refused = 0;
    pthread_barrier_init(&meet, NULL, 2);
    pthread_create(&thread, NULL, release_it, NULL);
    loop_default(0, (loop_plan){.when = LOOP_HELD});
    for (int i = 0; i < ROUNDS; i++) {
        avenc_submission given = {.number_pts = 1, .tag = 1};
        uint64_t index;
        passed = acquire(channel, 1);
        if (i % 4 == 3)
            loop_next(0, (loop_plan){.code = 100000, .gone = true}); /* then it is nobody's */
        pthread_barrier_wait(&meet);
        int rc = avenc_frame_submit(passed, &given, i % 2 ? AVENC_FRAME_QUEUE * (i % 4 == 1) : 0, PATIENT, &index);
        pthread_barrier_wait(&meet);
        CHECK(rc == AVENC_OK || rc == AVENC_E_INVALID || (i % 4 == 3 && rc == 100000));
        if (rc != AVENC_OK) {
            refused++;
        } else if (i % 4 == 3) { /* it was queued behind the one before, whose task was not through yet */
            avenc_packet *packet = take_packet(channel);
            CHECK(packet->status == 100000);
            avenc_packet_release(packet);
            sent++;
        } else {
            loop_report(0, 1);
            expect(channel, 1);
            sent++;
        }
        loop_forget_plans(0);
        CHECK(stats_of(channel).held == 0);
    }
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&meet);
    CHECK(sent + refused == ROUNDS && sent > 0 && stats_of(channel).submitted == sent && stats_of(channel).slots == 2);
    end_channel(channel);
}
