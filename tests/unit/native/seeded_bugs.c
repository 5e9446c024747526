// SPDX-License-Identifier: Apache-2.0
/* One bug for each sanitizer to report, chosen by the first argument: a silent sanitizer looks like a clean program. */
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int shared;

static void *count(void *unused) {
    for (int i = 0; i < 1000; i++)
        shared++;
    return unused;
}

static void race(void) {
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, count, NULL);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
}

/* The volatile keeps the compiler from seeing what is done. */
int main(int argc, char **argv) {
    const char *bug = argc > 1 ? argv[1] : "none";
    volatile size_t size = 16;
    volatile int most = INT_MAX;
    unsigned char *memory = malloc(size);
    memset(memory, 1, size);
    if (strcmp(bug, "overflow") == 0)
        memory[size] = 1;
    if (strcmp(bug, "shift") == 0)
        most = 1 << (most - 1);
    if (strcmp(bug, "signed") == 0)
        most = most + 1;
    if (strcmp(bug, "race") == 0)
        race();
    free(memory);
    if (strcmp(bug, "use") == 0)
        most = memory[size - 1];
    if (strcmp(bug, "leak") == 0)
        memory = malloc(size);
    volatile unsigned char *last = memory;
    memory = NULL;
    last = NULL;
    (void)last;
    puts("ok");
    return most == 7;
}
