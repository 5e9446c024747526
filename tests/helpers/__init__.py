# SPDX-License-Identifier: Apache-2.0
"""Code that several tests share. Tests import it as `from helpers import ...`."""
