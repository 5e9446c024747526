// SPDX-License-Identifier: Apache-2.0
/* argv: names of scenarios; none: all. After each of them nothing of the engine's or the loop's may be left. */
#include "scenario.h"

#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "loopback_port.h"

enum { MOST = 256 };

static scenario scenarios[MOST];
static int count;

void scenario_add(const char *name, void (*run)(void)) {
    if (count < MOST)
        scenarios[count++] = (scenario){name, run};
}

static int is_named(const char *name, int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], name))
            return 1;
    return argc == 1;
}

/* Native threads end what was released. */
static void nothing_left(void) {
    for (int kind = 0; kind < AVENC_LIVE_COUNT; kind++) {
        struct timespec pause = {.tv_nsec = 1000000};
        for (int tries = 0; avenc_live(kind) != 0 && tries < 20000; tries++)
            nanosleep(&pause, NULL);
        if (avenc_live(kind) != 0)
            fprintf(stderr, "%lld %s left\n", (long long)avenc_live(kind), avenc_live_name(kind));
        CHECK(avenc_live(kind) == 0);
    }
}

int main(int argc, char **argv) {
    int ran = 0;
    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < count; i++) {
        if (!is_named(scenarios[i].name, argc, argv))
            continue;
        fprintf(stderr, "%s\n", scenarios[i].name);
        alarm(60); /* the name of the last one is on stderr */
        scenarios[i].run();
        nothing_left();
        loop_check_clean();
        ran++;
    }
    if (!ran)
        return 2;
    puts("ok");
    return 0;
}
