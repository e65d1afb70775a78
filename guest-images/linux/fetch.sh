#!/bin/sh
# Usage: fetch.sh DIR PACKAGE...
#
# Downloads packages of the distribution (Debian, Ubuntu), and what of their dependencies the system has not, into
# DIR/archives, and prints the paths of these files: of each PACKAGE first its own, then those of what it depends on.
# Files of other versions may lie there too. A package NAME* stands for the newest whose name begins so.
# Installs nothing and need not be root: apt works on lists and a cache of its own below DIR, and checks the signatures
# as always. Whoever comes while another one is at it waits.
set -eu

fail() {
  echo "error: $1" >&2
  echo "hint: $2" >&2
  exit 1
}

[ $# -ge 2 ] || { echo "usage: fetch.sh DIR PACKAGE..." >&2; exit 2; }
mkdir -p "$1"
cache=$(cd "$1" && pwd)
shift
for tool in apt-get apt-cache flock; do
  command -v $tool >/dev/null || fail "$tool is not installed" "this image is built from packages of Debian or Ubuntu"
done
# Ends with this process and those that it started. apt's own locks would make the second of two builds fail.
exec 9<"$cache"
flock 9
mkdir -p "$cache/lists/partial" "$cache/archives/partial"
: >"$cache/log"

# $1: apt-get or apt-cache
apt() {
  program=$1
  shift
  "$program" -q -o Dir::State::lists="$cache/lists" -o Dir::Cache="$cache" -o APT::Sandbox::User= \
    -o Acquire::Languages=none -o Debug::NoLocking=1 "$@" 2>>"$cache/log"
}

# Only lists that all came count as new, else a first try without a network would spoil the day.
updated=
update() {
  apt apt-get -o APT::Update::Error-Mode=any update >>"$cache/log" && touch "$cache/lists/updated" && updated=yes
}

# "--reinstall" also fetches what is installed; "install" would have nothing to do. Only what is not in the cache has an URI:
# this is asked with another one.
resolve() {
  apt apt-get -o Dir::Cache::archives="$cache/none" --print-uris -y --no-install-recommends --reinstall install "$1" \
    >"$cache/uris" || return
  cat "$cache/uris" >>"$cache/log"
  sed -n "s/^'[^']*' \([^ ]*\.deb\) .*/\1/p" "$cache/uris"
}
download() {
  apt apt-get -y --download-only --no-install-recommends --reinstall install "$1" >>"$cache/log"
}

# Sets the package's `name`, the `files` that it takes, and which of these is its `own`.
find_package() {
  name=$1
  case $1 in
    *\*)
      prefix=${1%\*}
      name=$(apt apt-cache pkgnames "$prefix" | grep -E "^$prefix[0-9.]+\$" | sort -V | tail -n 1)
      [ -n "$name" ] || { echo "there is no package $prefix..." >>"$cache/log"; return 1; }
      ;;
  esac
  # A package that is installed, but in no list, resolves to no file.
  files=$(resolve "$name") && own=$(echo "$files" | grep "^${name}_")
}

# $1: a mark, $2: how long it counts. One from before /etc/apt was changed does not.
recent() {
  [ -n "$(find "$cache/lists/$1" $2 2>/dev/null)" ] &&
    [ -z "$(find -L /etc/apt -newer "$cache/lists/$1" 2>/dev/null | head -n 1)" ]
}
# Lists of today will do, until a version that they name is gone; and for a while those of a try in which some did not come.
recent updated "-mtime -1" || recent tried "-mmin -10" || update || {
  [ -z "$(find "$cache/lists" -name '*Packages*' | head -n 1)" ] || touch "$cache/lists/tried"
}
for package in "$@"; do
  find_package "$package" && {
    download "$name" || { [ -z "$updated" ] && update && find_package "$package" && download "$name"; }
  } || {
    tail -n 15 "$cache/log" >&2
    fail "cannot download $package" "check the network, and that the archive's main component is in /etc/apt"
  }
  others=$(echo "$files" | grep -v "^${name}_" || true)
  for file in $own $others; do
    [ -f "$cache/archives/$file" ] || fail "apt did not download $file" "report this with the contents of /etc/apt"
    echo "$cache/archives/$file"
  done
done
