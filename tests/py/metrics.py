"""Reads the metrics files of the tools with the official Prometheus client, which others wrote."""

import pathlib
import tempfile

from prometheus_client.parser import text_string_to_metric_families

import servers


def families(path):
    """The families of a file by name; a series that stands twice, or a family without a help text, is a failure."""
    found = {}
    for family in text_string_to_metric_families(path.read_text()):
        assert family.name not in found, f"{family.name} stands twice"
        assert family.type == "gauge" and family.documentation, family
        labels = [tuple(sorted(sample.labels.items())) for sample in family.samples]
        assert len(labels) == len(set(labels)), f"{family.name} has a series twice"
        assert family.name.startswith("lifeboat_"), family.name
        found[family.name] = family
    assert found, "no metrics"
    return found


def value(found, name, **labels):
    samples = [s.value for s in found[name].samples if all(s.labels.get(k) == v for k, v in labels.items())]
    assert len(samples) == 1, (name, labels, samples)
    return samples[0]


with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    # Every character that the format escapes.
    nightly = folder / 'ni"gh\\t\nly'
    nightly.mkdir()
    with servers.simulator(folder, "1111111111111111", "small") as (url, token):
        run = ["run", "--limits", "off", "--to", f"{nightly}/", "--metrics", folder / "run.prom"]
        servers.lifeboat("export", *run, url=url, token=token)
        first = families(folder / "run.prom")
        assert value(first, "lifeboat_export_last_run_exit_code") == 0
        assert value(first, "lifeboat_export_objects", kind="notebooks", fate="stored") > 0
        info = first["lifeboat_export_archive_info"].samples[0].labels
        assert info["workspace_id"] == "1111111111111111", info
        assert info["archive"].startswith(f"{nightly}/"), info
        servers.lifeboat("export", *run, url=url, token="dapi-expired", expect=(12,))
        failed = families(folder / "run.prom")
        assert value(failed, "lifeboat_export_last_run_exit_code") == 12
        success = "lifeboat_export_last_success_timestamp_seconds"
        assert value(failed, success) == value(first, success)
        assert "lifeboat_export_objects" not in failed
    watched = ["status", nightly, "--metrics", folder / "status.prom"]
    servers.lifeboat("inspect", *watched, url="", token="")
    status = families(folder / "status.prom")
    assert value(status, "lifeboat_status_ok", place=str(nightly), workspace_id="1111111111111111") == 1
    pruned = ["prune", nightly, "--keep-last", "1", "--apply", "--metrics", folder / "prune.prom"]
    servers.lifeboat("export", *pruned, url="", token="")
    assert value(families(folder / "prune.prom"), "lifeboat_prune_kept", place=str(nightly)) == 1
print(f"{len(first) + len(status)} families of metrics were read")
