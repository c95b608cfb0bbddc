# SPDX-License-Identifier: MIT OR Apache-2.0
# The part of the guest's script that is the same in every run, for busybox and for dash.
# What differs is put before it: see guest.rs.
# shellcheck shell=sh disable=SC2154

export PATH="$PROGRAMS:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
export HOME=/root
export TERM="$TERM_TYPE"
[ -z "$COLOR" ] || export CLICOLOR_FORCE=1
export MAPWRIGHT_BOOT="$BOOT"
if [ -n "$MODULES_DIR" ]; then
	export MAPWRIGHT_MODULES="$MODULES_DIR"
fi

# mount_on TYPE DIR [OPTIONS]: unless something is mounted there.
mount_on() {
	grep -q " $2 " /proc/mounts && return 0
	[ -d "$2" ] || mkdir -p "$2" 2>/dev/null
	mount -t "$1" -o "${3:-rw}" "$1" "$2" 2>/dev/null
}

# mount_host TAG DIR OPTIONS: a directory of the host.
mount_host() {
	mkdir -p "$2" 2>/dev/null
	mount -t 9p -o "trans=virtio,version=9p2000.L,msize=512000,$3" "$1" "$2"
}

# What virtme-ng's init has done already.
tiny_early() {
	mkdir -p /proc /sys /dev /run /tmp /etc /root
	mount -t proc proc /proc
	mount -t sysfs sysfs /sys
	mount -t devtmpfs devtmpfs /dev 2>/dev/null
	mount -t tmpfs tmpfs /run
	mount -t tmpfs -o mode=1777 tmpfs /tmp
}

tiny_init() {
	for file in $KERNEL_MODULES; do
		insmod "/modules/kernel/$file"
	done
	echo 'root:x:0:0:root:/root:/bin/sh' > /etc/passwd
	echo 'root:x:0:' > /etc/group
	hostname tiny
	ln -s /proc/self/fd /dev/fd 2>/dev/null
	ln -s /proc/self/fd/0 /dev/stdin 2>/dev/null
	ln -s /proc/self/fd/1 /dev/stdout 2>/dev/null
	ln -s /proc/self/fd/2 /dev/stderr 2>/dev/null
	ip link set lo up
	[ -n "$REPO" ] || return 0
	mount_host mapwright.repo "$REPO" ro,cache=loose || fail "cannot mount the repository"
	mount_host mapwright.kernel "/lib/modules/$RELEASE" ro,cache=loose || fail "cannot mount the kernel's modules"
}

# A tmpfs on /tmp, under which a repository in /tmp must not vanish.
virtme_tmp() {
	case $REPO in
	/tmp/*)
		mkdir -p /run/mapwright/repo
		mount --bind "$REPO" /run/mapwright/repo
		mount -t tmpfs -o mode=1777 tmpfs /tmp
		mkdir -p "$REPO"
		mount --move /run/mapwright/repo "$REPO"
		;;
	*) mount -t tmpfs -o mode=1777 tmpfs /tmp ;;
	esac
}

mounts() {
	mount_on debugfs /sys/kernel/debug
	mount_on tracefs /sys/kernel/tracing
	mount_on devpts /dev/pts mode=620,ptmxmode=666
	mount_on tmpfs /dev/shm mode=1777
	if [ -n "$RESULTS" ]; then
		[ "$BOOT" = tiny ] || modprobe -a 9p 9pnet_virtio
		mount_host mapwright.results "$RESULTS" rw || fail "cannot mount $RESULTS"
	fi
}

# find_port NAME: sets PORT to its device.
find_port() {
	tries=0
	while [ "$tries" -lt 100 ]; do
		for dir in /sys/class/virtio-ports/*; do
			name=
			[ -r "$dir/name" ] && read -r name < "$dir/name"
			PORT=/dev/${dir##*/}
			[ "$name" = "$1" ] && [ -c "$PORT" ] && return 0
		done
		tries=$((tries + 1))
		sleep 0.1
	done
	note "no port $1"
	power_off
}

# note TEXT: into the kernel's log.
note() {
	echo "<6>mapwright-harness: $*" > /dev/kmsg
}

say() {
	echo "$*" >&3
}

# open_ports: to the test harness, 3 for control, 4 and 5 for the command's output and errors.
open_ports() {
	if [ -n "$CONSOLE" ]; then
		mkdir -p /run/mapwright/ports
		line_up ctl
		exec 3<> /run/mapwright/ports/ctl
		line_up out
		exec 4<> /run/mapwright/ports/out
		line_up err
		exec 5<> /run/mapwright/ports/err
		return 0
	fi
	find_port mapwright.ctl
	exec 3<> "$PORT"
	find_port mapwright.out
	exec 4> "$PORT"
	find_port mapwright.err
	exec 5> "$PORT"
}

# line_up NAME: what comes into a pipe goes to the console line by line, each with that name.
line_up() {
	mkfifo "/run/mapwright/ports/$1"
	on_console "$1" < "/run/mapwright/ports/$1" &
}

on_console() {
	while IFS= read -r line || [ -n "$line" ]; do
		printf 'mapwright.%s %s\n' "$1" "$line"
	done > "$CONSOLE"
}

# Until the test harness has all that was said. On a console it ends the guest itself then.
wait_for_answer() {
	while [ -n "$CONSOLE" ]; do sleep 60; done
	read -r _ <&3
}

fail() {
	if [ -z "$COMMAND" ]; then
		echo "mapwright-harness: $*" >&2
		return 0
	fi
	say "fail $(echo "$*" | tr '\n' ' ')"
	wait_for_answer
	power_off
}

# Ends the guest: QEMU does not boot it again.
power_off() {
	if grep -qw mapwright.end=reboot /proc/cmdline; then
		reboot -f
	fi
	echo o > /proc/sysrq-trigger
	while :; do sleep 60; done
}

# insert FILE NEEDS [PARAM…]
insert() {
	file=$1
	needs=$2
	shift 2
	for name in $needs; do
		[ ! -d "/sys/module/$name" ] || continue
		said=$(modprobe "$name" 2>&1) || fail "modprobe $name, which ${file##*/} needs: $said"
	done
	said=$(insmod "$file" "$@" 2>&1) || fail "insmod ${file##*/} $*: $said"
}

# Only a kernel for debugging has it: what was allocated, but is held by nobody.
leaks() {
	scan=/sys/kernel/debug/kmemleak
	[ -w "$scan" ] || return 0
	sleep 6 # younger ones do not count
	echo scan > "$scan" 2>/dev/null || return 0
	sleep 1
	echo scan > "$scan"
	head -n 60 "$scan" | while IFS= read -r line; do
		echo "<4>$line" > /dev/kmsg
	done
}

prepare() {
	[ "$BOOT" = tiny ] && tiny_init
	mounts
	[ -w /sys/kernel/debug/kmemleak ] && echo clear > /sys/kernel/debug/kmemleak 2>/dev/null
	[ -z "$COMMAND" ] || say ready
	insert_modules
	[ ! -d /sys/kernel/config ] || mount_on configfs /sys/kernel/config
	[ "$BOOT" = virtme ] && virtme_tmp
	mkdir -p /run/mapwright
	[ -z "$REPO" ] || cd "$REPO" || fail "the repository is not visible at $REPO"
}

run() {
	[ "$BOOT" = tiny ] && tiny_early
	open_ports
	prepare
	note "running: $COMMAND"
	say running

	# A port can be opened once, a pipe often: /dev/stdout must work in the command.
	mkfifo /run/mapwright/out /run/mapwright/err
	cat /run/mapwright/out >&4 3>&- 5>&- &
	out=$!
	cat /run/mapwright/err >&5 3>&- 4>&- &
	err=$!
	(exec_command) < /dev/null > /run/mapwright/out 2> /run/mapwright/err 3>&- 4>&- 5>&-
	status=$?
	note "exit $status: $COMMAND"

	# What the command left running may hold its output open.
	(
		sleep 2
		kill "$out" "$err"
	) > /dev/null 2>&1 3>&- 4>&- 5>&- &
	limit=$!
	wait "$out"
	wait "$err"
	kill "$limit" 2>/dev/null
	leaks
	[ -z "$CONSOLE" ] || dmesg | on_console log
	printf '%s\n' "$TOKEN" >&4
	printf '%s\n' "$TOKEN" >&5
	say "exit $status"
	wait_for_answer
	power_off
}

shell() {
	if [ "$BOOT" = tiny ]; then
		tiny_early
		# shellcheck disable=SC2094 # a terminal is read and written
		exec < "$TERMINAL" > "$TERMINAL" 2>&1
	fi
	prepare
	note "shell"
	echo
	echo "This is a guest with Linux $(uname -r). Modules inserted: ${MODULE_NAMES:-none}."
	echo "Leave with 'exit' or Ctrl-D; Ctrl-A X stops the guest at once."
	echo
	export PS1='[guest: exit leaves] \w # '
	if [ "$BOOT" = virtme ]; then
		bash --norc --noprofile -i
		exit 0
	fi
	setsid -c sh -i
	power_off
}
