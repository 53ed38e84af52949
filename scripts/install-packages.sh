#!/usr/bin/env bash
# install-packages.sh [PACKAGE...]: installs what d2c needs on Debian 12 to build, run and test, and
# the packages named. Nothing is done where all of it is there already. Works as root, or as an
# ordinary user with sudo.
set -euo pipefail

packages=(
  g++ cmake ninja-build git pkg-config
  openmpi-bin libopenmpi-dev
  libeigen3-dev libhdf5-dev libboost-program-options-dev libfmt-dev nlohmann-json3-dev
  libpcre2-dev libicu-dev zlib1g-dev
  # tests
  libgtest-dev libgmock-dev libbenchmark-dev hdf5-tools python3 python3-numpy python3-h5py
  python3-jinja2 # chat templates and reports, also at run time
  python3-matplotlib # reports
)
# A real SLURM on this host, for the tests of the job scripts: only where root may start it.
[ "$(id -u)" -eq 0 ] && packages+=(slurmctld slurmd slurm-client)
packages+=("$@")

missing=()
for package in "${packages[@]}"; do
  state=$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)
  [ "$state" = "install ok installed" ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || {
    echo "install-packages: not installed: ${missing[*]} (they are needed to build) install them as root" >&2
    exit 1
  }
  as_root=(sudo)
fi
echo "Installing: ${missing[*]}"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
