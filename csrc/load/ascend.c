// SPDX-License-Identifier: Apache-2.0
/*
 * Two files are needed: the runtime (libascendcl.so, or libacl_rt.so) and the media library
 * (libacl_dvpp.so). Toolkit-only installs have the first without the second; devlib folders hold
 * link-time stubs of both, whose every function returns 100039. A single file may be both: so is the
 * simulated device, which comes through the same door.
 */
#include "load/ascend.h"
#include "base/status.h"
#include "base/thread.h"
#include "load/paths.h"
#include "load/table.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What is said of a library. Made anew when something changes and never changed: readers take no lock. */
typedef struct snapshot {
    avenc_library_info info;
    char fallback[2048];
    struct snapshot *next;
} snapshot;

struct avenc_library {
    acl_api api;
    char runtime_path[PATH_MAX];
    char media_path[PATH_MAX];
    char found_by[128];
    char warnings[sizeof((avi_search *)0)->warnings];
    void *runtime;
    void *media;
    bool simulated;
    _Atomic(snapshot *) latest;
    snapshot *snapshots; /* all that there were: a reader may hold any */
    atomic_bool finalize_owed;
    _Atomic(avenc_library *) next; /* a child of fork() walks the list as it finds it */
};

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(avenc_library *) registry;

/* ---- loading its files --------------------------------------------------------------------------- */

/* The runtime library of a folder: libascendcl.so, or libacl_rt.so where that is missing or no ELF file. */
static void *load_runtime_from(avi_search *search, const char *folder, bool *present) {
    static const char *const names[] = {"libascendcl.so", "libacl_rt.so"};
    bool broken_before = search->found_broken;
    *present = false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[PATH_MAX];
        bool exists = false;
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        void *handle = avi_load_file(search, path, &exists);
        *present = *present || exists;
        if (handle) {
            search->found_broken = broken_before;
            return handle;
        }
    }
    return NULL;
}

/* ---- filling a library ------------------------------------------------------------------------- */

static bool has_media(void *handle) {
    return avi_symbol(handle, "aclvencCreateChannel") != NULL;
}

/* The media library that belongs to the runtime: the same file, its neighbour, or by soname. */
static void *load_media(avi_search *search, avenc_library *library) {
    if (has_media(library->runtime))
        return library->runtime;
    char path[PATH_MAX];
    bool exists = false;
    snprintf(path, sizeof path - 16, "%s", library->runtime_path);
    char *slash = strrchr(path, '/');
    if (slash) {
        strcpy(slash + 1, "libacl_dvpp.so");
        void *handle = avi_load_file(search, path, &exists);
        if (handle || exists)
            return handle;
    }
    return avi_load_soname(search, "libacl_dvpp.so");
}

/* Say this of the library from now on; fallback NULL: as before. The registry lock is held. */
static int say(avenc_library *library, uint32_t device_count, const char *fallback) {
    snapshot *latest = atomic_load(&library->latest), *made = library->snapshots;
    if (!fallback)
        fallback = latest ? latest->fallback : "";
    while (made && (made->info.device_count != device_count || strcmp(made->fallback, fallback) != 0))
        made = made->next;
    if (!made) {
        if (!(made = calloc(1, sizeof *made)))
            return avi_fail(AVENC_E_NOMEM, NULL, "out of memory");
        snprintf(made->fallback, sizeof made->fallback, "%s", fallback);
        made->info = (avenc_library_info){
            .simulated = library->simulated,
            .runtime_path = library->runtime_path,
            .media_path = library->media_path,
            .found_by = library->found_by,
            .fallback = made->fallback,
            .warnings = library->warnings,
            .device_count = device_count,
        };
        made->next = library->snapshots;
        library->snapshots = made;
    }
    atomic_store(&library->latest, made);
    return AVENC_OK;
}

static int fail_stub(const avenc_library *library, const char *call) {
    return avi_fail(AVENC_E_STUB, call,
                    "%s is a link-time stub (it returned 100039): the search path leads to a devlib or stub folder "
                    "of the toolkit. Take that folder out of LD_LIBRARY_PATH, or source the toolkit's set_env.sh",
                    library->runtime_path);
}

/*
 * Ask for the number of devices; link-time stubs give themselves away here. A failure leaves what others read as it
 * was. The registry lock is held.
 */
static int count_devices(avenc_library *library) {
    const acl_api *api = &library->api;
    uint32_t count = 0;
    const char *call = "aclrtGetDeviceCount";
    int rc = api->aclrtGetDeviceCount(&count);
    if (rc == ACL_ERROR_UNINITIALIZE) {
        call = "aclInit";
        rc = api->aclInit(NULL);
        if (rc == ACL_SUCCESS)
            avi_library_owe_finalize(library);
        if (rc == ACL_SUCCESS || rc == ACL_ERROR_REPEAT_INITIALIZE) {
            call = "aclrtGetDeviceCount";
            rc = api->aclrtGetDeviceCount(&count);
        }
    }
    if (rc == ACL_SUCCESS || rc == ACL_ERROR_RT_NO_DEVICE)
        return say(library, rc == ACL_SUCCESS ? count : 0, NULL);
    if (rc == ACL_ERROR_COMPILING_STUB_MODE)
        return fail_stub(library, call);
    avi_fail_acl(api, rc, call);
    char text[512];
    snprintf(text, sizeof text, "%s", avenc_last_failure()->detail);
    text[strcspn(text, "\n")] = '\0'; /* refuse_stub asked before */
    return avi_fail(AVENC_E_BROKEN, call, "%s is loaded, but %s returned %d%s%s%s", library->runtime_path, call, rc,
                    text[0] ? ": " : "", text,
                    library->simulated ? ""
                                       : ": check the driver (npu-smi info), the permissions of /dev/davinci* and that "
                                         "CANN and the driver fit each other");
}

/* Stubs are recognised before the symbol check: a stub folder may well be incomplete too. */
static int refuse_stub(avenc_library *library) {
    aclError (*get_count)(uint32_t *) = NULL;
    void *symbol = avi_symbol(library->runtime, "aclrtGetDeviceCount");
    memcpy(&get_count, &symbol, sizeof symbol);
    uint32_t count = 0;
    if (!get_count || get_count(&count) != ACL_ERROR_COMPILING_STUB_MODE)
        return AVENC_OK;
    return fail_stub(library, "aclrtGetDeviceCount");
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
static int adopt(avi_search *search, void *runtime, const char *found_by, const char *name, avenc_library **out) {
    avenc_library *library = calloc(1, sizeof *library);
    if (!library)
        return avi_fail(AVENC_E_NOMEM, NULL, "out of memory");
    library->runtime = runtime;
    avi_resolved_path(runtime, name, library->runtime_path);
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
        bool broken_before = search->found_broken;
        search->found_broken = false;
        library->media = load_media(search, library);
        if (!library->media) {
            if (search->found_broken)
                rc =
                    avi_fail(AVENC_E_BROKEN, "dlopen", "%s is loaded, but the media library beside it is not usable:%s",
                             library->runtime_path, search->tried);
            else
                rc = avi_fail(AVENC_E_MEDIA_MISSING, "dlopen",
                              "%s is loaded, but libacl_dvpp.so is missing: this is a toolkit without the media "
                              "package. Install the CANN package of your chip that holds libacl_dvpp.so. Tried:%s",
                              library->runtime_path, search->tried);
        }
        search->found_broken = broken_before;
    }
    if (rc == AVENC_OK) {
        avi_resolved_path(library->media, name, library->media_path);
        rc =
            avi_fill_table(&library->api, library->runtime, library->runtime_path, library->media, library->media_path);
    }
    library->simulated = avi_symbol(runtime, "aclsim_set_codec") != NULL;
    snprintf(library->found_by, sizeof library->found_by, "%s", found_by);
    snprintf(library->warnings, sizeof library->warnings, "%s", search->warnings);
    if (rc == AVENC_OK)
        rc = count_devices(library);
    if (rc != AVENC_OK) {
        free(library);
        return rc;
    }
    atomic_store(&library->next, atomic_load(&registry));
    atomic_store(&registry, library);
    *out = library;
    return AVENC_OK;
}

/* ---- the three ways ---------------------------------------------------------------------------- */

/* An absolute path: the runtime library itself, or the folder that holds it. */
static int open_path(avi_search *search, const char *path, const char *found_by, avenc_library **out) {
    struct stat status;
    if (path[0] != '/')
        return avi_fail(AVENC_E_NOT_FOUND, NULL, "%s must be an absolute path, got \"%s\"", found_by, path);
    bool present = false;
    void *handle = stat(path, &status) == 0 && S_ISDIR(status.st_mode) ? load_runtime_from(search, path, &present)
                                                                       : avi_load_file(search, path, &present);
    if (!handle)
        return avi_fail(present ? AVENC_E_BROKEN : AVENC_E_NOT_FOUND, "dlopen",
                        "%s names no usable AscendCL library:%s", found_by, search->tried);
    return adopt(search, handle, found_by, path, out);
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

static int open_ascend(avi_search *search, avenc_library **out) {
    static const char *const sonames[] = {"libascendcl.so", "libacl_rt.so"};
    static const char *const roots[] = {"ASCEND_TOOLKIT_HOME", "ASCEND_HOME_PATH"};
    char text[PATH_MAX];

    const char *explicit_path = avi_getenv("ASCEND_VENC_LIBRARY");
    if (explicit_path)
        return open_path(search, explicit_path, "$ASCEND_VENC_LIBRARY", out);

    /* Whatever the process already uses comes first: a second copy would have its own report queue. */
    for (size_t i = 0; i < sizeof sonames / sizeof sonames[0]; i++) {
        void *handle = avi_find_loaded(search, sonames[i]);
        if (handle)
            return adopt(search, handle, "already loaded in this process", sonames[i], out);
    }

    for (size_t i = 0; i < sizeof roots / sizeof roots[0]; i++) {
        const char *root = avi_getenv(roots[i]);
        if (!root)
            continue;
        if (root[0] != '/') {
            avi_append(search->tried, sizeof search->tried, "\n  $%s=%s: ignored, not an absolute path", roots[i],
                       root);
            continue;
        }
        char folder[PATH_MAX];
        bool present = false;
        snprintf(folder, sizeof folder, "%s/lib64", root);
        void *handle = load_runtime_from(search, folder, &present);
        snprintf(text, 64, "$%s", roots[i]);
        if (handle)
            return adopt(search, handle, text, folder, out);
        if (present)
            return avi_fail(AVENC_E_BROKEN, "dlopen", "CANN is present but cannot be used:%s", search->tried);
    }

    for (size_t i = 0; i < sizeof sonames / sizeof sonames[0]; i++) {
        void *handle = avi_load_soname(search, sonames[i]);
        if (handle)
            return adopt(search, handle, "the system's library search", sonames[i], out);
    }
    if (search->found_broken)
        return avi_fail(AVENC_E_BROKEN, "dlopen", "CANN is present but cannot be used:%s", search->tried);
    if (installed_without_environment(text, sizeof text))
        return avi_fail(AVENC_E_BROKEN, NULL,
                        "CANN is installed in %s, but its environment is not set: run \"source %s/set_env.sh\" first "
                        "(or choose backend=\"sim\"). Tried:%s",
                        text, text, search->tried);
    return avi_fail(AVENC_E_NOT_FOUND, NULL,
                    "no AscendCL library found. On an Ascend host source CANN's set_env.sh, or set ASCEND_VENC_LIBRARY "
                    "to the absolute path of libascendcl.so. Tried:%s",
                    search->tried);
}

/* The simulated device takes its chip and codec from functions of its own, before it is first used. */
static int configure_simulated(void *handle, const avenc_library_options *options) {
    static bool soc_overridden;
    int (*set_text)(const char *) = NULL;
    void *symbol = avi_symbol(handle, "aclsim_set_codec");
    if (symbol && options->sim_codec) {
        memcpy(&set_text, &symbol, sizeof symbol);
        set_text(options->sim_codec);
    }
    symbol = avi_symbol(handle, "aclsim_set_soc");
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

static int open_simulated(avi_search *search, const avenc_library_options *options, avenc_library **out) {
    bool present = false;
    if (!options->sim_path || options->sim_path[0] != '/')
        return avi_fail(AVENC_E_NOT_FOUND, NULL, "this build has no simulated device");
    void *handle = avi_load_file(search, options->sim_path, &present);
    if (!handle)
        return avi_fail(AVENC_E_NOT_FOUND, "dlopen", "the simulated device cannot be loaded:%s", search->tried);
    /* Chip and number of devices are decided before the first call reaches it. */
    int rc = configure_simulated(handle, options);
    if (rc == AVENC_OK)
        rc = adopt(search, handle, "the simulated device", options->sim_path, out);
    return rc;
}

/* The search may end at the simulated device under the vendor's name: LD_LIBRARY_PATH leads there for programs in C. */
static int open_real(avi_search *search, avenc_library **out) {
    int rc = open_ascend(search, out);
    if (rc == AVENC_OK && (*out)->simulated)
        return avi_fail(
            AVENC_E_NOT_FOUND, "dlopen",
            "no AscendCL library found: %s, by %s, is the simulated device's. Take its folder off the search "
            "path to find another one, or choose the backend \"sim\"",
            (*out)->runtime_path, (*out)->found_by);
    return rc;
}

static avi_search new_search(const avenc_library_options *options) {
    return (avi_search){.strict = options->strict_paths, .given = options->warned, .given_size = options->warned_size};
}

int avenc_library_open(const avenc_library_options *options, avenc_library **library) {
    if (!options || !options->backend || !library)
        return avi_fail(AVENC_E_INVALID, __func__, "options, options.backend and library must not be NULL");
    avi_search search = new_search(options);
    avenc_library *found = NULL;
    const char *backend = options->backend;
    int rc;
    avi_lock(&registry_lock);
    if (strcmp(backend, "sim") == 0) {
        rc = open_simulated(&search, options, &found);
    } else if (strcmp(backend, "ascend") == 0) {
        rc = open_real(&search, &found);
    } else if (strcmp(backend, "auto") == 0) {
        rc = open_real(&search, &found);
        bool none = rc == AVENC_E_NOT_FOUND || (rc == AVENC_OK && avenc_library_info_get(found)->device_count == 0);
        if (none && !search.stopped) {
            char reason[sizeof((snapshot *)0)->fallback];
            if (rc == AVENC_OK)
                snprintf(reason, sizeof reason, "%s works but reports no device", found->runtime_path);
            else
                snprintf(reason, sizeof reason, "%s", avenc_last_failure()->detail);
            avi_search again = new_search(options);
            rc = open_simulated(&again, options, &found);
            search.stopped = again.stopped;
            if (rc == AVENC_OK)
                rc = say(found, avenc_library_info_get(found)->device_count, reason);
        }
    } else {
        rc = open_path(&search, backend, "backend", &found);
    }
    avi_unlock(&registry_lock);
    if (search.stopped)
        rc = AVENC_OK;
    if (rc == AVENC_OK)
        *library = search.stopped ? NULL : found;
    return rc;
}

const acl_api *avenc_library_api(const avenc_library *library) {
    return &library->api;
}

const avenc_library_info *avenc_library_info_get(const avenc_library *library) {
    return &atomic_load(&((avenc_library *)library)->latest)->info;
}

int avenc_library_has(const avenc_library *library, const char *function) {
    return avi_table_has(&library->api, function);
}

/* ---- aclFinalize, fork -------------------------------------------------------------------------- */

void avi_library_owe_finalize(avenc_library *library) {
    atomic_store(&library->finalize_owed, true);
}

bool avi_library_take_owed(avenc_library *library) {
    return atomic_exchange(&library->finalize_owed, false);
}

/* The libraries stay loaded; aclInit was the parent's, so aclFinalize is not ours to call. */
static void in_child(void) {
    pthread_mutex_init(&registry_lock, NULL);
    for (avenc_library *library = atomic_load(&registry); library; library = atomic_load(&library->next))
        atomic_store(&library->finalize_owed, false);
}

__attribute__((constructor)) static void set_up(void) {
    avi_on_fork(in_child);
}
