"""Four nights and the day after, in one script: what an operator relies on, step by step, with what each step costs.

A full export into Azurite, three incremental nights with edits, renames, deletions and a moved folder between them,
retention, the dead man's switch, the primary region stopped, and a restore from the secondary region into a fresh
workspace, compared. Ends with the table of calls, bytes and seconds.
"""

import base64
import datetime
import email.utils
import json
import os
import pathlib
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request

import regions
import servers
from azure.storage.blob import BlobServiceClient

AZURITE = os.environ["LIFEBOAT_AZURITE"]
PLACE = "az://night/production/"
SOURCE, TARGET = "9501", "9502"
FILL = "sized:2000"


class Workspace:
    """A simulated workspace, changed as its users would change it."""

    def __init__(self, url, token, workspace_id):
        self.url, self.token, self.id = url, token, workspace_id

    def call(self, verb, endpoint, body=None, **query):
        url = f"{self.url}{endpoint}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, {"Authorization": f"Bearer {self.token}"}, method=verb)
        return json.loads(urllib.request.urlopen(request, timeout=60).read() or b"{}")

    def control(self, verb, control, **body):
        return self.call(verb, f"/__sim/{control}", body if verb == "POST" else None)

    def calls(self):
        """The calls since the last question, as method and path."""
        made = [f"{one['method']} {one['path']}" for one in self.control("GET", "calls")]
        self.control("DELETE", "calls")
        return made

    def tree(self, folder="/"):
        """path -> type of everything below a folder, as the service lists it."""
        found = {}
        for one in self.call("GET", "/api/2.0/workspace/list", path=folder).get("objects", []):
            found[one["path"]] = one["object_type"]
            if one["object_type"] == "DIRECTORY":
                found.update(self.tree(one["path"]))
        return found

    def write(self, path, text):
        body = {"path": path, "format": "SOURCE", "language": "PYTHON", "overwrite": True}
        content = base64.b64encode(f"# Databricks notebook source\n{text}\n".encode()).decode()
        self.call("POST", "/api/2.0/workspace/import", {**body, "content": content})

    def delete(self, path):
        self.call("POST", "/api/2.0/workspace/delete", {"path": path, "recursive": True})

    def move(self, old, new):
        """As in the browser: no call of the public API moves, so the simulator is told to; the object id stays."""
        self.control("POST", "scripts", method="GET", path="/api/2.0/workspace/get-status", action={"move": {"from": old, "to": new}})
        self.call("GET", "/api/2.0/workspace/get-status", path="/")


class Night:
    def __init__(self, folder, source, primary, secondary):
        self.folder, self.source, self.primary, self.secondary = folder, source, primary, secondary
        self.settings, self.rows = regions.settings(primary, secondary), []

    def environment(self):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("AZURE_", "AWS_", "DATABRICKS_", "ARM_", "LIFEBOAT_"))}
        env.update(self.settings, DATABRICKS_CONFIG_FILE=os.devnull, XDG_STATE_HOME=str(self.folder / "state"))
        return env

    def quietly(self, tool, *arguments):
        """What one of the tools prints, in no table."""
        command = [servers.BINARIES / f"lifeboat-{tool}", *map(str, arguments)]
        return subprocess.run(command, env=self.environment(), stdout=subprocess.PIPE, check=True, timeout=300).stdout

    def run(self, what, tool, *arguments, workspace=None, expect=(0,), date=None):
        """Runs one of the tools and adds a row to the table; returns its JSON lines, the calls of the workspace, stderr."""
        env = self.environment()
        if workspace:
            env.update(DATABRICKS_HOST=workspace.url, DATABRICKS_TOKEN=workspace.token)
            workspace.calls()
        if date:
            env["SOURCE_DATE_EPOCH"] = str(int(date.timestamp()))
        before = [(region.requests, region.bytes) for region in (self.primary, self.secondary)]
        began = time.monotonic()
        command = [servers.BINARIES / f"lifeboat-{tool}", *map(str, arguments), "--json"]
        done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=900)
        seconds = time.monotonic() - began
        assert done.returncode in expect, f"{what}: ended with {done.returncode}, expected {expect}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        assert servers.AZURITE_KEY not in done.stdout + done.stderr, f"{what}: told the key of the account"
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.strip()]
        made = workspace.calls() if workspace else []
        asked = [region.requests - old[0] for region, old in zip((self.primary, self.secondary), before)]
        moved = sum(region.bytes - old[1] for region, old in zip((self.primary, self.secondary), before))
        self.rows.append((what, str(len(made)), str(asked[0]), str(asked[1]), f"{moved / 2**20:.2f}", f"{seconds:.1f}"))
        return lines, made, done.stderr

    def table(self):
        head = ("step", "calls of the workspace", "requests, primary", "requests, secondary", "MiB", "seconds")
        widths = [max(len(row[i]) for row in [head, *self.rows]) for i in range(len(head))]
        return "\n".join("  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths))) for row in [head, *self.rows])


def contents(made):
    return [call for call in made if "workspace/export" in call or "dbfs/read" in call]


def changed(source, night):
    """What the users of the workspace do in one day; returns how many contents are new or changed."""
    notebooks = sorted(path for path, kind in source.tree().items() if kind == "NOTEBOOK")
    edited = notebooks[night * 10 : night * 10 + 5]
    for path in edited:
        source.write(path, f"print('edited on day {night}')")
    gone, renamed = notebooks[night * 10 + 5], notebooks[night * 10 + 6]
    source.delete(gone)
    source.move(renamed, f"{renamed} (renamed on day {night})")
    source.write(f"/Shared/new on day {night}", "print('new')")
    return len(edited) + 1


def nights(night, now):
    """The full export and three incremental ones; returns the summaries."""
    # The last two run by their own clock: the base of the very last one states the time of the service.
    dates = [now - datetime.timedelta(days=days) for days in (3, 1)] + [None, None]
    summaries = []
    for number, date in enumerate(dates):
        base = ["--base", "latest"] if number else []
        wanted = None
        if number:
            wanted = changed(night.source, number)
            # They have rested when the export begins.
            night.source.control("POST", "clock", advance_seconds=7200)
        if number == 2:
            # A folder with everything in it: the ids stay, so not one content is read again.
            folder = max(path for path, kind in night.source.tree("/Shared").items() if kind == "DIRECTORY")
            night.source.move(folder, "/Shared/moved folder")
        what = f"night {number + 1}: {'incremental' if base else 'full'} export"
        lines, made, _ = night.run(what, "export", "run", "--to", PLACE, *base, workspace=night.source, date=date)
        summaries.append(lines[-1])
        read = contents(made)
        if base:
            sample = json.loads(night.quietly("inspect", "cat", lines[-1]["archive"], "run.json"))["reread"]
            assert sample["changed"] == 0, sample
            assert len(read) == wanted + sample["read"], f"{what}: {len(read)} contents were read; {wanted} had changed, {sample['read']} are the sample"
        night.source.control("POST", "clock", advance_seconds=86_400)
    return summaries


def same_as_full(night, last):
    """The last incremental archive holds what a full export of the same state holds: equal content ids."""
    full = night.folder / "full.tar.zst"
    lines, *_ = night.run("a full export beside it, to a local file", "export", "run", "--to", full, workspace=night.source)
    assert lines[-1]["descriptor"]["content-id"] == last["descriptor"]["content-id"], "an incremental archive differs from a full one"


def retention(night, blobs):
    before = set(blobs())
    night.run("prune, a trial run", "export", "prune", PLACE, "--keep-daily", 2, "--dry-run")
    assert set(blobs()) == before, "a trial run deleted something"
    night.run("prune, two daily archives kept", "export", "prune", PLACE, "--keep-daily", 2, "--apply")
    after = set(blobs())
    assert after < before and len([name for name in after if name.endswith(".tar.zst")]) == 2, sorted(after)
    assert {name.removesuffix(".json") for name in after if name.endswith(".json")} == {
        name.removesuffix(".tar.zst") for name in after if name.endswith(".tar.zst")
    }, f"archives and descriptors do not go together: {sorted(after)}"


def watch(night):
    night.run("status: young enough, enough of them", "inspect", "status", PLACE, "--max-age", "26h", "--min-count", 2)
    night.run("status: too few", "inspect", "status", PLACE, "--max-age", "26h", "--min-count", 7, expect=(13,))
    night.run("scrub: every archive, all of it", "inspect", "verify", "--all", PLACE, "--sample", "100%")


def the_day(night, target, blobs, last):
    """The primary region is gone: everything is read from the secondary one."""
    before = blobs()
    night.primary.stop()
    asked = night.primary.requests
    lines, *_ = night.run("status, primary region away", "inspect", "status", PLACE, "--max-age", "26h", "--min-count", 2)
    served = [line for line in lines if line.get("served_by")]
    synced = email.utils.parsedate_to_datetime(night.secondary.last_sync)
    assert [line["served_by"] for line in served] == ["secondary"], served
    assert datetime.datetime.fromisoformat(served[0]["last_sync"].replace("Z", "+00:00")) == synced, served
    archive = [f"{PLACE}latest", "--secondary", "--admins"]
    night.run("plan, from the secondary region", "import", "plan", *archive, workspace=target)
    lines, *_ = night.run("restore, from the secondary region", "import", "apply", *archive, "--target", TARGET, workspace=target)
    assert lines[-1]["writes"] > 1000, lines[-1]["writes"]
    night.run("compare", "import", "compare", *archive, workspace=target)
    lines, made, _ = night.run("restore again", "import", "apply", *archive, workspace=target)
    assert lines[-1]["writes"] == 0, "a second restore wrote something"
    assert night.primary.requests == asked and not night.secondary.refused, night.secondary.refused
    assert blobs() == before, "reading changed the store"


def main():
    container = BlobServiceClient(f"{AZURITE}/{servers.AZURITE_ACCOUNT}", credential=servers.AZURITE_KEY).create_container("night")

    def blobs():
        return {blob.name: blob.etag for blob in container.list_blobs()}

    now = datetime.datetime.now(datetime.timezone.utc)
    with tempfile.TemporaryDirectory() as name, regions.account(AZURITE) as (primary, secondary):
        folder = pathlib.Path(name)
        with servers.simulator(folder, SOURCE, fill=FILL) as one, servers.simulator(folder, TARGET) as other:
            source, target = Workspace(*one, SOURCE), Workspace(*other, TARGET)
            target.control("POST", "join-account", name=FILL)
            night = Night(folder, source, primary, secondary)
            last = nights(night, now)[-1]
            same_as_full(night, last)
            retention(night, blobs)
            watch(night)
            secondary.last_sync = now.strftime("%a, %d %b %Y %H:%M:%S GMT")
            the_day(night, target, blobs, last)
            print(night.table())


main()
