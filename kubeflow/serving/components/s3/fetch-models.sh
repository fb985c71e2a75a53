#!/bin/sh
# Copies the newest versions of a model from a bucket into a folder that a model server polls: all of a version or none.
# usage: fetch-models.sh once | forever
#   MODELS_SOURCE      where versions lie, as rclone writes it: REMOTE:BUCKET/FOLDER
#   MODELS_FOLDER      where to put them; its parent exists
#   MODELS_KEEP        how many of the newest versions stay there (2)
#   MODELS_EVERY_S     seconds between two looks (30)
set -eu
: "${MODELS_SOURCE:?}" "${MODELS_FOLDER:?}"
keep=${MODELS_KEEP:-2}
every_s=${MODELS_EVERY_S:-30}

say() { printf '%s %s\n' "$(date -u +%FT%TZ)" "$*"; }

# numbers FOLDERS…: those of the given names that are versions, oldest first.
numbers() { sed 's|/$||' | grep -E '^[0-9]+$' | sort -n || true; }

# is_whole FOLDER: every file that model.json lists under "files" is there and is what was pushed.
is_whole() {
    sed -n '/^  "files": {$/,/^  }/s/^    "\(.*\)": "\([0-9a-f]\{64\}\)",\{0,1\}$/\2  \1/p' "$1/model.json" >"$1.sums" || return 1
    [ -s "$1.sums" ] && (cd "$1" && sha256sum -c "../$(basename "$1").sums" >/dev/null 2>&1)
}

# fetch VERSION: copies it beside the others and renames it when it is whole.
fetch() {
    incoming=$MODELS_FOLDER/.incoming-$1
    if rclone copy --quiet "$MODELS_SOURCE/$1" "$incoming" && is_whole "$incoming"; then
        mv "$incoming" "$MODELS_FOLDER/$1"
        say "version $1 is there"
    else
        say "version $1 is not whole: a file is missing or differs from model.json; looking again in $every_s s"
    fi
    rm -rf "$incoming" "$incoming.sums"
}

look() {
    mkdir -p "$MODELS_FOLDER"
    names=$(rclone lsf --dirs-only "$MODELS_SOURCE") || { say "$MODELS_SOURCE cannot be listed"; return 1; }
    for version in $(printf '%s\n' "$names" | numbers | tail -n "$keep"); do
        [ -d "$MODELS_FOLDER/$version" ] || fetch "$version"
    done
    for version in $(ls "$MODELS_FOLDER" | numbers | head -n "-$keep"); do
        rm -rf "${MODELS_FOLDER:?}/$version"
        say "version $version was removed: $keep newer ones are there"
    done
    [ -n "$(ls "$MODELS_FOLDER" | numbers)" ]
}

case ${1:-} in
    once)
        until look; do sleep "$every_s"; done
        ;;
    forever)
        while :; do
            look || true
            sleep "$every_s"
        done
        ;;
    *)
        sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
esac
