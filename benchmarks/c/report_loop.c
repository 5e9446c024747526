// SPDX-License-Identifier: Apache-2.0
/*
 * The floor for many channels: one thread sends the frames of all channels, one report thread for all of them
 * has a callback that copies the access unit out. argv: channels, frames per second of each, seconds of warm-up,
 * seconds of measurement, "spread" (frames evenly spread over time) or "in-step" (one of each channel at a time).
 * Prints one JSON object.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ascendcl.h"

enum { WIDTH = 128, HEIGHT = 128, SIZE = WIDTH * HEIGHT * 3 / 2, DEPTH = 4, INPUTS = 8, CAPACITY = 1 << 20 };

typedef struct channel {
    aclvencChannelDesc *desc;
    acldvppPicDesc *pictures[DEPTH];
    void *memory[DEPTH];
    char *output[2];
    uint32_t size; /* of the last access unit */
    unsigned long bytes;
    unsigned sent;
    atomic_uint done;
} channel;

static aclrtContext context;
static atomic_int stop;

static void need(int rc) {
    if (rc != ACL_SUCCESS) {
        const char *text = aclGetRecentErrMsg();
        fprintf(stderr, "%d %s\n", rc, text ? text : "");
        exit(1);
    }
}

static void callback(acldvppPicDesc *input, acldvppStreamDesc *stream, void *user_data) {
    (void)input;
    channel *c = user_data;
    unsigned done = atomic_load(&c->done);
    need((int)acldvppGetStreamDescRetCode(stream));
    c->size = acldvppGetStreamDescSize(stream);
    need(aclrtMemcpy(c->output[done % 2], CAPACITY, acldvppGetStreamDescData(stream), c->size,
                     ACL_MEMCPY_DEVICE_TO_HOST));
    c->bytes += c->size;
    atomic_store(&c->done, done + 1);
}

static void *report(void *unused) {
    (void)unused;
    aclrtSetCurrentContext(context);
    while (!atomic_load(&stop))
        if (aclrtProcessReport(100) == ACL_ERROR_RT_THREAD_SUBSCRIBE)
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    return NULL;
}

static double seconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static long resident_kib(void) {
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%*d %ld", &pages) != 1)
        abort();
    fclose(file);
    return pages * sysconf(_SC_PAGESIZE) / 1024;
}

static void open_channel(channel *c, pthread_t thread) {
    c->desc = aclvencCreateChannelDesc();
    need(aclvencSetChannelDescThreadId(c->desc, (uint64_t)thread));
    need(aclvencSetChannelDescCallback(c->desc, callback));
    need(aclvencSetChannelDescEnType(c->desc, H265_MAIN_LEVEL));
    need(aclvencSetChannelDescPicFormat(c->desc, PIXEL_FORMAT_YUV_SEMIPLANAR_420));
    need(aclvencSetChannelDescPicWidth(c->desc, WIDTH));
    need(aclvencSetChannelDescPicHeight(c->desc, HEIGHT));
    need(aclvencSetChannelDescKeyFrameInterval(c->desc, 65536));
    need(aclvencCreateChannel(c->desc));
    for (int i = 0; i < DEPTH; i++) {
        c->pictures[i] = acldvppCreatePicDesc();
        need(acldvppMalloc(&c->memory[i], SIZE));
        need(acldvppSetPicDescData(c->pictures[i], c->memory[i]));
        need(acldvppSetPicDescSize(c->pictures[i], SIZE));
        need(acldvppSetPicDescFormat(c->pictures[i], PIXEL_FORMAT_YUV_SEMIPLANAR_420));
        need(acldvppSetPicDescWidth(c->pictures[i], WIDTH));
        need(acldvppSetPicDescHeight(c->pictures[i], HEIGHT));
        need(acldvppSetPicDescWidthStride(c->pictures[i], WIDTH));
        need(acldvppSetPicDescHeightStride(c->pictures[i], HEIGHT));
    }
    for (int i = 0; i < 2; i++)
        c->output[i] = malloc(CAPACITY);
}

static void send_frame(channel *c, aclvencFrameConfig *config, const char *pixels) {
    if (c->sent - atomic_load(&c->done) >= DEPTH) {
        fprintf(stderr, "the device fell behind\n");
        exit(1);
    }
    unsigned slot = c->sent % DEPTH;
    need(aclrtMemcpy(c->memory[slot], SIZE, pixels, SIZE, ACL_MEMCPY_HOST_TO_DEVICE));
    need(aclvencSendFrame(c->desc, c->pictures[slot], NULL, config, c));
    c->sent++;
}

static unsigned long fnv(const char *data, size_t size) {
    unsigned long hash = 14695981039346656037ul;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)data[i]) * 1099511628211ul;
    return hash;
}

int main(int argc, char **argv) {
    if (argc != 6)
        return 2;
    unsigned channels = (unsigned)atoi(argv[1]), rate = (unsigned)atoi(argv[2]);
    unsigned warm_up = (unsigned)(atof(argv[3]) * rate) * channels;
    unsigned frames = (unsigned)(atof(argv[4]) * rate) * channels;
    unsigned together = strcmp(argv[5], "in-step") ? 1 : channels;
    long resident = resident_kib();
    pthread_t thread;
    char *inputs[INPUTS];
    for (int i = 0; i < INPUTS; i++)
        memset(inputs[i] = malloc(SIZE), i, SIZE);
    need(aclInit(NULL));
    need(aclrtCreateContext(&context, 0));
    pthread_create(&thread, NULL, report, NULL);
    channel *all = calloc(channels, sizeof *all);
    for (unsigned i = 0; i < channels; i++)
        open_channel(&all[i], thread);
    aclvencFrameConfig *config = aclvencCreateFrameConfig();
    double begin = seconds(CLOCK_MONOTONIC), cpu = 0;
    for (unsigned i = 0; i < warm_up + frames; i++) {
        if (i == warm_up)
            cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
        double due = begin + (double)(i / together * together) / (rate * channels);
        struct timespec until = {.tv_sec = (time_t)due, .tv_nsec = (long)((due - (double)(time_t)due) * 1e9)};
        if (due > seconds(CLOCK_MONOTONIC)) /* sleeping until what is past costs as much as sleeping */
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        send_frame(&all[i % channels], config, inputs[i % INPUTS]);
    }
    unsigned long bytes = 0, hash = 0, done = 0;
    for (unsigned i = 0; i < channels; i++) {
        while (atomic_load(&all[i].done) < all[i].sent)
            usleep(100);
        done += all[i].sent;
        bytes += all[i].bytes;
        hash += fnv(all[i].output[(all[i].sent - 1) % 2], all[i].size);
    }
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    printf("{\"frames\": %lu, \"bytes\": %lu, \"hash\": %lu, \"cpu_us\": %.3f, \"rss_kib\": %ld, \"threads\": 2}\n",
           done, bytes, hash, cpu * 1e6 / frames, resident_kib() - resident);
    for (unsigned i = 0; i < channels; i++) {
        need(aclvencDestroyChannel(all[i].desc));
        need(aclvencDestroyChannelDesc(all[i].desc));
        for (int k = 0; k < DEPTH; k++) {
            need(acldvppDestroyPicDesc(all[i].pictures[k]));
            need(acldvppFree(all[i].memory[k]));
        }
    }
    atomic_store(&stop, 1);
    pthread_join(thread, NULL);
    need(aclvencDestroyFrameConfig(config));
    need(aclrtDestroyContext(context));
    return aclFinalize();
}
