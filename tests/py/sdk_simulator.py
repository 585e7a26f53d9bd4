"""The simulator, filled and read back by the official Databricks SDK; then Lifeboat carries it over, and the SDK looks again."""

import pathlib
import tempfile

import content
import servers

with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    with servers.simulator(folder, "7001") as first, servers.simulator(folder, "7002") as second:
        a = content.client(*first)
        content.fill(a, content.SIMULATOR)
        before = content.read(a, content.SIMULATOR)
        assert len(before["jobs"]["long"]) == 130, "the SDK reads the pages of a long job"
        archive = folder / "night.tar.zst"
        servers.lifeboat("export", "run", "--to", archive, "--limits", "off", url=first[0], token=first[1])
        servers.lifeboat("inspect", "verify", archive, url="", token="")
        b = second
        servers.lifeboat(
            "import", "apply", archive, "--target", "7002", "--limits", "off", url=b[0], token=b[1], state=folder / "state"
        )
        target = content.client(*b)
        content.assert_equal(before, content.read(target, content.SIMULATOR))
        for job in target.jobs.list():
            if job.settings.schedule:
                assert job.settings.schedule.pause_status.value == "PAUSED", "a restored job must not run"
        for cluster in target.clusters.list():
            assert cluster.state.value in ("TERMINATED", "TERMINATING"), f"{cluster.cluster_name} runs"
        content.assert_equal(before, content.read(a, content.SIMULATOR))
print("the official SDK sees both simulated workspaces equal")
