#!/usr/bin/env bash
# Runs every fuzz target of the repository for FUZZTIME (10s), one after another.
set -euo pipefail
cd "$(dirname "$0")/.."
for pkg in $(grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -r -n1 dirname | sort -u); do
  for target in $(grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$pkg"/*_test.go | cut -d' ' -f2 | sort -u); do
    echo "== $pkg $target"
    go test "$pkg" -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-10s}"
  done
done
