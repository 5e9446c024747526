# SPDX-License-Identifier: Apache-2.0
"""Tables and plots of results, for docs/benchmarks. Everything in them comes from results.json."""

import goals

SHAPE = goals.SHAPE
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def write(results, folder):
    """Write README.md (its part between the marks; what people wrote around it stays) and the plots."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, svg in plots(results).items():
        (folder / f"{name}.svg").write_text(svg)
    readme = folder / "README.md"
    text = readme.read_text() if readme.exists() else f"# Benchmarks\n\n{BEGIN}\n{END}\n"
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    readme.write_text(f"{before}{BEGIN}\n\n{tables(results)}\n{END}{after}")


def _table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)]) + "\n"


def _spread(figures, unit=""):
    return f"{figures['median']:,g}{unit} ± {figures['iqr'] / 2:,.3g}"


def tables(results):
    parts = [_environment(results["environment"]), _goals(results)]
    for name, make in (("contention", _contention), ("frames", _frames), ("scaling", _scaling), ("calls", _calls)):
        if name in results:
            parts.append(make(results[name]))
    if "startup" in results:
        parts.append(_startup(results["startup"]))
    return "\n".join(parts)


def _environment(facts):
    load = f"{facts['load_average_before'][0]} before, {facts.get('load_average_after', ['?'])[0]} after"
    return (
        f"**Device: {facts['device']}.** Measured {facts['date']} on {facts['cores']} cores of {facts['cpu']} "
        f"({facts['machine']}, Linux {facts['kernel']}), {facts['python']}, NumPy {facts['numpy']}, {facts['compiler']}, "
        f"commit {facts['commit']}; load average {load}. Times are medians ± half the interquartile range. "
        "Absolute times are this machine's; compare ratios. \"pyACL shape\" is our stand-in for the vendor's module, "
        "written from its documented behaviour, and never the vendor's module itself.\n"
    )


def _goals(results):
    verdicts = goals.judge(results)
    reached = {True: "reached", False: "**missed**", None: "not measured"}
    rows = [(v.number, v.text, v.goal, v.figure, v.peers or "–", reached[v.reached]) for v in verdicts]
    count = sum(v.reached is True for v in verdicts)
    head = ("goal", "figure", "asked for", "measured", "pyACL shape (stand-in)", "")
    return f"## Goals: {count} of {len(verdicts)} reached\n\n" + _table(head, rows)


def _contention(group):
    text = "## Who waits for the GIL\n"
    if "blocked" in group:
        text += (
            "\nDevice of 30 fps a channel, always busy, one output slot: share of time in which it stands still because a "
            "callback has not returned, by the simulated device's own account. `burn`: one pure-Python thread; `hold20`: a "
            "thread that holds the GIL for 20 ms, again and again.\n\n![blocked](blocked.svg)\n\n"
        )
        peers = list(dict.fromkeys(row["peer"] for row in group["blocked"]))
        keys = list(dict.fromkeys((row["channels"], row["load"]) for row in group["blocked"]))
        cells = {
            (row["channels"], row["load"], row["peer"]): f"{row['blocked_percent']:.2f} %" for row in group["blocked"]
        }
        rows = [(*key, *(cells.get((*key, peer), "–") for peer in peers)) for key in keys]
        text += _table(("channels", "load", *peers), rows)
    if "fast" in group:
        text += (
            "\nDevice of 0.5 ms a frame, one channel, fed from Python: frames per second, and share of what the C loop "
            "reaches without a load.\n\n"
        )
        peers = list(dict.fromkeys(row["peer"] for row in group["fast"]))
        keys = list(dict.fromkeys((row["output_slots"], row["load"]) for row in group["fast"]))
        cells = {
            (row["output_slots"], row["load"], row["peer"]): f"{row['frames_per_second']:,.0f} ({row['share_percent']} %)"
            for row in group["fast"]
        }
        rows = [(*key, *(cells.get((*key, peer), "–") for peer in peers)) for key in keys]
        text += _table(("output slots", "load", *peers), rows)
    if "submit" in group:
        text += (
            "\nPython paces 30 fps on each channel; `aclvencSendFrame` takes 150 µs, as it waits for the device: frames per "
            "second and channel, and how long one tick takes, p50 / p99.\n\n![submit](submit.svg)\n\n"
        )
        rows = [
            (
                row["channels"],
                row["load"],
                row["peer"],
                f"{row['frames_per_second']:.1f}",
                f"{row['tick_ms']['p50']:.2f} / {row['tick_ms']['p99']:.2f} ms",
            )
            for row in group["submit"]
        ]
        text += _table(("channels", "load", "peer", "fps", "tick"), rows)
    if "latency" in group:
        text += "\nFrom the entry of the callback to the packet in Python, one channel, µs, p50 / p99 / p99.9.\n\n"
        rows = [
            (
                f"{1e6 / row['encode_time_us']:.0f}",
                row["load"],
                row["peer"],
                " / ".join(f"{row['us'][name]:,.0f}" for name in ("p50", "p99", "p99.9")),
            )
            for row in group["latency"]
        ]
        text += _table(("fps", "load", "peer", "µs"), rows)
    return text


def _frames(group):
    text = (
        "## CPU per frame\n\nAs fast as it goes, every frame copied in and out. `serial`: one thread sends and processes "
        "reports; `threaded`: a report thread, as every program with a live device has. Times C is within the mode. "
        "\"device alone\" is what the simulated device itself costs, which is part of every figure.\n\n![frames](frames.svg)\n\n"
    )
    rows = [
        (
            f"{row['width']}×{row['height']}",
            f"{row['access_unit'] // 1000} KB",
            row["batch"],
            row["mode"],
            row["peer"],
            _spread(row["cpu_ns"], " ns"),
            f"{row['times_floor']:.2f}",
            f"{row['ns_over_floor']:+,.0f}",
            f"{row['frames_per_second']:,}",
        )
        for row in group["rows"]
    ]
    head = ("picture", "access unit", "batch", "mode", "peer", "CPU a frame", "× C", "ns over C", "frames/s")
    text += _table(head, rows)
    text += "\nThe vendor's sample flow, encoded to a file in memory:\n\n"
    rows = [
        (f"{row['access_unit'] // 1000} KB", row["peer"], _spread(row["cpu_ns"], " ns"), f"{row['times_less']:.1f}")
        for row in group["file_flow"]
    ]
    text += _table(("access unit", "peer", "CPU a frame", "times less than documented"), rows)
    text += (
        "\nHeap allocations per frame (128×128, 20 KB); the C row is the simulated device's own. The last column counts "
        "Python's objects too (`PYTHONMALLOC=malloc`).\n\n"
    )
    both = {}
    for row in group["allocations"]:
        both.setdefault(row["peer"], {})[row["python_objects"]] = row
    rows = [(peer, f"{r[False]['per_frame']:.3f}", f"{r[True]['per_frame']:.2f}") for peer, r in both.items()]
    return text + _table(("peer", "malloc", "with Python objects"), rows)


def _scaling(group):
    text = (
        "## Scaling\n\n30 fps on each channel, sent by one thread. CPU without the device's own threads; \"back\" leaves the "
        "sending thread out. Wake-ups: voluntary context switches.\n\n![scaling](scaling.svg)\n\n"
    )
    rows = [
        (
            row["channels"],
            row["peer"],
            f"{row['cpu_us_per_frame']:.1f} ({row['cpu_us_per_frame_times_c']:.2f} × C)",
            f"{row['report_us_per_frame']:.1f} ({row['report_us_per_frame_times_c']:.2f} × C)",
            f"{row['hold_us']['p50']:.1f} / {row['hold_us']['p99']:.1f}",
            row["switches_per_frame"],
            f"{row['threads']:.0f}",
            row["rss_mib"],
        )
        for row in group["rows"]
    ]
    head = ("channels", "peer", "CPU µs a frame", "back", "hold µs p50 / p99", "wake-ups", "threads", "RSS MiB")
    drift = group["drift"]
    return (
        text
        + _table(head, rows)
        + f"\nResident memory over {drift['frames']:,} frames, after 200,000: {drift['steps_kib']} KiB at each tenth; "
        f"{drift['pool_growths']} packet buffers were allocated meanwhile.\n"
    )


def _calls(group):
    rows = [(row["call"], row["peer"], _spread(row["ns"], " ns")) for row in group["rows"]]
    return (
        "## Calls\n\nSends and callbacks contain what the simulated device does in them.\n\n"
        + _table(("call", "peer", "CPU"), rows)
    )


def _startup(group):
    names = {
        "import_ms": "import, beyond NumPy's",
        "open_ms": "open",
        "open_and_first_packet_ms": "open and first packet",
        "close_ms": "close",
        "second_open_and_first_packet_ms": "open and first packet, second encoder of the process",
    }
    return "## Start-up\n\n" + _table(
        ("what", "ms"), [(text, _spread(group[name])) for name, text in names.items() if name in group]
    )


# ---- plots ------------------------------------------------------------------------------------------------------------------

COLOURS = {"C": "#8a8f98", SHAPE: "#c8553d", "ours": "#2f6db5"}


def _colour(peer):
    if peer.startswith(("Encoder", "ascend_venc")):
        return COLOURS["ours"]
    return COLOURS["C"] if peer in ("C", "device alone") else COLOURS[SHAPE]


def bars(title, unit, groups):
    """Horizontal bars: {group: [(label, value, colour)]}, as SVG."""
    bar, gap, left, width = 16, 14, 330, 860
    most = max(value for items in groups.values() for _, value, _ in items) or 1
    scale = (width - left - 110) / most
    parts, y = [], 44
    for group, items in groups.items():
        parts.append(f'<text x="8" y="{y + 12}" font-weight="bold">{_escape(group)}</text>')
        for label, value, colour in items:
            parts.append(f'<text x="{left - 8}" y="{y + 12}" text-anchor="end">{_escape(label)}</text>')
            length = max(value * scale, 1)
            parts.append(f'<rect x="{left}" y="{y}" width="{length:.1f}" height="{bar - 3}" fill="{colour}"/>')
            parts.append(f'<text x="{left + length + 6:.1f}" y="{y + 12}">{value:,.4g} {_escape(unit)}</text>')
            y += bar
        y += gap
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y}" viewBox="0 0 {width} {y}" '
        f'font-family="sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n'
        f'<text x="8" y="22" font-size="15">{_escape(title)}</text>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _escape(text):
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def plots(results):
    """{name: SVG} of the groups that were measured."""
    found = {}
    contention, scaling, frames = (results.get(name, {}) for name in ("contention", "scaling", "frames"))
    if "blocked" in contention:
        groups = {}
        for row in contention["blocked"]:
            if row["load"] != "none" and row["peer"] != "ascend_venc.acl":
                items = groups.setdefault(f"{row['channels']} channels, {row['load']}", [])
                items.append((row["peer"], row["blocked_percent"], _colour(row["peer"])))
        found["blocked"] = bars("Device stands still because a callback has not returned", "%", groups)
    if "submit" in contention:
        groups = {}
        for row in contention["submit"]:
            items = groups.setdefault(f"{row['channels']} channels, {row['load']}", [])
            items.append((row["peer"], row["frames_per_second"], _colour(row["peer"])))
        found["submit"] = bars("Frames per second that Python submits on each channel; 30 wanted", "fps", groups)
    if frames:
        groups = {}
        for row in frames["rows"]:
            if row["width"] == 128 and row["batch"] == 8 and row["peer"] != goals.DOCUMENTED:
                items = groups.setdefault(f"{row['access_unit'] // 1000} KB, {row['mode']}", [])
                items.append((row["peer"], row["cpu_ns"]["median"] / 1000, _colour(row["peer"])))
        found["frames"] = bars("CPU per frame, 128×128, batches of 8", "µs", groups)
    if scaling:
        groups = {}
        for row in scaling["rows"]:
            items = groups.setdefault(f"{row['channels']} × 30 fps", [])
            items.append((row["peer"], row["cpu_us_per_frame"], _colour(row["peer"])))
        found["scaling"] = bars("CPU per frame at 30 fps a channel, sending and receiving", "µs", groups)
    return found
