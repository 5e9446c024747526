// SPDX-License-Identifier: Apache-2.0
#include "load/trust.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_LINKS = 40 }; /* as the kernel */

/* Who can replace what is at `where`, or put something there; false if nobody but root and our user. */
static bool is_weak(const char *where, const struct stat *status, char *why, size_t size) {
    bool sticky = S_ISDIR(status->st_mode) && (status->st_mode & S_ISVTX);
    why[0] = '\0';
    if (status->st_uid != 0 && status->st_uid != geteuid())
        snprintf(why, size, "%s belongs to user %u, who is neither root nor the user of this process", where,
                 (unsigned)status->st_uid);
    else if (!S_ISLNK(status->st_mode) && (status->st_mode & S_IWOTH) && !sticky)
        snprintf(why, size, "%s is writable by everybody", where);
    return why[0] != '\0';
}

static void strip_last(char *path) {
    char *slash = strrchr(path, '/');
    slash[slash == path] = '\0';
}

bool avi_path_is_weak(const char *path, char *why, size_t size) {
    char where[PATH_MAX] = "/", rest[PATH_MAX], target[PATH_MAX];
    bool anybody = false; /* may make things in the folder that was looked at last */
    int links = 0;
    if (snprintf(rest, sizeof rest, "%s", path) >= (int)sizeof rest)
        links = MOST_LINKS;
    for (char *next = rest; links < MOST_LINKS;) {
        struct stat status;
        why[0] = '\0';
        if (lstat(where, &status) != 0) {
            if (anybody)
                snprintf(why, size, "%s does not exist, and everybody may make it", where);
            return anybody;
        }
        if (is_weak(where, &status, why, size))
            return true;
        anybody = status.st_mode & S_IWOTH;
        if (S_ISLNK(status.st_mode)) {
            ssize_t got = readlink(where, target, sizeof target - 1);
            int length = snprintf(target + (got > 0 ? got : 0), sizeof target - (got > 0 ? got : 0), "/%s", next);
            if (got <= 0 || got + length >= (ssize_t)sizeof target)
                break;
            strip_last(where);
            if (target[0] == '/')
                strcpy(where, "/");
            next = strcpy(rest, target);
            links++;
            continue;
        }
        next += strspn(next, "/");
        size_t length = strcspn(next, "/"), used = strlen(where);
        if (length == 0)
            return false;
        if (length == 2 && strncmp(next, "..", 2) == 0)
            strip_last(where);
        else if (used + length + 2 > sizeof where)
            break;
        else if (length != 1 || next[0] != '.')
            sprintf(where + used, "%s%.*s", used > 1 ? "/" : "", (int)length, next);
        next += length;
    }
    snprintf(why, size, "%s is too long, or its symbolic links are", path);
    return true;
}
