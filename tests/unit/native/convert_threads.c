// SPDX-License-Identifier: Apache-2.0
/*
 * Converters on several threads at once, one of them shared, while others come and go: every picture
 * equals the one that a converter without tasks makes. Linked with base, load/paths and convert alone.
 * Usage: convert_threads <libswscale or ""> <libyuv or ""> <pictures>. Prints "ok", or "absent" without a library.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <unistd.h>

#include "avenc.h"

enum { WIDTH = 960, HEIGHT = 544, THREADS = 4, OUT = WIDTH * HEIGHT * 3 / 2 };

static avenc_converter_config config = {
    .source = AVENC_SOURCE_RGB24, .pic_format = 1, .width = WIDTH, .height = HEIGHT, .threads = 2};
static uint8_t source[WIDTH * HEIGHT * 3], expected[OUT];
static avenc_converter *shared;
static int pictures;

static int convert(avenc_converter *converter, uint8_t *into) {
    const uint8_t *const planes[3] = {source};
    const size_t strides[3] = {WIDTH * 3};
    return avenc_converter_convert(converter, planes, strides, into, WIDTH, into + WIDTH * HEIGHT, WIDTH);
}

static void *work(void *number) {
    uint8_t *into = malloc(OUT);
    intptr_t wrong = 0;
    for (int i = 0; i < pictures; i++) {
        avenc_converter *own = NULL;
        if ((intptr_t)number % 2 && avenc_converter_create(&config, &own) != AVENC_OK)
            wrong++;
        memset(into, 1, OUT);
        if (convert(own ? own : shared, into) != AVENC_OK || memcmp(into, expected, OUT) != 0)
            wrong++;
        avenc_converter_destroy(own);
    }
    free(into);
    return (void *)wrong;
}

int main(int argc, char **argv) {
    if (argc != 4)
        return 2;
    config.swscale_path = argv[1][0] ? argv[1] : NULL;
    config.libyuv_path = argv[2][0] ? argv[2] : NULL;
    pictures = atoi(argv[3]);
    for (size_t i = 0; i < sizeof source; i++)
        source[i] = (uint8_t)(i * 2654435761u >> 13);
    for (config.matrix = AVENC_BT601; config.matrix <= AVENC_BT709; config.matrix++) {
        avenc_converter *alone = NULL;
        config.threads = 1;
        if (avenc_converter_create(&config, &alone) == AVENC_E_NO_CONVERTER) {
            puts("absent");
            return 0;
        }
        if (!alone || convert(alone, expected) != AVENC_OK)
            return 3;
        avenc_converter_destroy(alone);
        config.threads = 2;
        if (avenc_converter_create(&config, &shared) != AVENC_OK)
            return 4;
        pthread_t threads[THREADS];
        for (intptr_t i = 0; i < THREADS; i++)
            pthread_create(&threads[i], NULL, work, (void *)i);
        void *wrong = NULL;
        intptr_t sum = 0;
        for (int i = 0; i < THREADS; i++) {
            pthread_join(threads[i], &wrong);
            sum += (intptr_t)wrong;
        }
        avenc_converter_destroy(shared);
        if (sum) {
            fprintf(stderr, "%d wrong pictures: %s\n", (int)sum, avenc_last_failure()->detail);
            return 5;
        }
    }
    for (int i = 0; i < 2000 && avenc_live(AVENC_LIVE_THREAD) != 0; i++)
        usleep(5000); /* the task queue's threads end by themselves */
    for (int kind = 0; kind < AVENC_LIVE_COUNT; kind++)
        if (avenc_live(kind) != 0) {
            fprintf(stderr, "%s: %d alive\n", avenc_live_name(kind), (int)avenc_live(kind));
            return 6;
        }
    puts("ok");
    return 0;
}
