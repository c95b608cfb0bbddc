#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The kernel: which of Debian's to take, its packages, the parts of its source that are kept.
# To be sourced after kernels.sh and toolroot.sh.
#
# shellcheck disable=SC2034,SC2153 # variables of the scripts that source each other

# Of the source: what rust-headers needs, and what the project reads or runs.
readonly -a SOURCE_SLICE=(Makefile .rustfmt.toml rust scripts drivers/base drivers/android tools/testing/kunit)

# complete_kernels FLAVOUR <kernel_index: the releases that have everything, as lines
# "RELEASE VERSION", oldest first. A new version's parts do not arrive all at once.
complete_kernels() {
    awk -v flavour="$1" '
        { have[$1 " " $2] = 1 }
        $1 ~ "^linux-headers-[0-9].*-" flavour "$" { headers[$1] = $1; version[$1 " " $2] = $2; names[$1 " " $2] = $1 }
        END {
            for (key in version) {
                v = version[key]
                release = substr(names[key], length("linux-headers-") + 1)
                abi = substr(release, 1, length(release) - length(flavour) - 1)
                if (abi !~ /^[0-9.]+[^-]*$/) continue
                split(abi, n, ".")
                if (have["linux-headers-" abi "-common " v] && have["linux-kbuild-" abi " " v] &&
                    have["linux-modules-" release " " v] && have["linux-base-" release " " v] &&
                    have["linux-source-" n[1] "." n[2] " " v] &&
                    (have["linux-binary-" release " " v] || have["linux-binary-unsigned-" release " " v]))
                    print release, v
            }
        }' | sort -V
}

# The flavours of $ARCH in $INDEX that have a complete kernel, one a line.
flavours() {
    local flavour
    awk -v ordinary="$(flavour_of "$ARCH")" '
        $1 ~ "^linux-headers-[0-9][^-]*-.*" ordinary { sub(/^linux-headers-[^-]*-/, "", $1); print $1 }' <<<"$INDEX" | sort -u |
        while IFS= read -r flavour; do
            [[ -z $(complete_kernels "$flavour" <<<"$INDEX") ]] || echo "$flavour"
        done
}

# All complete kernels of $ARCH, as lines "RELEASE FLAVOUR".
all_kernels() {
    local flavour
    for flavour in $(flavours); do
        complete_kernels "$flavour" <<<"$INDEX" | sed "s/ .*/ $flavour/"
    done
}

# choose_kernel WANTED <list of complete_kernels: sets RELEASE and VERSION. WANTED is a series (7.2), a
# version (7.2.12), a release (7.2.12+deb13-amd64), or empty for the default.
choose_kernel() {
    local list line
    list=$(cat)
    flavours | grep -xF -- "$FLAVOUR" >/dev/null ||
        die "Debian's backports have no complete kernel of the flavour \"$FLAVOUR\" for $ARCH at the moment; they have" \
            "$(flavours | paste -sd' '): choose one of these with FLAVOUR=…, or none."
    if [[ -n $1 ]]; then
        line=$(matching_kernels "$1" <<<"$list" | tail -1)
        [[ -n $line ]] ||
            die "Debian's backports have no complete set of packages of Linux \"$1\" for $ARCH, flavour $FLAVOUR; they" \
                "have $(awk '{ sub(/[+ ].*/, ""); print }' <<<"$list" | paste -sd' '), and Linux $(tested_range) is what was tested: choose" \
                "one of these with KERNEL=…, or none for the default."
    else
        line=$(default_kernel "$list")
    fi
    read -r RELEASE VERSION <<<"$line"
    [[ $(compare_with_tested "$(series_of "$RELEASE")") == tested ]] ||
        say "warning: Linux $(series_of "$RELEASE") was not tested; $(tested_range) was"
}

# default_kernel LIST: the line of what Debian's metapackage gives, if its series was tested; else the newest
# of a tested series; else the newest.
default_kernel() {
    local of_metapackage tested series line why
    of_metapackage=$(awk -v name="linux-image-$FLAVOUR" '$1 == name { print $2 }' <<<"$INDEX" | sort -V | tail -1)
    tested=$(while IFS= read -r line; do
        [[ $(compare_with_tested "$(series_of "$line")") != tested ]] || echo "$line"
    done <<<"$1")
    line=$(awk -v version="$of_metapackage" '$2 == version' <<<"$tested")
    if [[ -z $line ]]; then
        series=$(series_of "$of_metapackage")
        why="is not complete on the mirror yet"
        [[ $(compare_with_tested "$series") == tested ]] || why="was not tested"
        line=$(tail -1 <<<"${tested:-$1}")
        takes_recorded_kernel ||
            say "Debian's linux-image-$FLAVOUR is Linux ${of_metapackage:-unknown} now, which $why; taking ${line%% *}"
    fi
    echo "$line"
}

matching_kernels() {
    awk -v wanted="$1" '{ rest = substr($1, length(wanted) + 1) }
        index($1, wanted) == 1 && (rest == "" || rest ~ /^[.+-]/) { print }'
}

# kernel_packages <kernel_index: the lines of the packages of $RELEASE at $VERSION that $WHAT takes; the
# source last.
kernel_packages() {
    local abi=${RELEASE%-"$FLAVOUR"} index names name
    index=$(awk -v version="$VERSION" '$2 == version')
    names=("linux-headers-$RELEASE" "linux-headers-$abi-common" "linux-kbuild-$abi" "linux-base-$RELEASE")
    [[ $WHAT == no ]] || names+=("linux-modules-$RELEASE" "linux-binary-$RELEASE")
    names+=("linux-source-$(series_of "$RELEASE")")
    for name in "${names[@]}"; do
        awk -v name="$name" '$1 == name { print; found = 1; exit } END { exit !found }' <<<"$index" ||
            awk -v name="${name/linux-binary/linux-binary-unsigned}" '$1 == name { print; exit }' <<<"$index"
    done
}

in_root() { "$REPO/scripts/in-root" -- "$@"; }

# install_debs PACKAGE...: those that are not installed, from the files in $DEBS. To be run as a job.
install_debs() {
    local name files=()
    for name; do
        are_installed "$name" || files+=("$DEBS/$name"_*.deb)
    done
    # An interrupted dpkg is set right first.
    in_root dpkg --configure -a
    in_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends \
        -o Dpkg::Options::=--force-unsafe-io install "${files[@]}" && return
    # Half installed packages that cannot be set right: the next run makes a new root.
    [[ -z $(in_root dpkg --audit 2>&1) ]] || echo "recipe broken" >"$ROOT/.mapwright-root"
    return 1
}

# unpack_debs PACKAGE...: the same for packages of another architecture, which dpkg would not install.
# To be run as a job.
unpack_debs() {
    local name
    mkdir -p "$(dirname "$(unpacked x)")"
    for name; do
        are_installed "$name" || dpkg-deb --extract "$DEBS/$name"_*.deb "$ROOT"
    done
    [[ $WHAT == no ]] || in_root depmod "$RELEASE"
    for name; do
        echo "installed $VERSION" >"$(unpacked "$name")"
    done
}

source_is_there() { [[ $(cat "$SOURCE/.complete" 2>/dev/null) == "$VERSION" ]]; }

# Unpacks the parts of the source that are kept, and kunit's own copy. To be run as a job.
unpack_source() {
    local package top
    package=linux-source-$(series_of "$RELEASE")
    top=("${SOURCE_SLICE[@]/#/$package/}")
    rm -rf -- "$SOURCE" "$SOURCE.tmp"
    mkdir -p "$SOURCE.tmp"
    # shellcheck disable=SC2016 # expanded in the root
    in_root sh -c 'set -e; deb=$1 inner=$2 into=$3; shift 3
        dpkg-deb --fsys-tarfile "$deb" | tar -xO -f - "$inner" | xz -dc -T0 |
            tar -x --no-same-owner --strip-components=1 -C "$into" -f - "$@"' \
        sh "$DEBS/$package"_*.deb "./usr/src/$package.tar.xz" "$SOURCE.tmp" "${top[@]}"
    rm -rf -- "$CACHE/kunit.tmp" "$CACHE/kunit"
    cp -a "$SOURCE.tmp/tools/testing/kunit" "$CACHE/kunit.tmp"
    mv "$CACHE/kunit.tmp" "$CACHE/kunit"
    echo "$VERSION" >"$SOURCE.tmp/.complete"
    mv "$SOURCE.tmp" "$SOURCE"
}
