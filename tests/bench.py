#!/usr/bin/env python3
"""The bench of the whole chain: each figure beside its baseline, both taken in the same run. Nothing here passes or fails.

    cargo build --release --workspace
    tests/bench.py                      everything (about 40 minutes)
    tests/bench.py baseline memory      only these: baseline, rate, free, memory; incremental; import-baseline,
                                        import-second, import-first; upload, one-object
    tests/bench.py import-first:2000,400     import-first and import-second with other numbers of notebooks and jobs than
                                             10,000 and 2,000, upload with other numbers of MiB than 1,024 and 5,120,
                                             incremental and one-object with another number of notebooks than 100,000

In full, `incremental` takes about 60 minutes. `upload` and `one-object` need Azurite, which tests/run.sh installs, and
`upload` the example `measure-place`: cargo build --release -p lifeboat-storage --example measure-place.

`crates/archive/examples/archive-bench.rs` measures the archive format alone. LIFEBOAT_PYTHON names a Python with
`databricks-sdk` (tests/run.sh makes one in target/venv); without it the peer's rows are left out, and said so.
"""

import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, str(pathlib.Path(__file__).parent / "py"))
ROOT = pathlib.Path(__file__).resolve().parents[1]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
os.environ.setdefault("LIFEBOAT_BIN", str(TARGET / "release"))
PEER = os.environ.get("LIFEBOAT_PYTHON", str(TARGET / "venv/bin/python"))

import regions  # noqa: E402
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
    with servers.simulator(folder, "9001", "baseline") as (url, token):
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


def imported(command, archive, target, state, *options, expect=(0, 3)):
    """Runs lifeboat-import against (url, token, workspace id); what `run` returns, and the fields of `--json`."""
    url, token, workspace = target
    tool = servers.BINARIES / "lifeboat-import"
    confirmed = ("--target", workspace) if command != "compare" else ()
    *figures, text = run(tool, command, archive, *confirmed, *options, "--json", url=url, token=token, state=state, expect=expect)
    return *figures, json.loads(text.splitlines()[-1])


def span(made, *parts):
    """Seconds from the first to the last answer to calls whose line has one of these parts, and their number."""
    times = [c["at_ms"] for c in made if any(part in f"{c['method']} {c['path']}" for part in parts)]
    return (max(times) - min(times)) / 1000, len(times)


def import_baseline(folder):
    """The content of the peers' baseline at 100 ms a call, into an empty workspace, compared afterwards."""
    with servers.simulator(folder, "9101", "baseline") as (url, token):
        archive = export(folder, url, token, "--limits", "off", name="import-baseline")[0]
    for workspace, limits, wanted in (("9102", "off", "<= 12 s"), ("9103", "default", "<= 1.15")):
        with servers.simulator(folder, workspace) as (url, token):
            control(url, "join-account", name="baseline")  # its groups of the account exist
            control(url, "latency", milliseconds=100)
            control(url, "limits", on=limits == "default")
            target = (url, token, workspace)
            options = ("--limits", "off") if limits == "off" else ()
            planned = imported("plan", archive, target, folder / limits, *options)[-1]["cost"]["floor"]
            control(url, "calls", "DELETE")
            seconds, _, peak, report = imported("apply", archive, target, folder / limits, *options)
            made = calls(url)
            again = imported("apply", archive, target, folder / limits, *options)
        if limits == "off":
            row("import and compare of the peers' baseline, 100 ms, limits off", f"{seconds:.2f} s", "best peer 125 s (stated, not run here)", f"{125 / seconds:.1f} x faster", wanted)
        else:
            least = floor(made)[1]
            row("the same with default limits", f"{seconds:.2f} s, {peak:.0f} MiB", f"floor of its calls {least:.2f} s, of the plan {planned:.2f} s", f"{seconds / least:.2f}", wanted)
        row("  its second run", f"{again[0]:.2f} s", f"{again[-1]['writes']} writes", "-", "0 writes")


def import_second(folder, notebooks=10_000, jobs=2_000):
    """An unchanged archive of 10,000 notebooks and 2,000 jobs once more, 50 ms, default limits."""
    fill = {"name": f"sized:{notebooks}", "jobs": jobs}
    with servers.simulator(folder, "9201") as (url, token):
        control(url, "fill", **fill)
        archive = export(folder, url, token, "--limits", "off", name="import-second")[0]
    with servers.simulator(folder, "9202") as (url, token):
        control(url, "join-account", **fill)
        target = (url, token, "9202")
        seconds, cpu, peak, report = imported("apply", archive, target, folder / "state", "--limits", "off")
        objects = sum(sum(kind.values()) for kind in report["kinds"].values())
        row(f"import of {notebooks:,} notebooks, no latency, no limits, compared", f"{objects / seconds:.0f} objects/s", f"{seconds:.1f} s, {cpu:.1f} s CPU", f"{peak:.0f} MiB", "-")
        control(url, "latency", milliseconds=50)
        control(url, "limits", on=True)
        reading = listing_and_jobs(url, token)
        time.sleep(65)  # the quotas per minute begin anew
        control(url, "calls", "DELETE")
        seconds, cpu, peak, report = imported("apply", archive, target, folder / "state")
        made = calls(url)
        writes = sum(c["method"] != "GET" for c in made)
        row(f"second run, {notebooks:,} notebooks and {jobs:,} jobs, 50 ms", f"{seconds:.1f} s, {peak:.0f} MiB", f"own listing and per-job reads {reading:.1f} s", f"{seconds / reading:.2f}, {writes} writes of {len(made)} calls", "<= 1.1, 0 writes")


def getter(url, token):
    """A function that makes a call as often as it takes to be let through."""

    def get(endpoint, **query):
        text = f"{url}{endpoint}?{urllib.parse.urlencode(query)}"
        request = urllib.request.Request(text, headers={"Authorization": f"Bearer {token}"})
        while True:
            try:
                return json.loads(urllib.request.urlopen(request, timeout=60).read())
            except urllib.error.HTTPError as refused:
                if refused.code != 429:
                    raise
                time.sleep(1)

    return get


def listed_tree(get):
    """The whole tree, 16 folders at a time, level by level; its objects."""
    found, level = [], ["/"]
    with ThreadPoolExecutor(16) as pool:
        while level:
            listed = pool.map(lambda path: get("/api/2.0/workspace/list", path=path).get("objects", []), level)
            objects = [o for objects in listed for o in objects]
            found += objects
            level = [o["path"] for o in objects if o["object_type"] == "DIRECTORY"]
    return found


def listing_and_jobs(url, token):
    """The baseline of a second run, by hand: the tree listed 16 folders at a time, and beside it every job read at 30/s."""
    get = getter(url, token)

    def jobs():
        ids, token = [], ""
        while token is not None:
            page = get("/api/2.2/jobs/list", limit=100, **({"page_token": token} if token else {}))
            ids += [job["job_id"] for job in page.get("jobs", [])]
            token = page.get("next_page_token") or None
        # A burst of two, then the even pace of the tool, which keeps 2.5 % below the limit.
        with ThreadPoolExecutor(16) as pool:
            start, reads = time.monotonic(), []
            for at, job in enumerate(ids):
                time.sleep(max(0, start + (at - 2) * 1.025 / 30 - time.monotonic()))
                reads.append(pool.submit(get, "/api/2.2/jobs/get", job_id=job))
            for read in reads:
                read.result()

    began = time.monotonic()
    with ThreadPoolExecutor(2) as both:
        for part in (both.submit(listed_tree, get), both.submit(jobs)):
            part.result()
    return time.monotonic() - began


def import_first(folder, notebooks=10_000, jobs=2_000):
    """The first import of 10,000 notebooks and 2,000 jobs with 50 ms latency and the service's limits."""
    fill = {"name": f"sized:{notebooks}", "jobs": jobs}
    with servers.simulator(folder, "9301") as (url, token):
        control(url, "fill", **fill)
        archive = export(folder, url, token, "--limits", "off", name="import-first")[0]
    with servers.simulator(folder, "9302") as (url, token):
        control(url, "join-account", **fill)
        control(url, "latency", milliseconds=50)
        control(url, "limits", on=True)
        target = (url, token, "9302")
        planned = imported("plan", archive, target, folder / "state")[-1]["cost"]["floor"]
        time.sleep(65)  # the quotas per minute begin anew
        control(url, "calls", "DELETE")
        seconds, cpu, peak, report = imported("apply", archive, target, folder / "state")
        made = calls(url)
        written = [c for c in made if c["method"] != "GET"]
        throttled = sum(c["status"] == 429 for c in made)
        family, least = floor(written)
        writing = (max(c["at_ms"] for c in written) - min(c["at_ms"] for c in made)) / 1000
        row(f"first import, {notebooks:,} notebooks and {jobs:,} jobs, 50 ms, limits: reading and writing", f"{writing:.1f} s", f"floor of the slowest family ({family}) {least:.1f} s", f"{least / writing:.2f}", ">= 0.95")
        puts, count = span(made, "PUT /api/2.0/permissions/")
        row("  permission PUTs", f"{count / puts:.1f}/s", "limit 30/s", f"{count / puts / 30:.2f}", "-")
        row("  whole, compared", f"{seconds:.1f} s, {peak:.0f} MiB", f"floor of the plan {planned:.1f} s", f"{seconds / planned:.2f}", "-")
        row("  calls answered 429", f"{throttled} of {len(made)}", "-", f"{100 * throttled / len(made):.2f} %", "< 2 %")


def incremental(folder, notebooks=100_000):
    """A night on 100,000 notebooks in 10,000 folders of which 0.5 % changed, 50 ms and the service's limits."""
    import base64

    fill = {"name": f"sized:{notebooks}", "folders": notebooks // 10, "files": 0, "dbfs_files": 0, "jobs": 10, "users": 50,
            "clusters": 3, "git_folders": 0, "scopes": 2, "groups": 10, "pools": 2, "policies": 2, "init_scripts": 1}
    with servers.simulator(folder, "9401") as (url, token):
        control(url, "fill", **fill)
        control(url, "clock", advance_seconds=7200)
        base = export(folder, url, token, "--limits", "off", name="night-0")[0]
        control(url, "clock", advance_seconds=86400)
        get = getter(url, token)
        objects = listed_tree(get)
        paths = [o["path"] for o in objects if o["object_type"] == "NOTEBOOK"]
        changed = paths[:: 200]
        for path in changed:
            source = base64.b64encode(b"# Databricks notebook source\nprint('edited')\n").decode()
            body = {"path": path, "format": "SOURCE", "language": "PYTHON", "content": source, "overwrite": True}
            request = urllib.request.Request(f"{url}/api/2.0/workspace/import", json.dumps(body).encode(), {"Authorization": f"Bearer {token}"})
            urllib.request.urlopen(request, timeout=60).read()
        control(url, "clock", advance_seconds=7200)
        control(url, "latency", milliseconds=50)
        control(url, "limits", on=True)
        began = time.monotonic()
        listed_tree(get)
        listed_tree(get)
        listings = time.monotonic() - began

        def night(name, *options):
            time.sleep(65)  # the quotas per minute begin anew
            control(url, "calls", "DELETE")
            archive, seconds, cpu, peak, _ = export(folder, url, token, *options, name=name)
            made = calls(url)
            contents = sum("/workspace/export" in c["path"] for c in made)
            acls = sum("/permissions/" in c["path"] for c in made)
            return archive, seconds, contents, acls, f"{cpu:.0f} s CPU, {peak:.0f} MiB"

        archive, seconds, contents, acls, used = night("night-1", "--base", base, "--acls", "never")
        record = json.loads(servers.lifeboat("inspect", "cat", archive, "run.json", url="", token=""))
        sample = record["reread"]["read"]
        allowed = 1.02 * len(changed) + sample
        what = f"{notebooks} notebooks, {len(changed)} changed"
        row(f"incremental, {what}: content calls", f"{contents}", f"changed {len(changed)}, sample {sample}", f"{contents / allowed:.3f}", "<= 1")
        row("  wall time, --acls never", f"{seconds:.1f} s", f"two listings {listings:.1f} s", f"{seconds / listings:.2f}, {acls} ACL calls, {used}", "<= 1.1")
        _, seconds, contents, acls, used = night("night-2", "--base", archive)
        least = max(listings, acls / 100)
        row("  wall time with access control", f"{seconds:.1f} s", f"the larger of that and {acls} ACL reads at 100/s: {least:.1f} s", f"{seconds / least:.2f}, {used}", "<= 1.1")
        full, seconds, contents, acls, used = night("night-2-full")
        row("  the full run beside it", f"{seconds:.1f} s", f"{contents} contents at 60/s: {contents / 60:.1f} s", f"{seconds / max(contents / 60, acls / 100):.2f}, {used}", "-")
        ids = {json.loads((folder / f"{name}.json").read_text())["content-id"] for name in ("night-2", "night-2-full")}
        row("  content ids of both", "equal" if len(ids) == 1 else "DIFFERENT", "-", "-", "equal")


SDK_UPLOAD = """
import sys
from azure.storage.blob import BlobServiceClient
service = BlobServiceClient(sys.argv[1], credential=sys.argv[2])
with open(sys.argv[3], "rb") as file:
    service.get_blob_client("bench", "sdk.tar.zst").upload_blob(file, overwrite=True, max_concurrency=4)
"""


def measured(*arguments, env):
    """Runs the example `measure-place`; returns its seconds and its peak memory in MiB."""
    done = subprocess.run([TARGET / "release/examples/measure-place", *map(str, arguments)], env=env, capture_output=True, text=True, check=True)
    seconds, memory = re.search(r"in ([\d.]+) s, .* peak memory (\d+) kB", done.stdout).groups()
    return float(seconds), int(memory) / 1024


@contextlib.contextmanager
def stored(folder):
    """Azurite with a container, behind a proxy that counts; yields its own url, the proxy, and the environment for each."""
    python = os.environ.setdefault("LIFEBOAT_STORAGE_PYTHON", str(TARGET / "venv-storage/bin/python"))
    os.environ.setdefault("LIFEBOAT_AZURITE_PROGRAM", str(TARGET / "azurite/node_modules/.bin/azurite-blob"))
    with servers.azurite(folder) as url, regions.account(url) as (primary, secondary):
        create = "import sys; from azure.storage.blob import BlobServiceClient as B; B(sys.argv[1], credential=sys.argv[2]).create_container('bench')"
        account = f"{url}/{servers.AZURITE_ACCOUNT}"
        subprocess.run([python, "-c", create, account, servers.AZURITE_KEY], check=True)
        counted = regions.settings(primary, secondary)
        yield account, primary, {**counted, "AZURE_STORAGE_ENDPOINT": account}, counted


def upload(folder, speed=1024, large=5120):
    """Streaming into Azurite beside a local file that the official client uploads; memory of a large archive."""
    with stored(folder) as (account, _, direct, _):
        env = {**os.environ, **direct}
        local = folder / "local.tar.zst"
        written, _ = measured("put", local, speed, env=env)
        began = time.monotonic()
        subprocess.run([os.environ["LIFEBOAT_STORAGE_PYTHON"], "-c", SDK_UPLOAD, account, servers.AZURITE_KEY, local], check=True)
        sdk = time.monotonic() - began
        local.unlink()
        seconds, peak = measured("put", "az://bench/streamed.tar.zst", speed, env=env)
        both = written + sdk
        row(f"upload of {speed} MiB to Azurite", f"{seconds:.1f} s, {speed / seconds:.0f} MiB/s, {peak:.0f} MiB", f"local file {written:.1f} s, then the Python SDK {sdk:.1f} s", f"{both / seconds:.2f}", ">= 0.8")
        seconds, peak = measured("put", "az://bench/large.tar.zst", large, env=env)
        row(f"memory of an upload of {large} MiB", f"{peak:.0f} MiB", f"{seconds:.1f} s, {large / seconds:.0f} MiB/s", "-", "<= 150 MiB")
        must = lambda *command: subprocess.run(command, check=True, capture_output=True, text=True).stdout
        key = folder / "key"
        must("age-keygen", "-o", str(key))
        seconds, peak = measured("put", "az://bench/encrypted.tar.zst.age", speed, must("age-keygen", "-y", str(key)).strip(), env=env)
        row(f"the same encrypted, {speed} MiB", f"{peak:.0f} MiB", f"{seconds:.1f} s, {speed / seconds:.0f} MiB/s", "-", "<= 150 MiB")


def one_object(folder, notebooks=100_000):
    """One notebook out of an archive of 100,000 objects in Azurite, plain and encrypted."""
    with stored(folder) as (_, proxy, _, counted), servers.simulator(folder, "9601") as (url, token):
        os.environ.update(counted)
        control(url, "fill", name=f"sized:{notebooks}")
        paths = [o["path"] for o in listed_tree(getter(url, token)) if o["object_type"] == "NOTEBOOK"]
        key = folder / "key"
        subprocess.run(["age-keygen", "-o", key], check=True, capture_output=True)
        public = subprocess.run(["age-keygen", "-y", key], check=True, capture_output=True, text=True).stdout.strip()
        for what, name, protect, open_with, most in (
            ("plain", "x.tar.zst", (), (), 4),
            ("encrypted", "y.tar.zst.age", ("--encrypt-to", public), ("--identity", key), 6),
        ):
            archive = f"az://bench/{name}"
            seconds, _, peak, _ = run(servers.BINARIES / "lifeboat-export", "run", "--to", archive, "--limits", "off", *protect, url=url, token=token)
            listed = servers.lifeboat("inspect", "ls", archive, "data", *open_with, url="", token="").splitlines()
            members = [member for member in listed if member.startswith("data/workspace/content/")]
            for by, names, wanted in (("member", members, f"<= {most} ranges, 4 MiB"), ("path", paths, "-")):
                costs = []
                for name in names[:: max(1, len(names) // 20)]:
                    before = len(proxy.made), proxy.bytes
                    subprocess.run([servers.BINARIES / "lifeboat-inspect", "cat", archive, name, *open_with], check=True, stdout=subprocess.DEVNULL)
                    made = proxy.made[before[0] :]
                    costs.append((made.count("GET"), made.count("HEAD"), proxy.bytes - before[1]))
                ranges, lengths, size = map(max, zip(*costs))
                row(f"one of {len(members):,} contents in Azurite, {what}, by {by}, the most of {len(costs)}", f"{ranges} ranges, {size / 2**20:.2f} MiB", f"{lengths} length requests", "-", wanted)


ALL = {
    "baseline": baseline, "rate": rate, "free": free, "memory": memory, "incremental": incremental,
    "import-baseline": import_baseline, "import-second": import_second, "import-first": import_first,
    "upload": upload, "one-object": one_object,
}
for asked in sys.argv[1:] or ALL:
    name, _, sizes = asked.partition(":")
    with tempfile.TemporaryDirectory() as where:
        ALL[name](pathlib.Path(where), *(int(size) for size in sizes.split(",") if size))
print()
widths = [max(len(r[i]) for r in [*rows, ("what", "figure", "baseline", "ratio", "wanted")]) for i in range(5)]
for r in [("what", "figure", "baseline", "ratio", "wanted"), *rows]:
    print(" | ".join(c.ljust(w) for c, w in zip(r, widths)))
