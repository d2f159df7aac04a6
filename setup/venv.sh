#!/usr/bin/env bash
# Makes .venv with exactly the releases in requirements.lock, and this checkout in it (editable).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python3}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || {
    echo "Python 3.11 or later is needed; set PYTHON=/path/to/it (found: $("$python" --version 2>&1 || true))" >&2
    exit 1
}
# Debian keeps the part of Python that makes virtual environments in a package of its own.
"$python" -c 'import ensurepip' 2>/dev/null || setup/packages.sh python3-venv=/nowhere

echo "Installing Python packages into .venv"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
pip() { .venv/bin/python -m pip --disable-pip-version-check "$@" >"$log" 2>&1; }
{
    { [[ -x .venv/bin/python ]] || "$python" -m venv .venv >"$log" 2>&1; } &&
        pip install --require-hashes -r requirements.lock &&
        pip install --no-deps --no-build-isolation -e . &&
        pip check # finds what pyproject.toml asks for and the lock lacks: then `make lock`
} || {
    tail -n 30 "$log" >&2
    echo "Could not install the Python packages: see above." >&2
    exit 1
}
touch .venv/installed
