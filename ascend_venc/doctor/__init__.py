# SPDX-License-Identifier: Apache-2.0
"""What is installed on this host, what of it works, and what mends the rest: `ascend-venc doctor`.

`host` reads files, and `trial` asks the vendor's libraries, in child processes that `supervision` bounds: what hangs or
crashes there is a result. `findings` judges both.
"""
