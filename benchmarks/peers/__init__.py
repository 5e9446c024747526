# SPDX-License-Identifier: Apache-2.0
"""The ways of encoding that are compared. A peer is opened with a Workload and has, where its way knows them:

run(frames) -> Work    encode frames on the first channel, as fast as it can
queue(frames)          hand frames to each channel; the device may stand still
sender()               a call that sends one frame on each channel
pace(...) -> Paced     frames at a rate on all channels, as `ascend_venc.cli.streams.pace`; `total` tells their bytes
total() -> Work        what came out of all channels since it was opened
close()
"""

from harness import PACED_PICTURES

from peers.acl_program import AclProgram, PacedProgram
from peers.c_floor import CFloor
from peers.encoder import Asyncio, EncoderPeer, Paced

BYTES, NUMPY = "bytes_to_ptr", "numpy_to_ptr"  # what the vendor recommends, and what its samples use and it deprecates
MODULES = ("stand-in", "pyACL", "facade")
ENCODER_WAYS = ("encode", "submit_many", "acquire", "submit", "submit_async")

PEERS = {  # by name: how it is opened, with which options
    "C loop": (CFloor, {}),
    "device alone": (CFloor, {"copies": False}),
    "ctypes": (AclProgram, {"module": "ctypes", "to_ptr": BYTES}),
    "hand-written FASTCALL": (AclProgram, {"module": "stand-in", "to_ptr": BYTES}),  # of its functions for single calls
    **{f"Encoder.{way}": (EncoderPeer, {"way": way}) for way in ENCODER_WAYS},
    "Encoder.submit, a thread each": (EncoderPeer, {"way": "submit"}),
    "Encoder, asyncio": (Asyncio, {}),
    "Encoder, immediate": (Paced, {}),
    "Encoder, coalesced": (Paced, {"way": "coalesced"}),
    "Encoder, coalesced to a sink": (Paced, {"way": "sink"}),
    **{
        f"Encoder.{call}, many streams": (Paced, {"call": call, "on_full": "drop_newest"})
        for call in ("submit", "submit_async")
    },
    **{
        f"{module}, {way}": (AclProgram, {"module": module, "to_ptr": way})
        for module in MODULES
        for way in (BYTES, NUMPY)
    },
    **{
        f"{module}, paced": (PacedProgram, {"module": module, "to_ptr": BYTES, "pictures": PACED_PICTURES})
        for module in MODULES
    },
    **{
        f"{module}, as documented": (AclProgram, {"module": module, "to_ptr": NUMPY, "per_frame": True})
        for module in MODULES[:-1]
    },
}


def open_peer(name, workload, **more):
    opener, options = PEERS[name]
    return opener(workload, **options, **more)


def encodes(name):
    """Whether the peer's `run` gives the access units of its frames."""
    return name in PEERS and PEERS[name][0] not in (Asyncio, Paced, PacedProgram) and name != "device alone"
