#!/usr/bin/env bash
# The tests that need the programs of a region: the contract, then what may share one region, then what needs it alone.
set -uo pipefail
cd "$(dirname "$0")/.."
BIN=.venv/bin
PINCOMPUTE_STORIES_HOME=$(mktemp -d)
export PINCOMPUTE_STORIES_HOME

clean_up() {
  PINCOMPUTE_HOME=$PINCOMPUTE_STORIES_HOME $BIN/pincompute region down --purge >/dev/null 2>&1
  rm -rf "$PINCOMPUTE_STORIES_HOME" "$PINCOMPUTE_STORIES_HOME".*
}
trap clean_up EXIT

status=0
together=(-n 2 --dist loadfile --reruns 1)
$BIN/pytest "${together[@]}" tests/contract || status=1
$BIN/pytest "${together[@]}" -m "not alone" tests/attacks/region tests/stories || status=1
PINCOMPUTE_STORIES_LAST=1 $BIN/pytest --reruns 1 -m alone tests/stories tests/faults || status=1
exit $status
