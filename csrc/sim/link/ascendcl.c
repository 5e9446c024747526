// SPDX-License-Identifier: Apache-2.0
/* libascendcl.so of the simulated device: the runtime's names, and those of models. */
#define FILTER_RUNTIME(...) __VA_ARGS__
#define FILTER_MODEL(...)   __VA_ARGS__
#define FILTER_COMPILER(...)
#define FILTER_MEDIA(...)
#define FILTER_MPI(...)
#include "filter.h"
