#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Packages of Debian that only some commands take. To be sourced after common.sh.

in_root() { "$REPO/scripts/in-root" -- "$@"; }

# need_packages PACKAGE...: installs in the toolchain root those that it lacks. Waits for a setup that changes the same
# root.
need_packages() {
	local missing CACHE
	mapfile -t missing < <(lacking "$@")
	((${#missing[@]})) || return 0
	find_cache
	exec 9>"$CACHE/.setup.lock"
	flock 9
	say "installing ${missing[*]} in the toolchain root ..."
	# shellcheck disable=SC2016 # expanded in the root
	in_root sh -ec '
		export DEBIAN_FRONTEND=noninteractive
		get="apt-get -q -y --no-install-recommends -o Dpkg::Options::=--force-unsafe-io install"
		$get "$@" || { apt-get -q update --error-on=any && $get "$@"; }' sh "${missing[@]}" >&2
	exec 9>&-
}

# lacking PACKAGE...: those that are not installed in the root, one a line.
lacking() {
	# shellcheck disable=SC2016 # expanded in the root
	in_root sh -c '
		for package; do
			dpkg-query -W -f "\${db:Status-Status}" "$package" 2>/dev/null | grep -qx installed || echo "$package"
		done' sh "$@"
}
