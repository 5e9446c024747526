// SPDX-License-Identifier: Apache-2.0
/* Settings that change while a channel lives: frames in front and behind, a device that refuses, calls that do not return. */
#include <pthread.h>

#include "channels.h"

enum { REFUSED = 507018, LOST = 507010, OLD_RATE = 100, NEW_RATE = 900 };

static const loop_plan held = {.when = LOOP_HELD};

static avenc_channel_config settings(uint32_t rate) {
    avenc_channel_config config = config_of(2, 4);
    config.max_bit_rate = rate;
    return config;
}

static avenc_channel *open_on(int number) {
    avenc_device *device = loop_open(number);
    avenc_channel_config config = settings(OLD_RATE);
    avenc_channel *channel = open_configured(device, &config, NULL);
    avenc_device_release(device);
    return channel;
}

static avenc_change *begin(avenc_channel *channel, uint32_t rate) {
    avenc_channel_config config = settings(rate);
    avenc_change *change = NULL;
    CHECK(avenc_channel_change(channel, avenc_channel_epoch(channel), &config, &change) == AVENC_OK && change);
    return change;
}

/* Begin it, wait and let go; what came of it. */
static int change_to(avenc_channel *channel, uint32_t rate, uint64_t *first) {
    avenc_change *change = begin(channel, rate);
    int rc = avenc_change_wait(change, PATIENT, first);
    avenc_change_release(change);
    return rc;
}

static void *submit_one(void *channel) {
    CHECK(submit(channel, 1) == REFUSED);
    return NULL;
}

SCENARIO(a_change_is_not_made_under_a_frame_in_front_of_it_that_was_refused) {
    avenc_channel *channel = open_on(0);
    pthread_t thread;
    uint64_t first = 77;
    loop_hang(0, LOOP_SEND, 1);
    loop_next(0, (loop_plan){.when = LOOP_HELD, .code = REFUSED});
    pthread_create(&thread, NULL, submit_one, channel);
    loop_wait_hung(0, LOOP_SEND, 1);
    avenc_change *change = begin(channel, NEW_RATE);
    CHECK(enqueue(channel, 2) == AVENC_OK); /* behind it */
    loop_release(0, LOOP_SEND);
    pthread_join(thread, NULL);
    CHECK(avenc_change_wait(change, PATIENT, &first) == AVENC_E_UNSUPPORTED && first == 77);
    CHECK(said("may still read a frame") && loop_count(0, LOOP_CHANGE) == 0);
    avenc_change_release(change);
    expect(channel, 2);
    CHECK(avenc_channel_epoch(channel) == 0);
    end_channel(channel);
}

SCENARIO(a_change_is_made_between_the_frames_before_it_and_those_behind) {
    avenc_channel *channel = open_on(0);
    uint64_t first = 77;
    loop_default(0, held);
    CHECK(submit(channel, 1) == AVENC_OK && submit(channel, 2) == AVENC_OK);
    avenc_change *change = begin(channel, NEW_RATE);
    CHECK(enqueue(channel, 3) == AVENC_OK && enqueue(channel, 4) == AVENC_OK);
    loop_report(0, 1);
    CHECK(avenc_change_wait(change, BRIEFLY, &first) == AVENC_E_TIMEOUT && said("and 1 are in front of the change"));
    CHECK(loop_count(0, LOOP_CHANGE) == 0 && loop_count(0, LOOP_SEND) == 2); /* one is inside, and none overtakes */
    loop_report(0, 1);
    CHECK(avenc_change_wait(change, PATIENT, &first) == AVENC_OK && first == 2);
    CHECK(loop_bit_rate(0) == NEW_RATE && avenc_channel_epoch(channel) == 1);
    avenc_change_release(change);
    UNTIL(loop_held(0) == 2);
    loop_report(0, 2);
    for (uint64_t i = 1; i <= 4; i++)
        expect(channel, i);
    CHECK(loop_count(0, LOOP_CREATE) == 1 && avenc_live(AVENC_LIVE_CHANGE) == 0);
    end_channel(channel);
}

/* Submit with a pts of one's own, behind a change that is pending. */
static void enqueue_at(avenc_channel *channel, uint64_t stamp, int64_t pts) {
    avenc_submission own = frame_of(stamp);
    uint64_t index;
    int rc;
    own.number_pts = 0;
    own.pts = pts;
    while ((rc = avenc_channel_enqueue(channel, &own, 1, 0, &index)) == AVENC_E_AGAIN)
        CHECK(avenc_channel_wait_room(channel, 1, PATIENT) == AVENC_OK);
    CHECK(rc == AVENC_OK);
}

SCENARIO(times_go_on_across_a_change_of_time_base) {
    avenc_channel *channel = open_on(0);
    uint64_t first;
    avenc_channel_config config = settings(OLD_RATE);
    const int64_t before = config.time_den / config.time_num;
    loop_default(0, held);
    CHECK(submit(channel, 1) == AVENC_OK);
    config.time_den *= 2; /* two units for each there was */
    avenc_change *change = NULL;
    CHECK(before > 0 && avenc_channel_change(channel, 0, &config, &change) == AVENC_OK);
    CHECK(enqueue(channel, 2) == AVENC_OK); /* stamped before the change is known to be made */
    enqueue_at(channel, 3, 5);
    loop_default(0, (loop_plan){0});
    loop_report(0, 1);
    CHECK(avenc_change_wait(change, PATIENT, &first) == AVENC_OK && first == 1);
    avenc_change_release(change);
    static const int64_t pts[] = {0, 2, 5};
    static const uint32_t epochs[] = {0, 1,
                                      0}; /* a time that was given is in units of the time at which it was given */
    for (int i = 0; i < 3; i++) {
        avenc_packet *packet = take_packet(channel);
        CHECK(packet->pts == pts[i] && packet->epoch == epochs[i]);
        avenc_packet_release(packet);
    }
    end_channel(channel);
}

SCENARIO(frames_that_are_dropped_behind_a_change_of_time_base_take_their_time) {
    avenc_channel *channel = open_on(0);
    uint64_t first, tags[2];
    avenc_channel_config config = settings(OLD_RATE);
    loop_default(0, held);
    CHECK(submit(channel, 1) == AVENC_OK);
    config.time_den *= 2;
    avenc_change *change = NULL;
    CHECK(avenc_channel_change(channel, 0, &config, &change) == AVENC_OK);
    CHECK(enqueue(channel, 2) == AVENC_OK);
    enqueue_at(channel, 3, 9);
    CHECK(avenc_channel_drop_oldest(channel) && avenc_channel_drop_oldest(channel)); /* number 1 and 2 */
    CHECK(avenc_channel_take_dropped(channel, tags, 2) == 2 && tags[0] == 2 && tags[1] == 3);
    CHECK(enqueue(channel, 4) == AVENC_OK);
    enqueue_at(channel, 5, 11);
    loop_default(0, (loop_plan){0});
    loop_report(0, 1);
    CHECK(avenc_change_wait(change, PATIENT, &first) == AVENC_OK && first == 1);
    avenc_change_release(change);
    CHECK(submit(channel, 6) == AVENC_OK);
    static const struct {
        uint64_t tag;
        int64_t pts;
        uint32_t epoch;
    } expected[] = {{1, 0, 0}, {4, 4, 1}, {5, 11, 0}, {6, 6, 1}};
    for (int i = 0; i < 4; i++) {
        avenc_packet *packet = take_packet(channel);
        CHECK(packet->tag == expected[i].tag && packet->pts == expected[i].pts && packet->epoch == expected[i].epoch);
        avenc_packet_release(packet);
    }
    end_channel(channel);
}

SCENARIO(frames_that_are_all_dropped_behind_a_change_of_time_base_take_their_time) {
    avenc_channel *channel = open_on(0);
    uint64_t first, tag;
    avenc_channel_config config = settings(OLD_RATE);
    loop_default(0, held);
    CHECK(submit(channel, 1) == AVENC_OK);
    config.time_den *= 2;
    avenc_change *change = NULL;
    CHECK(avenc_channel_change(channel, 0, &config, &change) == AVENC_OK);
    CHECK(enqueue(channel, 2) == AVENC_OK && avenc_channel_drop_oldest(channel));
    CHECK(avenc_channel_take_dropped(channel, &tag, 1) == 1);
    loop_default(0, (loop_plan){0});
    loop_report(0, 1);
    CHECK(avenc_change_wait(change, PATIENT, &first) == AVENC_OK && first == 1);
    avenc_change_release(change);
    CHECK(submit(channel, 3) == AVENC_OK);
    static const int64_t pts[] = {0, 3};
    for (int i = 0; i < 2; i++) {
        avenc_packet *packet = take_packet(channel);
        CHECK(packet->pts == pts[i]);
        avenc_packet_release(packet);
    }
    end_channel(channel);
}

SCENARIO(a_change_that_the_device_refuses_changes_nothing) {
    avenc_channel *channel = open_on(0);
    uint64_t first = 77;
    loop_fail(0, LOOP_CHANGE, 1, REFUSED);
    CHECK(change_to(channel, NEW_RATE, &first) == REFUSED && said("refused the settings") && first == 77);
    CHECK(avenc_channel_epoch(channel) == 0 && loop_bit_rate(0) == 0);
    CHECK(submit(channel, 1) == AVENC_OK);
    expect(channel, 1);
    CHECK(change_to(channel, NEW_RATE, &first) == AVENC_OK && first == 1);
    CHECK(submit(channel, 2) == AVENC_OK);
    expect(channel, 2);
    end_channel(channel);
}

SCENARIO(a_channel_whose_settings_are_not_known_takes_no_change) {
    avenc_channel *channel = open_on(0);
    uint64_t first;
    loop_fail(0, LOOP_CHANGE, 1, LOOP_UNSURE);
    CHECK(change_to(channel, NEW_RATE, &first) == AVENC_E_UNSUPPORTED && said("those before them too"));
    avenc_channel_config config = settings(NEW_RATE);
    avenc_change *change = NULL;
    CHECK(avenc_channel_change(channel, 0, &config, &change) == AVENC_E_UNSUPPORTED && !change);
    CHECK(said("takes another channel"));
    CHECK(submit(channel, 1) == AVENC_OK);
    expect(channel, 1);
    end_channel(channel);
}

SCENARIO(what_no_living_channel_takes_is_another_channel_s) {
    avenc_channel *channel = open_on(0);
    avenc_change *change = NULL;
    avenc_channel_config config = settings(NEW_RATE);
    config.depth++;
    CHECK(avenc_channel_change(channel, 0, &config, &change) == AVENC_E_UNSUPPORTED);
    config = settings(NEW_RATE);
    CHECK(avenc_channel_change(channel, 1, &config, &change) == AVENC_E_REPLACED && said("meanwhile"));
    config.time_num = 0;
    CHECK(avenc_channel_change(channel, 0, &config, &change) == AVENC_E_INVALID && !change);
    CHECK(loop_count(0, LOOP_CHANGE) == 0);
    end_channel(channel);
}

SCENARIO(a_change_that_nobody_waits_for_is_forgotten_before_it_begins) {
    avenc_channel *channel = open_on(0);
    loop_default(0, held);
    CHECK(submit(channel, 1) == AVENC_OK);
    avenc_change *change = begin(channel, NEW_RATE);
    avenc_channel_config config = settings(NEW_RATE);
    avenc_change *second = NULL;
    CHECK(avenc_channel_change(channel, 0, &config, &second) == AVENC_E_AGAIN && !second);
    CHECK(avenc_channel_wait_changes(channel, BRIEFLY) == AVENC_E_TIMEOUT);
    CHECK(enqueue(channel, 2) == AVENC_OK);
    avenc_change_release(change);
    CHECK(avenc_channel_wait_changes(channel, PATIENT) == AVENC_OK);
    UNTIL(loop_held(0) == 2); /* what waited behind it goes on at once */
    loop_report(0, 2);
    expect(channel, 1);
    expect(channel, 2);
    CHECK(loop_count(0, LOOP_CHANGE) == 0 && avenc_channel_epoch(channel) == 0);
    end_channel(channel);
}

SCENARIO(a_change_that_is_given_up_inside_the_call_is_written_back) {
    avenc_channel *channel = open_on(0);
    uint64_t first;
    loop_hang(0, LOOP_CHANGE, 1);
    avenc_change *change = begin(channel, NEW_RATE);
    loop_wait_hung(0, LOOP_CHANGE, 1);
    CHECK(avenc_change_wait(change, BRIEFLY, &first) == AVENC_E_TIMEOUT && said("loop_change has not returned"));
    CHECK(enqueue(channel, 1) == AVENC_OK && loop_count(0, LOOP_SEND) == 0);
    avenc_change_release(change);
    loop_release(0, LOOP_CHANGE);
    expect(channel, 1);
    CHECK(loop_count(0, LOOP_CHANGE) == 2 && loop_bit_rate(0) == OLD_RATE && avenc_channel_epoch(channel) == 0);
    end_channel(channel);
}

/* What a wait's time-out says, once the call in its way has not returned for long enough to be worth a word. */
static bool tells_of_the_change(avenc_channel *channel) {
    avenc_wait wait = avenc_wait_for(1);
    return avenc_channel_wait(channel, 1, &wait, 0, 0) == AVENC_E_TIMEOUT && said("; loop_change has not returned for");
}

SCENARIO(a_change_whose_call_does_not_return_is_named_by_each_wait_behind_it) {
    avenc_channel *channel = open_on(0);
    uint64_t index, first;
    loop_hang(0, LOOP_CHANGE, 1);
    avenc_change *change = begin(channel, NEW_RATE);
    loop_wait_hung(0, LOOP_CHANGE, 1);
    for (uint64_t stamp = 1; stamp <= 6; stamp++)
        CHECK(enqueue(channel, stamp) == AVENC_OK);
    UNTIL(tells_of_the_change(channel));
    CHECK(avenc_channel_wait_idle(channel, BRIEFLY) == AVENC_E_TIMEOUT && said("; loop_change has not returned for"));
    avenc_submission frame = frame_of(7);
    CHECK(avenc_channel_submit(channel, &frame, NULL, &index) == AVENC_E_FULL);
    CHECK(said("; frames wait behind a change of settings; loop_change has not returned for"));
    loop_release(0, LOOP_CHANGE);
    CHECK(avenc_change_wait(change, PATIENT, &first) == AVENC_OK && first == 0);
    avenc_change_release(change);
    for (uint64_t stamp = 1; stamp <= 6; stamp++)
        expect(channel, stamp);
    end_channel(channel);
}

SCENARIO(a_change_behind_a_send_that_does_not_return_names_it) {
    avenc_channel *channel = open_on(0);
    uint64_t first;
    loop_hang(0, LOOP_SEND, 1);
    CHECK(enqueue(channel, 1) == AVENC_OK);
    loop_wait_hung(0, LOOP_SEND, 1);
    avenc_change *change = begin(channel, NEW_RATE);
    UNTIL(avenc_change_wait(change, (avenc_wait[1]){avenc_wait_for(1)}, &first) == AVENC_E_TIMEOUT &&
          said("1 are in front of the change; loop_send has not returned for"));
    loop_release(0, LOOP_SEND);
    CHECK(avenc_change_wait(change, PATIENT, &first) == AVENC_OK && first == 1);
    avenc_change_release(change);
    expect(channel, 1);
    end_channel(channel);
}

/* A queued frame comes back with why it was not encoded, and no other one is taken. */
static void expect_no_frames(avenc_channel *channel, unsigned failed, int sends) {
    uint64_t index;
    for (unsigned i = 0; i < failed; i++) {
        avenc_packet *packet = take_packet(channel);
        CHECK(packet->status == AVENC_E_UNSURE && packet->size == 0);
        avenc_packet_release(packet);
    }
    CHECK(submit(channel, 90) == AVENC_E_UNSURE && said("the settings that the device has are not known"));
    avenc_submission frame = frame_of(91);
    CHECK(avenc_channel_enqueue(channel, &frame, 1, 0, &index) == AVENC_E_UNSURE);
    CHECK((int)loop_count(0, LOOP_SEND) == sends && avenc_live(AVENC_LIVE_CHANGE) == 0);
}

/* Another channel takes the place, and frames again. */
static void replace(avenc_channel *channel) {
    avenc_device *device = loop_open(0);
    avenc_channel_config config = settings(NEW_RATE);
    uint64_t first;
    avenc_channel *other = open_configured(device, &config, channel);
    avenc_device_release(device);
    CHECK(avenc_channel_succeed(other, &first) == AVENC_OK);
    CHECK(submit(channel, 92) == AVENC_E_REPLACED && submit(other, 93) == AVENC_OK);
    expect(other, 93);
    avenc_channel_release(channel);
    end_channel(other);
}

SCENARIO(a_change_that_is_given_up_and_cannot_be_written_back_stops_the_frames) {
    avenc_channel *channel = open_on(0);
    uint64_t first;
    CHECK(submit(channel, 1) == AVENC_OK);
    expect(channel, 1);
    loop_hang(0, LOOP_CHANGE, 1);
    loop_fail(0, LOOP_CHANGE, 2, REFUSED); /* the old settings */
    avenc_change *change = begin(channel, NEW_RATE);
    loop_wait_hung(0, LOOP_CHANGE, 1);
    CHECK(avenc_change_wait(change, BRIEFLY, &first) == AVENC_E_TIMEOUT);
    CHECK(enqueue(channel, 2) == AVENC_OK && enqueue(channel, 3) == AVENC_OK);
    avenc_change_release(change);
    loop_release(0, LOOP_CHANGE);
    expect_no_frames(channel, 2, 1);
    avenc_channel_config config = settings(NEW_RATE);
    CHECK(avenc_channel_change(channel, 0, &config, &change) == AVENC_E_UNSUPPORTED);
    replace(channel);
}

SCENARIO(a_change_that_is_given_up_and_refused_with_the_old_settings_stops_the_frames) {
    avenc_channel *channel = open_on(0);
    loop_hang(0, LOOP_CHANGE, 1);
    loop_fail(0, LOOP_CHANGE, 1, LOOP_UNSURE);
    avenc_change *change = begin(channel, NEW_RATE);
    loop_wait_hung(0, LOOP_CHANGE, 1);
    CHECK(enqueue(channel, 1) == AVENC_OK);
    avenc_change_release(change);
    loop_release(0, LOOP_CHANGE);
    expect_no_frames(channel, 1, 0);
    replace(channel);
}

SCENARIO(a_change_whose_end_nobody_was_told_stops_the_frames_where_settings_are_not_known) {
    avenc_channel *channel = open_on(0);
    loop_fail(0, LOOP_CHANGE, 1, LOOP_UNSURE);
    avenc_change *change = begin(channel, NEW_RATE);
    CHECK(avenc_channel_wait_changes(channel, PATIENT) == AVENC_OK);
    CHECK(submit(channel, 1) == AVENC_OK); /* somebody may replace it yet */
    expect(channel, 1);
    avenc_change_release(change);
    expect_no_frames(channel, 0, 1);
    replace(channel);
}

SCENARIO(a_channel_is_distrusted_only_where_its_settings_are_not_known) {
    avenc_channel *channel = open_on(0);
    uint64_t first;
    avenc_channel_distrust(channel);
    loop_fail(0, LOOP_CHANGE, 1, REFUSED);
    CHECK(change_to(channel, NEW_RATE, &first) == REFUSED);
    avenc_channel_distrust(channel);
    CHECK(submit(channel, 1) == AVENC_OK);
    expect(channel, 1);
    loop_fail(0, LOOP_CHANGE, 1, LOOP_UNSURE);
    CHECK(change_to(channel, NEW_RATE, &first) == AVENC_E_UNSUPPORTED);
    CHECK(submit(channel, 2) == AVENC_OK);
    expect(channel, 2);
    avenc_channel_distrust(channel);
    avenc_channel_distrust(channel);
    expect_no_frames(channel, 0, 2);
    CHECK(avenc_channel_close(channel) == AVENC_OK && submit(channel, 3) == AVENC_E_CLOSED);
    end_channel(channel);
}

static void *submit_refused(void *channel) {
    CHECK(submit(channel, 4) == AVENC_E_UNSURE && said("the settings that the device has are not known"));
    return NULL;
}

/* The device takes no more for now: it is not put back into the queue of a channel that is distrusted meanwhile. */
SCENARIO(a_frame_that_is_being_sent_is_not_queued_again_in_a_channel_that_is_distrusted) {
    static const loop_plan later = {.code = AVENC_E_AGAIN, .gone = true};
    for (int by_task = 0; by_task < 2; by_task++) {
        avenc_channel *channel = open_on(0);
        pthread_t thread;
        uint64_t first;
        loop_fail(0, LOOP_CHANGE, 1, LOOP_UNSURE);
        CHECK(change_to(channel, NEW_RATE, &first) == AVENC_E_UNSUPPORTED);
        loop_default(0, held);
        unsigned sends = loop_count(0, LOOP_SEND);
        CHECK(submit(channel, 3) == AVENC_OK);
        loop_next(0, later);
        loop_hang(0, LOOP_SEND, 1);
        if (by_task)
            CHECK(enqueue(channel, 4) == AVENC_OK);
        else
            pthread_create(&thread, NULL, submit_refused, channel);
        loop_wait_hung(0, LOOP_SEND, 1);
        avenc_channel_distrust(channel);
        loop_release(0, LOOP_SEND);
        if (!by_task)
            pthread_join(thread, NULL);
        loop_report(0, 1);
        expect(channel, 3);
        loop_default(0, (loop_plan){0});
        expect_no_frames(channel, (unsigned)by_task, (int)sends + 2);
        end_channel(channel);
    }
}

/* A frame that the task has taken out of the queue, and whose picture is still copied. */
SCENARIO(a_frame_that_is_being_copied_is_not_sent_to_a_channel_that_is_distrusted_meanwhile) {
    avenc_channel *channel = open_on(0);
    uint64_t first;
    loop_fail(0, LOOP_CHANGE, 1, LOOP_UNSURE);
    CHECK(change_to(channel, NEW_RATE, &first) == AVENC_E_UNSUPPORTED);
    CHECK(submit(channel, 1) == AVENC_OK);
    expect(channel, 1);
    loop_hang(0, LOOP_BIND, 1);
    CHECK(enqueue(channel, 2) == AVENC_OK);
    loop_wait_hung(0, LOOP_BIND, 1);
    avenc_channel_distrust(channel);
    loop_release(0, LOOP_BIND);
    expect_no_frames(channel, 1, 1);
    end_channel(channel);
}

SCENARIO(closing_ends_a_change_that_waits_and_one_whose_call_does_not_return) {
    uint64_t first;
    avenc_channel *channel = open_on(0);
    loop_default(0, held);
    CHECK(submit(channel, 1) == AVENC_OK);
    avenc_change *change = begin(channel, NEW_RATE);
    CHECK(avenc_channel_close(channel) == AVENC_OK);
    CHECK(avenc_change_wait(change, PATIENT, &first) == AVENC_E_CLOSED && loop_count(0, LOOP_CHANGE) == 0);
    avenc_change_release(change);
    loop_report(0, 1);
    end_channel(channel);
    channel = open_on(1);
    loop_hang(1, LOOP_CHANGE, 1);
    change = begin(channel, NEW_RATE);
    loop_wait_hung(1, LOOP_CHANGE, 1);
    CHECK(avenc_channel_close(channel) == AVENC_OK);
    CHECK(avenc_channel_wait_closed(channel, BRIEFLY) == AVENC_E_TIMEOUT && said("loop_change has not returned"));
    loop_release(1, LOOP_CHANGE);
    CHECK(avenc_change_wait(change, PATIENT, &first) == AVENC_E_CLOSED);
    avenc_change_release(change);
    end_channel(channel);
}

SCENARIO(a_lost_device_ends_the_wait_for_a_change) {
    avenc_channel *channel = open_on(0);
    uint64_t first;
    loop_default(0, held);
    CHECK(submit(channel, 1) == AVENC_OK);
    avenc_change *change = begin(channel, NEW_RATE);
    loop_lose(0, LOST);
    CHECK(avenc_change_wait(change, PATIENT, &first) == LOST);
    avenc_change_release(change);
    loop_lose(0, 0);
    loop_report(0, 1);
    expect(channel, 1);
    end_channel(channel);
}

/* ---- from several threads -------------------------------------------------------------------------------- */

enum { ROUNDS = 60 };

static void *change_always(void *channel) {
    for (uint32_t i = 0; i < ROUNDS; i++) {
        avenc_channel_config config = settings(1000 + i);
        avenc_change *change = NULL;
        uint64_t first;
        int rc = avenc_channel_change(channel, avenc_channel_epoch(channel), &config, &change);
        CHECK(rc == AVENC_OK || rc == AVENC_E_AGAIN || rc == AVENC_E_REPLACED);
        if (rc == AVENC_OK && i % 3)
            CHECK(avenc_change_wait(change, PATIENT, &first) == AVENC_OK);
        avenc_change_release(change); /* every third one is given up, wherever it is */
    }
    return NULL;
}

static void *submit_always(void *channel) {
    for (uint64_t i = 1; i <= 4 * ROUNDS; i++)
        CHECK(submit(channel, i) == AVENC_OK);
    return NULL;
}

SCENARIO(frames_keep_their_order_beside_changes_of_two_threads) {
    avenc_channel *channel = open_on(0);
    pthread_t threads[3];
    pthread_create(&threads[0], NULL, submit_always, channel);
    pthread_create(&threads[1], NULL, change_always, channel);
    pthread_create(&threads[2], NULL, change_always, channel);
    for (uint64_t i = 1; i <= 4 * ROUNDS; i++) {
        CHECK(avenc_channel_wait(channel, 1, PATIENT, 0, AVENC_WAIT_FOR_FRAMES) == AVENC_OK);
        expect(channel, i);
    }
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    CHECK(avenc_channel_wait_changes(channel, PATIENT) == AVENC_OK && avenc_live(AVENC_LIVE_CHANGE) == 0);
    end_channel(channel);
}
