#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Which kernels the project is for: the series it was tested with, the architectures that its modules have
# code for, and how Debian names its kernels. To be sourced.
#
# shellcheck disable=SC2034 # the variables are for those who source this

# Linux series, oldest first. An older one is refused; a newer one is tried, with a warning.
readonly -a TESTED_SERIES=(7.2 7.3)

# For the reader, and as Debian names them.
readonly ARCHITECTURES='x86-64, arm64 and 32-bit ARM'
readonly -a DEBIAN_ARCHITECTURES=(amd64 arm64 armhf)

# flavour_of ARCH [NAME]: Debian's name of a kernel's flavour. NAME is that, or a word which Debian completes
# with the architecture: rt, cloud, 16k. Without it, the architecture's ordinary flavour.
flavour_of() {
    local ordinary=$1
    [[ $1 != armhf ]] || ordinary=armmp
    case ${2:-} in
        '') echo "$ordinary" ;;
        rt | cloud) echo "$2-$ordinary" ;;
        16k) echo "$ordinary-16k" ;;
        *) echo "$2" ;;
    esac
}

# The series (7.2) of a version or release (7.2.12+deb13-amd64).
series_of() { sed -E 's/^([0-9]+\.[0-9]+).*/\1/' <<<"$1"; }

# compare_with_tested SERIES: prints older, tested or newer. (One between two tested series is tested.)
compare_with_tested() {
    local sorted
    sorted=$(printf '%s\n' "$1" "${TESTED_SERIES[@]}" | sort -uV)
    if printf '%s\n' "${TESTED_SERIES[@]}" | grep -qxF "$1"; then
        echo tested
    elif [[ $(head -1 <<<"$sorted") == "$1" ]]; then
        echo older
    elif [[ $(tail -1 <<<"$sorted") == "$1" ]]; then
        echo newer
    else
        echo tested
    fi
}

# The tested series in words: 7.2, or 7.2 to 7.3.
tested_range() {
    if ((${#TESTED_SERIES[@]} == 1)); then
        echo "${TESTED_SERIES[0]}"
    else
        echo "${TESTED_SERIES[0]} to ${TESTED_SERIES[-1]}"
    fi
}
