# The images of the relay and of its WeChat simulator.
#
#   docker build -t token-relay .                              the relay
#   docker build -t token-relay-sim --target wechat-sim .      the simulator, for tests and for a try without a WeChat account
#
# Needs BuildKit (the default since Docker 23), for the cache mounts.
#
# Where a registry cannot be reached, give the base images from another one. gcr.io, for one, is not reached from China;
# debian:bookworm-slim, or a mirror's copy of it, serves as well and is 75 MB larger:
#
#   docker build --build-arg RUNTIME_IMAGE=debian:bookworm-slim -t token-relay .
#
# RUST_IMAGE needs Rust 1.88 or later, a C compiler and no newer glibc than RUNTIME_IMAGE. RUNTIME_IMAGE needs glibc and
# libgcc; the CA certificates are copied from RUST_IMAGE, so it needs none of its own.
ARG RUST_IMAGE=rust:1-bookworm
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${RUST_IMAGE} AS build
WORKDIR /src
COPY . .
# Cargo takes a source file for unchanged when it is older than the last build. The target directory below outlives a build and
# is shared with every other checkout on this machine, so a clone made yesterday would get the binary of another branch.
# Touched files are compiled again, the dependencies are not.
RUN find src wechat-sim/src -type f -exec touch {} +
# The caches keep downloads and compiled dependencies from one build to the next without a layer of their own. They are not
# part of the image, hence the copies to /out. `locked`: two builds at once would write to one target directory.
# The line tables stay out: 7.6 MB instead of 33, and a panic still names its place, and the functions above it, without them.
# The model of docs/RELIABILITY.md is no part of an image.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    CARGO_PROFILE_RELEASE_STRIP=debuginfo cargo build --release --locked --workspace --exclude lease-model --bins \
    && install -D -t /out/bin target/release/token-relay target/release/wechat-sim
# distroless has no shell that could make this directory. It is the mount point of the state: a new volume takes over its owner
# and mode. The state holds live tokens, so nobody else may read it.
RUN install -d -m 0700 /out/state

# cc: the C library and libgcc, all that the binaries link to; no shell, no package manager. The user is given by number, for
# Kubernetes' runAsNonRoot cannot judge a name.
FROM ${RUNTIME_IMAGE} AS wechat-sim
USER 65532:65532
COPY --from=build /out/bin/wechat-sim /usr/local/bin/
EXPOSE 8090
ENTRYPOINT ["/usr/local/bin/wechat-sim"]
# 0.0.0.0: the loopback of a container is reached by nobody else.
CMD ["--listen", "0.0.0.0:8090"]

FROM ${RUNTIME_IMAGE} AS token-relay
USER 65532:65532
COPY --from=build /out/bin/token-relay /usr/local/bin/
COPY --from=build --chown=65532:65532 /out/state /var/lib/token-relay
# distroless has them, debian:bookworm-slim does not; where both do, they are the same file of Debian's.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
# `state.url = "file:state"`, which nobody has to set, is a directory in the volume. It is no variable, for that would win over a
# settings file without a word: relays that are to share a Redis would each call WeChat.
WORKDIR /var/lib/token-relay
# What has to differ in a container. The environment wins over a settings file: to listen elsewhere, publish another port.
# The admin listener has no password; it is open here so that a scraper on the same network reaches it. Do not publish it
# beyond the host.
ENV TOKEN_RELAY__SERVER__LISTEN=0.0.0.0:8080 \
    TOKEN_RELAY__SERVER__ADMIN_LISTEN=0.0.0.0:9090
# Not 9090: `docker run -P` publishes on every address of the host whatever stands here.
EXPOSE 8080
# Asks the relay's own /healthz, which fails when a keeper is stuck for 30 s; it does not fail because WeChat is away.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["/usr/local/bin/token-relay", "health"]
# Exec form: the relay is process 1 and gets SIGTERM itself.
ENTRYPOINT ["/usr/local/bin/token-relay"]
