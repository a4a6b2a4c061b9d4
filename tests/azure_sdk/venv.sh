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
echo "$venv"
