#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The Debian archive: which mirror, what is in its backports, fetching packages. All with an apt
# configuration of our own in $CACHE/apt, so that nothing of the machine's is changed. To be
# sourced after progress.sh.
#
# shellcheck disable=SC2034,SC2153 # variables of the scripts that source each other

readonly SUITE=trixie
readonly KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# The machine's own settings for reaching mirrors: proxies, certificates.
host_apt_settings() { apt-config dump 2>/dev/null | grep -E '^Acquire::(http|https)::[^ ]+ ".+";$' || true; }

# What both our apt and the root's apt use.
common_apt_settings() {
    host_apt_settings
    cat <<'CONF'
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::By-Hash "force";
Acquire::Retries "3";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
CONF
}

own_apt_settings() {
    common_apt_settings
    cat <<CONF
#clear APT::Architectures;
APT::Architecture "$HOST_ARCH";
APT::Architectures { "$HOST_ARCH"; "$ARCH"; };
Dir::State "$APT/state";
Dir::State::status "$APT/status";
Dir::Cache "$APT/cache";
Dir::Etc::Main "/dev/null";
Dir::Etc::Parts "/dev/null";
Dir::Etc::SourceList "$APT/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
CONF
}

# Sets up $APT, our apt's directory.
make_apt() {
    APT=$CACHE/apt
    mkdir -p "$APT/state/lists/partial" "$APT/cache/archives/partial"
    rm -f -- "$APT/recorded" # of a run that was killed, for another architecture perhaps
    : >"$APT/status"
    (umask 077 && common_apt_settings >"$APT/root.conf" && own_apt_settings >"$APT/apt.conf")
}

own_apt() { APT_CONFIG=$APT/apt.conf "$@"; }

sources() { # URI ARCHITECTURE SUITE...
    local uri=$1 arch=$2 suite
    shift 2
    for suite; do
        echo "deb [arch=$arch signed-by=$KEYRING] $uri $suite main"
    done
}

# Where our apt looks: the backports and, for another architecture, what that has besides kernels.
# Without "whole", the other architecture's backports are left out.
own_sources() { # URI [whole]
    local architectures=$HOST_ARCH
    ! is_cross || [[ -z ${2:-} ]] || architectures+=,$ARCH
    sources "$1" "$architectures" "$SUITE-backports"
    ! is_cross || sources "$1" "$ARCH" "$SUITE"
}

# The mirrors that the machine's own apt uses for Debian, one a line.
host_mirrors() {
    local codename id
    id=$(sed -n 's/^ID=//p' /etc/os-release 2>/dev/null || true)
    codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release 2>/dev/null || true)
    if [[ $id == debian ]]; then
        # shellcheck disable=SC2016 # apt's own variables
        apt-get indextargets --no-release-info --format '$(CREATED_BY) $(RELEASE) $(COMPONENT) $(REPO_URI)' 2>/dev/null |
            awk -v code="$codename" '$1 == "Packages" && $3 == "main" && $4 ~ /^https?:/ &&
                ($2 == code || $2 ~ /^(old)*stable$|^testing$|^unstable$|^sid$|^trixie$/) && !seen[$4]++ { print $4 }'
    fi
}

# mmdebstrap knows Debian's default mirror: let it write its sources, and stop it there.
default_mirror() {
    local list
    list=$(mktemp -d "$CACHE/tmp.XXXXXX")
    mmdebstrap --quiet --mode=root --variant=custom --setup-hook="cat \"\$1\"/etc/apt/sources.list >$list/sources; exit 1" \
        "$SUITE" "$list/root" >/dev/null 2>&1 || true
    awk -v suite="$SUITE" '$1 == "deb" { for (i = 2; i <= NF; i++) if ($i == suite) print $(i - 1) }' "$list/sources" 2>/dev/null | head -1
    rm -rf -- "$list"
}

# Some mirrors have had another architecture's index older than its signature for days, which
# nothing can be checked by. Then a kernel whose checksums are recorded here is taken.
recorded_kernel() { echo "$LIB/kernel-$ARCH"; }
takes_recorded_kernel() { [[ -e $APT/recorded ]]; }

take_recorded_kernel() { # URI
    is_cross && [[ -e $(recorded_kernel) ]] || return 1
    echo "-- without the backports of $ARCH"
    own_sources "$1" >"$APT/sources.list"
    with_retries index own_apt apt-get -q update --error-on=any && cp "$(recorded_kernel)" "$APT/recorded"
}

# Finds a mirror that serves the suites, fetches its index of the backports, and leaves its address
# in $APT/mirror. To be run as a job named "index".
fetch_index() {
    local whose uri
    for whose in host_mirrors default_mirror; do
        for uri in $("$whose"); do
            echo "-- trying $uri"
            echo "$uri" >"$APT/mirror"
            own_sources "$uri" whole >"$APT/sources.list"
            ! with_retries index own_apt apt-get -q update --error-on=any || return 0
            case $(cause_of "$(job_log index)") in
                # Only a mirror that has no such suite is a reason to ask another one.
                missing) ;;
                sync) take_recorded_kernel "$uri" && return ;;
                *) return 1 ;;
            esac
        done
    done
    return 1
}

# The index as lines "PACKAGE VERSION SHA256 SIZE", of the kernel's packages. The tools among them
# are those that run on this machine.
kernel_index() {
    # shellcheck disable=SC2016 # apt's own variables
    own_apt apt-get indextargets --format '$(CREATED_BY) $(FILENAME)' | sed -n 's/^Packages //p' | while IFS= read -r file; do
        /usr/lib/apt/apt-helper cat-file "$file"
    done | awk -v host="$HOST_ARCH" '
        $1 == "Package:" { package = $2 }
        $1 == "Architecture:" { arch = $2 }
        $1 == "Version:" { version = $2 }
        $1 == "Size:" { size = $2 }
        $1 == "SHA256:" { sha256 = $2 }
        /^$/ { if (package ~ /^linux-/ && !(package ~ /^linux-kbuild-/ && arch != host)) print package, version, sha256, size }'
    ! takes_recorded_kernel || grep -v '^#' "$APT/recorded"
}

# fetch_packages DIRECTORY "PACKAGE VERSION SHA256 SIZE"...: to be run as a job. Files that are there
# already, from an interrupted run, are kept if they are whole.
fetch_packages() {
    local directory=$1 package version sha256 line wanted=()
    shift
    mkdir -p "$directory"
    cd "$directory" || return
    for line; do
        read -r package version sha256 _ <<<"$line"
        has_file "$package" "$sha256" || wanted+=("$package=$version")
    done
    ((${#wanted[@]} == 0)) || with_retries kernel-packages fetch_or_refresh "${wanted[@]}"
    for line; do
        read -r package version sha256 _ <<<"$line"
        has_file "$package" "$sha256" || { echo "$package $version: Hash Sum mismatch"; return 1; }
    done
}

# A package's file in the current directory, whole?
has_file() {
    local file
    for file in "$1"_*.deb; do
        [[ -e $file ]] || return 1
        sha256sum --check --status <<<"$2  $file" || { rm -f -- "$file"; return 1; }
    done
}

# A 404 means that the index is old: one fresh look at it.
fetch_or_refresh() {
    local package indexed=()
    for package; do
        if takes_recorded_kernel && grep -q "^${package%%=*} ${package#*=} " "$APT/recorded"; then
            fetch_recorded "${package%%=*}" "${package#*=}" || return
        else
            indexed+=("$package")
        fi
    done
    ((${#indexed[@]})) || return 0
    own_apt apt-get -q download "${indexed[@]}" && return
    own_apt apt-get -q update --error-on=any && own_apt apt-get -q download "${indexed[@]}"
}

# A package that no index lists, from its place in the archive.
fetch_recorded() { # PACKAGE VERSION
    local file=$1_$2_$ARCH.deb
    local mirror
    mirror=$(cat "$APT/mirror")
    own_apt /usr/lib/apt/apt-helper download-file "${mirror%/}/pool/main/l/linux/$file" "$PWD/$file" \
        "SHA256:$(awk -v package="$1" '$1 == package { print $3 }' "$APT/recorded")"
}
