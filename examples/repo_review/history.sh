#!/bin/sh
# Who changed what, and when: the last 10,000 commits.
. "$(dirname "$0")/files.sh"

printf '## History\n\n'
if ! has_git || ! safe_git rev-parse --verify --quiet HEAD >/dev/null 2>&1; then
    printf 'There is no git history here.\n'
    exit 0
fi

list_files >"$work/all"
safe_git log --no-merges --max-count=10000 --no-ext-diff --no-textconv --no-renames --name-only \
    --date=format:%Y-%m-%d --relative --format='%x01%ad%x02%aN' -- . |
    awk -v files="$work/all" "$awk_functions"'
    BEGIN { while ((getline line < files) > 0) { sub(/^\.\//, "", line); there[line] = 1 } }
    /^\001/ {
        split(substr($0, 2), part, "\002")
        date = part[1]; author = part[2]; month = substr(date, 1, 7)
        if (!commits++) last = date
        first = date
        by_author[author]++; by_month[month]++
        if (!(author in latest)) latest[author] = date
        next
    }
    # git writes a name with a quote or a backslash in it between quotes.
    /^".*"$/ { $0 = substr($0, 2, length($0) - 2); gsub(/\\"/, "\""); gsub(/\\\\/, "\\") }
    $0 != "" && ($0 in there) {
        changes[$0]++
        if (!(($0, author) in touched)) { touched[$0, author] = 1; hands[$0]++ }
        if (!($0 in changed)) changed[$0] = date
    }
    END {
        if (!commits) { print "No commit touches this folder."; exit }
        for (author in by_author) people[++authors] = author
        for (month in by_month) { months[++all_months] = month; if (by_month[month] > most) most = by_month[month] }
        printf "@ commits %d\n@ authors %d\n@ last_commit %s\n", commits, authors, last
        printf "%s by %s, from %s to %s; merges are not counted.\n", count_of(commits, "commit", "commits"), count_of(authors, "person", "people"), first, last
        for (file in changes) order[++n] = file
        top(order, n, changes, 15)
        if (n) {
            printf "@ busiest %s\n@ busiest_changes %d\n", order[1], changes[order[1]]
            print "\n### Busiest files\n\nWhat changes most often is where a review pays most.\n"
            print "| file | commits | people | last change | |"
            print "|---|--:|--:|---|---|"
            for (i = 1; i <= n && i <= 15; i++) {
                file = order[i]
                printf "| %s | %s | %s | %s | %s |\n", code(file, 80), number(changes[file]), number(hands[file]), changed[file], bar(changes[file], changes[order[1]], 15)
            }
        }
        top(people, authors, by_author, 10)
        print "\n### People\n\n| name | commits | share | last commit |\n|---|--:|--:|---|"
        for (i = 1; i <= authors && i <= 10; i++)
            printf "| %s | %s | %s | %s |\n", plain(people[i], 60), number(by_author[people[i]]), share(by_author[people[i]], commits), latest[people[i]]
        if (authors > 10) printf "\nand %s more.\n", number(authors - 10)
        latest_first(months, all_months)
        print "\n### Commits a month\n\n| month | commits | |\n|---|--:|---|"
        for (i = 1; i <= all_months && i <= 12; i++)
            printf "| %s | %s | %s |\n", months[i], number(by_month[months[i]]), bar(by_month[months[i]], most, 30)
        if (all_months > 12) printf "\nand %s months before.\n", number(all_months - 12)
    }
    # Brings the `wanted` largest to the front.
    function top(list, length_, value, wanted,    i, j, best, swap) {
        for (i = 1; i <= length_ && i <= wanted; i++) {
            best = i
            for (j = i + 1; j <= length_; j++)
                if (value[list[j]] > value[list[best]] || (value[list[j]] == value[list[best]] && list[j] < list[best])) best = j
            swap = list[i]; list[i] = list[best]; list[best] = swap
        }
    }
    function latest_first(list, length_,    i, j, swap) {
        for (i = 2; i <= length_; i++)
            for (j = i; j > 1 && list[j] > list[j - 1]; j--) { swap = list[j]; list[j] = list[j - 1]; list[j - 1] = swap }
    }'
