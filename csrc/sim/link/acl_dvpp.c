// SPDX-License-Identifier: Apache-2.0
/* libacl_dvpp.so of the simulated device: the media library's names. */
#define FILTER_RUNTIME(...)
#define FILTER_MODEL(...)
#define FILTER_COMPILER(...)
#define FILTER_MEDIA(...) __VA_ARGS__
#define FILTER_MPI(...)
#include "filter.h"
