# SPDX-License-Identifier: Apache-2.0
"""Holds the libascendcl.so and libacl_dvpp.so that programs in C and C++ link for the simulated device."""
