#!/bin/sh
# rustc for our own crates (RUSTC_WORKSPACE_WRAPPER): those whose code reads what strangers send tell libFuzzer which branches were
# taken and what was compared, and are fast enough to be thrown at. Libraries stay as every other build has them, so that they need
# not be built again.
rustc=$1
shift
case " $* " in
*" --crate-name efir_core "* | *" --crate-name efir_ws "* | *" --crate-name efir_engine "* | *" --crate-name efir_transports "*)
    speed=2
    ;;
*" --crate-name efir_fuzz "* | *" --crate-name fuzz "* | *" --crate-name efir_server "*) speed=1 ;;
*) exec "$rustc" "$@" ;;
esac
exec "$rustc" "$@" -C opt-level=$speed \
    -C passes=sancov-module \
    -C llvm-args=-sanitizer-coverage-level=4 \
    -C llvm-args=-sanitizer-coverage-inline-8bit-counters \
    -C llvm-args=-sanitizer-coverage-pc-table \
    -C llvm-args=-sanitizer-coverage-trace-compares
