#!/usr/bin/env bash
# Runs tests as on Linux on ARM, with an emulated processor: tools/emulate_arm.sh FOLDER [pytest's arguments]
#
# For Debian with qemu-user and pip; needs no rights. FOLDER takes an ARM Python with its packages (about
# 400 MB, loaded once). Slow: the tests of the kernels take some 20 minutes. Numba cannot see the emulated
# processor, so it is told of one with dot products; "NUMBA_CPU_NAME=cortex-a72 NUMBA_CPU_FEATURES=+neon"
# before the command is one without.
set -euo pipefail
mkdir -p "${1:?the folder is missing}"
folder=$(cd "$1" && pwd)
shift
cd "$(dirname "$0")/.."

if [ ! -e "$folder/ready" ]; then
    mkdir -p "$folder"/apt/{etc/apt.conf.d,state/lists/partial,cache/archives/partial} "$folder/system"
    touch "$folder/apt/status"
    release=$(. /etc/os-release && echo "$VERSION_CODENAME")
    keys=/usr/share/keyrings/debian-archive-keyring.gpg
    echo "deb [signed-by=$keys] http://deb.debian.org/debian $release main" >"$folder/apt/etc/sources.list"
    arm=(-o Dir::Etc="$folder/apt/etc" -o Dir::State="$folder/apt/state" -o Dir::Cache="$folder/apt/cache"
        -o Dir::State::status="$folder/apt/status" -o APT::Architecture=arm64 -o APT::Architectures=arm64
        -o Debug::NoLocking=true -o APT::Sandbox::User=)
    apt-get "${arm[@]}" -q update
    apt-get "${arm[@]}" -qy --no-install-recommends --download-only install python3 libstdc++6
    for package in "$folder"/apt/cache/archives/*.deb; do dpkg-deb -x "$package" "$folder/system"; done
    version=$(basename "$(ls -d "$folder"/system/usr/lib/python3.*)")
    platforms=(--platform=manylinux_2_28_aarch64 --platform=manylinux_2_27_aarch64 --platform=manylinux_2_17_aarch64)
    python3 -m pip install -q --target "$folder/packages" --only-binary=:all: "${platforms[@]}" \
        --python-version "${version#python}" numba sentencepiece platformdirs pytest hypothesis
    touch "$folder/ready"
fi

export PYTHONPATH="$folder/packages" PYTHONDONTWRITEBYTECODE=1 XDG_CACHE_HOME="$folder/cache"
export NUMBA_CACHE_DIR="$folder/cache" NUMBA_CPU_NAME="${NUMBA_CPU_NAME:-neoverse-n1}"
export NUMBA_CPU_FEATURES="${NUMBA_CPU_FEATURES:-+neon,+fp-armv8,+lse}"
[ $# -gt 0 ] || set -- tests/kernels
exec qemu-aarch64 -cpu max -L "$folder/system" "$folder/system/usr/bin/python3" \
    -m pytest -p no:cacheprovider -o addopts= -q "$@"
