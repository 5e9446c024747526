// SPDX-License-Identifier: Apache-2.0
/* libacl_dvpp_mpi.so of the simulated device: DVPP V2's names. */
#define FILTER_RUNTIME(...)
#define FILTER_MODEL(...)
#define FILTER_COMPILER(...)
#define FILTER_MEDIA(...)
#define FILTER_MPI(...) __VA_ARGS__
#include "filter.h"
