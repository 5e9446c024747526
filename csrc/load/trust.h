// SPDX-License-Identifier: Apache-2.0
/* Who can decide what a path leads to. Needs nothing but libc. */
#ifndef ASCEND_VENC_LOAD_TRUST_H
#define ASCEND_VENC_LOAD_TRUST_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Follow an absolute path as the kernel does, looking at each step: each folder from / on, each symbolic link and where
 * it leads, and the end. True: somebody other than root and the effective user can decide what it leads to, and `why`
 * (of `size` bytes, cut off) says who and where: a step is another user's, or writable by everybody; else `why` is "".
 * In folders like /tmp only owners may replace what is there (the sticky bit), so they are no objection; but a path that
 * leads nowhere yet is weak where anybody may complete it. Permissions of groups and access control lists are not
 * looked at.
 */
bool avi_path_is_weak(const char *path, char *why, size_t size);

#endif
