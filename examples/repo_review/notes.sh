#!/bin/sh
# What the authors themselves left to do, with a line before and after each note.
. "$(dirname "$0")/files.sh"

list_files | only_text | grep -vE '\.(lock|svg|min\.js|min\.css)$' >"$work/text" || true

# `kind<TAB>file<TAB>line<TAB>before<TAB>text<TAB>after`; the words in capitals, with a colon or a name
# in brackets behind them, or first in a comment: prose that only mentions them is no note.
on_files awk <"$work/text" '
    function tidy(text) {
        gsub(/[\t\r]/, " ", text)
        if (length(text) > 200) text = substr(text, 1, 200)
        return text
    }
    function flush(after) {
        if (kind != "") printf "%s\t%s\t%d\t%s\t%s\t%s\n", kind, file, line, before, text, after
        kind = ""
    }
    FNR == 1 { flush(""); previous = "" }
    kind != "" { flush(tidy($0)) }
    {
        current = tidy($0)
        if (match(current, /(^|[^A-Za-z0-9_`"\047|])(TODO|FIXME|XXX|HACK)[:(!]/) || match(current, /(^|\/\/|#|\*|--|;|%)[!\/]?[ ]*(TODO|FIXME|XXX|HACK)([^A-Za-z0-9_|,]|$)/)) {
            kind = substr(current, RSTART, RLENGTH)
            gsub(/[^A-Z]/, "", kind)
            file = FILENAME; line = FNR; before = previous; text = current
        }
        previous = current
    }
    END { flush("") }' >"$work/notes"

awk -F '\t' "$awk_functions"'
    {
        kinds[$1]++; by_file[$2]++; n++
        note[n] = $0
    }
    function quoted(mark, text) {
        gsub(/[\001-\037\177]/, "?", text)
        # A fence within would end the block.
        gsub(/```/, "\047\047\047", text)
        return mark text
    }
    END {
        printf "@ notes %d\n", n
        print "## Notes to self\n"
        if (!n) { print "No TODO, FIXME, XXX or HACK is left in the text."; exit }
        for (kind in kinds) { files = files (files ? ", " : "") number(kinds[kind]) " " kind }
        for (file in by_file) count++
        printf "%s in %s: %s.\n", number(n), count_of(count, "file", "files"), files
        split("FIXME XXX HACK TODO", urgency, " ")
        for (u = 1; u <= 4; u++) for (i = 1; i <= n; i++) {
            split(note[i], part, "\t")
            if (part[1] != urgency[u]) continue
            if (++shown > 40) continue
            printf "\n**%s** %s line %d\n\n```text\n", part[1], code(part[2], 100), part[3]
            if (part[4] != "") print quoted("  ", part[4])
            print quoted("> ", part[5])
            if (part[6] != "") print quoted("  ", part[6])
            print "```"
        }
        if (shown > 40) printf "\n%s more are not shown.\n", number(shown - 40)
    }' "$work/notes"
