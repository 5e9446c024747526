# SPDX-License-Identifier: Apache-2.0
"""Holds the two shared libraries that setup.py builds: libavenc.so and libascendvenc_sim.so."""
