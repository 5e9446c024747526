# SPDX-License-Identifier: Apache-2.0
"""pyACL's functions: the modules `acl.rt`, `acl.media`, `acl.util` and `acl.himpi`, and what stands in `acl` itself.

functions.txt lists them, functions.pyx is the compiled module that holds them all.
"""
