#!/usr/bin/env bash
# The tests that need the programs of a region: the contract, then what may share one region, then what needs a region for
# itself, in two regions side by side, because such a test waits for most of its time.
set -uo pipefail
cd "$(dirname "$0")/.."
BIN=.venv/bin
PINCOMPUTE_STORIES_HOME=$(mktemp -d)
export PINCOMPUTE_STORIES_HOME

take_down() {
  PINCOMPUTE_HOME=$PINCOMPUTE_STORIES_HOME $BIN/pincompute region down --purge >/dev/null 2>&1
  rm -rf "$PINCOMPUTE_STORIES_HOME" "$PINCOMPUTE_STORIES_HOME".*
}
trap take_down EXIT

status=0
two=(-n 2 --dist loadfile --reruns 1)
$BIN/pytest "${two[@]}" tests/contract || status=1
$BIN/pytest "${two[@]}" -m "not alone" tests/attacks/region tests/stories || status=1
take_down
env -u PINCOMPUTE_STORIES_HOME $BIN/pytest "${two[@]}" -m alone tests/stories tests/faults || status=1
exit $status
