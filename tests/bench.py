#!/usr/bin/env python3
"""The bench of the whole chain: each figure beside its baseline, both taken in the same run. Nothing here passes or fails.

    cargo build --release --workspace
    tests/bench.py                      everything (about 15 minutes)
    tests/bench.py baseline memory      only these: baseline, rate, free, memory

`crates/archive/examples/archive-bench.rs` measures the archive format alone. LIFEBOAT_PYTHON names a Python with
`databricks-sdk` (tests/run.sh makes one in target/venv); without it the peer's rows are left out, and said so.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parent / "py"))
ROOT = pathlib.Path(__file__).resolve().parents[1]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
os.environ.setdefault("LIFEBOAT_BIN", str(TARGET / "release"))
PEER = os.environ.get("LIFEBOAT_PYTHON", str(TARGET / "venv/bin/python"))

import servers  # noqa: E402

rows = []


def row(what, figure, baseline, ratio, wanted):
    rows.append((what, figure, baseline, ratio, wanted))
    print("  ".join(rows[-1]), flush=True)


def control(url, control, method="POST", **body):
    data = json.dumps(body).encode() if method == "POST" else None
    request = urllib.request.Request(f"{url}/__sim/{control}", data=data, method=method)
    return json.loads(urllib.request.urlopen(request, timeout=600).read() or b"null")


def run(*command, url, token, state=None, expect=(0,)):
    """Runs a command; returns (seconds, CPU seconds, peak memory in MiB, stdout)."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("DATABRICKS_", "ARM_"))}
    env.update(DATABRICKS_HOST=url, DATABRICKS_TOKEN=token, DATABRICKS_CONFIG_FILE=os.devnull)
    if state:
        env["XDG_STATE_HOME"] = str(state)
    with tempfile.TemporaryFile() as out:
        began = time.monotonic()
        process = subprocess.Popen(list(map(str, command)), env=env, stdout=out, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        text = out.read().decode()
    if process.returncode not in expect:
        sys.exit(f"{' '.join(map(str, command))} ended with {process.returncode}\n{text[-4000:]}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, text


def export(folder, url, token, *options, name):
    archive = folder / f"{name}.tar.zst"
    return archive, *run(servers.BINARIES / "lifeboat-export", "run", "--to", archive, *options, url=url, token=token)


def calls(url):
    return control(url, "calls", "GET")


def floor(made):
    """The seconds that the calls of a run take at the published rates, family by family: the slowest decides."""
    rates = [
        (r"GET .*/permissions/", 100), (r"(PUT|PATCH) .*/permissions/", 30), (r"GET .*/workspace/export", 60),
        (r"POST .*/workspace/import", 30), (r"GET .*/scim/", 255 / 60), (r".*/secrets/", 1100 / 60),
        (r".*/dbfs/", 30), (r"POST .*/jobs/create", 20), (r"", 30),
    ]
    seconds = {}
    for call in made:
        line = f"{call['method']} {call['path']}"
        if "/workspace/list" in line or "/workspace/get-status" in line:
            continue  # limited by concurrency, not by a rate
        pattern, rate = next((p, r) for p, r in rates if re.match(p, line))
        seconds[pattern] = seconds.get(pattern, 0) + 1 / rate
    return max(seconds.items(), key=lambda s: s[1])


PEER_SCRIPT = """
import sys
from databricks.sdk import WorkspaceClient
from databricks.sdk.service.workspace import ExportFormat, ObjectType
w = WorkspaceClient(host=sys.argv[1], token=sys.argv[2], auth_type="pat", config_file="/dev/null")
for o in w.workspace.list("/", recursive=True):
    if o.object_type in (ObjectType.NOTEBOOK, ObjectType.FILE):
        w.workspace.download(o.path, format=ExportFormat.SOURCE if o.object_type == ObjectType.NOTEBOOK else ExportFormat.AUTO).read()
for c in w.clusters.list(): w.clusters.get(c.cluster_id)
for j in w.jobs.list(): w.jobs.get(j.job_id)
for s in w.global_init_scripts.list(): w.global_init_scripts.get(s.script_id)
"""


def baseline(folder):
    """The content of the peers' baseline at 100 ms a call."""
    with servers.simulator(folder, "9001", "baseline") as (url, token), servers.simulator(folder, "9002") as (to, other):
        control(url, "latency", milliseconds=100)
        if pathlib.Path(PEER).exists():
            peer = run(PEER, "-c", PEER_SCRIPT, url, token, url=url, token=token)[0]
            shown, ratio = f"SDK loop, no ACLs: {peer:.1f} s", lambda s: f"{peer / s:.1f} x faster"
        else:
            shown, ratio = "no SDK installed", lambda s: "-"
        archive, seconds, *_ = export(folder, url, token, "--limits", "off", name="baseline-off")
        row("export of the peers' baseline, 100 ms, limits off", f"{seconds:.2f} s", shown, ratio(seconds), "<= 3 s")
        control(url, "calls", "DELETE")
        _, seconds, *_ = export(folder, url, token, name="baseline-default")
        family, least = floor(calls(url))
        row("the same with default limits", f"{seconds:.2f} s", f"floor {least:.2f} s ({family or 'other'})", f"{seconds / least:.2f}", "<= 1.15")
        control(to, "latency", milliseconds=100)
        seconds = run(
            servers.BINARIES / "lifeboat-import", "apply", archive, "--target", "9002", "--limits", "off",
            url=to, token=other, state=folder / "state", expect=(0, 3),
        )[0]
        row("import and compare of the same, limits off", f"{seconds:.2f} s", "best peer 125 s (stated, not run here)", f"{125 / seconds:.1f} x faster", "<= 12 s")


def rate(folder):
    """10,000 notebooks with 50 ms latency and the service's limits."""
    with servers.simulator(folder, "9003") as (url, token):
        control(url, "fill", name="sized:10000")
        control(url, "latency", milliseconds=50)
        control(url, "limits", on=True)
        _, seconds, *_ = export(folder, url, token, name="rate")
        made = calls(url)
        throttled = sum(c["status"] == 429 for c in made)
        exports = sum("/workspace/export" in c["path"] for c in made)
        least = exports / 60
        row("export of 10,000 notebooks, 50 ms, 60 exports/s", f"{exports / seconds:.1f} exports/s", "limit 60/s", f"{least / seconds:.2f}", ">= 0.95")
        row("calls answered 429", f"{throttled} of {len(made)}", "-", f"{100 * throttled / len(made):.2f} %", "< 2 %")


def free(folder):
    """10,000 notebooks without latency and limits."""
    with servers.simulator(folder, "9004") as (url, token):
        control(url, "fill", name="sized:10000")
        archive, seconds, cpu, peak, _ = export(folder, url, token, "--limits", "off", name="free")
        objects = sum(1 for c in calls(url) if "/workspace/export" in c["path"])
        row("export of 10,000 notebooks, no latency, no limits", f"{objects / seconds:.0f} notebooks/s", f"{seconds:.1f} s", f"{cpu:.1f} s CPU, {peak:.0f} MiB", "-")


def memory(folder):
    """100,000 notebooks of about 10 KB, 1 GB."""
    with servers.simulator(folder, "9005") as (url, token):
        control(url, "fill", name="sized:100000", cells=50)
        archive, seconds, cpu, peak, _ = export(folder, url, token, "--limits", "off", name="memory")
        info = json.loads(servers.lifeboat("inspect", "info", archive, "--json", url="", token="").splitlines()[-1])
        held = sum(kind["bytes"] for kind in info["summary"]["kinds"].values())
        row("peak memory, export of 100,000 notebooks", f"{peak:.0f} MiB", f"{held / 2**20:.0f} MiB captured in {seconds:.0f} s", f"{archive.stat().st_size / 2**20:.0f} MiB archive", "<= 150 MiB")


ALL = {"baseline": baseline, "rate": rate, "free": free, "memory": memory}
for name in sys.argv[1:] or ALL:
    with tempfile.TemporaryDirectory() as where:
        ALL[name](pathlib.Path(where))
print()
widths = [max(len(r[i]) for r in [*rows, ("what", "figure", "baseline", "ratio", "wanted")]) for i in range(5)]
for r in [("what", "figure", "baseline", "ratio", "wanted"), *rows]:
    print(" | ".join(c.ljust(w) for c, w in zip(r, widths)))
