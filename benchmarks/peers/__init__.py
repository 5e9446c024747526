# SPDX-License-Identifier: Apache-2.0
"""The ways of encoding that are compared. A peer is opened with a Workload and has, where its way knows them:

run(frames) -> Work    encode frames on the first channel, as fast as it can
queue(frames)          hand frames to each channel; the device may stand still
sender()               a call that sends one frame on each channel
pace(...) -> Paced     frames at a rate on all channels, as `ascend_venc.cli.streams.pace`
total() -> Work        what came out of all channels since it was opened
close()
"""

import functools

from peers.acl_program import AclProgram, Ctypes, PacedProgram
from peers.c_floor import CFloor
from peers.encoder import Asyncio, EncoderPeer, Paced, Sunk

WITH = functools.partial
PROGRAMS = ("bytes_to_ptr", "numpy_to_ptr")  # what the vendor recommends, and what it deprecates

OPENERS = {
    "C loop": CFloor,
    "device alone": WITH(CFloor, copies=False),
    "ctypes": Ctypes,
    "Encoder.encode": WITH(EncoderPeer, way="encode"),
    "Encoder.submit_many": WITH(EncoderPeer, way="submit_many"),
    "Encoder.submit": WITH(EncoderPeer, way="submit"),
    "Encoder.acquire": WITH(EncoderPeer, way="acquire"),
    "Encoder.submit_async": WITH(EncoderPeer, way="submit_async"),
    "Encoder.submit, a thread each": WITH(EncoderPeer, way="submit"),
    "Encoder, asyncio": Asyncio,
    "Encoder, sink": Sunk,
    "Encoder, immediate": WITH(Paced, way="immediate"),
    "Encoder, coalesced": WITH(Paced, way="coalesced"),
    "Encoder, coalesced to a sink": WITH(Paced, way="sink"),
    **{
        f"Encoder.{call}, many streams": WITH(Paced, call=call, on_full="drop_newest")
        for call in ("submit", "submit_async")
    },
    **{f"{module}, {to_ptr}": WITH(AclProgram, module, to_ptr) for module in AclProgram.MODULES for to_ptr in PROGRAMS},
    **{f"{module}, paced": WITH(PacedProgram, module, "bytes_to_ptr") for module in AclProgram.MODULES},
    **{f"{module}, as documented": WITH(AclProgram, module, per_frame=True) for module in ("stand-in", "pyACL")},
}


def open_peer(name, workload, **options):
    """threaded: with a report thread, for those that may also process their reports themselves."""
    opener = OPENERS[name]
    kind = opener.func if isinstance(opener, functools.partial) else opener
    if not getattr(kind, "SERIAL", False):
        options.pop("threaded", None)
    return opener(workload=workload, **options)


def encodes(name):
    """Whether the peer encodes a number of frames (`run`) and can give the checksum of what came out."""
    opener = OPENERS.get(name)
    if not isinstance(opener, functools.partial):
        return opener in (CFloor, Ctypes)
    way = opener.keywords.get("way", "")
    return opener.func is AclProgram or (opener.func is EncoderPeer and hasattr(EncoderPeer, f"_{way}"))
