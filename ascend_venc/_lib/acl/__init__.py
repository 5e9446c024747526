# SPDX-License-Identifier: Apache-2.0
"""Holds the libraries that programs in C and C++ link for the simulated device."""
