# SPDX-License-Identifier: Apache-2.0
"""SEI as ITU-T H.264 and H.265 (7.3.2.3, 7.3.5, 7.4.1) say it, independent of the product's code."""

import io
import re

from . import annexb

DEMUXERS = {"h264": "h264", "h265": "hevc"}


def escape(rbsp):
    """Emulation prevention, from the words of 7.4.1: before a byte up to 3 behind two zeros."""
    return re.sub(b"\0\0(?=[\0-\3])", b"\0\0\3", rbsp)


def number(value):
    return b"\xff" * (value // 255) + bytes([value % 255])


def write(messages, codec):
    """An SEI NAL unit, without start code, of (type, payload)."""
    header = b"\x06" if codec == "h264" else b"\x4e\x01"
    body = b"".join(number(kind) + number(len(payload)) + payload for kind, payload in messages)
    return header + escape(body + b"\x80")


def read(data, codec):
    """The messages of Annex B data: (type, payload, whether of a suffix SEI)."""
    found = []
    for nal in annexb.nal_units(data):
        kind = nal[0] & 31 if codec == "h264" else nal[0] >> 1 & 63
        if kind not in ((6,) if codec == "h264" else (39, 40)):
            continue
        rbsp = re.sub(b"\0\0\3", b"\0\0", nal[1 if codec == "h264" else 2 :])
        assert rbsp.endswith(b"\x80")
        rest = rbsp[:-1]
        while rest:
            numbers = []
            for _ in range(2):
                value = 0
                while rest[0] == 255:
                    value, rest = value + 255, rest[1:]
                numbers.append(value + rest[0])
                rest = rest[1:]
            found.append((numbers[0], rest[: numbers[1]], kind == 40))
            assert len(rest) >= numbers[1]
            rest = rest[numbers[1] :]
    return found


def traced(data, codec):
    """Every syntax element that FFmpeg's trace_headers finds in a stream: a list of (name, value), in order."""
    import av
    from av.bitstream import BitStreamFilterContext

    level = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)
    try:
        with av.logging.Capture(local=True) as lines, av.open(io.BytesIO(data), format=DEMUXERS[codec]) as source:
            tracer = BitStreamFilterContext("trace_headers", source.streams.video[0])
            del lines[:]  # what it said of the headers that the demuxer had found
            for packet in source.demux():
                if packet.size:
                    tracer.filter(packet)
    finally:
        av.logging.set_level(level)
    elements = []
    for _, _, text in lines:
        match = re.match(r"\d+\s+(\w[\w\[\]]*)\s+[01]* = (-?\d+)\s*$", text)
        if match:
            elements.append((match[1], int(match[2])))
    return elements
