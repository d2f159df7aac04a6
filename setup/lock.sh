#!/usr/bin/env bash
# Writes requirements.lock: every release that pyproject.toml's packages and extras lead to, with its hashes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
new=$(mktemp)
trap 'rm -f "$new"' EXIT

.venv/bin/pip-compile --quiet --no-header --upgrade --all-extras --allow-unsafe --strip-extras --generate-hashes \
    --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file "$new" pyproject.toml
{
    echo "# Written by \`make lock\` from pyproject.toml: do not edit."
    # The extras name the project itself, which pip-compile then lists by its path; it is installed from the checkout.
    awk '/^# (WARNING: pip install will require|Consider using a hashable)/ {next}
         /^centralino @/ {own = 1; next}
         own && /^ / {next}
         {own = 0; print}' "$new"
} >requirements.lock
