#!/bin/sh
# Writes the report: what stands out first, then each section.
set -eu
export LC_ALL=C

path=${TROUPE_INPUT_PATH:-${1:-.}}
name=$(basename -- "$path" | tr -d '\n' | tr '\001-\037\177`' '?')
mkdir -p artifacts

{
    printf '# Review of `%s`\n\n' "$name"
    grep '^@ ' needs/gather.txt | awk -v today="$(date -u +%Y-%m-%d)" '
        function code(text) { gsub(/`/, "\047", text); return "`" text "`" }
        function number(n,    text) {
            text = sprintf("%d", n)
            while (match(text, /[0-9][0-9][0-9][0-9]($|,)/))
                text = substr(text, 1, RSTART) "," substr(text, RSTART + 1)
            return text
        }
        function count_of(n, one, many) { return number(n) " " (n == 1 ? one : many) }
        { name = $2; sub(/^@ [a-z_]+ ?/, ""); fact[name] = $0 }
        END {
            print "## At a glance\n"
            if (!(fact["files"] + 0)) { print "- There is no file here."; exit }
            printf "- **%s, %s**", count_of(fact["files"], "file", "files"), count_of(fact["lines"], "line", "lines")
            if (fact["language"]) printf ", chiefly %s (%s)", fact["language"], fact["language_share"]
            print "."
            if (fact["test_share"]) printf "- **Tests** hold %s of the lines of code.\n", fact["test_share"]
            if (fact["commits"] + 0) {
                printf "- **%s** by %s, the last on %s", count_of(fact["commits"], "commit", "commits"), count_of(fact["authors"], "person", "people"), fact["last_commit"]
                if (fact["busiest"]) printf "; %s changed most often (%s)", code(fact["busiest"]), count_of(fact["busiest_changes"], "commit", "commits")
                print "."
            } else print "- **No git history.**"
            printf "- **%s** TODO, FIXME, XXX or HACK.\n", fact["notes"] + 0 ? number(fact["notes"]) : "No"
            printf "- **Licence:** %s.\n", fact["licence"] ? fact["licence"] : "unclear"
            if (fact["dependencies"] + 0) printf "- **%s** named as %s.\n", count_of(fact["dependencies"], "package", "packages"), fact["dependencies"] == 1 ? "dependency" : "dependencies"
            if (fact["missing"]) printf "- **Not found:** %s.\n", fact["missing"]
            printf "\n<sub>Made on %s by git, grep and awk, run as agents.</sub>\n", today
        }'
    grep -v '^@ ' needs/gather.txt
} >artifacts/report.md

printf 'Wrote a report of %d lines.\n' "$(wc -l <artifacts/report.md)"
