#!/usr/bin/env bash
# Sees to it that there is an Asterisk 22.4 or later: $RIG_ASTERISK, one on the PATH, or one of our own, unpacked
# into .tools/asterisk without installing anything on the system.
#
# Debian 12 and 13 ship no Asterisk; "forky" does. mmdebstrap unpacks it with all its libraries, signatures checked,
# from the mirror this machine's apt uses (300 MB, under a minute).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
folder=.tools/asterisk

recent() {
    local version
    version=$("$1" -V 2>/dev/null) || return 1
    [[ $version =~ ^Asterisk\ (certified[/-])?([0-9]+)\.([0-9]+) ]] || return 1
    ((BASH_REMATCH[2] > 22 || (BASH_REMATCH[2] == 22 && BASH_REMATCH[3] >= 4)))
}

for candidate in "${RIG_ASTERISK:-}" "$(command -v asterisk || true)" "$folder/asterisk"; do
    [[ -n $candidate ]] && recent "$candidate" && exit 0
done

command -v apt-get >/dev/null || {
    echo "No Asterisk 22.4 or later was found. Install one and put it on the PATH, or name it in RIG_ASTERISK." >&2
    exit 1
}
setup/packages.sh mmdebstrap=mmdebstrap
mirror=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
    awk '$1 !~ /security|updates|backports/ && !mirror {mirror = $2} END {print mirror}')
[[ -n $mirror ]] || {
    echo "apt knows no Debian mirror yet: run apt-get update, then make setup again." >&2
    exit 1
}
sudo=()
((EUID == 0)) || sudo=(sudo)

echo "Unpacking Asterisk into $folder"
mkdir -p .tools
"${sudo[@]}" rm -rf "$folder" "$folder.new"
"${sudo[@]}" mmdebstrap --quiet --variant=extract \
    --include=asterisk,asterisk-core-sounds-it-wav,asterisk-core-sounds-en-wav,asterisk-moh-opsound-wav \
    --aptopt='Apt::Install-Recommends "false"' \
    --aptopt='Acquire::Check-Valid-Until "false"' \
    forky "$folder.new" "deb $mirror forky main" </dev/null
((EUID == 0)) || sudo chown -R "$(id -u):$(id -g)" "$folder.new"

# It runs with its own loader and libraries, wherever this architecture keeps them.
loader=$(cd "$folder.new" && compgen -G 'usr/lib/*-linux-*/ld-linux*.so.*' | head -n 1)
cat >"$folder.new/asterisk" <<RUN
#!/usr/bin/env bash
# The unpacked Asterisk: asterisk -C /path/to/asterisk.conf -f -n
root=\$(cd "\$(dirname "\${BASH_SOURCE[0]}")" && pwd)
lib=\$root/${loader%/*}
exec "\$root/$loader" --library-path "\$lib:\$lib/asterisk" "\$root/usr/sbin/asterisk" "\$@"
RUN
chmod +x "$folder.new/asterisk"
recent "$folder.new/asterisk" || {
    echo "The mirror's Asterisk is older than 22.4, or does not run: $("$folder.new/asterisk" -V 2>&1 || true)" >&2
    exit 1
}
mv "$folder.new" "$folder"
"$folder/asterisk" -V
