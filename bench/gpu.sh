#!/usr/bin/env bash
# All that has to be found out about the GPU engine on a machine with an NVIDIA GPU of sm_90 or later,
# in under eight minutes. It prints each figure once, and its exit code is the number of checks that
# failed.
#
#   bench/gpu.sh pack [BUILD]   elsewhere: puts a Release build (D2C_CUDA=ON, D2C_BUILD_BENCHMARKS=ON)
#                               and the libraries that it needs into gpu-pack.tar.xz, for a machine
#                               that lacks them (Debian's Open MPI)
#   bench/gpu.sh                there: uses gpu-pack.tar.xz, or builds where the libraries are
#
# FV40=FOLDER of the tasks of the whole job, default ../shared/real/fv40; left out where it is absent.
set -uo pipefail
cd "$(dirname "$0")/.."
archive=$PWD/gpu-pack.tar.xz
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

build() {  # FOLDER
  cmake -S . -B "$1" -G Ninja -DCMAKE_BUILD_TYPE=Release -DD2C_CUDA=ON -DD2C_BUILD_BENCHMARKS=ON &&
    cmake --build "$1" --target d2c test_gpu bench_gpu &&
    mkdir "$work/bin" &&
    cp "$1/bin/d2c" "$1/tests/unit/eval/test_gpu" "$1/bench/bench_gpu" "$work/bin"
}

pack() {  # FOLDER
  set -e
  build "$1"
  mkdir "$work/lib"
  # cuBLASLt and the driver are those of the machine that runs them.
  ldd "$work"/bin/* | awk '$3 ~ /^\// { print $3 }' | sort -u |
    grep -v -E '/lib(c|m|dl|rt|pthread)\.so' | xargs -I{} cp -L {} "$work/lib"
  local plugins=openmpi/lib/openmpi3
  mkdir -p "$work/$plugins" "$work/openmpi/share"
  cp -L /usr/lib/x86_64-linux-gnu/$plugins/*.so "$work/$plugins"
  cp -rL /usr/share/openmpi "$work/openmpi/share"
  strip "$work"/bin/*
  if [ -d "${FV40:-../shared/real/fv40}" ]; then
    cp -rL "${FV40:-../shared/real/fv40}" "$work/fv40"
    chmod -R u+w "$work/fv40"
  fi
  tar -C "$work" -cJf "$archive" .
  du -h "$archive"
}

if [ "${1:-}" = pack ]; then
  pack "${2:-build/gpu}"
  exit
fi

failed=0
check() {  # NAME SECONDS COMMAND...
  local name=$1 begin=$SECONDS
  if timeout "$2" "${@:3}"; then
    echo "[ok] $name ($((SECONDS - begin)) s)"
  else
    echo "[FAILED] $name ($((SECONDS - begin)) s)"
    failed=$((failed + 1))
  fi
}

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || exit 1
cuda=$(dirname "$(dirname "$(readlink -f "$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)")")")
environment=(D2C_SOURCE="$PWD" OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1)
fv40=${FV40:-../shared/real/fv40}
if [ -f "$archive" ]; then
  tar -C "$work" -xJf "$archive"
  # Python keeps its own libraries; one rank needs no launcher.
  environment+=(LD_LIBRARY_PATH="$work/lib:$cuda/lib64:${LD_LIBRARY_PATH:-}" OPAL_PREFIX="$work/openmpi"
                OMPI_MCA_mca_base_component_path="$work/openmpi/lib/openmpi3"
                OMPI_MCA_ess_singleton_isolated=1)
  fv40=${FV40:-$work/fv40}
else
  build build/gpu || exit 1
fi
here=(env "${environment[@]}")
"${here[@]}" "$work/bin/d2c" --version

# Golden models, every feature against the CPU, and equal bits for any order and size of passes.
check "device tests" 150 "${here[@]}" "$work/bin/test_gpu" --gtest_brief=1
sanitizer=$(command -v compute-sanitizer || echo "$cuda/bin/compute-sanitizer")
small='*GoldenOnDevice*/llama3_gqa_tied:*FeatureOnDevice*/6:OnDevice.GivesTheSameBits*'
for tool in memcheck synccheck; do
  check "compute-sanitizer $tool" 80 "${here[@]}" "$sanitizer" --tool $tool --error-exitcode 9 \
    "$work/bin/test_gpu" --gtest_brief=1 --gtest_filter="$small"
done

check "speed, BF16" 100 "${here[@]}" "$work/bin/bench_gpu"
check "speed, F32" 40 "${here[@]}" "$work/bin/bench_gpu" --compute f32 --units 64 --seconds 2 1B
check "transformers and peft, BF16" 80 python3 bench/gpu_peft.py

if [ -d "$fv40" ]; then
  for device in cpu cuda; do
    check "fv40 on $device" 90 "${here[@]}" "$work/bin/d2c" run "$fv40/manifest.json" -K 5 --refine none \
      --quiet --device $device --output "$work/$device" --threads "$(nproc)"
  done
  check "fv40: the same partition, or objectives within 1e-3" 20 python3 - "$work" <<'PYTHON'
import sys
import h5py
results = [h5py.File(f"{sys.argv[1]}/{device}/results.h5") for device in ("cpu", "cuda")]
objectives = [float(r["result/objective"][()]) for r in results]
same = (results[0]["result/assignment"][:] == results[1]["result/assignment"][:]).all()
print(f"objectives {objectives}, {'the same partition' if same else 'other partitions'}")
sys.exit(not (same or abs(objectives[0] - objectives[1]) < 1e-3))
PYTHON
else
  echo "[left out] fv40: $fv40 is not there"
fi
echo "$failed checks failed, $SECONDS s"
exit $failed
