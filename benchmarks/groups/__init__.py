# SPDX-License-Identifier: Apache-2.0
"""Groups of figures. Each module has `measure(options) -> dict`, which run.py writes as JSON."""
