# SPDX-License-Identifier: Apache-2.0
"""The goals, as ratios within one run on the simulated device, and whether results reach them."""

from dataclasses import dataclass

SHAPE = "pyACL shape, as shipped"
DOCUMENTED = "pyACL shape, as documented"


@dataclass
class Verdict:
    """A goal's row: `reached` is None where the figure was not measured."""

    number: str
    text: str
    goal: str
    figure: str
    peers: str
    reached: "bool | None"


def _find(rows, **wanted):
    for row in rows:
        if all(row.get(key) == value for key, value in wanted.items()):
            return row
    return None


def _median(row, figure):
    value = row[figure]
    return value["median"] if isinstance(value, dict) else value


def judge(results):
    """Verdicts on all goals whose groups are in `results`."""
    verdicts = []
    for group, judges in JUDGES.items():
        for judge_one in judges:
            if group in results:
                verdicts += judge_one(results[group])
    return verdicts


# ---- contention --------------------------------------------------------------------------------------------------------


def _g1(group):
    rows = group.get("blocked", [])
    worst, shape_least, shape_most = None, None, None
    for row in rows:
        if row["load"] == "none" or row["peer"] not in ("Encoder", SHAPE):
            continue
        unloaded = _find(rows, peer=row["peer"], channels=row["channels"], load="none")
        points = row["blocked_percent"] - unloaded["blocked_percent"]
        if row["peer"] == "Encoder":
            worst = points if worst is None else max(worst, points)
        else:
            shape_least = points if shape_least is None else min(shape_least, points)
            shape_most = points if shape_most is None else max(shape_most, points)
    if worst is None:
        return []
    return [
        Verdict(
            "G1",
            "device blocked because a callback has not returned, either load, 1 / 8 / 32 channels; worst case",
            "≤ +1 point over unloaded",
            f"{worst:+.2f} points",
            f"{shape_least:+.0f} to {shape_most:+.0f}",
            worst <= 1,
        )
    ]


def _g2(group):
    rows = [row for row in group.get("fast", []) if row["output_slots"] == 8 and row["load"] != "none"]
    ours = [row["share_percent"] for row in rows if row["peer"].startswith("Encoder")]
    shape = {row["load"]: row["share_percent"] for row in rows if row["peer"] == SHAPE}
    if not ours:
        return []
    return [
        Verdict(
            "G2",
            "0.5 ms frames, 8 output slots, either load: share of the device's speed; worst case",
            "≥ 98 %",
            f"{min(ours):.1f} %",
            " / ".join(f"{value:.1f} %" for value in shape.values()),
            min(ours) >= 98,
        )
    ]


def _g4(group):
    rows = [row for row in group.get("submit", []) if row["channels"] == 32 and row["load"] != "none"]
    ours = [row for row in rows if row["peer"] == "Encoder.submit_async"]
    shape = [row for row in rows if row["peer"] == SHAPE]
    if not ours:
        return []
    fps = min(row["frames_per_second"] for row in ours)
    tick = max(row["tick_ms"]["p99"] for row in ours)
    return [
        Verdict(
            "G4",
            "submitting 32 × 30 fps, either load, send blocks 150 µs (submit_async); worst case",
            "≥ 29.5 fps, tick p99 ≤ 3 ms",
            f"{fps:.1f} fps, {tick:.1f} ms",
            " / ".join(f"{row['frames_per_second']:.1f} fps" for row in shape),
            fps >= 29.5 and tick <= 3,
        )
    ]


def _asyncio(group):
    ratios = []
    rows = group.get("latency", [])
    for row in rows:
        if row["peer"] == "Encoder, asyncio" and row["load"] != "none":
            other = _find(
                rows,
                peer=f"{SHAPE}, call_soon_threadsafe",
                load=row["load"],
                encode_time_us=row["encode_time_us"],
            )
            ratios.append(row["us"]["p99"] / other["us"]["p99"])
    if not ratios:
        return []
    return [
        Verdict(
            "asyncio",
            "packet to coroutine under load, p99, against a Python callback with call_soon_threadsafe; worst case",
            "≤ 1/5",
            f"{max(ratios):.2f} ×",
            "1 ×",
            max(ratios) <= 0.2,
        )
    ]


# ---- scaling -------------------------------------------------------------------------------------------------------------


def _g3(group):
    p50, p99, shape = [], [], []
    for row in group["rows"]:
        floor = _find(group["rows"], peer="C", channels=row["channels"])["hold_us"]
        if row["peer"] == "Encoder":
            p50.append(row["hold_us"]["p50"] / floor["p50"])
            p99.append(row["hold_us"]["p99"] / floor["p99"])
        elif row["peer"] == SHAPE:
            shape.append((row["hold_us"]["p50"] / floor["p50"], row["hold_us"]["p99"] / floor["p99"]))
    return [
        Verdict(
            "G3",
            "callback hold time against a bare C callback, p50 / p99, 1 to 64 channels; worst case",
            "≤ 1.2 × / ≤ 1.5 ×",
            f"{max(p50):.2f} × / {max(p99):.2f} ×",
            f"{max(s[0] for s in shape):.1f} × / {max(s[1] for s in shape):.1f} ×",
            max(p50) <= 1.2 and max(p99) <= 1.5,
        )
    ]


def _g9_drift(group):
    drift = group["drift"]
    return [
        Verdict(
            "G9",
            f"growth of resident memory over {drift['frames']:,} frames",
            "≤ 64 KiB",
            f"{drift['drift_kib']} KiB, {drift['pool_growths']} new packet buffers",
            "not measured",
            drift["drift_kib"] <= 64,
        )
    ]


def _g10(group):
    ratio = {row["peer"]: row["report_us_per_frame_times_c"] for row in group["rows"] if row["channels"] == 64}
    total = {row["peer"]: row["cpu_us_per_frame_times_c"] for row in group["rows"] if row["channels"] == 64}
    verdicts = []
    for peer, limit in (("Encoder, coalesced", 1.2), ("Encoder, sink", 1.2), ("Encoder", 1.8)):
        if peer in ratio:
            verdicts.append(
                Verdict(
                    "G10",
                    f"64 × 30 fps, CPU of getting frames back against C's report loop: {peer}",
                    f"≤ {limit} ×",
                    f"{ratio[peer]:.2f} × (with sending {total[peer]:.2f} ×)",
                    f"{ratio[SHAPE]:.2f} × ({total[SHAPE]:.2f} ×)",
                    ratio[peer] <= limit,
                )
            )
    natives = [row["native_threads"] for row in group["rows"] if row["peer"].startswith("Encoder")]
    verdicts.append(
        Verdict("G10", "native threads of the engine, 1 to 64 channels", "≤ 2", f"{max(natives):.0f}", "", max(natives) <= 2)
    )
    return verdicts


# ---- frames -----------------------------------------------------------------------------------------------------------------


def _row(group, peer, mode, access_unit, batch=8, width=128):
    return _find(group["rows"], peer=peer, mode=mode, access_unit=access_unit, batch=batch, width=width)


def _g5(group):
    verdicts = []
    for access_unit, times, added in ((20_000, 1.5, 220), (200_000, 1.15, None)):
        ours, shape = (_row(group, peer, "threaded", access_unit) for peer in ("Encoder.submit_many", SHAPE))
        goal = f"≤ {times} ×" + (f", ≤ {added} ns added" if added else "")
        reached = ours["times_floor"] <= times and (added is None or ours["ns_over_floor"] <= added)
        verdicts.append(
            Verdict(
                "G5",
                f"CPU over the C loop, batches of 8, Packets delivered, {access_unit // 1000} KB",
                goal,
                f"{ours['times_floor']:.2f} ×, {ours['ns_over_floor']:+,.0f} ns",
                f"{shape['times_floor']:.2f} ×, {shape['ns_over_floor']:+,.0f} ns",
                reached,
            )
        )
    return verdicts


def _g6(group):
    ours, shape = (_row(group, peer, "threaded", 20_000, batch=1) for peer in ("Encoder.encode", SHAPE))
    return [
        Verdict(
            "G6",
            "CPU over the C loop, one fused call per frame, 20 KB",
            "≤ 1.45 ×, ≤ 275 ns added",
            f"{ours['times_floor']:.2f} ×, {ours['ns_over_floor']:+,.0f} ns",
            f"{shape['times_floor']:.2f} ×, {shape['ns_over_floor']:+,.0f} ns",
            ours["times_floor"] <= 1.45 and ours["ns_over_floor"] <= 275,
        )
    ]


def _g7(group):
    """The shape's overhead is taken where it has no report thread, which is the kinder way."""
    verdicts = []
    for peer, batch in (("Encoder.submit_many", 8), ("Encoder.encode", 1)):
        ours = _row(group, peer, "threaded", 20_000, batch)["ns_over_floor"]
        serial, threaded = (_row(group, SHAPE, mode, 20_000, batch)["ns_over_floor"] for mode in ("serial", "threaded"))
        ratio = min(serial, threaded) / max(ours, 1)
        verdicts.append(
            Verdict(
                "G7",
                f"overhead over C against the pyACL shape as shipped, 20 KB, {peer}",
                "≥ 25 × less",
                f"{ratio:.1f} × less ({max(serial, threaded) / max(ours, 1):.1f} × in its other mode)",
                f"{min(serial, threaded):,.0f} ns",
                ratio >= 25,
            )
        )
    return verdicts


def _g8(group):
    ours = _row(group, "Encoder.submit_many", "threaded", 20_000, 8, 1920)
    documented = _row(group, DOCUMENTED, "serial", 20_000, 8, 1920)
    return [
        Verdict(
            "G8",
            "1080p with input copy against C with as many buffers in flight",
            "≤ 1.05 ×",
            f"{ours['times_floor']:.2f} ×",
            f"{documented['times_floor']:.1f} × (documented flow)",
            ours["times_floor"] <= 1.05,
        )
    ]


def _g9(group):
    rows = [row for row in group["allocations"] if not row["python_objects"]]
    floor = _find(rows, peer="C, serial")["per_frame"]
    ours = {row["peer"]: row["per_frame"] - floor for row in rows if row["peer"].startswith("Encoder")}
    shape = _find(rows, peer=SHAPE)["per_frame"] - floor
    worst = max(ours, key=ours.get)
    return [
        Verdict(
            "G9",
            "heap allocations per frame beyond the device's own; worst of the ways to use Encoder",
            "0",
            f"{ours[worst]:.3f} ({worst})",
            f"{shape:.1f}",
            ours[worst] < 0.01,
        )
    ]


def _facade_frame(group):
    ours, shape = (_row(group, peer, "serial", 20_000)["ns_over_floor"] for peer in ("ascend_venc.acl", SHAPE))
    return [
        Verdict(
            "facade",
            "facade frame (send, Python callback, copy out), cost over C, against the pyACL shape",
            "≤ 1/4",
            f"{ours / shape:.2f} × ({ours:,.0f} ns)",
            f"{shape:,.0f} ns",
            ours <= shape / 4,
        )
    ]


def _g12(group):
    verdicts = []
    for access_unit, least in ((2_000, 15), (20_000, 4)):
        rows = [row for row in group["file_flow"] if row["access_unit"] == access_unit]
        ours = [row for row in rows if row["peer"] == "Encoder.submit_many, writev"]
        if ours:
            verdicts.append(
                Verdict(
                    "G12",
                    f"the sample's file flow, written in batches, {access_unit // 1000} KB",
                    f"≥ {least} × less CPU",
                    f"{ours[0]['times_less']:.1f} × less",
                    f"{_find(rows, peer=DOCUMENTED)['cpu_ns']['median']:,.0f} ns",
                    ours[0]["times_less"] >= least,
                )
            )
    return verdicts


# ---- calls, start-up -----------------------------------------------------------------------------------------------------------


def _g11(group):
    verdicts = []
    for call in ("setter", "getter"):
        cost = {row["peer"]: row["ns"]["median"] for row in group["rows"] if row["call"] == call}
        ours, shape = cost["ascend_venc.acl"], cost["pyACL shape (stand-in)"]
        libraries = min(cost["ctypes CDLL"], cost["ctypes PyDLL"])
        verdicts.append(
            Verdict(
                "G11",
                f"facade {call}, against the pyACL shape / ctypes / hand-written FASTCALL",
                "≤ 1/3, ≤ 1/12",
                f"1/{shape / ours:.1f}, 1/{libraries / ours:.1f}; {ours / cost['hand-written FASTCALL']:.2f} × FASTCALL",
                f"{shape:.0f} ns",
                ours <= shape / 3 and ours <= libraries / 12,
            )
        )
    return verdicts


def _startup(group):
    imported, opened = group["import_ms"]["median"], group["open_and_first_packet_ms"]["median"]
    return [
        Verdict("start", "import beyond NumPy's", "≤ 60 ms", f"{imported:.1f} ms", "", imported <= 60),
        Verdict("start", "open and first packet (null codec)", "≤ 5 ms", f"{opened:.1f} ms", "", opened <= 5),
    ]


JUDGES = {
    "contention": [_g1, _g2, _g4, _asyncio],
    "scaling": [_g3, _g10, _g9_drift],
    "frames": [_g5, _g6, _g7, _g8, _g9, _g12, _facade_frame],
    "calls": [_g11],
    "startup": [_startup],
}
