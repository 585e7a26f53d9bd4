#!/usr/bin/env bash
# All checks of Lifeboat, from an empty machine: installs what it needs, runs everything, and says what ran.
#
#   tests/run.sh            everything
#   tests/run.sh NAME...    only the named checks (see the list at the end of this file)
#
# Output of each check goes to target/checks/NAME.log; what fails is printed in full.
set -uo pipefail
cd "$(dirname "$0")/.."
export CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
logs="$CARGO_TARGET_DIR/checks"
mkdir -p "$logs"

passed=0 failed=0 skipped=0 report=()
only=("$@")

wanted() { # NAME
  [ ${#only[@]} -eq 0 ] && return 0
  local name
  for name in "${only[@]}"; do [ "$name" = "$1" ] && return 0; done
  return 1
}

# check NAME COMMAND...: status 0 passes, 77 means "skipped, the last line says why", anything else fails.
check() {
  local name="$1" began=$SECONDS status
  shift
  wanted "$name" || return 0
  echo "== $name"
  "$@" >"$logs/$name.log" 2>&1 </dev/null
  status=$?
  case $status in
    0) passed=$((passed + 1)); report+=("passed   $name ($((SECONDS - began)) s)") ;;
    77) skipped=$((skipped + 1)); report+=("SKIPPED  $name: $(tail -n 1 "$logs/$name.log")") ;;
    *)
      failed=$((failed + 1)); report+=("FAILED   $name ($((SECONDS - began)) s, status $status)")
      tail -n 150 "$logs/$name.log"
      ;;
  esac
  # A check of many parts may have left some out: say which.
  if grep -q '^SKIPPED' "$logs/$name.log"; then
    while read -r line; do report+=("         within $name: $line"); skipped=$((skipped + 1)); done < <(grep '^SKIPPED' "$logs/$name.log" | sort -u)
  fi
}

debian() { # PROGRAM PACKAGE: installs the package when the program is missing and that is possible
  command -v "$1" >/dev/null 2>&1 && return 0
  command -v apt-get >/dev/null 2>&1 || return 0
  [ "$(id -u)" = 0 ] || return 0
  if [ -z "${updated:-}" ]; then apt-get update -qq; updated=1; fi
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$2"
}

tools() {
  debian zstd zstd
  debian age age
  debian minisign minisign
  debian gcc gcc
  debian python3 python3-venv
  for program in age minisign cargo gcc tar zstd sha256sum python3; do
    command -v "$program" || { echo "$program is missing and could not be installed"; return 1; }
  done
}

environment() { # FOLDER REQUIREMENTS
  if [ ! -f "$1/ready" ] || ! cmp -s "$1/ready" "$2"; then
    rm -rf "$1" && python3 -m venv "$1" && "$1/bin/pip" install -q -r "$2" && cp "$2" "$1/ready"
  fi
}

python_environment() { environment "$CARGO_TARGET_DIR/venv" tests/py/requirements.txt; }
minilake_environment() { environment "$CARGO_TARGET_DIR/venv-minilake" tests/py/requirements-minilake.txt; }
storage_environment() {
  command -v npm >/dev/null 2>&1 || { echo "npm is missing: no Azurite"; return 77; }
  environment "$CARGO_TARGET_DIR/venv-storage" tests/py/requirements-storage.txt || { echo "the storage emulators could not be installed"; return 77; }
  [ -x "$LIFEBOAT_AZURITE_PROGRAM" ] || npm install --silent --no-audit --no-fund --prefix "$CARGO_TARGET_DIR/azurite" azurite@3.37.0
  [ -x "$LIFEBOAT_AZURITE_PROGRAM" ] || { echo "Azurite could not be installed"; return 77; }
}
export LIFEBOAT_AZURITE_PROGRAM="$CARGO_TARGET_DIR/azurite/node_modules/.bin/azurite-blob"
export LIFEBOAT_STORAGE_PYTHON="$CARGO_TARGET_DIR/venv-storage/bin/python"
export LIFEBOAT_PYTHON="$CARGO_TARGET_DIR/venv/bin/python"
export LIFEBOAT_MINILAKE_PYTHON="$CARGO_TARGET_DIR/venv-minilake/bin/python"
export LIFEBOAT_BIN="$CARGO_TARGET_DIR/release"

unit_tests() {
  if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --workspace --no-fail-fast --show-progress none --success-output immediate-final && cargo test -q --workspace --doc
  else
    cargo test --workspace --no-fail-fast
  fi
}

schedule_environment() {
  # Where it cannot be installed, the check of the units says that it was skipped.
  debian systemd-analyze systemd || true
  environment "$CARGO_TARGET_DIR/venv-schedule" tests/py/requirements-schedule.txt
}
schedule() {
  [ -x "$CARGO_TARGET_DIR/venv-schedule/bin/python" ] || { echo "no environment with the validator of manifests"; return 77; }
  "$CARGO_TARGET_DIR/venv-schedule/bin/python" tests/py/schedule.py
}

python() { # SCRIPT
  [ -x "$LIFEBOAT_PYTHON" ] || { echo "no Python environment"; return 77; }
  "$LIFEBOAT_PYTHON" "tests/py/$1"
}

minilake() {
  [ -x "$LIFEBOAT_MINILAKE_PYTHON" ] || { echo "no environment with the third-party emulator"; return 77; }
  python minilake_chain.py
}

with_stores() { # COMMAND...: with Azurite and moto running
  [ -x "$LIFEBOAT_STORAGE_PYTHON" ] && [ -x "$LIFEBOAT_AZURITE_PROGRAM" ] || { echo "no storage emulators"; return 77; }
  "$LIFEBOAT_STORAGE_PYTHON" tests/py/storage_servers.py "$@"
}

# The tests that a plain run leaves out.
storage() {
  with_stores cargo test -p lifeboat-tests --test storage_base --test storage_conformance --test storage_credentials --test storage_failures --test storage_retention --test storage_secondary -- --include-ignored
}

# Nights of an unattended backup, and the day on which it is needed.
nights() { with_stores "$LIFEBOAT_STORAGE_PYTHON" tests/py/night.py; }

storage_chain() { with_stores "$LIFEBOAT_STORAGE_PYTHON" tests/py/storage_chain.py; }

# The README's command, in a folder of its own.
demo() {
  local root="$PWD" where
  where=$(mktemp -d)
  local run=(cargo run --release --locked --manifest-path "$root/Cargo.toml" --bin lifeboat-demo)
  # Once as a person sees it, once as a stream of JSON lines.
  (cd "$where" && "${run[@]}" && rm -rf lifeboat-demo &&
    "${run[@]}" -- --json | python3 -c 'import json, sys; lines = [json.loads(line) for line in sys.stdin]; assert lines[-1]["event"] == "summary"')
  local status=$?
  rm -rf "$where"
  return $status
}

check tools tools
check python-environment python_environment
check minilake-environment minilake_environment
check storage-environment storage_environment
check schedule-environment schedule_environment
check format cargo fmt --all --check
check clippy cargo clippy --workspace --all-targets --locked -- -D warnings
check unit-and-chain-tests unit_tests
check storage storage
check release-build cargo build --release --workspace --locked
check demo demo
check readme-commands python readme.py
check metrics python metrics.py
check sdk-on-simulator python sdk_simulator.py
check sdk-credentials python sdk_credentials.py
check schedule schedule
check third-party-emulator minilake
check storage-chain storage_chain
check nights nights

echo
printf '%s\n' "${report[@]}"
if wanted unit-and-chain-tests; then
  grep -E '^ *Summary' "$logs/unit-and-chain-tests.log" || grep -E '^test result' "$logs/unit-and-chain-tests.log"
fi
echo "checks: $passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
