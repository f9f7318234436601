#!/bin/sh
# Puts Debian's chromium on this machine for the browser tests, and openssl for those of downloads,
# or says in one line what to do.
command -v chromium >/dev/null && command -v openssl >/dev/null && exit 0
sudo=""
[ "$(id -u)" = 0 ] || sudo="sudo -n"
if command -v apt-get >/dev/null && $sudo true 2>/dev/null; then
    echo "Installing chromium and openssl for the tests."
    $sudo apt-get update -qq && $sudo env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core openssl >/dev/null && exit 0
fi
echo "TESTS ARE LEFT OUT: sudo apt-get install chromium openssl to run them all." >&2
exit 0
