#!/bin/sh
# Puts what the other steps found into one text: facts first, as `@ NAME VALUE`, then the sections.
set -eu
export LC_ALL=C

sections="languages shape history notes licence dependencies"
for section in $sections; do
    if [ ! -s "needs/$section.txt" ]; then
        printf 'the step %s left nothing behind\n' "$section" >&2
        exit 1
    fi
done
for section in $sections; do
    grep '^@ ' "needs/$section.txt" || true
done
for section in $sections; do
    printf '\n'
    grep -v '^@ ' "needs/$section.txt"
done
