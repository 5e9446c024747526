# SPDX-License-Identifier: Apache-2.0
"""AscendCL's C functions: preconditions, descriptors, their setters and getters (statements 3.1 to 3.4)."""

import ctypes
import threading

import pytest

from helpers import abi, simulator
from helpers.acl_program import Program

INVALID, UNSUPPORTED, INTERNAL, NO_CONTEXT = 100000, 200006, 500000, 107002
SOCS_WITH_ENCODER = ["Ascend310", "Ascend310P3", "Ascend310B4"]

PARAMETERS = {  # type: (name of the plain setter, width in bytes, a good value)
    0: ("ThreadId", 8, 2**63 + 5),
    1: ("Callback", 8, 0x1234),
    2: ("PicFormat", 4, 2),
    3: ("EnType", 4, 3),
    4: ("PicWidth", 4, 1280),
    5: ("PicHeight", 4, 720),
    6: ("KeyFrameInterval", 4, 65536),
    7: ("BufAddr", 8, 0x10000),
    8: ("BufSize", 4, 6 << 20),
    9: ("RcMode", 4, 2),
    10: ("SrcRate", 4, 25),
    11: ("MaxBitRate", 4, 4000),
}
STORED_ONLY = ["ThreadId", "EnType", "PicWidth", "PicHeight", "KeyFrameInterval"]
BY_PROCESSOR = ["PicFormat", "BufAddr", "BufSize", "RcMode", "SrcRate", "MaxBitRate"]
DESTROYERS = {
    "acldvppDestroyPicDesc": "acldvppCreatePicDesc",
    "acldvppDestroyStreamDesc": "acldvppCreateStreamDesc",
    "aclvencDestroyFrameConfig": "aclvencCreateFrameConfig",
    "aclvencDestroyChannelDesc": "aclvencCreateChannelDesc",
}


@pytest.fixture
def sim():
    with abi.device() as device:
        yield device


@pytest.fixture(params=SOCS_WITH_ENCODER)
def any_sim(request):
    with abi.device(soc=request.param) as device:
        device.soc = request.param
        yield device


@pytest.fixture
def program(sim):
    with Program(sim, pump=False) as running:
        yield running


@pytest.fixture
def desc(program):
    unset = dict.fromkeys(("ThreadId", "Callback", "EnType", "PicFormat", "PicWidth", "PicHeight", "KeyFrameInterval"))
    handle = program.channel_desc(**unset)
    yield handle
    assert program.sim.aclvencDestroyChannelDesc(handle) == 0


def in_thread(function):
    """What a function returns in a thread that has never had a context."""
    result = []
    thread = threading.Thread(target=lambda: result.append(function()))
    thread.start()
    thread.join()
    return result[0]


# ---- 1 --------------------------------------------------------------------------------------------------------------


@pytest.mark.statement("3.1.1")
@pytest.mark.sim_only  # once up, the library stays up for the process
def test_media_library_without_context_gives_null_or_500000(sim):
    for create in DESTROYERS.values():
        assert getattr(sim, create)() is None
    for destroy in DESTROYERS:
        assert getattr(sim, destroy)(None) == INTERNAL
    for name in BY_PROCESSOR:
        assert getattr(sim, f"aclvencSetChannelDesc{name}")(None, 1) == INTERNAL
    assert sim.aclvencCreateChannel(None) == INTERNAL
    assert sim.aclvencDestroyChannel(None) == INTERNAL
    assert sim.aclvencSendFrame(None, None, None, None, None) == INTERNAL
    for name in STORED_ONLY:
        assert getattr(sim, f"aclvencSetChannelDesc{name}")(None, 1) == INVALID


@pytest.mark.statement("3.1.2")
def test_media_library_once_up_needs_no_context_for_frame_configs(sim):
    with Program(sim, pump=False):
        assert sim.aclvencDestroyFrameConfig(sim.aclvencCreateFrameConfig()) == 0
    for create in (sim.aclvencCreateFrameConfig, lambda: in_thread(sim.aclvencCreateFrameConfig)):
        config = create()
        assert config
        assert sim.aclvencDestroyFrameConfig(config) == 0


@pytest.mark.statement("3.1.3")
def test_descriptors_in_a_thread_without_context_are_null(program):
    sim = program.sim
    config = sim.aclvencCreateFrameConfig()  # the media library is up
    assert sim.aclvencDestroyFrameConfig(config) == 0
    for create in ("acldvppCreatePicDesc", "acldvppCreateStreamDesc", "aclvencCreateChannelDesc"):
        assert in_thread(getattr(sim, create)) is None, create


@pytest.mark.statement("3.1.4")
@pytest.mark.sim_only
def test_descriptors_without_aclinit_can_be_created(sim):
    sim.aclsim_set_strict(0)  # strict mode reports it
    context = ctypes.c_void_p()
    assert sim.aclrtCreateContext(ctypes.byref(context), 0) == 0
    for destroy, create in DESTROYERS.items():
        handle = getattr(sim, create)()
        assert handle
        assert getattr(sim, destroy)(handle) == 0
    assert sim.aclrtDestroyContext(context) == 0


# ---- 2 --------------------------------------------------------------------------------------------------------------


@pytest.mark.statement("3.2.1")
def test_channel_desc_when_new_is_all_zero(program, desc):
    sim = program.sim
    for name, _, _ in PARAMETERS.values():
        assert not getattr(sim, f"aclvencGetChannelDesc{name}")(desc), name
    assert sim.aclvencGetChannelDescChannelId(desc) == 0


@pytest.mark.statement("3.2.2")
def test_buffer_attributes_of_an_open_channel_read_as_set_by_the_program(program):
    sim = program.sim
    channel = program.channel()
    assert sim.aclvencGetChannelDescBufAddr(channel) is None
    assert sim.aclvencGetChannelDescBufSize(channel) == 0
    # the addresses are the program's to choose, so a second descriptor with a buffer of its own shows them
    address = program.memory(6 << 20)
    other = program.channel(BufAddr=address, BufSize=6 << 20)
    assert sim.aclvencGetChannelDescBufAddr(other) == address
    assert sim.aclvencGetChannelDescBufSize(other) == 6 << 20
    program.destroy(other)


@pytest.mark.statement("3.2.3")
@pytest.mark.parametrize(("soc", "size"), [("Ascend310", 3686400), ("Ascend310P3", 8 << 20), ("Ascend310B4", 8 << 20)])
@pytest.mark.sim_only
def test_output_buffer_has_the_size_of_the_chip(soc, size):
    with abi.device(soc=soc, null_codec=size + 64) as sim, Program(sim) as program:
        channel, picture = program.channel(), program.picture()
        program.send(channel, picture)
        program.end_of_stream(channel)
        program.destroy(channel)
        sim.set_options(null_codec=size)
        channel = program.channel()
        program.send(channel, picture)
        program.end_of_stream(channel)
        assert [(seen.ret_code, seen.size) for seen in program.delivered] == [(3, 0), (0, size)]


@pytest.mark.statement("3.2.4")
@pytest.mark.parametrize(("soc", "with_desc", "with_channel"), [("Ascend310", 1, 0), ("Ascend310P3", 0, 1)])
def test_output_buffer_is_allocated_with_the_descriptor_or_the_channel(soc, with_desc, with_channel):
    size = 3686400 if soc == "Ascend310" else 8 << 20

    def taken(before):
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        assert sim.aclrtGetMemInfo(0, ctypes.byref(free), ctypes.byref(total)) == 0
        return free.value if before is None else before - free.value

    with abi.device(soc=soc, null_codec=500) as sim, Program(sim) as program:
        before = taken(None)
        desc = program.channel_desc()
        assert taken(before) // size == with_desc
        assert sim.aclvencCreateChannel(desc) == 0
        assert taken(before) // size == 1 == with_desc + with_channel
        program.send(desc, program.picture())
        program.end_of_stream(desc)
        assert len(program.delivered) == 1
        assert sim.aclvencDestroyChannel(desc) == 0
        program.destroy_desc(desc)
        assert taken(before) < size


@pytest.mark.sim_only
def test_descriptor_of_ascend310_without_memory_for_its_buffer_is_null():
    with abi.device(soc="Ascend310") as sim, Program(sim, pump=False), sim.options(memory_limit=1 << 20):
        assert sim.aclvencCreateChannelDesc() is None
        assert "output buffer" in sim.error_text()


# ---- 3 --------------------------------------------------------------------------------------------------------------


@pytest.mark.statement("3.3.1")
@pytest.mark.parametrize("name", STORED_ONLY)
def test_setters_that_only_store_take_any_value(program, desc, name):
    sim = program.sim
    for value in (0, 1, 7, 0x7FFFFFFF):
        assert getattr(sim, f"aclvencSetChannelDesc{name}")(desc, value) == 0
        assert getattr(sim, f"aclvencGetChannelDesc{name}")(desc) == value
    assert getattr(sim, f"aclvencSetChannelDesc{name}")(None, 1) == INVALID


@pytest.mark.statement("3.3.2")
def test_callback_setter_refuses_null(program, desc):
    sim = program.sim
    assert sim.aclvencSetChannelDescCallback(None, 0x1234) == INVALID
    assert sim.aclvencSetChannelDescCallback(desc, None) == INVALID
    assert sim.aclvencSetChannelDescCallback(desc, 0x1234) == 0
    assert sim.aclvencGetChannelDescCallback(desc) == 0x1234


@pytest.mark.statement("3.3.3")
def test_picture_format_setter_takes_nv12_and_nv21_only(program, desc):
    sim = program.sim
    assert [sim.aclvencSetChannelDescPicFormat(desc, value) for value in (0, 1, 2, 3, -1, 10000)] == [
        INVALID, 0, 0, INVALID, INVALID, INVALID
    ]  # fmt: skip
    assert sim.aclvencGetChannelDescPicFormat(desc) == 2
    assert sim.aclvencSetChannelDescPicFormat(None, 1) == INVALID


@pytest.mark.statement("3.3.4")
def test_rate_control_setter_checks_by_chip(any_sim):
    with Program(any_sim, pump=False) as program:
        desc = program.channel_desc()
        refused = 0 if any_sim.soc == "Ascend310" else INVALID
        assert [any_sim.aclvencSetChannelDescRcMode(desc, value) for value in (0, 1, 2, 3)] == [0, 0, 0, refused]
        assert any_sim.aclvencSetChannelDescRcMode(None, 1) == INVALID
        program.destroy_desc(desc)


@pytest.mark.statement("3.3.5")
@pytest.mark.parametrize("name", ["SrcRate", "MaxBitRate"])
def test_rate_setters_store_any_value(program, desc, name):
    sim = program.sim
    assert getattr(sim, f"aclvencSetChannelDesc{name}")(desc, 2**32 - 1) == 0
    assert getattr(sim, f"aclvencGetChannelDesc{name}")(desc) == 2**32 - 1
    assert getattr(sim, f"aclvencSetChannelDesc{name}")(None, 1) == INVALID


@pytest.mark.statement("3.3.6", "3.3.7")
def test_buffer_setters_check_by_chip(any_sim):
    with Program(any_sim, pump=False) as program:
        desc = program.channel_desc()
        sizes = [any_sim.aclvencSetChannelDescBufSize(desc, value) for value in (0, (5 << 20) - 1, 5 << 20)]
        addresses = [any_sim.aclvencSetChannelDescBufAddr(desc, value) for value in (None, 0x1000, 0x1000)]
        if any_sim.soc == "Ascend310":
            assert sizes + addresses == [UNSUPPORTED] * 6
        else:
            assert sizes == [INVALID, INVALID, 0]
            assert addresses == [INVALID, 0, INVALID]
            assert any_sim.aclvencSetChannelDescBufSize(None, 6 << 20) == INVALID
            assert any_sim.aclvencSetChannelDescBufAddr(None, 0x1000) == INVALID
        program.destroy_desc(desc)


def set_param(sim, desc, kind, value, length):
    data = ctypes.create_string_buffer(value.to_bytes(16, "little"))
    return sim.aclvencSetChannelDescParam(desc, kind, length, data)


def get_param(sim, desc, kind, length=8):
    """(code, value, size that it says); the size is -1 if it was left alone."""
    data, size = ctypes.create_string_buffer(16), ctypes.c_size_t(2**64 - 1)
    code = sim.aclvencGetChannelDescParam(desc, kind, length, ctypes.byref(size), data)
    said = -1 if size.value == 2**64 - 1 else size.value
    return code, int.from_bytes(data.raw, "little"), said


@pytest.mark.statement("3.3.8")
def test_ip_proportion_is_there_or_unsupported_by_chip(any_sim):
    with Program(any_sim, pump=False) as program:
        desc = program.channel_desc()
        if any_sim.soc == "Ascend310P3":
            assert set_param(any_sim, desc, 12, 50, 4) == UNSUPPORTED
            assert get_param(any_sim, desc, 12)[::2] == (UNSUPPORTED, -1)
        else:
            assert set_param(any_sim, desc, 12, 500, 4) == 0
            assert get_param(any_sim, desc, 12) == (0, 500, 4)
        program.destroy_desc(desc)


@pytest.mark.statement("3.3.9")
@pytest.mark.parametrize("kind", PARAMETERS)
def test_param_setter_is_the_individual_setter(program, desc, kind):
    sim = program.sim
    name, size, value = PARAMETERS[kind]
    assert sim.aclvencSetChannelDescParam(desc, kind, size, None) == INVALID
    assert set_param(sim, desc, kind, value, size + 1) == INVALID
    assert set_param(sim, None, kind, value, size) == INVALID
    assert not getattr(sim, f"aclvencGetChannelDesc{name}")(desc)
    assert set_param(sim, desc, kind, value, size) == 0
    assert getattr(sim, f"aclvencGetChannelDesc{name}")(desc) == value
    assert get_param(sim, desc, kind) == (0, value, size)


@pytest.mark.statement("3.3.10")
def test_param_setter_with_a_shorter_length_fills_up_with_zeros(program, desc):
    sim = program.sim
    assert set_param(sim, desc, 4, 0x11223344, 4) == 0
    assert set_param(sim, desc, 4, 0x55667788, 2) == 0
    assert sim.aclvencGetChannelDescPicWidth(desc) == 0x7788
    assert set_param(sim, desc, 0, 0x55667788, 0) == 0
    assert sim.aclvencGetChannelDescThreadId(desc) == 0


@pytest.mark.statement("3.3.11")
def test_param_getter_leaves_the_size_alone_when_it_refuses(program, desc):
    sim = program.sim
    size, data = ctypes.c_size_t(77), ctypes.create_string_buffer(16)
    for kind in (-1, 13, 99):
        assert set_param(sim, desc, kind, 1, 4) == INVALID
        assert get_param(sim, desc, kind, 16) == (INVALID, 0, -1)
    for kind, (_, length, _) in PARAMETERS.items():
        assert get_param(sim, desc, kind, length - 1) == (INVALID, 0, -1)
        assert get_param(sim, desc, kind, 16) == (0, 0, length)
    assert sim.aclvencGetChannelDescParam(None, 0, 8, ctypes.byref(size), data) == INVALID
    assert sim.aclvencGetChannelDescParam(desc, 0, 8, None, data) == INVALID
    assert sim.aclvencGetChannelDescParam(desc, 0, 8, ctypes.byref(size), None) == INVALID
    assert size.value == 77


@pytest.mark.statement("3.3.12")
def test_param_getter_on_ascend310_has_no_buffer():
    with abi.device(soc="Ascend310") as sim, Program(sim, pump=False) as program:
        desc = program.channel_desc()
        assert get_param(sim, desc, 7) == (UNSUPPORTED, 0, -1)
        assert get_param(sim, desc, 8) == (UNSUPPORTED, 0, -1)
        assert sim.aclvencGetChannelDescBufAddr(desc) is None
        assert sim.aclvencGetChannelDescBufSize(desc) == 0
        program.destroy_desc(desc)


# ---- 4 --------------------------------------------------------------------------------------------------------------


@pytest.mark.statement("3.4.1")
def test_getters_with_null_give_their_defaults(program):
    sim = program.sim
    for name, _, _ in PARAMETERS.values():
        assert (getattr(sim, f"aclvencGetChannelDesc{name}")(None) or 0) == (1 if name == "PicFormat" else 0)
    for *_, name, parameters in simulator.FUNCTIONS:
        if name.startswith(("acldvppGetPicDesc", "acldvppGetStreamDesc", "aclvencGetFrameConfig")):
            assert not getattr(sim, name)(*[None if "*" in text else 0 for text in parameters.split(",")]), name


@pytest.mark.statement("3.4.2")
@pytest.mark.parametrize("destroy", DESTROYERS)
def test_destroying_null_succeeds(program, destroy):
    assert program.sim.aclvencDestroyFrameConfig(program.sim.aclvencCreateFrameConfig()) == 0
    assert getattr(program.sim, destroy)(None) == 0


@pytest.mark.statement("3.4.3")
@pytest.mark.parametrize("destroy", DESTROYERS)
@pytest.mark.sim_only
def test_destroying_twice_or_the_wrong_kind_is_100000(program, destroy):
    sim = program.sim
    handle = getattr(sim, DESTROYERS[destroy])()
    wrong = next(other for other in DESTROYERS if other != destroy)
    assert getattr(sim, wrong)(handle) == INVALID
    assert getattr(sim, destroy)(handle) == 0
    assert getattr(sim, destroy)(handle) == INVALID
    again = getattr(sim, DESTROYERS[destroy])()
    assert getattr(sim, destroy)(handle) == INVALID, "the place in the table is taken by a new object"
    assert getattr(sim, destroy)(again) == 0
    assert [text.split("]")[0] for text in sim.take_reports()] == ["[wrong-handle", "[stale-handle", "[stale-handle"]


@pytest.mark.statement("3.4.4")
def test_frame_config_flags_are_0_or_1(program):
    sim = program.sim
    config = sim.aclvencCreateFrameConfig()
    for name in ("ForceIFrame", "Eos"):
        read, write = getattr(sim, f"aclvencGetFrameConfig{name}"), getattr(sim, f"aclvencSetFrameConfig{name}")
        assert read(config) == 0
        assert [(write(config, value), read(config)) for value in (1, 0, 7, 255)] == [(0, 1), (0, 0), (0, 1), (0, 1)]
        assert write(None, 1) == INVALID
    assert sim.aclvencDestroyFrameConfig(config) == 0


PICTURE_FIELDS = ["Size", "Format", "Width", "Height", "WidthStride", "HeightStride", "RetCode"]
STREAM_FIELDS = {"Size": 2**32 - 1, "Format": 3, "Timestamp": 2**64 - 1, "RetCode": 2**32 - 1, "Eos": 1}


@pytest.mark.statement("3.4.5")
def test_picture_and_stream_descriptors_store_what_is_set(program):
    sim = program.sim
    picture, stream = sim.acldvppCreatePicDesc(), sim.acldvppCreateStreamDesc()
    for kind, desc, fields in (
        ("Pic", picture, dict.fromkeys(PICTURE_FIELDS, 0x7FFFFFFF)),
        ("Stream", stream, STREAM_FIELDS),
    ):
        for name, value in {**fields, "Data": 0xDEADBEEF}.items():
            read, write = getattr(sim, f"acldvppGet{kind}Desc{name}"), getattr(sim, f"acldvppSet{kind}Desc{name}")
            assert not read(desc)
            assert write(None, value) == INVALID
            assert write(desc, value) == 0
            assert read(desc) == value
        assert getattr(sim, f"acldvppSet{kind}DescData")(desc, None) == INVALID
    assert sim.acldvppSetStreamDescEos(stream, 9) == 0
    assert sim.acldvppGetStreamDescEos(stream) == 1
    assert sim.acldvppDestroyPicDesc(picture) == 0
    assert sim.acldvppDestroyStreamDesc(stream) == 0


@pytest.mark.statement("3.4.6")
@pytest.mark.sim_only
def test_batch_owns_its_pictures(program):
    sim = program.sim
    assert sim.acldvppCreateBatchPicDesc(0) is None
    batch = sim.acldvppCreateBatchPicDesc(3)
    members = [sim.acldvppGetPicDesc(batch, index) for index in range(4)]
    assert len(set(members)) == 4
    assert members[3] is None
    assert sim.acldvppSetPicDescWidth(members[1], 99) == 0
    assert sim.acldvppGetPicDescWidth(members[1]) == 99
    assert sim.acldvppDestroyPicDesc(members[0]) == INVALID
    assert sim.acldvppDestroyBatchPicDesc(batch) == 0
    assert sim.acldvppGetPicDesc(batch, 0) is None
    assert sim.acldvppSetPicDescWidth(members[1], 1) == INVALID
    assert sim.acldvppDestroyBatchPicDesc(None) == INVALID
    assert len(sim.take_reports()) == 2
