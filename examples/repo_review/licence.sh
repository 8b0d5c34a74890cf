#!/bin/sh
# Under which terms it may be used: licence files, what the manifests say, headers in the sources.
. "$(dirname "$0")/files.sh"

list_files >"$work/all"

printf '## Licence\n\n'

# `file<TAB>name` for each licence file.
grep -iE '(^|/)(un)?(licen[cs]es?|copying|notice)([-._][^/]*)?$' "$work/all" |
    grep -viE '\.(rs|py|js|ts|go|java|c|h|sh|json|toml|html|css)$' | while IFS= read -r file; do
    # What comes later in a file is the appendix of some licence.
    name=$(head -c 65536 -- "$file" 2>/dev/null | tr '\n\r\t\000' '    ' | awk '{
        gsub(/ +/, " ")
        if (/GNU AFFERO GENERAL PUBLIC LICENSE/) add("AGPL" version())
        else if (/GNU LESSER GENERAL PUBLIC LICENSE/) add("LGPL" version())
        else if (/GNU GENERAL PUBLIC LICENSE/) add("GPL" version())
        else {
            # One file may hold several.
            if (/Permission is hereby granted, free of charge/) add("MIT")
            if (/Apache License.*Version 2\.0/) add("Apache-2.0")
            if (/Mozilla Public License,? [Vv]ersion 2\.0/) add("MPL-2.0")
            if (/Permission to use, copy, modify, and\/or distribute/) add("ISC or 0BSD")
            if (/Redistribution and use in source and binary forms/) add(/Neither the name/ ? "BSD-3-Clause" : "BSD-2-Clause")
            if (/This is free and unencumbered software/) add("Unlicense")
            if (/CC0 1\.0 Universal/) add("CC0-1.0")
            if (/Boost Software License/) add("BSL-1.0")
        }
        print found ? found : "not recognised"
    }
    function add(name) { found = found (found ? ", " : "") name }
    function version() {
        if (match($0, /Version [0-9]+(\.[0-9]+)?/)) return "-" substr($0, RSTART + 8, RLENGTH - 8)
        return ""
    }')
    printf '%s\t%s\n' "$file" "${name:-empty}"
done >"$work/licences" || true

if [ -s "$work/licences" ]; then
    awk -F '\t' "$awk_functions"'
        NR == 1 { print "| file | licence |\n|---|---|" }
        NR <= 15 { printf "| %s | %s |\n", code($1, 80), $2 }
        $1 !~ /^\.\/.*\// && !seen[$2]++ { all = all (all ? ", " : "") $2 }
        END {
            if (NR > 15) printf "\n%d more are not shown.\n", NR - 15
            if (all) print "@ licence " all
        }' "$work/licences"
else
    printf 'There is no licence file: without one, nobody else may use this.\n'
    printf '@ licence none\n'
fi

# What the manifests say.
grep -E '(^|/)(Cargo\.toml|package\.json|pyproject\.toml|composer\.json)$' "$work/all" |
    grep -vE '(^|/)(node_modules|vendor|target)/' | head -n 200 |
    on_files awk "$awk_functions"'
        FNR == 1 { section = "" }
        /^\[/ { section = $0 }
        FILENAME ~ /\.toml$/ && section ~ /^\[(package|workspace\.package|project|tool\.poetry)\]/ && /^license *=/ { say($0) }
        FILENAME ~ /\.json$/ && /^[ \t{]*"license" *:/ { say($0) }
        function say(text) {
            sub(/^[^=:]*[=:] */, "", text)
            gsub(/[",{}]/, "", text)
            if (!shown++) print "\nWhat the manifests say:\n"
            if (shown <= 20) printf "- %s: %s\n", code(FILENAME, 80), plain(text, 80)
        }'

# Headers of source files.
grep -E '\.(rs|py|m?js|tsx?|jsx|go|java|kt|c|h|cc|cpp|hpp|cs|rb|php|swift|scala|sh)$' "$work/all" |
    on_files awk '
        FNR == 1 { files++; marked = 0 }
        FNR <= 15 && !marked && /SPDX-License-Identifier|[Cc]opyright/ { marked = 1; headers++ }
        # A source file is not read further than its head.
        FNR == 15 { nextfile }
        END { print files + 0, headers + 0 }' | awk '
        { files += $1; headers += $2 }
        END { if (files) printf "\n%d of %d source files have a licence or copyright header.\n", headers, files }'
