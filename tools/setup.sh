#!/usr/bin/env bash
# Makes .venv from the lock files, each package by its hash, and, as root on a Debian-like machine, installs the few system packages a region needs.
# `setup.sh tests` installs what only tests need. On other machines `pincompute region doctor` names what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

install_packages() {
  if [ $# = 0 ] || ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then return; fi
  echo "installing $*"
  if [[ " $* " == *" postgresql "* ]] && [ ! -e /etc/postgresql-common/createcluster.conf ]; then
    mkdir -p /etc/postgresql-common
    echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf # tests start their own; none runs otherwise
  fi
  [ -n "${updated:-}" ] || apt-get -qq update
  updated=yes
  DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends "$@" >/dev/null
}

# Node.js for the client in TypeScript; the database that tests of history run against beside SQLite; what builds images; what health gates ask.
install_for_tests() {
  local packages=()
  command -v npm >/dev/null || packages+=(npm)
  ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || packages+=(postgresql)
  command -v mmdebstrap >/dev/null || packages+=(mmdebstrap)
  command -v buildah >/dev/null || packages+=(buildah)
  command -v prometheus >/dev/null || packages+=(prometheus)
  install_packages "${packages[@]}"
}

# Link and namespace tools, kube-proxy's rules, the C parts of runc and pause, runc's seccomp filter.
install_for_region() {
  local packages=()
  command -v ip >/dev/null || packages+=(iproute2)
  command -v nft >/dev/null || packages+=(nftables)
  command -v gcc >/dev/null || packages+=(gcc libc6-dev)
  command -v pkg-config >/dev/null || packages+=(pkg-config)
  command -v nsenter >/dev/null || packages+=(util-linux)
  [ -e /usr/include/seccomp.h ] || packages+=(libseccomp-dev)
  install_packages "${packages[@]}"
  # Images of daemons; a region runs without them.
  command -v mmdebstrap >/dev/null || install_packages mmdebstrap || echo "mmdebstrap is not installed: nodes get no daemons"
}

make_environment() {
  local python=$1
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "pincompute needs Python 3.11 or newer; $("$python" --version) is installed. Try: make PYTHON=python3.11 up" >&2
    exit 1
  }
  [ -x .venv/bin/python ] || "$python" -m venv .venv
  .venv/bin/python -m pip --quiet --disable-pip-version-check install --require-hashes --only-binary :all: -r tools/setup.lock
  .venv/bin/uv pip sync --quiet --python .venv/bin/python --require-hashes requirements.lock
  .venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable . --editable sdk
}

if [ "${1:-}" = tests ]; then
  install_for_tests
else
  install_for_region
  make_environment "${1:-python3}"
fi
