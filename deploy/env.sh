#!/usr/bin/env bash
# Sourced by the other scripts, and by you (`. deploy/env.sh`) before calling cargo by hand: where the cache is, which
# nats-server is used, and whether RocksDB comes from the cache. Installs nothing and compiles nothing.
# `set -euo pipefail` is left to the caller: a sourced file must not change your shell.

netpay_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
netpay_target=${CARGO_TARGET_DIR:-$netpay_root/target}
netpay_nats_min=2.12

# netpay_at_least HAVE WANT: compares version numbers.
netpay_at_least() { printf '%s\n%s\n' "$2" "$1" | sort -V -C; }

# netpay_nats_version BINARY: prints its version; fails if it does not run or is older than we need.
netpay_nats_version() {
  local version
  version=$("$1" --version 2>/dev/null | sed -n 's/.*v\([0-9][0-9.]*\).*/\1/p') || return 1
  [[ -n $version ]] && netpay_at_least "$version" "$netpay_nats_min" && printf '%s\n' "$version"
}

netpay_rocksdb_version() {
  sed -n '/^name = "librocksdb-sys"$/{n;s/^version = "\(.*\)"$/\1/p;}' "$netpay_root/Cargo.lock"
}

# netpay_rocksdb_key: the folder of a RocksDB archive. It names all that decides whether an archive fits, so that when any
# of it changes the archive is compiled anew instead of a wrong one being linked. Fails where that cannot be told.
netpay_rocksdb_key() (
  # Each step fails by hand: `set -e` does not hold in a function that is called before `||`.
  cd "$netpay_root" || exit
  # Cross builds keep their archive elsewhere, for another machine.
  [[ -z ${CARGO_BUILD_TARGET-} ]] || exit
  version=$(netpay_rocksdb_version) && [[ -n $version ]] || exit
  machine=$(c++ -dumpmachine) && compiler=$(c++ -dumpversion) && libc=$(getconf GNU_LIBC_VERSION) || exit
  shopt -s nullglob
  features=$(sed -n 's/^rocksdb *=.*features *= *\[\([^]]*\)\].*/\1/p' Cargo.toml ./*/Cargo.toml ./*/*/Cargo.toml |
    tr -d '" ' | tr ',' '\n' | sort -u | paste -sd+)
  flags=${RUSTFLAGS-}${CARGO_ENCODED_RUSTFLAGS-}${CC-}${CXX-}${CFLAGS-}${CXXFLAGS-}${ROCKSDB_CXX_STD-}
  [[ -z $flags ]] || flags=-flags$(printf %s "$flags" | cksum | cut -d' ' -f1)
  printf '%s-%s-%s-cxx%s-%s%s\n' "$version" "$features" "$machine" "${compiler%%.*}" "${libc// /-}" "$flags"
) 2>/dev/null

# netpay_rocksdb_compiled PROFILE: the archives, of this version, that the target directory compiled itself and still
# uses. The build script's output tells: it watches the sources only if it compiled them, and is written when it is done.
netpay_rocksdb_compiled() {
  local output version
  version=$(netpay_rocksdb_version)
  for output in "$netpay_target/$1"/build/librocksdb-sys-*/output; do
    [[ -f ${output%/*}/out/librocksdb.a ]] || continue
    grep -qxF 'cargo:rerun-if-changed=rocksdb/' "$output" || continue
    grep -q "^cargo:cargo_manifest_dir=.*/librocksdb-sys-${version//./\\.}\$" "$output" || continue
    printf '%s\n' "${output%/*}/out/librocksdb.a"
  done
}

# The cache only saves time. Where it cannot be written, the target directory stands in for it.
if [[ -z ${NETPAY_CACHE-} ]]; then
  NETPAY_CACHE=${XDG_CACHE_HOME:-${HOME:+$HOME/.cache}}
  NETPAY_CACHE=${NETPAY_CACHE:-$netpay_target}/p2p-netpay
fi
if ! { mkdir -p "$NETPAY_CACHE" && [[ -w $NETPAY_CACHE ]]; } 2>/dev/null; then
  NETPAY_CACHE=$netpay_target/p2p-netpay
fi
export NETPAY_CACHE

# Where the Python packages of the tests are: named by what they are and by the Python they were made with.
netpay_python=$NETPAY_CACHE/python-$(
  { cat "$netpay_root/tests/second-opinion/requirements.txt" && python3 --version; } 2>/dev/null | cksum | cut -d' ' -f1
)
export netpay_python

# rustup's folder is not yet on the PATH of the shell that installed it.
if ! command -v cargo >/dev/null && [[ -x ${CARGO_HOME:-${HOME-}/.cargo}/bin/cargo ]]; then
  export PATH=${CARGO_HOME:-${HOME-}/.cargo}/bin:$PATH
fi

if ! netpay_nats_version nats-server >/dev/null && netpay_nats_version "$NETPAY_CACHE/bin/nats-server" >/dev/null; then
  export PATH=$NETPAY_CACHE/bin:$PATH
fi

# What else setup.sh fetched counts only where the system has none.
case :$PATH: in
  *:"$NETPAY_CACHE/bin":*) ;;
  *) export PATH=$PATH:$NETPAY_CACHE/bin ;;
esac

# A target directory that compiled RocksDB itself is left as it is: the cache would save nothing there, and setting or
# unsetting ROCKSDB_LIB_DIR makes cargo run the build script again, so the next plain `cargo build` would compile it anew.
netpay_key=$(netpay_rocksdb_key) || netpay_key=
netpay_archive=$NETPAY_CACHE/rocksdb/$netpay_key/librocksdb.a
if [[ -z ${ROCKSDB_LIB_DIR-} && -n $netpay_key && -f $netpay_archive ]] &&
  [[ -z $(netpay_rocksdb_compiled "${netpay_profile:-debug}") ]]; then
  export ROCKSDB_LIB_DIR=${netpay_archive%/*} ROCKSDB_STATIC=1
  unset ROCKSDB_INCLUDE_DIR # the headers stay the bundled ones, of the same version
fi
