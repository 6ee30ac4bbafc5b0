# `make check` is what runs on every change.

CARGO ?= cargo
# Tests mostly wait for processes and disks, so more of them run at once than there are cores.
TEST_THREADS ?= 8

.PHONY: check format-check format lint doc test build bench torture deb

check: format-check lint doc test

format-check:
	$(CARGO) fmt --check

format:
	$(CARGO) fmt

lint:
	$(CARGO) clippy --locked --all-targets -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items

# Runs every test even when one fails. There are no documentation tests.
test:
	scripts/install-test-needs
	RUST_TEST_THREADS=$(TEST_THREADS) $(CARGO) test --locked --no-fail-fast --lib --test it

build:
	$(CARGO) build --locked --profile dist

# A Debian package with units, man pages and completions. Needs `cargo install cargo-deb`.
deb:
	scripts/package-deb

# Acknowledgements and attempts per second next to what bounds them, verification next to a hand-written check, and the
# time of dashboard pages over a million events.
bench:
	$(CARGO) bench --locked

# The faults of docs/evidence.md, many more times than `make test` injects them, and a table of what was lost.
TORTURE_ROUNDS ?= 100
torture:
	scripts/install-test-needs
	CARGO="$(CARGO)" scripts/torture $(TORTURE_ROUNDS)
