// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "load/paths.h"
#include "base/status.h"
#include "base/thread.h"
#include "load/trust.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOAD_FLAGS (RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE)

/* This code's own file. */
extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));
#define LIVES_HERE __ehdr_start

enum {
    FORK_PATIENCE_S = 1, /* how long a fork() waits for a library that is being loaded */
};

void avi_append(char *text, size_t size, const char *format, ...) {
    size_t used = strlen(text);
    va_list args;
    va_start(args, format);
    vsnprintf(text + used, size - used, format, args);
    va_end(args);
}

const char *avi_getenv(const char *name) {
    const char *value = getauxval(AT_SECURE) ? NULL : getenv(name);
    return value && value[0] ? value : NULL;
}

/* ---- what is safe ------------------------------------------------------------------------------ */

static void strip_last(char *path) {
    char *slash = strrchr(path, '/');
    slash[slash == path] = '\0';
}

/* Beside this code: whoever can change that can change us. */
static bool is_own(const char *path) {
    char own[PATH_MAX], file[PATH_MAX];
    Dl_info here;
    if (!dladdr(&LIVES_HERE, &here) || here.dli_fname[0] != '/' || !realpath(here.dli_fname, own) ||
        !realpath(path, file))
        return false;
    strip_last(own);
    strip_last(file);
    return strcmp(own, file) == 0;
}

/* Something is not safe: false if that means that nothing is loaded. */
static bool tolerate(avi_search *search, const char *path, const char *why) {
    if (search->strict) {
        avi_append(search->tried, sizeof search->tried, "\n  %s: refused, %s", path, why);
        search->found_broken = true;
        return false;
    }
    char line[sizeof search->warnings];
    snprintf(line, sizeof line, "%s: %s\n", path, why);
    if (strstr(search->warnings, why))
        return true;
    avi_append(search->warnings, sizeof search->warnings, "%s", line);
    /* One that does not fit is heard of afterwards, in the library's own list. */
    search->stopped =
        search->given && !strstr(search->given, line) && strlen(search->given) + strlen(line) < search->given_size;
    if (search->stopped)
        avi_append(search->given, search->given_size, "%s", line);
    return !search->stopped;
}

/* ---- where the dynamic loader looks ------------------------------------------------------------ */

typedef struct folder {
    const char *name;
    bool of_system; /* searched after /etc/ld.so.cache */
} folder;

#ifdef __GLIBC__
static bool is_of_system(const char *name) {
    static const char *const usual[] = {"/lib", "/lib64", "/lib32", "/libx32"};
    name += strncmp(name, "/usr/", 5) == 0 ? 4 : 0;
    for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++)
        if (strcmp(name, usual[i]) == 0)
            return true;
    return strncmp(name, "/lib/", 5) == 0 && strstr(name, "-linux-gnu");
}

/* The loader does not tell which folders are its own: they come last, each once. */
static void mark_those_of_system(folder *folders, size_t count) {
    for (size_t i = count; i-- > 0 && is_of_system(folders[i].name); folders[i].of_system = true)
        for (size_t later = i + 1; later < count; later++)
            if (strcmp(folders[i].name, folders[later].name) == 0)
                return;
}
#endif

/*
 * Where the loader looks on behalf of the file that `code` is in, in its order; ended by one without a name. NULL: out
 * of memory. Freed as one.
 */
static folder *search_folders(const void *code) {
#ifdef __GLIBC__
    Dl_info unused;
    Dl_serinfo size;
    struct link_map *map = NULL;
    if (!dladdr1(code, &unused, (void **)&map, RTLD_DL_LINKMAP) || dlinfo(map, RTLD_DI_SERINFOSIZE, &size) != 0)
        return calloc(1, sizeof(folder));
    folder *found = calloc(1, (size.dls_cnt + 1) * sizeof *found + size.dls_size);
    Dl_serinfo *list = found ? (Dl_serinfo *)&found[size.dls_cnt + 1] : NULL;
    if (!found || dlinfo(map, RTLD_DI_SERINFOSIZE, list) != 0 || dlinfo(map, RTLD_DI_SERINFO, list) != 0)
        return found;
    for (unsigned i = 0; i < size.dls_cnt; i++)
        found[i].name = list->dls_serpath[i].dls_name;
    mark_those_of_system(found, size.dls_cnt);
    return found;
#else
    static const folder usual[] = {{"/lib", true}, {"/usr/local/lib", true}, {"/usr/lib", true}, {NULL, false}};
    folder *found = code ? malloc(sizeof usual) : NULL;
    return found ? memcpy(found, usual, sizeof usual) : NULL;
#endif
}

/* Whether the loader would take this file: it passes over those of other processors, and stops at broken ones. */
static bool is_candidate(const char *path) {
    ElfW(Ehdr) header;
    struct stat status;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return false;
    bool plain = fstat(file, &status) == 0 && S_ISREG(status.st_mode);
    bool complete = plain && read(file, &header, sizeof header) == (ssize_t)sizeof header;
    close(file);
    return plain &&
           (!complete || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
            (header.e_ident[EI_CLASS] == __ehdr_start.e_ident[EI_CLASS] && header.e_machine == __ehdr_start.e_machine));
}

static bool look_in(const char *folder, const char *soname, char path[PATH_MAX]) {
    char current[PATH_MAX] = "";
    if (folder[0] != '/' && !getcwd(current, sizeof current))
        return false;
    const char *between = current[0] && current[1] ? "/" : "";
    return snprintf(path, PATH_MAX, "%s%s%s/%s", current, between, folder, soname) < PATH_MAX && is_candidate(path);
}

/* The file of glibc's ldconfig: a header, `count` entries, then strings, whose places count from the header's. */
typedef struct cache_header {
    char magic[20];
    uint32_t count, string_bytes, unused[5];
} cache_header;

typedef struct cache_entry {
    int32_t flags;
    uint32_t key, value, system;
    uint64_t processor; /* 0: for all */
} cache_entry;

/* A string of the cache, or "" if it does not end within it. */
static const char *text_at(const char *start, size_t bytes, uint32_t at) {
    return at < bytes && memchr(start + at, '\0', bytes - at) ? start + at : "";
}

static bool look_in_cache(const char *soname, char path[PATH_MAX]) {
    static const char magic[20] = "glibc-ld.so.cache1.1";
    struct stat status;
    int file = open("/etc/ld.so.cache", O_RDONLY | O_CLOEXEC);
    bool readable = file >= 0 && fstat(file, &status) == 0 && status.st_size > 0;
    const char *data = readable ? mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0) : MAP_FAILED;
    if (file >= 0)
        close(file);
    if (data == MAP_FAILED)
        return false;
    /* Systems of before 2020 have a table in an older form first. */
    const char *end = data + status.st_size, *start = memmem(data, (size_t)status.st_size, magic, sizeof magic);
    bool found = false;
    if (start && (size_t)(end - start) > sizeof(cache_header)) {
        const cache_header *header = (const cache_header *)start;
        const cache_entry *entries = (const cache_entry *)(header + 1);
        size_t bytes = (size_t)(end - start), most = (bytes - sizeof *header) / sizeof *entries;
        for (size_t i = 0; !found && i < header->count && i < most; i++)
            found = entries[i].processor == 0 && strcmp(text_at(start, bytes, entries[i].key), soname) == 0 &&
                    snprintf(path, PATH_MAX, "%s", text_at(start, bytes, entries[i].value)) < PATH_MAX &&
                    is_candidate(path);
    }
    munmap((void *)data, (size_t)status.st_size);
    return found;
}

static bool find_soname(const char *soname, char path[PATH_MAX]) {
    folder *folders = search_folders(&LIVES_HERE);
    bool found = false;
    for (folder *place = folders; place && place->name && !found; place++)
        found = !place->of_system && look_in(place->name, soname, path);
    found = found || look_in_cache(soname, path);
    for (folder *place = folders; place && place->name && !found; place++)
        found = place->of_system && look_in(place->name, soname, path);
    free(folders);
    return found;
}

/* LD_LIBRARY_PATH and a program's own run path: in these the loader looks for whatever a library needs. */
static bool user_folders_are_safe(avi_search *search, const char *path) {
    folder *folders = search_folders((const void *)getauxval); /* the C library has no run path of its own */
    bool safe = folders != NULL;
    for (folder *place = folders; place && place->name && !place->of_system && safe; place++) {
        char why[PATH_MAX + 300] = "";
        if (strcmp(place->name, ".") == 0)
            avi_append(
                why, sizeof why,
                "LD_LIBRARY_PATH (or the run path) has an empty element or \".\", which means the current folder");
        else if (place->name[0] != '/')
            avi_append(why, sizeof why, "LD_LIBRARY_PATH (or the run path) has the relative element \"%s\"",
                       place->name);
        else if (avi_path_is_weak(place->name, why, sizeof why) && !strstr(search->warnings, why))
            avi_append(why, sizeof why, "; what a library needs is looked for in %s", place->name);
        safe = !why[0] || tolerate(search, path, why);
    }
    free(folders);
    return safe;
}

/* ---- loading ----------------------------------------------------------------------------------- */

static pthread_mutex_t load_lock =
    PTHREAD_MUTEX_INITIALIZER; /* held while a library is loaded; no lock is taken then */
static char loading[PATH_MAX]; /* what */
static _Thread_local bool is_loading;
static _Thread_local bool fork_waited;
static char half_loaded[PATH_MAX]; /* what another thread was loading when this process was forked */

static bool is_half_loaded(avi_search *search, const char *path) {
    char resolved[PATH_MAX];
    if (!half_loaded[0] || !realpath(path, resolved) || strcmp(resolved, half_loaded) != 0)
        return false;
    avi_append(search->tried, sizeof search->tried,
               "\n  %s: another thread was loading it when this process was forked, so it is loaded by half here: load "
               "it before the fork, or start the process with spawn",
               path);
    search->found_broken = true;
    return true;
}

static void *load(avi_search *search, const char *path, const char *wanted, bool searched) {
    char why[PATH_MAX + 200];
    if (search->stopped || is_half_loaded(search, path))
        return NULL;
    if (!is_own(path)) {
        if (avi_path_is_weak(path, why, sizeof why) && !tolerate(search, path, why))
            return NULL;
        if ((searched || search->strict) && !user_folders_are_safe(search, path))
            return NULL;
    }
    avi_lock(&load_lock);
    is_loading = true;
    if (!realpath(path, loading))
        loading[0] = '\0';
    void *handle = dlopen(path, LOAD_FLAGS);
    loading[0] = '\0';
    is_loading = false;
    avi_unlock(&load_lock);
    if (!handle) {
        const char *text = dlerror();
        avi_append(search->tried, sizeof search->tried, "\n  %s: %s", wanted, text ? text : "cannot be loaded");
        search->found_broken = true;
    }
    return handle;
}

void *avi_load_file(avi_search *search, const char *path, bool *exists) {
    char wanted[PATH_MAX + 40];
    *exists = path[0] == '/' && access(path, F_OK) == 0;
    if (!*exists) {
        avi_append(search->tried, sizeof search->tried, "\n  %s: %s", path,
                   path[0] == '/' ? strerror(errno) : "ignored, not an absolute path");
        return NULL;
    }
    snprintf(wanted, sizeof wanted, "%s: present, but cannot be loaded", path);
    return load(search, path, wanted, false);
}

void *avi_load_soname(avi_search *search, const char *soname) {
    char path[PATH_MAX], wanted[NAME_MAX + 40];
    void *handle = avi_find_loaded(search, soname);
    if (handle)
        return handle;
    snprintf(wanted, sizeof wanted, "%s by the system's search", soname);
    if (find_soname(soname, path))
        return load(search, path, wanted, true);
    avi_append(search->tried, sizeof search->tried, "\n  %s: not found", wanted);
    return NULL;
}

void *avi_find_loaded(avi_search *search, const char *soname) {
    char path[PATH_MAX];
    void *handle = dlopen(soname, LOAD_FLAGS | RTLD_NOLOAD);
    if (!handle)
        return NULL;
    avi_resolved_path(handle, soname, path);
    return is_half_loaded(search, path) ? NULL : handle;
}

/* Again until none is added: they need each other. */
static void load_neighbours(const avi_search *search, const char *path) {
    char folder[PATH_MAX], neighbour[PATH_MAX + NAME_MAX + 2];
    snprintf(folder, sizeof folder, "%s", path);
    strip_last(folder);
    size_t length = strlen(folder);
    if (length < 5 || strcmp(folder + length - 5, ".libs") != 0)
        return;
    for (int count = 0, before = -1; count > before;) {
        DIR *entries = opendir(folder);
        if (!entries)
            return;
        before = count;
        count = 0;
        for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
            avi_search unheard = {.strict = search->strict};
            snprintf(neighbour, sizeof neighbour, "%s/%s", folder, entry->d_name);
            if (strstr(entry->d_name, ".so"))
                count += load(&unheard, neighbour, neighbour, false) != NULL;
        }
        closedir(entries);
    }
}

void *avi_load_from_wheel(avi_search *search, const char *path) {
    size_t before = strlen(search->tried);
    bool exists = false;
    void *handle = avi_load_file(search, path, &exists);
    if (!handle && exists) {
        search->tried[before] = '\0';
        load_neighbours(search, path);
        handle = avi_load_file(search, path, &exists);
    }
    return handle;
}

void *avi_symbol(void *handle, const char *name) {
    return dlsym(handle, name);
}

void avi_resolved_path(void *handle, const char *name, char out[PATH_MAX]) {
    struct link_map *map = NULL;
    if (dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0 && map && map->l_name && map->l_name[0])
        name = map->l_name;
    if (!realpath(name, out))
        snprintf(out, PATH_MAX, "%s", name);
}

/* ---- fork -------------------------------------------------------------------------------------- */

/*
 * A library whose loading a fork() cuts in two is unusable in the child: relocated in part, its constructors never to
 * be finished. So a fork waits for it, but not for ever: a constructor may itself wait for something.
 */
static void before_fork(void) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += FORK_PATIENCE_S;
    fork_waited = !is_loading && pthread_mutex_timedlock(&load_lock, &until) == 0;
}

static void in_parent(void) {
    if (fork_waited)
        pthread_mutex_unlock(&load_lock);
}

static void in_child(void) {
    if (!fork_waited && !is_loading)
        memcpy(half_loaded, loading, sizeof loading);
    pthread_mutex_init(&load_lock, NULL);
    if (is_loading) /* a constructor forked: this thread goes on to unlock it */
        pthread_mutex_lock(&load_lock);
}

__attribute__((constructor)) static void set_up(void) {
    pthread_atfork(before_fork, in_parent, NULL);
    avi_on_fork(in_child);
}
