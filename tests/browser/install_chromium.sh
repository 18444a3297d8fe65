#!/usr/bin/env bash
# The browser tests need Debian's chromium and its driver: use them, or install them as root.
set -euo pipefail
if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then
  exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo '== browser tests: installing chromium and chromium-driver'
  apt-get update -qq || true
  if DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    chromium chromium-driver >/dev/null; then
    exit 0
  fi
fi
echo 'browser tests: no chromium and chromedriver on this machine; those tests will be skipped' \
  '(Debian: apt-get install chromium chromium-driver)' >&2
