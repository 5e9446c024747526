# SPDX-License-Identifier: Apache-2.0
"""What one call costs: setter, getter, send, dispatch of a callback, and the small things around them. In ns, without
the loop."""

import contextlib
import time

import device
import native
import numpy as np
from measure import Workload, row
from peers import pyacl, pyacl_shape
from peers.ctypes_binding import Ctypes, bind
from peers.facade import Facade
from peers.pyacl import Pyacl
from peers.pyacl_shape import PyaclShape

SHAPE = "pyACL shape (stand-in)"

LOOP = 2000


def _per_call(function, arguments, calls=LOOP):
    """CPU ns of one call in a loop that is written out the same for all, less the empty loop."""
    code = compile(
        f"def run(f, {', '.join(f'a{i}' for i in range(len(arguments)))}{', ' if arguments else ''}clock):\n"
        "    start = clock()\n"
        f"    for _ in range({calls}):\n"
        f"        f({', '.join(f'a{i}' for i in range(len(arguments)))})\n"
        "    return clock() - start\n",
        "<loop>",
        "exec",
    )
    space = {}
    exec(code, space)
    return space["run"](function, *arguments, time.thread_time_ns) / calls


def _empty_loop():
    start = time.thread_time_ns()
    for _ in range(LOOP):
        pass
    return (time.thread_time_ns() - start) / LOOP


def _modules(options):
    import ctypes

    from ascend_venc import acl as facade

    modules = {SHAPE: pyacl_shape.module(native.device_library()), "ascend_venc.acl": facade}
    if options.pyacl:
        modules[pyacl.LABEL] = pyacl.module()
    return modules, {
        "ctypes.CDLL": bind(native.device_library(), ctypes.CDLL),
        "ctypes.PyDLL": bind(native.device_library(), ctypes.PyDLL),
    }


@contextlib.contextmanager
def pic_descs(options):
    """{label: (set, get, desc, destroy)} of the peers, for one picture descriptor each."""
    import os
    import warnings

    warnings.filterwarnings("ignore", message=".*numpy_to_ptr.*")
    os.environ["ASCEND_VENC_BACKEND"] = native.device_library()
    modules, libraries = _modules(options)
    found, cleanup = {}, []
    for label, module in modules.items():
        module.init()
        context, _ = module.rt.create_context(0)
        desc = module.media.dvpp_create_pic_desc()
        found[label] = module.media.dvpp_set_pic_desc_width, module.media.dvpp_get_pic_desc_width, desc
        cleanup += [(module.media.dvpp_destroy_pic_desc, desc), (module.rt.destroy_context, context)]
    shape = modules[SHAPE]
    found["hand-written FASTCALL"] = (
        shape.util.fastcall_set_width,
        shape.util.fastcall_get_width,
        found[SHAPE][2],
    )
    for label, lib in libraries.items():
        desc = lib.acldvppCreatePicDesc()
        found[label] = lib.acldvppSetPicDescWidth, lib.acldvppGetPicDescWidth, desc
        cleanup.append((lib.acldvppDestroyPicDesc, desc))
    try:
        yield found
    finally:
        for function, handle in reversed(cleanup):
            if function(handle) != 0:
                raise RuntimeError("a handle was not destroyed")


def calls(options):
    rounds = 15 if options.quick else 41
    rows = []
    samples = {}

    def note(call, label, value):
        samples.setdefault((call, label), []).append(value)

    with pic_descs(options) as peers:
        for set_value, get_value, desc in peers.values():
            if set_value(desc, 640) != 0 or get_value(desc) != 640:
                raise RuntimeError("a setter did not set what its getter gets")
        modules, _ = _modules(options)
        array = np.zeros(20_000, np.uint8)
        for _ in range(rounds):
            empty = _empty_loop()
            for label, (set_value, get_value, desc) in peers.items():
                note("setter", label, _per_call(set_value, (desc, 640)) - empty)
                note("getter", label, _per_call(get_value, (desc,)) - empty)
            for label, module in modules.items():
                note("numpy_to_ptr", label, _per_call(module.util.numpy_to_ptr, (array,), LOOP // 10) - empty)
            shape = modules[SHAPE]
            note("numpy_to_ptr, lean", SHAPE, _per_call(shape.util.numpy_to_ptr_lean, (array,)) - empty)
            note("array.ctypes.data", "NumPy", _per_call(lambda a=array: a.ctypes.data, (), LOOP // 10) - empty)
    for call, label, values in _frame_calls(options):
        samples[call, label] = values
    for (call, label), values in samples.items():
        rows.append(row(call, label, values, "ns", digits=1))
    for call in ("setter", "getter"):
        ours = samples[call, "ascend_venc.acl"]
        goals = {SHAPE: "≤ 0.334 (G11)", "ctypes.CDLL": "≤ 0.084 (G11)", "hand-written FASTCALL": None}
        for label, goal in goals.items():
            ratios = [value / other for value, other in zip(ours, samples[call, label])]
            rows.append(row(f"{call}: ascend_venc.acl over", label, ratios, "×", goal, 3))
    return sorted(rows, key=lambda each: each["figure"])


def _frame_calls(options):
    """Of a frame: the send alone, and from the send's end to the end of its callback (in which nothing is done)."""
    peers = {SHAPE: PyaclShape, "ascend_venc.acl": Facade, "ctypes.CDLL": Ctypes}
    if options.pyacl:
        peers[pyacl.LABEL] = Pyacl
    workload = Workload(access_unit=200, batch=8, buffers=8)
    sends = {label: [] for label in peers}
    answers = {label: [] for label in peers}
    with device.configured(workload.access_unit, output_slots=16):
        for _ in range(5 if options.quick else 15):
            for label, opener in peers.items():
                with contextlib.closing(opener(workload)) as peer:
                    send, report = _time_frames(peer)
                sends[label].append(send)
                answers[label].append(report)
    for label in peers:
        yield "send_frame", label, sends[label]
        yield "callback dispatch", label, answers[label]


def _time_frames(peer, rounds=100):
    """(ns per send, ns per callback): a batch of 8 is sent, then reported."""
    count = [0]

    def nothing(picture, output, user_data):
        count[0] += 1

    if isinstance(peer, Ctypes):
        import ctypes

        lib = peer.lib
        callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(nothing)
        lib.aclvencSetChannelDescCallback(peer.desc, ctypes.cast(callback, ctypes.c_void_p))
        send, arguments, process = (
            lib.aclvencSendFrame,
            (peer.desc, peer.pictures[0], None, peer.config, 1),
            peer.process,
        )
    else:
        media, channel = peer.media, peer.channels[0]
        media.venc_set_channel_desc_callback(channel.desc, nothing)
        send, process = media.venc_send_frame, peer.rt.process_report
        arguments = (channel.desc, channel.pictures[0], 0, peer.config, None)
        peer.bind()
    sending = reporting = 0
    clock = time.thread_time_ns
    for number in range(rounds + 10):
        start = clock()
        for _ in range(8):
            send(*arguments)
        sent = clock()
        while count[0] < (number + 1) * 8:
            process(100)
        if number >= 10:
            sending += sent - start
            reporting += clock() - sent
    return sending / rounds / 8, reporting / rounds / 8
