# `make check` is what runs on every change.

CARGO ?= cargo
# Most of a test's time is waiting for processes and disks, so more of them run at once than there are cores.
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

# Last, so that its summary is the last word.
test:
	scripts/install-test-needs
	$(CARGO) test --locked --doc
	RUST_TEST_THREADS=$(TEST_THREADS) $(CARGO) test --locked --lib --bins --test it

build:
	$(CARGO) build --locked --release

# A Debian package, with unit, man pages and completions; needs `cargo install cargo-deb`.
deb:
	scripts/package-deb

# Acknowledgements and attempts per second beside what bounds them, nanoseconds per check beside one written by hand, and
# how soon pages are there with a million events.
bench:
	$(CARGO) bench --locked

# Every fault of docs/evidence.md, many more times than every run has it, and a table of what was lost: nothing.
TORTURE_ROUNDS ?= 100
torture:
	scripts/install-test-needs
	CARGO="$(CARGO)" scripts/torture $(TORTURE_ROUNDS)
