#!/bin/sh
# Prepares this checkout: .venv with exactly the packages of requirements.lock, and the command
# .venv/bin/paymesh. With --broker it also makes sure that a RabbitMQ can be started.
# Safe to run again and again; takes no time when there is nothing to do. One at a time: another
# waits. It may be interrupted or killed at any moment: what is not complete is made anew.
set -eu
cd "$(dirname "$0")/.."

say() { echo "setup: $*" >&2; }
fail() {
    say "$*"
    exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }
is_root_with_apt() { [ "$(id -u)" = 0 ] && has apt-get; }
apt_install() {
    apt-get -qq update && DEBIAN_FRONTEND=noninteractive \
        apt-get -qq install -y --no-install-recommends "$@" >/dev/null
}
is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

# ---- Python packages ----

find_python() {
    for python in python3 python3.11 python3.12 python3.13 python3.14; do
        if is_new_enough "$python"; then
            echo "$python"
            return
        fi
    done
    fail "Paymesh needs Python 3.11 or newer and finds none on the PATH: please install it"
}

make_venv() {
    python=$(find_python)
    say "making .venv with $("$python" --version)"
    rm -rf .venv
    if has uv; then
        uv venv --quiet --python "$(command -v "$python")" .venv
        return
    fi
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        is_root_with_apt || fail "$python lacks venv: install the package python$version-venv"
        say "installing python$version-venv"
        apt_install "python$version-venv" || fail "the package python$version-venv did not install"
    fi
    "$python" -m venv .venv
}

install_packages() {
    say "installing the packages of requirements.lock"
    if has uv; then
        uv=uv
    else
        uv=.venv/bin/uv
        [ -x "$uv" ] || .venv/bin/python -m pip install --quiet --disable-pip-version-check uv ||
            fail "uv did not install into .venv: is there a network?"
    fi
    "$uv" pip sync --quiet --python .venv/bin/python --require-hashes requirements.lock ||
        fail "the packages did not install; what is above says why"
}

# The checkout itself needs no build: a path file makes it importable (gen/ holds `payments`).
install_checkout() {
    site=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    printf '%s\n' "$PWD" "$PWD/gen" >"$site/paymesh.pth"
    # A signal that comes while Python imports has an end without a traceback, too. So -S, and only
    # what is built in before it is caught: the module signal alone takes 10 ms.
    cat >.venv/bin/paymesh <<EOF
#!/bin/sh
exec "$PWD/.venv/bin/python" -P -S -c '
import _signal, posix
def interrupted(*_):
    posix.write(2, b"paymesh: interrupted; it leaves nothing behind\\n")
    posix._exit(130)
for number in _signal.SIGINT, _signal.SIGTERM:
    if _signal.getsignal(number) != _signal.SIG_IGN:
        _signal.signal(number, interrupted)
import site, sys
site.main()
from paymesh_ops.cli.main import app
sys.argv[0] = "paymesh"
sys.exit(app())' "\$@"
EOF
    chmod +x .venv/bin/paymesh
}

stamp=.venv/paymesh-stamp
wanted="$PWD $(cat requirements.lock pyproject.toml scripts/setup.sh | cksum)"

has_python() {
    [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && is_new_enough .venv/bin/python
}

# The stamp is taken away first and comes back last, whole. Without one nobody knows what is in
# .venv: an installer that was killed leaves packages that look complete. So all is made anew.
setup_python() {
    if has_python; then return; fi
    if [ -s "$stamp" ] && is_new_enough .venv/bin/python; then
        rm -f "$stamp"
    else
        rm -f "$stamp"
        make_venv
    fi
    install_packages
    install_checkout
    echo "$wanted" >"$stamp.new"
    mv "$stamp.new" "$stamp"
    say "done: .venv/bin/paymesh"
}

# ---- RabbitMQ ----

has_rabbitmq() {
    # The last is for everything but Debian, whose command of this name is the first one's wrapper.
    for script in /usr/lib/rabbitmq/bin/rabbitmq-server \
        /opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server \
        /usr/local/opt/rabbitmq/sbin/rabbitmq-server; do
        [ -x "$script" ] && return
    done
    has rabbitmq-server
}

policy=/usr/sbin/policy-rc.d
saved=$policy.before-paymesh

restore_policy() {
    rm -f "$policy"
    if [ -e "$saved" ]; then mv "$saved" "$policy"; fi
}

# Installs the package without letting it start a server on the standard ports, now or at boot:
# Paymesh starts a private one. A package that is there already is not touched.
install_rabbitmq() {
    say "installing rabbitmq-server (its server is not started)"
    if [ -e "$saved" ]; then restore_policy; fi # an earlier run was killed
    if [ -e "$policy" ]; then mv "$policy" "$saved"; fi
    trap restore_policy EXIT
    trap 'exit 130' INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    apt_install rabbitmq-server || fail "the package rabbitmq-server did not install"
    if has systemctl; then
        systemctl --quiet disable rabbitmq-server ||
            say "rabbitmq-server stays enabled: it would start when this machine boots"
    fi
    trap - EXIT INT TERM
    restore_policy
}

has_broker() { [ -n "${PAYMESH_AMQP_URL:-}" ] || has_rabbitmq; }

setup_broker() {
    if has_broker; then return; fi
    is_root_with_apt || fail "there is no RabbitMQ: set PAYMESH_AMQP_URL to a broker's amqp:// URL," \
        "or install it (as root on Debian this script does; elsewhere: brew install rabbitmq)"
    install_rabbitmq
}

# ---- what is asked for ----

case "$*" in
"" | --broker) # nothing to do, or to be done alone
    trap 'say "interrupted; it had begun nothing"; exit 130' INT TERM
    if has_python && { [ -z "$*" ] || has_broker; }; then exit 0; fi
    python=$(find_python)
    exec "$python" -I scripts/alone.py setup sh scripts/setup.sh --alone "$@"
    ;;
--alone) setup_python ;;
"--alone --broker")
    setup_python
    setup_broker
    ;;
*) fail "usage: scripts/setup.sh [--broker]" ;;
esac
