#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Jobs that take a while: run side by side, with one line of progress, their output in a log each,
# and a paragraph about what went wrong. To be sourced after common.sh; needs LOGS, a directory.

# Global, also when a function sources this file.
declare -gA JOB_PID=() JOB_TEXT=() JOB_START=()

job_log() { echo "$LOGS/$1.log"; }

# start NAME TEXT COMMAND...: begin a job, its output going to its log.
start() {
    local name=$1 text=$2
    shift 2
    (
        set -e
        begin=$SECONDS
        "$@"
        echo $((SECONDS - begin)) >"$LOGS/$name.seconds"
    ) >"$(job_log "$name")" 2>&1 </dev/null &
    JOB_PID[$name]=$!
    JOB_TEXT[$name]=$text
    JOB_START[$name]=$SECONDS
    [[ -t 2 ]] || say "$text ..."
}

# finish NAME...: wait for these jobs; one that failed ends the program.
finish() {
    local name status
    for name; do
        status=0
        show_until_done "$name"
        wait "${JOB_PID[$name]}" || status=$?
        ((status == 0)) || explain "$name"
        say "${JOB_TEXT[$name]}: $(cat "$LOGS/$name.seconds") s"
        unset "JOB_PID[$name]"
    done
}

finish_if_started() { [[ -z ${JOB_PID[$1]:-} ]] || finish "$1"; }

# do_step NAME TEXT COMMAND...: a job on its own.
do_step() {
    start "$@"
    finish "$1"
}

# On a terminal: one line with every running job and its time, until job NAME ends.
show_until_done() {
    [[ -t 2 ]] || return 0
    while kill -0 "${JOB_PID[$1]}" 2>/dev/null; do
        show_jobs
        sleep 0.3
    done
    printf '\r\e[K' >&2
}

show_jobs() {
    local name line=$PROGRAM: columns between=' '
    columns=$(tput cols 2>/dev/null || echo 80)
    for name in "${!JOB_PID[@]}"; do
        kill -0 "${JOB_PID[$name]}" 2>/dev/null || continue
        line+="$between${JOB_TEXT[$name]} $((SECONDS - JOB_START[$name])) s"
        between=', '
    done
    printf '\r%s\e[K' "${line:0:columns-1}" >&2
}

free_mb() { echo $(($(df --output=avail -k "$CACHE" | tail -1) / 1024)); }

# cause_of LOG: one word for what most likely went wrong.
cause_of() {
    local log=$1
    # With the disk full, the log may not even say so.
    if grep -qiE 'No space left on device|not enough free space' "$log" || (($(free_mb) < 20)); then
        echo disk
    elif grep -qiE 'Hash Sum mismatch|unexpected size|sync in progress|not valid yet|Release file .*expired|by-hash/' "$log" ||
        grep -qE ' 50[0234] +[A-Z]' "$log"; then
        echo sync
    elif grep -qiE '407 |Proxy Authentication' "$log"; then
        echo proxy
    elif grep -qiE 'certificate verif|certificate.*(NOT trusted|issuer)|CERTIFICATE_VERIFY' "$log"; then
        echo certificate
    elif grep -qiE 'NO_PUBKEY|is not signed|Missing key|signatures? (were|was) invalid' "$log"; then
        echo key
    elif grep -qE ' 404 |does not have a Release file|HTTP error 404' "$log"; then
        echo missing
    elif grep -qiE "(could not|cannot|can't|temporary failure|unable to|failed to|name resolution).*(resolv|connect)|Connection (refused|timed out|failed|reset)|unreachable|No route to host|timed out|ProxyError|40[0-9]  *Forbidden" "$log"; then
        echo network
    else
        echo unknown
    fi
}

# explain NAME: say why the job failed, and end.
explain() {
    local name=$1 log what proxy
    log=$(job_log "$name")
    what="${JOB_TEXT[$name]} failed"
    proxy=${https_proxy:-${http_proxy:-${HTTPS_PROXY:-${HTTP_PROXY:-}}}}
    case $(cause_of "$log") in
        disk) die "$what: the disk is full. Make room where the cache is ($CACHE), or set MAPWRIGHT_CACHE to a" \
            "directory with more, and run this again." ;;
        network) die "$what: the network was not reachable${proxy:+ (through the proxy that the environment names)}." \
            "Check the connection and the proxy settings (http_proxy, https_proxy or apt's own), and run this again;" \
            "what is finished is kept. The log is $log." ;;
        proxy) die "$what: the proxy wants a user name and password. Put them into http_proxy and https_proxy, and run" \
            "this again. The log is $log." ;;
        certificate) die "$what: a server's certificate was not trusted. If your network has its own certificate" \
            "authority, add it to this machine's trusted ones (update-ca-certificates) and run this again. The log is $log." ;;
        key) die "$what: apt could not verify the archive's signature. Install the newest debian-archive-keyring and" \
            "run this again. The log is $log." ;;
        sync) die "$what: the Debian mirror is being updated or is not well at the moment, and stayed so through" \
            "several tries. Wait a few minutes, or use another mirror in this machine's apt sources, and run this" \
            "again. The log is $log." ;;
        missing) die "$what: the Debian mirror does not have a file that its index lists, also after a fresh look at" \
            "the index. Wait a few minutes, or use another mirror in this machine's apt sources, and run this again." \
            "The log is $log." ;;
    esac
    tail -n 12 "$log" | sed 's/^/    /' >&2
    die "$what; the last lines of its log are above, and all of it is in $log. Run this again to try once more; if it" \
        "fails the same way, please report it with that log."
}

# with_retries COMMAND...: again after a pause, as often as the failure's cause deserves. To be run
# as a job; COMMAND is not under set -e.
with_retries() {
    local name=$1 pause log status
    shift
    log=$(job_log "$name")
    for pause in 5 15 30 0; do
        status=0
        : >"$log.try"
        "$@" >"$log.try" 2>&1 || status=$?
        cat "$log.try"
        ((status != 0)) || return 0
        case $(cause_of "$log.try") in
            sync) ;;
            network | missing) pause=$((pause == 5 ? 5 : 0)) ;;
            *) pause=0 ;;
        esac
        rm -f "$log.try"
        ((pause)) || return "$status"
        echo "-- failed; once more in $pause s"
        sleep "$pause"
    done
}
