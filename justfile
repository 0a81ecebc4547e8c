# Everyday commands; `just` lists them. Nothing needs just: each line works by itself.

_list:
    @just --list --unsorted

# show songkhao at work: fake platforms, a sample feed, the pages
demo *ARGS:
    scripts/demo {{ARGS}}

# everything that must hold before a change lands
test:
    scripts/test

# the slow checks, before a release
full:
    .ci/full

# does it compile, and is clippy content
check:
    cargo clippy --all-targets --locked -- -D warnings

# one module's tests: just only text::cut
only NAME *ARGS:
    cargo test --locked {{NAME}} {{ARGS}}

# format
fmt:
    cargo fmt

# write anew what tests compare: the example configuration, the reference, snapshots; then read the diff
accept:
    UPDATE_EXAMPLE=1 INSTA_UPDATE=always cargo test --locked
    git diff --stat

# ten times as many cases for every property
properties:
    PROPTEST_CASES=2560 cargo test --locked --lib

# pages drawn by tests, for the eye
pictures:
    cargo test --locked --test it browser
    @ls -1 "${CARGO_TARGET_DIR:-target}"/screenshots/*.png

# the documentation of the code, private parts too
docs:
    cargo doc --no-deps --document-private-items --locked --open

# what a release is
release:
    cargo build --locked --release
    @ls -l "${CARGO_TARGET_DIR:-target}/release/songkhao"

# licenses, sources and duplicates of dependencies
deny:
    cargo deny check bans licenses sources

# every figure beside its limit; docs/performance.md explains them: just bench posting
bench NAME='*':
    cargo bench --locked --bench '{{NAME}}'

# exposure of the systemd unit, 0 (none) to 10
unit:
    systemd-analyze security --no-pager --offline=true deploy/songkhao.service
