# SPDX-License-Identifier: Apache-2.0
"""The compiled layer: the only code that Python can see which handles pointers."""
