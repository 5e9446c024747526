// SPDX-License-Identifier: Apache-2.0
/* libacl_rt.so of the simulated device: the runtime's names again, in the file that has them since CANN 9. */
#define FILTER_RUNTIME(...) __VA_ARGS__
#define FILTER_MODEL(...)
#define FILTER_COMPILER(...)
#define FILTER_MEDIA(...)
#define FILTER_MPI(...)
#include "filter.h"
