# SPDX-License-Identifier: Apache-2.0
"""Groups of figures. Each module has functions (options) -> rows, in the form that report.py renders."""
