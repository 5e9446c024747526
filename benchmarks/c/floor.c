// SPDX-License-Identifier: Apache-2.0
/*
 * The floor: the calls that every way of encoding has to make, from plain C. Input pictures rotate over as many buffers
 * as frames can be in flight; the callback copies the access unit out, once.
 *
 *   serial     the calling thread sends a batch and then processes its reports: no thread switch at all
 *   threaded   a report thread, as every program has one; the sender keeps at most `buffers` frames in flight
 *   queued     frames are handed to a device that stands still, and only the report thread's side is observed
 *
 * As a library it runs in the process of its peers, in turn with them. As a program it prints one JSON object.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "device.h"

#define EXPORT __attribute__((visibility("default")))

enum { MAX_BUFFERS = 1024, OUTPUT = 8 << 20, REPORT_MS = 100 };

typedef struct floor_config {
    uint32_t channels, width, height;
    uint32_t buffers;  /* input pictures in rotation, of each channel */
    uint32_t outputs;  /* buffers for access units in rotation, of each channel */
    int32_t threaded;  /* a report thread; else the caller processes its own reports */
    int32_t copy_in;   /* copy each picture to device memory */
    int32_t copy_out;  /* copy each access unit out */
    int32_t checksums; /* of all access units, for comparison with the peers */
} floor_config;

typedef struct floor_result {
    uint64_t frames, bytes, checksum;
} floor_result;

typedef struct channel {
    struct floor *owner;
    aclvencChannelDesc *desc;
    uint64_t sent;
    acldvppPicDesc **pictures;
    void **memory;
    char *pixels; /* `buffers` pictures of the host */
    floor_result result;
    char *output;
} channel;

typedef struct floor {
    device_api api;
    floor_config config;
    aclrtContext context;
    aclvencFrameConfig *frame_config;
    channel *channels;
    size_t picture_size;
    pthread_t thread;
    atomic_int stop;
    pthread_mutex_t lock;
    pthread_cond_t progress;
    uint64_t done, awaited; /* lock */
} floor_t;

static uint32_t adler32(uint32_t sum, const uint8_t *data, size_t size) {
    uint32_t a = sum & 0xffff, b = sum >> 16;
    while (size != 0) {
        size_t part = size < 5552 ? size : 5552;
        size -= part;
        while (part-- != 0)
            b += a += *data++;
        a %= 65521;
        b %= 65521;
    }
    return b << 16 | a;
}

static void callback(acldvppPicDesc *input, acldvppStreamDesc *stream, void *user_data) {
    (void)input;
    channel *ch = user_data;
    floor_t *f = ch->owner;
    uint32_t size = f->api.acldvppGetStreamDescSize(stream);
    if (f->api.acldvppGetStreamDescRetCode(stream) != 0)
        abort();
    const void *data = f->api.acldvppGetStreamDescData(stream);
    char *output = ch->output + ch->result.frames % f->config.outputs * OUTPUT;
    if (f->config.copy_out && f->api.aclrtMemcpy(output, OUTPUT, data, size, ACL_MEMCPY_DEVICE_TO_HOST) != 0)
        abort();
    if (f->config.checksums)
        ch->result.checksum = adler32((uint32_t)ch->result.checksum, (const uint8_t *)output, size);
    ch->result.frames++;
    ch->result.bytes += size;
    if (!f->config.threaded) {
        f->done++;
        return;
    }
    pthread_mutex_lock(&f->lock);
    f->done++;
    if (f->done == f->awaited)
        pthread_cond_signal(&f->progress);
    pthread_mutex_unlock(&f->lock);
}

/* Until `target` callbacks have run, over all channels. */
static void wait_for(floor_t *f, uint64_t target) {
    if (!f->config.threaded) {
        while (f->done < target)
            f->api.aclrtProcessReport(REPORT_MS);
        return;
    }
    pthread_mutex_lock(&f->lock);
    f->awaited = target;
    while (f->done < target)
        pthread_cond_wait(&f->progress, &f->lock);
    f->awaited = 0;
    pthread_mutex_unlock(&f->lock);
}

static void *report(void *pointer) {
    floor_t *f = pointer;
    pthread_setname_np(pthread_self(), "floor-report");
    f->api.aclrtSetCurrentContext(f->context);
    while (!atomic_load(&f->stop))
        if (f->api.aclrtProcessReport(REPORT_MS) == ACL_ERROR_RT_THREAD_SUBSCRIBE)
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    return NULL;
}

static void need(floor_t *f, int rc) {
    if (rc != ACL_SUCCESS) {
        const char *text = f->api.aclGetRecentErrMsg();
        fprintf(stderr, "C floor: %d %s\n", rc, text ? text : "");
        abort();
    }
}

static void send_one(floor_t *f, channel *ch) {
    uint32_t i = (uint32_t)(ch->sent++ % f->config.buffers);
    if (f->config.copy_in)
        need(f, f->api.aclrtMemcpy(ch->memory[i], f->picture_size, ch->pixels + i * f->picture_size, f->picture_size,
                                   ACL_MEMCPY_HOST_TO_DEVICE));
    need(f, f->api.aclvencSendFrame(ch->desc, ch->pictures[i], NULL, f->frame_config, ch));
}

/* Send `frames` on the first channel, `batch` at a time, and wait for all of them. `result` is what this call added. */
EXPORT void floor_run(floor_t *f, uint64_t frames, uint32_t batch, floor_result *result) {
    channel *ch = &f->channels[0];
    floor_result before = ch->result;
    uint64_t base = f->done, sent = 0;
    f->api.aclrtSetCurrentContext(f->context);
    while (sent < frames) {
        uint32_t now = frames - sent < batch ? (uint32_t)(frames - sent) : batch;
        /* The oldest `now` of the buffers must be free again: serially everything sent before is. */
        uint64_t free_from =
            f->config.threaded ? (sent + now > f->config.buffers ? sent + now - f->config.buffers : 0) : sent;
        wait_for(f, base + free_from);
        for (uint32_t i = 0; i < now; i++)
            send_one(f, ch);
        sent += now;
    }
    wait_for(f, base + frames);
    result->frames = ch->result.frames - before.frames;
    result->bytes = ch->result.bytes - before.bytes;
    result->checksum = ch->result.checksum;
}

/* Hand `frames` to each channel without waiting for any. */
EXPORT void floor_queue(floor_t *f, uint64_t frames) {
    f->api.aclrtSetCurrentContext(f->context);
    for (uint32_t c = 0; c < f->config.channels; c++)
        for (uint64_t i = 0; i < frames; i++)
            send_one(f, &f->channels[c]);
}

/* What came out of all channels so far. */
EXPORT void floor_total(const floor_t *f, floor_result *total) {
    memset(total, 0, sizeof *total);
    for (uint32_t c = 0; c < f->config.channels; c++) {
        total->frames += f->channels[c].result.frames;
        total->bytes += f->channels[c].result.bytes;
    }
}

static void open_channel(floor_t *f, channel *ch) {
    const device_api *api = &f->api;
    const floor_config *c = &f->config;
    ch->owner = f;
    ch->result.checksum = 1;
    ch->output = malloc((size_t)c->outputs * OUTPUT);
    ch->pixels = calloc(c->copy_in ? c->buffers : 1, f->picture_size);
    ch->pictures = calloc(c->buffers, sizeof *ch->pictures);
    ch->memory = calloc(c->buffers, sizeof *ch->memory);
    if (!ch->output || !ch->pixels || !ch->pictures || !ch->memory)
        abort();
    if (c->copy_in)
        memset(ch->pixels, 0x5a, c->buffers * f->picture_size); /* not the kernel's one page of zeros */
    ch->desc = api->aclvencCreateChannelDesc();
    need(f, api->aclvencSetChannelDescThreadId(ch->desc, (uint64_t)(c->threaded ? f->thread : pthread_self())));
    need(f, api->aclvencSetChannelDescCallback(ch->desc, callback));
    need(f, api->aclvencSetChannelDescEnType(ch->desc, H265_MAIN_LEVEL));
    need(f, api->aclvencSetChannelDescPicFormat(ch->desc, PIXEL_FORMAT_YUV_SEMIPLANAR_420));
    need(f, api->aclvencSetChannelDescPicWidth(ch->desc, c->width));
    need(f, api->aclvencSetChannelDescPicHeight(ch->desc, c->height));
    need(f, api->aclvencSetChannelDescKeyFrameInterval(ch->desc, 65536));
    need(f, api->aclvencCreateChannel(ch->desc));
    for (uint32_t i = 0; i < c->buffers; i++) {
        ch->pictures[i] = api->acldvppCreatePicDesc();
        need(f, api->acldvppMalloc(&ch->memory[i], f->picture_size));
        need(f, api->acldvppSetPicDescData(ch->pictures[i], ch->memory[i]));
        need(f, api->acldvppSetPicDescSize(ch->pictures[i], (uint32_t)f->picture_size));
        need(f, api->acldvppSetPicDescWidthStride(ch->pictures[i], c->width));
    }
}

EXPORT floor_t *floor_open(const char *device_path, const floor_config *config) {
    floor_t *f = calloc(1, sizeof *f);
    if (f == NULL || config->channels == 0 || config->outputs == 0 || config->buffers == 0 ||
        config->buffers > MAX_BUFFERS || config->width % 16 != 0 || device_load(device_path, &f->api) != 0) {
        free(f);
        return NULL;
    }
    f->config = *config;
    f->picture_size = (size_t)config->width * config->height * 3 / 2;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->progress, NULL);
    int rc = f->api.aclInit(NULL);
    if (rc != ACL_ERROR_REPEAT_INITIALIZE)
        need(f, rc);
    need(f, f->api.aclrtCreateContext(&f->context, 0));
    if (config->threaded && pthread_create(&f->thread, NULL, report, f) != 0)
        abort();
    f->frame_config = f->api.aclvencCreateFrameConfig();
    f->channels = calloc(config->channels, sizeof *f->channels);
    for (uint32_t c = 0; c < config->channels; c++)
        open_channel(f, &f->channels[c]);
    return f;
}

EXPORT void floor_close(floor_t *f) {
    f->api.aclrtSetCurrentContext(f->context);
    for (uint32_t c = 0; c < f->config.channels; c++) {
        channel *ch = &f->channels[c];
        need(f, f->api.aclvencDestroyChannel(ch->desc));
        need(f, f->api.aclvencDestroyChannelDesc(ch->desc));
        for (uint32_t i = 0; i < f->config.buffers; i++) {
            need(f, f->api.acldvppDestroyPicDesc(ch->pictures[i]));
            need(f, f->api.acldvppFree(ch->memory[i]));
        }
        free(ch->pictures);
        free(ch->memory);
        free(ch->pixels);
        free(ch->output);
    }
    atomic_store(&f->stop, 1);
    if (f->config.threaded)
        pthread_join(f->thread, NULL);
    need(f, f->api.aclvencDestroyFrameConfig(f->frame_config));
    need(f, f->api.aclrtDestroyContext(f->context));
    pthread_cond_destroy(&f->progress);
    pthread_mutex_destroy(&f->lock);
    free(f->channels);
    free(f);
}

#ifdef FLOOR_PROGRAM
static uint64_t cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int main(int argc, char **argv) {
    if (argc != 9) {
        fprintf(stderr, "use: floor DEVICE serial|threaded FRAMES WIDTH HEIGHT BUFFERS BATCH checksums|plain\n");
        return 2;
    }
    floor_config config = {.channels = 1,
                           .width = (uint32_t)atoi(argv[4]),
                           .height = (uint32_t)atoi(argv[5]),
                           .buffers = (uint32_t)atoi(argv[6]),
                           .outputs = 1,
                           .threaded = strcmp(argv[2], "threaded") == 0,
                           .copy_in = 1,
                           .copy_out = 1,
                           .checksums = strcmp(argv[8], "checksums") == 0};
    floor_t *f = floor_open(argv[1], &config);
    if (f == NULL)
        return 1;
    floor_result result;
    uint64_t cpu = cpu_ns(), wall = now_ns();
    floor_run(f, strtoull(argv[3], NULL, 10), (uint32_t)atoi(argv[7]), &result);
    wall = now_ns() - wall;
    cpu = cpu_ns() - cpu;
    floor_close(f);
    printf("{\"frames\": %llu, \"bytes\": %llu, \"checksum\": %llu, \"cpu_ns\": %llu, \"wall_ns\": %llu}\n",
           (unsigned long long)result.frames, (unsigned long long)result.bytes, (unsigned long long)result.checksum,
           (unsigned long long)cpu, (unsigned long long)wall);
    return 0;
}
#endif
