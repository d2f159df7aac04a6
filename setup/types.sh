#!/usr/bin/env bash
# Checks the types of the pages (JSDoc, with TypeScript's compiler), where Node is there; says so where it is not.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/types"
if ! command -v npm >/dev/null; then
    echo "The types of the pages are not checked: there is no npm (Debian: apt-get install npm)"
    exit 0
fi
if [[ ! -e node_modules/.package-lock.json || package-lock.json -nt node_modules/.package-lock.json ]]; then
    echo "Installing TypeScript into setup/types/node_modules"
    if ! npm ci --ignore-scripts --no-audit --no-fund --loglevel=error; then
        echo "The types of the pages are not checked: TypeScript could not be installed"
        exit 0
    fi
    touch node_modules/.package-lock.json
fi
exec node node_modules/typescript/bin/tsc --project tsconfig.json
