# SPDX-License-Identifier: Apache-2.0
"""What the product is compared with."""
