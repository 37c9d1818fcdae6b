#!/usr/bin/env bash
# Builds what a release consists of for one architecture, into target/dist: the Debian package, the binary as an archive, the
# SBOM, and the checksums of all that is there. docs/RELEASE.md says what comes before and after.
#
#   deploy/release.sh          for this machine
#   deploy/release.sh arm64    or amd64: on a machine of the other kind it needs that target and a linker for it
#
# Needs cargo-deb and cargo-cyclonedx: cargo install --locked cargo-deb cargo-cyclonedx
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

stop() { echo "release.sh: $1" >&2; exit 1; }
for tool in cargo-deb cargo-cyclonedx; do
  command -v "$tool" >/dev/null || stop "no $tool: cargo install --locked $tool"
done

architecture=${1:-$(dpkg --print-architecture)}
case $architecture in
  amd64) triple=x86_64-unknown-linux-gnu ;;
  arm64) triple=aarch64-unknown-linux-gnu ;;
  *) stop "releases are made for amd64 and arm64, not for $architecture" ;;
esac
version=$(cargo pkgid | sed 's/.*[#@]//')
built=${CARGO_TARGET_DIR:-target}/$triple/release
dist=target/dist
name=token-relay-$version-linux-$architecture
mkdir -p "$dist"

# The line tables stay out, as in the Dockerfile: a panic still names its place without them.
export CARGO_PROFILE_RELEASE_STRIP=debuginfo
cargo deb --locked --no-strip --target "$triple" -o "$dist/"

# Sorted, owned by root, and as old as the commit: the same commit gives the same archive.
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$(git log -1 --format=%ct)" \
  --transform="s,^,$name/," \
  -czf "$dist/$name.tar.gz" LICENSE LICENSE-MIT LICENSE-APACHE CHANGELOG.md config deploy -C "$built" token-relay

cargo cyclonedx --quiet --format json --target "$triple" --override-filename "$name.cdx"
mv "$name.cdx.json" "$dist/"
find . -name "$name.cdx.json" -not -path './target/*' -delete # those of the other crates of the workspace

cd "$dist"
sha256sum -- *"$version"* | sed '/SHA256SUMS/d' > SHA256SUMS
cat SHA256SUMS
