// SPDX-License-Identifier: Apache-2.0
/* Options, selection by environment or by call, reset, fork. */
#include "sim.h"
#include "codec.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

sim_options sim_option = {
#define X(name, initial, min, max) .name = (initial),
    SIM_OPTIONS(X)
#undef X
};

typedef struct option_entry {
    const char *name;
    size_t offset;
    uint64_t initial, min, max;
} option_entry;

static const option_entry entries[] = {
#define X(name, initial, min, max) {#name, offsetof(sim_options, name), initial, min, max},
    SIM_OPTIONS(X)
#undef X
};
#define OPTION_COUNT (sizeof entries / sizeof entries[0])

static _Atomic uint64_t *value_of(const option_entry *entry) {
    return (_Atomic uint64_t *)(void *)((char *)&sim_option + entry->offset);
}

static const option_entry *find_option(const char *name, size_t length) {
    for (size_t i = 0; i < OPTION_COUNT; i++)
        if (strlen(entries[i].name) == length && strncmp(entries[i].name, name, length) == 0)
            return &entries[i];
    return NULL;
}

static int set_option(const char *name, size_t length, uint64_t value) {
    const option_entry *entry = find_option(name, length);
    if (entry == NULL || value < entry->min || value > entry->max)
        return -1;
    atomic_store(value_of(entry), value);
    return 0;
}

int aclsim_set_option(const char *name, uint64_t value) {
    if (name == NULL || set_option(name, strlen(name), value) != 0)
        return -1;
    sim_channel_kick_all();
    sim_mpi_kick_all();
    return 0;
}

uint64_t aclsim_get_option(const char *name) {
    const option_entry *entry = name != NULL ? find_option(name, strlen(name)) : NULL;
    return entry != NULL ? atomic_load(value_of(entry)) : 0;
}

const char *aclsim_option_name(size_t index) {
    return index < OPTION_COUNT ? entries[index].name : NULL;
}

/* ---- selection --------------------------------------------------------------------------------------- */

const char *aclsim_soc_name(size_t index) {
    return sim_profile_name(index);
}

int aclsim_set_soc(const char *name) {
    const sim_profile *profile = sim_profile_find(name != NULL ? name : secure_getenv("ASCEND_VENC_SIM_SOC"));
    if (profile == NULL)
        return -1;
    if (profile == sim_profile_get())
        return 0;
    if (sim_devices_in_use(0))
        return -1;
    sim_profile_set(profile);
    return 0;
}

int aclsim_set_devices(uint32_t count) {
    if (count > SIM_MAX_DEVICES || sim_devices_in_use((int32_t)count))
        return -1;
    sim_device_count_set(count);
    return 0;
}

const char *aclsim_codec_version(void) {
    return sim_codec_version();
}

/* ---- environment ----------------------------------------------------------------------------------------- */

static bool env_is_on(const char *name) {
    const char *value = secure_getenv(name);
    return value != NULL && value[0] != '\0' && strcmp(value, "0") != 0;
}

/* A decimal number that fills the text up to `end`. */
static bool read_number(const char *text, const char *end, uint64_t *number) {
    char *behind;
    errno = 0;
    *number = *text >= '0' && *text <= '9' ? strtoull(text, &behind, 10) : 0; /* it would take signs and spaces */
    return *text >= '0' && *text <= '9' && behind == end && errno == 0;
}

static void read_options(const char *text) {
    for (size_t length; text != NULL && *text != '\0'; text += length + (text[length] == ',')) {
        length = strcspn(text, ",");
        const char *equals = memchr(text, '=', length);
        uint64_t value;
        if (equals == NULL || !read_number(equals + 1, text + length, &value) ||
            set_option(text, (size_t)(equals - text), value) != 0)
            fprintf(stderr,
                    "ascend simulated device: ASCEND_VENC_SIM_OPTIONS: \"%.*s\" is no option=value in range, and is "
                    "left out\n",
                    (int)length, text);
    }
}

static uint32_t read_devices(const char *text) {
    uint64_t count;
    if (text == NULL || text[0] == '\0')
        return 1;
    /* What is none is no device: whoever asks for one is told of the variable. */
    return read_number(text, text + strlen(text), &count) && count <= SIM_MAX_DEVICES ? (uint32_t)count : 0;
}

static void read_environment(void) {
    sim_profile_set(sim_profile_find(secure_getenv("ASCEND_VENC_SIM_SOC"))); /* NULL if unknown: aclInit says so */
    sim_device_count_set(read_devices(secure_getenv("ASCEND_VENC_SIM_DEVICES")));
    atomic_store(&sim_strict, env_is_on("ASCEND_VENC_SIM_STRICT"));
    atomic_store(&sim_log_on, env_is_on("ASCEND_VENC_SIM_LOG"));
    for (size_t i = 0; i < OPTION_COUNT; i++)
        atomic_store(value_of(&entries[i]), entries[i].initial);
    read_options(secure_getenv("ASCEND_VENC_SIM_OPTIONS"));
    const char *trace = secure_getenv("ASCEND_VENC_SIM_TRACE");
    if (trace != NULL && trace[0] != '\0' && aclsim_trace(trace) != 0)
        fprintf(stderr,
                "ascend simulated device: ASCEND_VENC_SIM_TRACE: \"%s\" cannot be written (%s): nothing is traced\n",
                trace, strerror(errno));
}

/* ---- reset and fork ---------------------------------------------------------------------------------------- */

int aclsim_reset(void) {
    bool clean = sim_venc_reset();
    sim_mpi_reset();
    sim_stream_reset();
    sim_report_reset();
    sim_runtime_reset();
    sim_handle_reset();
    sim_memory_reset();
    sim_entry_reset();
    aclsim_clear_reports();
    read_environment();
    return clean ? 0 : -1;
}

/*
 * The child of fork(): no thread of ours exists, and a lock may be held by one that did. Everything of
 * the parent is forgotten, nothing is freed; the child may begin anew.
 */
static void after_fork(void) {
    sim_entry_after_fork();
    sim_strict_after_fork();
    sim_handle_after_fork();
    sim_memory_after_fork();
    sim_copy_after_fork();
    sim_venc_after_fork();
    sim_codec_choice_after_fork();
    sim_mpi_after_fork();
    sim_mpi_epoll_after_fork();
    sim_mpi_module_after_fork();
    sim_stream_after_fork();
    sim_report_after_fork();
    sim_runtime_after_fork();
    sim_handle_reset();
    sim_runtime_reset();
    sim_live_reset();
}

__attribute__((constructor)) static void load(void) {
    read_environment();
    pthread_atfork(NULL, NULL, after_fork);
}
