#!/usr/bin/env bash
# test.sh [all | unit | sanitized | fuzz]: builds and runs tests.
#
# all (default)  from a bare Debian 12 to passed tests: installs packages, builds, and runs all tests
#                but the slow ones (ctest label "slow"); then the unit tests of what reads adapters,
#                models and texts once more, with contracts checked and with address and
#                undefined-behaviour sanitizers; before, format and lint where Clang's tools 14 are
# unit           the unit tests alone
# sanitized      with contracts checked: all tests but the slow ones with address and undefined-behaviour
#                sanitizers, and the unit tests of what threads share with the thread sanitizer. Once
#                before a release: it takes hours of processor time
# fuzz [SECONDS] every reader of files by libFuzzer (needs clang), for so long in all (default 3600)
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install-packages.sh tests
. scripts/mpi-env.sh

# Many tests wait for processes to start: one more than there are processors keeps these busy.
jobs=$(($(nproc) + 1))

# run_units PRESET ROOM...: builds and runs the unit tests of some rooms.
run_units() {
  local preset=$1
  shift
  scripts/build.sh "$preset" "${@/#/test_}"
  ctest --preset "$preset" --tests-regex "^($(IFS='|' && echo "$*"))\\." -j "$jobs"
}

case ${1:-all} in
  all)
    if clang-tidy --version 2>/dev/null | grep -q 'version 14'; then
      scripts/lint.sh recent
    elif clang-format --version 2>/dev/null | grep -q 'version 14'; then
      scripts/lint.sh format
    fi
    scripts/build.sh release
    ctest --preset release --label-exclude slow -j "$jobs"
    run_units asan core tensor safetensors text
    ;;
  unit)
    scripts/build.sh release unit_tests
    ctest --preset release --label-regex '^unit$' -j "$jobs"
    ;;
  sanitized)
    scripts/build.sh asan
    ctest --preset asan --label-exclude slow -j "$jobs"
    run_units tsan ops lora model eval engine distill session
    ;;
  fuzz)
    scripts/install-packages.sh tests clang libclang-rt-14-dev
    scripts/build.sh fuzz fuzz_readers fuzz_replay
    python3 tests/fuzz/run_libfuzzer.py build/fuzz "${2:-3600}"
    ;;
  *)
    echo "test: '$1' is none of all, unit, sanitized, fuzz" >&2
    exit 2
    ;;
esac
