#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The toolchain root: a Debian 13 in $ROOT with the kernel's own compilers, QEMU and virtme-ng.
# To be sourced after debian.sh.
#
# shellcheck disable=SC2153 # variables of the scripts that source each other

# The package with the program that emulates VMs of an architecture.
qemu_package() {
    case $1 in
        amd64) echo qemu-system-x86 ;;
        *) echo qemu-system-arm ;;
    esac
}

readonly -a ROOT_PACKAGES=(
    # compilers and what kernel modules are built with
    rustc rust-src rustfmt rust-clippy cargo bindgen gcc gcc-14 gcc-14-for-host libc6-dev make pahole
    # booting a guest: QEMU, and what the guest uses when this root is its file system
    "$(qemu_package "$(host_arch)")" virtiofsd busybox-static kmod linux-base mount iproute2 procps
    # archives and scripts
    cpio zstd xz-utils ca-certificates shellcheck
    # virtme-ng's Python, and a pip to fetch it with (unpacked it needs no package)
    python3-minimal python3-requests python3-argcomplete python3-pip-whl
)

# Tests, translations and manuals: nothing here reads them.
readonly -a ROOT_LEAVES_OUT=(
    path-exclude=/usr/share/doc/* path-exclude=/usr/share/man/* path-exclude=/usr/share/info/*
    path-exclude=/usr/share/locale/* path-exclude=/usr/share/bash-completion/*
    path-exclude=/usr/src/rustc-*/src/* path-exclude=/usr/src/rustc-*/compiler/*
    path-include=/usr/src/rustc-*/library/*
)

# What building for another architecture and emulating it takes: programs of this machine's
# architecture, and files of the other.
cross_packages() {
    case $ARCH in
        arm64) echo gcc-14-aarch64-linux-gnu libc6-dev-arm64-cross qemu-system-arm device-tree-compiler ;;
        armhf) echo gcc-14-arm-linux-gnueabihf libc6-dev-armhf-cross qemu-system-arm device-tree-compiler ;;
    esac
}
readonly -a FOREIGN_PACKAGES=(libstd-rust-dev busybox-static)

readonly VIRTME=virtme-ng==1.42
readonly VIRTME_SHA256=99589f1f5d74249038fe3c52aad9d3c33cb82a2d9617997511d4489fc709a707

# Changes when a root made by an older version of these scripts would not do.
recipe() {
    sha256sum <<<"1 $SUITE ${ROOT_PACKAGES[*]} ${ROOT_LEAVES_OUT[*]} $VIRTME $VIRTME_SHA256" | cut -c1-16
}

root_value() { sed -n "s/^$1 //p" "$ROOT/.mapwright-root" 2>/dev/null || true; }
root_is_there() { [[ $(root_value recipe) == "$(recipe)" ]]; }

remove_tree() { [[ ! -e $1 ]] || rm -rf --one-file-system -- "$1"; }

# To be run as a job named "root".
make_root() {
    remove_tree "$ROOT.tmp"
    with_retries root mmdebstrap_root
    : >"$ROOT.tmp/etc/resolv.conf.new" # a plain file to put the machine's own over
    mv "$ROOT.tmp/etc/resolv.conf.new" "$ROOT.tmp/etc/resolv.conf"
    printf 'recipe %s\nid %s\n' "$(recipe)" "$(cat /proc/sys/kernel/random/uuid)" >"$ROOT.tmp/.mapwright-root"
    remove_tree "$ROOT.old"
    [[ ! -e $ROOT ]] || mv "$ROOT" "$ROOT.old"
    mv "$ROOT.tmp" "$ROOT"
    remove_tree "$ROOT.old"
}

mmdebstrap_root() {
    local uri leave options=()
    uri=$(cat "$APT/mirror")
    remove_tree "$ROOT.tmp"
    for leave in "${ROOT_LEAVES_OUT[@]}"; do
        options+=(--dpkgopt="$leave")
    done
    sources "$uri" "$HOST_ARCH" "$SUITE" "$SUITE-backports" >"$APT/root-sources"
    mmdebstrap --mode=root --variant=apt --architectures="$HOST_ARCH" --format=directory --skip=cleanup/apt/lists \
        --aptopt="$APT/root.conf" "${options[@]}" --include="$(IFS=, && echo "${ROOT_PACKAGES[*]}")" \
        "$SUITE" "$ROOT.tmp" - <"$APT/root-sources"
}

# Of packages that are unpacked in the root without dpkg, the versions are noted here.
unpacked() { echo "$ROOT/var/lib/mapwright/$1"; }

cross_is_there() { [[ $(cat "$(unpacked "cross-$ARCH")" 2>/dev/null) == "$(cross_packages) ${FOREIGN_PACKAGES[*]}" ]]; }

# Instead of Debian's link to tools for this machine, see build-modpost.
modpost_is_there() { [[ ! -L $ROOT/usr/src/linux-headers-$RELEASE/scripts ]]; }

# To be run as a job named "cross".
install_cross() {
    local qemu packages
    # All of QEMU's programs are of one version.
    # shellcheck disable=SC2016 # dpkg-query expands it
    qemu=$(in_root dpkg-query -W -f '${Version}' qemu-system-common)
    read -ra packages < <(cross_packages)
    packages=("${packages[@]/%qemu-system-arm/qemu-system-arm=$qemu}")
    with_retries cross install_in_root "${packages[@]}"
    mkdir -p "$DEBS"
    cd "$DEBS" || return
    with_retries cross own_apt apt-get -q download "${FOREIGN_PACKAGES[@]/%/:$ARCH}"
    dpkg-deb --extract libstd-rust-dev_*_"$ARCH".deb "$ROOT"
    # The root has a busybox of its own.
    dpkg-deb --fsys-tarfile busybox-static_*_"$ARCH".deb | tar -xO ./usr/bin/busybox >"$ROOT/usr/bin/busybox-$ARCH"
    chmod 755 "$ROOT/usr/bin/busybox-$ARCH"
    mkdir -p "$(dirname "$(unpacked x)")"
    echo "$(cross_packages) ${FOREIGN_PACKAGES[*]}" >"$(unpacked "cross-$ARCH")"
}

# With a fresh index, if the one in the root is too old.
install_in_root() { # PACKAGE...
    local install=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends
        -o Dpkg::Options::=--force-unsafe-io install "$@")
    in_root dpkg --configure -a
    in_root "${install[@]}" && return
    in_root apt-get -q update --error-on=any && in_root "${install[@]}"
}

# A QEMU that connects to devices in programs of their own (vfio-user-pci) is newer than Debian 13's.
# Only its program is taken; it finds the root's own firmware.
readonly VFIO_QEMU=/usr/lib/mapwright/qemu/bin

# The program that emulates VMs of $ARCH.
vfio_qemu() {
    case $ARCH in
        amd64) echo qemu-system-x86_64 ;;
        arm64) echo qemu-system-aarch64 ;;
        armhf) echo qemu-system-arm ;;
    esac
}

vfio_qemu_is_there() { [[ -x $ROOT$VFIO_QEMU/$(vfio_qemu) ]]; }

# To be run as a job named "qemu".
install_vfio_qemu() {
    # shellcheck disable=SC2016 # expanded in the root
    with_retries qemu "$REPO/scripts/in-root" -- sh -ec '
        target=$1 program=$2 package=$3 suite=$4 dir=$(mktemp -d)
        trap "rm -rf $dir" EXIT
        cd "$dir"
        apt-get -q download "$package/$suite"
        dpkg-deb --fsys-tarfile "$package"_*.deb | tar -x "./usr/bin/$program"
        "usr/bin/$program" -machine none -device vfio-user-pci,help >/dev/null
        mkdir -p "$target"
        mv "usr/bin/$program" "$target/"
    ' sh "$VFIO_QEMU" "$(vfio_qemu)" "$(qemu_package "$ARCH")" "$SUITE-backports"
}

virtme_is_there() { [[ -x $ROOT/usr/local/bin/vng ]]; }

# To be run as a job.
install_virtme() {
    local config
    for config in "${HOME:-}/.config/pip/pip.conf" "${HOME:-}/.pip/pip.conf" /etc/pip.conf; do
        [[ -r $config ]] && break
        config=
    done
    # shellcheck disable=SC2016 # expanded in the root
    with_retries virtme "$REPO/scripts/in-root" -- sh -c '
        for pip in /usr/share/python-wheels/pip-*.whl; do :; done
        PIP_CONFIG_FILE=${1:-/dev/null} PIP_ROOT_USER_ACTION=ignore PIP_BREAK_SYSTEM_PACKAGES=1 \
        python3 "$pip/pip" install --disable-pip-version-check --no-cache-dir --no-deps \
            --require-hashes --requirement /dev/stdin <<END
$2 --hash=sha256:$3
END' sh "$(shared_copy "$config")" "$VIRTME" "$VIRTME_SHA256"
}

# A copy of a private file where the root sees it too, for as long as setup runs.
shared_copy() {
    [[ -n $1 ]] || return 0
    install -m 600 "$1" "$APT/${1##*/}"
    echo "$APT/${1##*/}"
}

# cargo's mirrors, proxies and certificates as the user has them; nothing that changes how it builds.
configure_cargo() {
    local config
    mkdir -p "$CACHE/cargo"
    for config in "${CARGO_HOME:-${HOME:-}/.cargo}"/config.toml "${CARGO_HOME:-${HOME:-}/.cargo}"/config; do
        [[ -r $config && $config != "$CACHE"/* ]] || continue
        (umask 077 && awk '/^[[:space:]]*\[/ { keep = ($0 ~ /^[[:space:]]*\[+(source|registry|registries|http|net)[].]/) } keep' \
            "$config" >"$CACHE/cargo/config.toml")
        return
    done
}
