#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What the scripts share: messages, paths, architectures, namespaces. To be sourced.
# shellcheck disable=SC2034 # the variables are for those who source this

PROGRAM=${PROGRAM:-${0##*/}}
export PATH=$PATH:/usr/sbin:/sbin

say() { printf '%s: %s\n' "$PROGRAM" "$*" >&2; }

# die WORDS...: one paragraph: what is wrong and what to do about it.
die() {
    say "$*"
    exit 1
}

LIB=$(cd -P "${BASH_SOURCE[0]%/*}" && pwd)
REPO=${LIB%/scripts/lib}

# Sets CACHE; it need not exist.
find_cache() {
    CACHE=${MAPWRIGHT_CACHE:-${XDG_CACHE_HOME:-${HOME:-}/.cache}/mapwright}
    [[ $CACHE == /* && $CACHE != /.cache/mapwright ]] ||
        die "the cache's place, \"$CACHE\", is not usable: set MAPWRIGHT_CACHE to an absolute path (or HOME)."
    [[ $CACHE != *[[:space:]:]* ]] ||
        die "the cache's path, \"$CACHE\", has a space or a colon, which the kernel's makefiles cannot handle: set" \
            "MAPWRIGHT_CACHE to a path without."
    CACHE=$(realpath -m "$CACHE")
}

# Debian's name of this machine's architecture.
host_arch() {
    case $(uname -m) in
        x86_64) echo amd64 ;;
        aarch64) echo arm64 ;;
        armv7* | armv8l) echo armhf ;;
        *) uname -m ;;
    esac
}

# Is $ARCH, which modules are built for, another architecture than this machine's?
is_cross() { [[ $ARCH != "$(host_arch)" ]]; }

# UNSHARE: how to get mounts of one's own. For an ordinary user, with a root's powers over their own
# files. In a chroot whose / is no mount point, unshare cannot make all mounts private; there they
# must have been so before (setup makes sure).
UNSHARE=(unshare --mount)
((EUID == 0)) || UNSHARE+=(--user --map-root-user --map-auto)
if [[ -r /proc/self/mountinfo ]] && ! grep -qE '^([^ ]+ ){4}/ ' /proc/self/mountinfo; then
    UNSHARE+=(--propagation unchanged)
fi

# in_namespaces COMMAND...: replaces this process; COMMAND is process 1 of a pid namespace with
# private mounts, as root or the user's own root. When this process dies, by any signal, so does
# everything in there. (unshare --fork would keep SIGTERM from arriving.) Called as
# "END_WITH_PARENT=1 in_namespaces ...", it dies when the caller's parent does, too.
in_namespaces() {
    local leash=()
    [[ -z ${END_WITH_PARENT:-} ]] || leash=(setpriv --pdeathsig KILL --) # after unshare, which undoes it
    # shellcheck disable=SC2016 # expanded by the inner bash
    exec "${UNSHARE[@]}" --pid -- "${leash[@]}" bash -c 'setpriv --pdeathsig KILL -- "$@"; exit $?' "$PROGRAM" "$@"
}

# lock_name ARCH KERNEL FLAVOUR: the file that says what setup installed for these. The default kernel is
# chosen anew when the tested series change.
lock_name() { echo "lock-$1-${2:-default-${TESTED_SERIES[-1]}}-$3"; }

# lock_value FILE KEY: the first value of that key, if the file is there.
lock_value() { sed -n "/^$2 /{s///p;q}" "$1" 2>/dev/null || true; }
