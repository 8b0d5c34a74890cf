#!/bin/sh
# Where the weight lies: folders, largest files, how much of it is tests, and what is usually there.
. "$(dirname "$0")/files.sh"

describe_files >"$work/described"

awk -F '\t' "$awk_functions"'
    function is_code(file) {
        return file ~ /\.(rs|py|m?js|cjs|jsx|tsx?|go|java|kt|c|h|cc|cpp|hpp|cs|rb|php|swift|scala|sh|bash|lua|pl|ex|exs|erl|hs|ml|zig|dart|vue|svelte|sql)$/
    }
    {
        folder = $4; sub(/^\.\//, "", folder)
        if (!sub(/\/.*/, "", folder)) folder = "(top level)"; else folder = folder "/"
        count[folder]++; bytes[folder] += $3
        if ($1 == "binary") next
        lines[folder] += $2; total += $2
        if (is_code($4)) { if (is_test($4)) tests += $2; else code_lines += $2 }
    }
    END {
        print "## Shape\n"
        if (!NR) { print "There is nothing to measure."; exit }
        if (code_lines + tests) {
            printf "@ test_share %s\n", share(tests, code_lines + tests)
            printf "Of %s lines of code, %s (%s) stand in test files; tests beside the code they test are not counted.\n\n", number(code_lines + tests), number(tests), share(tests, code_lines + tests)
        }
        for (folder in count) order[++n] = folder
        for (i = 2; i <= n; i++) {
            for (j = i; j > 1 && (lines[order[j]] > lines[order[j - 1]] || (lines[order[j]] == lines[order[j - 1]] && order[j] < order[j - 1])); j--) { swap = order[j]; order[j] = order[j - 1]; order[j - 1] = swap }
        }
        print "| folder | files | lines | bytes | |"
        print "|---|--:|--:|--:|---|"
        for (i = 1; i <= n && i <= 15; i++) {
            folder = order[i]
            printf "| %s | %s | %s | %s | %s |\n", code(folder, 60), number(count[folder]), number(lines[folder]), size(bytes[folder]), bar(lines[folder], total, 20)
        }
        if (n > 15) printf "\n%d more folders are not shown.\n", n - 15
    }' "$work/described"

if [ -s "$work/described" ]; then
    printf '\n### Largest files\n\n| file | lines | bytes |\n|---|--:|--:|\n'
    sort -t "$(printf '\t')" -k2,2nr -k4,4 "$work/described" | awk -F '\t' "$awk_functions"'
        $1 == "text" && $4 !~ /(\.lock|package-lock\.json|yarn\.lock)$/ && shown++ < 10 {
            printf "| %s | %s | %s |\n", code($4, 80), number($2), size($3)
        }'
    sort -t "$(printf '\t')" -k3,3nr -k4,4 "$work/described" | awk -F '\t' "$awk_functions"'
        $1 == "binary" && shown++ < 5 {
            printf "| %s | binary | %s |\n", code($4, 80), size($3)
        }'
fi

awk -F '\t' '
    {
        file = tolower($4); sub(/^\.\//, "", file)
        if (file ~ /^readme(\.|$)/) found["README"] = 1
        if (file ~ /^(licen[sc]e|copying)/) found["licence file"] = 1
        if (file ~ /^changelog|\/changelog/) found["changelog"] = 1
        if (file ~ /^(\.github\/|docs\/)?contributing/) found["guide for contributors"] = 1
        if (file ~ /^(\.github\/|docs\/)?security\.md/) found["security policy"] = 1
        if (file ~ /^(\.github\/workflows\/|\.gitlab-ci|\.circleci\/|jenkinsfile|\.ci\/|azure-pipelines)/) found["continuous integration"] = 1
        if (file ~ /(^|\/)(cargo\.lock|package-lock\.json|yarn\.lock|pnpm-lock\.yaml|poetry\.lock|uv\.lock|go\.sum|gemfile\.lock)$/) found["lock file"] = 1
        if (file ~ /^\.editorconfig|rustfmt\.toml|^\.prettierrc|^\.clang-format/) found["format settings"] = 1
    }
    END {
        print "\n### What is usually there\n"
        n = split("README,licence file,changelog,guide for contributors,security policy,continuous integration,lock file,format settings", names, ",")
        for (i = 1; i <= n; i++) {
            there = names[i] in found
            printf "- [%s] %s\n", there ? "x" : " ", names[i]
            if (!there) missing = missing (missing ? ", " : "") names[i]
        }
        if (missing) print "@ missing " missing
    }' "$work/described"
