// SPDX-License-Identifier: Apache-2.0
/* Two calls at the same time, one of them inside the vendor's: what the other one may do, and is told. */
#include <pthread.h>
#include <string.h>

#include "channels.h"
#include "engine/channel.h"

enum { REFUSED = 507046 };

static const loop_plan held = {.when = LOOP_HELD};
static const loop_plan refused = {.when = LOOP_HELD, .code = REFUSED};

static avenc_channel *open_on(int number, uint32_t depth, uint32_t queue) {
    avenc_device *device = loop_open(number);
    avenc_channel *channel = open_channel(device, depth, queue);
    avenc_device_release(device);
    return channel;
}

static avenc_channel *succeed(avenc_channel *old, uint64_t *first) {
    avenc_channel_config config = config_of(4, 0);
    avenc_channel *channel = open_configured(old->device, &config, old);
    CHECK(avenc_channel_succeed(channel, first) == AVENC_OK);
    return channel;
}

/* A call on a thread of its own. Its wait has no bound: what it is not told of it misses for ever. */
typedef struct call {
    pthread_t thread;
    avenc_channel *channel;
    int (*body)(struct call *call, avenc_wait *wait);
    uint64_t index;
    int rc;
    atomic_bool done;
} call;

static void *run(void *arg) {
    call *c = arg;
    avenc_wait wait = avenc_wait_for(AVENC_NO_TIMEOUT);
    c->rc = c->body(c, &wait);
    atomic_store(&c->done, true);
    return NULL;
}

static void begin(call *c, avenc_channel *channel, int (*body)(call *, avenc_wait *)) {
    *c = (call){.channel = channel, .body = body};
    pthread_create(&c->thread, NULL, run, c);
}

static int end(call *c) {
    UNTIL(atomic_load(&c->done));
    pthread_join(c->thread, NULL);
    return c->rc;
}

static int submit_one(call *c, avenc_wait *wait) {
    avenc_submission frame = frame_of(7);
    return avenc_channel_submit(c->channel, &frame, wait, &c->index);
}

static int wait_room(call *c, avenc_wait *wait) {
    return avenc_channel_wait_room(c->channel, 0, wait);
}

static int wait_idle(call *c, avenc_wait *wait) {
    return avenc_channel_wait_idle(c->channel, wait);
}

static int wait_for_packets(call *c, avenc_wait *wait) {
    return avenc_channel_wait(c->channel, 1, wait, 0, AVENC_WAIT_FOR_FRAMES);
}

static void give_tags_back(avenc_channel *channel, size_t count) {
    uint64_t tags[4];
    CHECK(avenc_channel_take_dropped(channel, tags, 4) == count);
}

/* ---- frames that the device refused, and their channel's end -------------------------------------------- */

SCENARIO(memory_of_a_refused_frame_lasts_as_long_as_its_handles) {
    avenc_channel *channel = open_on(0, 1, 0);
    avenc_submission given = {.number_pts = 1, .tag = 3};
    avenc_frame_memory memory;
    avenc_frame *frame;
    uint64_t index;
    CHECK(avenc_channel_acquire(channel, PATIENT, &frame, &memory) == AVENC_OK);
    loop_next(0, refused);
    CHECK(avenc_frame_submit(frame, &given, 0, PATIENT, &index) == REFUSED);
    unsigned freed = loop_count(0, LOOP_FREE);
    end_channel(channel);
    CHECK(loop_count(0, LOOP_FREE) == freed && avenc_live(AVENC_LIVE_SLOT) == 1);
    memset(memory.y, 1, SIZE);
    avenc_frame_release(frame);
    UNTIL(avenc_live(AVENC_LIVE_SLOT) == 0);
    CHECK(loop_count(0, LOOP_FREE) == freed + 1);
}

/* One that failed in the queue: submitting it succeeded, and the program looks at what it sent. */
SCENARIO(memory_of_a_frame_that_was_refused_in_the_queue_lasts_as_long_as_its_handles) {
    avenc_channel *channel = open_on(0, 1, 1);
    avenc_submission given = {.number_pts = 1, .tag = 3};
    avenc_frame_memory memory;
    avenc_frame *frame;
    uint64_t index;
    CHECK(avenc_channel_acquire(channel, PATIENT, &frame, &memory) == AVENC_OK);
    loop_next(0, refused);
    CHECK(avenc_frame_submit(frame, &given, AVENC_FRAME_QUEUE, PATIENT, &index) == AVENC_OK);
    avenc_packet *packet = take_packet(channel);
    CHECK(packet->status == REFUSED && packet->tag == 3);
    avenc_packet_release(packet);
    end_channel(channel);
    memset(memory.y, 1, SIZE);
    avenc_frame_release(frame);
    UNTIL(avenc_live(AVENC_LIVE_SLOT) == 0);
}

/* A vendor that answers destroy with a code may report all the same. */
SCENARIO(a_late_report_of_a_refused_frame_finds_nothing_while_its_channel_ends) {
    avenc_channel *channel = open_on(0, 2, 0);
    uint64_t numbers[2];
    int count = 0;
    loop_next(0, refused);
    loop_next(0, refused);
    CHECK(submit(channel, 1) == REFUSED && submit(channel, 2) == REFUSED);
    for (avi_slot *slot = channel->flight.head; slot; slot = slot->later)
        numbers[count++] = atomic_load(&slot->number) & ~AVI_REFUSED_MARK;
    CHECK(count == 2);
    loop_hang(0, LOOP_FREE, 2);
    loop_fail(0, LOOP_DESTROY, 1, 507018);
    CHECK(avenc_channel_close(channel) == AVENC_OK);
    loop_wait_hung(0, LOOP_FREE, 1);
    for (int i = 1; i >= 0; i--) {
        avi_report(channel->device, numbers[i], &(avi_output){.ret_code = 1});
        avi_report_batch(channel->device);
    }
    loop_release(0, LOOP_FREE);
    CHECK(avenc_channel_wait_closed(channel, PATIENT) == 507018);
    avenc_channel_release(channel);
}

/* ---- successors ------------------------------------------------------------------------------------------- */

SCENARIO(the_number_that_a_successor_begins_with_is_not_given_away_before) {
    avenc_channel *old = open_on(0, 4, 0);
    uint64_t first, index;
    call sends;
    loop_hang(0, LOOP_SEND, 1);
    loop_next(0, (loop_plan){.code = REFUSED, .gone = true});
    begin(&sends, old, submit_one);
    loop_wait_hung(0, LOOP_SEND, 1);
    avenc_channel *channel = succeed(old, &first);
    loop_release(0, LOOP_SEND);
    CHECK(end(&sends) == REFUSED);
    CHECK(submit_index(channel, 2, &index) == AVENC_OK && index == first);
    expect(channel, 2);
    avenc_channel_release(old);
    end_channel(channel);
}

SCENARIO(a_frame_that_is_not_accepted_yet_keeps_nothing_of_a_successor) {
    loop_on_host(0, true);
    avenc_channel *old = open_on(0, 4, 0);
    uint64_t first;
    call uploads;
    loop_hang(0, LOOP_UPLOAD, 1);
    begin(&uploads, old, submit_one);
    loop_wait_hung(0, LOOP_UPLOAD, 1);
    avenc_channel *channel = succeed(old, &first);
    CHECK(submit(channel, 1) == AVENC_OK && submit(channel, 2) == AVENC_OK);
    expect(channel, 1);
    expect(channel, 2);
    CHECK(stats_of(channel).in_flight == 0);
    loop_release(0, LOOP_UPLOAD);
    CHECK(end(&uploads) == AVENC_E_REPLACED);
    avenc_channel_release(old);
    end_channel(channel);
    loop_on_host(0, false);
}

SCENARIO(packets_that_wait_for_their_predecessors_are_progress_and_take_the_room_of_others) {
    avenc_device *device = loop_open(0);
    avenc_channel_config config = config_of(4, 0);
    config.max_ready = 3;
    avenc_channel *old = open_configured(device, &config, NULL);
    avenc_submission frame = frame_of(9);
    uint64_t first, index, progressed;
    loop_default(0, held);
    CHECK(submit(old, 1) == AVENC_OK);
    avenc_channel *channel = open_configured(device, &config, old);
    CHECK(avenc_channel_succeed(channel, &first) == AVENC_OK);
    for (uint64_t i = 2; i <= 4; i++) {
        progressed = channel->stream->progressed_ns;
        CHECK(submit(channel, i) == AVENC_OK);
        loop_report_nth(0, 1);
        CHECK(channel->stream->progressed_ns > progressed);
    }
    progressed = channel->stream->progressed_ns;
    CHECK(take_none(channel) == 0 && stats_of(channel).in_flight == 4);
    CHECK(avenc_channel_submit(channel, &frame, NULL, &index) == AVENC_E_FULL);
    CHECK(said(
        "0 packets wait to be received, and 3 for frames in front of them that the device has not finished, of 3"));
    loop_report(0, 1);
    CHECK(channel->stream->progressed_ns > progressed); /* that of the last, and not turned back to those of before */
    for (uint64_t i = 1; i <= 4; i++)
        expect(channel, i);
    avenc_channel_release(old);
    end_channel(channel);
    avenc_device_release(device);
}

/* ---- memory that a picture of the caller's takes ------------------------------------------------------------ */

static uint8_t padded[2 * SIZE];

static int submit_padded(call *c, avenc_wait *wait) {
    avenc_submission frame = {.number_pts = 1, .tag = 8};
    frame.picture =
        (avenc_picture){padded, 2 * WIDTH, padded + 2 * WIDTH * HEIGHT, 2 * WIDTH, WIDTH, HEIGHT, HEIGHT / 2};
    return avenc_channel_submit(c->channel, &frame, wait, &c->index);
}

SCENARIO(a_picture_of_padded_rows_does_not_wait_for_its_memory_inside_the_vendor_s_call) {
    loop_on_host(0, true);
    avenc_channel *channel = open_on(0, 2, 0);
    call padding = {.channel = channel};
    loop_hang(0, LOOP_ALLOC_HOST, 1);
    CHECK(submit_padded(&padding, BRIEFLY) == AVENC_E_AGAIN);
    CHECK(said("memory for another picture is being allocated, and is not there within 0.03 s"));
    CHECK(submit(channel, 1) == AVENC_OK); /* one that takes none has room */
    expect(channel, 1);
    loop_wait_hung(0, LOOP_ALLOC_HOST, 1);
    begin(&padding, channel, submit_padded);
    UNTIL(asleep(channel) == 1);
    loop_release(0, LOOP_ALLOC_HOST);
    CHECK(end(&padding) == AVENC_OK);
    avenc_packet_release(take_packet(channel));
    end_channel(channel);
    loop_on_host(0, false);
}

/* ---- who is told ---------------------------------------------------------------------------------------------- */

SCENARIO(a_frame_that_is_dropped_from_the_queue_wakes_who_waits_for_room) {
    avenc_channel *channel = open_on(0, 1, 1);
    call waits;
    loop_default(0, held);
    CHECK(submit(channel, 1) == AVENC_OK && enqueue(channel, 2) == AVENC_OK);
    begin(&waits, channel, wait_room);
    UNTIL(asleep(channel) == 1);
    CHECK(avenc_channel_drop_oldest(channel) == 1);
    CHECK(end(&waits) == AVENC_OK);
    give_tags_back(channel, 1);
    loop_report(0, 1);
    expect(channel, 1);
    end_channel(channel);
}

SCENARIO(a_frame_that_is_dropped_from_the_queue_wakes_who_waits_for_the_last) {
    avenc_channel *channel = open_on(0, 1, 1);
    avenc_channel_config config = config_of(1, 1);
    avenc_change *change;
    uint64_t first;
    call waits;
    config.max_bit_rate = 500;
    loop_hang(0, LOOP_CHANGE, 1);
    CHECK(avenc_channel_change(channel, 0, &config, &change) == AVENC_OK);
    loop_wait_hung(0, LOOP_CHANGE, 1);
    CHECK(enqueue(channel, 2) == AVENC_OK);
    begin(&waits, channel, wait_idle);
    UNTIL(asleep(channel) == 1);
    CHECK(avenc_channel_drop_oldest(channel) == 1);
    CHECK(end(&waits) == AVENC_OK);
    give_tags_back(channel, 1);
    loop_release(0, LOOP_CHANGE);
    CHECK(avenc_change_wait(change, PATIENT, &first) == AVENC_OK);
    avenc_change_release(change);
    end_channel(channel);
}

/* It was in the hands of the task that sends; beside it a submit that never comes to be accepted. */
SCENARIO(a_frame_that_close_overtakes_wakes_who_waits_for_the_end) {
    loop_on_host(0, true);
    avenc_channel *channel = open_on(0, 2, 1);
    avenc_frame *frames[3];
    call uploads, waits;
    for (int i = 0; i < 3; i++)
        frames[i] = acquire(channel, 1); /* staging memory is made: no thread waits for it below */
    for (int i = 0; i < 3; i++)
        avenc_frame_release(frames[i]);
    loop_hang(0, LOOP_UPLOAD, 1);
    begin(&uploads, channel, submit_one);
    loop_wait_hung(0, LOOP_UPLOAD, 1);
    loop_hang(0, LOOP_BIND, 1);
    CHECK(enqueue(channel, 2) == AVENC_OK);
    loop_wait_hung(0, LOOP_BIND, 1);
    begin(&waits, channel, wait_for_packets);
    UNTIL(asleep(channel) == 1);
    CHECK(avenc_channel_close(channel) == AVENC_OK);
    UNTIL(asleep(channel) == 1);
    loop_release(0, LOOP_BIND);
    CHECK(end(&waits) == AVENC_E_CLOSED);
    give_tags_back(channel, 1);
    loop_release(0, LOOP_UPLOAD);
    CHECK(end(&uploads) == AVENC_E_CLOSED);
    end_channel(channel);
    loop_on_host(0, false);
}

SCENARIO(a_frame_that_goes_to_the_queue_wakes_who_waits_for_its_place_in_the_device) {
    loop_on_host(0, true);
    avenc_channel *channel = open_on(0, 1, 2);
    avenc_channel_config config = config_of(1, 2);
    avenc_change *change;
    uint64_t first;
    call uploads, waits;
    config.max_bit_rate = 500;
    loop_hang(0, LOOP_UPLOAD, 1);
    begin(&uploads, channel, submit_one);
    loop_wait_hung(0, LOOP_UPLOAD, 1);
    loop_hang(0, LOOP_CHANGE, 1);
    CHECK(avenc_channel_change(channel, 0, &config, &change) == AVENC_OK);
    loop_wait_hung(0, LOOP_CHANGE, 1);
    begin(&waits, channel, submit_one);
    UNTIL(asleep(channel) == 1);
    loop_release(0, LOOP_UPLOAD);
    CHECK(end(&uploads) == AVENC_OK && end(&waits) == AVENC_OK); /* queued, both, behind the change */
    loop_release(0, LOOP_CHANGE);
    CHECK(avenc_change_wait(change, PATIENT, &first) == AVENC_OK);
    avenc_change_release(change);
    expect(channel, 7);
    expect(channel, 7);
    end_channel(channel);
    loop_on_host(0, false);
}
