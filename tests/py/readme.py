"""Runs the commands of README.md, as a newcomer would: every line that begins with `$ ` in a ```console block.

The blocks run in one shell, in order, in a folder of their own. A command that may end otherwise than with 0 says so
in a comment at its end (`# exit 3`). `cargo run --release --bin X --` and plain tool names both mean the built binary;
`tests/run.sh` is what runs this, so it is passed over; port 8080 becomes a free one. A `&` at the end means a server: it
is started, waited for, and ended afterwards by its own process id.
"""

import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

import servers

ROOT = servers.ROOT


def commands(text):
    for block in re.findall(r"^```console\n(.*?)^```", text, re.M | re.S):
        pending = ""
        for line in block.splitlines():
            if pending:
                line = pending + line.strip()
            elif line.startswith("$ "):
                line = line[2:]
            else:
                continue
            pending = line[:-1] if line.endswith("\\") else ""
            if not pending:
                yield line


def script(lines, ports):
    """One bash script that runs each command and stops at the first that ends otherwise than said."""
    out = ["set -u", "trap 'kill $(jobs -p) 2>/dev/null' EXIT"]
    for line in lines:
        expected = re.search(r"#\s*exit (\d+)\s*$", line)
        line = re.sub(r"\s+#.*$", "", line).strip()
        if line in ("tests/run.sh", "") or line.startswith("git clone"):
            continue
        line = re.sub(r"cargo run (-q )?--release --bin (\S+)( --)?", r"\2", line)
        for shown, free in ports.items():
            line = line.replace(shown, free)
        out.append(f"echo {shlex.quote('$ ' + line)}")
        if line.endswith("&"):
            port = re.search(r"--port (\d+)", line)
            out += [line, f"for i in $(seq 100); do (echo > /dev/tcp/127.0.0.1/{port.group(1)}) 2>/dev/null && break; sleep 0.1; done"]
        else:
            want = expected.group(1) if expected else "0"
            out += [line, f"s=$?; [ $s = {want} ] || {{ echo \"README: ended with $s, expected {want}\"; exit 1; }}"]
    return "\n".join(out)


lines = list(commands((ROOT / "README.md").read_text()))
assert len(lines) >= 5, "README.md shows hardly any command"
shown_ports = sorted({p for line in lines for p in re.findall(r"\b80[89]\d\b", line)})
ports = {p: str(servers.free_port()) for p in shown_ports}
with tempfile.TemporaryDirectory() as folder:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("DATABRICKS_", "ARM_"))}
    env.update(HOME=folder, XDG_STATE_HOME=f"{folder}/state", PATH=f"{servers.BINARIES}:{env['PATH']}")
    done = subprocess.run(["bash", "-c", script(lines, ports)], cwd=folder, env=env, stdin=subprocess.DEVNULL)
    if done.returncode:
        sys.exit(done.returncode)
print(f"{len(lines)} commands of README.md ran")
