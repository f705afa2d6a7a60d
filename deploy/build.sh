#!/usr/bin/env bash
# deploy/build.sh CARGO-ARGUMENTS…: cargo, except that RocksDB is compiled once per machine and not once per clone.
# A plain `cargo build` does as well; it only waits longer.
set -euo pipefail

# Cargo reads a relative target directory from where you are; we call it from the clone's root.
[[ -z ${CARGO_TARGET_DIR-} ]] || CARGO_TARGET_DIR=$(realpath -m "$CARGO_TARGET_DIR")

netpay_profile=debug
for argument in "$@"; do
  case $argument in
    --) break ;;
    -r | --release | --profile=release) netpay_profile=release ;;
    --target | --target=* | --target-dir | --target-dir=*)
      echo "build: $argument goes past the cache; set CARGO_TARGET_DIR, or call cargo itself" >&2
      exit 2
      ;;
  esac
done
# shellcheck source=deploy/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$netpay_root"

started=$(mktemp)
unfinished=

# keep_rocksdb: puts the archive that this very build compiled into the cache. An older one is left alone: whether it was
# made with the features and flags that the key names, nobody can tell. One with debug information (1.5 GB) is left too.
keep_rocksdb() {
  local archive
  [[ -n $netpay_key && ! -e $netpay_archive && $NETPAY_CACHE != "$netpay_target"/* ]] || return 0
  archive=$(netpay_rocksdb_compiled "$netpay_profile" |
    while read -r each; do find "$each" -newer "$started" -size -600M; done | head -n 1)
  [[ -n $archive ]] || return 0

  # Complete or not at all: another clone may be reading it, or keeping its own.
  mkdir -p "$NETPAY_CACHE/rocksdb" && unfinished=$(mktemp -d "$NETPAY_CACHE/rocksdb/.new.XXXXXX") &&
    cp "$archive" "$unfinished/" && mv -T "$unfinished" "${netpay_archive%/*}" &&
    echo "build: kept RocksDB in $NETPAY_CACHE for the next clone" >&2
}

# Also when cargo failed or was stopped: an error of ours after 18 minutes must not cost them again.
finish() {
  keep_rocksdb || echo "build: could not keep RocksDB in $NETPAY_CACHE; the next clone compiles it again" >&2
  rm -rf "$started" ${unfinished:+"$unfinished"}
}
trap finish EXIT

case ${1-} in
  b | build | t | test | c | check | clippy | r | run | bench | d | doc)
    if [[ -n $netpay_key && -z ${ROCKSDB_LIB_DIR-} && -z $(netpay_rocksdb_compiled "$netpay_profile") ]]; then
      echo "build: RocksDB is not in the cache: if this needs it, it is compiled, once; about 18 minutes on two cores" >&2
    fi
    ;;
esac

cargo "$@"
