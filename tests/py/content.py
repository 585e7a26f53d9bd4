"""A workspace filled, and read back, through the official client: what it says is what counts.

`features` names what the server has beyond the common part; a third-party emulator has less than the simulator.
"""

import base64
import io
import json

from databricks.sdk import WorkspaceClient
from databricks.sdk.service import compute, iam, jobs, workspace

LANGUAGES = {"PYTHON": "#", "R": "#", "SCALA": "//", "SQL": "--"}
USERS = ["ada@example.com", "grace@example.com"]
SIMULATOR = {"languages", "formats", "files", "libraries", "long-jobs"}


def client(url, token):
    return WorkspaceClient(host=url, token=token, auth_type="pat", config_file="/dev/null")


def source(language, lines):
    mark = LANGUAGES[language]
    cells = [f"{mark} Databricks notebook source"]
    for n in range(lines):
        cells += [f"{mark} cell {n}: ünïcode ✓", "", f"{mark} COMMAND ----------", ""]
    return "\n".join(cells).encode()


def put_notebook(w, path, language, features):
    text = source(language, 3)
    if "formats" in features:
        how = {"format": workspace.ImportFormat.SOURCE, "language": workspace.Language[language]}
        w.workspace.upload(path, io.BytesIO(text), **how)
    else:
        w.workspace.import_(path=path, content=base64.b64encode(text).decode(), format=workspace.ImportFormat.SOURCE)


def fill(w, features):
    """Puts one of everything into the workspace."""
    users = {u: w.users.create(user_name=u, display_name=u.split("@")[0]).id for u in USERS}
    engineers = w.groups.create(display_name="engineers", members=[iam.ComplexValue(value=users[USERS[0]])])
    w.groups.create(display_name="platform", members=[iam.ComplexValue(value=engineers.id)])

    w.workspace.mkdirs("/Shared/etl/empty")
    w.workspace.mkdirs("/Shared/etl/Case")
    for language in LANGUAGES if "languages" in features else ["PYTHON"]:
        for name in ("load", "LOAD", "two words: 100 %"):
            put_notebook(w, f"/Shared/etl/{name}_{language.lower()}", language, features)
    if "files" in features:
        w.workspace.upload("/Shared/etl/settings.yaml", io.BytesIO(b"a: 1\r\n\xff\x00"), format=workspace.ImportFormat.RAW)
        w.workspace.upload("/Shared/etl/helper.py", io.BytesIO(b"def f():\n    return 1\n"), format=workspace.ImportFormat.RAW)

    w.dbfs.mkdirs("/databricks/init")
    with w.dbfs.open("/databricks/init/setup.sh", write=True, overwrite=True) as f:
        f.write(b"#!/bin/bash\necho hello\n")

    pool = w.instance_pools.create(
        instance_pool_name="small pool", node_type_id="Standard_DS3_v2", min_idle_instances=0, max_capacity=4
    ).instance_pool_id
    policy = w.cluster_policies.create(
        name="pooled", definition=json.dumps({"instance_pool_id": {"type": "fixed", "value": pool}})
    ).policy_id
    w.global_init_scripts.create(name="banner", script=base64.b64encode(b"echo banner\n").decode(), enabled=True)

    cluster = w.clusters.create(
        cluster_name="shared", spark_version="15.4.x-scala2.12", instance_pool_id=pool, policy_id=policy,
        num_workers=1, autotermination_minutes=30,
    ).cluster_id
    plain = w.clusters.create(
        cluster_name="plain", spark_version="15.4.x-scala2.12", node_type_id="Standard_DS3_v2",
        num_workers=2, autotermination_minutes=20, spark_conf={"spark.a": "b"},
    ).cluster_id
    if "libraries" in features:
        w.libraries.install(cluster, [compute.Library(pypi=compute.PythonPyPiLibrary(package="simplejson==3.8.0"))])

    first = w.jobs.create(
        name="load",
        tasks=[jobs.Task(
            task_key="one", existing_cluster_id=plain,
            notebook_task=jobs.NotebookTask(notebook_path="/Shared/etl/load_python"),
        )],
        schedule=jobs.CronSchedule(quartz_cron_expression="0 0 1 * * ?", timezone_id="UTC", pause_status=jobs.PauseStatus.UNPAUSED),
    ).job_id
    w.jobs.create(
        name="all",
        tasks=[
            jobs.Task(task_key="load", run_job_task=jobs.RunJobTask(job_id=first)),
            jobs.Task(
                task_key="then", depends_on=[jobs.TaskDependency(task_key="load")], existing_cluster_id=cluster,
                notebook_task=jobs.NotebookTask(notebook_path="/Shared/etl/load_python", base_parameters={"a": "b"}),
            ),
        ],
    )
    if "long-jobs" in features:
        w.jobs.create(name="long", tasks=[
            jobs.Task(task_key=f"t{n:03}", existing_cluster_id=plain,
                      notebook_task=jobs.NotebookTask(notebook_path="/Shared/etl/load_python"))
            for n in range(130)
        ])

    w.secrets.create_scope("keys")
    w.secrets.put_secret("keys", "password", string_value="not to be seen")
    w.secrets.put_acl("keys", "engineers", workspace.AclPermission.READ)

    for kind, name, id_, level, who in acls(w):
        w.permissions.update(
            request_object_type=kind, request_object_id=id_,
            access_control_list=[iam.AccessControlRequest(**who, permission_level=iam.PermissionLevel[level])],
        )


def acls(w):
    """(segment, human name, id, level, principal) of each grant that the filling makes."""
    group, user = {"group_name": "engineers"}, {"user_name": USERS[1]}
    directory = w.workspace.get_status("/Shared/etl")
    notebook = w.workspace.get_status("/Shared/etl/load_python")
    yield "directories", directory.path, str(directory.object_id), "CAN_READ", group
    yield "notebooks", notebook.path, str(notebook.object_id), "CAN_RUN", user
    for c in w.clusters.list():
        if c.cluster_name == "shared":
            yield "clusters", c.cluster_name, c.cluster_id, "CAN_RESTART", group
    for j in w.jobs.list():
        if j.settings.name == "load":
            yield "jobs", j.settings.name, str(j.job_id), "CAN_MANAGE_RUN", group
    for p in w.instance_pools.list():
        if p.instance_pool_name == "small pool":
            yield "instance-pools", p.instance_pool_name, p.instance_pool_id, "CAN_ATTACH_TO", user
    for p in w.cluster_policies.list():
        if p.name == "pooled":
            yield "cluster-policies", p.name, p.policy_id, "CAN_USE", group


def tree(w, path="/Shared"):
    for o in w.workspace.list(path):
        yield o
        if o.object_type == workspace.ObjectType.DIRECTORY:
            yield from tree(w, o.path)


def read(w, features):
    """The workspace as the official client sees it: names instead of ids."""
    names = {c.cluster_id: c.cluster_name for c in w.clusters.list()}
    names |= {p.instance_pool_id: p.instance_pool_name for p in w.instance_pools.list()}
    names |= {p.policy_id: p.name for p in w.cluster_policies.list()}
    listed = list(w.jobs.list())
    names |= {j.job_id: j.settings.name for j in listed}

    seen = {"objects": {}, "users": sorted(u.user_name for u in w.users.list() if u.user_name in USERS)}
    for o in tree(w):
        entry = {"type": o.object_type.value}
        if o.object_type in (workspace.ObjectType.NOTEBOOK, workspace.ObjectType.FILE):
            entry["language"] = o.language.value if o.language else None
            entry["sha"] = base64.b64encode(content(w, o, features)).decode()
        seen["objects"][o.path] = entry
    members = {}
    for g in w.groups.list(attributes="id,displayName"):
        if g.display_name in ("engineers", "platform"):
            group = w.groups.get(g.id)
            members[g.display_name] = sorted(m.display or m.value for m in group.members or [])
    seen["groups"] = {k: len(v) for k, v in members.items()}

    seen["clusters"] = {}
    for c in w.clusters.list():
        got = w.clusters.get(c.cluster_id)
        seen["clusters"][got.cluster_name] = {
            "workers": got.num_workers, "version": got.spark_version, "minutes": got.autotermination_minutes,
            "pool": names.get(got.instance_pool_id), "policy": names.get(got.policy_id),
            "conf": dict(got.spark_conf or {}),
        }
        if "libraries" in features:
            status = w.libraries.cluster_status(c.cluster_id)
            seen["clusters"][got.cluster_name]["libraries"] = [s.library.as_dict() for s in status]
    seen["policies"] = {
        p.name: {k: [names.get(v.get("value"), v.get("value")), v.get("type")] for k, v in json.loads(p.definition).items()}
        for p in w.cluster_policies.list() if p.name == "pooled"
    }
    seen["jobs"] = {}
    for j in listed:
        settings = w.jobs.get(j.job_id).settings
        seen["jobs"][settings.name] = [
            {
                "key": t.task_key, "cluster": names.get(t.existing_cluster_id),
                "notebook": t.notebook_task.notebook_path if t.notebook_task else None,
                "job": names.get(t.run_job_task.job_id) if t.run_job_task else None,
                "after": [d.task_key for d in t.depends_on or []],
            }
            for t in settings.tasks
        ]
    seen["schedules"] = {j.settings.name: j.settings.schedule.quartz_cron_expression for j in listed if j.settings.schedule}
    seen["scopes"] = {
        s.name: {a.principal: a.permission.value for a in w.secrets.list_acls(s.name) if a.principal == "engineers"}
        for s in w.secrets.list_scopes()
    }
    seen["init"] = w.dbfs.open("/databricks/init/setup.sh", read=True).read().decode()
    seen["scripts"] = [s.name for s in w.global_init_scripts.list()]
    seen["acls"] = {}
    for kind, name, id_, level, who in acls(w):
        reply = w.permissions.get(kind, id_)
        direct = {
            (a.group_name or a.user_name or a.service_principal_name): p.permission_level.value
            for a in reply.access_control_list for p in a.all_permissions if not p.inherited
        }
        principal = next(iter(who.values()))
        seen["acls"][f"{kind} {name}"] = {principal: direct.get(principal)}
        assert direct.get(principal) == level, f"{kind} {name}: {direct}"
    return seen


def content(w, o, features):
    if "formats" in features:
        fmt = workspace.ExportFormat.SOURCE if o.object_type == workspace.ObjectType.NOTEBOOK else workspace.ExportFormat.AUTO
        return w.workspace.download(o.path, format=fmt).read()
    return base64.b64decode(w.workspace.export(o.path, format=workspace.ExportFormat.SOURCE).content)


def differences(a, b, where=""):
    """Each place in which two readings differ, as lines."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted(a.keys() | b.keys()):
            if key not in a or key not in b:
                yield f"{where}/{key}: only in the {'second' if key not in a else 'first'}"
            else:
                yield from differences(a[key], b[key], f"{where}/{key}")
    elif a != b:
        yield f"{where}: {a!r} != {b!r}"


def assert_equal(a, b):
    found = list(differences(a, b))
    assert not found, "the official client sees differences:\n  " + "\n  ".join(found)
