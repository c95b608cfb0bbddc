#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What is known of each kernel: the facts in docs/kernels.tsv, and the table docs/kernels.md made of them.
# To be sourced after common.sh.
#
# A fact is a line "RELEASE CHECK RESULT DATE" with tabs between. CHECK is built, booted or suite.

readonly FACTS=$REPO/docs/kernels.tsv
readonly TABLE=$REPO/docs/kernels.md

# note RELEASE CHECK RESULT: writes down a fact of today, instead of an older one, and the table.
note() {
    local others=''
    [[ ! -e $FACTS ]] || others=$(grep -vP "^\Q$1\E\t$2\t" "$FACTS" || true)
    {
        [[ -z $others ]] || printf '%s\n' "$others"
        printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$(date -u +%F)"
    } | sort -V >"$FACTS.tmp"
    mv "$FACTS.tmp" "$FACTS"
    write_table
}

write_table() {
    cat >"$TABLE.tmp" <<'END'
# Kernels

Which of Debian's kernels (trixie-backports) the modules were built for, were loaded into, and passed the suite on.
`make check-kernels` builds them for the newest version of each series, flavour and architecture; with `BOOT=1` it
boots each, too, and runs the basics of the suite. `RECORD=1 make test` and its like write down how a whole run
went. The facts are in `kernels.tsv`; the scripts write both files.

| kernel | architecture | built | booted | suite |
|---|---|---|---|---|
END
    awk -F'\t' '
        { if (!($1 in seen)) { seen[$1]; releases[++n] = $1 }
          result[$1, $2] = $3 " (" $4 ")"
          if ($2 == "suite" && $3 ~ / 0 failed/ && !(($1, "booted") in result)) result[$1, "booted"] = "yes (" $4 ")" }
        END {
            for (i = 1; i <= n; i++) {
                r = releases[i]
                arch = r ~ /armmp/ ? "32-bit ARM" : r ~ /arm64/ ? "arm64" : "x86-64"
                printf "| `%s` | %s | %s | %s | %s |\n", r, arch, result[r, "built"], result[r, "booted"], result[r, "suite"]
            }
        }' "$FACTS" | sort -t'|' -k3,3 -k2,2V >>"$TABLE.tmp"
    mv "$TABLE.tmp" "$TABLE"
}
