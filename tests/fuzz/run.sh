#!/usr/bin/env bash
# Fuzzes every decoder for so many seconds each: tests/fuzz/run.sh 3 [DECODER]
# Needs a C++ compiler. What it finds goes to tests/fuzz/artifacts/; what is new and small enough to keep, to the corpus.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-3}
decoders=${2:-card descriptor message content request answer text envelope link list sealed}
# Coverage instrumentation as libFuzzer wants it; the flags are stable's, the gate is opened by RUSTC_BOOTSTRAP.
export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Ccodegen-units=1"
target=$(rustc -vV | sed -n 's/^host: //p')
cargo build --release --quiet --target "$target"
binary=${CARGO_TARGET_DIR:-target}/$target/release/valise-fuzz
for decoder in $decoders; do
  mkdir -p "corpus/$decoder" artifacts
  new=$(mktemp -d)
  DECODER=$decoder "$binary" -max_total_time="$seconds" -max_len=70000 -artifact_prefix=artifacts/"$decoder"- \
    -print_final_stats=1 "$new" "corpus/$decoder" 2>&1 | grep -E "number_of_executed_units|ERROR|panicked|Test unit" | sed "s/^/$decoder: /"
  rm -r "$new"
done
