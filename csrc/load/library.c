// SPDX-License-Identifier: Apache-2.0
#include "load/library.h"
#include "base/status.h"
#include "base/thread.h"
#include "load/table.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the runtime said when the library was opened the last time. Cleared before, so that it is compared by bytes. */
typedef struct answers {
    uint32_t device_count;
    int32_t version[3];
    char soc_name[AVENC_SOC_NAME_SIZE];
} answers;

/* What is said of a library and may change. Cleared before, likewise. */
typedef struct sayings {
    answers answers;
    char fallback[AVI_FALLBACK_SIZE];
    char warnings[sizeof((avi_search *)0)->warnings];
    int mpi_state; /* AVENC_MPI_* */
    char mpi_path[PATH_MAX];
    char mpi_problem[2048];
} sayings;

/* Made anew when something changes and never changed: readers take no lock. */
typedef struct snapshot {
    avenc_library_info info;
    sayings says;
    struct snapshot *next;
} snapshot;

struct avenc_library {
    acl_api api;
    himpi_api himpi; /* once mpi_ready: written before, under the list's lock, and once */
    atomic_bool mpi_ready;
    char runtime_path[PATH_MAX];
    char media_path[PATH_MAX];
    char found_by[128];
    void *runtime;
    void *media;
    bool simulated;
    _Atomic(snapshot *) latest;
    snapshot *snapshots; /* all that there were: a reader may hold any */
    atomic_bool finalize_owed;
    _Atomic(avenc_library *) next; /* a child of fork() walks the list as it finds it */
};

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER; /* the list, and the snapshots */
static _Atomic(avenc_library *) registry;

/* ---- filling a library ------------------------------------------------------------------------- */

/* A library that belongs to the runtime, which has that function: the same file, its neighbour, or by soname. */
static void *load_companion(avi_search *search, const avenc_library *library, const char *soname,
                            const char *function) {
    if (avi_symbol(library->runtime, function))
        return library->runtime;
    char path[PATH_MAX + 32];
    bool exists = false;
    snprintf(path, sizeof path - 32, "%s", library->runtime_path);
    char *slash = strrchr(path, '/');
    if (slash) {
        snprintf(slash + 1, 32, "%s", soname);
        void *handle = avi_load_file(search, path, &exists);
        if (handle || exists)
            return handle;
    }
    return avi_load_soname(search, soname);
}

static void *load_media(avi_search *search, const avenc_library *library) {
    return load_companion(search, library, "libacl_dvpp.so", "aclvencCreateChannel");
}

/* Say this of the library from now on. The lock is held. */
static int say_locked(avenc_library *library, const sayings *says) {
    snapshot *made = library->snapshots;
    while (made && memcmp(&made->says, says, sizeof *says) != 0)
        made = made->next;
    if (!made) {
        if (!(made = calloc(1, sizeof *made)))
            return avi_fail(AVENC_E_NOMEM, NULL, "out of memory");
        memcpy(&made->says, says, sizeof *says);
        const answers *answers = &made->says.answers;
        made->info = (avenc_library_info){
            .simulated = library->simulated,
            .runtime_path = library->runtime_path,
            .media_path = library->media_path,
            .mpi_state = made->says.mpi_state,
            .mpi_path = made->says.mpi_path,
            .mpi_problem = made->says.mpi_problem,
            .found_by = library->found_by,
            .fallback = made->says.fallback,
            .warnings = made->says.warnings,
            .device_count = answers->device_count,
            .soc_name = answers->soc_name,
            .version = {answers->version[0], answers->version[1], answers->version[2]},
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
 * Ask for the number of devices; link-time stubs give themselves away here. No lock is held: the calls may not return.
 */
static int count_devices(avenc_library *library, uint32_t *count) {
    const acl_api *api = &library->api;
    const char *call = "aclrtGetDeviceCount";
    int rc = api->aclrtGetDeviceCount(count);
    if (rc == ACL_ERROR_UNINITIALIZE) {
        call = "aclInit";
        rc = api->aclInit(NULL);
        if (rc == ACL_SUCCESS)
            avi_library_owe_finalize(library);
        if (rc == ACL_SUCCESS || rc == ACL_ERROR_REPEAT_INITIALIZE) {
            call = "aclrtGetDeviceCount";
            rc = api->aclrtGetDeviceCount(count);
        }
    }
    if (rc == ACL_ERROR_RT_NO_DEVICE)
        *count = 0;
    if (rc == ACL_SUCCESS || rc == ACL_ERROR_RT_NO_DEVICE)
        return AVENC_OK;
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

/* No lock is held, as above. The chip's name and the version are told where the runtime can tell them. */
static int ask(avenc_library *library, answers *answers) {
    const acl_api *api = &library->api;
    memset(answers, 0, sizeof *answers);
    int rc = count_devices(library, &answers->device_count);
    if (rc != AVENC_OK)
        return rc;
    const char *soc = api->aclrtGetSocName ? api->aclrtGetSocName() : NULL;
    if (soc)
        snprintf(answers->soc_name, sizeof answers->soc_name, "%s", soc);
    int32_t version[3];
    if (api->aclrtGetVersion(&version[0], &version[1], &version[2]) == ACL_SUCCESS)
        memcpy(answers->version, version, sizeof version);
    return AVENC_OK;
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
    avenc_library *library = atomic_load(&registry);
    while (library && strcmp(library->runtime_path, runtime_path) != 0)
        library = atomic_load(&library->next);
    return library;
}

/* Everything but the runtime's answers. */
static int fill(avi_search *search, avenc_library *library, const char *found_by, const char *name) {
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
    if (search->stopped) /* a warning comes first, and the library another time */
        rc = AVENC_E_BROKEN;
    snprintf(library->found_by, sizeof library->found_by, "%s", found_by);
    return rc;
}

/*
 * Put a library that is filled into the list, unless another thread was faster: then that one is the library, and the
 * caller's is gone. A failure leaves *library the caller's.
 */
static int register_library(avenc_library **library, const avi_search *search, const answers *answers) {
    avenc_library *own = *library;
    sayings says;
    avi_lock(&registry_lock);
    avenc_library *known = find_registered(own->runtime_path);
    if (known) {
        memcpy(&says, &atomic_load(&known->latest)->says, sizeof says);
    } else {
        memset(&says, 0, sizeof says);
        snprintf(says.warnings, sizeof says.warnings, "%s", search->warnings);
        snprintf(says.mpi_problem, sizeof says.mpi_problem,
                 "libacl_dvpp_mpi.so has not been looked for: nobody has asked for DVPP V2");
    }
    memcpy(&says.answers, answers, sizeof says.answers);
    int rc = say_locked(known ? known : own, &says);
    if (rc == AVENC_OK && !known) {
        atomic_store(&own->next, atomic_load(&registry));
        atomic_store(&registry, own);
    }
    avi_unlock(&registry_lock);
    if (known && known != own && avi_library_take_owed(own))
        avi_library_owe_finalize(known);
    if (rc == AVENC_OK && known && known != own) {
        free(own);
        *library = known;
    }
    return rc;
}

int avi_library_adopt(avi_search *search, void *runtime, bool simulated, const char *found_by, const char *name,
                      avenc_library **out) {
    avenc_library *library = calloc(1, sizeof *library);
    answers answers;
    if (!library)
        return avi_fail(AVENC_E_NOMEM, NULL, "out of memory");
    library->runtime = runtime;
    library->simulated = simulated;
    avi_resolved_path(runtime, name, library->runtime_path);
    avenc_library *known = find_registered(library->runtime_path);
    int rc = AVENC_OK;
    if (known) {
        free(library);
        library = known;
    } else {
        rc = fill(search, library, found_by, name);
    }
    if (rc == AVENC_OK)
        rc = ask(library, &answers);
    if (rc == AVENC_OK)
        rc = register_library(&library, search, &answers);
    if (rc == AVENC_OK)
        *out = library;
    else if (!known)
        free(library);
    return rc;
}

int avi_library_note_fallback(avenc_library *library, const char *reason) {
    sayings says;
    avi_lock(&registry_lock);
    memcpy(&says, &atomic_load(&library->latest)->says, sizeof says);
    memset(says.fallback, 0, sizeof says.fallback);
    snprintf(says.fallback, sizeof says.fallback, "%s", reason);
    int rc = say_locked(library, &says);
    avi_unlock(&registry_lock);
    return rc;
}

/* ---- DVPP V2, which older runtimes lack ---------------------------------------------------------- */

/* Fill the table, and say how that went. */
static void load_mpi(avi_search *search, const avenc_library *library, himpi_api *himpi, sayings *says) {
    static const char soname[] = "libacl_dvpp_mpi.so";
    char missing[1024] = "";
    void *mpi = load_companion(search, library, soname, "hi_mpi_venc_create_chn");
    memset(says, 0, sizeof *says);
    if (!mpi) {
        says->mpi_state = search->found_broken ? AVENC_MPI_BROKEN : AVENC_MPI_MISSING;
        snprintf(says->mpi_problem, sizeof says->mpi_problem, "%s is %s. Tried:%s", soname,
                 search->found_broken ? "not usable" : "not there", search->tried);
        return;
    }
    avi_resolved_path(mpi, soname, says->mpi_path);
    avi_fill_himpi(himpi, mpi, missing, sizeof missing);
    says->mpi_state = missing[0] ? AVENC_MPI_BROKEN : AVENC_MPI_READY;
    if (missing[0]) {
        snprintf(says->mpi_problem, sizeof says->mpi_problem,
                 "%s lacks functions that every version with video encoding has: %s", says->mpi_path, missing);
        memset(says->mpi_path, 0, sizeof says->mpi_path);
    }
}

int avi_library_find_mpi(avi_search *search, avenc_library *library) {
    if (atomic_load(&library->mpi_ready))
        return AVENC_OK;
    himpi_api himpi;
    sayings found, says;
    load_mpi(search, library, &himpi, &found);
    if (search->stopped) /* a warning comes first, and the library another time */
        return AVENC_OK;
    int rc = AVENC_OK;
    avi_lock(&registry_lock);
    if (!atomic_load(&library->mpi_ready)) { /* another thread may have been faster */
        memcpy(&says, &atomic_load(&library->latest)->says, sizeof says);
        says.mpi_state = found.mpi_state;
        memcpy(says.mpi_path, found.mpi_path, sizeof says.mpi_path);
        memcpy(says.mpi_problem, found.mpi_problem, sizeof says.mpi_problem);
        if (!strstr(says.warnings, search->warnings))
            avi_append(says.warnings, sizeof says.warnings, "%s", search->warnings);
        rc = say_locked(library, &says);
        if (rc == AVENC_OK && found.mpi_state == AVENC_MPI_READY) {
            library->himpi = himpi;
            atomic_store(&library->mpi_ready, true);
        }
    }
    avi_unlock(&registry_lock);
    return rc;
}

const acl_api *avenc_library_api(const avenc_library *library) {
    return &library->api;
}

const himpi_api *avenc_library_himpi(const avenc_library *library) {
    return atomic_load_explicit(&((avenc_library *)library)->mpi_ready, memory_order_acquire) ? &library->himpi : NULL;
}

const avenc_library_info *avenc_library_info_get(const avenc_library *library) {
    return &atomic_load(&((avenc_library *)library)->latest)->info;
}

int avenc_library_has(const avenc_library *library, const char *function) {
    return avi_table_has(&library->api, avenc_library_himpi(library), function);
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
