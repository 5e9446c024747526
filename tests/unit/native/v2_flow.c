// SPDX-License-Identifier: Apache-2.0
/*
 * A program as they are written for DVPP V2: one thread sends pictures, another waits in the vendor's epoll and gets the
 * streams. Compiled as C or C++, with our header or with the vendor's.
 *
 *     v2_flow 264|265 width height frames in.nv12 out [one] [limit]
 *
 * one: a frame is one pack. limit: hi_mpi_venc_start_chn is told the number of frames.
 */
#ifdef VENDOR_HEADERS
#include "acl/acl.h"
#include "acl/dvpp/hi_dvpp.h"
#else
#include "ascendcl.h"
#include "himpi.h"
#endif

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHANNEL = 3, BUFFERS = 4, MOST_PACKS = 16 };

#define CHECK(call)                                                                                                    \
    do {                                                                                                               \
        int code_ = (int)(call);                                                                                       \
        if (code_ != 0) {                                                                                              \
            fprintf(stderr, "line %d: %s gives %#x\n", __LINE__, #call, (unsigned)code_);                              \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static aclrtContext context;
static aclrtRunMode run_mode;
static int frames, epoll_fd;
static FILE *out;
static int received;

/* Pictures in device memory; busy until their packet has come. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t freed = PTHREAD_COND_INITIALIZER;
static void *buffers[BUFFERS];
static int busy[BUFFERS];

static void give_back(hi_u64 address) {
    int known = 0;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < BUFFERS; i++) {
        if ((hi_u64)(uintptr_t)buffers[i] == address && busy[i]) {
            busy[i] = 0;
            known = 1;
        }
    }
    pthread_cond_signal(&freed);
    pthread_mutex_unlock(&lock);
    CHECK(known ? 0 : -1);
}

static int take_buffer(void) {
    int found = -1;
    pthread_mutex_lock(&lock);
    while (found < 0) {
        for (int i = 0; i < BUFFERS && found < 0; i++)
            found = busy[i] ? -1 : i;
        if (found < 0)
            pthread_cond_wait(&freed, &lock);
    }
    busy[found] = 1;
    pthread_mutex_unlock(&lock);
    return found;
}

static void write_pack(const hi_venc_pack *pack) {
    hi_u32 size = pack->len - pack->offset;
    char *host = (char *)malloc(size);
    CHECK(pack->len == 0 || host == NULL);
    if (run_mode == ACL_HOST)
        CHECK(aclrtMemcpy(host, size, pack->addr + pack->offset, size, ACL_MEMCPY_DEVICE_TO_HOST));
    else
        memcpy(host, pack->addr + pack->offset, size);
    CHECK(fwrite(host, 1, size, out) != size);
    free(host);
}

static void get_one(void) {
    hi_venc_chn_status status;
    hi_venc_stream stream;
    hi_venc_pack packs[MOST_PACKS];
    CHECK(hi_mpi_venc_query_status(CHANNEL, &status));
    CHECK(status.cur_packs == 0 || status.cur_packs > MOST_PACKS);
    memset(&stream, 0, sizeof stream);
    stream.pack = packs;
    stream.pack_cnt = status.cur_packs;
    CHECK(hi_mpi_venc_get_stream(CHANNEL, &stream, 0));
    CHECK(stream.seq != (hi_u32)received);
    for (hi_u32 i = 0; i < stream.pack_cnt; i++) {
        CHECK(packs[i].pts != 40000ull * (hi_u64)received);
        write_pack(&packs[i]);
    }
    hi_u64 picture = packs[0].input_addr;
    CHECK(hi_mpi_venc_release_stream(CHANNEL, &stream));
    give_back(picture);
    received++;
}

static void *get_streams(void *unused) {
    (void)unused;
    CHECK(aclrtSetCurrentContext(context));
    while (received < frames) {
        hi_dvpp_epoll_event events[4];
        hi_s32 count = 0;
        CHECK(hi_mpi_sys_wait_epoll(epoll_fd, events, 4, 1000, &count));
        for (hi_s32 i = 0; i < count; i++) {
            CHECK(events[i].data != (void *)(uintptr_t)CHANNEL);
            get_one();
        }
    }
    return NULL;
}

static void create(int codec, hi_u32 width, hi_u32 height) {
    hi_venc_chn_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.venc_attr.type = codec == 264 ? HI_PT_H264 : HI_PT_H265;
    attr.venc_attr.max_pic_width = attr.venc_attr.pic_width = width;
    attr.venc_attr.max_pic_height = attr.venc_attr.pic_height = height;
    attr.venc_attr.buf_size = (width * height * 3 / 2 + 65535) / 65536 * 65536;
    attr.venc_attr.profile = codec == 264 ? 2 : 0;
    attr.venc_attr.is_by_frame = HI_TRUE;
    if (codec == 264) {
        attr.rc_attr.rc_mode = HI_VENC_RC_MODE_H264_CBR;
        attr.rc_attr.h264_cbr.gop = 25;
        attr.rc_attr.h264_cbr.stats_time = 1;
        attr.rc_attr.h264_cbr.src_frame_rate = attr.rc_attr.h264_cbr.dst_frame_rate = 25;
        attr.rc_attr.h264_cbr.bit_rate = 2000;
    } else {
        attr.rc_attr.rc_mode = HI_VENC_RC_MODE_H265_VBR;
        attr.rc_attr.h265_vbr.gop = 25;
        attr.rc_attr.h265_vbr.stats_time = 1;
        attr.rc_attr.h265_vbr.src_frame_rate = attr.rc_attr.h265_vbr.dst_frame_rate = 25;
        attr.rc_attr.h265_vbr.max_bit_rate = 2000;
    }
    attr.gop_attr.gop_mode = HI_VENC_GOP_MODE_NORMAL_P;
    attr.gop_attr.normal_p.ip_qp_delta = 2;
    CHECK(hi_mpi_venc_create_chn(CHANNEL, &attr));
    CHECK((hi_u32)hi_mpi_venc_create_chn(CHANNEL, &attr) != (hi_u32)HI_ERR_VENC_EXIST);
    hi_venc_rc_param param;
    CHECK(hi_mpi_venc_get_rc_param(CHANNEL, &param));
    param.first_frame_start_qp = 26;
    CHECK(hi_mpi_venc_set_rc_param(CHANNEL, &param));
    CHECK(hi_mpi_venc_set_scene_mode(CHANNEL, HI_VENC_SCENE_0));
}

static void send(FILE *in, hi_u32 width, hi_u32 height, int number) {
    hi_u32 stride = (width + 15) / 16 * 16, size = stride * height * 3 / 2;
    char *host = (char *)calloc(1, size);
    CHECK(host == NULL);
    for (hi_u32 row = 0; row < height * 3 / 2; row++)
        CHECK(fread(host + row * stride, 1, width, in) != width);
    int buffer = take_buffer();
    char *picture = (char *)buffers[buffer];
    CHECK(aclrtMemcpy(picture, size, host, size, ACL_MEMCPY_HOST_TO_DEVICE));
    free(host);
    hi_video_frame_info frame;
    memset(&frame, 0, sizeof frame);
    frame.mod_id = HI_ID_VENC;
    frame.v_frame.width = width;
    frame.v_frame.height = height;
    frame.v_frame.field = HI_VIDEO_FIELD_FRAME;
    frame.v_frame.pixel_format = HI_PIXEL_FORMAT_YUV_SEMIPLANAR_420;
    frame.v_frame.width_stride[0] = frame.v_frame.width_stride[1] = stride;
    frame.v_frame.virt_addr[0] = picture;
    frame.v_frame.virt_addr[1] = picture + stride * height;
    frame.v_frame.pts = 40000ull * (hi_u64)number;
    frame.v_frame.time_ref = 2 * (hi_u32)number;
    CHECK(hi_mpi_venc_send_frame(CHANNEL, &frame, 10000));
}

int main(int argc, char **argv) {
    CHECK(argc < 7);
    int codec = atoi(argv[1]), one = 0, limit = 0;
    hi_u32 width = (hi_u32)atoi(argv[2]), height = (hi_u32)atoi(argv[3]);
    frames = atoi(argv[4]);
    FILE *in = fopen(argv[5], "rb");
    out = fopen(argv[6], "wb");
    CHECK(in == NULL || out == NULL);
    for (int i = 7; i < argc; i++) {
        one = one || strcmp(argv[i], "one") == 0;
        limit = limit || strcmp(argv[i], "limit") == 0;
    }
    CHECK(aclInit(NULL));
    CHECK(aclrtSetDevice(0));
    CHECK(aclrtCreateContext(&context, 0));
    CHECK(aclrtGetRunMode(&run_mode));
    CHECK(hi_mpi_sys_init());
    if (one) {
        hi_venc_mod_param module;
        memset(&module, 0, sizeof module);
        module.mod_type = codec == 264 ? HI_VENC_MOD_H264 : HI_VENC_MOD_H265;
        module.h264_mod_param.one_stream_buf = 1;
        CHECK(hi_mpi_venc_set_mod_param(&module));
    }
    create(codec, width, height);
    hi_venc_start_param start;
    start.recv_pic_num = limit ? frames : -1;
    CHECK(hi_mpi_venc_start_chn(CHANNEL, &start));
    for (int i = 0; i < BUFFERS; i++)
        CHECK(hi_mpi_dvpp_malloc(0, &buffers[i], (width + 15) / 16 * 16 * height * 3 / 2));

    hi_s32 fd = hi_mpi_venc_get_fd(CHANNEL);
    CHECK(fd < 0 ? fd : 0);
    hi_dvpp_epoll_event event;
    event.events = HI_DVPP_EPOLL_IN;
    event.data = (void *)(uintptr_t)CHANNEL;
    CHECK(hi_mpi_sys_create_epoll(1, &epoll_fd));
    CHECK(hi_mpi_sys_ctl_epoll(epoll_fd, HI_DVPP_EPOLL_CTL_ADD, fd, &event));
    pthread_t receiver;
    CHECK(pthread_create(&receiver, NULL, get_streams, NULL));
    for (int number = 0; number < frames; number++)
        send(in, width, height, number);
    CHECK(pthread_join(receiver, NULL));

    CHECK(hi_mpi_venc_stop_chn(CHANNEL));
    CHECK(hi_mpi_sys_ctl_epoll(epoll_fd, HI_DVPP_EPOLL_CTL_DEL, fd, NULL));
    CHECK(hi_mpi_venc_close_fd(CHANNEL));
    CHECK(hi_mpi_sys_close_epoll(epoll_fd));
    CHECK(hi_mpi_venc_destroy_chn(CHANNEL));
    for (int i = 0; i < BUFFERS; i++)
        CHECK(hi_mpi_dvpp_free(buffers[i]));
    CHECK(hi_mpi_sys_exit());
    CHECK(aclrtDestroyContext(context));
    CHECK(aclrtResetDevice(0));
    CHECK(aclFinalize());
    CHECK(fclose(out));
    fclose(in);
    printf("%d frames\n", received);
    return 0;
}
