# Sourced by the other scripts: enters the repository, and lists and describes its files.
#
# TROUPE_INPUT_PATH names the repository, TROUPE_INPUT_PAUSE how many seconds to wait first: with
# `--input pause=5` there is time to kill a run in the middle. Needs a POSIX shell, awk, grep and, for
# the history, git. Nothing of the repository is run: neither its hooks nor programs that its git
# configuration names.

set -eu
export LC_ALL=C

work=$PWD
path=${TROUPE_INPUT_PATH:-${1:-.}}
case ${TROUPE_INPUT_PAUSE:-0} in
0 | *[!0-9.]*) ;;
*) sleep "$TROUPE_INPUT_PAUSE" ;;
esac
if ! cd -- "$path" 2>/dev/null; then
    printf 'cannot enter %s: it is not a folder that this user can read\n' "$path" >&2
    exit 1
fi

safe_git() {
    git --no-pager -c core.fsmonitor=false -c core.hooksPath=/dev/null -c core.quotePath=false \
        -c log.showSignature=false -c diff.external= "$@"
}

has_git() {
    command -v git >/dev/null 2>&1 && [ "$(safe_git rev-parse --is-inside-work-tree 2>/dev/null)" = true ]
}

# Regular files, one a line as `./name`: those that git knows or would add, else all but the usual
# output folders. Links are left out, and so is a name with a line end in it.
list_files() {
    if has_git; then
        safe_git ls-files -z --cached --others --exclude-standard | tr '\n\0' '\001\n' | sed 's|^|./|'
    else
        find . \( -name .git -o -name node_modules -o -name target -o -name .venv \) -prune \
            -o -type f -print0 | tr '\n\0' '\001\n'
    fi | while IFS= read -r file; do
        if [ -f "$file" ] && [ ! -L "$file" ] && [ -r "$file" ]; then
            printf '%s\n' "$file"
        fi
    done | sort -u
}

# Runs a command on the files of standard input.
on_files() {
    tr '\n' '\0' | xargs -0 "$@" 2>/dev/null || true
}

# Of the files of standard input, those that hold text and more than nothing.
only_text() {
    on_files grep -Il ''
}

# `kind<TAB>lines<TAB>bytes<TAB>file` for each file; the kind is `text` or `binary`.
describe_files() {
    list_files >"$work/all"
    only_text <"$work/all" >"$work/text"
    # Each batch ends with a line for `total`, which no file is called here: all begin with `./`.
    on_files wc -lc -- /dev/null <"$work/all" | awk -v texts="$work/text" '
        BEGIN { while ((getline line < texts) > 0) text[line] = 1 }
        {
            place = index($0, "./")
            if (!place) next
            file = substr($0, place)
            kind = (file in text) || $2 == 0 ? "text" : "binary"
            printf "%s\t%d\t%d\t%s\n", kind, $1, $2, file
        }'
}

# Functions for awk: Markdown-safe text, numbers and bars for people.
awk_functions='
    # Text in a code span of a table: neither a bar nor a tick nor a control character ends it.
    function code(text, width) {
        sub(/^\.\//, "", text)
        gsub(/[\001-\037\177]/, "?", text)
        gsub(/`/, "\047", text)
        gsub(/[|]/, "\\|", text)
        if (width && length(text) > width) {
            text = substr(text, 1, width)
            sub(/[\300-\377][\200-\277]*$/, "", text)
            sub(/\\$/, "", text)
            text = text "..."
        }
        return "`" text "`"
    }
    # Text between other text.
    function plain(text, width) {
        text = code(text, width)
        text = substr(text, 2, length(text) - 2)
        gsub(/</, "\\&lt;", text)
        gsub(/[*_\[\]]/, "\\\\&", text)
        return text
    }
    function size(bytes) {
        if (bytes < 1024) return bytes " B"
        if (bytes < 1048576) return sprintf("%.1f KiB", bytes / 1024)
        return sprintf("%.1f MiB", bytes / 1048576)
    }
    function number(n,    text) {
        text = sprintf("%d", n)
        while (match(text, /[0-9][0-9][0-9][0-9]($|,)/))
            text = substr(text, 1, RSTART) "," substr(text, RSTART + 1)
        return text
    }
    function count_of(n, one, many) { return number(n) " " (n == 1 ? one : many) }
    function bar(part, whole, width,    n, text) {
        n = whole > 0 ? int(part / whole * width + 0.5) : 0
        if (n < 1 && part > 0) n = 1
        for (text = ""; n > 0; n--) text = text "\342\226\210"
        return text
    }
    function share(part, whole) {
        return whole > 0 ? sprintf("%.1f %%", 100 * part / whole) : "-"
    }
    function is_test(file) {
        return file ~ /(^|\/)(tests?|specs?|__tests__|testdata)\// || file ~ /[._-](test|tests|spec)\.[A-Za-z]+$/ || file ~ /(^|\/)test_[^\/]*$/
    }'
