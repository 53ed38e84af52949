#!/usr/bin/env bash
# Checks the style of all C++ sources: clang-format, and clang-tidy on what the release build
# compiles. Takes minutes; needs clang-format, clang-tidy and a built release preset.
set -euo pipefail
cd "$(dirname "$0")/.."
git ls-files '*.cpp' '*.hpp' | xargs clang-format --dry-run --Werror
git ls-files 'src/*.cpp' | xargs -P "$(nproc)" -n 4 clang-tidy --quiet -p build/release
echo "lint: clean"
