// SPDX-License-Identifier: Apache-2.0
/* libacl_op_compiler.so of the simulated device: samples that only encode are linked with it too. */
#define FILTER_RUNTIME(...)
#define FILTER_MODEL(...)
#define FILTER_COMPILER(...) __VA_ARGS__
#define FILTER_MEDIA(...)
#define FILTER_MPI(...)
#include "filter.h"
