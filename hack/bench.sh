#!/usr/bin/env bash
# Runs the benchmarks beside their peers, prints the table and writes
# build/bench.json. Arguments go to the program: hack/bench.sh --help
#
#   hack/bench.sh --only flip,idle      some of the parts
#   hack/bench.sh --profiles build      CPU and heap profiles of our server as well
#
# The part envoy needs root. The numbers mean little on a machine that does other
# work meanwhile: its load at the start is printed.
set -euo pipefail
cd "$(dirname "$0")/.."
export GOTOOLCHAIN=${GOTOOLCHAIN:-auto}
mkdir -p build
go build -o build/bench ./test/bench
ENVOY=$(./hack/envoy.sh)
export ENVOY
exec ./build/bench --out build/bench.json "$@"
