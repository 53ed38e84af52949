#!/usr/bin/env bash
# Everything from a bare Debian 12 to passed tests: installs packages, builds, runs all tests but
# the slow ones (ctest label "slow").
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install-packages.sh
scripts/build.sh release
. scripts/mpi-env.sh
ctest --preset release --label-exclude slow -j "$(nproc)"
