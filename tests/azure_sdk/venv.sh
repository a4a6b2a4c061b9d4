#!/usr/bin/env bash
# Makes the Python environment that the tests of the lab's Azure want, in target/azure-sdk
# or the directory that is named.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
venv=${1:-$here/../../target/azure-sdk}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
cmp -s "$here/requirements.txt" "$venv/requirements.txt" || {
    "$venv/bin/pip" install -q --disable-pip-version-check -r "$here/requirements.txt"
    cp "$here/requirements.txt" "$venv/requirements.txt"
}
# Older versions of some, only to be read: extract.py says why.
cmp -s "$here/older.txt" "$venv/older/older.txt" || {
    rm -rf "$venv/older"
    "$venv/bin/pip" install -q --disable-pip-version-check --no-deps --target "$venv/older" -r "$here/older.txt"
    cp "$here/older.txt" "$venv/older/older.txt"
}
echo "$venv"
