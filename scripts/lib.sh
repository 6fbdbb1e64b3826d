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
