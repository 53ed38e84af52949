#!/usr/bin/env bash
# lint.sh [all | changed [COMMIT] | recent | format]: clang-format and clang-tidy (naming too,
# .clang-tidy) on all C++ files, or on those that changed since the branch left COMMIT (default:
# main); every public header among them must compile alone. Needs clang-format and clang-tidy, both
# 14. All takes more than an hour of processor time, a changed file some twenty seconds. `format` is
# clang-format alone, on all files: some seconds; `recent` is that, and the rest on six files at most
# of those that the last commit changed.
set -euo pipefail
cd "$(dirname "$0")/.."

what=${1:-all}
case $what in
  all | format | recent) files=$(git ls-files '*.cpp' '*.hpp') ;;
  changed)
    base=${2:-$(git rev-parse --verify -q main || git rev-parse --verify -q origin/main || git rev-parse HEAD^)}
    base=$(git merge-base "$base" HEAD)
    # On the main branch itself: what its last commit changed.
    [ "$base" != "$(git rev-parse HEAD)" ] || base=$(git rev-parse -q --verify HEAD^ || echo HEAD)
    files=$(git diff --name-only --diff-filter=d "$base" -- '*.cpp' '*.hpp')
    ;;
  *)
    echo "lint: '$what' is none of all, changed, recent, format" >&2
    exit 2
    ;;
esac
[ -n "$files" ] || { echo "lint: no C++ file has changed"; exit 0; }

xargs clang-format --dry-run --Werror <<<"$files"
[ "$what" != format ] || exit 0
if [ "$what" = recent ]; then
  files=$(git diff --name-only --diff-filter=d HEAD^ HEAD -- 'src/*.cpp' 'include/*.hpp' 2>/dev/null | head -n 6 || true)
  [ -n "$files" ] || exit 0
fi

cmake --preset lint >/dev/null
public_headers=$(grep '^include/' <<<"$files" || true)
sources=$(grep '^src/.*\.cpp$' <<<"$files" || true)
xargs -r -P "$(nproc)" -I{} \
  g++ -std=c++20 -Iinclude -isystem /usr/include/eigen3 -fsyntax-only -x c++ -include {} /dev/null \
  <<<"$public_headers"
xargs -r -P "$(nproc)" -n 1 clang-tidy --quiet -p build/lint <<<"$sources"
echo "lint: clean"
