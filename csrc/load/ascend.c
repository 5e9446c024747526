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
#include "load/library.h"
#include "load/paths.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

static int adopt(avi_search *search, void *runtime, const char *found_by, const char *name, avenc_library **out) {
    bool simulated = avi_symbol(runtime, "aclsim_set_codec") != NULL;
    return avi_library_adopt(search, runtime, simulated, found_by, name, out);
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
    static atomic_bool soc_overridden;
    int (*set_text)(const char *) = NULL;
    void *symbol = avi_symbol(handle, "aclsim_set_codec");
    if (symbol && options->sim_codec) {
        memcpy(&set_text, &symbol, sizeof symbol);
        set_text(options->sim_codec);
    }
    symbol = avi_symbol(handle, "aclsim_set_soc");
    if (symbol && (options->sim_soc || atomic_load(&soc_overridden))) {
        memcpy(&set_text, &symbol, sizeof symbol);
        if (set_text(options->sim_soc) != 0)
            return avi_fail(AVENC_E_INVALID, "aclsim_set_soc",
                            "the simulated device cannot be a \"%s\": no such chip profile, or another one is in use "
                            "in this process",
                            options->sim_soc ? options->sim_soc : "(default)");
        atomic_store(&soc_overridden, options->sim_soc != NULL);
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
    if (rc == AVENC_OK && avenc_library_info_get(*out)->simulated)
        return avi_fail(
            AVENC_E_NOT_FOUND, "dlopen",
            "no AscendCL library found: %s, by %s, is the simulated device's. Take its folder off the search "
            "path to find another one, or choose the backend \"sim\"",
            avenc_library_info_get(*out)->runtime_path, avenc_library_info_get(*out)->found_by);
    return rc;
}

static avi_search new_search(const avenc_library_options *options, char *warned) {
    return (avi_search){.strict = options->strict_paths, .given = warned, .given_size = options->warned_room};
}

int avi_library_find(const avenc_library_options *options, char *warned, avenc_library **library) {
    avi_search search = new_search(options, warned);
    avenc_library *found = NULL;
    const char *backend = options->backend;
    int rc;
    if (strcmp(backend, "sim") == 0) {
        rc = open_simulated(&search, options, &found);
    } else if (strcmp(backend, "ascend") == 0) {
        rc = open_real(&search, &found);
    } else if (strcmp(backend, "auto") == 0) {
        rc = open_real(&search, &found);
        bool none = rc == AVENC_E_NOT_FOUND || (rc == AVENC_OK && avenc_library_info_get(found)->device_count == 0);
        if (none && !search.stopped) {
            char reason[AVI_FALLBACK_SIZE];
            if (rc == AVENC_OK)
                snprintf(reason, sizeof reason, "%s works but reports no device",
                         avenc_library_info_get(found)->runtime_path);
            else
                snprintf(reason, sizeof reason, "%s", avenc_last_failure()->detail);
            avi_search again = new_search(options, warned);
            rc = open_simulated(&again, options, &found);
            search.stopped = again.stopped;
            if (rc == AVENC_OK)
                rc = avi_library_note_fallback(found, reason);
        }
    } else {
        rc = open_path(&search, backend, "backend", &found);
    }
    if (search.stopped)
        rc = AVENC_OK;
    if (rc == AVENC_OK)
        *library = search.stopped ? NULL : found;
    return rc;
}

int avi_library_find_v2(const avenc_library_options *options, char *warned, avenc_library *library,
                        avenc_library **found) {
    avi_search search = new_search(options, warned);
    int rc = avi_library_find_mpi(&search, library);
    *found = search.stopped ? NULL : library;
    return rc;
}
