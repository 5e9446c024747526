// SPDX-License-Identifier: Apache-2.0
/*
 * Threads that send to, get from, poll and change V2 channels which others create and destroy at the same time. Every call
 * may answer with a code; none may hang, and a sanitizer may find nothing.
 *
 *     v2_threads rounds
 */
#include "ascendcl.h"
#include "himpi.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHANNELS = 2, WIDTH = 128, HEIGHT = 128, SIZE = WIDTH * HEIGHT * 3 / 2 };

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                                                    \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static aclrtContext context;
static atomic_int over;
static atomic_long frames;
static int epoll_fd;
static void *picture;

static hi_venc_chn_attr attributes(hi_u32 kbit) {
    hi_venc_chn_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.venc_attr.type = HI_PT_H264;
    attr.venc_attr.max_pic_width = attr.venc_attr.pic_width = WIDTH;
    attr.venc_attr.max_pic_height = attr.venc_attr.pic_height = HEIGHT;
    attr.venc_attr.buf_size = 64 * 1024;
    attr.venc_attr.profile = 1;
    attr.venc_attr.is_by_frame = HI_TRUE;
    attr.rc_attr.rc_mode = HI_VENC_RC_MODE_H264_CBR;
    attr.rc_attr.h264_cbr.gop = 10;
    attr.rc_attr.h264_cbr.stats_time = 1;
    attr.rc_attr.h264_cbr.src_frame_rate = attr.rc_attr.h264_cbr.dst_frame_rate = 25;
    attr.rc_attr.h264_cbr.bit_rate = kbit;
    return attr;
}

static void *send(void *unused) {
    CHECK(aclrtSetCurrentContext(context) == 0);
    hi_video_frame_info frame;
    memset(&frame, 0, sizeof frame);
    frame.v_frame.width = frame.v_frame.width_stride[0] = WIDTH;
    frame.v_frame.height = HEIGHT;
    frame.v_frame.pixel_format = HI_PIXEL_FORMAT_YUV_SEMIPLANAR_420;
    frame.v_frame.virt_addr[0] = picture;
    for (int i = 0; !over; i++)
        if (hi_mpi_venc_send_frame(i % CHANNELS, &frame, i % 3 == 0 ? -1 : i % 3) != 0)
            sched_yield();
    return unused;
}

/* Streams are released in the order got, so one thread at a time gets and releases those of a channel. */
static pthread_mutex_t getting[CHANNELS] = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER};

static void get(hi_venc_chn chn, hi_s32 ms) {
    hi_venc_pack packs[8];
    hi_venc_stream stream;
    memset(&stream, 0, sizeof stream);
    stream.pack = packs;
    stream.pack_cnt = 8;
    if (pthread_mutex_trylock(&getting[chn]) != 0) {
        sched_yield();
        return;
    }
    if (hi_mpi_venc_get_stream(chn, &stream, ms) == 0) {
        frames++;
        hi_mpi_venc_release_stream(chn, &stream);
    }
    pthread_mutex_unlock(&getting[chn]);
}

static void *get_streams(void *unused) {
    CHECK(aclrtSetCurrentContext(context) == 0);
    for (int i = 0; !over; i++)
        get(i % CHANNELS, i % 3 == 0 ? -1 : i % 3);
    return unused;
}

static void *poll(void *unused) {
    CHECK(aclrtSetCurrentContext(context) == 0);
    while (!over) {
        hi_dvpp_epoll_event events[2];
        hi_s32 count = 0;
        hi_mpi_sys_wait_epoll(epoll_fd, events, 2, 5, &count);
        for (hi_s32 i = 0; i < count; i++)
            get((hi_venc_chn)(intptr_t)events[i].data, 0);
    }
    return unused;
}

static void *change(void *unused) {
    CHECK(aclrtSetCurrentContext(context) == 0);
    for (hi_u32 i = 0; !over; i++) {
        hi_venc_chn_attr attr = attributes(500 + i % 1000);
        hi_venc_chn_status status;
        hi_venc_rc_param param;
        hi_venc_chn chn = (hi_venc_chn)(i % CHANNELS);
        hi_mpi_venc_set_chn_attr(chn, &attr);
        hi_mpi_venc_query_status(chn, &status);
        if (hi_mpi_venc_get_rc_param(chn, &param) == 0)
            hi_mpi_venc_set_rc_param(chn, &param);
        hi_mpi_venc_request_idr(chn, HI_TRUE);
    }
    return unused;
}

/* One channel's lives. */
static void *live(void *argument) {
    const int *number = argument;
    CHECK(aclrtSetCurrentContext(context) == 0);
    for (int round = 0; round < number[1]; round++) {
        hi_venc_chn_attr attr = attributes(1000);
        hi_venc_start_param start = {-1};
        hi_dvpp_epoll_event event = {HI_DVPP_EPOLL_IN, (void *)(intptr_t)number[0]};
        CHECK(hi_mpi_venc_create_chn(number[0], &attr) == 0);
        CHECK(hi_mpi_venc_start_chn(number[0], &start) == 0);
        int fd = hi_mpi_venc_get_fd(number[0]);
        CHECK(fd > 0 && hi_mpi_sys_ctl_epoll(epoll_fd, HI_DVPP_EPOLL_CTL_ADD, fd, &event) == 0);
        long before = frames;
        while (frames < before + 10)
            sched_yield();
        CHECK(hi_mpi_venc_stop_chn(number[0]) == 0);
        if (round % 2 == 0) /* else it leaves the epoll with the channel */
            CHECK(hi_mpi_sys_ctl_epoll(epoll_fd, HI_DVPP_EPOLL_CTL_DEL, fd, NULL) == 0);
        CHECK(hi_mpi_venc_destroy_chn(number[0]) == 0);
    }
    return NULL;
}

int main(int argc, char **argv) {
    enum { USERS = 7 };
    static void *(*const users[USERS])(void *) = {send, send, get_streams, get_streams, poll, poll, change};
    int rounds = argc > 1 ? atoi(argv[1]) : 10;
    pthread_t user[USERS], owner[CHANNELS];
    int numbers[CHANNELS][2];
    CHECK(aclInit(NULL) == 0 && aclrtSetDevice(0) == 0 && aclrtCreateContext(&context, 0) == 0);
    CHECK(hi_mpi_sys_init() == 0 && hi_mpi_sys_create_epoll(1, &epoll_fd) == 0);
    CHECK(hi_mpi_dvpp_malloc(0, &picture, SIZE) == 0);
    for (int i = 0; i < USERS; i++)
        CHECK(pthread_create(&user[i], NULL, users[i], NULL) == 0);
    for (int i = 0; i < CHANNELS; i++) {
        numbers[i][0] = i;
        numbers[i][1] = rounds;
        CHECK(pthread_create(&owner[i], NULL, live, numbers[i]) == 0);
    }
    for (int i = 0; i < CHANNELS; i++)
        CHECK(pthread_join(owner[i], NULL) == 0);
    over = 1;
    for (int i = 0; i < USERS; i++)
        CHECK(pthread_join(user[i], NULL) == 0);
    CHECK(hi_mpi_sys_close_epoll(epoll_fd) == 0 && hi_mpi_dvpp_free(picture) == 0 && hi_mpi_sys_exit() == 0);
    CHECK(aclrtDestroyContext(context) == 0 && aclrtResetDevice(0) == 0 && aclFinalize() == 0);
    printf("%d lives\n", CHANNELS * rounds);
    return 0;
}
