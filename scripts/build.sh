#!/usr/bin/env bash
# build.sh [PRESET [TARGET...]]: configures and builds a preset (default: release), all of it or
# some targets.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-release}
shift || true
cmake --preset "$preset" >/dev/null
cmake --build --preset "$preset" -j "$(nproc)" ${1:+--target "$@"}
