#!/usr/bin/env bash
# Installs the Debian packages that are missing: packages.sh PACKAGE=PROGRAM... or PACKAGE=/path/of/a/file (or pattern).
set -euo pipefail

missing=()
for wanted in "$@"; do
    probe=${wanted#*=}
    if [[ $probe == /* ]]; then
        compgen -G "$probe" >/dev/null || missing+=("${wanted%%=*}")
    else
        command -v "$probe" >/dev/null || missing+=("${wanted%%=*}")
    fi
done
((${#missing[@]})) || exit 0

if ! command -v apt-get >/dev/null; then
    echo "Missing: ${missing[*]} (names of Debian packages). Install them with this system's package manager." >&2
    exit 1
fi
sudo=()
if ((EUID)); then
    if ! command -v sudo >/dev/null; then
        echo "Missing: ${missing[*]}. Run as root: apt-get install ${missing[*]}" >&2
        exit 1
    fi
    sudo=(sudo)
fi

echo "Installing Debian packages: ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
if ! { "${sudo[@]}" apt-get update -q &&
    "${sudo[@]}" apt-get install -y -q --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
    tail -n 30 "$log" >&2
    echo "Could not install ${missing[*]}: see above." >&2
    exit 1
fi
