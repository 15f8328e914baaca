#!/bin/sh
# Installs the Debian packages that a run needs: debian_packages.sh INSTALL PACKAGE...
# Announces first, keeps services from starting, and never replaces another mail server.
set -eu
install=$1
shift
missing=""
for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
line="apt-get install --no-install-recommends$missing"
if [ "$install" = 0 ] || [ "$(id -u)" != 0 ]; then
    echo "Missing Debian packages. As root, run:  $line" >&2
    exit 1
fi
case "$missing" in *postfix*)
    other=$(dpkg-query -W -f '${Package} ${Status} ${Provides}\n' 2>/dev/null \
        | awk '/ok installed/ && /mail-transport-agent/ {print $1}' | head -n 1)
    if [ -n "$other" ]; then
        echo "Postfix is needed, but $other is this machine's mail server and will not be replaced; nothing was" >&2
        echo "installed. Use another machine, or install postfix yourself." >&2
        exit 1
    fi ;;
esac
echo "== Installing Debian packages:$missing (their services are kept from starting)"
policy=/usr/sbin/policy-rc.d
kept=""
if [ -e "$policy" ]; then kept=$(mktemp) && cp -p "$policy" "$kept"; fi
restore() { if [ -n "$kept" ]; then mv -f "$kept" "$policy"; else rm -f "$policy"; fi; }
trap restore EXIT
trap 'exit 1' INT TERM
printf '#!/bin/sh\nexit 101\n' > "$policy"
chmod 755 "$policy"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
{ apt-get update -q && apt-get install -y -q --no-install-recommends $missing; } > "$log" 2>&1 \
    || { tail -n 30 "$log" >&2; echo "Installing failed; the whole log is in $log" >&2; exit 1; }
rm -f "$log"
