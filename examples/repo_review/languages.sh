#!/bin/sh
# How much there is, and in which languages.
. "$(dirname "$0")/files.sh"

describe_files | awk -F '\t' "$awk_functions"'
    BEGIN {
        split("rs Rust py Python js JavaScript mjs JavaScript cjs JavaScript jsx JavaScript ts TypeScript tsx TypeScript go Go java Java kt Kotlin c C h C/C++_header cc C++ cpp C++ hpp C/C++_header cs C# rb Ruby php PHP swift Swift scala Scala sh Shell bash Shell zsh Shell awk Awk sql SQL html HTML css CSS scss CSS md Markdown rst reStructuredText txt Text toml TOML yaml YAML yml YAML json JSON xml XML proto Protobuf lua Lua pl Perl r R jl Julia ex Elixir exs Elixir erl Erlang hs Haskell ml OCaml zig Zig dart Dart vue Vue svelte Svelte tf Terraform nix Nix lock Lock_file csv CSV svg SVG", words, " ")
        for (i = 1; words[i] != ""; i += 2) { gsub(/_/, " ", words[i + 1]); name[words[i]] = words[i + 1] }
    }
    {
        file = $4; base = file; sub(/.*\//, "", base)
        extension = base
        if (!sub(/.+\./, "", extension)) extension = ""
        extension = tolower(extension)
        if ($1 == "binary") language = "Binary files"
        else if (base == "Makefile" || base == "GNUmakefile") language = "Make"
        else if (base ~ /^Dockerfile/) language = "Docker"
        else if (extension in name) language = name[extension]
        else if (extension == "") language = "No extension"
        else language = "." extension
        count[language]++; bytes[language] += $3; files++; size_all += $3
        if ($1 == "text") { lines[language] += $2; lines_all += $2; texts++ }
    }
    END {
        printf "@ files %d\n@ lines %d\n@ bytes %d\n", files, lines_all, size_all
        print "## Size and languages\n"
        if (!files) { print "There is no file here."; exit }
        printf "%s, %s of text, %s in all.\n\n", count_of(files, "file", "files"), count_of(lines_all, "line", "lines"), size(size_all)
        for (language in count) order[++n] = language
        for (i = 2; i <= n; i++) {
            for (j = i; j > 1 && before(order[j], order[j - 1]); j--) { swap = order[j]; order[j] = order[j - 1]; order[j - 1] = swap }
        }
        for (i = 1; i <= n; i++) if (order[i] !~ /^(Binary files|Lock file|No extension)$/) {
            printf "@ language %s\n@ language_share %s\n", order[i], share(lines[order[i]], lines_all)
            break
        }
        print "| language | files | lines | bytes | share of lines | |"
        print "|---|--:|--:|--:|--:|---|"
        for (i = 1; i <= n && i <= 20; i++) {
            language = order[i]
            printf "| %s | %s | %s | %s | %s | %s |\n", plain(language, 30), number(count[language]), number(lines[language]), size(bytes[language]), share(lines[language], lines_all), bar(lines[language], lines_all, 20)
        }
        if (n > 20) printf "\n%d more kinds of files are not shown.\n", n - 20
    }
    function before(a, b) {
        if (lines[a] != lines[b]) return lines[a] > lines[b]
        if (bytes[a] != bytes[b]) return bytes[a] > bytes[b]
        return a < b
    }'
