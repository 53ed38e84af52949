#!/usr/bin/env bash
# All that has to be found out about the GPU engine on a machine with an NVIDIA GPU of sm_90 or later,
# in under eight minutes. It prints each figure once, and its exit code is the number of checks that
# failed.
#
#   bench/gpu.sh pack [BUILD]   elsewhere: puts a Release build (D2C_CUDA=ON, D2C_BUILD_BENCHMARKS=ON)
#                               and the libraries that it needs into gpu-pack, for a bare machine
#   bench/gpu.sh                there: uses gpu-pack, or builds where the libraries are installed
#
# FV40=FOLDER of the tasks of the whole job, default ../shared/real/fv40; left out where it is absent.
set -uo pipefail
cd "$(dirname "$0")/.."
source=$PWD
pack=$source/gpu-pack

if [ "${1:-}" = pack ]; then
  build=${2:-build/gpu}
  set -e
  cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DD2C_CUDA=ON -DD2C_BUILD_BENCHMARKS=ON
  cmake --build "$build" --target d2c test_gpu bench_gpu
  rm -rf "$pack"
  mkdir -p "$pack/lib"
  cp "$build/bin/d2c" "$build/tests/unit/eval/test_gpu" "$build/bench/bench_gpu" "$pack"
  # cuBLASLt and the driver are those of the machine that runs them.
  ldd "$pack"/d2c "$pack"/test_gpu "$pack"/bench_gpu | awk '$3 ~ /^\// { print $3 }' | sort -u |
    grep -v -E '/lib(c|m|dl|rt|pthread|cuda|cublas|cublasLt)\.so' | xargs -I{} cp -L {} "$pack/lib"
  strip "$pack"/d2c "$pack"/test_gpu "$pack"/bench_gpu
  if [ -d "${FV40:=../shared/real/fv40}" ]; then
    cp -rL "$FV40" "$pack/fv40"
    chmod -R u+w "$pack/fv40"
  fi
  du -sh "$pack"
  exit
fi

failed=0
check() {  # NAME COMMAND...
  local name=$1 begin=$SECONDS
  shift
  if "$@"; then
    echo "[ok] $name ($((SECONDS - begin)) s)"
  else
    echo "[FAILED] $name ($((SECONDS - begin)) s)"
    failed=$((failed + 1))
  fi
}

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || exit 1
cuda=$(dirname "$(dirname "$(readlink -f "$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)")")")
if [ -d "$pack" ]; then
  bin=$pack
  export LD_LIBRARY_PATH=$pack/lib:$cuda/lib64:${LD_LIBRARY_PATH:-}
  fv40=${FV40:-$pack/fv40}
else
  build=build/gpu
  cmake -S . -B $build -G Ninja -DCMAKE_BUILD_TYPE=Release -DD2C_CUDA=ON -DD2C_BUILD_BENCHMARKS=ON &&
    cmake --build $build --target d2c test_gpu bench_gpu || exit 1
  mkdir -p $build/gpu-bin
  ln -sf "$PWD/$build/bin/d2c" "$PWD/$build/tests/unit/eval/test_gpu" "$PWD/$build/bench/bench_gpu" $build/gpu-bin
  bin=$PWD/$build/gpu-bin
  fv40=${FV40:-../shared/real/fv40}
fi
"$bin/d2c" --version

# Golden models, every feature against the CPU, and equal bits for any order and size of passes.
export D2C_SOURCE=$source
check "device tests" "$bin/test_gpu" --gtest_brief=1
sanitizer=$(command -v compute-sanitizer || echo "$cuda/bin/compute-sanitizer")
small='*GoldenOnDevice*/llama3_gqa_tied:*FeatureOnDevice*/6:OnDevice.GivesTheSameBits*'
for tool in memcheck synccheck; do
  check "compute-sanitizer $tool" timeout 90 "$sanitizer" --tool $tool --error-exitcode 9 \
    "$bin/test_gpu" --gtest_brief=1 --gtest_filter="$small"
done

echo "d2c, BF16:"
check "speed" timeout 120 "$bin/bench_gpu"
echo "d2c, F32:"
check "speed in F32" timeout 60 "$bin/bench_gpu" --compute f32 --units 64 --seconds 2 1B
echo "transformers and peft, BF16:"
check "peft" timeout 120 python3 bench/gpu_peft.py

if [ -d "$fv40" ]; then
  work=$(mktemp -d)
  job() {  # DEVICE
    "$bin/d2c" run "$fv40/manifest.json" -K 5 --refine none --quiet --device "$1" --output "$work/$1" \
      --threads "$(nproc)"
  }
  check "fv40 on the CPU" timeout 120 env OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 \
    bash -c "$(declare -f job); bin=$bin fv40=$fv40 work=$work; job cpu"
  check "fv40 on the GPU" timeout 60 env OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 \
    bash -c "$(declare -f job); bin=$bin fv40=$fv40 work=$work; job cuda"
  check "fv40: the same partition, or objectives within 1e-3" python3 - "$work" <<'PYTHON'
import sys
import h5py
results = [h5py.File(f"{sys.argv[1]}/{device}/results.h5") for device in ("cpu", "cuda")]
objectives = [float(r["result/objective"][()]) for r in results]
same = (results[0]["result/assignment"][:] == results[1]["result/assignment"][:]).all()
print(f"objectives {objectives}, {'the same partition' if same else 'other partitions'}")
sys.exit(not (same or abs(objectives[0] - objectives[1]) < 1e-3))
PYTHON
  rm -rf "$work"
else
  echo "[left out] fv40: $fv40 is not there"
fi
echo "$failed checks failed, $SECONDS s"
exit $failed
