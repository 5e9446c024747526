// SPDX-License-Identifier: Apache-2.0
/*
 * The floor: the same frames through the same device from plain C, with one report thread and a callback that
 * copies the access unit out. argv: frames, width, height, frames in flight. Prints nanoseconds per frame.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ascendcl.h"

enum { MAX_IN_FLIGHT = 64, OUTPUT = 8 << 20 };

static aclrtContext context;
static atomic_int stop;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t progress = PTHREAD_COND_INITIALIZER;
static unsigned done, waiting; /* lock */
static char *output;

static void callback(acldvppPicDesc *input, acldvppStreamDesc *stream, void *user_data) {
    (void)input;
    (void)user_data;
    uint32_t size = acldvppGetStreamDescSize(stream);
    if (acldvppGetStreamDescRetCode(stream) != 0 ||
        aclrtMemcpy(output, OUTPUT, acldvppGetStreamDescData(stream), size, ACL_MEMCPY_DEVICE_TO_HOST) != 0)
        abort();
    pthread_mutex_lock(&lock);
    done++;
    if (waiting)
        pthread_cond_signal(&progress);
    pthread_mutex_unlock(&lock);
}

/* Until `target` callbacks have run. */
static void wait_for(unsigned target) {
    pthread_mutex_lock(&lock);
    waiting++;
    while (done < target)
        pthread_cond_wait(&progress, &lock);
    waiting--;
    pthread_mutex_unlock(&lock);
}

static void *report(void *unused) {
    (void)unused;
    aclrtSetCurrentContext(context);
    while (!atomic_load(&stop))
        if (aclrtProcessReport(100) == ACL_ERROR_RT_THREAD_SUBSCRIBE)
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    return NULL;
}

static void need(int rc) {
    if (rc != ACL_SUCCESS) {
        const char *text = aclGetRecentErrMsg();
        fprintf(stderr, "%d %s\n", rc, text ? text : "");
        exit(1);
    }
}

int main(int argc, char **argv) {
    if (argc != 5)
        return 2;
    unsigned frames = (unsigned)atoi(argv[1]), width = (unsigned)atoi(argv[2]), height = (unsigned)atoi(argv[3]);
    unsigned depth = (unsigned)atoi(argv[4]);
    size_t size = (size_t)width * height * 3 / 2;
    pthread_t thread;
    output = malloc(OUTPUT);
    char *pixels = calloc(1, size);
    if (!output || !pixels || depth == 0 || depth > MAX_IN_FLIGHT)
        return 2;
    need(aclInit(NULL));
    need(aclrtCreateContext(&context, 0));
    pthread_create(&thread, NULL, report, NULL);
    aclvencChannelDesc *desc = aclvencCreateChannelDesc();
    need(aclvencSetChannelDescThreadId(desc, (uint64_t)thread));
    need(aclvencSetChannelDescCallback(desc, callback));
    need(aclvencSetChannelDescEnType(desc, H265_MAIN_LEVEL));
    need(aclvencSetChannelDescPicFormat(desc, PIXEL_FORMAT_YUV_SEMIPLANAR_420));
    need(aclvencSetChannelDescPicWidth(desc, width));
    need(aclvencSetChannelDescPicHeight(desc, height));
    need(aclvencSetChannelDescKeyFrameInterval(desc, 65536));
    need(aclvencCreateChannel(desc));
    aclvencFrameConfig *config = aclvencCreateFrameConfig();
    acldvppPicDesc *pictures[MAX_IN_FLIGHT];
    void *memory[MAX_IN_FLIGHT];
    for (unsigned i = 0; i < depth; i++) {
        pictures[i] = acldvppCreatePicDesc();
        need(acldvppMalloc(&memory[i], size));
        need(acldvppSetPicDescData(pictures[i], memory[i]));
        need(acldvppSetPicDescSize(pictures[i], (uint32_t)size));
        need(acldvppSetPicDescWidthStride(pictures[i], width));
    }
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (unsigned i = 0; i < frames; i++) {
        wait_for(i < depth ? 0 : i - depth + 1);
        need(aclrtMemcpy(memory[i % depth], size, pixels, size, ACL_MEMCPY_HOST_TO_DEVICE));
        need(aclvencSendFrame(desc, pictures[i % depth], NULL, config, NULL));
    }
    wait_for(frames);
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%.1f\n", ((double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec)) / frames);
    need(aclvencDestroyChannel(desc));
    need(aclvencDestroyChannelDesc(desc));
    atomic_store(&stop, 1);
    pthread_join(thread, NULL);
    for (unsigned i = 0; i < depth; i++) {
        need(acldvppDestroyPicDesc(pictures[i]));
        need(acldvppFree(memory[i]));
    }
    need(aclvencDestroyFrameConfig(config));
    need(aclrtDestroyContext(context));
    free(pixels);
    free(output);
    return aclFinalize();
}
