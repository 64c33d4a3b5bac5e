# shellcheck shell=bash
# What the scripts share: saying, failing, ports, and processes that are ours. Sourced, never run.

# The project's folder, whatever the caller's.
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# Everything installed or running, ignored by git. The one folder to delete to start afresh.
# shellcheck disable=SC2034 # used by those who source this
services="$root/.services"

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# A path without `..`, whether or not it exists yet.
absolute() { realpath -m -- "$1"; }

# Whether something accepts connections on this loopback port.
listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# A port that nobody listens on. Below Linux's ephemeral range (32768 and up), where an outgoing
# connection could take the port of a broker that a test has just killed and means to start again,
# and where polling a closed port can connect to itself.
free_port() {
    local port
    for _ in {1..50}; do
        port=$((20000 + RANDOM % 12000))
        if ! listens "$port"; then
            echo "$port"
            return
        fi
    done
    die 'found no free port between 20000 and 32000'
}

# await SECONDS COMMAND…: polls until the command succeeds; fails when time is up.
await() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < deadline)) || return 1
        sleep 0.05
    done
}

# launch DIR NAME COMMAND…: starts a service of DIR in the background, out of reach of the terminal's
# Ctrl-C, its output in DIR/NAME.log and its pid in DIR/NAME.pid.
launch() {
    local dir=$1 name=$2
    shift 2
    LEADRELAY_SERVICE="$dir/$name" setsid "$@" </dev/null >>"$dir/$name.log" 2>&1 &
    echo $! >"$dir/$name.pid"
    # Until it has become the command, it is still a copy of us.
    until pid_of "$dir" "$name" >/dev/null; do
        kill -0 "$!" 2>/dev/null || die "$name did not start: see $dir/$name.log"
        sleep 0.02
    done
}

# Prints the pid of a service that runs. A pid file outlives a reboot and pids are used again:
# only a process that carries the mark of `launch` is ours to signal.
pid_of() {
    local dir=$1 name=$2 pid environment
    pid="$(cat "$dir/$name.pid" 2>/dev/null)" || return 1
    environment="$(tr '\0' '\n' 2>/dev/null <"/proc/$pid/environ")" 2>/dev/null || return 1
    if [[ -z $environment ]]; then
        # Dead and not yet buried, or just becoming another program, which a busy disk draws out.
        ! grep -qs '^State:[[:space:]]*Z' "/proc/$pid/status" || return 1
    else
        grep -qxF -- "LEADRELAY_SERVICE=$dir/$name" <<<"$environment" || return 1
    fi
    echo "$pid"
}

gone() { ! pid_of "$@" >/dev/null; }

# end DIR NAME [SIGNAL]: stops one service by its pid and waits until it is gone.
end() {
    local dir=$1 name=$2 signal=${3:-TERM} pid
    if pid="$(pid_of "$dir" "$name")"; then
        kill "-$signal" "$pid" 2>/dev/null || true
        await 20 gone "$dir" "$name" || kill -KILL "$pid" 2>/dev/null || true
        await 5 gone "$dir" "$name" || die "$name (pid $pid) does not stop"
    fi
    rm -f "$dir/$name.pid"
}
