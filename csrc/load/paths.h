// SPDX-License-Identifier: Apache-2.0
/*
 * Which files may be loaded, and loading them. The only place in the engine that calls the dynamic loader; it needs
 * base only.
 *
 * A file that is loaded runs, so it is checked before. Safe is a file that nobody but root and the effective user can
 * replace: the file, each folder from / to it, and each symbolic link on the way (with the folders from / to where it
 * leads) belong to one of these two, and none is writable by everybody. Folders like /tmp, where only owners may
 * replace things (the sticky bit), are no objection for what is there already. The folder that holds this very code
 * is trusted like the code. What is not safe is refused in a strict search, else warned about.
 *
 * Not checked: permissions of groups and access control lists; what the process had loaded before; what a library
 * itself needs, which the dynamic loader looks for. A strict search therefore loads nothing while a folder of
 * LD_LIBRARY_PATH is relative, empty (the current folder) or not safe, or could be made by anybody.
 */
#ifndef ASCEND_VENC_LOAD_PATHS_H
#define ASCEND_VENC_LOAD_PATHS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

/* One search: what it has tried and why that failed, a line each, and its warnings. */
typedef struct avi_search {
    char tried[1800];
    char warnings[2048]; /* newline-separated */
    bool strict;
    bool found_broken; /* a file was there but could not be used */
    char *given;       /* warnings that the user has had, each with a newline; NULL: warnings stop nothing */
    size_t given_size;
    bool stopped; /* a warning is to be given first: it has been added to `given`, and nothing more is loaded */
} avi_search;

/* Add to a text, which is cut off at `size`. */
void avi_append(char *text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* An environment variable; NULL if it is empty, and always in a set-user-id process. */
const char *avi_getenv(const char *name);

/*
 * Load the file with this absolute path; refused or not loadable: NULL. *exists tells a missing file from a broken one.
 * Runs the library's constructors. Libraries are never unloaded.
 */
void *avi_load_file(avi_search *search, const char *path, bool *exists);

/*
 * Load by name, from where the system's search leads: what the process has loaded; LD_LIBRARY_PATH as it was when the
 * process began, and the run path of this code; /etc/ld.so.cache; the system's folders. It is found without being
 * loaded, then treated like avi_load_file's, by its absolute path. Variants for particular processors (glibc-hwcaps)
 * are left out. Where the C library is not glibc only the system's folders are searched.
 */
void *avi_load_soname(avi_search *search, const char *soname);

/* What the process has loaded under that name already, or NULL. Not checked: it has run. */
void *avi_find_loaded(avi_search *search, const char *soname);

/*
 * As avi_load_file; but wheels of some versions carry no run path, so in a wheel's own folder of libraries (*.libs,
 * never a system's) those beside it are loaded first where it needs them.
 */
void *avi_load_from_wheel(avi_search *search, const char *path);

/* A symbol of a library or of what it depends on; NULL if there is none. */
void *avi_symbol(void *handle, const char *name);

/* Where a library was loaded from, without symbolic links; `name` if the loader does not tell. */
void avi_resolved_path(void *handle, const char *name, char out[PATH_MAX]);

#endif
