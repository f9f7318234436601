#!/bin/sh
# Puts Debian's chromium on this machine for the browser tests, or says in one line what to do.
command -v chromium >/dev/null && exit 0
sudo=""
[ "$(id -u)" = 0 ] || sudo="sudo -n"
if command -v apt-get >/dev/null && $sudo true 2>/dev/null; then
    echo "Installing chromium for the browser tests."
    $sudo apt-get update -qq && $sudo env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null && exit 0
fi
echo "NO BROWSER TESTS: install chromium (sudo apt-get install chromium) to run them." >&2
exit 0
