# SPDX-License-Identifier: Apache-2.0
"""`import acl` in the child processes of `ascend-venc run`, which puts this folder on their PYTHONPATH."""

try:
    from ascend_venc.acl import install
except ImportError:  # run from a source tree that only the parent had on its path
    import os
    import sys

    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    from ascend_venc.acl import install

install()  # puts the facade in the place of this module
