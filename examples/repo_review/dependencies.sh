#!/bin/sh
# What it is built on: manifests and lock files of the common package managers.
. "$(dirname "$0")/files.sh"

list_files | grep -vE '(^|/)(node_modules|vendor|target|\.venv)/' >"$work/all" || true

# `ecosystem<TAB>manifest<TAB>use or development<TAB>name` for each dependency.
{
    grep -E '(^|/)Cargo\.toml$' "$work/all" | on_files awk -v OFS='\t' '
        FNR == 1 { section = "" }
        /^[ \t]*\[/ {
            section = $0; gsub(/[][ \t]/, "", section)
            # [dependencies.NAME] is one by itself.
            if (match(section, /dependencies\.[A-Za-z0-9_-]+$/)) {
                name = section; sub(/.*\./, "", name); say(section, name)
            }
            next
        }
        section ~ /(^|\.)(workspace\.)?(dev-|build-)?dependencies$/ && /^[ \t]*[A-Za-z0-9_"-]+(\.[a-z]+)? *=/ {
            name = $0; sub(/ *=.*/, "", name); gsub(/[" \t]/, "", name); sub(/\..*/, "", name); say(section, name)
        }
        function say(section, name) {
            print "Cargo", FILENAME, (section ~ /dev-|build-/ ? "development" : "use"), name
        }'
    grep -E '(^|/)package\.json$' "$work/all" | on_files awk -v OFS='\t' '
        FNR == 1 { use = "" }
        /"(dependencies|peerDependencies|optionalDependencies)" *: *\{/ { use = "use"; next }
        /"devDependencies" *: *\{/ { use = "development"; next }
        /\}/ { use = "" }
        use != "" && match($0, /"[^"]+" *:/) {
            name = substr($0, RSTART + 1); sub(/".*/, "", name); print "npm", FILENAME, use, name
        }'
    grep -E '(^|/)requirements[^/]*\.txt$' "$work/all" | on_files awk -v OFS='\t' '
        /^[A-Za-z0-9]/ { name = $0; sub(/[^A-Za-z0-9._-].*/, "", name); print "Python", FILENAME, (FILENAME ~ /dev|test/ ? "development" : "use"), name }'
    grep -E '(^|/)pyproject\.toml$' "$work/all" | on_files awk -v OFS='\t' '
        FNR == 1 { section = ""; open = 0 }
        /^\[/ { section = $0; open = 0 }
        open && /^ *\]/ { open = 0 }
        open && match($0, /"[A-Za-z0-9][A-Za-z0-9._-]*/) { print "Python", FILENAME, use, substr($0, RSTART + 1, RLENGTH - 1) }
        section == "[project]" && /^dependencies *= *\[ *$/ { open = 1; use = "use" }
        section ~ /optional-dependencies|dependency-groups/ && /= *\[ *$/ { open = 1; use = "development" }
        section ~ /^\[tool\.poetry(\.group\.[a-z]+)?\.(dev-)?dependencies\]/ && /^[A-Za-z0-9]/ {
            name = $1; if (name != "python") print "Python", FILENAME, (section ~ /group|dev/ ? "development" : "use"), name
        }'
    grep -E '(^|/)go\.mod$' "$work/all" | on_files awk -v OFS='\t' '
        FNR == 1 { open = 0 }
        /^require \(/ { open = 1; next }
        /^\)/ { open = 0 }
        open && NF && !/^[ \t]*\/\// { print "Go", FILENAME, (/indirect/ ? "development" : "use"), $1 }
        /^require [^(]/ { print "Go", FILENAME, "use", $2 }'
    grep -E '(^|/)Gemfile$' "$work/all" | on_files awk -v OFS='\t' '
        /^ *gem / { name = $2; gsub(/["\047,]/, "", name); print "Ruby", FILENAME, "use", name }'
} >"$work/found"

awk -F '\t' "$awk_functions"'
    {
        key = $1 SUBSEP $2
        if (!(key in ecosystem)) { order[++n] = key; ecosystem[key] = $1; manifest[key] = $2 }
        count[key, $3]++
        if (!(($1, $4) in seen)) { seen[$1, $4] = 1; distinct++ }
        if (used[$1, $4]++ == 0) names[++all] = $1 SUBSEP $4
    }
    END {
        printf "@ dependencies %d\n", distinct
        print "## Dependencies\n"
        if (!n) { print "No manifest of a package manager that this script knows names any."; exit }
        printf "%s named by %s.\n\n", count_of(distinct, "package is", "different packages are"), count_of(n, "manifest", "manifests")
        print "| manifest | kind | to use | to develop |\n|---|---|--:|--:|"
        for (i = 1; i <= n && i <= 25; i++) {
            key = order[i]
            printf "| %s | %s | %s | %s |\n", code(manifest[key], 80), ecosystem[key], number(count[key, "use"]), number(count[key, "development"])
        }
        if (n > 25) printf "\n%s more manifests are not shown.\n", number(n - 25)
        for (i = 1; i <= all && i <= 20; i++) {
            best = i
            for (j = i + 1; j <= all; j++) if (used[names[j]] > used[names[best]]) best = j
            swap = names[i]; names[i] = names[best]; names[best] = swap
            if (used[names[i]] < 2) break
            split(names[i], part, SUBSEP)
            often = often (often ? ", " : "") code(part[2], 40) " (" used[names[i]] ")"
        }
        if (often) print "\nNamed most often: " often "."
    }' "$work/found"

grep -E '(^|/)(Cargo\.lock|package-lock\.json|yarn\.lock|pnpm-lock\.yaml|poetry\.lock|uv\.lock|go\.sum)$' "$work/all" |
    on_files awk "$awk_functions"'
        FNR == 1 { files[++n] = FILENAME; packages[n] = 0 }
        /^\[\[package\]\]/ || /^    "node_modules\// || /^[^ #].*:$/ || FILENAME ~ /go\.sum$/ { packages[n]++ }
        END {
            if (!n) exit
            print "\nLocked, with all that these need in turn:\n"
            for (i = 1; i <= n && i <= 10; i++) printf "- %s: about %s packages\n", code(files[i], 80), number(FILENAME ~ /go\.sum$/ ? packages[i] / 2 : packages[i])
        }'
