"""Export from, and import into, a Databricks emulator that others wrote; the official SDK fills it and reads it back."""

import json
import os
import pathlib
import tempfile

import content
import servers

PYTHON = os.environ["LIFEBOAT_MINILAKE_PYTHON"]
FEATURES = set()
# What the emulator answers with 501 is not known; it is not "none".
UNKNOWN = {"libraries", "git-folders"}

with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    with servers.minilake(folder, "8001", PYTHON) as first, servers.minilake(folder, "8002", PYTHON) as second:
        source, target = content.client(*first), content.client(*second)
        content.fill(source, FEATURES)
        before = content.read(source, FEATURES)
        archive = folder / "night.tar.zst"
        servers.lifeboat("export", "run", "--to", archive, url=first[0], token=first[1], expect=(3,))
        summary = json.loads(servers.lifeboat("inspect", "cat", archive, "summary.json", url="", token=""))
        assert summary["inventory"] == "incomplete", summary["inventory"]
        unknown = {kind for kind, of in summary["kinds"].items() if of["listing"] == "unknown"}
        assert UNKNOWN <= unknown, f"answered 501, so must be unknown: {UNKNOWN - unknown}"
        refused = servers.lifeboat(
            "import", "apply", archive, "--target", "8002",
            url=second[0], token=second[1], state=folder / "state", expect=(14,),
        )
        assert not list(target.clusters.list()), "a refused import wrote something"
        # As every night: the same command twice. What the archive does not hold is a gap both times.
        for night in (1, 2):
            lines = servers.lifeboat(
                "import", "apply", archive, "--target", "8002", "--allow-incomplete", "--json",
                url=second[0], token=second[1], state=folder / "state", expect=(3,),
            ).splitlines()
            report = json.loads(lines[-1])
            content.assert_equal(before, content.read(target, FEATURES))
        assert report["writes"] == 0, f"the second run wrote {report['writes']} times"
        fates = {fate for of in report["kinds"].values() for fate, count in of.items() if count}
        assert fates <= {"unchanged", "skipped"}, f"not everything is unchanged: {report['kinds']}"
print("the official SDK sees both emulated workspaces equal after each of two imports, the second without a write;")
print("unknown kinds:", ", ".join(sorted(unknown)))
