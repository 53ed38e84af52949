#!/usr/bin/env bash
# Everything from a bare Debian 12 to a finished job: installs packages, builds, clusters and merges
# the 40 adapters of data/demo into 5 on two ranks. The results stay in demo-output, with a page to
# look at.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install-packages.sh job
echo "Building d2c (some minutes the first time)"
scripts/build.sh release d2c
. scripts/mpi-env.sh
mpirun --oversubscribe -n 2 build/release/bin/d2c run data/demo/manifest.json -K 5 \
  --final-losses all --output demo-output --overwrite
build/release/bin/d2c report demo-output
