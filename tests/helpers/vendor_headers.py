# SPDX-License-Identifier: Apache-2.0
"""The vendor's own AscendCL headers, to check ours against: out of a public Python wheel, never kept.

ASCEND_VENC_VENDOR_HEADERS names a folder that holds `acl/acl.h`, or the wheel; else pip downloads the wheel.
"""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

WHEEL = "torch-npu==2.6.0"
PREFIX = "torch_npu/include/third_party/acl/inc/"
# Another licence, and not needed.
LEFT_OUT = "hi_dvpp"


def find(folder):
    """A folder with `acl/acl.h` (unpacked below `folder` if need be), or None with the reason why there is none."""
    chosen = os.environ.get("ASCEND_VENC_VENDOR_HEADERS")
    if chosen and (Path(chosen) / "acl" / "acl.h").is_file():
        return Path(chosen), ""
    if chosen:
        wheels = [Path(chosen)]
    else:
        download = ["download", "-q", "--no-deps", "--only-binary=:all:", "--python-version=39", "--timeout=10"]
        done = subprocess.run(
            [sys.executable, "-m", "pip", *download, "--retries=1", "-d", str(folder), WHEEL],
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode != 0 or not wheels:
            return None, f"{WHEEL} cannot be downloaded: {done.stderr.strip()[-200:]}"
    with zipfile.ZipFile(wheels[0]) as wheel:
        for name in wheel.namelist():
            if name.startswith(PREFIX) and name.endswith(".h") and LEFT_OUT not in name:
                wheel.extract(name, folder)
    return Path(folder) / PREFIX, ""
