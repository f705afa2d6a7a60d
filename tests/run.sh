#!/usr/bin/env bash
# tests/run.sh [--list] [--long] [SUITE …]: every test, or the suites named. Fails if anything failed or was skipped.
# Brings what the tests need first (deploy/setup.sh); --long lets suites take their longer form (NETPAY_LONG=1).
set -euo pipefail

all=(lint unit tidy sim link e2e second-opinion fuzz crash-agent liars attacks crash damage planted)
# Bounds a hang, not slowness: the first suite on a fresh machine compiles RocksDB.
suite_timeout=60m

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
[[ -z ${CARGO_TARGET_DIR-} ]] || CARGO_TARGET_DIR=$(realpath -m "$CARGO_TARGET_DIR")
cd "$root"

# tests_of CARGO-ARGUMENTS…: cargo test; fails, too, if no test ran or one was ignored or filtered out.
tests_of() {
  local log status=0
  log=$(mktemp)
  deploy/build.sh test "$@" 2>&1 | tee "$log" || status=$?
  sed 's/\x1b\[[0-9;]*m//g' "$log" | awk '
    /^test result: / { for (i = 2; i <= NF; i++) count[$i] += $(i - 1) }
    END {
      ran = count["passed;"] + count["failed;"]; left = count["ignored;"] + count["filtered"]
      printf "%d tests ran, %d did not\n", ran, left
      exit (ran == 0 || left > 0)
    }' || status=1
  rm -f "$log"
  return "$status"
}

lint() {
  deploy/build.sh fmt --all --check
  find . -path ./target -prune -o -path ./.git -prune -o -type f \( -name '*.sh' -o -path ./.ci/run \) -print0 |
    xargs -0 shellcheck -x
  deploy/build.sh clippy --workspace --all-targets --locked -- -D warnings
}

unit() { tests_of --workspace --exclude netpay-tests --locked; }

tidy() { tests_of -p netpay-tests --locked --test tidy; }

sim() { tests_of -p netpay-tests --locked --test sim -- --nocapture --test-threads=1; }

# Messages between a broker's nodes, over a real NATS server.
link() { tests_of -p netpay-tests --locked --test link; }

e2e() {
  deploy/build.sh build --workspace --bins --locked
  tests_of -p netpay-tests --locked --test e2e
  deploy/demo.sh --json | tee >(cat >&2) | tail -n 1 |
    python3 -c 'import json, sys; sys.exit(json.load(sys.stdin).get("ok") is not True)'
}

# A verifier and a client in Python that know the specification and none of our code.
second-opinion() {
  deploy/build.sh build --workspace --bins --locked
  local log status=0
  log=$(mktemp)
  "$netpay_python/bin/python" -m unittest discover -v -s tests/second-opinion 2>&1 | tee "$log" || status=$?
  grep -q '^Ran [1-9]' "$log" && ! grep -q 'skipped=' "$log" || status=1
  rm -f "$log"
  return "$status"
}

fuzz() { NETPAY_FUZZ=1 tests_of -p netpay-protocol --locked --test decoders; }

crash-agent() {
  deploy/build.sh build --workspace --bins --locked
  tests_of -p netpay-tests --locked --test crash-agent
}

liars() {
  deploy/build.sh build --workspace --bins --locked
  tests_of -p netpay-tests --locked --test liars
}

attacks() {
  deploy/build.sh build --workspace --bins --locked
  tests_of -p netpay-tests --locked --test attacks
}

# Campaigns: they say what their seed was and what happened. One after another, for they measure time.
crash() {
  deploy/build.sh build --workspace --bins --locked
  tests_of -p netpay-tests --locked --test crash -- --nocapture --test-threads=1
}

damage() {
  deploy/build.sh build --workspace --bins --locked
  # Some damage has RocksDB read in a circle: the store gives up on it, here sooner than it would.
  NETPAY_OPEN_SECONDS=20 tests_of -p netpay-tests --locked --test damage -- --nocapture --test-threads=1
}

planted() { tests/planted.sh; }

# One suite, in a process of its own under `timeout`. Not called in an `if` or `||`: that would switch `set -e` off inside.
if [[ ${1-} == --inside ]]; then
  # shellcheck source=deploy/env.sh
  . deploy/env.sh
  "$2"
  exit
fi

suites=()
for argument in "$@"; do
  case " ${all[*]} " in
    *" $argument "*) suites+=("$argument") && continue ;;
  esac
  case $argument in
    --list)
      printf '%s\n' "${all[@]}"
      exit
      ;;
    --long)
      export NETPAY_LONG=1
      suite_timeout=6h
      ;;
    *)
      printf 'unknown suite: %s; there are: %s\n' "$argument" "${all[*]}" >&2
      exit 2
      ;;
  esac
done
((${#suites[@]})) || suites=("${all[@]}")

deploy/setup.sh

# `timeout` gives a suite a process group of its own, which Ctrl-C does not reach.
trap 'kill "$running" 2>/dev/null; exit 130' INT TERM
passed=0 failed=() running=
for suite in "${suites[@]}"; do
  printf '\n== %s\n' "$suite"
  SECONDS=0
  timeout --kill-after=30 "$suite_timeout" bash tests/run.sh --inside "$suite" </dev/null &
  running=$!
  if wait "$running"; then
    passed=$((passed + 1)) outcome=passed
  else
    failed+=("$suite") outcome="FAILED (exit $?)" # 124 and 137: took longer than suite_timeout
  fi
  printf '== %s: %s, %d s\n' "$suite" "$outcome" "$SECONDS"
done

((${#failed[@]} == 0)) || printf '\nfailed: %s\n' "${failed[*]}"
printf '\n%d passed, %d failed\n' "$passed" "${#failed[@]}"
((${#failed[@]} == 0))
