#!/usr/bin/env bash
# The test layers: hack/test.sh lint | unit | envoy | all
#
#   lint   gofmt, vet, staticcheck, generated files
#   unit   everything that needs no root, under the race detector
#   envoy  real Envoys in network namespaces: root, Linux
#
# all runs lint, then unit and envoy side by side, and says what was slow.
set -euo pipefail
cd "$(dirname "$0")/.."
export GOTOOLCHAIN=${GOTOOLCHAIN:-auto}
mkdir -p build
tool() { go tool -modfile=hack/tools/go.mod "$@"; }

# Packages whose tests need root and network namespaces.
rooted='/(internal/lab|injector/redirect|cmd/fairlead-redirect|test/mesh)(/|$)|/fairlead/(xds|injector)$'

lint() {
  local bad
  bad=$(gofmt -l $(git ls-files -co --exclude-standard '*.go'))
  if [ -n "$bad" ]; then echo "gofmt wanted: $bad" >&2; return 1; fi
  go vet ./...
  tool staticcheck ./...
  ./hack/check-generated.sh
}

# What Go remembers of a unit test is good enough at a desk, not in CI; real Envoys
# are tried anew each time.
fresh=${CI:+-count=1}

unit() {
  tool gotestsum --format pkgname --jsonfile build/unit.json -- -race $fresh -timeout 15m \
    $(go list ./... | grep -vE "$rooted")
}

envoy() {
  if [ "$(id -u)" != 0 ]; then
    echo "the real-Envoy tests make network namespaces: run as root" >&2
    return 1
  fi
  # The tests of the whole mesh are about real time and real load: no race detector.
  local all status=0
  all=$(go list ./... | grep -E "$rooted")
  tool gotestsum --format pkgname --jsonfile build/rooted.json -- -race -count=1 -p 1 -timeout 15m \
    $(grep -v /test/mesh <<<"$all") || status=1
  tool gotestsum --format pkgname --jsonfile build/envoy.json -- -count=1 -p 1 -timeout 25m \
    $(grep /test/mesh <<<"$all") || status=1
  return $status
}

slow() {
  echo "slowest tests:"
  cat build/unit.json build/rooted.json build/envoy.json 2>/dev/null |
    tool gotestsum tool slowest --threshold 2s | sed -n 1,25p # to its end: a broken pipe is an error
}

case "${1:-all}" in
lint) lint ;;
unit) unit ;;
envoy) envoy ;;
all)
  lint
  unit >build/unit.log 2>&1 &
  unit_pid=$!
  status=0
  envoy || status=1
  wait "$unit_pid" || status=1
  slow
  cat build/unit.log
  exit $status
  ;;
*)
  echo "usage: hack/test.sh lint|unit|envoy|all" >&2
  exit 2
  ;;
esac
