#!/usr/bin/env bash
# test.sh [all | unit | sanitized]: builds and runs tests.
#
# all (default)  from a bare Debian 12 to passed tests: installs packages, builds, and runs all tests
#                but the slow ones (ctest label "slow"); checks the format where clang-format 14 is
# unit           the unit tests alone
# sanitized      the unit tests with contracts checked, and address and undefined-behaviour sanitizers
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install-packages.sh tests
. scripts/mpi-env.sh
case ${1:-all} in
  all)
    if clang-format --version 2>/dev/null | grep -q 'version 14'; then scripts/lint.sh format; fi
    scripts/build.sh release
    ctest --preset release --label-exclude slow -j "$(nproc)"
    ;;
  unit)
    scripts/build.sh release unit_tests
    ctest --preset release --label-regex '^unit$' -j "$(nproc)"
    ;;
  sanitized)
    scripts/build.sh asan unit_tests
    ctest --preset asan --label-regex '^unit$' -j "$(nproc)"
    ;;
  *)
    echo "test: '$1' is none of all, unit, sanitized" >&2
    exit 2
    ;;
esac
