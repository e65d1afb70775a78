#!/bin/sh
# Usage: fetch-lwip.sh DIR
#
# Gets the sources of lwIP, the guest's TCP/IP stack, from the distribution's source package (Debian, Ubuntu) into
# DIR/lwip and prints that path. Does nothing if they are there. Needs apt-get, tar and xz; not root, not dpkg-dev.
# apt works on lists and a cache of its own below DIR, so the system's are neither needed nor changed; it checks the
# signatures as always. DIR/lwip appears whole or not at all.
set -eu

fail() {
  echo "error: cannot fetch lwIP: $1" >&2
  echo "hint: $2" >&2
  exit 1
}

[ $# -eq 1 ] || { echo "usage: fetch-lwip.sh DIR" >&2; exit 2; }
mkdir -p "$1" || fail "cannot create $1" "choose a directory that can be written"
cache=$(cd "$1" && pwd)
target=$cache/lwip

is_complete() { [ -f "$1/src/include/lwip/init.h" ] && [ -f "$1/src/core/tcp_out.c" ] && [ -f "$1/src/netif/ethernet.c" ]; }

if is_complete "$target"; then
  echo "$target"
  exit 0
fi

for tool in apt-get tar xz; do
  command -v $tool >/dev/null || fail "$tool is not installed" "on Debian or Ubuntu: apt-get install apt tar xz-utils"
done

work=$(mktemp -d "$cache/.fetch-$$-XXXXXX") # the name tells builds whether its process is gone
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# The machine's own package sources, each as a source of source packages: both the one-line and the deb822 format.
mkdir -p "$work/sources" "$work/lists/partial" "$work/archives/partial"
etc=${APT_ETC:-/etc/apt}
for list in "$etc/sources.list" "$etc"/sources.list.d/*.list; do
  [ -f "$list" ] && sed -nE 's/^[[:space:]]*deb(-src)?[[:space:]]+/deb-src /p' "$list"
done | sort -u >"$work/sources/machine.list"
for list in "$etc"/sources.list.d/*.sources; do
  [ -f "$list" ] && sed -E 's/^Types:.*/Types: deb-src/' "$list" >"$work/sources/$(basename "$list")"
done
[ -s "$work/sources/machine.list" ] || rm "$work/sources/machine.list"
[ -n "$(ls "$work/sources")" ] || fail "no package sources below $etc" "lwIP comes from Debian's or Ubuntu's archive"

apt() {
  apt-get -q -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$work/sources" \
    -o Dir::State::lists="$work/lists" -o Dir::Cache="$work" -o APT::Sandbox::User= \
    -o Acquire::Languages=none "$@" >>"$work/log" 2>&1
}

# A source that has no source packages makes `update` fail; what counts is whether lwIP is found.
(cd "$work" && apt update) || true
(cd "$work" && apt source --download-only lwip) || {
  tail -n 15 "$work/log" >&2
  fail "apt-get source lwip failed (above)" "check the network and that the archive's main or universe component is in $etc"
}

archive=$(ls "$work"/lwip_*.orig.tar.* 2>/dev/null | grep -v '\.asc$' | head -n 1)
[ -n "$archive" ] || fail "the source package has no .orig.tar" "report this with the contents of $etc"
mkdir "$work/lwip"
tar -xf "$archive" -C "$work/lwip" --strip-components=1 || fail "cannot unpack $(basename "$archive")" "is the disk full?"
is_complete "$work/lwip" || fail "$(basename "$archive") does not hold the lwIP sources" "report this with the package's version"

# Somebody else may have been quicker, which is as good.
mv -T "$work/lwip" "$target" 2>/dev/null || is_complete "$target" ||
  fail "cannot move the sources to $target" "remove $target if it is incomplete"
echo "$target"
