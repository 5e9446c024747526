// SPDX-License-Identifier: Apache-2.0
/* A frame's way through the engine: its slot, its number, its packet, and what a device that refuses it does to these. */
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "channels.h"

enum { SPARE = 32, REFUSED = 507046, BAD_PARAM = 100000 };

static const loop_plan held = {.when = LOOP_HELD};
static const loop_plan refused = {.when = LOOP_HELD, .code = REFUSED};
static const loop_plan later = {.code = AVENC_E_AGAIN, .gone = true}; /* not before a frame is reported */

static avenc_channel *open_on(int number, uint32_t depth, uint32_t queue) {
    avenc_device *device = loop_open(number);
    avenc_channel *channel = open_channel(device, depth, queue);
    avenc_device_release(device); /* the channel keeps it */
    return channel;
}

/* ---- slots ---------------------------------------------------------------------------------------- */

SCENARIO(each_frame_comes_back_once_in_order_from_its_own_picture) {
    avenc_channel *channel = open_on(0, 2, 0);
    for (uint64_t i = 1; i <= 10; i++) {
        uint64_t index;
        CHECK(submit_index(channel, i, &index) == AVENC_OK && index == i - 1);
        avenc_packet *packet = take_packet(channel);
        CHECK(stamp_of(packet) == i && packet->tag == i && packet->frame_index == index &&
              packet->pts == (int64_t)index);
        CHECK(packet->kind == AVENC_KIND_P && packet->epoch == 0 && packet->promised == 0);
        CHECK(packet->emitted_ns >= packet->submitted_ns);
        avenc_packet_release(packet);
    }
    CHECK(stats_of(channel).slots == 2);
    end_channel(channel);
}

SCENARIO(depth_frames_are_in_the_device_and_no_more) {
    avenc_channel *channel = open_on(0, 2, 0);
    avenc_submission frame = frame_of(3);
    uint64_t index = 77;
    loop_default(0, held);
    CHECK(submit(channel, 1) == AVENC_OK && submit(channel, 2) == AVENC_OK);
    frame = frame_of(3);
    CHECK(avenc_channel_submit(channel, &frame, NULL, &index) == AVENC_E_FULL && index == 77);
    CHECK(said("no room for another frame at this moment: 2 in flight (depth 2), 0 queued (queue 0), 0 held by the"));
    CHECK(loop_held(0) == 2);
    loop_report(0, 1);
    CHECK(avenc_channel_submit(channel, &frame, NULL, &index) == AVENC_OK && index == 2);
    loop_report(0, 2);
    for (uint64_t i = 1; i <= 3; i++)
        expect(channel, i);
    end_channel(channel);
}

SCENARIO(a_held_frame_counts_until_its_handle_is_back) {
    avenc_channel *channel = open_on(0, 1, 0);
    avenc_frame *frame = acquire(channel, 1);
    avenc_frame *none = NULL;
    avenc_frame_memory memory;
    avenc_submission given = {.number_pts = 1, .tag = 1};
    uint64_t index;
    CHECK(stats_of(channel).held == 1);
    CHECK(avenc_channel_acquire(channel, NULL, &none, &memory) == AVENC_E_FULL && !none);
    CHECK(said("1 held by the program"));
    CHECK(avenc_frame_submit(frame, &given, 0, PATIENT, &index) == AVENC_OK && index == 0);
    CHECK(avenc_frame_submit(frame, &given, 0, PATIENT, &index) == AVENC_E_INVALID && said("submitted before"));
    expect(channel, 1);
    CHECK(stats_of(channel).held == 1);
    CHECK(avenc_channel_acquire(channel, NULL, &none, &memory) == AVENC_E_FULL);
    avenc_frame_release(frame);
    CHECK(stats_of(channel).held == 0);
    frame = acquire(channel, 2);
    avenc_frame_release(frame); /* not submitted */
    CHECK(stats_of(channel).held == 0 && stats_of(channel).submitted == 1);
    CHECK(submit(channel, 3) == AVENC_OK);
    expect(channel, 3);
    end_channel(channel);
}

SCENARIO(a_handle_outlives_its_channel) {
    avenc_channel *channel = open_on(0, 1, 0);
    avenc_frame *frame;
    avenc_frame_memory memory;
    CHECK(avenc_channel_acquire(channel, PATIENT, &frame, &memory) == AVENC_OK);
    end_channel(channel);
    memset(memory.y, 1, SIZE); /* still there */
    avenc_submission given = {.tag = 1};
    uint64_t index;
    CHECK(avenc_frame_submit(frame, &given, 0, PATIENT, &index) == AVENC_E_CLOSED);
    avenc_frame_release(frame);
}

SCENARIO(queued_frames_are_sent_in_their_order) {
    avenc_channel *channel = open_on(0, 1, 3);
    loop_default(0, held);
    CHECK(submit(channel, 1) == AVENC_OK);
    for (uint64_t i = 2; i <= 4; i++)
        CHECK(enqueue(channel, i) == AVENC_OK);
    CHECK(enqueue(channel, 5) == AVENC_E_FULL);
    CHECK(stats_of(channel).queued == 3 && stats_of(channel).in_flight == 4);
    for (int i = 0; i < 4; i++)
        loop_report(0, 1);
    for (uint64_t i = 1; i <= 4; i++)
        expect(channel, i);
    end_channel(channel);
}

SCENARIO(what_lies_in_host_memory_is_brought_to_the_device) {
    loop_on_host(0, true);
    avenc_channel *channel = open_on(0, 2, 2);
    avenc_submission given = {.number_pts = 1, .tag = 3};
    uint64_t index;
    CHECK(submit(channel, 1) == AVENC_OK);
    expect(channel, 1);
    CHECK(enqueue(channel, 2) == AVENC_OK);
    expect(channel, 2);
    avenc_frame *frame = acquire(channel, 3);
    CHECK(avenc_frame_submit(frame, &given, AVENC_FRAME_QUEUE, NULL, &index) == AVENC_OK);
    avenc_frame_release(frame);
    expect(channel, 3);
    avenc_channel_stats stats = stats_of(channel);
    CHECK(stats.device_copies_in == 3 && stats.host_copies_in == 1);
    end_channel(channel);
}

SCENARIO(a_copy_that_failed_is_not_counted) {
    loop_on_host(0, true);
    avenc_channel *channel = open_on(0, 1, 1);
    avenc_submission given = {.number_pts = 1, .tag = 3};
    uint64_t index;
    avenc_frame *frame = acquire(channel, 3);
    loop_fail(0, LOOP_UPLOAD, 1, BAD_PARAM);
    CHECK(avenc_frame_submit(frame, &given, 0, PATIENT, &index) == BAD_PARAM);
    CHECK(avenc_frame_submit(frame, &given, 0, PATIENT, &index) == AVENC_OK);
    avenc_frame_release(frame);
    expect(channel, 3);
    CHECK(stats_of(channel).device_copies_in == 1);
    end_channel(channel);
}

/* Rows of 8 bytes in rows of 16: what goes to the device beside the picture was never somebody else's. */
SCENARIO(what_pads_a_row_on_its_way_to_the_device_is_zero) {
    static const uint8_t zeros[8];
    loop_on_host(0, true);
    avenc_device *device = loop_open(0);
    avenc_channel_config config = config_of(1, 1);
    config.width = 8;
    avenc_channel *channel = open_configured(device, &config, NULL);
    uint8_t pixels[8 * HEIGHT * 3 / 2];
    memset(pixels, 5, sizeof pixels);
    for (int queued = 0; queued <= 1; queued++) {
        avenc_submission frame = {.picture = {pixels, 8, pixels + 8 * HEIGHT, 8, 8, HEIGHT, HEIGHT / 2}};
        uint64_t index;
        int rc = queued ? avenc_channel_enqueue(channel, &frame, 1, 0, &index)
                        : avenc_channel_submit(channel, &frame, PATIENT, &index);
        while (rc == AVENC_E_AGAIN) {
            CHECK(avenc_channel_wait_room(channel, 0, PATIENT) == AVENC_OK);
            rc = avenc_channel_enqueue(channel, &frame, 1, 0, &index);
        }
        CHECK(rc == AVENC_OK);
        avenc_packet *packet = take_packet(channel);
        CHECK(packet->status == AVENC_OK && packet->size == LOOP_HEAD + LOOP_STAMP);
        CHECK(memcmp(packet->data + LOOP_HEAD, pixels, 8) == 0);
        CHECK(memcmp(packet->data + LOOP_HEAD + 8, zeros, 8) == 0);
        avenc_packet_release(packet);
    }
    end_channel(channel);
    avenc_device_release(device);
}

SCENARIO(a_picture_in_device_memory_is_read_where_it_is_and_the_slot_is_its_own_again) {
    avenc_channel *channel = open_on(0, 1, 1);
    static _Alignas(16) uint8_t memory[SIZE + 8];
    uint64_t stamp = 5, index;
    memcpy(memory, &stamp, sizeof stamp);
    avenc_device_picture picture = {memory, WIDTH, HEIGHT, NULL, 1};
    avenc_submission given = {.number_pts = 1, .tag = 5};
    for (int i = 0; i < 2; i++) {
        CHECK(avenc_channel_submit_device(channel, &picture, &given, PATIENT, &index) == AVENC_OK);
        expect(channel, 5);
        CHECK(enqueue(channel, 6) == AVENC_OK);
        expect(channel, 6);
        CHECK(avenc_channel_submit_device(channel, &picture, &given, PATIENT, &index) == AVENC_OK);
        expect(channel, 5);
        avenc_frame *frame = acquire(channel, 7);
        avenc_submission tagged = {.number_pts = 1, .tag = 7};
        CHECK(avenc_frame_submit(frame, &tagged, 0, PATIENT, &index) == AVENC_OK);
        avenc_frame_release(frame);
        expect(channel, 7);
    }
    CHECK(stats_of(channel).device_copies_in == 0);
    CHECK(avenc_channel_submit_device(channel, &picture, &given, PATIENT, &index) == AVENC_OK);
    expect(channel, 5);
    loop_fail(0, LOOP_PLACE, 1, BAD_PARAM); /* it names the caller's memory still */
    CHECK(submit(channel, 8) == BAD_PARAM);
    CHECK(submit(channel, 9) == AVENC_OK);
    expect(channel, 9);
    picture.data = memory + 8; /* not aligned: copied on the device */
    memcpy(memory + 8, &stamp, sizeof stamp);
    CHECK(avenc_channel_submit_device(channel, &picture, &given, PATIENT, &index) == AVENC_OK);
    expect(channel, 5);
    CHECK(stats_of(channel).device_copies_in == 1);
    picture.height_stride = HEIGHT - 2;
    CHECK(avenc_channel_submit_device(channel, &picture, &given, PATIENT, &index) == AVENC_E_INVALID);
    end_channel(channel);
}

SCENARIO(a_picture_of_another_size_is_refused) {
    avenc_channel *channel = open_on(0, 1, 1);
    uint64_t index = 9;
    for (int i = 0; i < 5; i++) {
        avenc_submission frame = frame_of(1);
        avenc_picture *picture = &frame.picture;
        picture->width += i == 0 ? 2 : 0;
        picture->y_height -= i == 1 ? 2 : 0;
        picture->uv_height -= i == 2 ? 1 : 0;
        picture->y_stride -= i == 3 ? 1 : 0;
        picture->uv_stride -= i == 4 ? 1 : 0;
        size_t accepted = 5;
        CHECK(avenc_channel_submit(channel, &frame, PATIENT, &index) == AVENC_E_INVALID);
        CHECK(avenc_channel_enqueue(channel, &frame, 1, 0, &index) == AVENC_E_INVALID);
        CHECK(avenc_channel_submit_many(channel, &frame, 1, PATIENT, &index, &accepted) == AVENC_E_INVALID);
        CHECK(accepted == 0 && index == 9);
    }
    CHECK(stats_of(channel).submitted == 0);
    end_channel(channel);
}

/* ---- a device that refuses ------------------------------------------------------------------------ */

SCENARIO(a_refused_frame_is_back_with_its_own_report_which_is_nobody_s) {
    avenc_channel *channel = open_on(0, 2, 0);
    uint64_t index = 55;
    loop_next(0, refused);
    CHECK(submit_index(channel, 1, &index) == REFUSED && index == 55);
    CHECK(avenc_channel_refused_pending(channel) == 1);
    CHECK(stats_of(channel).in_flight == 0 && stats_of(channel).submitted == 0 && stats_of(channel).refused_sends == 1);
    loop_report(0, 1);
    CHECK(avenc_channel_refused_pending(channel) == 0 && take_none(channel) == 0);
    CHECK(submit_index(channel, 2, &index) == AVENC_OK && index == 0);
    CHECK(loop_last_idr(0)); /* the one that was refused may be encoded, and is in nobody's hands */
    avenc_packet *packet = take_packet(channel);
    CHECK(stamp_of(packet) == 2 && packet->frame_index == 0 && packet->pts == 0); /* as if it had not been */
    avenc_packet_release(packet);
    CHECK(stats_of(channel).completed == 1);
    end_channel(channel);
}

SCENARIO(a_refused_frame_is_back_with_a_later_frame_s_report) {
    avenc_channel *channel = open_on(0, 2, 0);
    loop_next(0, refused);
    loop_next(0, held);
    CHECK(submit(channel, 1) == REFUSED);
    CHECK(submit(channel, 2) == AVENC_OK);
    CHECK(avenc_channel_refused_pending(channel) == 1);
    loop_report_nth(0, 1);
    CHECK(avenc_channel_refused_pending(channel) == 0);
    expect(channel, 2);
    loop_next(0, held);
    CHECK(submit(channel, 3) == AVENC_OK); /* in the very slot, perhaps */
    loop_report_overtaken(0);
    CHECK(take_none(channel) == 0 && stats_of(channel).in_flight == 1);
    loop_report(0, 1);
    expect(channel, 3);
    end_channel(channel);
}

SCENARIO(a_refused_frame_ends_with_the_channel) {
    avenc_channel *channel = open_on(0, 2, 0);
    loop_next(0, refused);
    CHECK(submit(channel, 1) == REFUSED);
    CHECK(loop_held(0) == 1);
    end_channel(channel); /* free_memory of the loop looks whether the device reads it still */
}

SCENARIO(a_late_report_of_a_refused_frame_finds_nothing_when_the_channel_is_gone) {
    avenc_device *device = loop_open(0);
    avenc_channel *channel = open_channel(device, 1, 0);
    loop_next(0, refused);
    loop_next(0, (loop_plan){.when = LOOP_AT_ONCE});
    CHECK(submit(channel, 1) == REFUSED && submit(channel, 2) == AVENC_OK);
    expect(channel, 2);
    end_channel(channel);
    channel = open_channel(device, 1, 0); /* perhaps with the same place in the device's table */
    loop_default(0, held);
    CHECK(submit(channel, 3) == AVENC_OK);
    loop_report_overtaken(0);
    CHECK(take_none(channel) == 0 && stats_of(channel).in_flight == 1);
    loop_report(0, 1);
    expect(channel, 3);
    end_channel(channel);
    avenc_device_release(device);
}

SCENARIO(of_many_frames_those_before_one_that_is_refused_are_accepted_and_counted) {
    avenc_channel *channel = open_on(0, 4, 0);
    avenc_submission frames[4] = {frame_of(1), frame_of(1), frame_of(1), frame_of(1)};
    uint64_t indices[4] = {99, 99, 99, 99};
    size_t accepted = 99;
    loop_next(0, held);
    loop_next(0, held);
    loop_next(0, (loop_plan){.code = BAD_PARAM, .gone = true});
    CHECK(avenc_channel_submit_many(channel, frames, 4, PATIENT, indices, &accepted) == BAD_PARAM);
    CHECK(accepted == 2 && indices[0] == 0 && indices[1] == 1 && indices[3] == 99);
    CHECK(stats_of(channel).submitted == 2 && stats_of(channel).in_flight == 2);
    loop_report(0, 2);
    expect(channel, 1);
    expect(channel, 1);
    end_channel(channel);
}

SCENARIO(what_the_device_never_saw_can_be_sent_again) {
    avenc_channel *channel = open_on(0, 1, 0);
    avenc_submission given = {.number_pts = 1, .tag = 1};
    uint64_t index = 55;
    loop_next(0, (loop_plan){.code = BAD_PARAM, .gone = true});
    CHECK(submit(channel, 9) == BAD_PARAM && avenc_channel_refused_pending(channel) == 0);
    avenc_frame *frame = acquire(channel, 1);
    loop_next(0, (loop_plan){.code = BAD_PARAM, .gone = true});
    CHECK(avenc_frame_submit(frame, &given, 0, PATIENT, &index) == BAD_PARAM && index == 55);
    CHECK(stats_of(channel).held == 1);
    CHECK(avenc_frame_submit(frame, &given, 0, PATIENT, &index) == AVENC_OK && index == 0);
    avenc_frame_release(frame);
    expect(channel, 1);
    end_channel(channel);
}

SCENARIO(a_frame_that_the_device_may_read_cannot_be_sent_again) {
    avenc_channel *channel = open_on(0, 1, 0);
    avenc_submission given = {.number_pts = 1, .tag = 1};
    uint64_t index = 55;
    avenc_frame *frame = acquire(channel, 1);
    loop_next(0, refused);
    CHECK(avenc_frame_submit(frame, &given, 0, PATIENT, &index) == REFUSED);
    CHECK(avenc_frame_submit(frame, &given, 0, PATIENT, &index) == AVENC_E_INVALID && index == 55);
    avenc_frame_release(frame);
    CHECK(avenc_channel_refused_pending(channel) == 1);
    loop_report(0, 1);
    CHECK(submit(channel, 2) == AVENC_OK);
    expect(channel, 2);
    end_channel(channel);
}

SCENARIO(refused_and_reported_at_once_counts_as_sent) {
    avenc_channel *channel = open_on(0, 1, 0);
    loop_next(0, (loop_plan){.when = LOOP_AT_ONCE, .code = REFUSED});
    CHECK(submit(channel, 1) == AVENC_OK);
    expect(channel, 1);
    CHECK(stats_of(channel).refused_sends == 0);
    end_channel(channel);
}

/* ---- a device that takes no more for now ------------------------------------------------------------------------- */

static void wait_for_sends(unsigned count) {
    const struct timespec pause = {.tv_nsec = 1000 * 1000};
    for (int i = 0; loop_count(0, LOOP_SEND) < count; i++) {
        CHECK(i < 20000);
        nanosleep(&pause, NULL);
    }
}

SCENARIO(a_frame_that_is_to_come_later_waits_in_front_until_one_is_reported) {
    avenc_channel *channel = open_on(0, 4, 2);
    avenc_channel_stats stats;
    loop_default(0, held);
    CHECK(submit(channel, 1) == AVENC_OK);
    loop_next(0, later);
    CHECK(submit(channel, 2) == AVENC_OK); /* accepted: it does not wait, and is not refused */
    CHECK(submit(channel, 3) == AVENC_OK && enqueue(channel, 4) == AVENC_OK); /* behind it */
    stats = stats_of(channel);
    CHECK(stats.submitted == 4 && stats.in_flight == 4 && stats.queued == 3 && stats.refused_sends == 0);
    CHECK(loop_held(0) == 1 && loop_count(0, LOOP_SEND) == 2); /* nobody tries again by himself */
    loop_next(0, later);
    loop_report(0, 1);
    wait_for_sends(
        5); /* by the task, which is told the same, although nothing is in the device: a failure, and the next */
    expect(channel, 1);
    avenc_packet *packet = take_packet(channel);
    CHECK(packet->tag == 2 && packet->status == AVENC_E_FULL);
    avenc_packet_release(packet);
    loop_report(0, 2);
    expect(channel, 3);
    expect(channel, 4);
    stats = stats_of(channel);
    CHECK(stats.completed == 4 && stats.failed == 1 && stats.queued == 0);
    end_channel(channel);
}

SCENARIO(a_frame_of_the_queue_that_is_to_come_later_keeps_its_turn) {
    avenc_channel *channel = open_on(0, 3, 2);
    loop_default(0, held);
    CHECK(submit(channel, 1) == AVENC_OK && submit(channel, 2) == AVENC_OK);
    uint64_t before = stats_of(channel).send_ns;
    loop_next(0, later);
    CHECK(enqueue(channel, 3) == AVENC_OK);
    wait_for_sends(3);
    UNTIL(stats_of(channel).send_ns > before && stats_of(channel).queued == 1); /* it is in front of the queue again */
    CHECK(submit(channel, 4) == AVENC_OK && loop_held(0) == 2);                 /* behind it */
    loop_next(0, later);
    loop_report(0, 1);
    wait_for_sends(4);
    CHECK(loop_held(0) == 1);
    loop_report(0, 1);
    wait_for_sends(6);
    loop_report(0, 2);
    for (uint64_t i = 1; i <= 4; i++)
        expect(channel, i);
    end_channel(channel);
}

SCENARIO(an_idr_that_is_to_come_later_is_one_still) {
    avenc_channel *channel = open_on(0, 3, 2);
    avenc_submission frame;
    uint64_t index;
    loop_default(0, held);
    CHECK(submit(channel, 1) == AVENC_OK);
    frame = frame_of(2);
    frame.force_idr = 1;
    loop_next(0, later);
    CHECK(avenc_channel_submit(channel, &frame, PATIENT, &index) == AVENC_OK && loop_last_idr(0));
    uint64_t before = stats_of(channel).send_ns;
    loop_report(0, 1);
    wait_for_sends(3);
    CHECK(loop_last_idr(0));
    UNTIL(stats_of(channel).send_ns > before); /* the task is back: who comes while it sends is queued behind it */
    loop_next(0, (loop_plan){.code = BAD_PARAM, .gone = true}); /* an IDR is owed */
    CHECK(submit(channel, 9) == BAD_PARAM);
    loop_next(0, later);
    CHECK(submit(channel, 3) == AVENC_OK && loop_last_idr(0));
    loop_report(0, 1);
    wait_for_sends(6);
    CHECK(loop_last_idr(0));
    loop_report(0, loop_held(0));
    for (uint64_t i = 1; i <= 3; i++)
        expect(channel, i);
    CHECK(submit(channel, 4) == AVENC_OK);
    wait_for_sends(7);
    CHECK(!loop_last_idr(0)); /* paid */
    loop_report(0, 1);
    expect(channel, 4);
    end_channel(channel);
}

SCENARIO(a_device_without_a_frame_that_takes_none_is_an_error) {
    avenc_channel *channel = open_on(0, 2, 2);
    loop_next(0, later);
    CHECK(submit(channel, 9) == AVENC_E_FULL && said("takes no frame, although it has none"));
    CHECK(stats_of(channel).in_flight == 0);
    CHECK(submit(channel, 1) == AVENC_OK);
    expect(channel, 1);
    end_channel(channel);
}

static void *submit_two(void *channel) {
    CHECK(submit(channel, 2) == AVENC_OK);
    return NULL;
}

SCENARIO(a_frame_is_reported_while_the_next_is_told_to_come_later) {
    avenc_channel *channel = open_on(0, 3, 2);
    pthread_t thread;
    loop_default(0, held);
    CHECK(submit(channel, 1) == AVENC_OK);
    loop_next(0, later);
    loop_hang(0, LOOP_SEND, 1);
    pthread_create(&thread, NULL, submit_two, channel);
    loop_wait_hung(0, LOOP_SEND, 1);
    loop_report(0, 1); /* the only report that there will be */
    loop_release(0, LOOP_SEND);
    pthread_join(thread, NULL);
    wait_for_sends(3);
    loop_report(0, 1);
    expect(channel, 1);
    expect(channel, 2);
    end_channel(channel);
}

SCENARIO(close_drops_a_frame_that_is_to_come_later) {
    avenc_channel *channel = open_on(0, 3, 2);
    uint64_t tags[4];
    loop_default(0, held);
    CHECK(submit(channel, 1) == AVENC_OK);
    loop_next(0, later);
    CHECK(submit(channel, 2) == AVENC_OK);
    CHECK(avenc_channel_close(channel) == AVENC_OK);
    CHECK(avenc_channel_take_dropped(channel, tags, 4) == 1 && tags[0] == 2);
    loop_report(0, 1);
    expect(channel, 1);
    CHECK(loop_count(0, LOOP_SEND) == 2);
    end_channel(channel);
}

SCENARIO(twenty_refusals_in_a_row_leave_depth_four_working) {
    avenc_channel *channel = open_on(0, 4, 0);
    for (unsigned i = 1; i <= 20; i++) {
        loop_next(0, refused);
        CHECK(submit(channel, i) == REFUSED && avenc_channel_refused_pending(channel) == i);
    }
    loop_default(0, held);
    for (uint64_t i = 30; i < 34; i++)
        CHECK(submit(channel, i) == AVENC_OK);
    loop_report_nth(0, 20);
    CHECK(avenc_channel_refused_pending(channel) == 0);
    loop_report(0, 3);
    for (uint64_t i = 30; i < 34; i++)
        expect(channel, i);
    CHECK(stats_of(channel).slots == 24);
    end_channel(channel);
}

SCENARIO(with_all_slots_out_submit_raises_the_refusal_at_once_and_a_successor_helps) {
    enum { DEPTH = 4 };
    avenc_device *device = loop_open(0);
    avenc_channel *channel = open_channel(device, DEPTH, 0);
    for (unsigned i = 0; i < DEPTH + SPARE; i++) {
        loop_next(0, refused);
        CHECK(submit(channel, i) == REFUSED);
    }
    unsigned sends = loop_count(0, LOOP_SEND);
    CHECK(submit(channel, 100) == REFUSED && loop_count(0, LOOP_SEND) == sends);
    CHECK(said("reconfigure()"));
    avenc_channel_config config = config_of(DEPTH, 0);
    avenc_channel *fresh = open_configured(device, &config, channel);
    uint64_t first = 9;
    CHECK(avenc_channel_succeed(fresh, &first) == AVENC_OK && first == 0);
    CHECK(submit(fresh, 101) == AVENC_OK);
    expect(fresh, 101);
    avenc_channel_release(channel);
    end_channel(fresh);
    avenc_device_release(device);
}

SCENARIO(with_all_slots_out_the_last_one_is_waited_for_while_it_is_made) {
    enum { DEPTH = 1 };
    avenc_channel *channel = open_on(0, DEPTH, 0);
    for (unsigned i = 1; i < DEPTH + SPARE; i++) {
        loop_next(0, refused);
        CHECK(submit(channel, i) == REFUSED);
    }
    avenc_submission frame = frame_of(100);
    uint64_t index;
    loop_hang(0, LOOP_ALLOC, 1);
    CHECK(avenc_channel_submit(channel, &frame, NULL, &index) == AVENC_E_AGAIN);
    loop_wait_hung(0, LOOP_ALLOC, 1);
    CHECK(avenc_channel_submit(channel, &frame, NULL, &index) == AVENC_E_AGAIN);
    CHECK(avenc_channel_wait_room(channel, 1, BRIEFLY) == AVENC_E_AGAIN);
    loop_release(0, LOOP_ALLOC);
    CHECK(submit(channel, 100) == AVENC_OK);
    expect(channel, 100);
    end_channel(channel);
}

SCENARIO(a_refused_frame_of_the_queue_comes_back_as_a_packet) {
    avenc_channel *channel = open_on(0, 1, 2);
    loop_next(0, (loop_plan){.code = BAD_PARAM, .gone = true});
    CHECK(enqueue(channel, 1) == AVENC_OK);
    avenc_packet *packet = take_packet(channel);
    CHECK(packet->status == BAD_PARAM && packet->tag == 1 && packet->frame_index == 0 && !packet->data);
    avenc_packet_release(packet);
    loop_next(0, refused);
    CHECK(enqueue(channel, 2) == AVENC_OK);
    packet = take_packet(channel);
    CHECK(packet->status == REFUSED && packet->tag == 2 && packet->frame_index == 1);
    CHECK(packet->emitted_ns >= packet->submitted_ns && packet->submitted_ns);
    avenc_packet_release(packet);
    CHECK(avenc_channel_refused_pending(channel) == 1);
    CHECK(enqueue(channel, 3) == AVENC_OK);
    expect(channel, 3);
    avenc_channel_stats stats = stats_of(channel);
    CHECK(stats.submitted == 3 && stats.completed == 3 && stats.failed == 2);
    end_channel(channel);
}

static void *submit_refused(void *channel) {
    CHECK(submit(channel, 1) == REFUSED);
    return NULL;
}

SCENARIO(a_frame_behind_a_refused_one_keeps_its_number_and_is_sent) {
    avenc_channel *channel = open_on(0, 1, 2);
    pthread_t thread;
    loop_hang(0, LOOP_SEND, 1);
    loop_next(0, (loop_plan){.code = REFUSED, .gone = true});
    pthread_create(&thread, NULL, submit_refused, channel);
    loop_wait_hung(0, LOOP_SEND, 1);
    CHECK(enqueue(channel, 2) == AVENC_OK);
    loop_release(0, LOOP_SEND);
    pthread_join(thread, NULL);
    avenc_packet *packet = take_packet(channel);
    CHECK(stamp_of(packet) == 2 && packet->frame_index == 1); /* number 0 stays unused */
    avenc_packet_release(packet);
    avenc_channel_stats stats = stats_of(channel);
    CHECK(stats.submitted == 1 && stats.completed == 1 && stats.in_flight == 0);
    end_channel(channel);
}

static void *wait_until_idle(void *channel) {
    avenc_wait wait = avenc_wait_for(AVENC_NO_TIMEOUT); /* one that ends looks once more, and finds it so */
    CHECK(avenc_channel_wait_idle(channel, &wait) == AVENC_OK);
    return NULL;
}

SCENARIO(a_refused_frame_wakes_who_waits_until_the_device_is_idle) {
    avenc_channel *channel = open_on(0, 2, 0);
    pthread_t sender, waiter;
    avenc_waitset *group;
    uint32_t key, count;
    CHECK(avenc_waitset_create(&group) == AVENC_OK && avenc_channel_attach(channel, group, 7) == AVENC_OK);
    CHECK(avenc_waitset_take(group, PATIENT, 0, &key, 1, &count) == AVENC_OK && count == 1); /* it may have packets */
    loop_hang(0, LOOP_SEND, 1);
    loop_next(0, refused);
    pthread_create(&sender, NULL, submit_refused, channel);
    loop_wait_hung(0, LOOP_SEND, 1);
    pthread_create(&waiter, NULL, wait_until_idle, channel);
    UNTIL(asleep(channel) == 1);
    loop_release(0, LOOP_SEND); /* no report follows, and no slot is free by it */
    pthread_join(sender, NULL);
    pthread_join(waiter, NULL);
    CHECK(avenc_waitset_take(group, PATIENT, 0, &key, 1, &count) == AVENC_OK && count == 1 && key == 7);
    loop_report(0, 1);
    avenc_channel_detach(channel, group);
    avenc_waitset_release(group);
    end_channel(channel);
}

/* ---- reports ----------------------------------------------------------------------------------------- */

SCENARIO(a_frame_reported_twice_comes_once) {
    avenc_channel *channel = open_on(0, 1, 0);
    loop_default(0, (loop_plan){.times = 2});
    for (uint64_t i = 1; i <= 4; i++) {
        CHECK(submit(channel, i) == AVENC_OK);
        loop_report_again(0);
        expect(channel, i);
        CHECK(take_none(channel) == 0);
    }
    CHECK(stats_of(channel).completed == 4);
    end_channel(channel);
}

SCENARIO(reports_of_several_channels_in_one_batch_each_find_their_frame) {
    avenc_device *device = loop_open(0);
    avenc_channel *one = open_channel(device, 3, 0), *other = open_channel(device, 3, 0);
    avenc_device_release(device);
    loop_default(0, (loop_plan){.when = LOOP_HELD, .times = 2});
    for (uint64_t i = 1; i <= 3; i++)
        CHECK(submit(one, i) == AVENC_OK && submit(other, 10 + i) == AVENC_OK);
    loop_report(0, 6);
    for (uint64_t i = 1; i <= 3; i++) {
        expect(one, i);
        expect(other, 10 + i);
    }
    CHECK(take_none(one) == 0 && take_none(other) == 0);
    CHECK(stats_of(one).completed == 3 && stats_of(other).completed == 3);
    end_channel(one);
    end_channel(other);
}

static void *submit_four(void *channel) {
    avenc_submission frames[4] = {frame_of(1), frame_of(1), frame_of(1), frame_of(1)};
    uint64_t indices[4];
    size_t accepted;
    CHECK(avenc_channel_submit_many(channel, frames, 4, PATIENT, indices, &accepted) == AVENC_OK && accepted == 4);
    return NULL;
}

SCENARIO(a_batch_binds_its_thread_once_and_not_while_it_waits_for_room) {
    for (uint32_t queue = 0; queue <= 1; queue++) {
        avenc_channel *channel = open_on(0, 2, queue);
        unsigned before = loop_count(0, LOOP_BIND);
        submit_four(channel);
        CHECK(loop_count(0, LOOP_BIND) == before + 1);
        for (int i = 0; i < 4; i++)
            expect(channel, 1);
        loop_default(0, held);
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, submit_four, channel) == 0);
        UNTIL(loop_held(0) == 2 && stats_of(channel).queued == queue && loop_threads_bound() == 0);
        loop_report(0, 2);
        UNTIL(loop_held(0) == 2);
        loop_report(0, 2);
        CHECK(pthread_join(thread, NULL) == 0);
        for (int i = 0; i < 4; i++)
            expect(channel, 1);
        loop_default(0, (loop_plan){.when = LOOP_AT_ONCE});
        end_channel(channel);
    }
}

SCENARIO(frames_that_are_overtaken_are_lost_and_their_late_reports_nobody_s) {
    avenc_channel *channel = open_on(0, 3, 0);
    loop_default(0, held);
    for (uint64_t i = 1; i <= 3; i++)
        CHECK(submit(channel, i) == AVENC_OK);
    loop_report_nth(0, 1);
    avenc_packet *packet = take_packet(channel);
    CHECK(packet->status == AVENC_E_LOST && packet->tag == 1 && packet->frame_index == 0);
    avenc_packet_release(packet);
    expect(channel, 2);
    CHECK(submit(channel, 4) == AVENC_OK && loop_last_idr(0));
    loop_report_overtaken(0);
    CHECK(take_none(channel) == 0);
    loop_report(0, 2);
    expect(channel, 3);
    expect(channel, 4);
    end_channel(channel);
}

/* Also by one that the device refused, and encoded all the same. */
SCENARIO(frames_that_a_refused_one_overtakes_are_lost) {
    avenc_channel *channel = open_on(0, 4, 0);
    loop_default(0, held);
    CHECK(submit(channel, 1) == AVENC_OK);
    loop_next(0, (loop_plan){.when = LOOP_HELD, .code = 507899});
    CHECK(submit(channel, 2) == 507899 && avenc_channel_refused_pending(channel) == 1);
    loop_report_nth(0, 1);
    avenc_packet *packet = take_packet(channel);
    CHECK(packet->status == AVENC_E_LOST && packet->tag == 1);
    avenc_packet_release(packet);
    CHECK(avenc_channel_refused_pending(channel) == 0 && stats_of(channel).in_flight == 0);
    CHECK(submit(channel, 3) == AVENC_OK && loop_last_idr(0));
    loop_report(0, 1);
    expect(channel, 3);
    end_channel(channel);
}

SCENARIO(a_frame_that_failed_is_told_before_those_in_front_of_it) {
    avenc_channel *channel = open_on(0, 4, 0);
    loop_default(0, held);
    for (uint64_t i = 1; i <= 4; i++) {
        loop_next(0, (loop_plan){.when = LOOP_HELD, .ret_code = i == 3 ? 31 : 0});
        CHECK(submit(channel, i) == AVENC_OK);
    }
    loop_report(0, 4);
    avenc_packet *packets[4];
    size_t count = 0;
    CHECK(avenc_channel_take(channel, 0, packets, 2, &count) == AVENC_OK && count == 2); /* not among the next two */
    avenc_channel_give_back(channel, packets, 2);
    CHECK(avenc_channel_take(channel, 0, packets, 3, &count) == AVENC_OK && count == 1);
    CHECK(packets[0]->status == AVENC_E_FRAME && packets[0]->ret_code == 31 && packets[0]->tag == 3);
    avenc_packet_release(packets[0]);
    expect(channel, 1);
    expect(channel, 2);
    expect(channel, 4);
    CHECK(submit(channel, 5) == AVENC_OK && loop_last_idr(0));
    loop_report(0, 1);
    expect(channel, 5);
    end_channel(channel);
}

SCENARIO(an_access_unit_beyond_the_buffer_is_too_large) {
    avenc_channel *channel = open_on(0, 1, 0);
    loop_next(0, (loop_plan){.size = 256 * 1024});
    CHECK(submit(channel, 1) == AVENC_OK);
    expect(channel, 1);
    loop_next(0, (loop_plan){.size = 256 * 1024 + 1});
    CHECK(submit(channel, 2) == AVENC_OK);
    avenc_packet *packet = take_packet(channel);
    CHECK(packet->status == AVENC_E_TOO_LARGE);
    avenc_packet_release(packet);
    end_channel(channel);
}

/* ---- packets ------------------------------------------------------------------------------------------- */

SCENARIO(packets_given_back_are_the_next_in_their_frames_order) {
    avenc_channel *channel = open_on(0, 4, 0);
    for (uint64_t i = 1; i <= 6; i++)
        CHECK(submit(channel, i) == AVENC_OK);
    avenc_packet *packets[4];
    size_t count;
    CHECK(avenc_channel_take(channel, 0, packets, 4, &count) == AVENC_OK && count == 4);
    CHECK(stats_of(channel).ready == 2);
    expect(channel, 5);
    avenc_packet *mixed[3] = {packets[3], packets[0], packets[2]};
    avenc_channel_give_back(channel, mixed, 3);
    CHECK(stats_of(channel).ready == 4);
    expect(channel, 1);
    avenc_channel_give_back(channel, &packets[1], 1);
    for (uint64_t i = 2; i <= 6; i += i == 4 ? 2 : 1)
        expect(channel, i);
    end_channel(channel);
}

SCENARIO(promised_packets_are_for_those_to_whom_they_were_promised) {
    avenc_channel *channel = open_on(0, 4, 0);
    uint64_t index;
    for (uint64_t i = 1; i <= 4; i++) {
        avenc_submission frame = frame_of(i);
        frame.promised = i % 2;
        loop_next(0, (loop_plan){.ret_code = i == 3 ? 7 : 0});
        CHECK(avenc_channel_submit(channel, &frame, PATIENT, &index) == AVENC_OK);
    }
    avenc_packet *packets[8];
    size_t count;
    CHECK(avenc_channel_take(channel, 1, packets, 8, &count) == AVENC_OK && count == 2);
    CHECK(packets[0]->tag == 1 && packets[0]->promised && packets[1]->tag == 3);
    CHECK(packets[1]->status == AVENC_E_FRAME); /* failed ones are among them */
    avenc_channel_give_back(channel, packets, 2);
    expect(channel, 2);
    expect(channel, 4);
    CHECK(take_none(channel) == 0 && stats_of(channel).ready == 2);
    CHECK(avenc_channel_wait(channel, 1, NULL, 0, 0) == AVENC_E_DRAINED);
    CHECK(avenc_channel_take(channel, 1, packets, 1, &count) == AVENC_OK && count == 1 && packets[0]->tag == 1);
    avenc_packet_release(packets[0]);
    CHECK(avenc_channel_take(channel, 1, packets, 8, &count) == AVENC_OK && count == 1 && packets[0]->tag == 3);
    avenc_packet_release(packets[0]);
    end_channel(channel);
}

SCENARIO(at_max_ready_the_oldest_packet_goes_and_its_tag_comes_back) {
    avenc_device *device = loop_open(0);
    avenc_channel_config config = config_of(2, 0);
    config.max_ready = 3;
    config.drop_oldest = 1;
    avenc_channel *channel = open_configured(device, &config, NULL);
    for (uint64_t i = 1; i <= 5; i++)
        CHECK(submit(channel, i) == AVENC_OK);
    CHECK(loop_last_idr(0)); /* what follows a gap is an IDR */
    uint64_t tags[8];
    CHECK(avenc_channel_take_dropped(channel, tags, 1) == 1 && tags[0] == 1);
    CHECK(avenc_channel_take_dropped(channel, tags, 8) == 1 && tags[0] == 2);
    for (uint64_t i = 3; i <= 5; i++)
        expect(channel, i);
    CHECK(stats_of(channel).dropped_packets == 2);
    CHECK(avenc_channel_set_sink(channel, 1, 0, PATIENT) == AVENC_E_INVALID);
    end_channel(channel);
    avenc_device_release(device);
}

SCENARIO(at_max_ready_no_more_frames_are_taken_and_it_says_why) {
    avenc_device *device = loop_open(0);
    avenc_channel_config config = config_of(2, 0);
    config.max_ready = 2;
    avenc_channel *channel = open_configured(device, &config, NULL);
    avenc_submission frame;
    uint64_t index;
    CHECK(submit(channel, 1) == AVENC_OK && submit(channel, 2) == AVENC_OK);
    frame = frame_of(3);
    CHECK(avenc_channel_submit(channel, &frame, NULL, &index) == AVENC_E_FULL);
    CHECK(said("2 packets wait to be received") && !said("look at the loop")); /* the device is not to blame */
    expect(channel, 1);
    CHECK(submit(channel, 3) == AVENC_OK);
    expect(channel, 2);
    expect(channel, 3);
    end_channel(channel);
    avenc_device_release(device);
}

SCENARIO(dropped_frames_of_the_queue_give_their_tags_back) {
    avenc_channel *channel = open_on(0, 1, 2);
    avenc_submission frame;
    uint64_t index, tags[8];
    loop_default(0, held);
    CHECK(submit(channel, 1) == AVENC_OK && enqueue(channel, 2) == AVENC_OK && enqueue(channel, 3) == AVENC_OK);
    frame = frame_of(4);
    CHECK(avenc_channel_enqueue(channel, &frame, 1, 1, &index) == AVENC_OK && index == 3);
    CHECK(avenc_channel_take_dropped(channel, tags, 8) == 1 && tags[0] == 2);
    CHECK(avenc_channel_drop_oldest(channel) == 1);
    CHECK(avenc_channel_take_dropped(channel, tags, 8) == 1 && tags[0] == 3);
    CHECK(avenc_channel_close(channel) == AVENC_OK); /* 4 is dropped, 1 is in the device */
    CHECK(avenc_channel_take_dropped(channel, tags, 8) == 1 && tags[0] == 4);
    CHECK(avenc_channel_drop_oldest(channel) == 0);
    loop_report(0, 1);
    expect(channel, 1);
    avenc_channel_stats stats = stats_of(channel);
    CHECK(stats.dropped_frames == 3 && stats.submitted == 4 && stats.completed == 1 && stats.in_flight == 0);
    end_channel(channel);
}

SCENARIO(a_packet_outlives_its_channel) {
    avenc_channel *channel = open_on(0, 1, 0);
    CHECK(submit(channel, 1) == AVENC_OK);
    avenc_packet *packet = take_packet(channel);
    end_channel(channel);
    CHECK(stamp_of(packet) == 1);
    UNTIL(avenc_live(AVENC_LIVE_CHANNEL) == 0);
    CHECK(stamp_of(packet) == 1 && avenc_live(AVENC_LIVE_PACKET) == 1 && avenc_live(AVENC_LIVE_POOL) == 1);
    avenc_packet_release(packet);
}

/* ---- parameter sets --------------------------------------------------------------------------------- */

/* An access unit delimiter, an SPS of the baseline profile, 128 x 128, without VUI, a PPS, and an IDR slice. */
static const uint8_t key_frame[] = {
    0, 0, 0, 1,    0x09, 0x10,                                           /* */
    0, 0, 0, 1,    0x67, 0x42, 0x00, 0x0b, 0xda, 0x08, 0x11, 0x90,       /* */
    0, 0, 0, 1,    0x68, 0xee, 0x38, 0x80,                               /* */
    0, 0, 1, 0x65, 0x88, 0x84, 0xc0, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, /* */
};
enum { BEFORE_SPS = 10, SPS_SIZE = 8, AFTER_SPS = sizeof key_frame - BEFORE_SPS - SPS_SIZE };

static const avenc_vui colors = {.tells = AVENC_VUI_PRIMARIES | AVENC_VUI_TRANSFER | AVENC_VUI_MATRIX |
                                          AVENC_VUI_RANGE | AVENC_VUI_TIMING | AVENC_VUI_FIXED_RATE,
                                 .primaries = 9,
                                 .transfer = 16,
                                 .matrix = 9,
                                 .full_range = 1,
                                 .fixed_rate = 1,
                                 .units_in_tick = 1001,
                                 .time_scale = 60000};

static avenc_channel *open_described(void) {
    avenc_device *device = loop_open(0);
    avenc_channel_config config = config_of(2, 0);
    config.en_type = H264_MAIN_LEVEL;
    config.vui = colors;
    avenc_channel *channel = open_configured(device, &config, NULL);
    avenc_device_release(device);
    return channel;
}

static avenc_packet *encode_as(avenc_channel *channel, uint64_t stamp, const uint8_t *unit, size_t size) {
    loop_next(0, (loop_plan){.unit = unit, .size = size});
    CHECK(submit(channel, stamp) == AVENC_OK);
    return take_packet(channel);
}

/* Fails unless the access unit has this parameter set between what it had before and behind it. */
static void expect_around(const avenc_packet *packet, const uint8_t *sps, size_t size) {
    CHECK(packet->size == BEFORE_SPS + size + AFTER_SPS);
    CHECK(memcmp(packet->data, key_frame, BEFORE_SPS) == 0);
    CHECK(memcmp(packet->data + BEFORE_SPS, sps, size) == 0);
    CHECK(memcmp(packet->data + BEFORE_SPS + size, key_frame + BEFORE_SPS + SPS_SIZE, AFTER_SPS) == 0);
}

SCENARIO(key_frames_tell_what_was_asked_for_and_other_frames_stay) {
    avenc_channel *channel = open_described();
    avenc_vui told = colors;
    uint8_t wanted[256];
    size_t size;
    CHECK(avenc_vui_put(&told, H264_MAIN_LEVEL, key_frame + BEFORE_SPS, SPS_SIZE, wanted, sizeof wanted, &size) ==
          AVENC_OK);
    CHECK(size > SPS_SIZE);
    for (uint64_t i = 1; i <= 3; i++) {
        avenc_packet *packet = encode_as(channel, i, key_frame, sizeof key_frame);
        CHECK(packet->kind == AVENC_KIND_IDR);
        expect_around(packet, wanted, size);
        avenc_packet_release(packet);
        CHECK(submit(channel, 10 + i) == AVENC_OK); /* not a key frame: as the device made it */
        packet = take_packet(channel);
        CHECK(packet->size == LOOP_HEAD + LOOP_STAMP && stamp_of(packet) == 10 + i);
        avenc_packet_release(packet);
    }
    /* From the first frame on whose time the caller gives, the rate is not said to be fixed. */
    avenc_submission frame = frame_of(20);
    uint64_t index;
    frame.number_pts = 0;
    frame.pts = 1000;
    loop_next(0, (loop_plan){.unit = key_frame, .size = sizeof key_frame});
    CHECK(avenc_channel_submit(channel, &frame, PATIENT, &index) == AVENC_OK);
    told.fixed_rate = 0;
    CHECK(avenc_vui_put(&told, H264_MAIN_LEVEL, key_frame + BEFORE_SPS, SPS_SIZE, wanted, sizeof wanted, &size) ==
          AVENC_OK);
    avenc_packet *packet = take_packet(channel);
    expect_around(packet, wanted, size);
    avenc_packet_release(packet);
    CHECK(stats_of(channel).undescribed == 0);
    end_channel(channel);
}

SCENARIO(parameter_sets_of_unknown_syntax_stay_and_are_counted) {
    avenc_channel *channel = open_described();
    uint8_t damaged[sizeof key_frame];
    memcpy(damaged, key_frame, sizeof damaged);
    damaged[BEFORE_SPS + 4] = 0x00; /* numbers that are larger than any */
    damaged[BEFORE_SPS + 5] = 0x01;
    avenc_packet *packet;
    for (unsigned i = 1; i <= 3; i++) { /* each of them, also where it is the one before again */
        packet = encode_as(channel, 1, damaged, sizeof damaged);
        CHECK(packet->kind == AVENC_KIND_IDR && packet->size == sizeof damaged);
        CHECK(memcmp(packet->data, damaged, sizeof damaged) == 0);
        avenc_packet_release(packet);
        CHECK(stats_of(channel).undescribed == i);
    }
    /* Access units that end anywhere: nothing beyond them is read, nor moved. */
    for (size_t size = 5; size < sizeof key_frame; size++) {
        packet = encode_as(channel, 2, key_frame, size);
        CHECK(packet->size >= size && packet->size <= size + 64);
        avenc_packet_release(packet);
    }
    end_channel(channel);
}
