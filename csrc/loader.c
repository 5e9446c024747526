// SPDX-License-Identifier: Apache-2.0
/*
 * Find AscendCL, load it, and fill one table of function pointers from ACL_FUNCTIONS.
 *
 * Two files are needed: the runtime (libascendcl.so, or libacl_rt.so) and the media library
 * (libacl_dvpp.so). Toolkit-only installs have the first without the second; devlib folders hold
 * link-time stubs of both, whose every function returns 100039. A single file may be both: so is the
 * simulated device, which comes through the same door.
 *
 * Also libyuv and libswscale for convert.c: the only other libraries that the engine loads.
 *
 * Security: never a relative path, environment variables ignored in a set-user-id process, and a
 * soname search is watched, because an empty element of LD_LIBRARY_PATH means the current folder.
 */
#define _GNU_SOURCE
#include "engine.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOAD_FLAGS (RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE)

struct avenc_library {
    acl_api api;
    avenc_library_info info;
    char runtime_path[PATH_MAX];
    char media_path[PATH_MAX];
    char found_by[128];
    char fallback[2048];
    char warnings[2048];
    void *runtime;
    void *media;
    int finalize_owed; /* guarded by the lock of device.c: our aclInit was the one that counted */
    avenc_library *next;
};

/* What one search has tried, and the safety warnings on the way. */
typedef struct search {
    char tried[1800];
    char warnings[1024];
    int strict;
    bool found_broken; /* a file was there but could not be used */
} search;

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static avenc_library *registry;

/* ---- the list -------------------------------------------------------------------------------- */

typedef struct function_entry {
    const char *name;
    size_t offset; /* of the pointer in acl_api */
    bool media;
    bool required;
} function_entry;

enum { RUNTIME = 0, MEDIA = 1, OPTIONAL = 0, REQUIRED = 1 };

static const function_entry functions[] = {
#define ENTRY(library, presence, ret, name, params) {#name, offsetof(acl_api, name), library, presence},
    ACL_FUNCTIONS(ENTRY)
#undef ENTRY
};
#define FUNCTION_COUNT (sizeof functions / sizeof functions[0])

const char *avenc_function_name(size_t index) {
    return index < FUNCTION_COUNT ? functions[index].name : NULL;
}

const char *avenc_function_library(size_t index) {
    return index < FUNCTION_COUNT ? (functions[index].media ? "MEDIA" : "RUNTIME") : NULL;
}

int avenc_function_required(size_t index) {
    return index < FUNCTION_COUNT && functions[index].required;
}

/* ---- text ------------------------------------------------------------------------------------ */

static void append(char *text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void append(char *text, size_t size, const char *format, ...) {
    size_t used = strlen(text);
    va_list args;
    va_start(args, format);
    vsnprintf(text + used, size - used, format, args);
    va_end(args);
}

static const char *dl_text(void) {
    const char *text = dlerror();
    return text ? text : "unknown reason";
}

static const char *safe_getenv(const char *name) {
    const char *value = getauxval(AT_SECURE) ? NULL : getenv(name);
    return value && value[0] ? value : NULL;
}

/* ---- paths ----------------------------------------------------------------------------------- */

static void resolved_path(void *handle, const char *fallback, char out[PATH_MAX]) {
    struct link_map *map = NULL;
    const char *name = fallback;
    if (dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0 && map && map->l_name && map->l_name[0])
        name = map->l_name;
    if (!realpath(name, out))
        snprintf(out, PATH_MAX, "%s", name);
}

/* False: refused. A file that others may replace is code that others may run. */
static bool path_is_safe(search *state, const char *path) {
    char folder[PATH_MAX];
    struct stat file_stat, folder_stat;
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (!slash || stat(path, &file_stat) != 0)
        return true;
    *(slash == folder ? slash + 1 : slash) = '\0';
    bool writable = (file_stat.st_mode & S_IWOTH) != 0;
    if (stat(folder, &folder_stat) == 0 && (folder_stat.st_mode & S_IWOTH) && !(folder_stat.st_mode & S_ISVTX))
        writable = true;
    if (!writable)
        return true;
    if (state->strict) {
        append(state->tried, sizeof state->tried, "\n  %s: refused, it or its folder is writable by everybody", path);
        state->found_broken = true;
        return false;
    }
    append(state->warnings, sizeof state->warnings, "%s or its folder is writable by everybody\n", path);
    return true;
}

/* Load an absolute path. NULL with a line in `tried`; *exists tells a missing file from a broken one. */
static void *load_file(search *state, const char *path, bool *exists) {
    *exists = access(path, F_OK) == 0;
    if (!*exists) {
        append(state->tried, sizeof state->tried, "\n  %s: %s", path, strerror(errno));
        return NULL;
    }
    if (!path_is_safe(state, path))
        return NULL;
    void *handle = dlopen(path, LOAD_FLAGS);
    if (!handle) {
        append(state->tried, sizeof state->tried, "\n  %s: present, but cannot be loaded: %s", path, dl_text());
        state->found_broken = true;
    }
    return handle;
}

static bool library_path_has_empty_element(void) {
    const char *value = safe_getenv("LD_LIBRARY_PATH");
    if (!value)
        return false;
    size_t length = strlen(value);
    return value[0] == ':' || value[length - 1] == ':' || strstr(value, "::");
}

/* Load by soname through the system's search. A library that is found but broken is told apart. */
static void *load_soname(search *state, const char *soname) {
    void *handle = dlopen(soname, LOAD_FLAGS);
    if (handle) {
        if (library_path_has_empty_element())
            append(
                state->warnings, sizeof state->warnings,
                "LD_LIBRARY_PATH has an empty element, which means the current folder; %s was found by that search\n",
                soname);
        return handle;
    }
    const char *text = dl_text();
    size_t length = strlen(soname);
    bool absent = strncmp(text, soname, length) == 0 && strstr(text, "No such file or directory");
    append(state->tried, sizeof state->tried, "\n  %s by the system's search: %s", soname, absent ? "not found" : text);
    if (!absent)
        state->found_broken = true;
    return NULL;
}

/* The runtime library of a folder: libascendcl.so, or libacl_rt.so where that is missing or no ELF file. */
static void *load_runtime_from(search *state, const char *folder, bool *present) {
    static const char *const names[] = {"libascendcl.so", "libacl_rt.so"};
    bool broken_before = state->found_broken;
    *present = false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[PATH_MAX];
        bool exists = false;
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        void *handle = load_file(state, path, &exists);
        *present = *present || exists;
        if (handle) {
            state->found_broken = broken_before;
            return handle;
        }
    }
    return NULL;
}

/* ---- filling a library ------------------------------------------------------------------------- */

static bool has_media(void *handle) {
    return dlsym(handle, "aclvencCreateChannel") != NULL;
}

/* The media library that belongs to the runtime: the same file, its neighbour, or by soname. */
static void *load_media(search *state, avenc_library *library) {
    if (has_media(library->runtime))
        return library->runtime;
    char path[PATH_MAX];
    bool exists = false;
    snprintf(path, sizeof path - 16, "%s", library->runtime_path);
    char *slash = strrchr(path, '/');
    if (slash) {
        strcpy(slash + 1, "libacl_dvpp.so");
        void *handle = load_file(state, path, &exists);
        if (handle || exists)
            return handle;
    }
    return load_soname(state, "libacl_dvpp.so");
}

static int resolve_functions(avenc_library *library) {
    char missing[1024] = "";
    for (size_t i = 0; i < FUNCTION_COUNT; i++) {
        const function_entry *entry = &functions[i];
        void *symbol = dlsym(entry->media ? library->media : library->runtime, entry->name);
        if (!symbol) /* on some systems the two libraries share the list differently */
            symbol = dlsym(entry->media ? library->runtime : library->media, entry->name);
        if (!symbol && entry->required)
            append(missing, sizeof missing, "%s%s (%s)", missing[0] ? ", " : "", entry->name,
                   entry->media ? library->media_path : library->runtime_path);
        memcpy((char *)&library->api + entry->offset, &symbol, sizeof symbol);
    }
    if (missing[0])
        return avi_fail(AVENC_E_SYMBOL, "dlsym",
                        "the library lacks functions that every version with video encoding has: %s", missing);
    return AVENC_OK;
}

/* Ask for the number of devices; link-time stubs give themselves away here. */
static int count_devices(avenc_library *library) {
    const acl_api *api = &library->api;
    uint32_t count = 0;
    const char *call = "aclrtGetDeviceCount";
    int rc = api->aclrtGetDeviceCount(&count);
    if (rc == ACL_ERROR_UNINITIALIZE) {
        call = "aclInit";
        rc = api->aclInit(NULL);
        if (rc == ACL_SUCCESS)
            library->finalize_owed = 1;
        if (rc == ACL_SUCCESS || rc == ACL_ERROR_REPEAT_INITIALIZE) {
            call = "aclrtGetDeviceCount";
            rc = api->aclrtGetDeviceCount(&count);
        }
    }
    library->info.device_count = rc == ACL_SUCCESS ? count : 0;
    if (rc == ACL_SUCCESS || rc == ACL_ERROR_RT_NO_DEVICE)
        return AVENC_OK;
    if (rc == ACL_ERROR_COMPILING_STUB_MODE)
        return avi_fail(AVENC_E_STUB, call,
                        "%s is a link-time stub (it returned 100039): the search path leads to a devlib or stub folder "
                        "of the toolkit. Take that folder out of LD_LIBRARY_PATH, or source the toolkit's set_env.sh",
                        library->runtime_path);
    avi_fail_acl(api, rc, call);
    char text[512];
    snprintf(text, sizeof text, "%s", avenc_last_failure()->detail);
    return avi_fail(AVENC_E_BROKEN, call,
                    "%s is loaded, but %s returned %d%s%s: check the driver (npu-smi info), the permissions of "
                    "/dev/davinci* and that CANN and the driver fit each other",
                    library->runtime_path, call, rc, text[0] ? ": " : "", text);
}

/* Stubs are recognised before the symbol check: a stub folder may well be incomplete too. */
static int refuse_stub(avenc_library *library) {
    aclError (*get_count)(uint32_t *) = NULL;
    void *symbol = dlsym(library->runtime, "aclrtGetDeviceCount");
    memcpy(&get_count, &symbol, sizeof symbol);
    uint32_t count = 0;
    if (!get_count || get_count(&count) != ACL_ERROR_COMPILING_STUB_MODE)
        return AVENC_OK;
    library->api.aclrtGetDeviceCount = get_count;
    return count_devices(library);
}

static avenc_library *find_registered(const char *runtime_path) {
    for (avenc_library *library = registry; library; library = library->next)
        if (strcmp(library->runtime_path, runtime_path) == 0)
            return library;
    return NULL;
}

/*
 * Turn a runtime handle into a registered library. The registry lock is held. On failure the
 * library's handles stay open: RTLD_NODELETE would keep them anyway.
 */
static int adopt(search *state, void *runtime, const char *found_by, const char *name, avenc_library **out) {
    avenc_library *library = calloc(1, sizeof *library);
    if (!library)
        return avi_fail(AVENC_E_NOMEM, NULL, "out of memory");
    library->runtime = runtime;
    resolved_path(runtime, name, library->runtime_path);
    avenc_library *known = find_registered(library->runtime_path);
    if (known) {
        free(library);
        int rc = count_devices(known);
        if (rc == AVENC_OK)
            *out = known;
        return rc;
    }
    int rc = refuse_stub(library);
    if (rc == AVENC_OK) {
        bool broken_before = state->found_broken;
        state->found_broken = false;
        library->media = load_media(state, library);
        if (!library->media) {
            if (state->found_broken)
                rc =
                    avi_fail(AVENC_E_BROKEN, "dlopen", "%s is loaded, but the media library beside it is not usable:%s",
                             library->runtime_path, state->tried);
            else
                rc = avi_fail(AVENC_E_MEDIA_MISSING, "dlopen",
                              "%s is loaded, but libacl_dvpp.so is missing: this is a toolkit without the media "
                              "package. Install the CANN package of your chip that holds libacl_dvpp.so. Tried:%s",
                              library->runtime_path, state->tried);
        }
        state->found_broken = broken_before;
    }
    if (rc == AVENC_OK) {
        resolved_path(library->media, name, library->media_path);
        rc = resolve_functions(library);
    }
    if (rc == AVENC_OK)
        rc = count_devices(library);
    if (rc != AVENC_OK) {
        free(library);
        return rc;
    }
    library->info.simulated = dlsym(runtime, "aclsim_set_codec") != NULL;
    snprintf(library->found_by, sizeof library->found_by, "%s", found_by);
    snprintf(library->warnings, sizeof library->warnings, "%s", state->warnings);
    library->info.runtime_path = library->runtime_path;
    library->info.media_path = library->media_path;
    library->info.found_by = library->found_by;
    library->info.fallback = library->fallback;
    library->info.warnings = library->warnings;
    library->next = registry;
    registry = library;
    *out = library;
    return AVENC_OK;
}

/* ---- the three ways ---------------------------------------------------------------------------- */

/* An absolute path: the runtime library itself, or the folder that holds it. */
static int open_path(search *state, const char *path, const char *found_by, avenc_library **out) {
    struct stat status;
    if (path[0] != '/')
        return avi_fail(AVENC_E_NOT_FOUND, NULL, "%s must be an absolute path, got \"%s\"", found_by, path);
    bool present = false;
    void *handle = stat(path, &status) == 0 && S_ISDIR(status.st_mode) ? load_runtime_from(state, path, &present)
                                                                       : load_file(state, path, &present);
    if (!handle)
        return avi_fail(present ? AVENC_E_BROKEN : AVENC_E_NOT_FOUND, "dlopen",
                        "%s names no usable AscendCL library:%s", found_by, state->tried);
    return adopt(state, handle, found_by, path, out);
}

/* A CANN whose environment was not set: its libraries would load, but not find their kernels. */
static bool installed_without_environment(char *folder, size_t size) {
    static const char *const roots[] = {
        "/usr/local/Ascend/ascend-toolkit/latest",
        "/usr/local/Ascend/nnrt/latest",
        "/usr/local/Ascend/nnae/latest",
        "/usr/local/Ascend/cann",
    };
    for (size_t i = 0; i < sizeof roots / sizeof roots[0]; i++) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/lib64/libascendcl.so", roots[i]);
        if (access(path, F_OK) == 0) {
            snprintf(folder, size, "%s", roots[i]);
            return true;
        }
    }
    return false;
}

static int open_ascend(search *state, avenc_library **out) {
    static const char *const sonames[] = {"libascendcl.so", "libacl_rt.so"};
    static const char *const roots[] = {"ASCEND_TOOLKIT_HOME", "ASCEND_HOME_PATH"};
    char text[PATH_MAX];

    const char *explicit_path = safe_getenv("ASCEND_VENC_LIBRARY");
    if (explicit_path)
        return open_path(state, explicit_path, "$ASCEND_VENC_LIBRARY", out);

    /* Whatever the process already uses comes first: a second copy would have its own report queue. */
    for (size_t i = 0; i < sizeof sonames / sizeof sonames[0]; i++) {
        void *handle = dlopen(sonames[i], LOAD_FLAGS | RTLD_NOLOAD);
        if (handle)
            return adopt(state, handle, "already loaded in this process", sonames[i], out);
    }

    for (size_t i = 0; i < sizeof roots / sizeof roots[0]; i++) {
        const char *root = safe_getenv(roots[i]);
        if (!root)
            continue;
        if (root[0] != '/') {
            append(state->tried, sizeof state->tried, "\n  $%s=%s: ignored, not an absolute path", roots[i], root);
            continue;
        }
        char folder[PATH_MAX];
        bool present = false;
        snprintf(folder, sizeof folder, "%s/lib64", root);
        void *handle = load_runtime_from(state, folder, &present);
        snprintf(text, 64, "$%s", roots[i]);
        if (handle)
            return adopt(state, handle, text, folder, out);
        if (present)
            return avi_fail(AVENC_E_BROKEN, "dlopen", "CANN is present but cannot be used:%s", state->tried);
    }

    for (size_t i = 0; i < sizeof sonames / sizeof sonames[0]; i++) {
        void *handle = load_soname(state, sonames[i]);
        if (handle)
            return adopt(state, handle, "the system's library search", sonames[i], out);
    }
    if (state->found_broken)
        return avi_fail(AVENC_E_BROKEN, "dlopen", "CANN is present but cannot be used:%s", state->tried);
    if (installed_without_environment(text, sizeof text))
        return avi_fail(AVENC_E_BROKEN, NULL,
                        "CANN is installed in %s, but its environment is not set: run \"source %s/set_env.sh\" first "
                        "(or choose backend=\"sim\"). Tried:%s",
                        text, text, state->tried);
    return avi_fail(AVENC_E_NOT_FOUND, NULL,
                    "no AscendCL library found. On an Ascend host source CANN's set_env.sh, or set ASCEND_VENC_LIBRARY "
                    "to the absolute path of libascendcl.so. Tried:%s",
                    state->tried);
}

/* The simulated device takes its chip and codec from functions of its own, before it is first used. */
static int configure_simulated(avenc_library *library, const avenc_library_options *options) {
    static bool soc_overridden;
    int (*set_text)(const char *) = NULL;
    void *symbol = dlsym(library->runtime, "aclsim_set_codec");
    if (symbol && options->sim_codec) {
        memcpy(&set_text, &symbol, sizeof symbol);
        set_text(options->sim_codec);
    }
    symbol = dlsym(library->runtime, "aclsim_set_soc");
    if (symbol && (options->sim_soc || soc_overridden)) {
        memcpy(&set_text, &symbol, sizeof symbol);
        if (set_text(options->sim_soc) != 0)
            return avi_fail(AVENC_E_INVALID, "aclsim_set_soc",
                            "the simulated device cannot be a \"%s\": no such chip profile, or another one is in use "
                            "in this process",
                            options->sim_soc ? options->sim_soc : "(default)");
        soc_overridden = options->sim_soc != NULL;
    }
    return AVENC_OK;
}

static int open_simulated(search *state, const avenc_library_options *options, avenc_library **out) {
    bool present = false;
    if (!options->sim_path || options->sim_path[0] != '/')
        return avi_fail(AVENC_E_NOT_FOUND, NULL, "this build has no simulated device");
    void *handle = load_file(state, options->sim_path, &present);
    if (!handle)
        return avi_fail(AVENC_E_NOT_FOUND, "dlopen", "the simulated device cannot be loaded:%s", state->tried);
    /* Chip and number of devices are decided before the first call reaches it. */
    avenc_library probe = {.runtime = handle};
    int rc = configure_simulated(&probe, options);
    if (rc == AVENC_OK)
        rc = adopt(state, handle, "the simulated device", options->sim_path, out);
    return rc;
}

/* The search may end at the simulated device under the vendor's name: LD_LIBRARY_PATH leads there for programs in C. */
static int open_real(search *state, avenc_library **out) {
    int rc = open_ascend(state, out);
    if (rc == AVENC_OK && (*out)->info.simulated)
        return avi_fail(
            AVENC_E_NOT_FOUND, "dlopen",
            "no AscendCL library found: %s, by %s, is the simulated device's. Take its folder off the search "
            "path to find another one, or choose the backend \"sim\"",
            (*out)->runtime_path, (*out)->found_by);
    return rc;
}

int avenc_library_open(const avenc_library_options *options, avenc_library **library) {
    if (!options || !options->backend || !library)
        return avi_fail(AVENC_E_INVALID, __func__, "options, options.backend and library must not be NULL");
    search state = {.strict = options->strict_paths};
    avenc_library *found = NULL;
    const char *backend = options->backend;
    int rc;
    pthread_mutex_lock(&registry_lock);
    if (strcmp(backend, "sim") == 0) {
        rc = open_simulated(&state, options, &found);
    } else if (strcmp(backend, "ascend") == 0) {
        rc = open_real(&state, &found);
    } else if (strcmp(backend, "auto") == 0) {
        rc = open_real(&state, &found);
        if (rc == AVENC_E_NOT_FOUND || (rc == AVENC_OK && found->info.device_count == 0)) {
            char reason[sizeof found->fallback];
            if (rc == AVENC_OK)
                snprintf(reason, sizeof reason, "%s works but reports no device", found->runtime_path);
            else
                snprintf(reason, sizeof reason, "%s", avenc_last_failure()->detail);
            search sim_state = {.strict = options->strict_paths};
            rc = open_simulated(&sim_state, options, &found);
            if (rc == AVENC_OK)
                memcpy(found->fallback, reason, sizeof reason);
        }
    } else {
        rc = open_path(&state, backend, "backend", &found);
    }
    pthread_mutex_unlock(&registry_lock);
    if (rc == AVENC_OK)
        *library = found;
    return rc;
}

const acl_api *avenc_library_api(const avenc_library *library) {
    return &library->api;
}

const avenc_library_info *avenc_library_info_get(const avenc_library *library) {
    return &library->info;
}

int avenc_library_has(const avenc_library *library, const char *function) {
    for (size_t i = 0; i < FUNCTION_COUNT; i++) {
        if (strcmp(functions[i].name, function) == 0) {
            void *pointer;
            memcpy(&pointer, (const char *)&library->api + functions[i].offset, sizeof pointer);
            return pointer != NULL;
        }
    }
    return avi_fail(AVENC_E_INVALID, __func__, "\"%s\" is not in the list of functions", function);
}

/* ---- libraries that convert colours ------------------------------------------------------------ */

static pthread_mutex_t conversion_lock = PTHREAD_MUTEX_INITIALIZER;

/*
 * Wheels of some PyAV versions carry no RPATH: the libraries beside `path` are loaded first, again
 * until none is added. Only in a wheel's own folder of libraries, never in a system's.
 */
static void load_neighbours(const char *path) {
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (!slash || slash - folder < 5 || strncmp(slash - 5, ".libs", 5) != 0)
        return;
    *slash = '\0';
    for (int count = 0, before = -1; count > before;) {
        DIR *entries = opendir(folder);
        if (!entries)
            return;
        before = count;
        count = 0;
        for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
            char neighbour[PATH_MAX + NAME_MAX + 2];
            snprintf(neighbour, sizeof neighbour, "%s/%s", folder, entry->d_name);
            if (strstr(entry->d_name, ".so"))
                count += dlopen(neighbour, LOAD_FLAGS) != NULL;
        }
        closedir(entries);
    }
}

/* An absolute path, with its neighbours where it needs them. */
static void *load_wheel_file(search *state, const char *path) {
    bool exists = false;
    if (path[0] != '/') {
        append(state->tried, sizeof state->tried, "\n  %s: ignored, not an absolute path", path);
        return NULL;
    }
    if (access(path, F_OK) == 0 && path_is_safe(state, path)) {
        void *handle = dlopen(path, LOAD_FLAGS);
        if (handle)
            return handle;
        load_neighbours(path);
    }
    return load_file(state, path, &exists);
}

static const char *path_of(void *handle, const char *name) {
    char path[PATH_MAX];
    resolved_path(handle, name, path);
    return strdup(path);
}

/* 0: the library lacks a routine that every libyuv has had for many years. */
static bool adopt_libyuv(search *state, void *handle, const char *name, avi_libyuv *libyuv) {
    static const char *const limited[] = {"RAWToI420", "RGB24ToI420", "ABGRToI420", "ARGBToI420"};
    static const char *const full[] = {"RAWToJ420", "RGB24ToJ420", "ABGRToJ420", "ARGBToJ420"};
    for (size_t i = 0; i < sizeof limited / sizeof limited[0]; i++) {
        void *symbol = dlsym(handle, limited[i]);
        if (!symbol) {
            append(state->tried, sizeof state->tried, "\n  %s: has no function %s", name, limited[i]);
            return false;
        }
        memcpy(&libyuv->limited[i], &symbol, sizeof symbol);
        symbol = dlsym(handle, full[i]);
        memcpy(&libyuv->full[i], &symbol, sizeof symbol);
    }
    libyuv->path = path_of(handle, name);
    return libyuv->path != NULL;
}

const avi_libyuv *avi_libyuv_open(const char *path, char *why, size_t size) {
    static const char *const sonames[] = {"libyuv.so.0", "libyuv.so"};
    static avi_libyuv libyuv;
    search state = {0};
    pthread_mutex_lock(&conversion_lock);
    for (size_t i = 0; !libyuv.path && i < sizeof sonames / sizeof sonames[0]; i++) {
        void *handle = load_soname(&state, sonames[i]);
        if (handle)
            adopt_libyuv(&state, handle, sonames[i], &libyuv);
    }
    if (!libyuv.path && path) {
        void *handle = load_wheel_file(&state, path);
        if (handle)
            adopt_libyuv(&state, handle, path, &libyuv);
    }
    const avi_libyuv *found = libyuv.path ? &libyuv : NULL;
    pthread_mutex_unlock(&conversion_lock);
    append(why, size, "%s", state.tried);
    return found;
}

static bool adopt_swscale(search *state, void *handle, const char *name, avi_swscale *swscale) {
#define RESOLVE(type, function, params)                                                                                \
    {                                                                                                                  \
        void *symbol = dlsym(handle, #function); /* also finds what the library itself depends on */                   \
        memcpy(&swscale->function, &symbol, sizeof symbol);                                                            \
        if (!symbol) {                                                                                                 \
            append(state->tried, sizeof state->tried, "\n  %s: has no function %s", name, #function);                  \
            return false;                                                                                              \
        }                                                                                                              \
    }
    AVI_SWSCALE_FUNCTIONS(RESOLVE)
#undef RESOLVE
    swscale->path = path_of(handle, name);
    return swscale->path != NULL;
}

const avi_swscale *avi_swscale_open(const char *path, char *why, size_t size) {
    static const char *const sonames[] = {"libswscale.so.10", "libswscale.so.9", "libswscale.so.8",
                                          "libswscale.so.7",  "libswscale.so.6", "libswscale.so.5"};
    static avi_swscale swscale;
    search state = {0};
    pthread_mutex_lock(&conversion_lock);
    if (!swscale.path && path) {
        void *handle = load_wheel_file(&state, path);
        if (handle)
            adopt_swscale(&state, handle, path, &swscale);
    }
    for (size_t i = 0; !swscale.path && i < sizeof sonames / sizeof sonames[0]; i++) {
        void *handle = load_soname(&state, sonames[i]);
        if (handle)
            adopt_swscale(&state, handle, sonames[i], &swscale);
    }
    const avi_swscale *found = swscale.path ? &swscale : NULL;
    pthread_mutex_unlock(&conversion_lock);
    append(why, size, "%s", state.tried);
    return found;
}

/* The libraries stay loaded; aclInit was the parent's, so aclFinalize is not ours to call. */
void avi_loader_after_fork(void) {
    pthread_mutex_init(&registry_lock, NULL);
    pthread_mutex_init(&conversion_lock, NULL);
    for (avenc_library *library = registry; library; library = library->next)
        library->finalize_owed = 0;
}

int *avi_library_finalize_owed(avenc_library *library) {
    return &library->finalize_owed;
}
