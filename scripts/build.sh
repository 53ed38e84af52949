#!/usr/bin/env bash
# build.sh [PRESET [TARGET...]]: configures and builds a preset (default: release), all of it or
# some targets. For the target d2c alone the packages of the tests are not needed.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-release}
shift || true
tests=ON
[ "$*" = d2c ] && tests=OFF
cmake --preset "$preset" -DD2C_BUILD_TESTS=$tests >/dev/null
cmake --build --preset "$preset" -j "$(nproc)" ${1:+--target "$@"}
