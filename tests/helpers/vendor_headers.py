# SPDX-License-Identifier: Apache-2.0
"""The vendor's own headers, to check ours against: out of public Python wheels, never kept.

ASCEND_VENC_VENDOR_HEADERS and ASCEND_VENC_VENDOR_HEADERS_V2 name a folder that holds `acl/acl.h` or
`acl/dvpp/hi_dvpp.h`, or the wheel; else pip downloads the wheel.
"""

import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

PREFIX = "torch_npu/include/third_party/acl/inc/"


@dataclass(frozen=True)
class Source:
    """Where headers come from: a variable for one's own, the wheel, the file to look for, names left out of it."""

    variable: str
    wheel: str
    header: str
    left_out: str


# V2's headers are under another licence, and V1 does not need them.
V1 = Source("ASCEND_VENC_VENDOR_HEADERS", "torch-npu==2.6.0", "acl/acl.h", "hi_dvpp")
V2 = Source("ASCEND_VENC_VENDOR_HEADERS_V2", "torch-npu==2.8.0rc1", "acl/dvpp/hi_dvpp.h", "no such name")


def find(folder, source=V1):
    """A folder with the source's header (unpacked below `folder` if need be), or None with the reason."""
    chosen = os.environ.get(source.variable)
    if chosen and (Path(chosen) / source.header).is_file():
        return Path(chosen), ""
    if chosen:
        wheels = [Path(chosen)]
    else:
        download = ["download", "-q", "--no-deps", "--only-binary=:all:", "--python-version=39", "--timeout=10"]
        done = subprocess.run(
            [sys.executable, "-m", "pip", *download, "--retries=1", "-d", str(folder), source.wheel],
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode != 0 or not wheels:
            return None, f"{source.wheel} cannot be downloaded: {done.stderr.strip()[-200:]}"
    with zipfile.ZipFile(wheels[0]) as wheel:
        for name in wheel.namelist():
            if name.startswith(PREFIX) and name.endswith(".h") and source.left_out not in name:
                wheel.extract(name, folder)
    return Path(folder) / PREFIX, ""
