#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A fresh Debian 13 to follow instructions in, as a chroot: what real-machine and packages share. To be sourced.
#
# It is in a directory of the cache that is named as the program is, and is removed at last. There "uname -r" tells the kernel
# that was booted last.

# shellcheck source=scripts/lib/common.sh
. "$(dirname "$(realpath "$0")")/../scripts/lib/common.sh"
# shellcheck source=scripts/lib/progress.sh
. "$LIB/progress.sh"
# shellcheck source=scripts/lib/debian.sh
. "$LIB/debian.sh"
# shellcheck source=scripts/lib/kernels.sh
. "$LIB/kernels.sh"
# shellcheck source=scripts/lib/toolroot.sh
. "$LIB/toolroot.sh"
# shellcheck source=scripts/lib/kernel.sh
. "$LIB/kernel.sh"

# As Debian's installer leaves it, as far as this matters, with the packages INCLUDE (a,b) and the backports. To be run
# as a job.
make_machine() { # INCLUDE
    with_retries "$STEP" debootstrap "$1"
    sources "$(cat "$APT/mirror")" "$ARCH" "$SUITE" "$SUITE-backports" | sed 's/ signed-by=[^]]*//' >"$MACHINE/etc/apt/sources.list"
    echo 'APT::Get::Assume-Yes "true";' >"$MACHINE/etc/apt/apt.conf.d/90check"
    echo force-unsafe-io >"$MACHINE/etc/dpkg/dpkg.cfg.d/check"
    : >"$MACHINE/etc/resolv.conf.new"
    mv "$MACHINE/etc/resolv.conf.new" "$MACHINE/etc/resolv.conf"
    echo "id $PROGRAM" >"$MACHINE/.mapwright-root"
    install -m 755 /dev/stdin "$MACHINE/usr/local/bin/uname" <<'UNAME'
#!/bin/sh
if [ "$*" = -r ]; then cat /etc/booted; else exec /usr/bin/uname "$@"; fi
UNAME
    in_machine apt-get -q update
}

debootstrap() { # INCLUDE
    rm -rf --one-file-system -- "$MACHINE"
    sources "$(cat "$APT/mirror")" "$ARCH" "$SUITE" |
        mmdebstrap --mode=root --variant=important --format=directory --aptopt="$APT/root.conf" \
            --include="$1" "$SUITE" "$MACHINE" -
}

in_machine() { MAPWRIGHT_ROOT=$MACHINE "$REPO/scripts/in-root" -- "$@"; }

newest_kernel() { basename -a "$MACHINE"/boot/vmlinuz-* | sed 's/^vmlinuz-//' | sort -V | tail -1; }

boot() { # RELEASE
    BOOTED=$1
    echo "$BOOTED" >"$MACHINE/etc/booted"
}

# The newest release of the oldest series that was tested.
oldest_kernel() { kernel_index | complete_kernels "$ARCH" | matching_kernels "${TESTED_SERIES[0]}" | tail -1 | cut -d' ' -f1; }

# step TEXT COMMAND...: a step with a log of its own.
step() {
    STEP=step-$((++STEPS))
    do_step "$STEP" "$@"
}

# Begins anew in namespaces of its own, and sets what the above needs.
use_machine() { # "$@"
    find_cache
    [[ -e $CACHE/root-$(host_arch)/.mapwright-root ]] || die "the toolchain root is not there yet: run \"make setup\" first."
    export MAPWRIGHT_CACHE=$CACHE
    if [[ -z ${MAPWRIGHT_INSIDE:-} ]]; then
        export MAPWRIGHT_INSIDE=1
        in_namespaces "$0" "$@"
    fi
    mount -t proc proc /proc 2>/dev/null || true # of our own process ids
    ARCH=$(host_arch)
    HOST_ARCH=$ARCH CACHE=$CACHE/$PROGRAM STEPS=0
    MACHINE=$CACHE/root LOGS=$CACHE/log
    mkdir -p "$LOGS"
    make_apt
    do_step index "looking which kernels there are" fetch_index
}

remove_machine() { rm -rf --one-file-system -- "${MACHINE%/root}"; }
