#!/usr/bin/env bash
# install-packages.sh [job | tests] [PACKAGE...]: installs what d2c needs on Debian 12, and the
# packages named.
#
# job (default)  to build d2c and run jobs, with reports
# tests          to build and run all tests, too; where root may start it, that includes a SLURM
#
# Nothing is done where all of it is there already. Works as root, or as an ordinary user with sudo.
set -euo pipefail

packages=(
  g++ cmake ninja-build pkg-config
  openmpi-bin libopenmpi-dev
  libeigen3-dev libhdf5-dev libboost-program-options-dev libfmt-dev nlohmann-json3-dev
  libpcre2-dev libicu-dev zlib1g-dev
  python3-jinja2                   # chat templates and reports, at run time
  python3-h5py python3-matplotlib  # reports
)
test_packages=(libgtest-dev libgmock-dev hdf5-tools python3-numpy strace git)

mode=${1:-job}
shift || true
case $mode in
  job) ;;
  tests)
    packages+=("${test_packages[@]}")
    [ "$(id -u)" -eq 0 ] && packages+=(slurmctld slurmd slurm-client)
    ;;
  *)
    echo "install-packages: '$mode' is neither job nor tests" >&2
    exit 2
    ;;
esac
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
echo "Installing packages (a minute or two): ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
{
  "${as_root[@]}" apt-get update -qq &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -qq --no-install-recommends "${missing[@]}"
} >"$log" 2>&1 || {
  cat "$log" >&2
  echo "install-packages: apt-get failed (see above); install the packages by hand" >&2
  exit 1
}
