# The two commands of the README: make demo, make test. `make help` lists the rest.
# A bare Debian or Ubuntu machine needs Go (1.21 or later) and make; Go fetches the
# toolchain that go.mod pins, and `make deps` installs the few packages that tests need.

export GOTOOLCHAIN ?= auto
ifeq ($(shell go env GOTOOLCHAIN),local)
export GOTOOLCHAIN = auto
endif

CACHE   ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/fairlead
TOOL    := go tool -modfile=hack/tools/go.mod
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -ldflags "-X github.com/fairlead/fairlead/internal/version.version=$(VERSION)"

.PHONY: help build demo test test-unit test-envoy lint generate check-generated bench fuzz envoy deps clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

build: ## Build the binaries into bin/
	CGO_ENABLED=0 go build -trimpath $(LDFLAGS) -o bin/ ./cmd/...
	CGO_ENABLED=0 go build -trimpath -o bin/shop ./examples/shop/app

demo: deps envoy build ## The mesh at work on this machine, in front of you (root, Linux); ARGS=--keep leaves it up
	./bin/fairlead demo $(ARGS)

test: deps envoy ## Every test: lint, unit (race), real Envoy
	./hack/test.sh all

test-unit: ## Unit and golden tests, with the race detector
	./hack/test.sh unit

test-envoy: deps envoy ## Tests on real Envoys in network namespaces (root)
	./hack/test.sh envoy

lint: ## gofmt, vet, staticcheck, stale generated files
	./hack/test.sh lint

generate: ## Write everything that is generated (docs of commands and codes)
	go generate ./...

check-generated: ## Fail if make generate would change something
	./hack/check-generated.sh

bench: deps envoy ## Benchmarks beside their peers; writes build/bench.json
	./hack/bench.sh $(ARGS)

fuzz: ## Fuzz every fuzz target for a while; FUZZTIME=30s each
	./hack/fuzz.sh

envoy: ## Fetch the pinned Envoy into the cache; ENVOY= names another
	@ENVOY="$(ENVOY)" ./hack/envoy.sh >/dev/null

deps: ## Install the Debian packages that tests and demo need
	@./hack/deps.sh

clean: ## Remove what was built here
	rm -rf bin build
