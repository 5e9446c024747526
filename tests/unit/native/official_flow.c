// SPDX-License-Identifier: Apache-2.0
/*
 * The vendor's sample flow as a program: init, device, context, report thread, channel, 16 frames, EOS,
 * destroy, finalize. Valid C and valid C++; with VENDOR_HEADERS it is built against the vendor's own
 * headers. argv: encoding type, frames, [exit]: leave everything open, [cancel]: end the report thread
 * by pthread_cancel, [fork]: a child does it all again.
 */
#ifdef VENDOR_HEADERS
#define ENABLE_DVPP_INTERFACE
#include "acl/acl.h"
#include "acl/ops/acl_dvpp.h"
#else
#include "ascendcl.h"
#endif

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            const char *text = aclGetRecentErrMsg();                                                                   \
            fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, text ? text : "");                     \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

enum { WIDTH = 352, HEIGHT = 288, SIZE = WIDTH * HEIGHT * 3 / 2 };

static aclrtContext context;
static int running;
static int delivered;
static size_t bytes;

static void on_frame(acldvppPicDesc *input, acldvppStreamDesc *output, void *userdata) {
    CHECK(input != NULL && output != NULL);
    CHECK((intptr_t)userdata == delivered);
    CHECK(acldvppGetStreamDescRetCode(output) == 0);
    uint32_t size = acldvppGetStreamDescSize(output);
    void *host = NULL;
    CHECK(size > 4 && aclrtMallocHost(&host, size) == 0);
    CHECK(aclrtMemcpy(host, size, acldvppGetStreamDescData(output), size, ACL_MEMCPY_DEVICE_TO_HOST) == 0);
    CHECK(memcmp(host, "\0\0\0\1", 4) == 0);
    CHECK(aclrtFreeHost(host) == 0);
    bytes += size;
    delivered++;
}

static void *report_loop(void *unused) {
    (void)unused;
    CHECK(aclrtSetCurrentContext(context) == 0);
    while (__atomic_load_n(&running, __ATOMIC_ACQUIRE)) {
        int code = aclrtProcessReport(1000);
        if (code == 107012)
            usleep(1000);
        else
            CHECK(code == 0 || code == 507012);
    }
    return NULL;
}

static void flow(int en_type, int frames, int leave, int cancel) {
    delivered = 0;
    bytes = 0;
    CHECK(aclInit(NULL) == 0);
    CHECK(aclrtSetDevice(0) == 0);
    CHECK(aclrtCreateContext(&context, 0) == 0);
    aclrtRunMode mode;
    CHECK(aclrtGetRunMode(&mode) == 0 && mode == ACL_HOST);
    pthread_t thread;
    __atomic_store_n(&running, 1, __ATOMIC_RELEASE);
    CHECK(pthread_create(&thread, NULL, report_loop, NULL) == 0);

    aclvencChannelDesc *channel = aclvencCreateChannelDesc();
    CHECK(channel != NULL);
    CHECK(aclvencSetChannelDescThreadId(channel, (uint64_t)thread) == 0);
    CHECK(aclvencSetChannelDescCallback(channel, on_frame) == 0);
#ifdef __cplusplus
    CHECK(aclvencSetChannelDescEnType(channel, static_cast<acldvppStreamFormat>(en_type)) == 0);
#else
    CHECK(aclvencSetChannelDescEnType(channel, en_type) == 0);
#endif
    CHECK(aclvencSetChannelDescPicFormat(channel, PIXEL_FORMAT_YUV_SEMIPLANAR_420) == 0);
    CHECK(aclvencSetChannelDescPicWidth(channel, WIDTH) == 0);
    CHECK(aclvencSetChannelDescPicHeight(channel, HEIGHT) == 0);
    CHECK(aclvencSetChannelDescKeyFrameInterval(channel, 16) == 0);
    CHECK(aclvencCreateChannel(channel) == 0);

    uint8_t *pixels = (uint8_t *)malloc(SIZE);
    for (int i = 0; i < SIZE; i++)
        pixels[i] = (uint8_t)(i / 3);
    void *memory = NULL;
    CHECK(acldvppMalloc(&memory, SIZE) == 0);
    CHECK(aclrtMemcpy(memory, SIZE, pixels, SIZE, ACL_MEMCPY_HOST_TO_DEVICE) == 0);
    free(pixels);
    acldvppPicDesc *picture = acldvppCreatePicDesc();
    CHECK(picture != NULL);
    CHECK(acldvppSetPicDescData(picture, memory) == 0);
    CHECK(acldvppSetPicDescSize(picture, SIZE) == 0);
    aclvencFrameConfig *config = aclvencCreateFrameConfig();
    CHECK(config != NULL);
    for (intptr_t i = 0; i < frames; i++)
        CHECK(aclvencSendFrame(channel, picture, NULL, config, (void *)i) == 0);
    if (leave)
        exit(0);
    CHECK(aclvencSetFrameConfigEos(config, 1) == 0);
    CHECK(aclvencSendFrame(channel, NULL, NULL, config, NULL) == 0);
    CHECK(delivered == frames);

    CHECK(acldvppFree(memory) == 0);
    CHECK(acldvppDestroyPicDesc(picture) == 0);
    CHECK(aclvencDestroyFrameConfig(config) == 0);
    if (cancel) {
        CHECK(pthread_cancel(thread) == 0);
        void *result = NULL;
        CHECK(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
    }
    CHECK(aclvencDestroyChannel(channel) == 0);
    CHECK(aclvencDestroyChannelDesc(channel) == 0);
    __atomic_store_n(&running, 0, __ATOMIC_RELEASE);
    if (!cancel)
        CHECK(pthread_join(thread, NULL) == 0);
    CHECK(aclrtDestroyContext(context) == 0);
    CHECK(aclrtResetDevice(0) == 0);
    CHECK(aclFinalize() == 0);
}

int main(int argc, char **argv) {
    CHECK(argc >= 3);
    int en_type = atoi(argv[1]), frames = atoi(argv[2]);
    const char *how = argc > 3 ? argv[3] : "";
    if (strcmp(how, "fork") == 0) {
        CHECK(aclInit(NULL) == 0 && aclrtSetDevice(0) == 0 && aclFinalize() == 0 && aclrtResetDevice(0) == 0);
        pid_t child = fork();
        flow(en_type, frames, 0, 0);
        if (child == 0)
            _exit(delivered == frames ? 0 : 1);
        int status = -1;
        CHECK(waitpid(child, &status, 0) == child && status == 0);
    } else {
        flow(en_type, frames, strcmp(how, "exit") == 0, strcmp(how, "cancel") == 0);
    }
    printf("%d frames, %zu bytes\n", delivered, bytes);
    return 0;
}
