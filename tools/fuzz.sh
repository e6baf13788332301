#!/usr/bin/env bash
# Fuzzes every decoder of foreign bytes, from the saved corpus, with libFuzzer: FUZZ_SECONDS (600) for each target.
#
#   tools/fuzz.sh [TARGET...]      FUZZ_JOBS targets at once (as many as there are processors)
#
# Needs a C++ compiler for libFuzzer itself; the coverage counters come from the stable toolchain. What is found is kept in
# fuzz/artifacts/<target>/, what is learnt in fuzz/target/corpus/<target>/ (the saved corpus is not changed).
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../fuzz"
seconds=${FUZZ_SECONDS:-600}
jobs=${FUZZ_JOBS:-$(nproc)}
# A directory of its own: the flags differ from those of every other build.
export CARGO_TARGET_DIR=${FUZZ_TARGET_DIR:-$PWD/target}
triple=$(rustc -vV | sed -n 's/^host: //p')

targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    for file in fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi

# What cargo-fuzz passes as well. With --target, build scripts are built without it.
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares" \
    cargo build --release --target "$triple" "${targets[@]/#/--bin=}"

fuzz_one() {
    local target=$1 log=$CARGO_TARGET_DIR/logs/$1.log found=artifacts/$1 learnt=$CARGO_TARGET_DIR/corpus/$1
    mkdir -p "$found" "$learnt" "${log%/*}"
    local ended=0
    "$CARGO_TARGET_DIR/$triple/release/$target" "$learnt" "corpus/$target" -artifact_prefix="$found/" \
        -max_total_time="$seconds" -max_len=65536 -rss_limit_mb=1024 -malloc_limit_mb=512 -timeout=10 \
        -print_final_stats=1 >"$log" 2>&1 || ended=$?
    local inputs
    inputs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    if [ "$ended" -eq 0 ]; then
        echo "$target: $inputs inputs, nothing found"
    elif [ "$ended" -eq 72 ]; then
        # libFuzzer's own code for a signal from outside.
        echo "$target: interrupted after $inputs inputs" >&2
        return 1
    else
        echo "$target: FOUND something (exit $ended), see fuzz/$found and $log" >&2
        tail -n 20 "$log" >&2
        return 1
    fi
}
export -f fuzz_one
export seconds triple

printf '%s\n' "${targets[@]}" | xargs -P "$jobs" -I{} bash -c 'set -euo pipefail; fuzz_one {}'
