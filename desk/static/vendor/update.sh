#!/bin/sh
# Makes the vendored modules again from the npm registry: sh update.sh
# The versions are pinned here and nowhere else; the files are the packages' own.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

take() { # package version file-in-package name-here
    archive=$(cd "$work" && npm pack --silent "$1@$2")
    mkdir -p "$work/package-of-$4"
    tar -xzf "$work/$archive" -C "$work/package-of-$4" --strip-components=1
    case $4 in
        *.js) sed '/^\/\/# sourceMappingURL=/d' "$work/package-of-$4/$3" > "$here/$4" ;; # the maps are not vendored
        *) cp "$work/package-of-$4/$3" "$here/$4" ;;
    esac
    {
        echo "== $4: $1 $2 ($3) =="
        echo
        cat "$work/package-of-$4/LICENSE"
        echo
    } >> "$work/LICENSES.txt"
}

take preact 11.2.0 dist/preact.mjs preact.js
take preact 11.2.0 hooks/dist/hooks.mjs preact-hooks.js
take @preact/signals-core 1.14.5 dist/signals-core.mjs signals-core.js
take @preact/signals 2.11.4 dist/signals.mjs signals.js
take htm 3.1.1 dist/htm.module.js htm.js
take @fontsource-variable/inter 5.3.0 files/inter-latin-wght-normal.woff2 inter.woff2

bundle() { # "package@version ..." file name-here: one that browsers cannot load as it is, with what it needs
    (cd "$work" && npm install --silent --no-save --ignore-scripts $1 esbuild@0.27.2 >&2)
    (cd "$work" && npx --no-install esbuild "node_modules/$2" --bundle --minify --format=esm --legal-comments=none \
        --outfile="$here/$3" >&2)
    for part in $1; do
        {
            echo "== $3: ${part%@*} ${part##*@} =="
            echo
            cat "$work/node_modules/${part%@*}"/[Ll][Ii][Cc][Ee][Nn][Ss][Ee]*
            echo
        } >> "$work/LICENSES.txt"
    done
}

packed="jssip@3.13.8 debug@4.4.3 ms@2.1.3 events@3.3.0 sdp-transform@2.15.0"
bundle "$packed" jssip/lib/JsSIP.js jssip.js

mv "$work/LICENSES.txt" "$here/LICENSES.txt"
