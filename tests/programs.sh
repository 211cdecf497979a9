# shellcheck shell=bash
# Sourced by the runners in the folders beside this file: finds or builds the
# example programs, starts and stops servers, installs what a runner needs.
#
# ADAPTER           whose example programs: tokio (default), async-std, blocking
# EXAMPLES_DIR      a folder with ready example programs (default: they are built)
# CARGO_TARGET_DIR  where cargo builds, and where runners install and report
#                   (default: target in the repository)

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
case "$target" in /*) ;; *) target=$root/$target ;; esac
examples=${EXAMPLES_DIR:-$target/release/examples}
case "$examples" in /*) ;; *) examples=$PWD/$examples ;; esac
runner=$(basename "$(dirname "$0")")/$(basename "$0")

die() { echo "$runner: $*" >&2; exit 1; }

case "${ADAPTER:=tokio}" in tokio|async-std|blocking) ;; *) die "ADAPTER is tokio, async-std or blocking" ;; esac

# The comment at the top of the script that was started.
usage() { awk 'NR > 1 && !/^#/ { exit } NR > 1 { sub(/^# ?/, ""); print }' "$0"; }

# need_examples NAME...: they are in $examples afterwards, under the names that those of ws-tokio have.
need_examples() {
   local name suffix=_${ADAPTER//-/_} links=$target/programs-$ADAPTER
   if [ -z "${EXAMPLES_DIR:-}" ]; then
      (cd "$root" && cargo build --quiet --release --examples -p "ws-$ADAPTER") || die "the examples do not build"
   fi
   if [ "$ADAPTER" != tokio ]; then
      mkdir -p "$links"
      for name in "$@"; do ln -sf "$examples/$name$suffix" "$links/$name"; done
      examples=$links
   fi
   for name in "$@"; do
      [ -x "$examples/$name" ] || die "there is no program for $examples/$name"
   done
}

# need_command COMMAND PACKAGE...: installs the Debian packages if COMMAND is missing.
need_command() {
   local command=$1 sudo=()
   shift
   command -v "$command" >/dev/null && return
   command -v apt-get >/dev/null || die "$command is missing; please install it"
   [ "$(id -u)" = 0 ] || sudo=(sudo -n)
   echo "installing $*"
   {
      "${sudo[@]}" apt-get update -q &&
         DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -q -y --no-install-recommends "$@"
   } > "$target/apt.log" 2>&1 || { tail -n 20 "$target/apt.log" >&2; die "could not install $*"; }
   command -v "$command" >/dev/null || die "$command is still missing"
}

# need_python: an interpreter that can make virtual environments.
need_python() {
   need_command python3 python3 python3-venv
   python3 -c 'import venv, ensurepip' 2>/dev/null && return
   local sudo=()
   [ "$(id -u)" = 0 ] || sudo=(sudo -n)
   { "${sudo[@]}" apt-get update -q && "${sudo[@]}" apt-get install -q -y python3-venv; } > "$target/apt.log" 2>&1 \
      || die "python3 lacks the venv module"
}

# need_venv FOLDER REQUIREMENTS: a virtual environment with just these packages.
need_venv() {
   local stamp
   need_python
   stamp=$(python3 --version; cksum < "$2")
   [ "$(cat "$1/.ready" 2>/dev/null)" != "$stamp" ] || return 0
   rm -rf "$1"
   python3 -m venv "$1" || die "could not create $1"
   "$1/bin/python" -m pip --disable-pip-version-check --no-input install --quiet -r "$2" \
      || die "could not install $2"
   printf '%s\n' "$stamp" > "$1/.ready"
}

# need_node_modules FOLDER: FOLDER/node_modules as its package-lock.json says.
need_node_modules() {
   local stamp
   need_command node nodejs npm
   need_command npm npm
   stamp=$(node --version; cat "$1/package.json" "$1/package-lock.json" | cksum)
   [ "$(cat "$1/node_modules/.ready" 2>/dev/null)" != "$stamp" ] || return 0
   (cd "$1" && npm ci --silent --no-audit --no-fund --ignore-scripts) || die "could not install $1/package.json"
   printf '%s\n' "$stamp" > "$1/node_modules/.ready"
}

# start_server LOG COMMAND...: sets server_pid, and server_url to what the
# program says after "listening on".
start_server() {
   local log=$1 tries=0
   shift
   mkdir -p "$(dirname "$log")"
   "$@" > "$log" 2>&1 < /dev/null &
   server_pid=$!
   while :; do
      server_url=$(sed -n '/^listening on /{s/^listening on //;p;q}' "$log")
      [ -z "$server_url" ] || return 0
      kill -0 "$server_pid" 2>/dev/null || { cat "$log" >&2; die "$1 ended early"; }
      tries=$((tries + 1))
      [ "$tries" -lt 600 ] || { kill "$server_pid"; die "$1 did not say where it listens"; }
      sleep 0.05
   done
}

# stop_server: asks the server to end; fails if it does not end with status 0.
stop_server() {
   local pid=$server_pid tries=0 status=0
   kill -TERM "$pid" 2>/dev/null || die "the server ended early"
   while kill -0 "$pid" 2>/dev/null; do
      tries=$((tries + 1))
      [ "$tries" -lt 600 ] || { kill -KILL "$pid"; die "the server did not end after SIGTERM"; }
      sleep 0.05
   done
   server_pid=''
   wait "$pid" || status=$?
   [ "$status" = 0 ] || die "the server ended with status $status after SIGTERM"
}

server_pid=''
trap '[ -z "$server_pid" ] || kill "$server_pid" 2>/dev/null || true' EXIT
trap 'exit 130' INT TERM
