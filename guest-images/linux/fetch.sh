#!/bin/sh
# Usage: fetch.sh DIR PACKAGE...
#
# Downloads packages of the distribution (Debian, Ubuntu), and what of their dependencies the system has not, into
# DIR/archives, and prints the paths of the files. A package NAME* stands for the newest whose name begins so.
# Installs nothing and need not be root: apt works on lists and a cache of its own below DIR, and checks the signatures
# as always.
set -eu

fail() {
  echo "error: $1" >&2
  echo "hint: $2" >&2
  exit 1
}

[ $# -ge 2 ] || { echo "usage: fetch.sh DIR PACKAGE..." >&2; exit 2; }
mkdir -p "$1/lists/partial" "$1/archives/partial"
cache=$(cd "$1" && pwd)
shift
for tool in apt-get apt-cache dpkg-deb; do
  command -v $tool >/dev/null || fail "$tool is not installed" "this image is built from packages of Debian or Ubuntu"
done

options="-o Dir::State::lists=$cache/lists -o Dir::Cache=$cache -o APT::Sandbox::User= -o Acquire::Languages=none -o Debug::NoLocking=1"
apt() { apt-get -q -y $options "$@" >>"$cache/log" 2>&1; }
: >"$cache/log"

# Lists of today will do.
[ -n "$(find "$cache/lists/updated" -mtime -1 2>/dev/null)" ] || {
  apt update || true
  touch "$cache/lists/updated"
}

for package in "$@"; do
  case $package in
    *\*)
      prefix=${package%\*}
      package=$(apt-cache $options pkgnames "$prefix" | grep -E "^$prefix[0-9.]+\$" | sort -V | tail -n 1)
      [ -n "$package" ] || fail "there is no package $prefix..." "is the archive's main component in /etc/apt?"
      ;;
  esac
  # "--reinstall" also fetches what is installed; "install" would have nothing to do.
  apt --download-only --no-install-recommends --reinstall install "$package" || {
    tail -n 15 "$cache/log" >&2
    fail "cannot download $package" "check the network and /etc/apt"
  }
done
ls "$cache"/archives/*.deb
